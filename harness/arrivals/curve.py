"""A curve of rates, how many arrivals it expects by a time, and by when it expects so many.

Between two knots the rate runs straight, so the expected count is a parabola there and both directions have closed
forms. Everything is taken element by element from one table: no answer depends on what else is asked.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.domain.traffic import Knots, Wave
from harness.domain.units import SECOND
from harness.errors import InputError

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

NEVER: Final = 2**63 - 1
"""A time beyond all others."""

# A wave is drawn with so many knots to its period. Straight lines between them miss its rate by 5e-6 of its amplitude
# at most, and its count by nothing: the trapezoid rule is exact for a cosine.
WAVE_KNOTS: Final = 1024

# A rate that is as good as none: it keeps 0/0 away.
_TINY: Final = 1e-300


class Curve:
    """A rate over time, straight from knot to knot; it keeps the last one's value, or starts anew with each period.

    >>> ramp = Curve([0, 10 * SECOND], [0.0, 20.0])
    >>> ramp.expected([5 * SECOND, 10 * SECOND, 11 * SECOND]).tolist()
    [25.0, 100.0, 120.0]
    >>> ramp.when([25.0, 100.0, 120.0]).tolist()
    [5000000000, 10000000000, 11000000000]
    """

    def __init__(self, at_ns: Sequence[float], rate_per_s: Sequence[float], repeat_ns: int | None = None) -> None:
        """Take the knots.

        Args:
            at_ns: Times of the knots, the first 0, none before its forerunner; two at one time are a jump.
            rate_per_s: The rate at each knot.
            repeat_ns: The period, not before the last knot; None where the curve does not repeat.

        Raises:
            InputError: The knots are out of order, or a rate is negative or not finite.
        """
        _check(at_ns, rate_per_s, repeat_ns)
        at = np.array(at_ns, np.float64)
        rate = np.array(rate_per_s, np.float64) / SECOND
        if repeat_ns is not None:
            at, rate = np.append(at, float(repeat_ns)), np.append(rate, rate[-1])
        span = np.diff(at)
        self._at = at
        self._rate = rate
        # The last knot's rate goes on for ever, or is never reached.
        self._span = np.append(span, np.inf)
        self._slope = np.append(np.divide(np.diff(rate), span, out=np.zeros_like(span), where=span > 0), 0.0)
        self._count = np.append(0.0, np.cumsum((rate[:-1] + rate[1:]) / 2 * span))
        self._repeat_ns = repeat_ns
        self._forever = bool(rate[-1] > 0) if repeat_ns is None else bool(self._count[-1] > 0)

    def rate_per_s(self, at_ns: ArrayLike) -> FloatArray:
        """The rate at each time, in 1/s; at a jump, the rate after it."""
        _, since = self._period(np.asarray(at_ns, np.int64))
        piece, rest = self._piece(self._at, since)
        return np.asarray((self._rate[piece] + self._slope[piece] * rest) * SECOND)

    def expected(self, at_ns: ArrayLike) -> FloatArray:
        """How many arrivals are expected before each time."""
        period, since = self._period(np.asarray(at_ns, np.int64))
        piece, rest = self._piece(self._at, since)
        within = self._count[piece] + rest * (self._rate[piece] + self._slope[piece] / 2 * rest)
        return np.asarray(within + period * self._count[-1])

    def when(self, count: ArrayLike) -> IntArray:
        """By when so many arrivals are expected, in whole nanoseconds rounded down; NEVER where they never are.

        Where the rate is zero for a while, the count stands still: the answer is then the end of that while.
        """
        wanted = np.asarray(count, np.float64)
        if not self._forever:
            possible = wanted < self._count[-1]
            return np.where(possible, self._whole(np.where(possible, wanted, 0.0)), NEVER)
        if self._repeat_ns is None:
            return self._whole(wanted)
        period = np.floor(wanted / self._count[-1])
        # The quotient may round up to a whole number that the product does not reach.
        rest = np.clip(wanted - period * self._count[-1], 0.0, self._count[-1])
        whole = np.minimum(self._whole(rest), self._repeat_ns)
        return np.asarray(whole + period.astype(np.int64) * self._repeat_ns)

    def _whole(self, count: FloatArray) -> IntArray:
        piece, rest = self._piece(self._count, count)
        rate, slope = self._rate[piece], self._slope[piece]
        if not np.any(slope):
            offset = rest / np.maximum(rate, _TINY)
        else:
            # The root of a parabola in the form that loses no digits.
            reach = rate + np.sqrt(np.maximum(rate * rate + 2 * slope * rest, 0.0))
            offset = 2 * rest / np.maximum(reach, _TINY)
        return np.asarray((self._at[piece] + np.minimum(offset, self._span[piece])).astype(np.int64))

    def _period(self, at_ns: IntArray) -> tuple[IntArray, FloatArray]:
        if self._repeat_ns is None:
            return np.zeros_like(at_ns), at_ns.astype(np.float64)
        period = at_ns // self._repeat_ns
        return period, (at_ns - period * self._repeat_ns).astype(np.float64)

    def _piece(self, edges: FloatArray, value: FloatArray) -> tuple[Any, FloatArray]:
        """The last piece that begins at or before each value, and how far into it the value lies."""
        if value.size:
            first, last = np.searchsorted(edges, (value.min(), value.max()), side="right") - 1
            if first == last:  # as nearly always, for the arrivals of a moment; one number serves them all
                return first, value - edges[first]
        piece = np.searchsorted(edges, value, side="right") - 1
        return piece, value - edges[piece]


def of(shape: Knots | Wave) -> Curve:
    """The curve of a scenario's traffic; InputError where it has none."""
    if isinstance(shape, Knots):
        return Curve(shape.at_ns, shape.rate_per_s, shape.repeat_ns)
    if shape.period_ns <= 0:
        raise InputError(f"a wave has the period {shape.period_ns} ns; it must be positive")
    share = np.arange(WAVE_KNOTS + 1) / WAVE_KNOTS
    turn = 2 * np.pi * (share + shape.phase_ns / shape.period_ns)
    rate = shape.low_per_s + (shape.high_per_s - shape.low_per_s) * (1 + np.cos(turn)) / 2
    return Curve((share * shape.period_ns).tolist(), rate.tolist(), shape.period_ns)


def _check(at_ns: Sequence[float], rate_per_s: Sequence[float], repeat_ns: int | None) -> None:
    if len(at_ns) != len(rate_per_s) or not len(at_ns) or at_ns[0] != 0:
        raise InputError(
            f"a curve has {len(at_ns)} times and {len(rate_per_s)} rates; it takes as many, from time 0 on"
        )
    if any(later < earlier for earlier, later in pairwise(at_ns)):
        raise InputError("the times of a curve fall; each must be at or after the one before it")
    if not all(0 <= rate < float("inf") for rate in rate_per_s):
        raise InputError("a rate of a curve is negative or not finite; it must be at least 0/s")
    if repeat_ns is not None and (repeat_ns <= 0 or repeat_ns < at_ns[-1]):
        raise InputError(f"a curve repeats after {repeat_ns} ns, but has a knot at {at_ns[-1]:.0f} ns")
