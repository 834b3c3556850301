"""Arrivals as they were recorded, or along the curve of what was recorded.

As recorded, every request comes when it did: to the nanosecond where stamps are that fine. Stamps in whole seconds say
only in which second a request came; within it the places are drawn uniformly, which is what a Poisson process gives for
a known count, and no second gets more or fewer than it had. A trace that repeats draws them anew each time.

Fitted to a rate (200/s, or three times its own), time stays as it was and the rate is multiplied: the recording is the
rate curve, in steps, of a Poisson process. (Stretching time to reach a rate would squeeze a day into minutes; `speed`
does that, where wanted.)
"""

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness import traces
from harness.arrivals.curve import NEVER, Curve
from harness.domain.traffic import RateFactor, Trace
from harness.domain.units import SECOND, duration_text
from harness.errors import InputError
from harness.seeds import Stream

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

MOST_PER_S: Final = 10_000_000
"""The highest mean rate of a replay; a mistyped speed would fill the memory."""
_MOST_STEPS: Final = 5_000_000


class Replay:
    """Recorded arrivals, one by one; keeps the `harness.protocols.Arrivals` promise.

    Args:
        begins: where each recorded request stands at the earliest, in ns since the recording began, rising.
        ends: and before which time; the same where it is known exactly.
        length_ns: of the recording; no request ends after it.
        repeat: begin anew after that.
    """

    def __init__(self, begins: IntArray, ends: IntArray, length_ns: int, *, repeat: bool) -> None:
        self._begins = begins
        self._width = ends - begins
        self._exact = not self._width.any()
        self._length_ns = length_ns
        self._repeat = repeat
        self.curve = Counted(begins, ends, length_ns, repeat=repeat)

    def times(self, start_ns: int, stop_ns: int, rng: Stream) -> IntArray:
        """Arrival times in ``[start_ns, stop_ns)``, rising, in nanoseconds; however the time line is cut."""
        start_ns = max(start_ns, 0)
        if stop_ns <= start_ns:
            return np.zeros(0, np.int64)
        first, last = start_ns // self._length_ns, (stop_ns - 1) // self._length_ns
        if not self._repeat:
            first, last = 0, 0
        parts = [self.cell(number, rng)[0] for number in range(first, last + 1)]
        parts[-1] = parts[-1][: np.searchsorted(parts[-1], stop_ns)]
        parts[0] = parts[0][np.searchsorted(parts[0], start_ns) :]
        return np.concatenate(parts)

    def cell(self, cell: int, rng: Stream) -> tuple[IntArray, int]:
        """The arrival times of one pass through the recording, rising, and when it ends: NEVER if it is the last."""
        if not self._repeat:
            return self._pass(0, rng) if not cell else np.zeros(0, np.int64), NEVER
        return self._pass(cell, rng) + cell * self._length_ns, (cell + 1) * self._length_ns

    def _pass(self, number: int, rng: Stream) -> IntArray:
        if self._exact:
            return self._begins
        draws = rng.child("within").generator(number).random(self._begins.size)
        return np.sort(self._begins + (draws * self._width).astype(np.int64))


class Counted:
    """How many requests of a recording are expected by a time: all that surely came, and a share of the others."""

    def __init__(self, begins: IntArray, ends: IntArray, length_ns: int, *, repeat: bool) -> None:
        self._begins, self._ends = begins, ends
        self._length_ns, self._repeat = length_ns, repeat

    def expected(self, at_ns: ArrayLike) -> FloatArray:
        """How many arrivals are expected before each time."""
        at = np.maximum(np.asarray(at_ns, np.int64), 0)
        passes = at // self._length_ns if self._repeat else np.zeros_like(at)
        since = at - passes * self._length_ns
        begun = np.searchsorted(self._begins, since, side="left")
        over = np.minimum(np.searchsorted(self._ends, since, side="right"), begun)
        # Those that have begun and are not over share one second: any of them tells how far it has gone.
        one = np.minimum(over, self._begins.size - 1)
        width = np.maximum(self._ends[one] - self._begins[one], 1)
        gone = np.clip((since - self._begins[one]) / width, 0.0, 1.0)
        return np.asarray(passes * self._begins.size + over + (begun - over) * gone)


