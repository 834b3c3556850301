"""How good answers are as a stream goes on, and alarms when they get worse.

Test, then train: each row is first answered, then its true answer becomes known (prequential evaluation, Dawid 1984).
Over all of the past such a figure is slow to tell of change; over a window, or with old rows fading, it follows it
(Gama, Sebastião and Rodrigues, "On evaluating stream learning algorithms", Machine Learning 90, 2013).
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


def fading(values: ArrayLike, factor: float) -> FloatArray:
    """The mean of a stream at each of its places, in which a value that is k places old weighs ``factor`` to the k.

    S(i) / B(i), where S(i) = x(i) + factor S(i-1) and B(i) = 1 + factor B(i-1); with 1 the mean of all so far.

    >>> fading([1, 0, 0], 0.5).round(4).tolist()
    [1.0, 0.3333, 0.1429]
    """
    from scipy.signal import lfilter

    given = np.asarray(values, dtype=np.float64)
    sums, weights = (lfilter([1.0], [1.0, -factor], each) for each in (given, np.ones_like(given)))
    return np.asarray(sums / weights, dtype=np.float64)


def windowed(values: ArrayLike, length: int) -> FloatArray:
    """The mean of the last ``length`` values at each place of a stream; at first of those there are.

    >>> windowed([1, 0, 0, 1], 2).tolist()
    [1.0, 0.5, 0.0, 0.5]
    """
    sums = np.concatenate([[0.0], np.cumsum(np.asarray(values, dtype=np.float64))])
    stops = np.arange(1, len(sums))
    starts = np.maximum(stops - length, 0)
    return np.asarray((sums[stops] - sums[starts]) / (stops - starts), dtype=np.float64)


class Detector(Protocol):
    """Hears errors one by one, and says when to be alarmed."""

    def update(self, error: float) -> bool:
        """Hear of the next one (of a class: 1.0 wrong, 0.0 right); whether that is an alarm."""
        ...


@dataclass(slots=True)
class PageHinkley:
    """Detect a rise in the mean of a stream (Page, 1954); starts anew after an alarm.

    Alarms when m(T) - min m(t) > threshold, where m(T) sums x(t) - mean(t) - tolerance, mean(t) being that of the
    values up to and with t.

    >>> detector = PageHinkley(threshold=5)
    >>> next(i for i, x in enumerate([0.0] * 50 + [1.0] * 50) if detector.update(x))
    55
    """

    threshold: float
    """Higher: fewer false alarms, and later ones."""
    tolerance: float = 0.005
    """A rise of the mean that is nothing to speak of."""
    _count: int = field(default=0, init=False)
    _mean: float = field(default=0.0, init=False)
    _sum: float = field(default=0.0, init=False)
    _least: float = field(default=0.0, init=False)

    def update(self, error: float) -> bool:
        """Hear of the next value."""
        self._count += 1
        self._mean += (error - self._mean) / self._count
        self._sum += error - self._mean - self.tolerance
        self._least = min(self._least, self._sum)
        alarmed = self._sum - self._least > self.threshold
        if alarmed:
            self._count, self._mean, self._sum, self._least = 0, 0.0, 0.0, 0.0
        return alarmed


@dataclass(slots=True)
class Decay:
    """Detect that the mean error over a window lies above the lowest that it was, by a margin.

    What a monitor with a rule like ``accuracy >= 70%`` does, with a bound that comes from the model's own best window.
    After an alarm it alarms again when another window has passed, if that is still so.

    >>> detector = Decay(window=10, margin=0.25)
    >>> next(i for i, x in enumerate([0.0] * 50 + [1.0] * 50) if detector.update(x))
    52
    """

    window: int
    margin: float
    _last: deque[float] = field(default_factory=deque, init=False)
    _lowest: float = field(default=float("inf"), init=False)

    def update(self, error: float) -> bool:
        """Hear of the next value."""
        self._last.append(error)
        if len(self._last) < self.window:
            return False
        if len(self._last) > self.window:
            self._last.popleft()
        mean = sum(self._last) / self.window
        self._lowest = min(self._lowest, mean)
        alarmed = mean - self._lowest > self.margin
        if alarmed:
            self._last.clear()
        return alarmed
