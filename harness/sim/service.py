"""Service times as quantile tables: any law at the price of one draw and one multiplication.

A table gives the time as a straight line over the survival probability, piece by piece. The pieces are those of the
bits of a float64: 64 to each halving of the probability, so that the tail, which makes the queues, is as fine at one in
a million as it is at one in two. Each line keeps the mean of its piece exactly and is the nearest in the squared
error, so the law's mean and second moment survive (to better than 1e-5; a test holds it).
"""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.domain.service import ServiceTime
from harness.domain.units import SECOND
from harness.sim.bits import Int, Word, at, compiled, float_bits
from harness.sim.laws import quantile_of
from harness.stats.histogram import BIAS, SHIFT, SUB_BITS

FloatArray = NDArray[np.float64]

DIGITS: Final = 53
"""A draw is a whole number of so many binary digits: the survival probability times 2^53."""
PIECES: Final = DIGITS << SUB_BITS

_11: Final = np.uint64(64 - DIGITS)
_1: Final = np.uint64(1)


@compiled
def service_ns(tables: FloatArray, law: Int, draw: Word) -> float:
    """A service time from 64 random bits, in nanoseconds; ``law`` is the number of a table among ``tables``, flat."""
    # Odd, so that it is never zero, and every piece has a draw.
    survival = np.float64(np.int64((draw >> _11) | _1))
    piece = law * PIECES + (float_bits(survival) >> SHIFT) - BIAS
    return float(tables[at(2 * piece)] + tables[at(2 * piece + 1)] * survival)


@lru_cache(maxsize=64)
def table_of(law: ServiceTime) -> FloatArray:
    """The quantile table of a law of service times.

    Returns:
        Read-only, of shape (PIECES, 2): value at 0 and slope of each piece, in nanoseconds over the survival
        probability times 2^53.

    Raises:
        InputError: The law's figures make none.
    """
    quantile = quantile_of(law)
    index = np.arange(PIECES + 1, dtype=np.int64)
    edge = ((index + BIAS) << SHIFT).view(np.float64)
    middle, half = (edge[1:] + edge[:-1]) / 2, (edge[1:] - edge[:-1]) / 2
    # Gauss and Legendre: eight points give the mean and the first moment of each piece to all digits that matter.
    point, weight = np.polynomial.legendre.leggauss(8)
    value = quantile((middle[:, None] + half[:, None] * point) * 2.0**-DIGITS) * SECOND
    mean = value @ weight / 2
    # More survive a shorter time, so lines fall. One that would cross zero at the far end is turned about its middle.
    rise = np.clip(value @ (weight * point) * 1.5, -mean, 0.0)
    table = np.stack([mean - rise / half * middle, rise / half], axis=1)
    table.setflags(write=False)
    return table
