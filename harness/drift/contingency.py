"""Counts of categories in two samples: are they of one distribution? Chi-square, with rare categories pooled."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEAST_EXPECTED: Final = 5.0
"""Fewer expected rows than this in a cell, and chi-square's own law does not hold well enough (Cochran 1954)."""

CHI_SQUARE, FISHER, NONE = "chi_square", "fisher_exact", "none"


@dataclass(frozen=True, slots=True)
class Homogeneity:
    """A test that two samples have one distribution over categories."""

    test: str
    """``chi_square``, ``fisher_exact`` (two cells, few rows), or ``none``: nothing here can be told apart."""
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


def homogeneity(reference: ArrayLike, current: ArrayLike, least_expected: float = LEAST_EXPECTED) -> Homogeneity:
    """The test that decisions rest on: chi-square after `pooled`, Fisher's exact test where two small cells are left.

    What is pooled follows from both samples joined, so it knows nothing of what is tested and the level holds. A column
    with more than half as many values as rows is an identifier, of which there is nothing to be said: p is 1.

    Args:
        reference: counts of each category.
        current: likewise.
        least_expected: see `pooled`.

    Raises:
        ValueError: no rows on one side.
    """
    table = _table(reference, current)
    if table.shape[1] < 2 or table.sum() < 2 * table.shape[1]:
        return Homogeneity(NONE, 0.0, 0, 1.0)
    table = pooled(table, least_expected)
    if table.shape[1] == 2 and _least_expected(table) < least_expected:
        from scipy.stats import fisher_exact

        found = fisher_exact(table)
        return Homogeneity(FISHER, float(found.statistic), 0, float(found.pvalue))
    return chi_square(table[0], table[1])


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


def _least_expected(table: NDArray[np.int64]) -> float:
    return float(table.sum(axis=0).min() * table.sum(axis=1).min() / table.sum())


def _table(reference: ArrayLike, current: ArrayLike) -> NDArray[np.int64]:
    table = np.stack([np.asarray(reference, dtype=np.int64), np.asarray(current, dtype=np.int64)])
    if not table.sum(axis=1).all():
        raise ValueError("each side needs rows to be compared")
    return table[:, table.sum(axis=0) > 0]
