"""Which columns drifted: the right ones, and at most as many false alarms as the level allows."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from harness import seeds
from harness.drift.decide import Decision, decide
from harness.drift.reference import Reference

DATA = Path(__file__).parents[2] / "scenarios" / "data"
NAN = float("nan")


def normal(stream, rows, columns=50):
    return {f"x{place:02d}": values for place, values in enumerate(stream.normal(size=(columns, rows)))}


def table(name):
    with gzip.open(DATA / name, "rt") as file:
        rows = list(csv.reader(file))
    columns = {}
    for place, column in enumerate(rows[0]):
        values = [row[place] for row in rows[1:]]
        try:
            columns[column] = np.array(values, dtype=np.float64)
        except ValueError:
            columns[column] = np.array([None if value == "?" else value for value in values], dtype=object)
    return columns


def cut(columns, rows):
    return {name: values[rows] for name, values in columns.items()}


def test_the_level_holds_and_shifts_are_found_and_named():
    """Sixty pairs of fifty columns and 500 rows: the whole of it, with more rows, is benchmarks/drift_power.py."""
    false_alarms, found = 0, 0
    for pair in range(60):
        stream = seeds.stream(pair, "pairs").generator()
        reference, current = normal(stream, 500), normal(stream, 500)
        fitted = Reference.fit(reference)
        false_alarms += bool(decide(fitted, current).drifted)
        current["x07"] = current["x07"] + 0.5
        found += decide(fitted, current).drifted[:1] == ("x07",)
    assert false_alarms <= 3
    assert found == 60


def test_adult_cut_at_random_has_not_drifted():
    adult = table("adult.csv.gz")
    for seed in range(3):
        order = seeds.stream(seed, "halves").generator().permutation(len(adult["age"]))
        told = decide(cut(adult, order[:6000]), cut(adult, order[6000:9000]))
        assert told.drifted == ()
        assert len(told.columns) == 15
        assert told.tests == 18  # three columns have missing values, whose rate is tested as well


def test_adult_cut_by_occupation_names_occupation_first():
    adult = table("adult.csv.gz")
    craft = adult["occupation"] == "Craft-repair"
    told = decide(cut(adult, ~craft), cut(adult, craft))
    columns = {each.column: each for each in told.columns}
    assert told.drifted[0] == "occupation"
    assert {"sex", "education", "hours-per-week", "workclass"} <= set(told.drifted)
    assert not columns["fnlwgt"].figures.jensen_shannon > 0.05
    assert columns["sex"].figures.jensen_shannon > 0.15


def test_missing_values_alone_are_drift_of_a_column():
    stream = seeds.stream(1, "missing").generator()
    reference, current = normal(stream, 1000, 3), normal(stream, 1000, 3)
    current["x01"][:30] = NAN
    told = decide(reference, current)
    assert told.drifted == ("x01",)
    assert (told.columns[1].test, told.tests) == ("missing_values", 4)
    assert told.columns[1].adjusted_p_value == pytest.approx(4 * told.columns[1].p_value)


def test_a_column_in_which_nothing_can_differ_is_no_test():
    still = {"a": np.array(["x"] * 50), "b": np.array([None] * 50, dtype=object)}
    told = decide(still, still)
    assert [each.test for each in told.columns] == ["none", "none"]
    assert (told.tests, told.drifted) == (0, ())


def test_the_correction_is_by_name_and_columns_of_one_side_are_left_out():
    stream = seeds.stream(2, "names").generator()
    reference, current = normal(stream, 200, 4), normal(stream, 200, 3)
    current["new"] = current["x00"]
    told = decide(reference, current, alpha=0.05, correction="bonferroni")
    assert told.left_out == ("x03", "new")
    assert [each.adjusted_p_value for each in told.columns] == [min(1, 3 * each.p_value) for each in told.columns]
    with pytest.raises(ValueError, match="no correction is called 'none'"):
        decide(reference, current, correction="none")
    with pytest.raises(ValueError, match="no column in common"):
        decide(reference, {"other": current["new"]})


def test_the_strongest_comes_first_also_where_chances_are_nought():
    """Far shifts have p-values of 0 exactly; then the larger distance leads."""
    reference = {name: np.linspace(0, 1, 20_000) for name in "abc"}
    told = decide(
        reference, {name: reference[name] + shift for name, shift in zip("abc", (0.6, 0.9, 0.3), strict=True)}
    )
    assert isinstance(told, Decision)
    assert told.drifted == ("b", "a", "c")
    assert [each.figures.cvm_p_value for each in told.columns] == [None] * 3


def test_the_change_of_the_electricity_market_is_found_in_its_week_and_not_before():
    """Weeks of half hours against the first 8,400; three columns stood still until row 17,424."""
    market = table("electricity.csv.gz")
    still = {name: market[name] for name in ("vicprice", "vicdemand", "transfer", "period")}
    fitted = Reference.fit(cut(still, slice(0, 8_400)))
    named = {
        end: set(decide(fitted, cut(still, slice(end - 336, end))).drifted) for end in (16_800, 17_136, 17_472, 17_808)
    }
    assert named == {
        16_800: set(),
        17_136: set(),
        17_472: {"vicdemand", "transfer"},  # 48 rows of it are after the change
        17_808: {"vicprice", "vicdemand", "transfer"},
    }


def test_categories_of_few_rows_can_alarm_among_a_thousand_columns():
    """A level of 0.01 / 1,001 is below the least p-value of 49,999 permutations."""
    before = np.repeat(["a", "b", "c"], [900, 60, 40]).astype(object)
    now = np.repeat(["a", "c"], [100, 40]).astype(object)
    still = {f"still {place}": np.tile([0.0, 1.0], 10) for place in range(1000)}
    found = decide({"kind": before, **still}, {"kind": now, **still})
    assert found.tests == 1001
    assert found.drifted == ("kind",)
    assert found.columns[0].test == "chi_square_permuted"
