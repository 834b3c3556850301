"""Decisions on candidate minus stable that stay valid however often one looks.

A *confidence sequence* is an interval for each sample size that covers the true difference at all of them at once with
probability ``1 - alpha``; so a test may stop at the look at which it first leaves nought out. This is the normal
mixture of Robbins (1970): the likelihood ratio averaged over a normal prior of differences, mean 0 and variance ``s``,

    L = sqrt(V / (V + s)) exp(s d² / (2 V (V + s))),    d the estimate, V its variance,

a martingale that starts at 1 if there is no difference, so ``P(L >= 1/alpha at any look) <= alpha`` (Ville). All d0
with ``L(d - d0) < 1/alpha`` are the interval. L is the mSPRT of Johari, Koomen, Pekelis and Walsh (Operations Research
2022) with ``s = tau²``; in the sum ``S = d/V``, of variance ``v = 1/V``, and ``r = 1/s`` it is Robbins' boundary
``|S| >= sqrt((v + r) ln((v + r) / (r alpha²)))``.

*Exact* if outcomes are normal with known variances, independent, and each arm's mean stays what it is: then S at the
looks is a Brownian motion at the times 1/V, whatever the arms' sizes, if those do not depend on outcomes (Jennison and
Turnbull 1997). *Asymptotic* with estimated variances, as here: an asymptotic confidence sequence (Waudby-Smith, Arbour,
Sinha, Kennedy and Ramdas, Annals of Statistics 2024), which is why small samples are given no answer.

Means that move alike in both arms (the hours of a day) do no harm while units are split alike throughout. Where shares
change too, arms pooled over all of it differ without a difference (Simpson), here as in any test of two totals.
"""

import math
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.intervals import ASSUMED, Arm, Difference, check_alike, check_alpha

FloatArray = NDArray[np.float64]

MIN_UNITS: Final = 100
"""Units an arm needs before anything is said of it."""
MIN_RARER: Final = 20
"""Of a proportion, successes and failures that each arm needs: below, its estimated variance cannot be relied on."""

ANY_LOOK: Final = f"valid at any look; {ASSUMED}"


def confidence_sequence(
    stable: Arm,
    candidate: Arm,
    alpha: float,
    tuned_n: float,
    *,
    share: float | None = None,
    min_n: int = MIN_UNITS,
) -> Difference | None:
    """Candidate minus stable at one of any number of looks. Asymptotic (see the module).

    Args:
        stable: what was seen of it up to now.
        candidate: likewise; both are proportions or neither is.
        alpha: the chance that any of all looks leaves the true difference out.
        tuned_n: units of both arms together at which the interval is to be tightest, fixed beforehand: about where the
            decision is expected. A tenth or ten times of it costs some width, never validity.
        share: the candidate's share of all units by then, fixed beforehand. Left out, the share seen so far is taken:
            only right where units are split alike throughout.
        min_n: units each arm needs; a proportion needs `MIN_RARER` successes and failures too. Skewed figures, such as
            revenue, in arms of unequal size need more: see `min_units`.

    Returns:
        None as long as either arm has too few units to say anything.

    >>> from harness.stats.intervals import Arm
    >>> at = confidence_sequence(Arm.of_successes(1000, 10_000), Arm.of_successes(1200, 10_000), 0.05, 20_000)
    >>> round(at.estimate, 4), round(at.lower, 4), round(at.upper, 4), round(at.p_value, 5)
    (0.02, 0.0066, 0.0334, 0.00033)
    """
    check_alpha(alpha)
    check_alike(stable, candidate)
    if not tuned_n > 0:
        raise ValueError(f"tuned_n is {tuned_n}: it takes the number of units, above 0, that the test is planned for")
    if share is not None and not 0 < share < 1:
        raise ValueError(f"the candidate's share is {share}: it lies between 0 and 1, both excluded")
    if not (enough(stable, min_n) and enough(candidate, min_n)):
        return None
    part = candidate.n / (candidate.n + stable.n) if share is None else share
    variance = stable.variance / stable.n + candidate.variance / candidate.n
    planned = (stable.variance / (1 - part) + candidate.variance / part) / tuned_n
    mixture = planned * tuned_ratio(alpha)
    estimate = candidate.mean - stable.mean
    half = float(radius(variance, mixture, alpha))
    p_value = math.exp(-max(0.0, float(log_likelihood_ratio(estimate, variance, mixture))))
    return Difference(estimate, estimate - half, estimate + half, p_value, ANY_LOOK)


