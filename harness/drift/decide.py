"""Which columns drifted: a test for each, corrected so that the level holds for all of them together.

Numbers are tested by Kolmogorov-Smirnov, categories by chi-square with rare ones pooled, and both by whether the share
of missing values changed. Distances (PSI, Jensen-Shannon, Wasserstein) are told beside it and decide nothing: how large
they come out by chance depends on the rows, which a p-value takes into account.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from harness.drift.correction import adjusted
from harness.drift.figures import CategoryFigures, Figures
from harness.drift.reference import CATEGORIES, NUMBERS, Reference
from harness.drift.samples import Method

ALPHA: Final = 0.01

KS, MISSING, NONE = "kolmogorov_smirnov", "missing_values", "none"


@dataclass(frozen=True, slots=True)
class ColumnDecision:
    """Whether a column drifted, by the stronger of its tests."""

    column: str
    kind: str
    """``numbers`` or ``categories``."""
    test: str
    """``kolmogorov_smirnov``, ``chi_square``, ``chi_square_permuted``, ``fisher_exact`` or ``missing_values``.

    ``none`` where nothing can differ.
    """
    p_value: float
    """Of that test alone."""
    adjusted_p_value: float
    """Corrected for all tests of all columns: drifted where it is at most the level."""
    drifted: bool
    figures: Figures


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a comparison, in the reference's order of columns."""

    alpha: float
    """Chance that any column is named although none drifted."""
    correction: str
    tests: int
    """How many were made and corrected for."""
    columns: tuple[ColumnDecision, ...]
    left_out: tuple[str, ...] = ()
    """Columns that only one side has."""
    drifted: tuple[str, ...] = field(init=False)
    """Names of columns that drifted, the smallest p-value first; of equal ones the larger Jensen-Shannon distance."""

    def __post_init__(self) -> None:
        found = [each for each in self.columns if each.drifted]
        found.sort(key=lambda each: (each.p_value, -each.figures.jensen_shannon))
        object.__setattr__(self, "drifted", tuple(each.column for each in found))


def decide(
    reference: "Mapping[str, Any] | Reference",
    current: Mapping[str, Any],
    alpha: float = ALPHA,
    correction: str = "holm",
    *,
    method: Method = "auto",
    cvm: bool = False,
) -> Decision:
    """Compare columns and say which drifted, at a family-wise level.

    Args:
        reference: by name, ``[rows]``: arrays of floats and integers are numbers, all others categories; missing is NaN
            or None. A `Reference` is fitted once for many windows.
        current: likewise; columns that only one side has are left out, and named so.
        alpha: the level over all columns.
        correction: "holm", "bonferroni" or "benjamini_hochberg" (a level of another kind: see there).
        method: of the p-value of Kolmogorov-Smirnov.
        cvm: Cramér-von Mises among the figures as well; it decides nothing.

    Raises:
        ValueError: no column in common, no rows, another kind of column than the reference has, or no such correction.
    """
    fitted = reference if isinstance(reference, Reference) else Reference.fit(reference)
    shared = {name: current[name] for name in fitted.columns if name in current}
    if not shared:
        raise ValueError("the two sides have no column in common")
    found = fitted.compare(shared, method=method, cvm=cvm, level=least_level(alpha, len(shared)))
    left_out = tuple(name for name in (*fitted.columns, *current) if name not in shared)
    return decided(found, alpha, correction, left_out)


def least_level(alpha: float, columns: int) -> float:
    """The smallest level that a test of so many columns may be held against: each has two tests at most."""
    return alpha / (2 * max(columns, 1))


def decided(
    figures: Mapping[str, Figures], alpha: float = ALPHA, correction: str = "holm", left_out: Sequence[str] = ()
) -> Decision:
    """The decision that figures lead to.

    A test that could never alarm, whatever the split of its rows (nothing is missing on either side, one category), is
    not counted among the tests: that is known from both sides joined, so the level holds (Tarone 1990).

    Raises:
        ValueError: no such correction.
    """
    tests = {name: _tests(each) for name, each in figures.items()}
    flat = [p_value for each in tests.values() for _, p_value in each]
    corrected = iter(adjusted(np.array(flat), correction).tolist())
    columns = []
    for name, each in figures.items():
        told = [(p_value, test, next(corrected)) for test, p_value in tests[name]]
        p_value, test, final = min(told, default=(1.0, NONE, 1.0))
        kind = CATEGORIES if isinstance(each, CategoryFigures) else NUMBERS
        columns.append(ColumnDecision(name, kind, test, p_value, final, final <= alpha, each))
    return Decision(alpha, correction, len(flat), tuple(columns), tuple(left_out))


def _tests(figures: Figures) -> list[tuple[str, float]]:
    """The tests of a column, by name, with their p-values."""
    found = []
    if isinstance(figures, CategoryFigures):
        if figures.test != NONE:
            found.append((figures.test, figures.p_value))
    elif figures.ks_p_value is not None:
        found.append((KS, figures.ks_p_value))
    if figures.missing.test != NONE:
        found.append((MISSING, figures.missing.p_value))
    return found
