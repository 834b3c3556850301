"""Arrivals in bunches, or more even than chance: a renewal process with gamma gaps, its rate following the curve.

The gaps' coefficient of variation says which: 1 is a Poisson process, above it arrivals come in bunches with lulls in
between, below it they keep a distance. Over long stretches the variance of a count is its mean times the square of it.
"""

import numpy as np
from numpy.typing import NDArray

from harness.arrivals.paced import CELL, Places
from harness.domain.traffic import LEAST_VARIATION, MOST_VARIATION
from harness.errors import InputError
from harness.seeds import Stream


def gamma(variation: float) -> Places:
    """Arrivals whose gaps have that coefficient of variation (standard deviation over mean).

    Each cell is a process in equilibrium of its own: its first gap is what is left of one that had begun before
    (Cox 1962, Renewal Theory, 5.2), so that any window's expected count is the curve's, to the first arrival. A gap
    that spans two cells is therefore made of two independent parts; of 8192 gaps that is one.

    Raises:
        InputError: the variation lies outside LEAST_VARIATION .. MOST_VARIATION.
    """
    if not LEAST_VARIATION <= variation <= MOST_VARIATION:
        raise InputError(
            f"gaps between arrivals have a coefficient of variation of {variation:g}; "
            f"it lies between {LEAST_VARIATION:g} and {MOST_VARIATION:g} (1: a Poisson process)"
        )
    scale = variation * variation
    shape = 1 / scale
    # Enough for nearly every cell; the loop goes on where they are not.
    batch = CELL + int(4 * variation * CELL**0.5) + 64

    def places(cell: int, rng: Stream) -> NDArray[np.float64]:
        """Where the arrivals of a cell stand in it, between 0 and CELL, which stand first and last."""
        draw = rng.generator(cell)
        # A gap that holds a given moment is longer than others, in proportion to its length: gamma of a shape more by
        # one. The moment lies anywhere in it.
        parts = [np.array([draw.random() * draw.gamma(shape + 1, scale)])]
        reached = float(parts[0][0])
        while reached < CELL:
            gaps = draw.gamma(shape, scale, batch)
            gaps[0] += reached
            parts.append(np.cumsum(gaps))
            reached = float(parts[-1][-1])
        found = np.concatenate(parts)
        return np.concatenate(([0.0], found[: np.searchsorted(found, CELL)], [float(CELL)]))

    return places
