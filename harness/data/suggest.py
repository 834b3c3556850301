"""A schema that a table itself suggests: types, ranges, categories, and what is plain of keys, dates and relations."""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from typing import Any, Final

import numpy as np
import pandas as pd

from harness.data.dates import seconds_of_words
from harness.data.first import first_schema
from harness.data.relate import Relation
from harness.data.relation import parse
from harness.data.rule import Check, Rule
from harness.data.schema import Column, ColumnRole, ColumnType, Schema
from harness.data.table import dates, typed
from harness.data.validate import Held, validate_frame

FORMS: Final = ("", "%d.%m.%Y", "%Y/%m/%d", "%d/%m/%Y", "%m/%d/%Y")
"""How dates are written that are taken for such; the first that fits all values."""
DATE_LIKE: Final = re.compile(r"\d{4}-\d\d-\d\d.*|\d{1,4}[./]\d{1,2}[./]\d{1,4}")
FEW: Final = 20
"""Fewer values suggest nothing."""
MOST_RELATIONS: Final = 5
MOST_RUNS: Final = 8
"""Pieces of a pattern."""
KEY_LIKE: Final = re.compile(r"(^|[_ -])(id|key|uuid)$|[a-z](Id|ID|Key)$", re.IGNORECASE)
NO_CONSTANT: Final = (ColumnType.DATE, ColumnType.BOOLEAN)
LONG_WORDS: Final = 30
"""Letters on average, of a column of free words."""


