"""Two histograms over the same cells: PSI, Kullback-Leibler, Hellinger; and how columns are cut into cells.

Two conventions, by name. ``own``: numbers by the deciles of the reference, missing values a cell of their own, shares
of at least 1e-4, Jensen-Shannon in base 2. ``evidently``: what Evidently 0.7.23 does (its docstring says quantiles of
the reference; its code does not): numbers by Sturges' equally wide bins over both samples joined, or by value where the
reference has at most 20 distinct ones; what is missing or infinite left out; Jensen-Shannon in base e.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.drift.bins import DECILES, is_missing
from harness.drift.samples import known
from harness.drift.statistical import FloatArray, jensen_shannon

Convention = Literal["own", "evidently"]

FLOOR: Final = 1e-4
"""The least share of a cell in PSI: an empty one would make it infinite."""
FEW_VALUES: Final = 20
"""Evidently compares a column of numbers value by value up to so many distinct reference values."""


def psi(reference: ArrayLike, current: ArrayLike, convention: Convention = "own") -> float:
    """The population stability index of two histograms: the sum of ``(p - q) ln(p / q)`` over cells.

    Args:
        reference: counts of each cell.
        current: likewise.
        convention: "own": shares under 1e-4 count as 1e-4. "evidently": shares of 0 alone are replaced, by 1e-4, or by
            a millionth of the least other share where that is no more than 1e-4.

    >>> round(psi([50, 50], [60, 40]), 6)
    0.040547
    """
    fill = _floored if convention == "own" else _filled
    p, q = fill(_shares(reference)), fill(_shares(current))
    return float(((p - q) * np.log(p / q)).sum())


def kullback_leibler(reference: ArrayLike, current: ArrayLike) -> float:
    """The divergence of the reference from the current shares in nats, empty cells filled as Evidently does."""
    p, q = _filled(_shares(reference)), _filled(_shares(current))
    p, q = p / p.sum(), q / q.sum()
    return float((p * np.log(p / q)).sum())


def hellinger(reference: ArrayLike, current: ArrayLike) -> float:
    """The Hellinger distance of two histograms, 0 to 1: ``sqrt(1 - sum(sqrt(p q)))``."""
    alike = np.sqrt(_shares(reference) * _shares(current)).sum()
    return float(np.sqrt(1 - np.clip(alike, 0.0, 1.0)))


def distance(reference: ArrayLike, current: ArrayLike, convention: Convention = "own") -> float:
    """The Jensen-Shannon distance of two histograms: base 2 (0 to 1), or base e as Evidently and scipy's default."""
    found = jensen_shannon(reference, current)
    return found if convention == "own" else found * float(np.sqrt(np.log(2)))


def _shares(counts: ArrayLike) -> FloatArray:
    given = np.asarray(counts, dtype=np.float64)
    if given.sum() <= 0:
        raise ValueError("a histogram without counts has no distribution to compare")
    shares: FloatArray = given / given.sum()
    return shares


def _floored(shares: FloatArray) -> FloatArray:
    return np.maximum(shares, FLOOR)


def _filled(shares: FloatArray) -> FloatArray:
    least = shares[shares > 0].min()
    return np.where(shares > 0, shares, least / 10**6 if least <= FLOOR else FLOOR)


@dataclass(frozen=True, slots=True, eq=False)
class Deciles:
    """The cells that a reference column of numbers defines: ten by its deciles, fewer where values repeat."""

    edges: FloatArray
    """Between cells, rising; a value equal to an edge lies above it."""

    @classmethod
    def of(cls, reference: FloatArray) -> "Deciles":
        """The cells of a sorted reference without missing values."""
        if not len(reference):
            return cls(np.empty(0))
        # Interpolating between infinite values gives NaN, a place among finite ones does not.
        finite = bool(np.isfinite(reference[[0, -1]]).all())
        return cls.at(np.quantile(reference, DECILES, method="linear" if finite else "inverted_cdf"), reference[-1])

    @classmethod
    def at(cls, deciles: FloatArray, greatest: float) -> "Deciles":
        """The cells that these deciles part, of a reference whose greatest value is given."""
        edges = np.unique(deciles)
        if edges[-1] == greatest:  # then what lies above all of the reference has a cell of its own
            edges = np.append(edges, np.nextafter(edges[-1], np.inf))
        return cls(edges)

    def counts(self, ordered: FloatArray) -> NDArray[np.int64]:
        """How many of these sorted values lie in each cell."""
        places = np.searchsorted(ordered, self.edges, side="left")
        return np.diff(np.concatenate([[0], places, [len(ordered)]]))


def histograms(
    reference: ArrayLike, current: ArrayLike, convention: Convention = "own"
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The counts of two columns of numbers, cut into the same cells by the convention's rule.

    Under ``own`` the last cell holds what is missing, where anything is.

    Raises:
        ValueError: nothing is known on one side.
    """
    first, second = known(reference), known(current)
    if convention == "evidently":
        return _evidently_histograms(first[np.isfinite(first)], second[np.isfinite(second)])
    if not len(first):
        raise ValueError("a reference without known values defines no cells")
    cells = Deciles.of(first)
    missing = np.size(reference) - len(first), np.size(current) - len(second)
    return with_missing(cells.counts(first), cells.counts(second), *missing)


def with_missing(
    reference: NDArray[np.int64], current: NDArray[np.int64], reference_missing: int, current_missing: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Both histograms with one cell more for what is missing, where anything is."""
    if not reference_missing and not current_missing:
        return reference, current
    return np.append(reference, reference_missing), np.append(current, current_missing)


def _evidently_histograms(reference: FloatArray, current: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if len(np.unique(reference)) <= FEW_VALUES:
        _, first, second = category_counts(reference.astype(object), current.astype(object))
        return first, second
    edges = np.histogram_bin_edges(np.concatenate([reference, current]), bins="sturges")
    first, second = (np.histogram(values, edges)[0].astype(np.int64) for values in (reference, current))
    return first, second


def counted(values: NDArray[Any]) -> tuple[Counter[Any], int]:
    """How often each value occurs, and how many are missing (None, NaN)."""
    counts = Counter(values.tolist())
    missing = [word for word in counts if is_missing(word)]
    return counts, sum(counts.pop(word) for word in missing)


def category_counts(
    reference: NDArray[Any], current: NDArray[Any]
) -> tuple[tuple[Any, ...], NDArray[np.int64], NDArray[np.int64]]:
    """The categories that occur in either, in order of their names, and the counts of each; missing values left out."""
    return aligned(counted(reference)[0], counted(current)[0])


def aligned(first: Counter[Any], second: Counter[Any]) -> tuple[tuple[Any, ...], NDArray[np.int64], NDArray[np.int64]]:
    """Two countings as arrays over the same categories, in order of their names."""
    words = tuple(sorted(first.keys() | second.keys(), key=str))
    one, other = (np.array([counts[word] for word in words], dtype=np.int64) for counts in (first, second))
    return words, one, other
