"""Power and sample size: published values, exact enumeration, simulation, and each function as another's inverse."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.stats.power import (
    Sizes,
    means_effect,
    means_power,
    means_sizes,
    proportions_effect,
    proportions_power,
    proportions_sizes,
    sequential_sizes,
)
from harness.stats.sequential import radius, tuned_ratio

RATES = st.floats(0.01, 0.99)
LEVELS = st.floats(0.001, 0.2)
POWERS = st.floats(0.5, 0.99)
RATIOS = st.floats(0.1, 10)
SIDES = st.sampled_from([1, 2])
EFFECTS = st.floats(0.1, 3)


def test_proportions_as_r_gives_them():
    """From the help of R's power.prop.test."""
    assert proportions_power(0.50, 0.75, 50, 50) == pytest.approx(0.740, abs=5e-4)
    assert proportions_power(0.50, 0.75, 76.7, 76.7) == pytest.approx(0.90, abs=5e-4)
    assert proportions_sizes(0.50, 0.75, power=0.90) == Sizes(77, 77)


def test_means_as_r_gives_them():
    """From the output of the examples of R's power.t.test."""
    assert means_power(1, 1, 20, 20) == pytest.approx(0.8689528, abs=5e-7)
    assert means_power(1, 1, 22.02110, 22.02110) == pytest.approx(0.90, abs=1e-6)
    assert means_power(1, 1, 17.84713, 17.84713, sides=1) == pytest.approx(0.90, abs=1e-6)


@pytest.mark.parametrize(("effect", "n"), [(0.2, 394), (0.5, 64), (0.8, 26)])
def test_sizes_of_cohens_small_medium_and_large_effects(effect, n):
    """Cohen (1988) at .05 and 80 %; he gives 393 of a small one, by interpolation; exactly it is 393.4."""
    assert means_sizes(effect, 1.0) == Sizes(n, n)


def test_size_by_the_closed_form_in_fleiss():
    pooled, stable, candidate = 0.325, 0.25, 0.40
    root = 1.959964 * math.sqrt(2 * pooled * (1 - pooled)) + 1.281552 * math.sqrt(0.25 * 0.75 + 0.40 * 0.60)
    assert proportions_sizes(stable, candidate, power=0.9).stable == math.ceil((root / 0.15) ** 2) == 203


@pytest.mark.parametrize(
    ("stable", "candidate", "n_stable", "n_candidate"),
    [(0.5, 0.75, 77, 77), (0.1, 0.2, 200, 200), (0.1, 0.2, 400, 150)],
)
def test_power_of_proportions_against_enumeration(stable, candidate, n_stable, n_candidate):
    """The test's own rejections, each pair of counts with its binomial probability."""
    x, y = np.arange(n_stable + 1)[:, None], np.arange(n_candidate + 1)
    pooled = (x + y) / (n_stable + n_candidate)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n_stable + 1 / n_candidate))
    rejected = np.abs(y / n_candidate - x / n_stable) > stats.norm.isf(0.025) * error
    chance = stats.binom.pmf(x, n_stable, stable) * stats.binom.pmf(y, n_candidate, candidate)
    exact = float((chance * rejected).sum())
    assert proportions_power(stable, candidate, n_stable, n_candidate) == pytest.approx(exact, abs=0.02)


@given(st.floats(0.01, 6), st.integers(3, 5000), LEVELS)
@settings(deadline=None)
def test_equal_arms_have_the_power_of_students_test(away, n, alpha):
    """scipy's noncentral t for one side, and its noncentral F (the square) for two."""
    freedom, effect = 2 * n - 2, away * math.sqrt(2 / n)
    one = stats.nct.sf(stats.t.isf(alpha, freedom), freedom, away)
    two = stats.ncf.sf(stats.f.isf(alpha, 1, freedom), 1, freedom, away**2)
    assert means_power(effect, 1.0, n, n, alpha, sides=1) == pytest.approx(one, rel=1e-7)
    assert means_power(effect, 1.0, n, n, alpha) == pytest.approx(two, rel=1e-6)


def test_power_of_unequal_arms_against_simulation():
    rng = np.random.default_rng(41)
    stable, candidate = rng.normal(0, 1, (20_000, 15)), rng.normal(1.5, 3, (20_000, 60))
    rejected = stats.ttest_ind(candidate, stable, axis=1, equal_var=False).pvalue <= 0.05
    found = means_power(1.5, 1, 15, 60, sd_candidate=3)
    assert found == pytest.approx(rejected.mean(), abs=4 * math.sqrt(0.25 / 20_000))


@given(RATES, RATES, LEVELS, POWERS, RATIOS, SIDES)
def test_sizes_of_proportions_reach_the_power_and_no_fewer_do(stable, candidate, alpha, power, ratio, sides):
    if abs(stable - candidate) < 0.005:
        return
    sizes = proportions_sizes(stable, candidate, alpha, power, ratio, sides)
    assert proportions_power(stable, candidate, sizes.stable, sizes.stable * ratio, alpha, sides) >= power - 1e-9
    if sizes.stable > 2:  # two sides have the power of the tail on the effect's side, and the other's little more
        fewer = sizes.stable - 1
        assert proportions_power(stable, candidate, fewer, fewer * ratio, alpha / sides, sides=1) < power


