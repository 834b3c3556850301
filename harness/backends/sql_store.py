"""Versions in a database, and their files: registered, found, marked, deployed, swept. Everything blocks.

A registration first keeps the files by their content, then tells the database of the version, its number, its files and
its signed manifest in one transaction. Cut off anywhere, it leaves at most files that no version names.
"""

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select, text, update

from harness.backends import sql_schema as schema
from harness.backends.artifacts import Artifacts, Stored, opened
from harness.backends.manifest import Manifest
from harness.backends.signing import sign
from harness.backends.sql_database import Database
from harness.clock import utc_now
from harness.domain.lineage import Deployment, Parent, deployment_of
from harness.domain.model import Revision
from harness.errors import NotRegistered, RegistryError
from harness.protocols import Version

ARTIFACTS: Final = "HARNESS_ARTIFACTS"
"""Where files are kept, by a path or a URL of fsspec; the database remembers it when its tables are made."""
GRACE_S: Final = 3600
"""Files put so short a time ago may belong to a registration that is under way."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is registered of a version, beside its files."""

    name: str
    digest: str
    intent: str
    run: str = ""
    algorithm: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    data_digest: str | None = None
    features_digest: str | None = None
    status: str = ""
    label: str = ""
    """What its maker calls the version; empty: its number."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    created_by: str = ""


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found."""

    removed: int
    kept: int
    waiting: int
    """Named by no version, and too young to be taken away."""


