"""The study in benchmarks/ab_test.py, a slice of it; it checks its arrays against `confidence_sequence` as it goes."""

import pytest

from benchmarks import ab_test


@pytest.mark.parametrize("case", [ab_test.CASES[1], ab_test.CASES[3], ab_test.CASES[4]], ids=lambda case: case.name)
def test_the_study_holds_its_claims(case):
    runs = 300
    found = ab_test.measured(case, seed=7, runs=runs)
    assert found["false_sequential"] <= 24  # more than 24 of 300 come by chance in one study of a hundred, at .05
    assert found["false_naive"] > 75  # peeking at the fixed test finds what is not there
    assert found["power_fixed"] == pytest.approx(0.8, abs=0.08)
    assert found["power_by_plan"] < found["power_fixed"]
    assert found["power_by_horizon"] > 0.75
    assert 0.8 < found["stopped"] < 1.5


def test_a_mismatch_is_found_and_none_where_there_is_none():
    assert ab_test.mismatched(0.5, seed=7, runs=300)["sequential"] <= 24
    assert ab_test.mismatched(0.52, seed=7, runs=300)["sequential"] >= 295
