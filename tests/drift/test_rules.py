"""Domain rules: read to a tree, computed as numpy and pandas do, exact over chunks, never run as Python."""

import contextlib
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.drift import rules, tally
from harness.drift.rules import DriftRuleError, parse
from harness.errors import InputError

TABLE = pd.DataFrame(
    {
        "plan": ["a", "b", "b", np.nan, "c d", "b"],
        "age": [10.0, 20.0, 30.0, 40.0, np.nan, 60.0],
    }
)


def value(text: str, table: pd.DataFrame = TABLE) -> float | None:
    (judged,) = tally.of([parse(text)], table, table).rules
    return judged.value


def passed(text: str, current: pd.DataFrame, reference: pd.DataFrame = TABLE) -> bool:
    (judged,) = tally.of([parse(text)], reference, current).rules
    return judged.passed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mean(age) < 1", 32.0),
        ("sd(age) < 1", float(TABLE.age.std())),
        ("median(age) < 1", 30.0),
        ("min(age) < 1", 10.0),
        ("max(age) < 1", 60.0),
        ("missing(age) < 1", 1 / 6),
        ("missing(plan) < 1", 1 / 6),
        ("distinct(plan) < 1", 3.0),
        ("rows() < 1", 6.0),
        ("quantile(age, 0.9) < 1", float(np.quantile([10, 20, 30, 40, 60], 0.9))),
        ("share(plan == b) < 1", 3 / 5),
        ("share(plan != b) < 1", 2 / 5),
        ("share(plan in (a, 'c d')) < 1", 2 / 5),
        ("share(age >= 30) < 1", 3 / 5),
        ("share(not age >= 30) < 1", 2 / 5),
        ("share(plan == b and age > 25) < 1", 2 / 4),
        ("share(plan == a or (plan == b and not age > 25)) < 1", 2 / 4),
    ],
)
def test_figures_are_those_of_the_rows_that_have_a_value(text: str, expected: float) -> None:
    assert value(text) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("mean(age) <= 32", True),
        ("mean(age) < 32", False),
        ("share(plan == b) <= 60%", True),
        ("share(plan == b) > 60%", False),
        ("mean(age) within 10% of reference", True),
        ("mean(age) >= reference * 1.1", False),
        ("mean(age) <= reference + 1", True),
        ("mean(age) <= reference - 1", False),
        ("max(age) == reference", True),
        ("min(age) > -5", True),
        ("max(age) <= 1e2", True),
    ],
)
def test_bounds(text: str, holds: bool) -> None:
    assert passed(text, TABLE) is holds


def test_within_is_of_the_reference_and_reaches_both_ways() -> None:
    for factor, holds in ((0.89, False), (0.91, True), (1.09, True), (1.11, False)):
        assert passed("mean(age) within 10% of reference", TABLE.assign(age=TABLE.age * factor)) is holds


def test_what_cannot_be_computed_is_broken() -> None:
    empty = TABLE.assign(age=np.nan)
    assert not passed("max(age) <= 100", empty)
    assert not passed("mean(age) within 10% of reference", TABLE, empty)
    (judged,) = tally.of([parse("max(age) <= 100")], TABLE, empty).rules
    assert judged.value is None
    assert "no row has a value" in judged.bound


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a rule begins with one of"),
        ("meen(age) < 3", "did you mean mean?"),
        ("mean(age < 3", "closing bracket"),
        ("mean(age)", "a comparison stands here"),
        ("mean(age) <", "the bound stands here"),
        ("mean(age) = 3", "write =="),
        ("mean(age) < 3 and max(age) < 5", "write two rules"),
        ("share(age) < 3", "a comparison stands here"),
        ("quantile(age) < 3", "a quantile has a level"),
        ("quantile(age, 7) < 3", "from 0 to 1"),
        ("mean('age) < 3", "never closed"),
        ("mean(age) within 10%", "`of reference`"),
        ("mean(age) within -10% of reference", "never negative"),
        ("max(age) <= 1e999", "so large a number"),
        ("__import__('os').system('true')", "means nothing"),
        ("mean(age) < 3; x", "means nothing"),
        ("share(" + "(" * 40 + "age > 1" + ")" * 40 + ") < 1", "deep"),
        ("mean(" + "a" * 1000 + ") < 1", "at most 1000 characters"),
    ],
)
def test_what_is_no_rule_is_told_with_its_place(text: str, said: str) -> None:
    with pytest.raises(DriftRuleError) as raised:
        parse(text)
    assert said in str(raised.value)
    assert isinstance(raised.value, InputError)


def test_columns_that_are_not_there_or_of_another_kind_are_told_all_at_once() -> None:
    given = [parse("mean(agee) < 1"), parse("max(plan) < 1"), parse("share(plan == a and colour == red) < 1")]
    with pytest.raises(DriftRuleError) as raised:
        rules.check(given, ["age"], ["plan"])
    told = str(raised.value)
    assert "did you mean age?" in told
    assert "plan holds categories, which have no max" in told
    assert "'colour'" in told
    unlike = [parse("share(age == old) < 1"), parse("share(not (plan > 3)) < 1"), parse("share(age in (1, x)) < 1")]
    with pytest.raises(DriftRuleError) as raised:
        rules.check(unlike, ["age"], ["plan"])
    for said in ("age holds numbers, and 'old' is none", "neither above nor below 3", "and 'x' is none"):
        assert said in str(raised.value)
    rules.check([parse("share(age == '3' or plan > '2024' or plan in (1, 2)) < 1")], ["age"], ["plan"])
    rules.check([parse("share(plan == a) < 1"), parse("missing(plan) < 1"), parse("max(age) < 9")], ["age"], ["plan"])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=2, max_size=60),
    st.integers(1, 20),
    st.sampled_from(["mean", "sd", "median", "min", "max", "missing", "distinct"]),
)
def test_chunks_change_nothing(values: list[Any], size: int, measure: str) -> None:
    table = pd.DataFrame({"x": np.array([np.nan if each is None else each for each in values])})
    made = tally.tallies([parse(f"{measure}(x) < 1")])
    (one,) = made.values()
    for start in range(0, len(table), size):
        one.take(table.iloc[start : start + size])
    whole = value(f"{measure}(x) < 1", table)
    assert one.value == (None if whole is None else pytest.approx(whole, rel=1e-9, abs=1e-6))
    if table.x.notna().sum() > 1 and measure in {"mean", "sd", "median", "min", "max"}:
        expected = {"sd": "std"}.get(measure, measure)
        assert whole == pytest.approx(getattr(table.x, expected)(), rel=1e-9, abs=1e-6)


@given(st.text(max_size=60))
def test_any_text_is_a_rule_or_told_to_be_none(text: str) -> None:
    with contextlib.suppress(DriftRuleError):
        assert parse(text).text == text
