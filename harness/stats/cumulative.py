"""Histograms that others counted in a few buckets, such as Prometheus', as ours.

What is known of a bucket is how many fell between its bounds, not where. Here they lie evenly between the two, as
Prometheus' ``histogram_quantile`` takes them to: the i-th of n at ``lower + (upper - lower) * i / n``. A quantile is
then what ``histogram_quantile`` answers, within one rank and the 0.8 % of our own buckets. How far either is from the
truth the bounds say: the true quantile lies somewhere in the same bucket.
"""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.domain.units import SECOND
from harness.stats.histogram import BIAS, BUCKETS, SHIFT, Histogram

_ABOVE_NS: Final = ((np.arange(1, BUCKETS + 1, dtype=np.int64) + BIAS) << SHIFT).view(np.float64) - 1.0
"""Where each bucket of ours ends; what lies there belongs to the next."""


def from_cumulative(counts: Mapping[float, int], sum_ns: int | None = None) -> Histogram:
    """A histogram of durations from cumulative buckets.

    Args:
        counts: by upper bound in seconds (``le``), how many durations were no longer; ``inf`` is the count of all. One
            that is lower than the one before it (replicas with other bounds, scraped apart) is raised to it, as
            Prometheus does.
        sum_ns: of all durations; None: not known, and taken from the middle of each bucket.

    Returns:
        Those above the highest finite bound stand at that bound: it is all that is known of them. Empty where nothing
        was counted, or no bound is finite.

    >>> found = from_cumulative({0.1: 50, 0.2: 90, math.inf: 100})
    >>> found.count, [round(found.quantile(q) / 1e9, 2) for q in (0.25, 0.5, 0.7, 0.99)]
    (100, [0.05, 0.1, 0.15, 0.2])
    """
    bounds = sorted(counts)
    finite = [bound * SECOND for bound in bounds if math.isfinite(bound)]
    if not finite:
        return Histogram()
    rising = np.maximum.accumulate([0, *(counts[bound] for bound in bounds)])
    inside = [int(after - before) for before, after in pairwise(rising)]
    beyond = sum(inside[len(finite) :])
    lowest = min(0.0, finite[0])
    spread, middle = np.zeros(BUCKETS, np.int64), 0.0
    for lower, upper, count in zip([lowest, *finite], finite, inside, strict=False):
        spread += _even(max(lower, 0.0), max(upper, 0.0), count)
        middle += count * max(lower + upper, 0.0) / 2
    spread += _even(max(finite[-1], 0.0), max(finite[-1], 0.0), beyond)
    middle += beyond * max(finite[-1], 0.0)
    if not spread.any():
        return Histogram()
    return Histogram.of_counts(spread, round(middle) if sum_ns is None else sum_ns)


def _even(lower_ns: float, upper_ns: float, count: int) -> NDArray[np.int64]:
    """So many durations in each bucket of ours, if they lie evenly in ``(lower, upper]``."""
    if not count:
        return np.zeros(BUCKETS, np.int64)
    if upper_ns <= lower_ns:
        below = np.where(upper_ns < _ABOVE_NS, count, 0)
    else:
        # The i-th lies below an end where i < count * (end - lower) / (upper - lower).
        place = count * (_ABOVE_NS - lower_ns) / (upper_ns - lower_ns)
        below = np.where(upper_ns < _ABOVE_NS, count, np.clip(np.ceil(place) - 1, 0, count))
    rising: NDArray[np.int64] = below.astype(np.int64)
    rising[1:] -= rising[:-1].copy()
    return rising
