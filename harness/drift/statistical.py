"""Distances between distributions: counts in, figures out."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


def jensen_shannon(first: ArrayLike, second: ArrayLike) -> float:
    """The Jensen-Shannon distance of two histograms over the same bins: square root of the divergence, base 2.

    From 0 (equal shares) to 1 (no bin in common); a metric (Endres and Schindelin 2003). scipy's ``jensenshannon`` is
    the same with ``base=2``; its default, and Evidently's figure, is base e.

    Args:
        first: counts or shares, one for each bin; they need not sum to 1.
        second: likewise, as many.

    Raises:
        ValueError: a histogram is empty, or they differ in length.

    >>> jensen_shannon([1, 0], [0, 1]), jensen_shannon([2, 2], [50, 50])
    (1.0, 0.0)
    """
    counts, others = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if counts.shape != others.shape or counts.ndim != 1:
        raise ValueError(f"two histograms over the same bins are compared, not {counts.shape} and {others.shape}")
    if counts.sum() <= 0 or others.sum() <= 0:
        raise ValueError("a histogram without counts has no distribution to compare")
    starts = np.zeros(1, dtype=np.intp)
    return float(np.sqrt(jensen_shannon_divergences(counts / counts.sum(), others / others.sum(), starts)[0]))


def jensen_shannon_divergences(first: FloatArray, second: FloatArray, starts: NDArray[np.intp]) -> FloatArray:
    """Jensen-Shannon divergences (base 2, 0 to 1) of many pairs of histograms laid end to end.

    Args:
        first: shares, summing to 1 within each histogram.
        second: likewise.
        starts: where each histogram begins.
    """
    middle = (first + second) / 2
    pieces = _relative(first, middle) + _relative(second, middle)
    return np.clip(np.add.reduceat(pieces, starts) / 2, 0.0, 1.0)


def _relative(shares: FloatArray, middle: FloatArray) -> FloatArray:
    """``p log2(p / m)`` for each bin, 0 where p is 0."""
    ratio = np.divide(shares, middle, out=np.ones_like(shares), where=shares > 0)
    found: FloatArray = shares * np.log2(ratio)
    return found


def expected_divergence(bins: NDArray[np.int64], sample: int) -> FloatArray:
    """The Jensen-Shannon divergence (base 2) that a sample has from its own source by chance alone, to first order.

    With ``k`` bins in use and ``n`` draws, ``8 n ln2`` times the divergence is a chi-square with ``k - 1`` degrees of
    freedom when ``n`` is large, so its mean is ``(k - 1) / (8 n ln2)``.
    """
    found: FloatArray = np.maximum(bins - 1, 0) / (8 * np.log(2) * max(sample, 1))
    return found
