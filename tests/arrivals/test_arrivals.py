"""Arrivals: the same however time is cut, as many and as far apart as the curve says."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness import arrivals
from harness.arrivals import curve
from harness.domain.traffic import Knots, Process, Traffic, Wave
from harness.domain.units import MINUTE, SECOND
from harness.errors import InputError
from harness.seeds import stream

RNG = stream(4, "arrivals")

STEADY = Knots((0,), (500.0,))
RAMP = Knots((0, 60 * SECOND), (0.0, 1000.0))
STEPS = Knots((0, 30 * SECOND, 30 * SECOND, 60 * SECOND, 60 * SECOND), (100.0, 100.0, 900.0, 900.0, 300.0))
BURSTS = Knots((0, 2 * SECOND, 2 * SECOND, 10 * SECOND), (3000.0, 3000.0, 0.0, 0.0), repeat_ns=10 * SECOND)
DAILY = Wave(low_per_s=50.0, high_per_s=900.0, period_ns=40 * SECOND, phase_ns=7 * SECOND)
LULL = Knots((0, 20 * SECOND, 30 * SECOND, 50 * SECOND), (500.0, 0.0, 0.0, 500.0))
SHAPES = [STEADY, RAMP, STEPS, BURSTS, DAILY, LULL]


def process(shape, kind=Process.POISSON):
    return arrivals.of(Traffic("", kind, shape))


def exact_rate(shape, at_ns):
    """The rate straight from the definitions in `harness.domain.traffic`."""
    if isinstance(shape, Wave):
        turn = 2 * np.pi * (at_ns + shape.phase_ns) / shape.period_ns
        return shape.low_per_s + (shape.high_per_s - shape.low_per_s) * (1 + np.cos(turn)) / 2
    at_ns = at_ns % shape.repeat_ns if shape.repeat_ns else at_ns
    return np.interp(at_ns, shape.at_ns, shape.rate_per_s)


# --- any cut gives the same -------------------------------------------------------------------------------------------

KNOTS = st.lists(st.tuples(st.integers(0, 5 * SECOND), st.sampled_from([0.0, 1.0, 40.0, 5000.0])), max_size=5).map(
    lambda some: Knots(
        (0, *np.cumsum([gap for gap, _ in some]).astype(int).tolist()), (700.0, *[rate for _, rate in some])
    )
)
REPEATED = st.builds(
    lambda knots, more: Knots(knots.at_ns, knots.rate_per_s, knots.at_ns[-1] + more), KNOTS, st.integers(1, 5 * SECOND)
)
CURVES = st.one_of(KNOTS, REPEATED, st.just(DAILY), st.builds(Wave, st.just(0.0), st.just(800.0), st.just(SECOND)))


@settings(deadline=None, max_examples=150)
@given(shape=CURVES, kind=st.sampled_from(Process), cuts=st.sets(st.integers(0, 30 * SECOND), max_size=12))
def test_any_cut_gives_the_same_times(shape, kind, cuts):
    source = process(shape, kind)
    whole = source.times(0, 30 * SECOND, RNG)
    edges = [0, *sorted(cuts), 30 * SECOND]
    parts = [source.times(start, stop, RNG) for start, stop in pairwise(edges)]
    assert np.array_equal(np.concatenate(parts), whole)
    reader = arrivals.Reader(source, RNG)
    assert np.array_equal(np.concatenate([reader.until(stop) for stop in edges]), whole)
    assert (np.diff(whole) >= 0).all()
    assert not whole.size or 0 <= whole[0] <= whole[-1] < 30 * SECOND


@settings(deadline=None, max_examples=100)
@given(shape=CURVES, place=st.floats(0, 1), before=st.booleans())
def test_a_cut_at_an_arrival_puts_it_after_the_cut(shape, place, before):
    source = process(shape)
    whole = source.times(0, 20 * SECOND, RNG)
    if whole.size:
        cut = int(whole[int(place * (whole.size - 1))]) + (0 if before else 1)
        first, second = source.times(0, cut, RNG), source.times(cut, 20 * SECOND, RNG)
        assert np.array_equal(np.concatenate([first, second]), whole)
        assert (first < cut).all()
        assert (second >= cut).all()


def test_windows_that_are_none_hold_nothing():
    source = process(STEADY)
    assert source.times(5, 5, RNG).size == source.times(9, 5, RNG).size == source.times(-20, -10, RNG).size == 0
    assert np.array_equal(source.times(-SECOND, SECOND, RNG), source.times(0, SECOND, RNG))


# --- as many as the curve says ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_expected_count_is_the_integral_of_the_rate(shape):
    law = curve.of(shape)
    grid = np.linspace(0, 2 * MINUTE, 1_200_001)
    steps = (exact_rate(shape, grid[:-1]) + exact_rate(shape, grid[1:])) / 2 * np.diff(grid) / SECOND
    assert law.expected(2 * MINUTE) == pytest.approx(steps.sum(), rel=2e-5)
    middles = (grid[:-1:999] + 50).astype(np.int64)
    assert law.rate_per_s(middles) == pytest.approx(exact_rate(shape, middles), rel=1e-4, abs=1e-2)


@pytest.mark.parametrize("shape", SHAPES)
def test_when_is_the_inverse_of_expected(shape):
    law = curve.of(shape)
    count = np.linspace(0.5, float(law.expected(5 * MINUTE)), 50_001)[:-1]
    at_ns = law.when(count)
    assert (np.diff(at_ns) >= 0).all()
    # Rounded down to a whole nanosecond, so short by less than the rate of one.
    np.testing.assert_allclose(law.expected(at_ns), count, atol=1e-5, rtol=1e-12)
    assert (law.expected(at_ns + 2) >= count - 1e-5).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_poisson_counts_have_the_mean_and_the_variance_of_the_curve(shape):
    law, source = curve.of(shape), process(shape)
    edges = np.arange(0, 10 * MINUTE + 1, 5 * SECOND)
    counts = np.histogram(source.times(0, 10 * MINUTE, RNG), edges)[0]
    expected = np.diff(law.expected(edges))
    assert counts[expected == 0].sum() == 0
    some = expected > 0
    chi2 = ((counts[some] - expected[some]) ** 2 / expected[some]).sum()
    assert 1e-3 < stats.chi2.sf(chi2, some.sum()) < 1 - 1e-3


@pytest.mark.parametrize("shape", SHAPES)
def test_poisson_gaps_are_exponential_in_the_expected_count(shape):
    """The time-change theorem: what the curve expects between neighbours is exponential with mean one."""
    times = process(shape).times(0, 10 * MINUTE, RNG)
    gaps = np.diff(curve.of(shape).expected(times))
    assert stats.kstest(gaps, "expon").pvalue > 1e-3
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 4 / np.sqrt(gaps.size)


def test_poisson_cells_vary_in_their_counts():
    """A cell of 8192 expected arrivals must not always hold 8192."""
    counts = np.histogram(process(Knots((0,), (8192.0,))).times(0, 400 * SECOND, RNG), np.arange(401) * SECOND)[0]
    assert counts.var() == pytest.approx(8192, rel=0.3)


@pytest.mark.parametrize("shape", SHAPES)
def test_constant_arrivals_are_evenly_spread(shape):
    law, source = curve.of(shape), process(shape, Process.CONSTANT)
    times = source.times(0, 5 * MINUTE, RNG)
    assert abs(times.size - float(law.expected(5 * MINUTE))) <= 0.5 + 1e-6
    np.testing.assert_allclose(law.expected(times), np.arange(times.size) + 0.5, atol=1e-5, rtol=1e-12)


def test_constant_arrivals_of_a_steady_rate():
    times = process(Knots((0,), (100.0,)), Process.CONSTANT).times(SECOND, 2 * SECOND, RNG)
    assert times.size == 100
    assert np.diff(times).tolist() == [10_000_000] * 99


def test_no_arrivals_where_the_rate_is_zero():
    times = process(BURSTS).times(0, MINUTE, RNG)
    assert times.size > 0
    assert (times % (10 * SECOND) < 2 * SECOND).all()
    lull = process(LULL).times(0, MINUTE, RNG)
    assert not ((lull > 20 * SECOND) & (lull < 30 * SECOND)).any()


@pytest.mark.parametrize("repeat", [None, SECOND])
def test_no_rate_no_arrivals(repeat):
    for kind in Process:
        source = process(Knots((0,), (0.0,), repeat), kind)
        assert source.times(0, 1000 * MINUTE, RNG).size == 0
        assert arrivals.Reader(source, RNG).until(1000 * MINUTE).size == 0


def test_traffic_may_end():
    source = process(Knots((0, 10 * SECOND, 10 * SECOND), (300.0, 300.0, 0.0)))
    times = source.times(0, 1000 * MINUTE, RNG)
    assert 2700 < times.size < 3300
    assert times[-1] < 10 * SECOND
    assert source.times(20 * SECOND, 30 * SECOND, RNG).size == 0


def test_streams_differ():
    source = process(STEADY)
    assert not np.array_equal(source.times(0, SECOND, RNG), source.times(0, SECOND, stream(5, "arrivals")))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (Knots((1,), (1.0,)), "from time 0 on"),
        (Knots((0, 1), (1.0,)), "2 times and 1 rates"),
        (Knots((), ()), "0 times"),
        (Knots((0, 5, 3), (1.0, 1.0, 1.0)), "fall"),
        (Knots((0,), (-1.0,)), "at least 0/s"),
        (Knots((0,), (float("nan"),)), "at least 0/s"),
        (Knots((0, 9), (1.0, 1.0), 5), "repeats after 5 ns"),
        (Wave(1.0, 2.0, 0), "must be positive"),
    ],
)
def test_curves_that_are_none_are_refused(shape, message):
    with pytest.raises(InputError, match=message):
        curve.of(shape)
