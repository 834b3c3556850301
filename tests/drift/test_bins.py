"""Bins, and many histograms compared at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.drift.bins import Categories, Histograms, Numeric, binning
from harness.drift.statistical import expected_divergence, jensen_shannon

DRAWS = np.random.Generator(np.random.Philox(2))


def test_deciles_hold_a_tenth_each_and_missing_values_have_a_bin():
    values = np.append(DRAWS.normal(size=1000), [np.nan] * 7)
    bins = Numeric.of(values)
    counts = np.bincount(bins.codes(values), minlength=bins.size)
    assert bins.size == 11
    assert counts[-1] == 7
    assert np.abs(counts[:-1] - 100).max() <= 1


def test_few_distinct_values_share_no_bin():
    bins = Numeric.of(np.array([0.0, 1.0] * 50))
    assert bins.codes(np.array([-1.0, 0.0, 0.5, 1.0])).tolist() == [0, 1, 1, 2]
    assert bins.codes(np.array([0.0, 1.0])).tolist() == [1, 2]


def test_a_column_that_is_all_missing_has_bins_all_the_same():
    bins = Numeric.of(np.full(5, np.nan))
    assert bins.codes(np.array([np.nan, 3.0])).tolist() == [1, 0]


def test_categories_go_by_value():
    bins = Categories.of(np.array(["b", "a", None, "b", np.nan], dtype=object))
    assert bins.codes(np.array(["a", "b", "new", None, np.nan], dtype=object)).tolist() == [0, 1, 2, 3, 3]


def test_the_type_decides_the_bins():
    assert isinstance(binning(np.array([1, 2])), Numeric)
    assert isinstance(binning(np.array(["a"], dtype=object)), Categories)


@given(st.lists(st.integers(0, 50), min_size=30, max_size=30).filter(any))
def test_each_column_is_compared_as_it_would_be_alone(weights):
    numbers, words = DRAWS.normal(size=30), np.array(["a", "b", "c"] * 10, dtype=object)
    bins = [binning(numbers), binning(words)]
    codes = np.stack([bins[0].codes(numbers), bins[1].codes(words)])
    histograms = Histograms([b.size for b in bins], codes)
    counts = histograms.counts(histograms.placed(codes), np.array(weights))
    found = histograms.distances(counts, sum(weights))
    for place, b in enumerate(bins):
        reference = np.bincount(codes[place], minlength=b.size)
        live = np.bincount(codes[place], weights=weights, minlength=b.size)
        chance = expected_divergence(np.array([(reference > 0).sum()]), sum(weights))[0]
        expected = np.sqrt(max(jensen_shannon(live, reference) ** 2 - chance, 0))
        assert found[place] == pytest.approx(expected, abs=1e-7)


def test_nothing_seen_is_no_distance():
    histograms = Histograms([2], np.array([[0, 1]]))
    assert histograms.distances(np.zeros(2), 0).tolist() == [0.0]
