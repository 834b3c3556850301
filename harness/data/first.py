"""A first schema of a table, with room around what it holds, and the file that says so."""

import json
import math
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pandas as pd

from harness.data.dates import date_text
from harness.data.rule import Rule
from harness.data.schema import SCHEMA_VERSION, Column, ColumnRole, ColumnType, Schema
from harness.data.table import infer, typed
from harness.domain.quality import Severity

MISSING_WORDS: Final = frozenset({"?", "N/A", "NaN", "nan", "null", "NULL"})
"""Words that stand for a missing value wherever they occur; not NA, which is also a country and a continent."""
MOST_LISTED: Final = 60
"""A category of more values is not held to a list: it would refuse the next row."""
SLACK: Final = 0.25
"""Of the range of a column of numbers, left free at each end."""


def first_schema(
    frame: pd.DataFrame, target: str, needed: Iterable[str] = (), *, words_are_values: bool = False
) -> Schema:
    """What the table holds, with some room: its types, ranges, categories, and how much may be missing.

    A column names the rows, and is no feature, where it holds a text or a running number that is another in each row.
    One without any value is ignored.

    Args:
        frame: as `harness.data.table.read_table` reads it.
        target: the column to predict.
        needed: columns that are features whatever they look like.
        words_are_values: take ``?`` and its like for categories; else for missing values.
    """
    words = () if words_are_values else missing_words(frame)
    inferred = infer(_without(frame, words))
    values, _ = typed(frame, Schema(inferred.columns, missing=words))
    kept = frozenset(needed)
    columns = {name: _column(column, values[name], target, kept) for name, column in inferred.columns.items()}
    return Schema(columns, missing=words)


def missing_words(frame: pd.DataFrame) -> tuple[str, ...]:
    """The words of a table that stand for a missing value, as they are written in it, sorted."""
    texts = (frame[name] for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name]))
    found = {word for column in texts for word in column.unique().tolist() if isinstance(word, str)}
    return tuple(sorted(word for word in found if word.strip() in MISSING_WORDS))


def _without(frame: pd.DataFrame, words: tuple[str, ...]) -> pd.DataFrame:
    return frame.where(~frame.isin(words)) if words else frame


def _column(column: Column, values: "pd.Series[Any]", target: str, needed: frozenset[str]) -> Column:
    share = float(values.isna().mean())
    role = ColumnRole.TARGET if column.name == target else _role(column, values, needed)
    allowed, least, most = _bounds(column, values, role)
    nullable = share > 0 and role is not ColumnRole.TARGET
    return Column(
        column.name,
        column.type,
        role,
        allowed=allowed,
        least=least,
        most=most,
        nullable=nullable,
        max_missing=_room(share) if nullable else 1.0,
    )


def _role(column: Column, values: "pd.Series[Any]", needed: frozenset[str]) -> ColumnRole:
    if column.name in needed:
        return ColumnRole.FEATURE
    if not values.notna().any():
        return ColumnRole.IGNORED
    running = column.type is ColumnType.INTEGER and len(values) > 2 and bool((values.diff().iloc[1:] == 1).all())
    return ColumnRole.KEY if running else column.role


def _bounds(
    column: Column, values: "pd.Series[Any]", role: ColumnRole
) -> tuple[tuple[Any, ...], float | None, float | None]:
    """The values that may occur, or the least and the greatest number."""
    if role in (ColumnRole.KEY, ColumnRole.IGNORED):
        return (), None, None
    distinct = sorted(values.dropna().unique().tolist())
    if not column.type.numeric:
        return (tuple(distinct) if len(distinct) <= MOST_LISTED else ()), None, None
    if column.type is ColumnType.INTEGER and len(distinct) <= 2:
        return tuple(distinct), None, None
    least, most = _widened(distinct[0], distinct[-1])
    return (), *((math.floor(least), math.ceil(most)) if column.type is ColumnType.INTEGER else (least, most))


def _widened(least: float, most: float) -> tuple[float, float]:
    """A range with room at both ends, in round numbers; what was never negative stays so.

    >>> _widened(17.0, 90.0), _widened(3.8, 14.2), _widened(-3.0, -3.0)
    ((0.0, 110.0), (1.0, 17.0), (-3.8, -2.2))
    """
    span = (most - least) or abs(most) or 1.0
    low, high = least - SLACK * span, most + SLACK * span
    digits = 1 - math.floor(math.log10(span + 2 * SLACK * span))
    step = Decimal(1).scaleb(-digits)  # decimal: 19 steps of 1e5 are 1900000, not a neighbour of it
    low = float(math.floor(Decimal(low) / step) * step)
    high = float(math.ceil(Decimal(high) / step) * step)
    return (max(low, 0.0) if least >= 0 else low), high


