"""Figures of two samples equal scipy's to 1e-12, alone and from a reference that was fitted once."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from harness import seeds
from harness.drift.figures import categorical, numeric
from harness.drift.reference import Reference, by_name, kind_of
from harness.drift.samples import (
    cramer_von_mises,
    known,
    kolmogorov_smirnov,
    ks_asymptotic,
    ks_statistic,
    wasserstein,
    wasserstein_scaled,
)
from harness.drift.shares import Deciles, distance, hellinger, histograms, psi

VALUES = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=60)
TIED = st.lists(st.integers(-3, 3).map(float), min_size=2, max_size=60)
NAN = float("nan")
CLOSE = {"rel": 1e-12, "abs": 1e-12}


def draws(name):
    return seeds.stream(11, name).generator()


@given(VALUES | TIED, VALUES | TIED)
def test_value_by_value_figures_are_scipys(reference, current):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # that it fell back on the asymptotic law
        expected = stats.ks_2samp(reference, current)
    assert kolmogorov_smirnov(reference, current) == pytest.approx((expected.statistic, expected.pvalue), **CLOSE)
    expected = stats.cramervonmises_2samp(reference, current)
    assert cramer_von_mises(reference, current) == pytest.approx((expected.statistic, expected.pvalue), **CLOSE)
    found = wasserstein(reference, current)
    assert found == pytest.approx(stats.wasserstein_distance(reference, current), rel=1e-12, abs=1e-11)
    assert found == pytest.approx(wasserstein(current, reference), **CLOSE)
    assert wasserstein_scaled(reference, current) == pytest.approx(found / max(np.std(reference), 0.001), rel=1e-9)


@pytest.mark.parametrize("rows", [(10_000, 9_000), (10_001, 9_000), (12_000, 300), (20_000, 20_000), (400, 11_000)])
@pytest.mark.parametrize("shift", [0.0, 0.02, 0.5])
def test_large_samples_take_the_p_value_that_scipy_chooses(rows, shift):
    sample = draws(f"{rows} {shift}")
    reference, current = sample.normal(size=rows[0]), sample.normal(shift, size=rows[1])
    expected = stats.ks_2samp(reference, current)
    assert kolmogorov_smirnov(reference, current) == pytest.approx((expected.statistic, expected.pvalue), **CLOSE)
    expected = stats.ks_2samp(reference, current, method="asymp")
    assert kolmogorov_smirnov(reference, current, "asymptotic")[1] == pytest.approx(expected.pvalue, **CLOSE)
    assert wasserstein(reference, current) == pytest.approx(stats.wasserstein_distance(reference, current), **CLOSE)


def test_ks_of_every_kind_of_tie():
    """Against the definition: the largest difference over all values, both functions counting what is no greater."""
    sample = draws("ties")
    for _ in range(200):
        reference, current = (known(sample.integers(0, 4, sample.integers(1, 9))) for _ in range(2))
        both = np.concatenate([reference, current])
        upto = [np.array([(each <= value).mean() for value in both]) for each in (reference, current)]
        assert ks_statistic(reference, current) == pytest.approx(np.abs(upto[0] - upto[1]).max(), **CLOSE)


def test_ks_asymptotic_does_not_mind_the_order_of_sizes():
    assert ks_asymptotic(0.1, 500, 300) == ks_asymptotic(0.1, 300, 500)
    assert ks_asymptotic(0.0, 500, 300) == 1.0


@given(st.lists(st.integers(0, 300), min_size=5, max_size=5).filter(any), st.integers(0, 4))
def test_distances_of_histograms(counts, place):
    other = np.roll(counts, place)
    assert distance(counts, other) == pytest.approx(jensenshannon(counts, other, base=2), abs=1e-7)
    assert distance(counts, other, "evidently") == pytest.approx(jensenshannon(counts, other), abs=1e-7)
    assert psi(counts, other) == pytest.approx(psi(other, counts), **CLOSE)
    assert psi(counts, counts) == 0
    assert hellinger(counts, counts) == pytest.approx(0, abs=1e-7)
    assert 0 <= hellinger(counts, other) <= 1


def test_psi_by_hand():
    assert psi([1, 1], [3, 1]) == pytest.approx((0.5 - 0.75) * np.log(0.5 / 0.75) + (0.5 - 0.25) * np.log(0.5 / 0.25))
    assert psi([1, 1], [2, 0]) == pytest.approx(-0.5 * np.log(0.5) + (0.5 - 1e-4) * np.log(0.5 / 1e-4))
    with pytest.raises(ValueError, match="without counts"):
        psi([0, 0], [1, 1])


@given(VALUES | TIED)
def test_cells_hold_every_value_once(values):
    cells = Deciles.of(known(values))
    counts = cells.counts(known(values))
    assert counts.sum() == len(values)
    assert cells.counts(known([max(values) + 1.0])).argmax() == len(counts) - 1


def test_more_than_ever_is_seen_where_the_reference_never_changes():
    """A reference of one value: what lies above it and below it has cells of its own."""
    reference = np.full(1000, 5.0)
    for other in (4.0, 6.0):
        assert psi(*histograms(reference, np.full(1000, other))) > 10
    assert psi(*histograms(reference, reference)) == 0


def test_missing_values_are_a_figure_a_test_and_a_cell():
    sample = draws("missing")
    reference, current = sample.normal(size=2000), sample.normal(size=1500)
    full = numeric(reference, current)
    current[:300] = NAN
    found = numeric(np.append(reference, [NAN] * 10), current)
    assert found.rows == (2010, 1500)
    assert (found.missing.reference, found.missing.current, found.missing.current_share) == (10, 300, 0.2)
    expected = stats.chi2_contingency([[2000, 10], [1200, 300]])
    assert found.missing.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.ks_p_value == pytest.approx(stats.ks_2samp(reference, current[300:]).pvalue, **CLOSE)
    assert found.psi > full.psi + 0.5
    assert (full.missing.test, full.missing.p_value) == ("none", 1.0)


def test_a_column_that_came_to_be_all_missing():
    found = numeric(np.arange(100.0), np.full(100, NAN))
    assert (found.ks_p_value, found.cvm_p_value, found.wasserstein) == (None, None, None)
    assert found.missing.p_value < 1e-20
    assert found.jensen_shannon == 1.0
    words = categorical(np.array(["a", "b"] * 50, dtype=object), np.array([None] * 100, dtype=object))
    assert (words.chi2_p_value, words.p_value) == (None, 1.0)
    assert words.missing.p_value < 1e-20


def test_infinite_values_keep_their_rank():
    found = numeric([1.0, 2.0, np.inf, np.inf] * 10, [1.0, 2.0, 3.0, np.inf] * 10)
    assert found.ks_statistic == pytest.approx(0.25)
    assert found.wasserstein == np.inf
    assert np.isfinite([found.psi, found.jensen_shannon]).all()


def test_categories():
    reference = np.array(["a"] * 50 + ["b"] * 30 + ["c"] * 20, dtype=object)
    current = np.array(["a"] * 40 + ["b"] * 50 + ["d"] * 10, dtype=object)
    found = categorical(reference, current)
    expected = stats.chi2_contingency([[50, 30, 20, 0], [40, 50, 0, 10]])
    assert (found.chi2_statistic, found.chi2_dof, found.chi2_p_value) == pytest.approx((expected[0], 3, expected[1]))
    assert (found.categories, found.new_categories, found.lost_categories) == (4, ("d",), ("c",))
    assert found.p_value == pytest.approx(4e-5, abs=3e-5)  # by permutation
    assert found.jensen_shannon == pytest.approx(jensenshannon([50, 30, 20, 0], [40, 50, 0, 10], base=2), **CLOSE)


def test_a_fitted_reference_gives_what_each_column_gives_alone():
    sample = draws("fitted")
    matrix = sample.normal(size=(500, 4))
    matrix[sample.random(matrix.shape) < 0.1] = NAN
    words = sample.choice(np.array(["x", "y", None], dtype=object), 500)
    columns = {**by_name(matrix, "abcd"), "words": words, "count": sample.integers(0, 9, 500)}
    fitted = Reference.fit(columns)
    for rows in (1, 7, 499):
        window = {name: values[:rows] for name, values in columns.items()}
        found = fitted.compare(window, cvm=True)
        for name in "abcd":
            assert found[name] == numeric(columns[name], window[name])
        assert found["words"] == categorical(words, window["words"])
        assert found["count"] == numeric(columns["count"].astype(float), window["count"].astype(float))
    assert list(map(kind_of, (matrix, words, np.array([True]), np.array(["x"])))) == ["numbers"] + ["categories"] * 3


def test_what_cannot_be_compared_is_told():
    fitted = Reference.fit({"a": np.arange(3.0), "b": np.array(["x", "y", "z"])})
    with pytest.raises(ValueError, match="no column 'c'; it has a, b"):
        fitted.compare({"c": np.arange(3.0)})
    with pytest.raises(ValueError, match="a holds numbers in the reference and categories in the current rows"):
        fitted.compare({"a": np.array(["x"])})
    with pytest.raises(ValueError, match="each side needs rows"):
        fitted.compare({"a": np.empty(0)})
    with pytest.raises(ValueError, match="each side needs 1 known values; there are 0 and 1"):
        wasserstein([NAN], [1.0])
