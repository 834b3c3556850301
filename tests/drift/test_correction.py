"""Corrected p-values against scipy, brute force over subsets, and the levels they promise."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness import seeds
from harness.drift.correction import (
    CORRECTIONS,
    adjusted,
    benjamini_hochberg,
    bonferroni,
    expected_false_alarms,
    holm,
    windows_per_month,
)

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=7)


@given(P_VALUES)
def test_benjamini_hochberg_is_scipys(p_values):
    assert benjamini_hochberg(p_values) == pytest.approx(stats.false_discovery_control(p_values), rel=1e-12)


@given(P_VALUES)
def test_holm_is_the_closed_test_of_bonferroni(p_values):
    """A hypothesis is rejected where every set of hypotheses that holds it is, by Bonferroni (Marcus et al. 1976)."""
    places = range(len(p_values))
    sets = [set(each) for size in places for each in combinations(places, size + 1)]
    closed = [
        max(min(1.0, len(each) * min(p_values[i] for i in each)) for each in sets if place in each) for place in places
    ]
    assert holm(p_values) == pytest.approx(closed, rel=1e-12)


@given(P_VALUES)
def test_corrections_are_in_order_of_strictness(p_values):
    assert (np.array(p_values) <= benjamini_hochberg(p_values) + 1e-15).all()
    assert (benjamini_hochberg(p_values) <= holm(p_values) + 1e-15).all()
    assert (holm(p_values) <= bonferroni(p_values)).all()
    for correct in CORRECTIONS.values():
        order = np.argsort(p_values, kind="stable")
        assert (np.diff(correct(p_values)[order]) >= 0).all()


def test_holm_holds_its_level_where_some_hypotheses_are_false():
    p_values = seeds.stream(4, "p-values").generator().random((4000, 10))
    p_values[:, :3] = 0.0
    named = np.mean([(holm(each)[3:] <= 0.05).any() for each in p_values])
    assert named == pytest.approx(0.05, abs=0.012)


def test_by_name():
    assert adjusted([0.01, 0.5]).tolist() == holm([0.01, 0.5]).tolist()
    assert adjusted([]).tolist() == []
    with pytest.raises(ValueError, match="'sidak'; there are benjamini_hochberg, bonferroni, holm"):
        adjusted([0.1], "sidak")
    with pytest.raises(ValueError, match="from 0 to 1"):
        holm([1.2])
    with pytest.raises(ValueError, match="from 0 to 1"):
        holm([float("nan")])


def test_false_alarms_of_a_month():
    told = expected_false_alarms(0.01, windows_per_month(window_s=24 * 3600))
    assert told.expected_per_month == pytest.approx(0.3)
    assert told.chance_per_month == pytest.approx(1 - 0.99**30)
    assert told.windows_between == pytest.approx(100)
    assert expected_false_alarms(0.0, 30).windows_between == float("inf")
    for wrong in ((-0.1, 30), (0.1, -1)):
        with pytest.raises(ValueError, match=r"not|cannot"):
            expected_false_alarms(*wrong)
    with pytest.raises(ValueError, match="lasts some time"):
        windows_per_month(0)
