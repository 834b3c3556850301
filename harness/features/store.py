"""A feature store in a folder: tables of features with times, and feature sets that never change once they are made."""

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pandas as pd

from harness.clock import utc_now
from harness.domain.quantity import duration_ns
from harness.domain.units import SECOND
from harness.errors import DataError, InputError
from harness.features import storing
from harness.features.joining import as_of

NAME_SIGNS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
TIMESTAMP: Final = "event_timestamp"
DEFINITION: Final = "definition.json"


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """A table of features: what was true of an entity from a time on."""

    name: str
    entity: tuple[str, ...]
    timestamp: str
    ttl_s: float | None
    """How long a value may be used; None: for ever."""
    features: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class StoredFeatures:
    """A version of a feature set, with its rows."""

    name: str
    version: int
    digest: str
    """Of rows and definition: ``sha256:…``."""
    definition: Mapping[str, Any]
    data: pd.DataFrame = field(repr=False)

    @property
    def reference(self) -> str:
        """As it is loaded again: ``name@version``."""
        return f"{self.name}@{self.version}"

    def __str__(self) -> str:
        """Its reference."""
        return self.reference


class FeatureStore:
    """Feature tables and versioned feature sets below a folder.

    Args:
        root: the folder; made when something is first written.
        format: ``parquet`` or ``csv``; default: Parquet where pyarrow is installed.
    """

    def __init__(self, root: str | Path = ".features", *, format: str | None = None) -> None:  # noqa: A002 - its word
        self.root = Path(root)
        self._form = storing.form(format)

    # --- tables -------------------------------------------------------------------------------------------------------

    def register(
        self,
        name: str,
        data: pd.DataFrame,
        *,
        entity: str | Sequence[str],
        timestamp: str = TIMESTAMP,
        ttl: float | str | None = None,
    ) -> FeatureTable:
        """Register a table of features, or add rows to one; rows that were added before are not added again.

        Args:
            name: of the table.
            data: keys, times and values.
            entity: the key, or keys.
            timestamp: the column with the time from which a row is true.
            ttl: how long it may be used: seconds, or ``7d``; None: for ever.

        Raises:
            InputError: a column is missing, a time is, or the name stands for another table.
        """
        keys = (entity,) if isinstance(entity, str) else tuple(entity)
        _check_columns(name, data)
        for column in (*keys, timestamp):
            if column not in data.columns:
                raise InputError(f"{name}: the table lacks the column {column}; it has {', '.join(data.columns)}")
        values = tuple(str(column) for column in data.columns if column not in {*keys, timestamp})
        table = FeatureTable(_name(name), keys, timestamp, _seconds(ttl), values)
        rows = data.assign(**{timestamp: storing.utc(data[timestamp]).to_numpy()})
        if rows[timestamp].isna().any():
            raise InputError(f"{name}: {int(rows[timestamp].isna().sum())} rows have no {timestamp}")
        self._define(table)
        self._add_part(self.root / "tables" / name, rows)
        return table

    def tables(self) -> tuple[FeatureTable, ...]:
        """All tables, by name."""
        folders = sorted((self.root / "tables").glob(f"*/{DEFINITION}"))
        return tuple(_table(storing.read_json(path)) for path in folders)

    def table(self, name: str) -> FeatureTable:
        """The table of that name.

        Raises:
            InputError: there is none; the message names those there are.
        """
        for each in self.tables():
            if each.name == name:
                return each
        raise InputError(
            f"there is no feature table {name!r}; there are {_listed(each.name for each in self.tables())}"
        )

    def rows(self, name: str) -> pd.DataFrame:
        """All rows of a table, in the order in which they were added."""
        folder = self.root / "tables" / self.table(name).name
        parts = [storing.read_json(path) for path in folder.glob("part-*.json")]
        return pd.concat([storing.read(folder, part) for part in sorted(parts, key=lambda part: int(part["number"]))],
                         ignore_index=True)  # fmt: skip

    def get_historical_features(
        self, entities: pd.DataFrame, features: Sequence[str] | None = None, *, timestamp: str = TIMESTAMP
    ) -> pd.DataFrame:
        """What was known of each entity at its time: a point-in-time join (`harness.features.joining.as_of`).

        Args:
            entities: keys and times, in any order.
            features: ``table`` or ``table:column``; None: all of every table whose keys the entities have.
            timestamp: the column with the times.

        Returns:
            The entities, in their order, with a column for each feature: called as in its table, or ``table:column``
            where two tables share a name.

        Raises:
            InputError: there is no such feature, or a key or the time is missing.
        """
        wanted = self._wanted(features, entities.columns)
        names = [column for columns in wanted.values() for column in columns]
        taken = {*map(str, entities.columns), *(name for name in names if names.count(name) > 1)}
        found = entities.copy()
        for table, columns in wanted.items():
            about = self.table(table)
            values = as_of(entities, self.rows(table), about.entity, timestamp, about.timestamp, about.ttl_s)
            for column in columns:
                found[f"{table}:{column}" if column in taken else column] = values[column]
        return found

    def get_online_features(
        self,
        entities: pd.DataFrame | Sequence[Mapping[str, Any]],
        features: Sequence[str] | None = None,
        at: Any = None,
    ) -> pd.DataFrame:
        """The newest values of each entity, as a server would ask for them.

        Args:
            entities: keys, as a frame or as objects.
            features: as of `get_historical_features`.
            at: the time; None: now. What is older than its TTL by then is missing.
        """
        asked = entities if isinstance(entities, pd.DataFrame) else pd.DataFrame(list(entities))
        moment = pd.Timestamp(utc_now() if at is None else at)
        found = self.get_historical_features(asked.assign(**{TIMESTAMP: moment}), features)
        return found.drop(columns=TIMESTAMP)

    # --- feature sets -------------------------------------------------------------------------------------------------

    def save(self, name: str, data: pd.DataFrame, definition: Mapping[str, Any] | None = None) -> StoredFeatures:
        """Keep rows as a version of a feature set; the same rows with the same definition are the same version.

        Args:
            name: of the set.
            data: its rows; the index is not kept.
            definition: what made them, as JSON has it.

        Raises:
            InputError: the name, the columns or the definition cannot be kept.
        """
        _check_columns(name, data)
        try:
            said = json.loads(json.dumps(dict(definition or {}), sort_keys=True))
        except (TypeError, ValueError) as error:
            raise InputError(f"{name}: the definition holds what JSON has not: {error}") from error
        digest = _digest(data, said)
        for version, about in self._versions(_name(name)).items():
            if about["digest"] == digest:
                return self.load(f"{name}@{version}")
        folder = self.root / "sets" / name
        folder.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
        try:
            written = storing.write(data, made, "rows", self._form)
            storing.write_json(made / DEFINITION, {"name": name, "digest": digest, "definition": said, "rows": written})
            version = _settle(made, folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)
        return StoredFeatures(name, version, digest, said, storing.read(folder / str(version), written))

    def feature_sets(self) -> tuple[str, ...]:
        """Every version of every set, as ``name@version``, oldest first."""
        names = sorted(path.name for path in (self.root / "sets").glob("*") if path.is_dir())
        return tuple(f"{name}@{version}" for name in names for version in self._versions(name))

    def load(self, reference: str) -> StoredFeatures:
        """A version of a set: ``name@version``, ``name@sha256:…``, or ``name`` for the newest.

        Raises:
            InputError: there is none.
            DataError: its files are not what was kept.
        """
        name, _, wanted = reference.partition("@")
        versions = self._versions(_name(name))
        chosen = [number for number, about in versions.items() if wanted in {"", str(number), about["digest"]}]
        if not chosen:
            raise InputError(f"there is no feature set {reference!r}; there are {_listed(self.feature_sets())}")
        number, about = chosen[-1], versions[chosen[-1]]
        data = storing.read(self.root / "sets" / name / str(number), about["rows"])
        if _digest(data, about["definition"]) != about["digest"]:
            raise DataError(f"{self.root}/sets/{name}/{number}: changed since it was kept; its digest is another")
        return StoredFeatures(name, number, about["digest"], about["definition"], data)

    def _versions(self, name: str) -> dict[int, dict[str, Any]]:
        folders = [path.parent for path in (self.root / "sets" / name).glob(f"[0-9]*/{DEFINITION}")]
        numbers = sorted(int(folder.name) for folder in folders if folder.name.isdecimal())
        return {each: storing.read_json(self.root / "sets" / name / str(each) / DEFINITION) for each in numbers}

    # --- below --------------------------------------------------------------------------------------------------------

    def _define(self, table: FeatureTable) -> None:
        path = self.root / "tables" / table.name / DEFINITION
        if path.exists():
            known = _table(storing.read_json(path))
            if known != table:
                raise InputError(f"{table.name} is registered otherwise: {known}; give the new table another name")
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        said = {"entity": table.entity, "features": table.features, "name": table.name}
        storing.write_json(path, {**said, "timestamp": table.timestamp, "ttl_s": table.ttl_s})

    def _add_part(self, folder: Path, rows: pd.DataFrame) -> None:
        digest = storing.digest_of(rows).removeprefix("sha256:")[:16]
        about = folder / f"part-{digest}.json"
        if about.exists():
            return
        number = len(list(folder.glob("part-*.json")))
        storing.write_json(about, {**storing.write(rows, folder, f"part-{digest}", self._form), "number": number})

    def _wanted(self, features: Sequence[str] | None, there: Iterable[Any]) -> dict[str, list[str]]:
        columns = {str(name) for name in there}
        if features is None:
            return {each.name: list(each.features) for each in self.tables() if columns >= set(each.entity)}
        wanted: dict[str, list[str]] = {}
        for each in features:
            name, _, column = each.partition(":")
            table = self.table(name)
            if column and column not in table.features:
                raise InputError(f"{name} has no feature {column!r}; it has {', '.join(table.features)}")
            wanted.setdefault(name, []).extend([column] if column else table.features)
        return wanted


