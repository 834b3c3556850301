"""MLPerf's rules for load tests, as its LoadGen holds them: how many queries a percentile takes, and when fewer do.

Without early stopping the number is fixed beforehand: enough for a percentile whose interval is a twentieth of its tail
on either side (Reddi et al. 2020, MLPerf Inference Benchmark). With it, it is what was seen that tells: so many queries
over the bound need so many others within it that a worse system would show as few only once in a hundred runs
(mlcommons/inference, loadgen/early_stopping.cc and results.cc, version 6.0).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from harness.domain.units import MINUTE, SECOND, duration_text
from harness.stats.histogram import REPRESENTATIVE_NS, Histogram

CONFIDENCE: Final = 0.99
TOLERANCE: Final = 0.0
"""By how much a percentile may be missed; LoadGen's own."""
SERVER_PERCENTILE: Final = 0.99
SINGLE_STREAM_PERCENTILE: Final = 0.9
LEAST_NS: Final = 10 * MINUTE
"""How long a run lasts at least, as the rules of a submission have it; LoadGen's own default is 10 s."""

_TAIL: Final = 20
"""The margin is the tail over this."""
_BATCH: Final = 8192
"""Numbers of queries are whole multiples of it."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a run comes to under MLPerf's rules."""

    valid: bool
    metric: float | None
    """Server: the rate in 1/s that was asked for. Single stream: the percentile's estimate in seconds; None where there
    are too few queries for one."""
    queries: int
    """That were issued."""
    needed: int
    """Queries that are enough, given how many were over the bound; for single stream, to estimate at all."""
    reasons: tuple[str, ...]
    """Why it is not valid; empty where it is."""


def queries_needed(percentile: float, confidence: float = CONFIDENCE) -> int:
    """Queries for a percentile without early stopping.

    Args:
        percentile: as a share, such as 0.99.
        confidence: that it lies within a twentieth of its tail.

    >>> [queries_needed(p) for p in (0.9, 0.95, 0.99)]
    [24576, 57344, 270336]
    """
    from scipy.special import ndtri

    _check(percentile, confidence, TOLERANCE)
    margin = (1 - percentile) / _TAIL
    z = float(ndtri((1 - confidence) / 2))
    # 1 - 0.9 is not 0.1 to the last digit; the number must not move for that.
    exact = z * z * percentile * (1 - percentile) / (margin * margin)
    return _BATCH * math.ceil(exact / _BATCH * (1 - 1e-12))


def within_needed(over: int, percentile: float, *, confidence: float = CONFIDENCE, tolerance: float = TOLERANCE) -> int:
    """With so many queries over the bound: the least number of others that must be within it to stop early.

    The smallest h with I(percentile - tolerance; h, over + 1) < 1 - confidence, I the regularised incomplete beta
    function: were only that share within the bound, so few would be over it in fewer than one run in a hundred.

    >>> within_needed(0, 0.99), within_needed(1, 0.99), within_needed(10, 0.99)
    (459, 661, 2000)
    """
    _check(percentile, confidence, tolerance)
    if over < 0:
        raise ValueError(f"{over} queries are over the bound; there are none or more")
    high = 1
    while not _convinced(high, over, percentile - tolerance, confidence):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _convinced(middle, over, percentile - tolerance, confidence) else (middle, high)
    return high


def over_allowed(queries: int, percentile: float, *, confidence: float = CONFIDENCE) -> int | None:
    """How many of so many queries may be over a bound that is still met; None where even none is too many.

    >>> over_allowed(63, 0.9), over_allowed(64, 0.9), over_allowed(24_576, 0.9)
    (0, 1, 2348)
    >>> over_allowed(40, 0.9) is None
    True
    """
    _check(percentile, confidence, TOLERANCE)
    if not _convinced(queries, 0, percentile, confidence):
        return None
    low, high = 0, queries
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _convinced(queries - middle, middle, percentile, confidence) else (low, middle)
    return low


def over_bound(latency: Histogram, bound_ns: int) -> int:
    """How many of the latencies are over a bound; those in its own bucket (within 0.8 % of it) by what it stands for.

    >>> over_bound(Histogram.of([1_000_000] * 5 + [3_000_000] * 2), 2_000_000)
    2
    """
    kept = REPRESENTATIVE_NS[latency.first : latency.first + latency.counts.size]
    return int(latency.counts[kept > bound_ns].sum())


