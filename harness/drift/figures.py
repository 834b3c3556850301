"""All two-sample figures of one column: numbers or categories, reference against current.

What is known is compared by the tests; what is missing (NaN, None) is a figure and a test of its own, and a cell of PSI
and Jensen-Shannon where anything is missing. Infinite values keep their rank, and make the Wasserstein distance
infinite.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.drift.contingency import NONE, Homogeneity, chi_square, homogeneity
from harness.drift.samples import Method, cramer_von_mises, known, ks_p_value, ks_statistic, wasserstein_sorted
from harness.drift.shares import Deciles, aligned, counted, distance, psi, with_missing
from harness.drift.statistical import FloatArray


@dataclass(frozen=True, slots=True)
class MissingFigures:
    """How many values are missing on either side, and whether that changed."""

    reference: int
    """Rows without a value."""
    current: int
    """Likewise."""
    reference_share: float
    """Of its rows, 0 to 1."""
    current_share: float
    """Likewise."""
    test: str
    """``chi_square``, ``fisher_exact``, or ``none`` where all values or none are missing on both sides."""
    p_value: float
    """That both have one rate of missing values; 1 without a test."""


@dataclass(frozen=True, slots=True)
class NumericFigures:
    """Figures of a column of numbers; None where one side has no known value (Cramér-von Mises: fewer than two)."""

    rows: tuple[int, int]
    """Reference and current, missing ones included."""
    ks_statistic: float | None
    ks_p_value: float | None
    """As scipy's ``method="auto"``: exact up to 10,000 known rows on both sides."""
    cvm_statistic: float | None
    """None also where it was not asked for."""
    cvm_p_value: float | None
    psi: float
    """Deciles of the reference, shares of at least 1e-4."""
    jensen_shannon: float
    """Distance in base 2 over the same cells, 0 to 1."""
    wasserstein: float | None
    """In the column's own unit."""
    wasserstein_scaled: float | None
    """In standard deviations of the reference."""
    missing: MissingFigures


@dataclass(frozen=True, slots=True)
class CategoryFigures:
    """Figures of a column of categories."""

    rows: tuple[int, int]
    """Reference and current, missing ones included."""
    chi2_statistic: float | None
    """Of the contingency test on all categories as they are (scipy's); None where one side has no known value."""
    chi2_dof: int | None
    chi2_p_value: float | None
    test: str
    """What `p_value` is of: ``chi_square`` with rare categories pooled, the same permuted, Fisher's, or ``none``."""
    p_value: float
    """What decisions rest on; 1 without a test."""
    psi: float
    """Over categories, shares of at least 1e-4."""
    jensen_shannon: float
    """Distance in base 2 over categories, 0 to 1."""
    categories: int
    """Distinct known values on either side."""
    new_categories: tuple[Any, ...]
    """In the current rows alone, in order of their names."""
    lost_categories: tuple[Any, ...]
    """In the reference alone."""
    missing: MissingFigures


Figures: TypeAlias = NumericFigures | CategoryFigures


@dataclass(frozen=True, slots=True, eq=False)
class NumericReference:
    """A column of numbers made ready to be compared with many windows: sorted once, cut into cells once."""

    ordered: FloatArray
    """Known values."""
    missing: int
    """How many are not known."""
    deciles: Deciles
    counts: NDArray[np.int64]
    """Of each cell."""
    deviation: float
    """Standard deviation of the known values; 0 without any."""

    @classmethod
    def of(cls, values: ArrayLike) -> "NumericReference":
        """Of numbers in any order, NaN where missing."""
        ordered = known(values)
        deciles = Deciles.of(ordered)
        finite = len(ordered) > 0 and bool(np.isfinite(ordered[[0, -1]]).all())
        deviation = float(np.std(ordered)) if finite else 0.0
        return cls(ordered, np.size(values) - len(ordered), deciles, deciles.counts(ordered), deviation)

    def compare(self, values: ArrayLike, *, method: Method = "auto", cvm: bool = True) -> NumericFigures:
        """The figures of these current values against the reference.

        Args:
            values: numbers in any order, NaN where missing; at least one row.
            method: of the p-value of Kolmogorov-Smirnov.
            cvm: Cramér-von Mises as well, which costs as much as all others together.

        Raises:
            ValueError: no rows on one side.
        """
        ordered = known(values)
        missing = missing_figures(self._rows, self.missing, np.size(values), np.size(values) - len(ordered))
        both = min(len(ordered), len(self.ordered))
        statistic = ks_statistic(self.ordered, ordered) if both else None
        moved = wasserstein_sorted(self.ordered, ordered) if both else None
        cells = with_missing(self.counts, self.deciles.counts(ordered), self.missing, missing.current)
        told = cramer_von_mises(self.ordered, ordered) if cvm and both > 1 else (None, None)
        return NumericFigures(
            rows=(self._rows, np.size(values)),
            ks_statistic=statistic,
            ks_p_value=None if statistic is None else ks_p_value(statistic, self.ordered, ordered, method),
            cvm_statistic=told[0],
            cvm_p_value=told[1],
            psi=psi(*cells),
            jensen_shannon=distance(*cells),
            wasserstein=moved,
            wasserstein_scaled=None if moved is None else moved / max(self.deviation, 0.001),
            missing=missing,
        )

    @property
    def _rows(self) -> int:
        return len(self.ordered) + self.missing