def _settle(made: Path, folder: Path) -> int:
    """Give a finished version the next number; another writer may take one in between."""
    while True:
        number = 1 + max((int(path.name) for path in folder.iterdir() if path.name.isdecimal()), default=0)
        try:
            os.rename(made, folder / str(number))  # noqa: PTH104 - Path.replace would overwrite an empty folder too
        except OSError:
            if not (folder / str(number)).exists():
                raise
            continue
        return number


def _digest(data: pd.DataFrame, definition: Any) -> str:
    import hashlib

    said = json.dumps([storing.digest_of(data), definition], sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(said.encode()).hexdigest()}"


def _table(said: Mapping[str, Any]) -> FeatureTable:
    return FeatureTable(said["name"], tuple(said["entity"]), said["timestamp"], said["ttl_s"], tuple(said["features"]))


def _seconds(ttl: float | str | None) -> float | None:
    try:
        found = duration_ns(ttl) / SECOND if isinstance(ttl, str) else None if ttl is None else float(ttl)
    except ValueError as error:
        raise InputError(f"ttl is {ttl!r}: {error}") from None
    if found is not None and not 0 <= found < math.inf:
        raise InputError(f"ttl is {ttl!r}: it is a number of seconds from 0 on, or such as 7d; None: for ever")
    return found


def _check_columns(name: str, data: pd.DataFrame) -> None:
    """Columns are called by texts, each by its own: files know no others."""
    names: list[Any] = list(data.columns)
    if wrong := [column for column in names if not isinstance(column, str)]:
        raise InputError(f"{name}: a column is called {wrong[0]!r}; give columns names that are texts")
    if twice := list(data.columns[data.columns.duplicated()]):
        raise InputError(f"{name}: two columns are called {twice[0]}")


def _name(name: str) -> str:
    if not name or set(name) - NAME_SIGNS or name.startswith("."):
        raise InputError(f"{name!r} names a folder: letters, digits, - _ and ., and no . at the beginning")
    return name


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none yet"