def judge_server(
    over: int,
    queries: int,
    *,
    rate_per_s: float,
    bound_ns: int,
    elapsed_ns: int,
    percentile: float = SERVER_PERCENTILE,
    least_ns: int = LEAST_NS,
    least_queries: int = 1,
) -> Judgement:
    """Judge a run of Poisson arrivals, whose latencies run from the scheduled issue to the reply.

    Args:
        over: Queries whose reply came later than the bound, or never (which LoadGen does not know: there all are
            answered).
        queries: That were issued.
        rate_per_s: That was asked for; the metric, where the run is valid.
        bound_ns: That the percentile is held to.
        elapsed_ns: When the last query was due.
        percentile: Of the model's task, as a share.
        least_ns: How long the run must last.
        least_queries: How many there must be in any case.
    """
    if not 0 <= over <= queries:
        raise ValueError(f"{over} of {queries} queries are over the bound; none to all of them can be")
    needed = max(within_needed(over, percentile) + over, least_queries)
    reasons = _shortfalls(queries, elapsed_ns, least_ns, least_queries)
    # LoadGen's percentile is the value at this place, counted from 0, of all in order.
    if over and queries - over <= int(queries * percentile):
        reasons.append(
            f"p{percentile * 100:g} is above {duration_text(bound_ns)}: {over:,} of {queries:,} queries took longer"
        )
    elif queries < needed and queries >= least_queries:
        reasons.append(
            f"{over:,} of {queries:,} queries were over {duration_text(bound_ns)}, which needs {needed:,} queries; "
            f"run {needed - queries:,} more"
        )
    return Judgement(not reasons, rate_per_s, queries, needed, tuple(reasons))


def judge_single_stream(
    latency: Histogram | Sequence[float],
    *,
    elapsed_ns: int,
    percentile: float = SINGLE_STREAM_PERCENTILE,
    least_ns: int = LEAST_NS,
    least_queries: int = 1,
) -> Judgement:
    """Judge a run in which each query is sent when the one before it was answered.

    Args:
        latency: Of all queries, in ns; a histogram, or numbers that rise.
        elapsed_ns: When the last query was sent.
        percentile: Of the model's task, as a share.
        least_ns: How long the run must last.
        least_queries: How many there must be in any case.

    Returns:
        Its metric is the percentile as early stopping allows it: the latency that as many exceed or reach as may be
        over a bound that is met. It lies above the plain percentile, the less so the more queries there are.
    """
    queries = latency.count if isinstance(latency, Histogram) else len(latency)
    # LoadGen takes no estimate where none may be over: it would be the largest of all, however few there are.
    needed = within_needed(1, percentile) + 1
    reasons = _shortfalls(queries, elapsed_ns, least_ns, least_queries)
    allowed = over_allowed(queries, percentile)
    if not allowed:
        reasons.append(f"{queries:,} queries are too few for p{percentile * 100:g}; it takes {needed:,} at least")
        return Judgement(
            valid=False, metric=None, queries=queries, needed=max(needed, least_queries), reasons=tuple(reasons)
        )
    place = queries - allowed
    # By nearest rank the q-quantile is the value at place ceil(q n), counted from 1.
    found = latency.quantile((place + 1) / queries) if isinstance(latency, Histogram) else latency[place]
    return Judgement(not reasons, found / SECOND, queries, max(needed, least_queries), tuple(reasons))


def _shortfalls(queries: int, elapsed_ns: int, least_ns: int, least_queries: int) -> list[str]:
    """What a run of any kind lacks."""
    found = []
    if elapsed_ns < least_ns:
        found.append(f"the run lasted {duration_text(elapsed_ns)}; it lasts {duration_text(least_ns)} at least")
    if queries < least_queries:
        found.append(f"{queries:,} queries were issued; it takes {least_queries:,} at least")
    return found


def _convinced(within: int, over: int, share: float, confidence: float) -> bool:
    """Whether so few over the bound would be seen too seldom, were the share within it no more than that."""
    from scipy.special import betainc

    return within > 0 and float(betainc(within, over + 1, share)) < 1 - confidence


def _check(percentile: float, confidence: float, tolerance: float) -> None:
    if not 0 < percentile < 1 or not 0 < confidence < 1:
        raise ValueError(f"percentile {percentile} and confidence {confidence} are shares between 0 and 1")
    if not 0 <= tolerance < percentile:
        raise ValueError(f"the tolerance {tolerance} lies between 0 and the percentile {percentile}")
