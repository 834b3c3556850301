"""What was seen of two arms, and the interval of their difference at one look that was fixed beforehand.

`harness.stats.sequential` has the one that may be looked at any number of times.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

ASSUMED: Final = (
    "units are independent, each counted once; each arm's mean holds still; variances estimated (asymptotic)"
)
ONE_LOOK: Final = f"valid at one look fixed beforehand; {ASSUMED}"


@dataclass(frozen=True, slots=True)
class Arm:
    """What was seen of one arm.

    >>> Arm.of_successes(30, 100)
    Arm(n=100, mean=0.3, variance=0.21212121212121213, successes=30)
    """

    n: int
    """Units."""
    mean: float
    variance: float
    """Of one unit, the sample's (divisor ``n - 1``)."""
    successes: int | None = None
    """Of a proportion, how many units succeeded; None where each unit has a number."""

    def __post_init__(self) -> None:
        if self.n < 0 or not math.isfinite(self.mean) or not 0 <= self.variance < math.inf:
            raise ValueError(f"{self} is no sample: n and variance are 0 or more, mean and variance finite")

    @classmethod
    def of_successes(cls, successes: int, n: int) -> "Arm":
        """A proportion: ``successes`` of ``n`` units."""
        if not 0 <= successes <= n:
            raise ValueError(f"{successes} successes of {n} units: successes are 0 or more, and no more than units")
        mean = successes / n if n else 0.0
        return cls(n, mean, n * mean * (1 - mean) / (n - 1) if n > 1 else 0.0, successes)


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate minus stable, with its interval and the p-value of there being none.

    Of a confidence sequence, the least p-value so far and the intersection of all intervals so far are valid too.
    """

    estimate: float
    lower: float
    upper: float
    p_value: float
    assumption: str
    """What it rests on."""


def fixed_interval(stable: Arm, candidate: Arm, alpha: float, *, min_n: int = 2) -> Difference | None:
    """Candidate minus stable at the one look that was fixed beforehand; looked at often, it is wrong too often.

    Two proportions: Newcombe's interval of two Wilson scores (Statistics in Medicine 1998, method 10), and the p-value
    of the z-test with pooled variance (chi-square without correction). They are not inversions of each other: close to
    alpha they may disagree. Two means: Welch's t interval and test. All asymptotic, save Welch's for normal outcomes,
    which is an approximation good at any size.

    Returns:
        None with fewer than ``min_n`` units in an arm, or means of which neither varies.

    >>> trial = fixed_interval(Arm.of_successes(48, 80), Arm.of_successes(56, 70), 0.05)
    >>> round(trial.estimate, 4), round(trial.lower, 4), round(trial.upper, 4)
    (0.2, 0.0524, 0.3339)
    """
    check_alpha(alpha)
    check_alike(stable, candidate)
    if min(stable.n, candidate.n) < max(min_n, 2):
        return None
    if stable.successes is not None:
        return _newcombe(stable, candidate, alpha)
    return _welch(stable, candidate, alpha) if stable.variance + candidate.variance > 0 else None


def _newcombe(stable: Arm, candidate: Arm, alpha: float) -> Difference:
    from scipy.special import ndtri

    z = float(ndtri(1 - alpha / 2))
    low_s, high_s = wilson(stable.mean, stable.n, z)
    low_c, high_c = wilson(candidate.mean, candidate.n, z)
    d = candidate.mean - stable.mean
    lower = d - math.hypot(candidate.mean - low_c, high_s - stable.mean)
    upper = d + math.hypot(high_c - candidate.mean, stable.mean - low_s)
    return Difference(
        d, lower, upper, float(pooled_p_value(stable.mean, stable.n, candidate.mean, candidate.n)), ONE_LOOK
    )


def _welch(stable: Arm, candidate: Arm, alpha: float) -> Difference:
    from scipy.special import stdtr, stdtrit

    of_stable, of_candidate = stable.variance / stable.n, candidate.variance / candidate.n
    freedom = welch_freedom(of_stable, stable.n, of_candidate, candidate.n)
    error = math.sqrt(of_stable + of_candidate)
    d = candidate.mean - stable.mean
    half = -float(stdtrit(freedom, alpha / 2)) * error
    return Difference(d, d - half, d + half, 2 * float(stdtr(freedom, -abs(d) / error)), ONE_LOOK)


def welch_freedom(of_stable: float, n_stable: float, of_candidate: float, n_candidate: float) -> float:
    """Degrees of freedom of Welch and Satterthwaite, given the variance of each arm's mean, and its units."""
    total = of_stable + of_candidate
    # As shares of their sum, since squares of small variances underflow.
    parts = (of_stable / total) ** 2 / (n_stable - 1) + (of_candidate / total) ** 2 / (n_candidate - 1)
    return 1 / parts


def wilson(share: float, n: int, z: float) -> tuple[float, float]:
    """Wilson's score interval (1927) of a proportion seen as ``share`` of ``n`` units."""
    middle = share + z**2 / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    whole = 1 + z**2 / n
    # Rounding must not put an end on the wrong side of what was seen.
    return min(max(0.0, (middle - half) / whole), share), max(min(1.0, (middle + half) / whole), share)


def pooled_p_value(stable: ArrayLike, n_stable: ArrayLike, candidate: ArrayLike, n_candidate: ArrayLike) -> FloatArray:
    """Two-sided p-value of the z-test of two proportions with pooled variance, for one look. Asymptotic; on arrays."""
    from scipy.special import ndtr

    p_s, n_s, p_c, n_c = (np.asarray(each, np.float64) for each in (stable, n_stable, candidate, n_candidate))
    pooled = (p_s * n_s + p_c * n_c) / (n_s + n_c)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n_s + 1 / n_c))
    z = np.divide(np.abs(p_c - p_s), error, out=np.zeros_like(error), where=error > 0)
    found: FloatArray = 2 * ndtr(-z)
    return found


def check_alpha(alpha: float) -> None:
    """ValueError if alpha is no level."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}: a level lies between 0 and 1, both excluded, such as 0.05")


def check_alike(stable: Arm, candidate: Arm) -> None:
    """ValueError if one arm is a proportion and the other is not."""
    if (stable.successes is None) != (candidate.successes is None):
        raise ValueError("a proportion is compared with a mean: give both arms as `Arm.of_successes`, or neither")
