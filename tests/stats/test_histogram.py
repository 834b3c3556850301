"""Quantiles within the promised error, merges exact, the bits as the kernels take them."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.stats.histogram import BUCKETS, REPRESENTATIVE_NS, Histogram, bucket_of

DURATIONS = st.lists(st.one_of(st.integers(0, 300), st.integers(0, 10**12), st.integers(0, 2**62)), max_size=200)
SHARES = st.floats(0, 1)


@given(DURATIONS.filter(bool), SHARES)
def test_quantile_is_within_one_percent_of_the_ranked_value(durations, q):
    exact = sorted(durations)[max(1, math.ceil(q * len(durations) * (1 - 1e-12))) - 1]
    found = Histogram.of(durations).quantile(q)
    assert abs(found - exact) <= 0.0079 * exact + 1e-6


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=200), SHARES)
def test_quantile_agrees_with_numpy(durations, q):
    """numpy's own nearest rank, give or take the neighbour that rounding of q * n may choose."""
    low = np.quantile(durations, max(0.0, q - 1e-9), method="inverted_cdf")
    high = np.quantile(durations, min(1.0, q + 1e-9), method="inverted_cdf")
    found = Histogram.of(durations).quantile(q)
    assert low * 0.992 - 1e-6 <= found <= high * 1.008 + 1e-6


@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_buckets_rise_with_the_duration(first, second):
    low, high = sorted((first, second))
    assert 0 <= bucket_of(low) <= bucket_of(high) < BUCKETS


@given(st.integers(0, 2**62))
def test_representative_is_within_one_percent(duration):
    assert abs(REPRESENTATIVE_NS[bucket_of(duration)] - duration) <= 0.0079 * duration


@given(st.integers(0, 126))
def test_short_durations_are_exact(duration):
    assert REPRESENTATIVE_NS[bucket_of(duration)] == duration


@given(DURATIONS, DURATIONS, DURATIONS)
def test_merge_is_exact_commutative_and_associative(first, second, third):
    one, two, three = map(Histogram.of, (first, second, third))
    whole = Histogram.of(first + second + third)
    assert (one + two) + three == one + (two + three) == three + two + one == whole
    assert Histogram.merge([one, two, three]) == whole
    assert hash((one + two) + three) == hash(whole)


@given(DURATIONS.filter(bool))
def test_count_sum_and_mean_are_exact(durations):
    histogram = Histogram.of(durations)
    assert (histogram.count, histogram.sum_ns) == (len(durations), sum(durations))
    assert histogram.mean_s == sum(durations) / len(durations) / 1e9


@given(DURATIONS)
def test_export_survives_json(durations):
    histogram = Histogram.of(durations)
    assert Histogram.from_dict(json.loads(json.dumps(histogram.to_dict()))) == histogram


def test_a_sum_beyond_int64_is_exact():
    assert Histogram.of([2**62 + 1] * 9).sum_ns == 9 * (2**62 + 1)


def test_nothing_counted_has_no_figures():
    with pytest.raises(ValueError, match="no quantiles"):
        Histogram().quantile(0.5)
    with pytest.raises(ValueError, match="no mean"):
        _ = Histogram().mean_s
    assert Histogram.merge([]) == Histogram() == Histogram.of([])


def test_counts_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        Histogram.of([1]).counts[0] = 7


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan])
def test_quantile_takes_a_share(q):
    with pytest.raises(ValueError, match="share from 0 to 1"):
        Histogram.of([1]).quantile(q)


def test_negative_durations_are_refused():
    with pytest.raises(ValueError, match="negative"):
        Histogram.of([3, -1])