def replay_of(trace: Trace) -> Replay:
    """The arrivals of a recording at its own rate; InputError where the file or the cut has none."""
    begins, ends, length_ns = _cut(trace)
    return Replay(begins, ends, length_ns, repeat=trace.repeat)


def fitted(trace: Trace) -> Curve:
    """The recording's curve of rates, multiplied so that its mean is the trace's rate.

    Raises:
        InputError: the file or the cut has no request, or there are too many steps or too high a rate.
    """
    begins, ends, length_ns = _cut(trace)
    factor = _factor(trace.rate, begins.size * SECOND / length_ns, trace.path)
    step = trace.resolution_ns
    if length_ns // step > _MOST_STEPS:
        raise InputError(
            f"{trace.path}: {duration_text(length_ns)} in steps of {duration_text(step)} are too many; give a longer "
            "traffic.trace.resolution"
        )
    edges = np.append(np.arange(0, length_ns, step), length_ns)
    counts = np.diff(Counted(begins, ends, length_ns, repeat=False).expected(edges))
    counts[-1] += begins.size - counts.sum()
    rates = counts * factor / (np.diff(edges) / SECOND)
    knots, heights = np.repeat(edges, 2)[1:-1], np.repeat(rates, 2)
    if trace.repeat:
        return Curve(knots.tolist(), heights.tolist(), length_ns)
    return Curve([*knots.tolist(), float(length_ns)], [*heights.tolist(), 0.0])


def _factor(rate: float | RateFactor | None, mean_per_s: float, path: str) -> float:
    """What the recorded curve, in the run's time, is multiplied by."""
    if not isinstance(rate, RateFactor):
        return 1.0 if rate is None else rate / mean_per_s
    if rate.factor * mean_per_s > MOST_PER_S:
        raise InputError(
            f"{path}: x{rate.factor:g} of the recorded {mean_per_s:,.6g}/s is more than {MOST_PER_S:,}/s; give a lower "
            "traffic.trace.rate"
        )
    return rate.factor


def length_ns(trace: Trace) -> int:
    """How long the recording takes in the run, once, in ns."""
    return _cut(trace)[2]


def notes(trace: Trace) -> tuple[str, ...]:
    """What a reader should know of the recording."""
    return traces.read(trace.path, trace.format, trace.time, trace.unit).notes


def _cut(trace: Trace) -> tuple[IntArray, IntArray, int]:
    """Of the part that is used, in the run's time: each request's earliest and latest place, and the part's length."""
    records = traces.read(trace.path, trace.format, trace.time, trace.unit)
    offset = records.at_ns - records.at_ns[0]
    width = records.resolution_ns if trace.spread and records.resolution_ns > 1 else 0
    # A recording is over one gap, or one whole second, after its last request.
    last = int(offset[-1])
    natural = last + (width or last // max(offset.size - 1, 1) or SECOND)
    until = min(natural, trace.until_ns) if trace.until_ns is not None else natural
    chosen = offset[np.searchsorted(offset, trace.from_ns) : np.searchsorted(offset, until)]
    if not chosen.size:
        upto = f" until {duration_text(trace.until_ns)}" if trace.until_ns is not None else ""
        raise InputError(
            f"{trace.path}: no request was recorded from {duration_text(trace.from_ns)}{upto}; the recording lasts "
            f"{duration_text(natural)} (traffic.trace.from, until)"
        )
    begins = chosen - trace.from_ns
    ends = np.minimum(chosen + width, until) - trace.from_ns
    length = until - trace.from_ns
    if trace.speed != 1.0:
        begins, ends = (np.floor(each / trace.speed).astype(np.int64) for each in (begins, ends))
        length = math.ceil(length / trace.speed)
    if begins.size * SECOND > MOST_PER_S * length:
        raise InputError(
            f"{trace.path}: {begins.size:,} requests in {duration_text(length)} are more than {MOST_PER_S:,}/s; "
            "give a lower traffic.trace.speed"
        )
    return begins, ends, length
