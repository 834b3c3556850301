"""Relations: what can be written, what it means on rows, and what is told of one that cannot be read."""

import operator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.relate import Relation, broken
from harness.data.relation import DEEPEST, Kind, RelationError, columns_of, parse

KINDS = {
    "a": Kind.NUMBER,
    "b": Kind.NUMBER,
    "start": Kind.DATE,
    "end": Kind.DATE,
    "word": Kind.TEXT,
    "on": Kind.TRUTH,
    "hours-per-week": Kind.NUMBER,
    "not so": Kind.TEXT,
}
NAN = np.nan


def rows(**columns: list[Any]) -> dict[str, Any]:
    kinds = {name: np.float64 if KINDS[name] in (Kind.NUMBER, Kind.DATE) else object for name in columns}
    return {name: np.array(values, dtype=kinds[name]) for name, values in columns.items()}


def breaks(text: str, tolerance: float = 0.0, **columns: list[Any]) -> list[int]:
    made = rows(**columns)
    tree = parse(text, KINDS)
    return np.flatnonzero(broken(Relation(text, tree, tolerance), made, len(next(iter(made.values()))))).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a >= b", [1]),
        ("a > b", [0, 1]),
        ("not a < b", [1]),
        ("a == b", [1, 2]),
        ("a != b or a == 1", []),
        ("a + 1 >= b * 2 - 1", [1]),
        ("-a <= -(b)", [1]),
        ("a / (b - 1) >= 0", []),  # by nothing: unknown
        ("a >= b and a >= 3", [0, 1, 3]),
        ("if a == 3 then b is missing", [2]),
        ("a is not missing", [4]),
        ("a in [1, 2]", [2]),
        ("a not in [1, 2, -3]", [0, 1, 3]),
        ("if a is missing then b is missing", []),
        ("true", []),
        ("if b is missing then a == 1", []),
    ],
)
def test_what_relations_mean(text: str, expected: list[int]) -> None:
    # Row 3 has no b, row 4 has neither: what depends on them is unknown, and breaks nothing.
    assert breaks(text, a=[1, 1, 3, 1, NAN], b=[1, 2, 2, NAN, NAN]) == expected


def test_dates_words_and_truths() -> None:
    days = {"start": [0.0, 10.0, NAN], "end": [5.0, 9.0, 3.0]}
    assert breaks("end >= start", **days) == [1]
    assert breaks("end - start <= 4", **days) == [0]
    assert breaks("end > start + 4", **days) == [1]
    assert breaks("start >= '1970-01-06'", **days) == [0]
    assert breaks("word == 'x'", word=["x", "y", NAN]) == [1]
    assert breaks('`not so` in ["x", "z"]', **{"not so": ["x", "y", NAN]}) == [1]
    assert breaks("if on then word is missing", on=[True, False, NAN], word=["x", "x", "x"]) == [0]
    assert breaks("on == true", on=[True, False, NAN]) == [1]


def test_what_differs_by_no_more_than_the_tolerance_is_alike() -> None:
    values = {"a": [1.0, 1.0, 1.0], "b": [1.005, 1.02, 0.98]}
    assert breaks("a == b", 0.01, **values) == [1, 2]
    assert breaks("a >= b", 0.01, **values) == [1]
    assert breaks("a != b", 0.01, **values) == [0]


OPERATORS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "==": operator.eq}
NUMBERS = st.lists(st.integers(-3, 3) | st.none(), min_size=5, max_size=5)


@given(
    NUMBERS,
    NUMBERS,
    st.sampled_from(list(OPERATORS)),
    st.sampled_from(list(OPERATORS)),
    st.sampled_from(["and", "or", "if"]),
)
def test_rows_by_row_as_sql_has_it(a: list[Any], b: list[Any], one: str, other: str, word: str) -> None:
    """Three-valued logic against a table of truths, a row at a time."""
    text = f"if a {one} b then b {other} 1" if word == "if" else f"a {one} b {word} b {other} 1"
    found = breaks(text, a=[NAN if x is None else x for x in a], b=[NAN if x is None else x for x in b])
    expected = []
    for row, (x, y) in enumerate(zip(a, b, strict=True)):
        left = None if x is None or y is None else OPERATORS[one](x, y)
        right = None if y is None else OPERATORS[other](y, 1)
        left = left if word != "if" or left is None else not left
        values = (left, right)
        false = False in values if word == "and" else values == (False, False)
        expected += [row] * false
    assert found == expected


@pytest.mark.parametrize(
    ("text", "message", "offset"),
    [
        ("a >= c", "there is no column 'c'", 5),
        ("strat <= end", "there is no column 'strat'; did you mean start?", 0),
        ("hours > 3", "names with other signs stand in backquotes: `hours-per-week`", 0),
        ("a", "a number alone says nothing", 0),
        ("a >=", "a value is expected here, not 'the end'", 4),
        ("a >= b b", "'b' is not expected here", 7),
        ("a >= word", "a number cannot be compared with a text", 2),
        ("word >= 'x'", "a text has no order", 5),
        ("word + 1 == 2", "'+' cannot join a text and a number", 5),
        ("start * 2 > end", "'*' joins numbers alone", 6),
        ("-word == 'x'", "'-' stands before a number", 0),
        ("1 is missing", "only a column can be missing", 2),
        ("a in [1, 'x']", "a list for a number holds such values alone", 9),
        ("a in [1 2]", "']' is expected here, not '2'", 8),
        ("if a > 1 b > 2", "'then' is expected here, not 'b'", 9),
        ("a not b", "'in' is expected after 'not'", 6),
        ("a > 1 and b", "a number alone says nothing", 10),
        ("a ; b", "';' means nothing in a relation", 2),
        ("__import__('os')", "there is no column '__import__'", 0),
        ("start > 'soon'", "a date cannot be compared with a text", 6),
        ("(" * 40 + "a", f"is nested more than {DEEPEST} deep", DEEPEST + 1),
        ("a > " + "1 + " * 200 + "1", "a relation has at most 500", 0),
    ],
)
def test_what_is_no_relation_is_told_with_its_place(text: str, message: str, offset: int) -> None:
    with pytest.raises(RelationError) as caught:
        parse(text, KINDS)
    assert message in str(caught.value)
    assert caught.value.offset == offset


def test_its_columns_are_known() -> None:
    assert columns_of(parse("if not a > b then end is missing and a in [1]", KINDS)) == ("a", "b", "end")


@given(st.text(alphabet="ab()'<>=+-*/ ntoifrdhemsg[],.19`", max_size=60))
def test_any_text_is_a_relation_or_is_told(text: str) -> None:
    found: Any = None
    try:
        found = parse(text, KINDS).kind
    except RelationError as error:
        found = error.offset
    assert found is Kind.TRUTH or 0 <= found <= len(text)
