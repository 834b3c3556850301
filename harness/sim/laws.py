"""The laws of service times: their moments and their quantiles."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from harness.domain.service import Exponential, Fixed, Lognormal, Profile, ServiceTime
from harness.errors import InputError

FloatArray = NDArray[np.float64]


def moments(law: ServiceTime) -> tuple[float, float]:
    """The mean of a law in seconds, and its second moment in seconds squared.

    >>> moments(Exponential(0.5))
    (0.5, 0.5)
    """
    match law:
        case Fixed(seconds):
            return seconds, seconds**2
        case Exponential(mean_s):
            return mean_s, 2 * mean_s**2
        case Lognormal(median_s, _):
            variance = _sigma(law) ** 2
            return median_s * math.exp(variance / 2), median_s**2 * math.exp(2 * variance)
        case Profile(quantiles):
            shares, seconds = np.array(quantiles).T
            low, high, weight = seconds[:-1], seconds[1:], np.diff(shares)
            mean, second = weight * (low + high) / 2, weight * (low**2 + low * high + high**2) / 3
            return float(mean.sum()), float(second.sum())


def quantile_of(law: ServiceTime) -> Callable[[FloatArray], FloatArray]:
    """The time that a given share of the requests exceeds, in seconds.

    Raises:
        InputError: The law's figures make none.
    """
    from scipy.special import ndtri

    match law:
        case Fixed(seconds) if seconds >= 0:
            return lambda survival: np.full_like(survival, seconds)
        case Exponential(mean_s) if mean_s >= 0:
            return lambda survival: np.asarray(-mean_s * np.log(survival))
        case Lognormal(median_s, p99_s) if 0 < median_s <= p99_s:
            sigma = _sigma(law)
            return lambda survival: np.asarray(median_s * np.exp(-sigma * ndtri(survival)))
        case Profile(quantiles) if _rises(quantiles):
            shares, times = np.array(quantiles).T
            # By the survival probability, whose digits are those of the tail.
            return lambda survival: np.interp(survival, 1 - shares[::-1], times[::-1])
    raise InputError(f"{law} is no service time: no time is negative, and a lognormal's p99 is not below its median")


def _rises(quantiles: tuple[tuple[float, float], ...]) -> bool:
    """Whether a table goes from 0 to 1, and neither a share nor a time falls."""
    ends = len(quantiles) > 1 and quantiles[0][0] == 0 and quantiles[-1][0] == 1 and quantiles[0][1] >= 0
    return ends and all(a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(quantiles))


def _sigma(law: Lognormal) -> float:
    from scipy.special import ndtri

    return math.log(law.p99_s / law.median_s) / float(ndtri(0.99))
