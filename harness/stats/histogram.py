"""Durations in log buckets: small, mergeable, and within 0.8 % at any quantile.

The bucket of a duration is read off the bits of its float64: the exponent and the first six bits of the mantissa, so 64
buckets to each power of two (as in HdrHistogram and DDSketch, but with no logarithm to take). It is the bucket of
``duration + 1``, which gives zero a bucket of its own and makes every duration below 127 ns exact. Compiled kernels
fill the same buckets (`harness.sim.bits.bucket`).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.domain.units import SECOND

IntArray = NDArray[np.int64]

SUB_BITS: Final = 6
"""Buckets to a power of two, as a power of two."""
SHIFT: Final = 52 - SUB_BITS
"""What is dropped of a float64's 52 bits of mantissa."""
BIAS: Final = 1023 << SUB_BITS
"""The index that a float64's bits would give 1.0, were its exponent not biased."""
BUCKETS: Final = 64 << SUB_BITS
"""Enough for any int64."""

# q * n is a hair above the whole number it stands for now and then (0.07 * 100); the rank must not move for that.
_ROUNDING: Final = 1 - 1e-12


def bucket_of(duration_ns: ArrayLike) -> IntArray:
    """The bucket of each duration.

    Args:
        duration_ns: Durations in nanoseconds, any shape, none negative.

    Returns:
        Bucket numbers in ``0 .. BUCKETS - 1``, of the same shape; rising with the duration.

    >>> bucket_of([0, 1, 2, 1_000_000]).tolist()
    [0, 64, 96, 1274]
    """
    duration = np.asarray(duration_ns, dtype=np.int64)
    if duration.size and duration.min() < 0:
        raise ValueError(f"a duration of {duration.min()} ns is negative")
    bits: IntArray = (duration.astype(np.float64) + 1.0).view(np.int64)
    return (bits >> SHIFT) - BIAS


def _representatives() -> NDArray[np.float64]:
    """What each bucket stands for, in nanoseconds: the value with the least relative error at both of its ends."""
    index = np.arange(BUCKETS + 1, dtype=np.int64)
    edge = ((index + BIAS) << SHIFT).view(np.float64)
    low = edge[:-1]
    # A bucket holds whole numbers only, so narrow ones hold just their lower edge.
    high = np.maximum(np.ceil(edge[1:]) - 1.0, low)
    return np.asarray(2.0 * low * high / (low + high) - 1.0)


REPRESENTATIVE_NS: Final = _representatives()


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Counts of durations in log buckets, with their exact sum; a value, never changed.

    >>> latency = Histogram.of([10_000_000] * 99 + [80_000_000])
    >>> latency.count, latency.mean_s, round(latency.quantile(0.5) / 1e6, 1)
    (100, 0.0107, 10.0)
    >>> latency + Histogram() == latency
    True
    """

    first: int = 0
    """The bucket that ``counts`` begins at."""
    counts: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    """How many fell into each bucket; read-only, and no zero stands at either end (so equal values are equal)."""
    sum_ns: int = 0

    @classmethod
    def of(cls, durations_ns: ArrayLike) -> "Histogram":
        """Count durations, in nanoseconds; ValueError where one is negative."""
        durations = np.asarray(durations_ns, dtype=np.int64)
        # In two halves, since a few centuries of nanoseconds are all that an int64 holds.
        sum_ns = (int((durations >> 32).sum()) << 32) + int((durations & 0xFFFF_FFFF).sum())
        return cls.of_counts(np.bincount(bucket_of(durations).ravel(), minlength=1), sum_ns)

    @classmethod
    def of_counts(cls, counts: ArrayLike, sum_ns: int, first: int = 0) -> "Histogram":
        """Take counts by bucket, from bucket ``first`` on, as a kernel filled them; they are copied."""
        dense = np.asarray(counts, dtype=np.int64)
        filled = np.flatnonzero(dense)
        if not filled.size:
            return cls(sum_ns=sum_ns)
        trimmed = dense[filled[0] : filled[-1] + 1].copy()
        trimmed.setflags(write=False)
        return cls(first + int(filled[0]), trimmed, sum_ns)

    @classmethod
    def merge(cls, parts: "Iterable[Histogram]") -> "Histogram":
        """All of them in one; exact, in any order and grouping."""
        some = [part for part in parts if part.counts.size]
        if len(some) < 2:
            return some[0] if some else cls()
        first = min(part.first for part in some)
        dense = np.zeros(max(part.first + part.counts.size for part in some) - first, np.int64)
        for part in some:
            dense[part.first - first : part.first - first + part.counts.size] += part.counts
        return cls.of_counts(dense, sum(part.sum_ns for part in some), first)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Histogram":
        """The histogram that `to_dict` exported."""
        buckets = {int(bucket): int(count) for bucket, count in data["counts"].items()}
        dense = np.zeros(max(buckets, default=0) + 1, np.int64)
        dense[list(buckets)] = list(buckets.values())
        return cls.of_counts(dense, int(data["sum_ns"]))

    def to_dict(self) -> dict[str, Any]:
        """For JSON: the sum, and the count of each bucket that has any.

        >>> Histogram.of([5, 5, 90]).to_dict()
        {'sum_ns': 100, 'counts': {'160': 2, '411': 1}}
        """
        filled = np.flatnonzero(self.counts)
        counts = {str(self.first + int(i)): int(self.counts[i]) for i in filled}
        return {"sum_ns": self.sum_ns, "counts": counts}

    @property
    def count(self) -> int:
        """How many durations were counted."""
        return int(self.counts.sum())

    @property
    def mean_s(self) -> float:
        """Their mean, exact, in seconds; ValueError where there are none."""
        if not self.counts.size:
            raise ValueError("nothing was counted, so there is no mean")
        return self.sum_ns / self.count / SECOND

    def quantile(self, q: float) -> float:
        """The least duration that a share ``q`` of all do not exceed (nearest rank), in nanoseconds.

        Args:
            q: From 0 (the least of all) to 1 (the greatest).

        Returns:
            Nanoseconds, within 0.8 %.

        Raises:
            ValueError: ``q`` is no share, or nothing was counted.
        """
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"a quantile is asked for at {q}; it takes a share from 0 to 1")
        if not self.counts.size:
            raise ValueError("nothing was counted, so there are no quantiles")
        rising = np.cumsum(self.counts)
        rank = max(1, math.ceil(q * int(rising[-1]) * _ROUNDING))
        index = self.first + int(np.searchsorted(rising, rank))
        return float(REPRESENTATIVE_NS[index])

    def __add__(self, other: "Histogram") -> "Histogram":
        return Histogram.merge((self, other))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        same = self.first == other.first and self.sum_ns == other.sum_ns
        return same and np.array_equal(self.counts, other.counts)

    def __hash__(self) -> int:
        return hash((self.first, self.sum_ns, self.counts.tobytes()))
