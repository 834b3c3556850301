"""Intervals at one look: Newcombe's own table, and scipy's tests."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.stats.intervals import Arm, fixed_interval, pooled_p_value, wilson

ALPHA = 0.05


@st.composite
def proportions(draw):
    n = draw(st.integers(200, 10**7))
    return Arm.of_successes(draw(st.integers(1, n - 1)), n)


# Newcombe (1998), table II, method 10: candidate minus stable is his p1 - p2.
@pytest.mark.parametrize(
    ("candidate", "stable", "lower", "upper"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0000),
        ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)
def test_newcombes_table(candidate, stable, lower, upper):
    found = fixed_interval(Arm.of_successes(*stable), Arm.of_successes(*candidate), 0.05)
    assert (found.lower, found.upper) == pytest.approx((lower, upper), abs=5.1e-5)


@given(st.integers(1, 10**5), st.floats(0, 1), st.floats(1e-6, 0.5))
def test_wilson_is_scipys(n, part, alpha):
    successes = round(part * n)
    theirs = stats.binomtest(successes, n).proportion_ci(1 - alpha, "wilson")
    assert wilson(successes / n, n, stats.norm.isf(alpha / 2)) == pytest.approx(tuple(theirs), rel=1e-6, abs=1e-9)


@given(proportions(), proportions())
def test_pooled_test_is_the_chi_square_of_the_table(stable, candidate):
    table = [[arm.successes, arm.n - arm.successes] for arm in (stable, candidate)]
    p_value = stats.chi2_contingency(table, correction=False).pvalue
    assert fixed_interval(stable, candidate, ALPHA).p_value == pytest.approx(p_value, rel=1e-6, abs=1e-300)


def test_arms_without_any_success_do_not_differ():
    assert pooled_p_value(0.0, 10, 0.0, 20) == 1.0


def test_welch_is_scipys():
    rng = np.random.default_rng(11)
    stable, candidate = rng.normal(0, 1, 12), rng.normal(0.5, 3, 40)
    theirs = stats.ttest_ind(candidate, stable, equal_var=False)
    arms = [Arm(each.size, each.mean(), each.var(ddof=1)) for each in (stable, candidate)]
    found = fixed_interval(*arms, ALPHA)
    assert found.p_value == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (found.lower, found.upper) == pytest.approx(tuple(theirs.confidence_interval(1 - ALPHA)), rel=1e-9)


def test_fixed_interval_without_variance_or_units_says_nothing():
    assert fixed_interval(Arm(5, 1.0, 0.0), Arm(5, 2.0, 0.0), ALPHA) is None
    assert fixed_interval(Arm(1, 1.0, 0.0), Arm(5, 2.0, 1.0), ALPHA) is None
