"""The file that says what a data set may hold, read into a `Schema`."""

from collections.abc import Mapping
from typing import Any

from ruamel.yaml.comments import CommentedMap

from harness.data import dates, pattern, rulefile
from harness.data.nodes import Reader, document, is_number
from harness.data.relate import Relation
from harness.data.relation import RelationError, parse
from harness.data.schema import SCHEMA_VERSION, Column, ColumnRole, ColumnType, Others, Schema
from harness.domain.quality import Severity

TOP = ("schema", "columns", "missing", "other_columns", "rows", "unique", "relations", "quality")
OF_COLUMN = (
    "type", "role", "allowed", "min", "max", "nullable", "max_missing",
    "unique", "pattern", "min_length", "max_length", "format",
)  # fmt: skip
OF_RELATION = ("relation", "tolerance", "severity", "max_share")
WORDS = ("category", "text")
"""Types whose values are words."""


def read(path: str) -> Schema:
    """The schema of a YAML file.

    Raises:
        DataError: with every problem of the file, each with line, column and what is allowed.
    """
    return parsed(path, *document(path, "schema"))


def parsed(path: str, said: Any, text: str) -> Schema:
    """The schema of a YAML document, which is told of by this path.

    Raises:
        DataError: with every problem of the document.
    """
    reader = _SchemaReader(path, text)
    schema = reader.schema(said)
    reader.told()
    return schema