@dataclass(frozen=True, slots=True, eq=False)
class CategoryReference:
    """A column of categories made ready to be compared with many windows: counted once."""

    counts: Counter[Any]
    """Of each known value."""
    missing: int

    @classmethod
    def of(cls, values: NDArray[Any]) -> "CategoryReference":
        """Of any hashable values, None or NaN where missing."""
        return cls(*counted(values))

    def compare(self, values: NDArray[Any], level: float | None = None) -> CategoryFigures:
        """The figures of these current values against the reference; the level as `against` takes it.

        Raises:
            ValueError: no rows on one side.
        """
        return self.against(*counted(values), level)

    def against(self, counts: Counter[Any], lacking: int, level: float | None = None) -> CategoryFigures:
        """The same of values that were counted already, chunk by chunk, say.

        Args:
            counts: of each known value.
            lacking: rows without one.
            level: that the p-value will be held against, as `harness.drift.contingency.homogeneity` takes it.

        Raises:
            ValueError: no rows on one side.
        """
        rows = self.counts.total() + self.missing, counts.total() + lacking
        missing = missing_figures(rows[0], self.missing, rows[1], lacking)
        words, first, second = aligned(self.counts, counts)
        both = bool(self.counts and counts)
        plain = chi_square(first, second) if both else None
        tested = homogeneity(first, second, level) if both else Homogeneity(NONE, 0.0, 0, 1.0)
        cells = with_missing(first, second, self.missing, lacking)
        return CategoryFigures(
            rows=rows,
            chi2_statistic=plain.statistic if plain else None,
            chi2_dof=plain.dof if plain else None,
            chi2_p_value=plain.p_value if plain else None,
            test=tested.test,
            p_value=tested.p_value,
            psi=psi(*cells),
            jensen_shannon=distance(*cells),
            categories=len(words),
            new_categories=tuple(word for word in words if word not in self.counts),
            lost_categories=tuple(word for word in words if word not in counts),
            missing=missing,
        )


def numeric(reference: ArrayLike, current: ArrayLike, *, method: Method = "auto", cvm: bool = True) -> NumericFigures:
    """The figures of a column of numbers; `NumericReference` where one reference meets many windows.

    Args:
        reference: ``[rows]`` float64 in any order, NaN where missing.
        current: likewise.
        method: of the p-value of Kolmogorov-Smirnov.
        cvm: Cramér-von Mises as well.

    Raises:
        ValueError: no rows on one side.
    """
    return NumericReference.of(reference).compare(current, method=method, cvm=cvm)


def categorical(reference: NDArray[Any], current: NDArray[Any]) -> CategoryFigures:
    """The figures of a column of categories: ``[rows]`` of hashable values, None or NaN where missing.

    Raises:
        ValueError: no rows on one side.
    """
    return CategoryReference.of(reference).compare(current)


def missing_figures(reference_rows: int, reference: int, current_rows: int, current: int) -> MissingFigures:
    """How the rate of missing values changed, from counts.

    Raises:
        ValueError: no rows on one side.
    """
    if min(reference_rows, current_rows) < 1:
        raise ValueError(f"each side needs rows to be compared; there are {reference_rows} and {current_rows}")
    found = homogeneity([reference_rows - reference, reference], [current_rows - current, current])
    return MissingFigures(
        reference=reference,
        current=current,
        reference_share=reference / reference_rows,
        current_share=current / current_rows,
        test=found.test,
        p_value=found.p_value,
    )
