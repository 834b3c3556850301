"""At which rate a measure crosses its target, from trials around it, with an interval.

Near the crossing the logarithm of a share over a bound (or of a mean) is taken for a straight line in the rate, through
the target at the crossing. Crossing and slope are laid out on a grid, and each pair has a quasi-likelihood (Wedderburn
1974): the deviance of all trials, over how many times as much they scatter as independent requests would. Trials far
from the crossing count less (Cleveland 1979) or only, loosely, for the slope, so that the line need be straight nearby
alone. The interval is that of the crossing's marginal posterior, no slope more likely than another on a logarithmic
scale: so trials that saw none over the bound count for what they are, a slope that is not known yet makes the interval
wide, and a cliff makes it as wide as the gap between the trials beside it.

Two things make it narrow and honest. Each trial stands at the rate that it really had, not at the one that was asked
for: of a Poisson process the count varies, and what latency owes to that is no noise (a control variate). And requests
of a trial lean on each other, so what scatters is taken from batches of intervals that are longer than the queue's
memory, and from the trials about the line.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

REACH: Final = 1.6
"""How far the line may be from the target at a trial that counts, as a logarithm: five times, or a fifth."""
FAR: Final = 0.1
"""How far a trial's rate may be from the crossing, relatively."""
PRIOR_FREEDOM: Final = 2.0
"""Of what is believed of the scatter before it is seen."""

WIDE: Final = 0.35
"""How far trials may be to say something of the slope."""
LOOSELY: Final = 0.25
"""How sure that is at best: the standard error of the slope's logarithm."""
BEND: Final = 0.002
"""What a line through a curve may miss the crossing by, relatively; the interval has that much more on each side."""
DOUBTFUL: Final = 2.0
"""Where trials scatter about the line so many times more than their own batches do, it is the trials that count."""
LEAST_REACH: Final = 0.04
"""And how near every trial counts, however steep the line."""

_SLOPES: Final = np.geomspace(1.5, 300.0, 24)
_SIGHT: Final = 0.9
"""How far from a guess trials are looked at, before anything is known."""
_LOG_SLOPES: Final = np.log(_SLOPES)
_COARSE: Final = np.geomspace(0.6, 1.6, 161)
_FINE: Final = np.linspace(0.88, 1.12, 241)
_MOST: Final = 12.0
"""Levels are cut off at so many times the target, for whatever fails badly fails,"""
_ALL: Final = 0.98
"""and shares here."""


@dataclass(frozen=True, slots=True)
class Point:
    """What one trial measured of one objective, by interval."""

    due_per_s: FloatArray
    over: FloatArray
    count: FloatArray

    @property
    def rate_per_s(self) -> float:
        """That it really had."""
        return float(self.due_per_s.mean())

    @property
    def level(self) -> float:
        """The share over the bound, or the mean; 0 where nothing was measured."""
        total = float(self.count.sum())
        return float(self.over.sum()) / total if total else 0.0


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where the line meets the target."""

    rate: float
    """The posterior's median."""
    low: float
    high: float
    slope: float
    """Of the logarithm, per relative change of the rate."""
    trials: int
    """Near enough to count."""
    dispersion: float
    """How many times as much the measure scatters as independent requests would."""
    misfit: float
    """Scatter of the trials about the line over what their own batches let expect; about 1 where the line fits."""

    @property
    def width(self) -> float:
        """Of the interval, relative to its middle."""
        return 2 * (self.high - self.low) / (self.high + self.low)


@dataclass(frozen=True, slots=True)
class _Trials:
    """All trials as arrays, and what is asked of them."""

    points: Sequence[Point]
    rate: FloatArray
    level: FloatArray
    count: FloatArray
    target: float
    is_mean: bool

    @property
    def most(self) -> float:
        """The level at which they are cut off."""
        return _MOST * self.target if self.is_mean else min(_MOST * self.target, _ALL)

    def unit(self, level: FloatArray) -> FloatArray:
        """The variance of one request's part, up to the dispersion."""
        return level**2 if self.is_mean else level * (1 - level)

    def line(self, at: float, slope: float) -> FloatArray:
        """The level that a line says for each trial."""
        return self._bent(slope * (self.rate / at - 1))

    def _bent(self, eta: FloatArray) -> FloatArray:
        return np.asarray(np.minimum(self.target * np.exp(np.clip(eta, -9.0, 9.0)), self.most))

    def deviance(self, ats: FloatArray, weight: FloatArray) -> FloatArray:
        """Of every crossing and slope."""
        total = np.zeros((ats.size, _SLOPES.size))
        for rate, level, count in zip(
            self.rate[weight > 0], self.level[weight > 0], (self.count * weight)[weight > 0], strict=True
        ):
            mu = self._bent((rate / ats - 1)[:, None] * _SLOPES)
            if self.is_mean:
                total += 2 * count * (level / mu - 1 - np.log(level / mu))
                continue
            part = (1 - level) * np.log((1 - level) / (1 - mu))
            total += 2 * count * (part + (level * np.log(level / mu) if level > 0 else 0.0))
        return total


