"""Latency against rate as a curve, and its knee: where latency begins to rise steeply."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np

LEAST_BEND: Final = 0.1
"""A curve that stays closer to its chord than this (of its height) has no knee."""

Points = Sequence[tuple[float, float]]
"""(rate in 1/s, latency in seconds)."""


def curve(points: Points, count: int = 60) -> tuple[tuple[float, float], ...]:
    """A smooth curve that never falls through what trials measured, evenly spaced in the rate.

    The logarithm of latency is fitted by isotonic regression (Barlow et al. 1972), since more load never makes a queue
    shorter, and its steps are joined by monotone cubics (Fritsch and Carlson 1980).

    Args:
        points: of trials, in any order; those of one rate count together, those without latency not at all.
        count: points of the curve.

    Returns:
        Fewer where there are fewer than two different rates.
    """
    from scipy.interpolate import PchipInterpolator
    from scipy.optimize import isotonic_regression

    some = sorted((rate, latency) for rate, latency in points if latency > 0)
    if not some:
        return ()
    rates, group = np.unique([rate for rate, _ in some], return_inverse=True)
    logs = np.bincount(group, np.log([latency for _, latency in some])) / np.bincount(group)
    if rates.size == 1:
        return ((float(rates[0]), float(np.exp(logs[0]))),)
    fitted = isotonic_regression(logs, weights=np.bincount(group))
    # Each step stands at its middle, so that what trials contradict each other about becomes a slope.
    edges = fitted.blocks
    middles = np.array([rates[start:stop].mean() for start, stop in pairwise(edges)])
    heights = fitted.x[edges[:-1]]
    at = np.linspace(rates[0], rates[-1], count)
    if middles.size == 1:
        return tuple((float(x), float(np.exp(heights[0]))) for x in at)
    smooth = np.exp(PchipInterpolator(middles, heights)(np.clip(at, middles[0], middles[-1])))
    return tuple((float(x), float(y)) for x, y in zip(at, smooth, strict=True))


def knee(points: Points) -> float | None:
    """The rate at which latency begins to rise steeply; None where it does not.

    Kneedle (Satopää, Albrecht, Irwin and Raghavan 2011): with both axes scaled to 0..1, where the curve is farthest
    below its chord. Leave out rates beyond capacity: latency there tells how long the trial was, and moves the knee up.

    Of M/M/1 (latency ``1 / (mu - rate)``) up to load r the knee lies at load ``1 - sqrt(1 - r)``:

    >>> round(knee([(load, 1 / (1 - load)) for load in np.linspace(0.0, 0.96, 97)]), 2)
    0.8
    """
    drawn = curve(points, 400)
    if len(drawn) < 2:
        return None
    rate, latency = np.array(drawn).T
    height = latency[-1] - latency[0]
    if height <= 0:
        return None
    below = (rate - rate[0]) / (rate[-1] - rate[0]) - (latency - latency[0]) / height
    best = int(below.argmax())
    return float(rate[best]) if below[best] >= LEAST_BEND else None
