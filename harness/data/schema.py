"""What a data set may hold, column by column, and the file that says so."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from harness.errors import DataError, Problem

SCHEMA_VERSION: Final = 1


class ColumnType(StrEnum):
    """What the values of a column are."""

    NUMBER = "number"
    INTEGER = "integer"
    CATEGORY = "category"

    @property
    def numeric(self) -> bool:
        """Whether values are kept as float64."""
        return self is not ColumnType.CATEGORY


class ColumnRole(StrEnum):
    """What a column is for."""

    FEATURE = "feature"
    TARGET = "target"
    KEY = "key"
    """Names the row; no feature."""
    IGNORED = "ignored"


class Others(StrEnum):
    """What becomes of columns that the schema does not list."""

    REFUSE = "refuse"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class Column:
    """What one column may hold."""

    name: str
    type: ColumnType
    role: ColumnRole = ColumnRole.FEATURE
    allowed: tuple[str, ...] | tuple[float, ...] = ()
    """Empty: any value."""
    least: float | None = None
    most: float | None = None
    nullable: bool = False
    max_missing: float = 1.0
    """The greatest share of rows without a value; means something only where ``nullable``."""


@dataclass(frozen=True, slots=True)
class Schema:
    """What a data set may hold."""

    columns: Mapping[str, Column]
    others: Others = Others.REFUSE
    missing: tuple[str, ...] = ()
    """Words that stand for a missing value in any column (blank always does)."""
    file: str = ""
    """Its file; empty where it was inferred from the data."""

    def of(self, role: ColumnRole) -> tuple[str, ...]:
        """The columns with that role, in order."""
        return tuple(name for name, column in self.columns.items() if column.role is role)


def read_schema(path: str) -> Schema:
    """The schema of a YAML file.

    Raises:
        DataError: with every problem of the file, each with line, column and what is allowed.
    """
    try:
        document = YAML(typ="rt").load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the schema cannot be read: {error}") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise DataError(str(Problem(path, line, column, f"not YAML: {error.problem}"))) from error
    except YAMLError as error:
        raise DataError(f"{path}: not YAML: {error}") from error
    reader = _Reader(path)
    schema = reader.schema(document)
    if reader.problems:
        told = sorted(reader.problems, key=lambda problem: (problem.line, problem.column))
        raise DataError("\n".join(str(problem) for problem in told))
    return schema


@dataclass(slots=True)
class _Reader:
    """Turns the YAML document into a `Schema`; gathers problems instead of stopping at the first."""

    file: str
    problems: list[Problem] = field(default_factory=list)

    def schema(self, document: Any) -> Schema:
        if not isinstance(document, CommentedMap):
            self.problems.append(Problem(self.file, 1, 1, "a schema is a mapping with the keys `schema` and `columns`"))
            return Schema({})
        self.keys(document, ("schema", "columns", "missing", "other_columns"), "")
        if "schema" not in document:
            self.problems.append(Problem(self.file, 1, 1, f"`schema: {SCHEMA_VERSION}` is missing"))
        elif document["schema"] != SCHEMA_VERSION:
            self.wrong(document, "schema", f"is not a version this program reads; it reads {SCHEMA_VERSION}")
        columns: dict[str, Column] = {}
        listed = document.get("columns")
        if not isinstance(listed, CommentedMap) or not listed:
            place = document if "columns" in document else None
            self.wrong(place, "columns", "must map each column's name to what it may hold")
        else:
            columns = {str(name): self.column(listed, name) for name in listed}
            self.one_target(listed, columns)
        return Schema(
            columns=columns,
            others=self.word(document, "other_columns", Others, Others.REFUSE, ""),
            missing=self.texts(document, "missing"),
            file=self.file,
        )

    def column(self, listed: CommentedMap, name: Any) -> Column:
        said = listed[name]
        if not isinstance(said, CommentedMap):
            self.wrong(listed, name, "must be a mapping such as {type: number, min: 0}", "columns.")
            return Column(str(name), ColumnType.CATEGORY)
        path = f"columns.{name}."
        self.keys(said, ("type", "role", "allowed", "min", "max", "nullable", "max_missing"), path)
        if "type" not in said:
            self.wrong(listed, name, f"lacks `type`: {_words(ColumnType)}", "columns.")
        kind = self.word(said, "type", ColumnType, None, path)
        role = self.word(said, "role", ColumnRole, ColumnRole.FEATURE, path)
        least, most = self.bound(said, "min", kind, path), self.bound(said, "max", kind, path)
        if least is not None and most is not None and least > most:
            self.wrong(said, "max", f"is below min ({least:g})", path)
        nullable = said.get("nullable", False)
        if not isinstance(nullable, bool):
            self.wrong(said, "nullable", "must be true or false", path)
        elif nullable and role is ColumnRole.TARGET:
            self.wrong(said, "nullable", "must be false: a row without its target can neither train nor test", path)
        elif "max_missing" in said and not nullable:
            self.wrong(said, "max_missing", "needs `nullable: true`", path)
        return Column(
            name=str(name),
            type=kind or ColumnType.CATEGORY,
            role=role,
            allowed=self.allowed(said, kind, path),
            least=least,
            most=most,
            nullable=nullable is True,
            max_missing=self.share(said, "max_missing", path),
        )

    def one_target(self, listed: CommentedMap, columns: Mapping[str, Column]) -> None:
        targets = [name for name, column in columns.items() if column.role is ColumnRole.TARGET]
        for name in targets[1:]:
            self.wrong(listed, name, f"is a second target; {targets[0]} is one already", "columns.")

    # --- single values ---

    def word(self, said: CommentedMap, key: str, words: type[StrEnum], default: Any, path: str) -> Any:
        if key not in said:
            return default
        try:
            return words(said[key])
        except ValueError:
            near = difflib.get_close_matches(str(said[key]), [word.value for word in words], n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            self.wrong(said, key, f"is not one of {_words(words)}{hint}", path)
            return default

    def allowed(self, said: CommentedMap, kind: ColumnType | None, path: str) -> tuple[Any, ...]:
        if kind is None:
            return ()  # told already; what may stand here is not known
        if not kind.numeric:
            return self.texts(said, "allowed", path)
        values = said.get("allowed", [])
        if not isinstance(values, Sequence) or isinstance(values, str) or not all(map(_is_number, values)):
            self.wrong(said, "allowed", "must be a list of numbers", path)
            return ()
        return tuple(float(value) for value in values)

    def texts(self, said: CommentedMap, key: str, path: str = "") -> tuple[str, ...]:
        values = said.get(key, [])
        if not isinstance(values, Sequence) or isinstance(values, str) or not all(isinstance(v, str) for v in values):
            self.wrong(said, key, 'must be a list of texts; write numbers and true/false in quotes ("1")', path)
            return ()
        return tuple(str(value) for value in values)

    def bound(self, said: CommentedMap, key: str, kind: ColumnType | None, path: str) -> float | None:
        if key not in said:
            return None
        if not _is_number(said[key]):
            self.wrong(said, key, "must be a number", path)
        elif kind is ColumnType.CATEGORY:
            self.wrong(said, key, "stands with a number or integer column only", path)
        else:
            return float(said[key])
        return None

    def share(self, said: CommentedMap, key: str, path: str) -> float:
        value = said.get(key, 1.0)
        if isinstance(value, str) and value.strip().endswith("%"):
            try:
                value = float(value.strip()[:-1]) / 100
            except ValueError:
                value = None
        if not _is_number(value) or not 0 <= value <= 1:
            self.wrong(said, key, "must be a share from 0% to 100%", path)
            return 1.0
        return float(value)

    def keys(self, said: CommentedMap, known: Sequence[str], path: str) -> None:
        for key in said:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                line, column = said.lc.key(key)
                message = f"{path}{key} is not known here{hint} (known: {', '.join(known)})"
                self.problems.append(Problem(self.file, line + 1, column + 1, message))

    def wrong(self, said: CommentedMap | None, key: Any, message: str, path: str = "") -> None:
        if said is None or key not in said:
            self.problems.append(Problem(self.file, 1, 1, f"{path}{key} {message}"))
            return
        value = said[key]
        shown = "" if isinstance(value, CommentedMap) else f" ({_shown(value)})"
        line, column = said.lc.key(key) if isinstance(value, CommentedMap) else said.lc.value(key)
        self.problems.append(Problem(self.file, line + 1, column + 1, f"{path}{key}{shown} {message}"))


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    return "nothing" if value is None else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _words(words: type[StrEnum]) -> str:
    return ", ".join(word.value for word in words)