def enough(arm: Arm, min_n: int = MIN_UNITS) -> bool:
    """Whether an arm's mean may be taken for normal and its variance for known: if not, nothing is said of it."""
    rarer = math.inf if arm.successes is None else min(arm.successes, arm.n - arm.successes)
    return arm.n >= max(min_n, 2) and arm.variance > 0 and rarer >= MIN_RARER


def min_units(skewness: float) -> int:
    """Units each arm needs if one unit's figures have that skewness: ``MIN_RARER * skewness²``, a rule of thumb.

    It is what a proportion is held to: rare successes at rate p have a skewness of about ``1 / sqrt(p)``. Arms of equal
    size do with fewer. Where no arm will ever have as many, cap the figures beforehand.

    >>> min_units(0.0), min_units(6.18)
    (100, 764)
    """
    return max(MIN_UNITS, math.ceil(MIN_RARER * skewness**2))


def log_likelihood_ratio(estimate: ArrayLike, variance: ArrayLike, mixture: ArrayLike) -> FloatArray:
    """Logarithm of L, the normal mixture (see the module): evidence of a difference. 1/L is an always-valid p-value.

    Args:
        estimate: the difference, candidate minus stable.
        variance: V, of the estimate.
        mixture: s, the variance of differences beforehand; the same at every look. Above 0.
    """
    d, v, s = (np.asarray(each, dtype=np.float64) for each in (estimate, variance, mixture))
    found: FloatArray = (s * d**2 / (v * (v + s)) - np.log1p(s / v)) / 2
    return found


def radius(variance: ArrayLike, mixture: ArrayLike, alpha: float) -> FloatArray:
    """Half the width of the normal mixture's interval: ``sqrt(V (V + s) / s * ln((V + s) / (V alpha²)))``.

    With ``V = sigma²/t`` and ``s = rho² sigma²`` it is the boundary of Waudby-Smith et al. (2024), theorem 2.2.
    """
    v, s = np.asarray(variance, dtype=np.float64), np.asarray(mixture, dtype=np.float64)
    found: FloatArray = np.sqrt(v * (v + s) / s * (np.log1p(s / v) - 2 * math.log(alpha)))
    return found


def robbins_boundary(variance: ArrayLike, prior: float, alpha: float) -> FloatArray:
    """The bound that a sum of mean 0 crosses at any time with probability alpha at most: the mixture in Robbins' terms.

    Args:
        variance: v, of the sum so far (its intrinsic time).
        prior: r, in the units of v (Howard, Ramdas, McAuliffe and Sekhon, Annals of Statistics 2021, call it rho).
        alpha: for both sides together.
    """
    v = np.asarray(variance, dtype=np.float64)
    found: FloatArray = np.sqrt((v + prior) * (np.log1p(v / prior) - 2 * math.log(alpha)))
    return found


@lru_cache(maxsize=64)  # one or two levels are asked for at every look
def tuned_ratio(alpha: float, dimensions: int = 1) -> float:
    """s/V at the look at which the mixture is tightest; 8.21 at alpha .05.

    With ``x = 1 + s/V`` the squared radius in units of V is ``x / (x - 1) * (m ln x + 2 ln(1/alpha))``, m dimensions
    (m = 1 of a difference, arms - 1 of shares). It is least where ``x - ln x = 1 + 2 ln(1/alpha) / m``, that is
    ``x = -W(-alpha^(2/m) / e)`` on the lower branch of Lambert's function, and is ``m x`` there.
    """
    from scipy.special import lambertw

    check_alpha(alpha)
    return float(-lambertw(-(alpha ** (2 / dimensions)) / math.e, k=-1).real) - 1.0
