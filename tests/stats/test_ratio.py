"""Sample ratio mismatch: against scipy's distributions, as a martingale by enumeration, under peeking by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, special, stats

from harness.stats.ratio import Stretch, concentration_for, log_e_values, mismatch, sequential_mismatch

PRIORS = st.floats(0.5, 1e6)


@st.composite
def stretches(draw, most=10**6):
    raw = draw(st.lists(st.integers(1, 100), min_size=2, max_size=5))
    counts = draw(st.lists(st.integers(0, most), min_size=len(raw), max_size=len(raw)))
    return Stretch(tuple(counts), tuple(weight / sum(raw) for weight in raw))


def test_value_of_lindon_and_malek():
    """x = (30, 170), w = .1, k = 100; the value is ln E."""
    x1, x0, w, k = 30, 170, 0.1, 100
    formula = special.betaln(k * w + x1, k * (1 - w) + x0) - special.betaln(k * w, k * (1 - w))
    formula -= x1 * math.log(w) + x0 * math.log(1 - w)
    found = sequential_mismatch([Stretch((170, 30), (0.9, 0.1))], 100)
    assert found.evidence == pytest.approx(1.0142234758950472, rel=1e-12)
    assert found.evidence == pytest.approx(formula, rel=1e-12)
    assert found.p_value == pytest.approx(math.exp(-1.0142234758950472), rel=1e-12)


@given(stretches(most=10**4), PRIORS)
def test_it_is_the_dirichlet_multinomial_over_the_multinomial(stretch, k):
    n, shares = sum(stretch.counts), np.array(stretch.shares)
    above = stats.dirichlet_multinomial.logpmf(stretch.counts, k * shares, n)
    below = stats.multinomial.logpmf(stretch.counts, n, shares)
    assert sequential_mismatch([stretch], k).evidence == pytest.approx(above - below, rel=1e-6, abs=1e-4)


def test_it_is_the_likelihood_averaged_over_the_prior():
    a, b, w, k = 12, 20, 0.25, 8.0

    def integrand(p):
        return stats.beta.pdf(p, k * w, k * (1 - w)) * (p / w) ** a * ((1 - p) / (1 - w)) ** b

    found = sequential_mismatch([Stretch((a, b), (w, 1 - w))], k)
    assert math.exp(found.evidence) == pytest.approx(integrate.quad(integrand, 0, 1)[0], rel=1e-8)


@given(stretches(most=1000), st.floats(0.5, 1e4))
def test_it_is_a_martingale_where_shares_are_kept(stretch, k):
    """The next unit leaves E as it is, on average."""
    counts, shares = np.array(stretch.counts, float), np.array(stretch.shares)
    after = log_e_values(counts + np.eye(counts.size), shares, k)
    assert special.logsumexp(after, b=shares) == pytest.approx(float(log_e_values(counts, shares, k)), abs=1e-7)


@given(st.lists(stretches(), min_size=1, max_size=4), PRIORS)
def test_stretches_multiply(parts, k):
    together = sequential_mismatch(parts, k).evidence
    alone = [sequential_mismatch([part], k).evidence for part in parts]
    assert together == pytest.approx(math.fsum(alone), rel=1e-9, abs=1e-9)


@given(stretches(), PRIORS)
def test_the_order_of_arms_does_not_matter(stretch, k):
    turned = Stretch(stretch.counts[::-1], stretch.shares[::-1])
    there, back = sequential_mismatch([stretch], k), sequential_mismatch([turned], k)
    assert there.evidence == pytest.approx(back.evidence, rel=1e-9, abs=1e-6)
    assert mismatch(stretch).evidence == pytest.approx(mismatch(turned).evidence, rel=1e-9)


@given(stretches(), PRIORS)
def test_an_arm_without_traffic_does_not_count(stretch, k):
    wider = Stretch((*stretch.counts, 0), (*stretch.shares, 0.0))
    assert sequential_mismatch([wider], k) == sequential_mismatch([stretch], k)
    assert mismatch(wider) == mismatch(stretch)


def test_units_where_none_can_be_are_a_mismatch():
    wrong = Stretch((100, 1), (1.0, 0.0))
    assert mismatch(wrong).p_value == sequential_mismatch([Stretch((5, 5), (0.5, 0.5)), wrong], 100).p_value == 0.0


def test_nothing_seen_says_nothing():
    assert mismatch(Stretch((0, 0), (0.5, 0.5))).p_value == 1.0
    assert mismatch(Stretch((9, 0), (1.0, 0.0))).p_value == 1.0
    assert sequential_mismatch([Stretch((0, 0), (0.5, 0.5))], 100).p_value == 1.0
    assert sequential_mismatch([], 100).p_value == 1.0


@given(stretches().filter(lambda stretch: sum(stretch.counts) > 0))
def test_chi_square_is_scipys(stretch):
    n = sum(stretch.counts)
    theirs = stats.chisquare(stretch.counts, np.array(stretch.shares) * n)
    found = mismatch(stretch)
    assert (found.evidence, found.p_value) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-7, abs=1e-12)


@given(st.integers(1000, 10**6), st.floats(1e-4, 0.2))
def test_a_wider_mismatch_is_stronger_evidence(n, off):
    def evidence(by):
        candidate = round(n * (0.5 + by))
        return sequential_mismatch([Stretch((n - candidate, candidate), (0.5, 0.5))], 1000).evidence

    assert evidence(off) <= evidence(2 * off)


@pytest.mark.parametrize(("n", "alpha", "share"), [(20_000, 0.001, 0.5), (100_000, 0.05, 0.1), (5000, 0.01, 0.3)])
def test_the_tuned_concentration_finds_the_least_mismatch(n, alpha, share):
    """No other concentration reaches 1/alpha with fewer surplus units, to within 2 %."""

    def least_surplus(k):
        surplus = np.arange(0, n // 8)
        counts = np.stack([n * (1 - share) - surplus, n * share + surplus], axis=-1)
        log_e = log_e_values(counts, np.array([1 - share, share]), k)
        return int(np.argmax(log_e >= -math.log(alpha)))

    tuned = concentration_for(n, alpha)
    best = min(least_surplus(k) for k in np.geomspace(tuned / 30, tuned * 30, 121))
    assert best <= least_surplus(tuned) <= 1.02 * best + 1
    assert least_surplus(tuned * 20) > 1.1 * best


def test_under_peeking_at_every_unit_the_level_holds():
    """Exact: looked at after each of 2,000 units, whose shares change on the way, in 2,000 runs."""
    rng = np.random.default_rng(31)
    log_e = np.zeros((2000, 1))
    path = []
    for share in (0.1, 0.5):
        candidate = (rng.random((2000, 1000)) < share).cumsum(axis=1)
        counts = np.stack([np.arange(1, 1001) - candidate, candidate], axis=-1).astype(float)
        path.append(log_e + log_e_values(counts, np.array([1 - share, share]), 100))
        log_e = path[-1][:, -1:]
    hits = int((np.concatenate(path, axis=1) >= -math.log(0.05)).any(axis=1).sum())
    assert 5 <= hits <= 123  # more than 123 of 2,000 come by chance in one study of a hundred


def test_a_real_mismatch_is_found():
    """51 % instead of 50 %, of 100,000 units: six deviations."""
    found = sequential_mismatch([Stretch((49_000, 51_000), (0.5, 0.5))], concentration_for(100_000, 0.001))
    assert found.p_value < 1e-6


@pytest.mark.parametrize(
    ("counts", "shares", "told"),
    [
        ((1, 2), (0.5, 0.6), "sum to 1, not to 1.1"),
        ((1, 2), (1.0,), "2 counts and 1 shares"),
        ((1, -2), (0.5, 0.5), "none may be negative"),
        ((1, 2), (1.5, -0.5), "0 or more"),
        ((1, 2), (math.nan, 0.5), "0 or more"),
    ],
)
def test_bad_input_names_its_value(counts, shares, told):
    with pytest.raises(ValueError, match=told):
        Stretch(counts, shares)


def test_a_concentration_is_a_number_of_units():
    with pytest.raises(ValueError, match="concentration is 0"):
        sequential_mismatch([], 0)
    with pytest.raises(ValueError, match="tuned_n is 0"):
        concentration_for(0, 0.05)