class Store:
    """Versions in one database.

    Args:
        uri: ``sqlite:///PATH`` or ``postgresql://…``.
        artifacts: where files are kept, a path or a URL of fsspec; None: as the URI's ``artifacts=``, the variable
            HARNESS_ARTIFACTS or the database says; for a new SQLite file beside it, for a new PostgreSQL database in
            the user's own data folder. What is named holds a folder for each registry.

    Raises:
        BackendError: it is no URI of a database, or the driver is not installed.
    """

    def __init__(self, uri: str, artifacts: str | None = None) -> None:
        self.database = Database(uri)
        wanted = artifacts or self.database.given.get("artifacts") or os.environ.get(ARTIFACTS, "")
        self._wanted = wanted if "://" in wanted or not wanted else str(Path(wanted).absolute())
        root = self._wanted or self._far()
        self.database.artifacts = f"{root.rstrip('/')}/{uuid.uuid4().hex[:12]}" if root else ""
        self._opened: Artifacts | None = None

    @property
    def artifacts(self) -> Artifacts:
        """Where files are kept."""
        if self._opened is None:
            self._opened = opened(self._place())
        return self._opened

    def _place(self) -> str:
        """A folder of this registry alone: two that share one would sweep each other's files away."""
        recorded = self.database.recorded_artifacts()
        if self._wanted and not recorded.startswith(f"{self._wanted.rstrip('/')}/"):
            return self._wanted  # files were moved, or others put them there
        return recorded or self._beside()

    def _beside(self) -> str:
        file = self.database.file
        return str(file.with_name(f"{file.name}.artifacts")) if file else f"memory://harness-{id(self)}"

    def _far(self) -> str:
        """The user's own data folder, for a server has no folder beside it that is ours."""
        if self.database.url.drivername == "sqlite":
            return ""
        home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
        return str(home / "harness" / "artifacts" / (self.database.url.database or "default"))

    # --- registering --------------------------------------------------------------------------------------------------

    def known(self, intent: str, name: str, digest: str) -> Revision | None:
        """The version that an intent has registered already.

        Raises:
            RegistryError: it was another model.
        """
        self.database.ensure()
        return self.database.reading(lambda connection: _of_intent(connection, intent, name, digest))

    def register(self, entry: Entry, files: Mapping[str, bytes | Path]) -> Revision:
        """Add a version with its files; the same intent twice is one version.

        Raises:
            RegistryError: the intent has registered another model.
            ArtifactError: a file cannot be kept.
            InputError: the key that is to sign it cannot be used.
        """
        self.database.ensure()
        stored = {path: self.artifacts.put(source) for path, source in files.items()}

        def work(connection: Connection) -> Revision:
            number = _next(connection, entry.name)
            if found := _of_intent(connection, entry.intent, entry.name, entry.digest):
                return found
            connection.execute(
                update(schema.models).where(schema.models.c.name == entry.name).values(last_version=number)
            )
            connection.execute(insert(schema.versions).values(_row(entry, number, stored)))
            for path, each in stored.items():
                connection.execute(
                    insert(schema.artifacts).values(name=entry.name, number=number, path=path, **asdict(each))
                )
            self._keep(files, stored)
            return Revision(entry.name, number, entry.digest)

        return self.database.writing(work)

    def _keep(self, files: Mapping[str, bytes | Path], stored: Mapping[str, Stored]) -> None:
        """A sweep may have come between the files and this transaction; from here on it waits for us."""
        for path, each in stored.items():
            if not self.artifacts.holds(each.sha256):
                self.artifacts.put(files[path])

    # --- looking ------------------------------------------------------------------------------------------------------

    def row(self, name: str, number: int) -> Row[Any]:
        """All that is known of a version.

        Raises:
            NotRegistered: there is none.
        """

        def work(connection: Connection) -> Row[Any]:
            return _row_of(connection, name, number)

        return self.database.reading(work)

    def resolve(self, name: str, alias: str) -> Revision:
        """The version an alias names.

        Raises:
            NotRegistered: no such model or alias.
        """

        def work(connection: Connection) -> Revision:
            _demand(connection, name)
            named = {each.alias: each.number for each in connection.execute(_aliases(name))}
            if alias not in named:
                known = ", ".join(sorted(named)) or "none"
                raise NotRegistered(f"no version of {name} is called {alias!r} (aliases: {known}); set the alias first")
            return Revision(name, named[alias], _row_of(connection, name, named[alias]).digest)

        return self.database.reading(work)

    def versions(self, name: str) -> tuple[Version, ...]:
        """All versions of a model, oldest first.

        Raises:
            NotRegistered: no such model.
        """

        def work(connection: Connection) -> tuple[Version, ...]:
            _demand(connection, name)
            aliases: dict[int, list[str]] = {}
            for each in connection.execute(_aliases(name)):
                aliases.setdefault(each.number, []).append(each.alias)
            table = schema.versions
            found = connection.execute(select(table).where(table.c.name == name).order_by(table.c.number))
            return tuple(_version(row, aliases.get(row.number, [])) for row in found)

        return self.database.reading(work)

    def names(self) -> tuple[str, ...]:
        """The names of all models, sorted."""
        names = self.database.reading(
            lambda connection: connection.execute(select(schema.models.c.name)).scalars().all()
        )
        return tuple(sorted(names))

    # --- changing -----------------------------------------------------------------------------------------------------

    def set_alias(self, revision: Revision, alias: str) -> None:
        """Let the alias name this version.

        Raises:
            NotRegistered: there is no such version.
            RegistryError: that version is another model.
        """

        def work(connection: Connection) -> None:
            _lock(connection, revision)
            _drop_alias(connection, revision.name, alias)
            values = {"name": revision.name, "alias": alias, "number": revision.version}
            connection.execute(insert(schema.aliases).values(values))

        self.database.demand()
        self.database.writing(work)

    def remove_alias(self, name: str, alias: str) -> None:
        """Let the alias name nothing.

        Raises:
            NotRegistered: no such model.
        """

        def work(connection: Connection) -> None:
            _demand(connection, name)
            _drop_alias(connection, name, alias)

        self.database.demand()
        self.database.writing(work)

    def change(self, revision: Revision, **values: Any) -> None:
        """Put other values in the row of a version: its status, its facts.

        Raises:
            NotRegistered: there is no such version.
            RegistryError: that version is another model.
        """

        def work(connection: Connection) -> None:
            _lock(connection, revision)
            connection.execute(update(schema.versions).where(_is(schema.versions, revision)).values(values))

        self.database.demand()
        self.database.writing(work)

    # --- lineage ------------------------------------------------------------------------------------------------------

    def deploy(self, revision: Revision, deployment: Deployment) -> None:
        """Keep what became of a version in a rollout; the same one twice is one."""

        def work(connection: Connection) -> None:
            _lock(connection, revision)
            table = schema.deployments
            known = connection.execute(select(table).where(_is(table, revision))).all()
            if any((each.run, each.rollout, each.outcome) == deployment.key for each in known):
                return
            connection.execute(
                insert(table).values(
                    name=revision.name, number=revision.version, run=deployment.run, rollout=deployment.number,
                    outcome=deployment.outcome, place=len(known), told=json.dumps(asdict(deployment)),
                )
            )  # fmt: skip

        self.database.demand()
        self.database.writing(work)

    def deployments(self, revision: Revision) -> tuple[Deployment, ...]:
        """What became of a version, in the order in which it was recorded."""
        table = schema.deployments
        wanted = select(table.c.told).where(_is(table, revision)).order_by(table.c.place)
        found = self.database.reading(lambda connection: connection.execute(wanted).scalars().all())
        return tuple(deployment_of(json.loads(told)) for told in found)

    def link(self, revision: Revision, parents: tuple[Parent, ...]) -> None:
        """Keep what a version comes from; the same link twice is one."""

        def work(connection: Connection) -> None:
            _lock(connection, revision)
            known = {(each.kind, each.what) for each in connection.execute(_links(revision))}
            for each in parents:
                if (each.kind, each.what) not in known:
                    known.add((each.kind, each.what))
                    connection.execute(
                        insert(schema.links).values(name=revision.name, number=revision.version, **asdict(each))
                    )

        self.database.demand()
        self.database.writing(work)

    def parents(self, revision: Revision) -> tuple[Parent, ...]:
        """What a version comes from, as it was linked."""
        found = self.database.reading(lambda connection: connection.execute(_links(revision)).all())
        return tuple(Parent(each.kind, each.what, each.digest) for each in found)

    # --- sweeping -----------------------------------------------------------------------------------------------------

    def sweep(self, older_than_s: int = GRACE_S, *, only_look: bool = False) -> Swept:
        """Take away the files that no version names, as a registration that was cut off leaves them.

        Args:
            older_than_s: younger ones are left: a registration may be about to name them.
            only_look: nothing is taken away.
        """

        def work(connection: Connection) -> Swept:
            if connection.dialect.name == "postgresql":  # whoever names a file from now on waits
                connection.execute(text(f"LOCK TABLE {schema.artifacts.name} IN SHARE ROW EXCLUSIVE MODE"))
            named = set(connection.execute(select(schema.artifacts.c.sha256)).scalars())
            forgotten = [(each, age_s) for each, age_s in self.artifacts.listed() if each not in named]
            old = [each for each, age_s in forgotten if age_s >= older_than_s]
            for each in () if only_look else old:
                self.artifacts.remove(each)
            return Swept(len(old), len(named), len(forgotten) - len(old))

        self.database.demand()
        return self.database.writing(work)


