"""Two samples of numbers compared value by value, without bins: Kolmogorov-Smirnov, Cramér-von Mises, Wasserstein.

All take arrays that are sorted and have no missing value, as `known` makes them; a reference is then sorted once and
compared with many windows. Every figure is scipy's, to the rounding of floats.
"""

import warnings
from functools import lru_cache
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.drift.smirnov import tail
from harness.drift.statistical import FloatArray

Method = Literal["auto", "asymptotic"]

EXACT_ROWS: Final = 10_000
"""Up to so many rows on both sides scipy's ``method="auto"`` reckons the exact p-value of Kolmogorov-Smirnov."""


def known(values: ArrayLike) -> FloatArray:
    """The values in order, without those that are missing (NaN).

    >>> known([2.0, float("nan"), 1.0]).tolist()
    [1.0, 2.0]
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    return ordered[: np.searchsorted(ordered, np.nan)]


def ks_statistic(reference: FloatArray, current: FloatArray) -> float:
    """The largest distance between two empirical distribution functions, as ``scipy.stats.ks_2samp`` has it.

    Args:
        reference: sorted, at least one value.
        current: likewise. Searched for in the reference: n ln(m) steps for n current rows.

    >>> ks_statistic(np.array([1.0, 2.0, 3.0, 4.0]), np.array([3.0, 4.0, 5.0, 6.0]))
    0.5
    """
    rows = len(current)
    upto = np.searchsorted(reference, current, side="right")
    before = _before(reference, current, upto)
    place = np.arange(rows)
    above = ((place + 1) / rows - upto / len(reference)).max()
    below = (before / len(reference) - place / rows).max()
    return float(max(above, below, 0.0))


def _before(reference: FloatArray, current: FloatArray, upto: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many reference values lie below each current one; searched for only where the two are equal."""
    tied = (upto > 0) & (reference[upto - 1] == current)
    if not tied.any():
        return upto
    before = upto.copy()
    before[tied] = np.searchsorted(reference, current[tied], side="left")
    return before


def ks_p_value(statistic: float, reference: FloatArray, current: FloatArray, method: Method = "auto") -> float:
    """The chance of a Kolmogorov-Smirnov statistic this large between two samples of one continuous distribution.

    ``auto`` is that of scipy: exact where both samples have at most 10,000 rows (Hodges, "The significance probability
    of the Smirnov two-sample test", 1958), otherwise the one-sample law with ``round(n m / (n + m))`` rows, as
    ``asymptotic`` always is. Where values are tied (counts, rounded figures) both are too large: the test errs on the
    side of no alarm.
    """
    if method == "auto" and max(len(reference), len(current)) <= EXACT_ROWS:
        from scipy.stats import ks_2samp

        with warnings.catch_warnings():
            # Said where the exact sum overflows and scipy falls back on the asymptotic law, which is what is wanted.
            warnings.simplefilter("ignore", RuntimeWarning)
            return float(ks_2samp(reference, current).pvalue)
    return ks_asymptotic(statistic, len(reference), len(current))


def ks_asymptotic(statistic: float, reference_rows: int, current_rows: int) -> float:
    """The asymptotic p-value of a Kolmogorov-Smirnov statistic, for samples of these sizes (scipy's ``asymp``)."""
    larger, smaller = sorted((float(reference_rows), float(current_rows)), reverse=True)
    return tail(statistic, round(larger * smaller / (larger + smaller)))


def kolmogorov_smirnov(reference: ArrayLike, current: ArrayLike, method: Method = "auto") -> tuple[float, float]:
    """Statistic and p-value of the two-sample Kolmogorov-Smirnov test, as ``scipy.stats.ks_2samp``; missing left out.

    Args:
        reference: numbers in any order.
        current: likewise.
        method: "auto" as scipy chooses, or "asymptotic".

    Raises:
        ValueError: one of them has no known value.
    """
    first, second = _pair(reference, current)
    statistic = ks_statistic(first, second)
    return statistic, ks_p_value(statistic, first, second, method)


def cramer_von_mises(reference: ArrayLike, current: ArrayLike) -> tuple[float, float]:
    """Statistic and p-value of the two-sample Cramér-von Mises test (Anderson 1962); missing values left out.

    ``scipy.stats.cramervonmises_2samp``: exact up to 20 rows on both sides, otherwise asymptotic, and the asymptotic
    p-value ends at some 1e-10: what is smaller is rounding.

    Raises:
        ValueError: one of them has fewer than two known values.
    """
    from scipy.stats import cramervonmises_2samp

    found = cramervonmises_2samp(*_pair(reference, current, least=2))
    return float(found.statistic), float(found.pvalue)


def wasserstein(reference: ArrayLike, current: ArrayLike) -> float:
    """The earth mover's distance in the column's own unit, as ``scipy.stats.wasserstein_distance``; missing left out.

    Raises:
        ValueError: one of them has no known value.

    >>> wasserstein([0.0, 1.0], [3.0, 4.0, 3.0, 4.0])
    3.0
    """
    return wasserstein_sorted(*_pair(reference, current))


def wasserstein_sorted(reference: FloatArray, current: FloatArray) -> float:
    """The same of sorted values: the mean distance between quantiles, the integral of ``|Q(u) - R(u)|`` over 0..1.

    Infinite where a value is.
    """
    if not np.isfinite([reference[0], reference[-1], current[0], current[-1]]).all():
        return float("inf")
    if len(reference) == len(current):
        return float(np.abs(reference - current).mean())
    widths, first, second = _common_steps(len(reference), len(current))
    # Not a dot product: a linear algebra library would start threads for it.
    return float((np.abs(reference[first] - current[second]) * widths).sum())


@lru_cache(maxsize=2)
def _common_steps(first: int, second: int) -> tuple[FloatArray, NDArray[np.int64], NDArray[np.int64]]:
    """Where the quantile functions of two sample sizes step: widths of the parts of 0..1, and the place in each sample.

    They depend on the sizes alone, so the columns of a table share them. Ends are counted in 1 / (first * second).
    """
    ends = np.union1d(np.arange(1, first + 1) * second, np.arange(1, second + 1) * first)
    starts = np.concatenate([[0], ends[:-1]])
    return (ends - starts) / (float(first) * float(second)), starts // second, starts // first


def wasserstein_scaled(reference: ArrayLike, current: ArrayLike) -> float:
    """The Wasserstein distance in standard deviations of the reference (numpy's, ddof 0): Evidently's "normed" figure.

    A deviation under 0.001 counts as 0.001, as Evidently has it.
    """
    first, second = _pair(reference, current)
    return wasserstein_sorted(first, second) / max(float(np.std(first)), 0.001)


def _pair(reference: ArrayLike, current: ArrayLike, least: int = 1) -> tuple[FloatArray, FloatArray]:
    first, second = known(reference), known(current)
    if min(len(first), len(second)) < least:
        raise ValueError(f"each side needs {least} known values; there are {len(first)} and {len(second)}")
    return first, second
