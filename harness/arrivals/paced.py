"""Arrivals as a unit-rate process in the curve's expected count, with its time stretched by the curve.

A process of rate one is laid out in cells of CELL expected arrivals, each made from the stream by its number alone; the
inverse of the curve's expected count turns positions into times (time change: Çınlar 1975). So any part of the time
line can be had without what comes before it, and cutting it elsewhere gives the same arrivals to the nanosecond.
"""

from collections.abc import Callable
from typing import Final, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.arrivals.curve import Curve
from harness.seeds import Stream

IntArray = NDArray[np.int64]
Places = Callable[[int, Stream], NDArray[np.float64]]
"""The arrivals of a cell, by its number: where they stand in it, rising, after a first 0 and before a last CELL."""

CELL: Final = 8192
"""Expected arrivals in a cell: enough to make numpy's and a generator's fixed costs small."""


class Expectation(Protocol):
    """How many arrivals are expected."""

    def expected(self, at_ns: ArrayLike) -> NDArray[np.float64]:
        """How many arrivals are expected before each time."""
        ...


class Cells(Protocol):
    """Arrivals that can be had in pieces, each by its number; keeps the `harness.protocols.Arrivals` promise."""

    @property
    def curve(self) -> Expectation:
        """What is expected of them."""
        ...

    def times(self, start_ns: int, stop_ns: int, rng: Stream) -> IntArray:
        """Arrival times in ``[start_ns, stop_ns)``, rising, in nanoseconds; however the time line is cut."""
        ...

    def cell(self, cell: int, rng: Stream) -> tuple[IntArray, int]:
        """The arrival times of a piece, rising, and when the piece ends."""
        ...


class Paced:
    """An arrival process over a curve of rates; keeps the `harness.protocols.Arrivals` promise."""

    def __init__(self, curve: Curve, places: Places) -> None:
        self.curve = curve
        self._places = places

    def times(self, start_ns: int, stop_ns: int, rng: Stream) -> IntArray:
        """Arrival times in ``[start_ns, stop_ns)``, rising, in nanoseconds; none before 0.

        The same stream gives the same times, however the time line is cut and whatever was asked before.
        """
        start_ns = max(start_ns, 0)
        if stop_ns <= start_ns:
            return np.zeros(0, np.int64)
        first, last = (int(count // CELL) for count in self.curve.expected([start_ns, stop_ns]))
        # The expected count is rounded: what decides is when the cells really begin.
        while first > 0 and self.begins(first) >= start_ns:
            first -= 1
        while self.begins(last + 1) < stop_ns:
            last += 1
        parts = [self.cell(cell, rng)[0] for cell in range(first, last + 1)]
        # All but the outer cells lie within the window.
        parts[-1] = parts[-1][: np.searchsorted(parts[-1], stop_ns)]
        parts[0] = parts[0][np.searchsorted(parts[0], start_ns) :]
        return np.concatenate(parts)

    def begins(self, cell: int) -> int:
        """When a cell begins, in nanoseconds; NEVER where the curve does not get so far."""
        return int(self.curve.when(float(cell * CELL)))

    def cell(self, cell: int, rng: Stream) -> tuple[IntArray, int]:
        """The arrival times of a cell, rising, and when it ends; none is before it begins or after it ends."""
        times = self.curve.when(cell * CELL + self._places(cell, rng))
        if np.any(times[1:] < times[:-1]):
            # Rounding puts a time a nanosecond before its neighbour's now and then. The cell's ends stay as they are.
            np.maximum.accumulate(times[:-1], out=times[:-1])
            np.minimum(times, times[-1], out=times)
        return times[1:-1], int(times[-1])


class Reader:
    """Reads arrivals in order, window by window, at a few microseconds each: it keeps the cell it is in."""

    def __init__(self, process: Cells, rng: Stream) -> None:
        self._process = process
        self._rng = rng
        self._next = 1
        self._rest, self._ends = process.cell(0, rng)

    def until(self, stop_ns: int) -> IntArray:
        """Arrivals before ``stop_ns`` that have not been read yet."""
        parts = []
        while self._ends < stop_ns:
            parts.append(self._rest)
            self._rest, self._ends = self._process.cell(self._next, self._rng)
            self._next += 1
        cut = np.searchsorted(self._rest, stop_ns)
        parts.append(self._rest[:cut])
        self._rest = self._rest[cut:]
        return np.concatenate(parts) if len(parts) > 1 else parts[0]
