"""Bits for compiled kernels: counter-based draws, and the histogram's buckets.

A draw is a hash of its purpose's key and the request's number (the output function of SplitMix64; Steele, Lea and Flood
2014), so that no draw depends on how many were made before it.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import numba
import numpy as np
from numba.core import types
from numba.extending import intrinsic

from harness.stats.histogram import BIAS, SHIFT

at: Final = np.uint64
"""Makes an index of an int64: unsigned, so that nothing is compiled in to look for negative ones."""

F = TypeVar("F", bound=Callable[..., Any])

Int = Any
"""A whole number in compiled code: an int64, whatever Python would make of it."""
Word = np.uint64
"""64 random bits. Mixed with an int64 it would become a float64, so the two meet only by conversion."""

GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio: the step from one request's counter to the next."""

_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)
WHOLE_SHARE: Final = 1 << 62
"""Everything, as a share; a threshold of so much lets every draw pass."""

_2: Final = np.uint64(2)
_30: Final = np.uint64(30)
_27: Final = np.uint64(27)
_31: Final = np.uint64(31)
_32: Final = np.uint64(32)
_LOW: Final = np.uint64(0xFFFF_FFFF)


def compiled(function: F) -> F:
    """Compile when first called, and keep the machine code on disk; one thread, strict IEEE arithmetic.

    Kernels pass arrays on and allocate nothing, so they need no reference counts, and are inlined into each other: with
    counts and calls a request would cost ten times as much. The code on disk is renewed when the caller's file changes,
    not when a file it takes kernels from does; remove ``__pycache__`` after changing this one.
    """
    jit = cast(Any, numba.njit)(cache=True, error_model="numpy", nogil=True, forceinline=True, _nrt=False)
    return cast(F, jit(function))


def _float_bits(_typing: Any, _value: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        from llvmlite import ir

        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), generate


float_bits: Callable[[float], Int] = cast(Any, intrinsic)(_float_bits)
"""The bits of a float64 as an int64."""


@compiled
def mix(counter: Word) -> Word:
    """Hash a counter to 64 random bits."""
    counter = (counter ^ (counter >> _30)) * _FIRST
    counter = (counter ^ (counter >> _27)) * _SECOND
    return counter ^ (counter >> _31)


@compiled
def share(draw: Word) -> Int:
    """A draw as a share of WHOLE_SHARE, for comparison with thresholds."""
    return np.int64(draw >> _2)


@compiled
def below(draw: Word, count: Int) -> Int:
    """A whole number in ``0 .. count - 1`` from the upper half of a draw (Lemire 2019, without his rejection).

    Its bias is ``count / 2^32`` at most.
    """
    return np.int64(((draw >> _32) * np.uint64(count)) >> _32)


@compiled
def below_low(draw: Word, count: Int) -> Int:
    """The same from the lower half, which owes nothing to the upper one."""
    return np.int64(((draw & _LOW) * np.uint64(count)) >> _32)


@compiled
def bucket(duration_ns: Int) -> Int:
    """The histogram's bucket of a duration; see `harness.stats.histogram.bucket_of`."""
    return (float_bits(np.float64(duration_ns) + 1.0) >> SHIFT) - BIAS