@given(EFFECTS, EFFECTS, EFFECTS, LEVELS, POWERS, st.sampled_from([0.25, 1.0, 3.0]), SIDES)
@settings(deadline=None, max_examples=50)
def test_sizes_of_means_are_the_fewest(effect, sd, own, alpha, power, ratio, sides):
    sizes = means_sizes(effect, sd, alpha, power, ratio, sides, own)
    assert means_power(effect, sd, sizes.stable, sizes.candidate, alpha, sides, own) >= power
    fewer = sizes.stable - 1, max(2, math.ceil((sizes.stable - 1) * ratio - 1e-9))
    if fewer[0] >= 2:
        assert means_power(effect, sd, *fewer, alpha, sides, own) < power


@given(RATES, st.integers(100, 10**6), st.integers(100, 10**6), POWERS, SIDES, st.booleans())
def test_effect_of_proportions_is_the_inverse_of_power(stable, n_stable, n_candidate, power, sides, fall):
    try:
        effect = proportions_effect(stable, n_stable, n_candidate, 0.05, power, sides, fall=fall)
    except ValueError:
        far = proportions_power(stable, 0.0 if fall else 1.0, n_stable, n_candidate, 0.05, sides)
        assert far < power
        return
    assert (effect < 0) == fall
    reached = proportions_power(stable, stable + effect, n_stable, n_candidate, 0.05, sides)
    assert reached == pytest.approx(power, abs=1e-6)


@given(EFFECTS, st.integers(5, 10**5), st.integers(5, 10**5), POWERS, SIDES)
@settings(deadline=None, max_examples=50)
def test_effect_of_means_is_the_inverse_of_power(sd, n_stable, n_candidate, power, sides):
    effect = means_effect(sd, n_stable, n_candidate, 0.05, power, sides)
    assert means_power(effect, sd, n_stable, n_candidate, 0.05, sides) == pytest.approx(power, abs=1e-6)


@given(RATES, RATES, st.integers(10, 10**5), st.integers(10, 10**5), LEVELS, SIDES)
def test_power_of_proportions_is_symmetric(stable, candidate, n, m, alpha, sides):
    found = proportions_power(stable, candidate, n, m, alpha, sides)
    assert proportions_power(candidate, stable, m, n, alpha, sides) == pytest.approx(found, abs=1e-9)
    assert proportions_power(1 - stable, 1 - candidate, n, m, alpha, sides) == pytest.approx(found, abs=1e-9)


@given(RATES, st.integers(10, 10**5), st.integers(10, 10**5), LEVELS, SIDES)
@settings(deadline=None)
def test_without_an_effect_the_power_is_the_level(rate, n, m, alpha, sides):
    assert proportions_power(rate, rate, n, m, alpha, sides) == pytest.approx(alpha, rel=1e-9)
    assert means_power(0.0, 1.0, n, m, alpha, sides) == pytest.approx(alpha, rel=1e-6)


@given(EFFECTS, st.integers(5, 1000), st.integers(1, 1000), LEVELS)
@settings(deadline=None)
def test_more_units_have_more_power_and_one_side_more_than_two(effect, n, more, alpha):
    found = means_power(effect, 1.0, n, n, alpha)
    assert means_power(effect, 1.0, n + more, n, alpha) >= found - 0.05  # Welch's freedom may fall, in small samples
    assert means_power(effect, 1.0, n + more, n + more, alpha) >= found - 1e-12
    assert means_power(effect, 1.0, n, n, alpha, sides=1) >= found - 1e-12


@pytest.mark.parametrize(("alpha", "power"), [(0.05, 0.8), (0.01, 0.9)])
def test_sequential_sizes_reach_the_power_under_peeking(alpha, power):
    """A Brownian motion with the drift for which the fixed test has that power at time 1, looked at up to the end."""
    end = sequential_sizes(Sizes(10**6, 10**6), alpha, power).total / 2e6
    drift = stats.norm.isf(alpha / 2) + stats.norm.ppf(power)
    times = np.linspace(0, end, 61)[1:]
    rng = np.random.default_rng(42)
    steps = rng.normal(drift * end / 60, math.sqrt(end / 60), (10_000, 60)).cumsum(axis=1)
    half = radius(1 / times, tuned_ratio(alpha) / end, alpha)
    decided = np.abs(steps / times) >= half
    assert decided[:, -1].mean() == pytest.approx(power, abs=0.015)  # by the last look alone
    assert power < decided.any(axis=1).mean() < power + 0.1


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: proportions_power(1.2, 0.5, 10, 10), "proportion of stable is 1.2"),
        (lambda: proportions_power(0.2, 0.5, 10, 10, sides=3), "sides is 3"),
        (lambda: proportions_sizes(0.2, 0.2), "difference of nought"),
        (lambda: proportions_sizes(0.2, 0.3, power=1.0), "power is 1.0"),
        (lambda: proportions_sizes(0.2, 0.3, ratio=0), "ratio is 0"),
        (lambda: proportions_sizes(0.2, 0.3, alpha=0), "alpha is 0"),
        (lambda: proportions_effect(0.9, 5, 5), "find no rise from 0.9"),
        (lambda: proportions_effect(0.05, 50, 50, fall=True), "find no fall from 0.05"),
        (lambda: means_sizes(0, 1), "effect is 0"),
        (lambda: means_power(1, 0, 10, 10), "deviations are 0 and 0"),
        (lambda: means_power(1, 1, 1, 10), "2 or more in each arm"),
    ],
)
def test_bad_input_names_its_value(call, told):
    with pytest.raises(ValueError, match=told):
        call()