def crossing(
    points: Sequence[Point],
    target: float,
    *,
    guess: float,
    confidence: float,
    batch: int,
    is_mean: bool = False,
    prior: float,
) -> Crossing | None:
    """The rate at which the target is met; None where no trial measured anything.

    Args:
        points: of the trials.
        target: of the measure.
        guess: a rate near the crossing.
        confidence: of the two-sided interval.
        batch: intervals that are taken together, so that batches hardly depend on each other.
        is_mean: the measure is a mean, and no share.
        prior: the dispersion that is believed in before any is seen.
    """
    some = [point for point in points if point.count.sum() > 0]
    if not some:
        return None
    rate, level, count = np.array([(point.rate_per_s, point.level, point.count.sum()) for point in some], np.float64).T
    trials = _Trials(some, rate, level, count, target, is_mean)
    trials = dataclasses.replace(trials, level=np.minimum(level, trials.most))
    for _ in range(4):
        ats = guess * _COARSE
        weight = _nearness(np.abs(trials.rate / guess - 1), _SIGHT)
        chance = _posterior(trials.deviance(ats, weight) / prior, PRIOR_FREEDOM + float(weight.sum()))
        found, slope = _quantiles(ats, chance.sum(axis=1), confidence), _slope(chance)
        if 0.75 < found[0] / guess < 1.35:
            break
        guess = found[0]
    if found[2] / found[1] > 1.2:
        return Crossing(*found, slope, 0, prior, 1.0)
    dispersion = prior
    for _ in range(2):
        away = np.abs(trials.rate / found[0] - 1)
        weight = _nearness(away, min(max(REACH / slope, LEAST_REACH), FAR))
        if (weight > 0.02).sum() < 3:
            return Crossing(*found, slope, 0, prior, 1.0)
        believed = _believed(trials, found[0], (1 - weight) * (away < WIDE), max(dispersion, prior))
        line, per_rate = trials.line(found[0], slope), slope / found[0]
        dispersion, misfit, freedom = _dispersion(trials, line, per_rate, weight, batch, prior)
        ats = found[0] * _FINE
        chance = _posterior(trials.deviance(ats, weight) / dispersion + believed, freedom)
        found, slope = _quantiles(ats, chance.sum(axis=1), confidence), _slope(chance)
    at, low, high = found
    return Crossing(at, low - BEND * at, high + BEND * at, slope, int((weight > 0.02).sum()), dispersion, misfit)


def _believed(trials: _Trials, at: float, weight: FloatArray, dispersion: float) -> FloatArray:
    """What trials farther away say of the slope here, as a deviance: loosely, since the line bends."""
    if not weight.any():
        return np.zeros(_SLOPES.size)
    deviance = trials.deviance(np.array([at]), weight)[0] / dispersion
    chance = np.exp(-(deviance - deviance.min()) / 2)
    chance /= chance.sum()
    middle = float((chance * _LOG_SLOPES).sum())
    spread = float((chance * (_LOG_SLOPES - middle) ** 2).sum())
    return np.asarray((_LOG_SLOPES - middle) ** 2 / (spread + LOOSELY**2))


def _slope(chance: FloatArray) -> float:
    return float(np.exp((chance.sum(axis=0) * _LOG_SLOPES).sum()))


def _nearness(distance: FloatArray, reach: float) -> FloatArray:
    """Weights of 1 up to six tenths of the reach, and from there on tricube."""
    beyond = np.clip((distance / reach - 0.6) / 0.4, 0.0, 1.0)
    return np.asarray((1 - beyond**3) ** 3)


def _posterior(deviance: FloatArray, freedom: float) -> FloatArray:
    """Of each crossing and slope: a t distribution's, since the dispersion is an estimate."""
    chance = np.power(1 + (deviance - deviance.min()) / freedom, -(freedom + 2) / 2)
    return np.asarray(chance / chance.sum())


def _quantiles(at: FloatArray, chance: FloatArray, confidence: float) -> tuple[float, float, float]:
    """The median, and the ends of the interval."""
    rising = np.cumsum(chance) - chance / 2
    middle, low, high = (float(np.interp((1 + side * confidence) / 2, rising, at)) for side in (0, -1, 1))
    return middle, low, high


def _dispersion(
    trials: _Trials, line: FloatArray, slope: float, weight: FloatArray, batch: int, prior: float
) -> tuple[float, float, float]:
    """How many times the scatter is that of independent requests, the misfit, and the degrees of freedom.

    Within trials from their batches, what is owed to the rate that an interval happened to have taken off; and between
    trials about the line.
    """
    unit = trials.unit(line)
    squares, scale, freedom = 0.0, 0.0, 0.0
    for point, kernel, level, expected, v in zip(trials.points, weight, trials.level, line, unit, strict=True):
        batches = point.count.size // batch
        if kernel < 0.02 or batches < 2 or level >= trials.most:
            continue
        rest = point.over - level * point.count
        rest = rest - expected * slope * point.count.mean() * (point.due_per_s - point.rate_per_s)
        kept = rest[rest.size - batches * batch :].reshape(batches, batch).sum(axis=1)
        used = float(point.count[rest.size - batches * batch :].sum())
        squares += kernel * float(((kept - kept.mean()) ** 2).sum())
        scale += kernel * v * used * (batches - 1) / batches
        freedom += kernel * (batches - 1)
    within = squares / scale if scale > 0 else prior
    total = float(weight.sum())
    free = max(total - 2, 0.0)
    parts = float((weight * trials.count * (trials.level - line) ** 2 / unit).sum())
    between = parts / free if free else within
    all_of_it = PRIOR_FREEDOM + freedom + free
    dispersion = (PRIOR_FREEDOM * prior + freedom * within + free * between) / all_of_it
    if between > DOUBTFUL * within:
        dispersion = max(dispersion, between)
    # Evenly spaced requests may scatter less than independent ones, but not the endpoint as well, for ever.
    dispersion = dispersion if trials.is_mean else max(dispersion, 1.0)
    # Requests over a bound come in clumps, and it is clumps that scatter: of few of them little is known, however many
    # batches they lie in.
    clumps = float((weight * trials.count * line**2 / unit).sum()) / dispersion
    freedom = max(min(all_of_it, clumps), 1.0)
    return dispersion, between / within if within > 0 else math.inf, freedom