# --- rows -------------------------------------------------------------------------------------------------------------


def _row(entry: Entry, number: int, files: Mapping[str, Stored]) -> dict[str, Any]:
    manifest = Manifest(entry.name, number, entry.digest, entry.data_digest, entry.features_digest, files).text()
    signature = sign(manifest)
    values = {name: getattr(entry, name) for name in entry.__slots__ if name not in ("params", "metrics", "facts")}
    told = {name: json.dumps(getattr(entry, name), default=repr) for name in ("params", "metrics", "facts")}
    return {
        **values, **told, "number": number, "manifest": manifest, "signed_by": signature.key,
        "signature": signature.value, "created_at": utc_now().isoformat(timespec="seconds"),
    }  # fmt: skip


def _next(connection: Connection, name: str) -> int:
    """The number of the next version, with the model's row to ourselves; made where the name is new."""
    table = schema.models
    held = select(table.c.last_version).where(table.c.name == name).with_for_update()
    found = connection.execute(held).scalar_one_or_none()
    if found is None:  # another one that makes it now makes us try again
        now = utc_now().isoformat(timespec="seconds")
        connection.execute(insert(table).values(name=name, last_version=0, created_at=now))
    return 1 + (found or 0)


def _of_intent(connection: Connection, intent: str, name: str, digest: str) -> Revision | None:
    table = schema.versions
    row = connection.execute(select(table).where(table.c.intent == intent)).one_or_none()
    if row is None:
        return None
    if (row.name, row.digest) != (name, digest):
        raise RegistryError(
            f"intent {intent!r} has registered {row.name}:{row.number} already, which is another model; "
            "use a new intent for each model"
        )
    return Revision(row.name, row.number, row.digest)


def _version(row: Row[Any], aliases: list[str]) -> Version:
    return Version(
        Revision(row.name, row.number, row.digest),
        tuple(sorted(aliases)),
        row.status,
        row.data_digest,
        json.loads(row.metrics),
    )


def _demand(connection: Connection, name: str) -> int:
    """How many versions a model has; NotRegistered where nobody knows it."""
    table = schema.models
    found = connection.execute(select(table.c.last_version).where(table.c.name == name)).scalar_one_or_none()
    if found is None:
        names = connection.execute(select(table.c.name).order_by(table.c.name).limit(20)).scalars().all()
        raise NotRegistered(
            f"the registry holds no model {name!r} (models: {', '.join(names) or 'none'}); register one first, or "
            "train it in this run"
        )
    return int(found)


def _row_of(connection: Connection, name: str, number: int) -> Row[Any]:
    last = _demand(connection, name)
    table = schema.versions
    wanted = select(table).where((table.c.name == name) & (table.c.number == number))
    found = connection.execute(wanted).one_or_none() if 0 < number <= last else None  # a database counts to 2**31 - 1
    if found is None:
        raise NotRegistered(f"there is no {name}:{number}; {name} has versions 1 to {last}")
    return found


def _lock(connection: Connection, revision: Revision) -> None:
    """A version that is to be changed, held against its digest; whoever changes another of its name waits."""
    held = select(schema.models.c.name).where(schema.models.c.name == revision.name).with_for_update()
    connection.execute(held)
    check_digest(_row_of(connection, revision.name, revision.version), revision)


def check_digest(row: Row[Any], revision: Revision) -> None:
    """Raise RegistryError where a version is not what its revision says."""
    if row.digest != revision.digest:
        raise RegistryError(f"{revision} is {row.digest}, not {revision.digest}; resolve it anew")


def _is(table: Any, revision: Revision) -> Any:
    return (table.c.name == revision.name) & (table.c.number == revision.version)


def _aliases(name: str) -> Any:
    return select(schema.aliases.c.alias, schema.aliases.c.number).where(schema.aliases.c.name == name)


def _links(revision: Revision) -> Any:
    table = schema.links
    return select(table).where(_is(table, revision)).order_by(table.c.kind, table.c.what)


def _drop_alias(connection: Connection, name: str, alias: str) -> None:
    table = schema.aliases
    connection.execute(delete(table).where((table.c.name == name) & (table.c.alias == alias)))
