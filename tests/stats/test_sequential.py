"""Decisions under peeking: values of the papers' formulas, the mixture by quadrature, coverage by simulation."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from harness.stats.intervals import Arm, fixed_interval, pooled_p_value
from harness.stats.sequential import (
    MIN_RARER,
    confidence_sequence,
    log_likelihood_ratio,
    min_units,
    radius,
    robbins_boundary,
    tuned_ratio,
)

ALPHA = 0.05
LEVELS = st.floats(1e-6, 0.5)
SCALES = st.floats(1e-8, 1e4)
MEANS = st.floats(-1e3, 1e3)
COUNTS = st.integers(200, 10**7)


@st.composite
def proportions(draw):
    n = draw(COUNTS)
    return Arm.of_successes(draw(st.integers(MIN_RARER, n - MIN_RARER)), n)


def means():
    return st.builds(Arm, COUNTS, MEANS, SCALES)


PAIRS = st.one_of(st.tuples(proportions(), proportions()), st.tuples(means(), means()))


def test_msprt_of_johari_et_al():
    assert log_likelihood_ratio(0.003, 1e-6, 5e-4**2) == pytest.approx(0.7884282243428951, rel=1e-12)


def test_boundary_of_robbins():
    assert robbins_boundary(1e4, 100, 0.05) == pytest.approx(327.3018624234933, rel=1e-12)


@given(SCALES, SCALES, LEVELS)
def test_the_interval_is_the_boundary_of_robbins_in_intrinsic_time(variance, mixture, alpha):
    boundary = robbins_boundary(1 / variance, 1 / mixture, alpha)
    assert radius(variance, mixture, alpha) / variance == pytest.approx(boundary, rel=1e-9)


@given(st.integers(1, 10**6), st.floats(0.01, 100), st.floats(1e-3, 10), LEVELS)
def test_the_interval_is_that_of_waudby_smith_et_al(t, sigma, rho, alpha):
    """Theorem 2.2 as printed, of a mean of t units."""
    printed = sigma * math.sqrt(2 * (t * rho**2 + 1) / (t**2 * rho**2) * math.log(math.sqrt(t * rho**2 + 1) / alpha))
    assert radius(sigma**2 / t, (rho * sigma) ** 2, alpha) == pytest.approx(printed, rel=1e-9)


@pytest.mark.parametrize(("d", "variance", "mixture"), [(0.0, 1.0, 1.0), (1.5, 0.5, 2.0), (-3.0, 1.0, 0.1)])
def test_the_ratio_is_the_likelihood_averaged_over_the_prior(d, variance, mixture):
    def integrand(effect):
        likelihood = math.exp((effect * d - effect**2 / 2) / variance)
        return likelihood * stats.norm.pdf(effect, 0, math.sqrt(mixture))

    averaged, _ = integrate.quad(integrand, -30, 30, limit=200)
    assert math.exp(log_likelihood_ratio(d, variance, mixture)) == pytest.approx(averaged, rel=1e-7)


@pytest.mark.parametrize("ratio", [0.1, 1.0, 8.0])
def test_the_ratio_is_1_on_average_where_there_is_no_difference(ratio):
    def integrand(d):
        return math.exp(log_likelihood_ratio(d, 1.0, ratio) + stats.norm.logpdf(d))

    assert integrate.quad(integrand, -60, 60, limit=400)[0] == pytest.approx(1.0, rel=1e-7)


@given(SCALES, SCALES, LEVELS)
def test_at_the_end_of_the_interval_the_ratio_is_one_over_alpha(variance, mixture, alpha):
    end = radius(variance, mixture, alpha)
    assert log_likelihood_ratio(end, variance, mixture) == pytest.approx(-math.log(alpha), rel=1e-9)


@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.001, 1e-9])
@pytest.mark.parametrize("dimensions", [1, 2, 5])
def test_the_tuned_ratio_is_where_the_radius_is_least(alpha, dimensions):
    def squared(log_ratio):
        x = 1 + math.exp(log_ratio)
        return x / (x - 1) * (dimensions * math.log(x) + 2 * math.log(1 / alpha))

    least = optimize.minimize_scalar(squared, bounds=(-5, 8), method="bounded", options={"xatol": 1e-10})
    ratio = tuned_ratio(alpha, dimensions)
    assert ratio == pytest.approx(math.exp(least.x), rel=1e-4)
    assert squared(math.log(ratio)) == pytest.approx(dimensions * (1 + ratio), rel=1e-12)
    if dimensions == 1:
        assert radius(1.0, ratio, alpha) ** 2 == pytest.approx(squared(least.x), rel=1e-9)


def test_the_interval_is_tightest_at_the_size_it_was_tuned_to():
    arms = Arm(5000, 0.0, 2.0), Arm(5000, 0.1, 3.0)
    widths = {n: _width(*arms, n) for n in np.geomspace(1000, 100_000, 201)}
    assert min(widths, key=widths.get) == pytest.approx(10_000, rel=0.03)


def _width(stable, candidate, tuned_n, alpha=ALPHA):
    found = confidence_sequence(stable, candidate, alpha, tuned_n)
    return found.upper - found.lower


@given(PAIRS, LEVELS, COUNTS)
def test_the_interval_and_the_p_value_agree(pair, alpha, tuned_n):
    found = confidence_sequence(*pair, alpha, tuned_n)
    assume(abs(found.p_value / alpha - 1) > 1e-9)
    assert (found.p_value < alpha) == (not found.lower <= 0 <= found.upper)
    assert 0 <= found.p_value <= 1


@given(PAIRS, LEVELS, COUNTS, st.one_of(st.none(), st.floats(0.01, 0.99)))
def test_swapping_the_arms_turns_the_sign(pair, alpha, tuned_n, share):
    there = confidence_sequence(*pair, alpha, tuned_n, share=share)
    back = confidence_sequence(*pair[::-1], alpha, tuned_n, share=None if share is None else 1 - share)
    assert (back.estimate, back.lower, back.upper) == pytest.approx((-there.estimate, -there.upper, -there.lower))
    assert back.p_value == pytest.approx(there.p_value)


@given(means(), means(), st.floats(0.01, 100), MEANS)
def test_units_of_measure_do_not_matter(stable, candidate, scale, shift):
    def moved(arm):
        return Arm(arm.n, arm.mean * scale + shift, arm.variance * scale**2)

    before = confidence_sequence(stable, candidate, ALPHA, 10_000)
    after = confidence_sequence(moved(stable), moved(candidate), ALPHA, 10_000)
    rounding = 1e-10 * (abs(shift) + scale * 1e3)
    assert after.lower == pytest.approx(before.lower * scale, rel=1e-6, abs=rounding)
    assert after.upper == pytest.approx(before.upper * scale, rel=1e-6, abs=rounding)


@given(PAIRS, LEVELS, COUNTS)
def test_peeking_always_costs_width(pair, alpha, tuned_n):
    found = confidence_sequence(*pair, alpha, tuned_n)
    error = math.sqrt(sum(arm.variance / arm.n for arm in pair))
    assert found.upper - found.estimate > stats.norm.isf(alpha / 2) * error


@given(means(), means(), st.integers(2, 50))
def test_more_units_narrow_the_interval(stable, candidate, times):
    more = [Arm(arm.n * times, arm.mean, arm.variance) for arm in (stable, candidate)]
    assert _width(*more, 10_000) < _width(stable, candidate, 10_000)


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_greater_difference_has_a_lesser_p_value(first, second):
    small, great = sorted((first, second))
    p_values = [confidence_sequence(Arm(500, 0, 1), Arm(500, d, 1), ALPHA, 1000).p_value for d in (small, great)]
    assert p_values[0] >= p_values[1]


@pytest.mark.parametrize(
    "arm",
    [Arm(99, 0.5, 1.0), Arm(1000, 0.5, 0.0), Arm.of_successes(19, 1000), Arm.of_successes(981, 1000), Arm(0, 0, 0)],
)
def test_too_little_says_nothing(arm):
    other = Arm(10**6, 0.5, 0.25) if arm.successes is None else Arm.of_successes(500_000, 10**6)
    assert confidence_sequence(arm, other, ALPHA, 10**6) is None
    assert confidence_sequence(other, arm, ALPHA, 10**6) is None


def test_bad_input_names_its_value():
    arm = Arm(1000, 0.5, 0.25)
    with pytest.raises(ValueError, match=r"alpha is 5\.0"):
        confidence_sequence(arm, arm, 5.0, 1000)
    with pytest.raises(ValueError, match="tuned_n is 0"):
        confidence_sequence(arm, arm, ALPHA, 0)
    with pytest.raises(ValueError, match="share is 1"):
        confidence_sequence(arm, arm, ALPHA, 1000, share=1)
    with pytest.raises(ValueError, match="a proportion is compared with a mean"):
        fixed_interval(arm, Arm.of_successes(5, 10), ALPHA)
    with pytest.raises(ValueError, match="11 successes of 10"):
        Arm.of_successes(11, 10)
    with pytest.raises(ValueError, match="no sample"):
        Arm(10, math.nan, 1.0)


def _ever(stable_rate, candidate_rate, sizes, runs, seed, wrong, tuned_n, share=None):
    """Runs in which any look finds what ``wrong`` says of its difference. Sizes: new units of (stable, candidate)."""
    rng = np.random.default_rng(seed)
    n_stable, n_candidate = np.asarray(sizes).T
    stable = rng.binomial(n_stable, stable_rate, (runs, len(sizes))).cumsum(axis=1).tolist()
    candidate = rng.binomial(n_candidate, candidate_rate, (runs, len(sizes))).cumsum(axis=1).tolist()
    units = list(zip(n_stable.cumsum().tolist(), n_candidate.cumsum().tolist(), strict=True))
    hits = 0
    for x, y in zip(stable, candidate, strict=True):
        looks = (
            confidence_sequence(Arm.of_successes(a, n), Arm.of_successes(b, m), ALPHA, tuned_n, share=share)
            for a, b, (n, m) in zip(x, y, units, strict=True)
        )
        hits += any(found is not None and wrong(found) for found in looks)
    return hits


def _finds_a_difference(found):
    return found.p_value <= ALPHA


# Of 2,000 runs at level .05 more than 123 come by chance in one study of a hundred.
@pytest.mark.parametrize(("rate", "batch", "seed"), [(0.10, 400, 21), (0.01, 1500, 22)])
def test_false_positives_under_peeking_stay_below_the_level(rate, batch, seed):
    sizes = [(batch, batch)] * 50
    hits = _ever(rate, rate, sizes, 2000, seed, _finds_a_difference, tuned_n=100 * batch)
    assert 5 <= hits <= 123  # none at all would be no test


def test_false_positives_while_shares_change():
    sizes = [(3600, 400)] * 25 + [(2000, 2000)] * 25
    hits = _ever(0.02, 0.02, sizes, 1000, 23, _finds_a_difference, tuned_n=200_000, share=0.3)
    assert hits <= 66  # 1 in 100, at level .05


def test_false_positives_of_skewed_figures_in_unequal_arms():
    """Lognormal, log sd 1: skewness 6.18. Enough units first, then the level holds; a heavier tail needs more."""
    rng = np.random.default_rng(29)
    least = min_units((math.e + 2) * math.sqrt(math.e - 1))
    hits = 0
    for _ in range(500):
        arms = [_running(rng.lognormal(0, 1, n * 40), n) for n in (450, 50)]
        looks = (confidence_sequence(*pair, ALPHA, 4000, min_n=least) for pair in zip(*arms, strict=True))
        hits += any(found is not None and _finds_a_difference(found) for found in looks)
    assert hits <= 37  # 1 in 100, at level .05


def _running(units, batch):
    """An arm as it is at each look, after each batch of units."""
    return [Arm(n, units[:n].mean(), units[:n].var(ddof=1)) for n in range(batch, units.size + 1, batch)]


def test_a_proportion_is_held_to_about_the_same_as_other_skewed_figures():
    rate = 0.004
    skewness = (1 - 2 * rate) / math.sqrt(rate * (1 - rate))
    assert min_units(skewness) == pytest.approx(MIN_RARER / rate, rel=0.02)
    assert min_units(0.0) == 100


def test_false_positives_while_both_rates_move_alike():
    """A daily swing from 4 % to 16 % does no harm as long as units are split alike throughout."""
    rate = 0.1 + 0.06 * np.sin(np.arange(60) / 5)
    hits = _ever(rate, rate, [(700, 300)] * 60, 1000, 27, _finds_a_difference, tuned_n=60_000)
    assert hits <= 66


def test_shares_that_change_while_rates_move_deceive():
    """What the assumption rules out: arms pooled over such stretches differ although in each they do not (Simpson)."""
    rate = np.repeat([0.05, 0.10], 30)
    sizes = [(900, 100)] * 30 + [(500, 500)] * 30
    hits = _ever(rate, rate, sizes, 200, 28, _finds_a_difference, tuned_n=60_000, share=0.3)
    assert hits > 190


def test_a_true_difference_is_covered_at_all_looks_at_once():
    sizes = [(900, 100)] * 60
    missed = _ever(0.1, 0.13, sizes, 1000, 24, lambda at: not at.lower <= 0.03 <= at.upper, tuned_n=60_000)
    assert missed <= 66


def test_naive_test_looked_at_often_is_wrong_as_armitage_et_al_found():
    """Armitage, McPherson and Rowe (1969): .320 at 50 looks; what the decision above is needed for."""
    rng = np.random.default_rng(25)
    first, second = (rng.binomial(400, 0.1, (2000, 50)).cumsum(axis=1) for _ in range(2))
    n = 400 * np.arange(1, 51)
    p_values = pooled_p_value(first / n, n, second / n, n)
    assert (p_values <= 0.05).any(axis=1).mean() == pytest.approx(0.320, abs=0.03)


def test_exact_for_normal_outcomes_of_known_variance():
    """Over a long, dense Brownian motion the level is nearly used up, and kept (three deviations of 4,000 runs)."""
    rng = np.random.default_rng(26)
    times = np.geomspace(1e-3, 1e5, 800)
    walk = rng.normal(0, np.sqrt(np.diff(times, prepend=0.0)), (4000, 800)).cumsum(axis=1)
    ever = (np.abs(walk) >= robbins_boundary(times, 1.0, 0.1)).any(axis=1).mean()
    assert 0.06 < ever < 0.1 + 3 * math.sqrt(0.09 / 4000)
