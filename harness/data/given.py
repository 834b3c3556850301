"""Schemas that a caller in Python writes as a mapping: ``{"age": {"type": "integer", "min_value": 0}}``."""

from collections.abc import Iterable, Mapping
from io import StringIO
from typing import Any, Final

from ruamel.yaml import YAML

from harness.data import dates, pattern, schemafile
from harness.data.nodes import is_number, near
from harness.data.schema import Column, ColumnType, Others, Schema, read_schema
from harness.errors import DataError

TYPES: Final[Mapping[str, ColumnType]] = {
    **dict.fromkeys(("float", "float32", "float64", "number", "numeric", "double"), ColumnType.NUMBER),
    **dict.fromkeys(("int", "int32", "int64", "integer"), ColumnType.INTEGER),
    **dict.fromkeys(("string", "str", "object", "text"), ColumnType.TEXT),
    **dict.fromkeys(("bool", "boolean"), ColumnType.BOOLEAN),
    **dict.fromkeys(("datetime", "datetime64", "datetime64[ns]", "date", "timestamp"), ColumnType.DATE),
    "category": ColumnType.CATEGORY,
}
"""The words for types, of the handbooks and of pandas."""
KEYS: Final = (
    "type", "data_type", "nullable", "min_value", "max_value", "allowed", "unique", "pattern", "format", "severity",
)  # fmt: skip


def schema_given(given: Any, rows: Mapping[str, int] | None = None) -> Schema:
    """The schema that a caller means.

    A mapping of columns forbids only what it says: other columns may be there, and values may be missing unless
    ``nullable`` is false. ``min_value`` and ``max_value`` are allowed themselves.

    Args:
        given: a schema, its file, a mapping as its file has one, or a mapping of columns.
        rows: the least and the greatest number of rows, by ``min`` and ``max``.

    Raises:
        DataError: it cannot be used; with everything that is wrong.
    """
    if isinstance(given, Schema):
        return given
    if isinstance(given, str) or hasattr(given, "__fspath__"):
        return read_schema(str(given))
    if not isinstance(given, Mapping):
        raise DataError(f"the schema is {type(given).__name__}; it is a file, a Schema, or a mapping of columns")
    if "schema" in given and isinstance(given.get("columns"), Mapping):
        return _as_file(given)
    problems: list[str] = []
    columns = {str(name): _column(str(name), said, problems) for name, said in given.items()}
    if problems:
        raise DataError("\n".join(problems))
    least, most = (rows or {}).get("min"), (rows or {}).get("max")
    return Schema(columns, others=Others.IGNORE, least_rows=least, most_rows=most)


def _as_file(given: Mapping[str, Any]) -> Schema:
    text = StringIO()
    yaml = YAML(typ="rt")
    yaml.dump(dict(given), text)
    return schemafile.parsed("schema", yaml.load(text.getvalue()), text.getvalue())


def _column(name: str, said: Any, problems: list[str]) -> Column:
    if not isinstance(said, Mapping):
        said = {"type": said}
    told = len(problems)
    problems += [
        f"{name}.{key} is not known here{near(key, KEYS)} (known: {', '.join(KEYS)})" for key in said if key not in KEYS
    ]
    word = said.get("type", said.get("data_type", "category"))
    kind = TYPES.get(str(word).lower())
    if kind is None:
        problems.append(f"{name}.type is {word!r}, not one of {', '.join(TYPES)}{near(str(word), TYPES)}")
    if "pattern" in said:
        try:
            pattern.checked(str(said["pattern"]))
        except pattern.PatternError as error:
            problems.append(f"{name}.pattern {error}")
    kind = kind or ColumnType.CATEGORY
    least, most = (_bound(name, key, said, kind, problems) for key in ("min_value", "max_value"))
    if len(problems) > told:
        return Column(name, kind)
    return Column(
        name, kind, allowed=_allowed(said.get("allowed") or (), kind), least=least, most=most,
        nullable=bool(said.get("nullable", True)), unique=bool(said.get("unique", False)),
        pattern=str(said.get("pattern", "")), format=str(said.get("format", "")),
    )  # fmt: skip


def _bound(name: str, key: str, said: Mapping[str, Any], kind: ColumnType, problems: list[str]) -> float | None:
    value = said.get(key)
    if value is None:
        return None
    if kind is ColumnType.DATE:
        found = dates.bound(value, end=key == "max_value")
        if found is None:
            problems.append(f"{name}.{key} is {value!r}; it is a date such as 2024-05-31")
        return found
    if not kind.numeric or not is_number(value):
        problems.append(f"{name}.{key} is {value!r}; it is a number, of a column of numbers")
        return None
    return float(value)


def _allowed(values: Iterable[Any], kind: ColumnType) -> tuple[Any, ...]:
    return tuple(float(value) if kind.numeric else str(value) for value in values)
