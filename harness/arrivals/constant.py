"""Arrivals spread evenly along the curve, one after the other."""

import numpy as np
from numpy.typing import NDArray

from harness.arrivals.paced import CELL
from harness.seeds import Stream

# Each stands in the middle of its share of the curve: a whole number of them fits into a stretch, whatever rounding
# does at its ends.
_PLACES: NDArray[np.float64] = np.concatenate([[0.0], np.arange(0.5, CELL), [float(CELL)]])
_PLACES.setflags(write=False)


def constant(cell: int, rng: Stream) -> NDArray[np.float64]:
    """Where the arrivals of a cell stand in it, between 0 and CELL, which stand first and last."""
    return _PLACES
