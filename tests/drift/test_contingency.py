"""Counts of categories: scipy's figures, and a level that holds however rare the categories are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness import seeds
from harness.drift.contingency import chi_square, chi_square_of_exact_reference, homogeneity, permuted, pooled

TABLES = st.integers(2, 8).flatmap(
    lambda size: st.tuples(*[st.lists(st.integers(0, 40), min_size=size, max_size=size).filter(any)] * 2)
)


@given(TABLES)
def test_chi_square_is_scipys_contingency_test(table):
    found = chi_square(*table)
    used = np.array(table)[:, np.sum(table, axis=0) > 0]
    expected = stats.chi2_contingency(used)
    assert (found.statistic, found.dof) == pytest.approx((expected.statistic, expected.dof), rel=1e-12, abs=1e-12)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-12)


def test_a_reference_that_counts_as_exact_is_scipys_chisquare():
    expected = stats.chisquare([30, 50, 20], np.array([100, 200, 100]) / 4)
    found = chi_square_of_exact_reference([100, 200, 100], [30, 50, 20])
    assert (found.statistic, found.p_value) == pytest.approx(tuple(expected), rel=1e-12)
    assert chi_square_of_exact_reference([5, 0], [5, 1]).p_value == 0


@given(TABLES)
def test_pooling_keeps_every_row_and_leaves_enough_in_each_cell(table):
    used = np.array(table)[:, np.sum(table, axis=0) > 0]
    if used.shape[1] < 2:
        return
    found = pooled(used)
    assert found.sum(axis=1).tolist() == used.sum(axis=1).tolist()
    assert found.shape[1] >= 2
    if found.shape[1] > 2:
        assert stats.contingency.expected_freq(found).min() >= 5 - 1e-9


def test_few_rows_in_two_cells_are_fishers():
    assert homogeneity([20, 1], [3, 6]).p_value == pytest.approx(stats.fisher_exact([[20, 1], [3, 6]]).pvalue)
    assert homogeneity([20, 1], [3, 6]).test == "fisher_exact"


def test_a_small_window_of_many_categories_is_still_told():
    """Two expected rows in each of ten categories: pooled into cells of five and more, not into one."""
    assert homogeneity([500] * 10, [0] * 8 + [10, 10]).p_value < 0.01


@pytest.mark.parametrize("table", [([5], [7]), ([1] * 50 + [0] * 50, [0] * 50 + [1] * 50)], ids=["one", "identifier"])
def test_what_tells_nothing_is_no_test(table):
    found = homogeneity(*table)
    assert (found.test, found.p_value) == ("none", 1.0)


def words(generator, common, rows, start):
    """Counts of a common word, and of words that occur once, from a place on."""
    often = generator.binomial(rows, common)
    return often, np.arange(start, start + rows - often)


def with_names(generator, shares, rows=(400, 300)):
    """Two samples of a common word and else only names of rows."""
    (one, first), (other, second) = (words(generator, *each) for each in zip(shares, rows, (0, 1000), strict=True))
    names = np.zeros((2, 2000), dtype=np.int64)
    names[0, first] = names[1, second] = 1
    return np.concatenate([[[one], [other]], names], axis=1)


def test_a_common_word_among_names_is_tested():
    table = with_names(seeds.stream(8, "names").generator(), (0.5, 0.3))
    found = homogeneity(*table)
    often = table[:, 0]
    assert found.p_value == pytest.approx(chi_square(*np.stack([table[:, 1:].sum(axis=1), often], axis=1)).p_value)
    assert found.p_value < 1e-4


@pytest.mark.parametrize("level", [0.05, 0.01])
def test_the_level_holds_for_a_common_word_among_names(level):
    generator = seeds.stream(9, "names").generator()
    tables = [with_names(generator, (0.4, 0.4)) for _ in range(1500)]
    assert min((table > 0).any(axis=0).sum() / table.sum() for table in tables) > 0.5
    rejected = np.mean([homogeneity(*table).p_value <= level for table in tables])
    assert rejected <= level + 3 * np.sqrt(level * (1 - level) / len(tables))


def test_names_of_a_few_rows_each_are_an_identifier_too():
    """Sessions of one to three rows: each sample has its own, and nothing else."""
    sizes = np.tile([1, 2, 2, 1, 3, 1, 1], 20)
    first = np.concatenate([sizes, 0 * sizes])
    found = homogeneity(first, first[::-1])
    assert (found.test, found.p_value) == ("none", 1.0)


def test_no_rows_are_told():
    with pytest.raises(ValueError, match="needs rows"):
        chi_square([0, 0], [1, 2])


@pytest.mark.parametrize(
    ("shares", "rows"),
    [
        ((0.97, 0.01, 0.01, 0.005, 0.005), (400, 100)),
        (tuple(0.5**k for k in range(1, 12)), (1000, 60)),
        ((0.996, 0.004), (300, 300)),
        ((0.9, *[0.1 / 200] * 200), (500, 500)),
    ],
    ids=["rare", "geometric", "two", "two hundred"],
)
@pytest.mark.parametrize("level", [0.05, 0.01])
def test_the_level_holds_for_rare_categories(shares, rows, level):
    generator = seeds.stream(5, f"{shares} {rows}").generator()
    shares = np.array(shares) / sum(shares)
    pairs = [[generator.multinomial(size, shares) for size in rows] for _ in range(1500)]
    rejected = np.mean([homogeneity(*pair).p_value <= level for pair in pairs])
    assert rejected <= level + 3 * np.sqrt(level * (1 - level) / len(pairs))


@pytest.mark.parametrize(
    ("both", "rows"), [([4830, 55, 60, 55], 500), ([4000, *[110] * 10], 300)], ids=["rare", "ten rare"]
)
def test_the_level_holds_far_into_the_tail(both, rows):
    """By permutation a table has the share of tables without drift as extreme; by law less."""
    tables = (
        seeds.stream(6, "tail").generator().multivariate_hypergeometric(both, rows, size=100_000, method="marginals")
    )
    expected = np.array(both) * rows / sum(both)
    statistics = (tables - expected) ** 2 @ (1 / expected + 1 / (both - expected))
    place = np.argsort(statistics)[-100]
    table, share = tables[place], np.mean(statistics >= statistics[place] - 1e-9)
    found = homogeneity(both - table, table)
    assert found.test == "chi_square_permuted"
    assert found.p_value == pytest.approx(share, rel=0.5)
    assert chi_square(both - table, table).p_value < 0.7 * share


def test_permutation_gives_the_chance_by_enumeration():
    """Three categories, few rows: every table summed with its hypergeometric chance."""
    table = np.array([[6, 3, 1], [1, 3, 5]])
    both, rows = table.sum(axis=0), 9
    expected = both * rows / both.sum()
    law = stats.multivariate_hypergeom(both, rows)
    statistic = chi_square(*table).statistic
    chance = sum(
        law.pmf([i, j, rows - i - j])
        for i in range(both[0] + 1)
        for j in range(both[1] + 1)
        if 0 <= rows - i - j <= both[2]
        and ((np.array([i, j, rows - i - j]) - expected) ** 2 @ (1 / expected + 1 / (both - expected)))
        >= statistic - 1e-9
    )
    assert permuted(table, statistic) == pytest.approx(chance, rel=0.5)
    assert permuted(table, statistic, 200) == permuted(table, statistic, 200)
    assert permuted(np.array([[100, 50, 0], [0, 0, 50]]), 190.0) == 1 / 50_000


def test_a_smaller_level_draws_more_permutations_and_else_nothing_changes():
    drifted = [900, 60, 40], [100, 0, 40]
    assert homogeneity(*drifted).test == "chi_square_permuted"
    assert homogeneity(*drifted, 0.01) == homogeneity(*drifted)
    assert [homogeneity(*drifted, level).p_value for level in (None, 5e-5, 1e-8)] == [2e-5, 5e-6, 1e-6]
    alike = [900, 60, 40], [90, 1, 9]
    assert homogeneity(*alike, 1e-8) == homogeneity(*alike)
