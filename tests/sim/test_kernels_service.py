"""Service times from a table: the moments and the distribution of the law, from one draw."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.domain.service import Exponential, Fixed, Lognormal, Profile
from harness.errors import InputError
from harness.sim.bits import bucket, compiled, mix
from harness.sim.laws import moments
from harness.sim.service import DIGITS, PIECES, service_ns, table_of
from harness.stats.histogram import BIAS, SHIFT, bucket_of


@compiled
def _sample(table, first, out):
    for index in range(out.size):
        out[index] = service_ns(table, 0, mix(first + np.uint64(index)))


@compiled
def _buckets(durations, out):
    for index in range(out.size):
        out[index] = bucket(durations[index])


def sample(law, count):
    out = np.zeros(count)
    _sample(table_of(law).reshape(-1).copy(), np.uint64(77), out)
    return out / 1e9


def table_moments(law):
    """Mean and second moment of the table, exactly: each piece is a straight line between its edges."""
    edge = ((np.arange(PIECES + 1) + BIAS) << SHIFT).view(np.float64)
    value, slope = table_of(law).T / 1e9
    low, high = value + slope * edge[:-1], value + slope * edge[1:]
    share = np.diff(edge) * 2.0**-DIGITS
    return float(share @ (low + high) / 2), float(share @ (low * low + low * high + high * high) / 3)


LOGNORMALS = st.builds(
    lambda median, ratio: Lognormal(median, median * ratio), st.floats(1e-6, 10), st.floats(1.0, 60.0)
)


@settings(deadline=None)
@given(law=st.one_of(LOGNORMALS, st.builds(Exponential, st.floats(1e-6, 10)), st.builds(Fixed, st.floats(1e-6, 10))))
def test_the_table_keeps_the_mean_and_the_second_moment(law):
    mean, second = table_moments(law)
    assert (mean, second) == pytest.approx(moments(law), rel=1e-5)


@settings(deadline=None)
@given(law=LOGNORMALS)
def test_no_service_time_is_negative_and_more_survive_a_shorter_one(law):
    edge = ((np.arange(PIECES + 1) + BIAS) << SHIFT).view(np.float64)
    value, slope = table_of(law).T
    assert (slope <= 0).all()
    assert (value + slope * edge[1:]).min() >= -1e-6


@pytest.mark.parametrize(
    ("law", "distribution"),
    [
        (Exponential(0.02), stats.expon(scale=0.02)),
        (Lognormal(0.03, 0.12), stats.lognorm(np.log(4) / stats.norm.ppf(0.99), scale=0.03)),
    ],
)
def test_draws_follow_the_law(law, distribution):
    drawn = sample(law, 1_000_000)
    assert stats.kstest(drawn, distribution.cdf).pvalue > 1e-3
    assert np.quantile(drawn, 0.99) == pytest.approx(distribution.ppf(0.99), rel=0.01)
    assert np.quantile(drawn, 0.9999) == pytest.approx(distribution.ppf(0.9999), rel=0.05)


def rising(shares, seconds):
    inner = sorted(zip(sorted(shares), sorted(seconds[1:-1]), strict=False))
    return Profile(((0.0, min(seconds)), *inner, (1.0, max(seconds))))


PROFILES = st.builds(
    rising, st.lists(st.floats(0.01, 0.9999), max_size=6), st.lists(st.floats(1e-6, 10), min_size=2, max_size=9)
)


@settings(deadline=None)
@given(law=PROFILES)
def test_a_measured_table_keeps_its_mean(law):
    """To 0.5 %: where two straight lines meet inside a piece, one line is laid through both."""
    mean, second = table_moments(law)
    expected = moments(law)
    assert mean == pytest.approx(expected[0], rel=5e-3)
    assert second == pytest.approx(expected[1], rel=1e-2)


def test_draws_follow_a_measured_table():
    law = Profile(((0.0, 0.001), (0.5, 0.004), (0.9, 0.012), (0.99, 0.05), (0.9999, 0.4), (1.0, 1.0)))
    drawn = sample(law, 1_000_000)
    shares, seconds = np.array(law.quantiles).T
    assert stats.kstest(drawn, lambda times: np.interp(times, seconds, shares)).pvalue > 1e-3
    for share, longest in law.quantiles[1:-1]:
        error = np.sqrt(share * (1 - share) / drawn.size)
        assert np.mean(drawn <= longest) == pytest.approx(share, abs=4 * error)
    assert 0.001 <= drawn.min() < drawn.max() <= 1.0
    assert drawn.mean() == pytest.approx(moments(law)[0], rel=0.005)


def test_a_fixed_time_is_exact():
    assert set(np.rint(sample(Fixed(0.025), 1000) * 1e9).tolist()) == {25_000_000}


@pytest.mark.parametrize(
    "law",
    [
        Fixed(-1.0), Exponential(-0.1), Lognormal(0.0, 1.0), Lognormal(0.2, 0.1), Profile(()), Profile(((0.0, 1.0),)),
        Profile(((0.0, 0.2), (1.0, 0.1))), Profile(((0.1, 0.1), (1.0, 0.2))), Profile(((0.0, -0.1), (1.0, 0.1))),
    ],
)  # fmt: skip
def test_laws_that_are_none_are_refused(law):
    with pytest.raises(InputError, match="is no service time"):
        table_of(law)


@settings(deadline=None)
@given(durations=st.lists(st.integers(0, 2**62), min_size=1, max_size=50))
def test_kernels_fill_the_buckets_of_the_histogram(durations):
    found = np.zeros(len(durations), np.int64)
    _buckets(np.array(durations, np.int64), found)
    assert found.tolist() == bucket_of(durations).tolist()


def test_hashed_counters_are_even_and_independent():
    """Each bit is set half of the time, whatever bit of the counter changed."""
    counters = np.arange(1 << 16, dtype=np.uint64)
    words = np.array([int(mix(counter)) for counter in counters[:4096]], np.uint64)
    ones = np.array([((words >> np.uint64(bit)) & np.uint64(1)).mean() for bit in range(64)])
    assert abs(ones - 0.5).max() < 4.5 * 0.5 / 64
