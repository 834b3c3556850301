"""Counts of categories in two samples: are they of one distribution? Chi-square, with rare categories pooled."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness import seeds

LEAST_EXPECTED: Final = 5.0
"""Rare categories are pooled until a cell has so many expected rows (Cochran 1954)."""
ENOUGH_EXPECTED: Final = 20.0
"""From so many on in every cell the asymptotic p-value is good in the tail as well.

With 5, samples of unlike size and many columns (so a level of 2e-4 for one), it alarms up to three times too often.
"""
PERMUTATIONS: Final = 49_999
"""At most, where no smaller level asks for more; the least p-value is then 2e-5."""
MOST_PERMUTATIONS: Final = 999_999
"""At most, however small the level; the least p-value is then 1e-6, after a second or so for a dozen cells."""
_UNLIKELY: Final = 0.05
_SEEN: Final = 20
_BATCH: Final = 5_000

CHI_SQUARE, PERMUTED, FISHER, NONE = "chi_square", "chi_square_permuted", "fisher_exact", "none"


@dataclass(frozen=True, slots=True)
class Homogeneity:
    """A test that two samples have one distribution over categories."""

    test: str
    """``chi_square``, ``chi_square_permuted``, ``fisher_exact`` (two cells), or ``none``: nothing can be told apart."""
    statistic: float
    """Chi-square's; of Fisher's test the odds ratio."""
    dof: int
    """Degrees of freedom; 0 where the test has none."""
    p_value: float


def chi_square(reference: ArrayLike, current: ArrayLike) -> Homogeneity:
    """The contingency test as ``scipy.stats.chi2_contingency`` makes it, with Yates's correction for two categories.

    Both samples count as drawn. Categories that occur in neither are left out; nothing is pooled.

    Args:
        reference: counts of each category.
        current: likewise.

    Raises:
        ValueError: no rows on one side.
    """
    from scipy.stats import chi2_contingency

    table = _table(reference, current)
    found = chi2_contingency(table)
    return Homogeneity(CHI_SQUARE if found.dof else NONE, float(found.statistic), int(found.dof), float(found.pvalue))


def chi_square_of_exact_reference(reference: ArrayLike, current: ArrayLike) -> Homogeneity:
    """Evidently's chi-square: the reference shares count as exactly known, not as drawn (``scipy.stats.chisquare``).

    That makes p-values far too small where the reference is no larger than the current sample: a table for which the
    contingency test says 5e-16 has 2e-33. Given to compare with Evidently; no decision here rests on it.

    Raises:
        ValueError: no rows on one side.
    """
    from scipy.special import chdtrc

    table = _table(reference, current)
    expected = table[0] * (table[1].sum() / table[0].sum())
    with np.errstate(divide="ignore"):
        statistic = float(((table[1] - expected) ** 2 / expected).sum())
    dof = table.shape[1] - 1
    return Homogeneity(CHI_SQUARE if dof else NONE, statistic, dof, float(chdtrc(dof, statistic)) if dof else 1.0)


def permutations_for(level: float | None) -> int:
    """How many permutations a test at a level needs: ten tables as extreme should be seen where p is the level.

    >>> permutations_for(None), permutations_for(0.01), permutations_for(1e-5), permutations_for(1e-9)
    (49999, 49999, 999999, 999999)
    """
    if level is None:
        return PERMUTATIONS
    return int(min(max(np.ceil(10 / level) - 1, PERMUTATIONS), MOST_PERMUTATIONS))


def homogeneity(reference: ArrayLike, current: ArrayLike, level: float | None = None) -> Homogeneity:
    """The test that decisions rest on: chi-square after `pooled`, exact where a cell has few rows.

    What is pooled follows from both samples joined, so it knows nothing of what is tested and the level holds. With
    fewer than 20 expected rows in a cell, two cells are tested by Fisher's exact test; of more cells an asymptotic
    p-value of 0.05 or less is replaced by that of permutation (`permuted`). Where there are more than half as many
    values as rows, most of them name rows: all rare ones are one cell then (`without_names`), and a column that has no
    other cell is an identifier, of which there is nothing to be said: p is 1.

    Args:
        reference: counts of each category.
        current: likewise.
        level: the smallest that the p-value is held against, such as alpha / tests; it decides how many permutations
            there are at most (`permutations_for`). None: the usual number.

    Raises:
        ValueError: no rows on one side.
    """
    table = _table(reference, current)
    if table.sum() < 2 * table.shape[1]:
        table = without_names(table)
    if table.shape[1] < 2:
        return Homogeneity(NONE, 0.0, 0, 1.0)
    table = pooled(table)
    few = table.sum(axis=0).min() * table.sum(axis=1).min() / table.sum() < ENOUGH_EXPECTED
    if few and table.shape[1] == 2:
        from scipy.stats import fisher_exact

        found = fisher_exact(table)
        return Homogeneity(FISHER, float(found.statistic), 0, float(found.pvalue))
    told = chi_square(table[0], table[1])
    if few and told.p_value <= _UNLIKELY:
        return Homogeneity(PERMUTED, told.statistic, told.dof, permuted(table, told.statistic, permutations_for(level)))
    return told


def permuted(table: NDArray[np.int64], statistic: float, permutations: int = PERMUTATIONS) -> float:
    """The p-value of a chi-square statistic among tables of the same sums, drawn at random: exact, whatever the counts.

    Rows permuted between the samples give multivariate hypergeometric counts. Drawing ends where 20 tables at least as
    extreme were seen, after l draws: p is then 20 / l, otherwise ``(b + 1) / (permutations + 1)`` with b of them seen
    (Besag and Clifford, "Sequential Monte Carlo p-values", 1991). The seed is fixed: a table has one p-value.

    Args:
        table: ``[2, cells]`` counts.
        statistic: chi-square, as it is without Yates's correction.
        permutations: most tables drawn.
    """
    draws = seeds.stream(0, "permuted contingency tables").generator()
    both, rows = table.sum(axis=0), int(table[1].sum())
    expected = both * (rows / both.sum())
    scale = 1 / expected + 1 / (both - expected)
    seen = drawn = 0
    while drawn < permutations:
        size = min(_BATCH, permutations - drawn)
        tables = draws.multivariate_hypergeometric(both, rows, size=size, method="marginals")
        extreme = ((tables - expected) ** 2 @ scale) >= statistic * (1 - 1e-12)
        if seen + extreme.sum() >= _SEEN:
            last = int(np.flatnonzero(extreme)[_SEEN - seen - 1])
            return _SEEN / (drawn + last + 1)
        seen, drawn = seen + int(extreme.sum()), drawn + size
    return (seen + 1) / (permutations + 1)


def without_names(table: NDArray[np.int64], least_expected: float = LEAST_EXPECTED) -> NDArray[np.int64]:
    """The table with all rare values in one cell, the first: those seen once, and all with too few expected rows.

    Which they are is known from both samples joined. Values that name rows, or a few rows each, differ between any two
    samples; that there are more of them than of a common word is a change that can be told.

    >>> without_names(np.array([[40, 1, 1, 0, 0], [30, 0, 0, 1, 2]])).tolist()
    [[2, 40], [3, 30]]
    """
    both = table.sum(axis=0)
    rare = (both * (table.sum(axis=1).min() / table.sum()) < least_expected) | (both == 1)
    if not rare.any():
        return table
    return np.concatenate([table[:, rare].sum(axis=1, keepdims=True), table[:, ~rare]], axis=1)


def pooled(table: NDArray[np.int64], least_expected: float = LEAST_EXPECTED) -> NDArray[np.int64]:
    """The table with rare categories put together, rarest first, until a cell has enough expected rows.

    Args:
        table: ``[2, categories]`` counts, two categories or more.
        least_expected: rows that the smaller sample should have in a cell (Cochran, "Some methods for strengthening the
            common chi-square tests", 1954, asks for 5).

    Returns:
        Two cells at least, rarest first; where two are left, both may have fewer rows.

    >>> pooled(np.array([[90, 2, 3, 5], [80, 3, 12, 5]])).tolist()
    [[7, 3, 90], [8, 12, 80]]
    """
    both = table.sum(axis=0)
    expected = both * (table.sum(axis=1).min() / table.sum())
    order = np.argsort(both, kind="stable")
    starts, gathered = [0], 0.0
    for place, rows in enumerate(expected[order].tolist()):
        gathered += rows
        if gathered >= least_expected and place + 1 < len(order):
            starts.append(place + 1)
            gathered = 0.0
    if len(starts) > 2 and gathered < least_expected:
        starts.pop()
    if len(starts) == 1:
        starts.append(len(order) - 1)
    return np.add.reduceat(table[:, order], starts, axis=1)


def _table(reference: ArrayLike, current: ArrayLike) -> NDArray[np.int64]:
    table = np.stack([np.asarray(reference, dtype=np.int64), np.asarray(current, dtype=np.int64)])
    if not table.sum(axis=1).all():
        raise ValueError("each side needs rows to be compared")
    return table[:, table.sum(axis=0) > 0]
