"""Sample ratio mismatch: do the arms have the units that their shares of traffic say they should?

If not, assignment or counting is broken, and no comparison of the arms means anything. Counts are of units (users, not
their requests), each counted once, in the arm it was first assigned to, and assigned independently.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.stats.sequential import tuned_ratio

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Stretch:
    """New units of each arm while the shares held still.

    >>> Stretch((170, 30), (0.9, 0.1))
    Stretch(counts=(170, 30), shares=(0.9, 0.1))
    """

    counts: tuple[int, ...]
    shares: tuple[float, ...]
    """Intended, one for each arm; they sum to 1, and an arm without traffic has 0."""

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.shares) or len(self.counts) < 2:
            raise ValueError(
                f"{len(self.counts)} counts and {len(self.shares)} shares: give one of each for 2 or more arms"
            )
        if min(self.counts) < 0:
            raise ValueError(f"counts are {self.counts}: none may be negative")
        if not min(self.shares) >= 0 or not math.isclose(sum(self.shares), 1.0, abs_tol=1e-9):
            raise ValueError(f"shares are {self.shares}: they are 0 or more and sum to 1, not to {sum(self.shares):g}")

    @property
    def impossible(self) -> bool:
        """Whether an arm without traffic got units."""
        return any(count and not share for count, share in zip(self.counts, self.shares, strict=True))

    def open(self) -> tuple[FloatArray, FloatArray]:
        """Counts and shares of the arms that get traffic."""
        counts, shares = np.asarray(self.counts, np.float64), np.asarray(self.shares, np.float64)
        return counts[shares > 0], shares[shares > 0]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """How strongly counts speak against the shares."""

    evidence: float
    """Fixed: the chi-square statistic. Sequential: the natural logarithm of the e-value."""
    p_value: float


def mismatch(stretch: Stretch) -> Mismatch:
    """Pearson's chi-square test of counts against shares, for one look fixed beforehand.

    Asymptotic: good from 5 expected units an arm on. Without counts, or with one arm alone in traffic, p is 1.

    >>> mismatch(Stretch((821_588, 815_482), (0.5, 0.5))).p_value < 2e-6
    True
    """
    if stretch.impossible:
        return Mismatch(math.inf, 0.0)
    from scipy.special import chdtrc

    counts, shares = stretch.open()
    expected = shares * counts.sum()
    if not counts.sum() or counts.size < 2:
        return Mismatch(0.0, 1.0)
    statistic = float(((counts - expected) ** 2 / expected).sum())
    return Mismatch(statistic, float(chdtrc(counts.size - 1, statistic)))


def sequential_mismatch(stretches: Sequence[Stretch], concentration: float) -> Mismatch:
    """The multinomial test of Lindon and Malek (NeurIPS 2022), valid at any number of looks. Exact at any size.

    The likelihood of the counts averaged over a Dirichlet prior around the shares w, ``Dirichlet(k w)``, against their
    likelihood at w:

        E = B(k w + x) / B(k w) / prod(w_i^x_i),    B the multivariate beta function,

    a martingale that starts at 1 where the shares are kept; by Ville's inequality ``P(1/E <= a at any look) <= a``.
    Each stretch has a factor of its own, at its own shares: given the past each is such a martingale, whatever led to
    the change of shares, so their product is one. The least p-value so far is valid too, and is what should be kept.

    Args:
        stretches: in order, the last one up to now; those over are kept as they were.
        concentration: k, fixed beforehand (see `concentration_for`); weight of the prior in units. Greater finds small
            mismatches late, less finds big ones early.

    >>> round(sequential_mismatch([Stretch((170, 30), (0.9, 0.1))], 100).evidence, 12)
    1.014223475895
    """
    if not 0 < concentration < math.inf:
        raise ValueError(f"concentration is {concentration}: it takes a finite number of units above 0")
    if any(stretch.impossible for stretch in stretches):
        return Mismatch(math.inf, 0.0)
    log_e = math.fsum(_log_e(*stretch.open(), concentration) for stretch in stretches)
    return Mismatch(log_e, math.exp(-max(0.0, log_e)))


def _log_e(counts: FloatArray, shares: FloatArray, concentration: float) -> float:
    return float(log_e_values(counts, shares, concentration))


def log_e_values(counts: NDArray[np.float64], shares: NDArray[np.float64], concentration: float) -> FloatArray:
    """Logarithm of E of one stretch, arms on the last axis; shares are above 0."""
    from scipy.special import gammaln

    prior = concentration * shares
    arms = (gammaln(prior + counts) - gammaln(prior) - counts * np.log(shares)).sum(axis=-1)
    # The shares' sum, not 1, so that rounding of shares cannot make evidence.
    whole = prior.sum(axis=-1)
    found: FloatArray = np.asarray(arms - gammaln(whole + counts.sum(axis=-1)) + gammaln(whole))
    return found


def concentration_for(tuned_n: float, alpha: float, arms: int = 2) -> float:
    """The concentration at which the test at level alpha finds the least mismatch once ``tuned_n`` units came.

    A concentrated Dirichlet is a normal prior of ``n / (k + 1)`` times the variance of the shares seen among n units,
    and `tuned_ratio` says what that should be. Approximate; the test is valid with any concentration.

    >>> round(concentration_for(20_000, 0.001))
    1197
    """
    if not tuned_n > 0 or arms < 2:
        raise ValueError(
            f"tuned_n is {tuned_n} and arms {arms}: it takes a number of units above 0, and 2 or more arms"
        )
    return max(1.0, tuned_n / tuned_ratio(alpha, arms - 1) - 1)
