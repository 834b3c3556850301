"""Arrivals that know nothing of each other: a Poisson process, its rate following the curve."""

import numpy as np
from numpy.typing import NDArray

from harness.arrivals.paced import CELL
from harness.seeds import Stream


def poisson(cell: int, rng: Stream) -> NDArray[np.float64]:
    """Where the arrivals of a cell stand in it, between 0 and CELL, which stand first and last.

    Their number is Poisson. Given it they are uniform, and exponential spacings over their sum are sorted uniforms
    (Devroye 1986, V.2): that needs no sorting.
    """
    draw = rng.generator(cell)
    spacing = draw.standard_exponential(int(draw.poisson(CELL)) + 1)
    places = np.zeros(spacing.size + 1)
    np.cumsum(spacing, out=places[1:])
    places *= CELL / places[-1]
    places[-1] = CELL
    return places