class _SchemaReader(Reader):
    """The schema's own keys."""

    untyped: tuple[str, ...] = ()
    """Columns whose type is none, which has been told."""

    def schema(self, said: Any) -> Schema:
        if not isinstance(said, CommentedMap):
            self.wrong(None, "", "a schema is a mapping with the keys `schema` and `columns`")
            return Schema({})
        self.keys(said, TOP, "")
        if "schema" not in said:
            self.wrong(None, f"`schema: {SCHEMA_VERSION}`", "is missing")
        elif not is_number(said["schema"]) or said["schema"] != SCHEMA_VERSION:
            self.wrong(said, "schema", f"is not a version this program reads; it reads {SCHEMA_VERSION}")
        columns = self.columns(said)
        least, most = self.rows(said)
        return Schema(
            columns=columns,
            others=self.word(said, "other_columns", Others, Others.REFUSE, ""),
            missing=self.texts(said, "missing"),
            file=self.file,
            least_rows=least,
            most_rows=most,
            unique=self.entries(said, "unique", lambda sets, n: self.names(sets, n, columns, "unique") or None),
            relations=self.entries(said, "relations", lambda values, place: self.relation(values, place, columns)),
            quality=rulefile.section(self, said, columns),
        )

    def columns(self, said: CommentedMap) -> dict[str, Column]:
        listed = said.get("columns")
        if not isinstance(listed, CommentedMap) or not listed:
            place = said if "columns" in said else None
            self.wrong(place, "columns", "must map each column's name to what it may hold")
            return {}
        columns = {str(name): self.column(listed, name) for name in listed}
        targets = [name for name, column in columns.items() if column.role is ColumnRole.TARGET]
        for name in targets[1:]:
            self.wrong(listed, name, f"is a second target; {targets[0]} is one already", "columns.")
        return columns

    def column(self, listed: CommentedMap, name: Any) -> Column:
        said = listed[name]
        if not isinstance(said, CommentedMap):
            self.wrong(listed, name, "must be a mapping such as {type: number, min: 0}", "columns.")
            return Column(str(name), ColumnType.CATEGORY)
        path = f"columns.{name}."
        self.keys(said, OF_COLUMN, path)
        if "type" not in said:
            self.wrong(listed, name, f"lacks `type`: {', '.join(ColumnType)}", "columns.")
        kind: ColumnType | None = self.word(said, "type", ColumnType, None, path)
        if kind is None:
            self.untyped += (str(name),)
        role = self.word(said, "role", ColumnRole, ColumnRole.FEATURE, path)
        least, most = self.bound(said, "min", kind, path), self.bound(said, "max", kind, path)
        if least is not None and most is not None and least > most:
            told = dates.date_text(least) if kind is ColumnType.DATE else f"{least:g}"
            self.wrong(said, "max", f"is below min ({told})", path)
        shortest, longest = self.length(said, "min_length", kind, path), self.length(said, "max_length", kind, path)
        if shortest is not None and longest is not None and shortest > longest:
            self.wrong(said, "max_length", f"is below min_length ({shortest})", path)
        return Column(
            name=str(name),
            type=kind or ColumnType.CATEGORY,
            role=role,
            allowed=self.allowed(said, kind, path),
            least=least,
            most=most,
            nullable=self.nullable(said, role, path),
            max_missing=self.share(said, "max_missing", path),
            unique=self.flag(said, "unique", path),
            pattern=self.pattern(said, kind, path),
            min_length=shortest,
            max_length=longest,
            format=self.format(said, kind, path),
        )

    def nullable(self, said: CommentedMap, role: ColumnRole, path: str) -> bool:
        nullable = self.flag(said, "nullable", path)
        if nullable and role is ColumnRole.TARGET:
            self.wrong(said, "nullable", "must be false: a row without its target can neither train nor test", path)
        elif "max_missing" in said and not nullable and said.get("nullable", False) is False:
            self.wrong(said, "max_missing", "needs `nullable: true`", path)
        return nullable

    def allowed(self, said: CommentedMap, kind: ColumnType | None, path: str) -> tuple[Any, ...]:
        if kind is None:
            return ()  # told already; what may stand here is not known
        if kind in (ColumnType.BOOLEAN, ColumnType.DATE) and "allowed" in said:
            self.wrong(said, "allowed", "stands with numbers and words only", path)
            return ()
        return self.numbers(said, "allowed", path) if kind.numeric else self.texts(said, "allowed", path)

    def bound(self, said: CommentedMap, key: str, kind: ColumnType | None, path: str) -> float | None:
        if key not in said:
            return None
        if kind is ColumnType.DATE:
            found = dates.bound(said[key], end=key == "max")
            if found is None:
                self.wrong(said, key, "must be a date such as 2024-05-31, or today", path)
            return found
        if not is_number(said[key]):
            self.wrong(said, key, "must be a number", path)
        elif kind is not None and not kind.numeric:
            self.wrong(said, key, "stands with a number, integer or date column only", path)
        else:
            return float(said[key])
        return None

    def length(self, said: CommentedMap, key: str, kind: ColumnType | None, path: str) -> int | None:
        if key in said and kind is not None and kind.value not in WORDS:
            self.wrong(said, key, "stands with a category or text column only", path)
            return None
        return self.count(said, key, path)

    def pattern(self, said: CommentedMap, kind: ColumnType | None, path: str) -> str:
        if "pattern" not in said:
            return ""
        value = said["pattern"]
        if kind is not None and kind.value not in WORDS:
            self.wrong(said, "pattern", "stands with a category or text column only", path)
        elif not isinstance(value, str):
            self.wrong(said, "pattern", "must be a text; write numbers in quotes", path)
        else:
            try:
                return pattern.checked(str(value))
            except pattern.PatternError as error:
                self.wrong(said, "pattern", str(error), path, error.offset)
        return ""

    def format(self, said: CommentedMap, kind: ColumnType | None, path: str) -> str:
        if "format" not in said:
            return ""
        value = said["format"]
        if kind is not None and kind is not ColumnType.DATE:
            self.wrong(said, "format", "stands with a date column only", path)
        elif not isinstance(value, str) or not dates.is_format(value):
            self.wrong(said, "format", 'must be a format of dates such as "%d.%m.%Y"', path)
        else:
            return str(value)
        return ""

    # --- the table ---

    def rows(self, said: CommentedMap) -> tuple[int | None, int | None]:
        if "rows" not in said:
            return None, None
        rows = said["rows"]
        if not isinstance(rows, CommentedMap):
            self.wrong(said, "rows", "must be a mapping such as {min: 1000, max: 1000000}")
            return None, None
        self.keys(rows, ("min", "max"), "rows.")
        least, most = self.count(rows, "min", "rows."), self.count(rows, "max", "rows.")
        if least is not None and most is not None and least > most:
            self.wrong(rows, "max", f"is below min ({least})", "rows.")
        return least, most

    def relation(self, values: Any, place: int, columns: Mapping[str, Column]) -> Relation | None:
        said, path = values[place], f"relations[{place}]."
        parent: Any = values
        key: Any = place
        tolerance, severity, share = None, Severity.CRITICAL, 0.0
        if isinstance(said, CommentedMap):
            self.keys(said, OF_RELATION, path)
            tolerance = said.get("tolerance", 0)
            if not is_number(tolerance) or tolerance < 0:
                self.wrong(said, "tolerance", "must be a number from 0", path)
                tolerance = 0
            severity = self.word(said, "severity", Severity, severity, path)
            share = self.share(said, "max_share", path, share)
            parent, key = said, "relation"
            said = said.get("relation")
        if not isinstance(said, str):
            self.wrong(values, place, "must be a text such as `end >= start`, or {relation: ..., ...}", "relations")
            return None
        try:
            tree = parse(str(said), {name: column.type.kind for name, column in columns.items()})
        except RelationError as error:
            if any(name in said for name in self.untyped):
                return None  # told already; what the relation compares is not known
            self.wrong(parent, key, f": {error}", "relations" if parent is values else path, error.offset)
            return None
        return Relation(str(said), tree, float(tolerance or 0), severity, share)