def suggested(frame: pd.DataFrame, target: str = "") -> Schema:
    """A first schema that the table itself passes, with room around what it holds.

    Args:
        frame: as `harness.data.table.read_table` reads it.
        target: the column to predict; empty where there is none.
    """
    schema = first_schema(frame, target)
    values, _ = typed(frame, schema)
    columns = {name: _closer(column, values[name]) for name, column in schema.columns.items()}
    schema = replace(schema, columns=columns)
    values, _ = typed(frame, schema)
    rows = len(frame)
    whole = replace(
        schema,
        least_rows=max(1, rows // 2),
        most_rows=rows * 10,
        relations=tuple(_relations(values, schema))[:MOST_RELATIONS],
        quality=tuple(_quality(values, target)),
    )
    broken = {failure.kind for failure in validate_frame(frame, Held(whole, target=target)).failures}
    return replace(whole, quality=tuple(rule for rule in whole.quality if rule.check.value not in broken))


def _closer(column: Column, values: "pd.Series[Any]") -> Column:
    """What the values of a column suggest beyond its range or list."""
    there = values.dropna()
    if column.role is ColumnRole.TARGET or column.role is ColumnRole.IGNORED or not len(there):
        return column
    unique = len(there) > FEW and bool(there.is_unique)
    if column.type.numeric:
        key = unique and column.type is ColumnType.INTEGER and KEY_LIKE.search(column.name) and not column.nullable
        return replace(column, role=ColumnRole.KEY, least=None, most=None) if key else column
    words = [str(word) for word in there.unique()]
    form = _form(words)
    if form is not None:
        return replace(column, type=ColumnType.DATE, role=ColumnRole.FEATURE, format=form, allowed=())
    if {word.lower() for word in words} <= {"true", "false"}:
        return replace(column, type=ColumnType.BOOLEAN, allowed=())
    if column.allowed or len(words) < FEW:
        return column
    if sum(map(len, words)) > LONG_WORDS * len(words) and all(" " in word for word in words[:FEW]):
        return replace(column, type=ColumnType.TEXT, role=ColumnRole.FEATURE)
    return replace(column, pattern=shape(words))


def _form(words: list[str]) -> str | None:
    """How all of the words are written as dates; None where they are none."""
    if not all(DATE_LIKE.fullmatch(word) for word in words):
        return None
    return next((form for form in FORMS if not np.isnan(seconds_of_words(words, form)).any()), None)


def shape(words: list[str]) -> str:
    """A pattern that all words match, where they are built alike; else empty.

    >>> shape(["7590-VHVEG", "5575-GNVDE"]), shape(["ab1", "c"])
    ('[0-9]{4}-[A-Z]{5}', '')
    """
    runs = [[(_class(match[0][0]), len(match[0])) for match in _RUNS.finditer(word)] for word in words]
    kinds = [kind for kind, _ in runs[0]]
    if len(kinds) > MOST_RUNS or len(kinds) < 2 or any([kind for kind, _ in each] != kinds for each in runs):
        return ""
    made = ""
    for place, kind in enumerate(kinds):
        lengths = {each[place][1] for each in runs}
        least, most = min(lengths), max(lengths)
        times = "" if (least, most) == (1, 1) else f"{{{least}}}" if least == most else f"{{{least},{most}}}"
        made += kind + times
    return made


_RUNS: Final = re.compile(r"[0-9]+|[A-Z]+|[a-z]+|(.)\1*", re.DOTALL)


def _class(letter: str) -> str:
    for kind in ("[0-9]", "[A-Z]", "[a-z]"):
        if re.fullmatch(kind, letter):
            return kind
    return letter if letter in "-_ /:@#" else re.escape(letter)


# --- relations --------------------------------------------------------------------------------------------------------


def _relations(values: pd.DataFrame, schema: Schema) -> Iterator[Relation]:
    """What holds in every row and is hardly by chance."""
    kinds = {name: column.type.kind for name, column in schema.columns.items()}
    for text in (*_absences(values, schema), *_orders(values, schema)):
        yield Relation(text, parse(text, kinds))


def _absences(values: pd.DataFrame, schema: Schema) -> Iterator[str]:
    """Values that are missing just where another column has one certain value."""
    for name in values.columns:
        gone = values[name].isna()
        if not 0 < gone.sum() < len(values):
            continue
        for other in values.columns:
            if other == name or other not in schema.columns or schema.columns[other].type in NO_CONSTANT:
                continue
            there = values.loc[gone, other].unique()
            if len(there) != 1 or pd.isna(there[0]) or "'" in str(there[0]):
                continue
            if bool(((values[other] == there[0]) == gone).all()):
                yield f"if {_quoted(other)} == {_constant(there[0])} then {_quoted(name)} is missing"
                break


def _orders(values: pd.DataFrame, schema: Schema) -> Iterator[str]:
    """Pairs of one kind, of names that have a word in common (or of dates), one never below the other."""
    numbers = {
        name: dates(values[name], column) if column.type is ColumnType.DATE else values[name].to_numpy()
        for name, column in schema.columns.items()
        if name in values and (column.type.numeric or column.type is ColumnType.DATE)
        and column.role is ColumnRole.FEATURE and values[name].nunique() > FEW
    }  # fmt: skip
    for high, low in permutations(numbers, 2):
        kinds = {schema.columns[name].type is ColumnType.DATE for name in (high, low)}
        if len(kinds) > 1 or (kinds == {False} and not _akin(high, low)):
            continue
        both = ~(np.isnan(numbers[high]) | np.isnan(numbers[low]))
        a, b = numbers[high][both], numbers[low][both]
        if len(a) > FEW and (a >= b).all() and (a > b).any() and a.min() < b.max():
            yield f"{_quoted(high)} >= {_quoted(low)}"


def _akin(one: str, other: str) -> bool:
    words = (set(re.findall(r"[a-z]{3,}", re.sub(r"([A-Z])", r" \1", name).lower())) for name in (one, other))
    return bool(next(words) & next(words))


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[^\W\d]\w*", name) else f"`{name}`"


def _constant(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else f"{value:g}"


def _quality(values: pd.DataFrame, target: str) -> Iterator[Rule]:
    yield Rule(Check.DUPLICATES)
    yield Rule(Check.CONSTANT)
    if target:
        yield Rule(Check.LEAKAGE)
        shares = values[target].value_counts(normalize=True)
        labels = len(shares) == 2 or not pd.api.types.is_numeric_dtype(values[target])  # more numbers: a regression
        if labels and 2 <= len(shares) <= FEW:
            yield Rule(Check.BALANCE, min_share=float(f"{shares.min() / 2:.2g}"))