def _room(share: float) -> float:
    """The share of missing values that is still well: twice what there is, and five points more at least.

    >>> _room(0.01), _room(0.2), _room(0.7)
    (0.06, 0.4, 1.0)
    """
    return min(1.0, math.ceil(round(100 * max(2 * share, share + 0.05), 6)) / 100)


# --- its file ---------------------------------------------------------------------------------------------------------


def schema_text(schema: Schema, about: str) -> str:
    """The schema as a file that `harness.data.schema.read_schema` reads.

    Args:
        schema: what to write.
        about: first comment: what it is the schema of.
    """
    lines = [f"# {line}" for line in about.splitlines()]
    lines += [f"schema: {SCHEMA_VERSION}", f"other_columns: {schema.others}   # refuse or ignore columns not listed"]
    if schema.missing:
        lines.append(f"missing: {_list(schema.missing)}   # words that stand for a missing value")
    lines.append("columns:")
    lines += [f"  {quoted(column.name)}: {{{', '.join(_said(column))}}}" for column in schema.columns.values()]
    return "\n".join([*lines, *_of_the_table(schema)]) + "\n"


def _of_the_table(schema: Schema) -> Iterable[str]:
    limits = {"min": schema.least_rows, "max": schema.most_rows}
    rows = [f"{key}: {value}" for key, value in limits.items() if value is not None]
    if rows:
        yield f"rows: {{{', '.join(rows)}}}"
    if schema.relations:
        yield "relations:"
        yield from (f"  - {_sentence(relation.text)}" for relation in schema.relations)
    if schema.quality:
        yield "quality:"
        yield from (f"  - {{{', '.join(_of_rule(rule))}}}" for rule in schema.quality)


def _sentence(text: str) -> str:
    """A relation for YAML: in quotes where it begins with one, or a part of it means something there."""
    plain = text[:1].isalpha() and ": " not in text and " #" not in text
    return text if plain else json.dumps(text, ensure_ascii=False)


def _of_rule(rule: Rule) -> Iterable[str]:
    yield f"check: {rule.check}"
    if rule.min_share:
        yield f"min_share: {100 * rule.min_share:g}%"
    if rule.severity is not Severity.CRITICAL:
        yield f"severity: {rule.severity}"


def _said(column: Column) -> Iterable[str]:
    yield f"type: {column.type}"
    if column.role is not ColumnRole.FEATURE:
        yield f"role: {column.role}"
    if column.allowed:
        yield f"allowed: {_list(column.allowed)}"
    written = date_text if column.type is ColumnType.DATE else _number
    if column.least is not None:
        yield f"min: {written(column.least)}"
    if column.most is not None:
        yield f"max: {written(column.most)}"
    if column.format:
        yield f"format: {json.dumps(column.format)}"
    if column.pattern:
        yield f"pattern: {json.dumps(column.pattern, ensure_ascii=False)}"
    if column.unique:
        yield "unique: true"
    if column.nullable:
        yield "nullable: true"
        if column.max_missing < 1:
            yield f"max_missing: {round(100 * column.max_missing)}%"


def _list(values: Iterable[Any]) -> str:
    return f"[{', '.join(quoted(value) if isinstance(value, str) else _number(value) for value in values)}]"


def _number(value: float) -> str:
    """Without an exponent: YAML 1.2 knows ``1e+16`` in some readers only.

    >>> _number(110.0), _number(0.125), _number(1e16)
    ('110', '0.125', '10000000000000000')
    """
    return str(int(value)) if float(value).is_integer() else np.format_float_positional(value)


_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_ ./-]*[A-Za-z0-9_]|[A-Za-z_]")
_WORDS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def quoted(text: str) -> str:
    """A text for YAML, in quotes where it could be read as anything else.

    >>> quoted("fixed acidity"), quoted("Yes"), quoted("1"), quoted("<=50K")
    ('fixed acidity', '"Yes"', '"1"', '"<=50K"')
    """
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)
