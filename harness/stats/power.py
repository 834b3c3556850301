"""Sample size, power and least detectable effect of a comparison of two arms, to be stated before it begins.

Of tests at one look fixed beforehand; `sequential_sizes` says what looking at any time costs. Effects are candidate
minus stable. One-sided tests (``sides=1``) are on the side of the effect.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from harness.stats.intervals import check_alpha, welch_freedom
from harness.stats.sequential import tuned_ratio


@dataclass(frozen=True, slots=True)
class Sizes:
    """Units needed of each arm.

    >>> Sizes(200, 100).total
    300
    """

    stable: int
    candidate: int

    @property
    def total(self) -> int:
        """Units of both."""
        return self.stable + self.candidate


def proportions_power(
    stable: float, candidate: float, n_stable: float, n_candidate: float, alpha: float = 0.05, sides: int = 2
) -> float:
    """Power of the z-test of two proportions with pooled variance, without correction for continuity.

    Asymptotic: the normal approximation of Fleiss (Statistical Methods for Rates and Proportions), both tails counted.

    >>> round(proportions_power(0.50, 0.75, 50, 50), 2)
    0.74
    """
    from scipy.special import ndtr

    _check(alpha, sides)
    _check_share("stable", stable)
    _check_share("candidate", candidate)
    pooled = (stable * n_stable + candidate * n_candidate) / (n_stable + n_candidate)
    null = math.sqrt(pooled * (1 - pooled) * (1 / n_stable + 1 / n_candidate))
    alternative = math.sqrt(stable * (1 - stable) / n_stable + candidate * (1 - candidate) / n_candidate)
    bound, effect = _z(1 - alpha / sides) * null, abs(candidate - stable)
    if not alternative:  # both certain: the test rejects or does not
        return float(effect > bound)
    near = float(ndtr((effect - bound) / alternative))
    return near if sides == 1 else near + float(ndtr((-effect - bound) / alternative))


def proportions_sizes(
    stable: float, candidate: float, alpha: float = 0.05, power: float = 0.8, ratio: float = 1.0, sides: int = 2
) -> Sizes:
    """Units that the z-test of two proportions needs for its power. Asymptotic (Fleiss; Fleiss, Tytun and Ury 1980).

    Args:
        stable: its expected proportion, 0 to 1.
        candidate: the proportion that is to be found different.
        alpha: level of the test.
        power: chance of finding it, from 50 % on.
        ratio: units of the candidate to one of stable; ``w / (1 - w)`` at a share w.
        sides: 1 or 2.

    >>> proportions_sizes(0.50, 0.75, power=0.9)
    Sizes(stable=77, candidate=77)
    """
    _check(alpha, sides, power, ratio)
    _check_share("stable", stable)
    _check_share("candidate", candidate)
    if candidate == stable:
        raise ValueError(
            f"both proportions are {stable}: no sample finds a difference of nought; give the least that matters"
        )
    pooled = (stable + ratio * candidate) / (1 + ratio)
    null = math.sqrt(pooled * (1 - pooled) * (1 + 1 / ratio))
    alternative = math.sqrt(stable * (1 - stable) + candidate * (1 - candidate) / ratio)
    needed = ((_z(1 - alpha / sides) * null + _z(power) * alternative) / (candidate - stable)) ** 2
    return _whole(needed, ratio)


def proportions_effect(
    stable: float,
    n_stable: float,
    n_candidate: float,
    alpha: float = 0.05,
    power: float = 0.8,
    sides: int = 2,
    *,
    fall: bool = False,
) -> float:
    """The least rise of a proportion that the z-test finds with that power (``fall``: the least fall; negative).

    Raises:
        ValueError: not even a rise to 1 (a fall to 0) would be found.

    >>> round(proportions_effect(0.10, 14_751, 14_751), 4)
    0.01
    """
    _check(alpha, sides, power)
    _check_share("stable", stable)
    sign, room = (-1.0, stable) if fall else (1.0, 1.0 - stable)

    def found(effect: float) -> float:
        candidate = min(1.0, max(0.0, stable + sign * effect))
        return proportions_power(stable, candidate, n_stable, n_candidate, alpha, sides)

    if room <= 0 or found(room) < power:
        raise ValueError(
            f"{n_stable:g} and {n_candidate:g} units find no {'fall' if fall else 'rise'} from {stable:g} "
            f"with power {power:g}, however great; take more units"
        )
    return sign * _root(found, power, room)


def means_power(
    effect: float,
    sd: float,
    n_stable: float,
    n_candidate: float,
    alpha: float = 0.05,
    sides: int = 2,
    sd_candidate: float | None = None,
) -> float:
    """Power of the two-sample t-test: Student's noncentral t with Welch's degrees of freedom.

    Exact for normal outcomes with equal standard deviations and equal arms, where Welch's test is Student's; else an
    approximation. Asymptotic for other outcomes.

    Args:
        effect: difference of the means.
        sd: standard deviation of one unit, of both arms if the candidate has none of its own.
        n_stable: its units, 2 or more.
        n_candidate: likewise.
        alpha: level of the test.
        sides: 1 or 2.
        sd_candidate: of the candidate's units.

    >>> round(means_power(effect=1, sd=1, n_stable=20, n_candidate=20), 5)
    0.86895
    """
    from scipy.special import stdtrit

    _check(alpha, sides)
    own = sd if sd_candidate is None else sd_candidate
    if not (sd > 0 and own > 0):
        raise ValueError(f"standard deviations are {sd} and {own}: they lie above 0")
    if min(n_stable, n_candidate) < 2:
        raise ValueError(f"{n_stable:g} and {n_candidate:g} units: a mean's variance takes 2 or more in each arm")
    of_stable, of_candidate = sd**2 / n_stable, own**2 / n_candidate
    freedom = welch_freedom(of_stable, n_stable, of_candidate, n_candidate)
    bound = -float(stdtrit(freedom, alpha / sides))
    away = abs(effect) / math.sqrt(of_stable + of_candidate)
    near = _beyond(bound, freedom, away)
    return near if sides == 1 else near + _beyond(bound, freedom, -away)


def means_sizes(
    effect: float,
    sd: float,
    alpha: float = 0.05,
    power: float = 0.8,
    ratio: float = 1.0,
    sides: int = 2,
    sd_candidate: float | None = None,
) -> Sizes:
    """The fewest units with which `means_power` reaches ``power``; as exact as it is.

    >>> means_sizes(effect=0.5, sd=1)
    Sizes(stable=64, candidate=64)
    """
    _check(alpha, sides, power, ratio)
    if not effect:
        raise ValueError("the effect is 0: no sample finds a difference of nought; give the least that matters")

    def enough(n: int) -> bool:
        sizes = _whole(n, ratio)
        return means_power(effect, sd, sizes.stable, sizes.candidate, alpha, sides, sd_candidate) >= power

    high = 2
    while not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return _whole(high, ratio)


def means_effect(
    sd: float,
    n_stable: float,
    n_candidate: float,
    alpha: float = 0.05,
    power: float = 0.8,
    sides: int = 2,
    sd_candidate: float | None = None,
) -> float:
    """The least difference of two means, either way, that `means_power` finds with that power.

    >>> round(means_effect(sd=1, n_stable=64, n_candidate=64), 3)
    0.499
    """
    _check(alpha, sides, power)

    def found(effect: float) -> float:
        return means_power(effect, sd, n_stable, n_candidate, alpha, sides, sd_candidate)

    high = sd
    while found(high) < power:
        high *= 2
    return _root(found, power, high)


def sequential_sizes(fixed: Sizes, alpha: float = 0.05, power: float = 0.8) -> Sizes:
    """Units by which a confidence sequence tuned to them has decided with that power, given those of a two-sided test.

    At the size it is tuned to, the confidence sequence leaves nought out from ``sqrt(x)`` standard errors on, ``x = 1 +
    tuned_ratio(alpha)`` (3.03 at .05, where the fixed test takes 1.96). Asymptotic, and on the safe side: what earlier
    looks add to the power is left out.

    >>> sequential_sizes(Sizes(1000, 1000))
    Sizes(stable=1915, candidate=1915)
    """
    _check(alpha, 2, power)
    bound = math.sqrt(1 + tuned_ratio(alpha))
    factor = ((bound + _z(power)) / (_z(1 - alpha / 2) + _z(power))) ** 2
    return Sizes(math.ceil(fixed.stable * factor), math.ceil(fixed.candidate * factor))


def _beyond(bound: float, freedom: float, away: float) -> float:
    """P(T > bound) of a noncentral t, ``T = (Z + away) / S``: the normal tail averaged over S (Gauss-Legendre).

    S is the root of a chi-square over its degrees of freedom. scipy's nct (1.17) answers NaN in the far tail.
    """
    from scipy.special import gammainccinv, gammaincinv, ndtr

    half = freedom / 2
    low, high = (math.sqrt(float(inverse(half, 1e-17)) / half) for inverse in (gammaincinv, gammainccinv))
    nodes, weights = _legendre()
    s = low + (high - low) * (nodes + 1) / 2
    log_density = (freedom - 1) * np.log(s) - half * s**2
    density = weights * np.exp(log_density - log_density.max())
    return float((density * ndtr(away - bound * s)).sum() / density.sum())


@lru_cache(maxsize=1)
def _legendre() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from numpy.polynomial.legendre import leggauss

    return leggauss(400)


def _z(q: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(q))


def _whole(n_stable: float, ratio: float) -> Sizes:
    """Whole units, two of each arm at least; a hair above a whole number is that number."""
    return Sizes(*(max(2, math.ceil(n * (1 - 1e-12))) for n in (n_stable, n_stable * ratio)))


def _root(found: Callable[[float], float], power: float, high: float) -> float:
    """Where a power that rises with the effect reaches ``power``."""
    from scipy.optimize import brentq

    return float(brentq(lambda effect: found(effect) - power, 0.0, high, xtol=1e-12 * high, rtol=1e-12))


def _check(alpha: float, sides: int, power: float = 0.8, ratio: float = 1.0) -> None:
    check_alpha(alpha)
    if sides not in {1, 2}:
        raise ValueError(f"sides is {sides}: a test has 1 or 2")
    if not max(0.5, alpha) <= power < 1:
        raise ValueError(f"power is {power}: it lies from 0.5 (and alpha, {alpha}) on, below 1, such as 0.8")
    if not 0 < ratio < math.inf:
        raise ValueError(f"ratio is {ratio}: it takes the candidate's units to one of stable, above 0")


def _check_share(name: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise ValueError(f"the proportion of {name} is {share}: it lies from 0 to 1")
