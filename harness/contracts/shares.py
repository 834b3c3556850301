"""Whether a split is as asked: by the exact binomial distribution, at the two ends by equality."""

from typing import Final

from harness.contracts.checks import hold
from harness.domain.units import WHOLE

BY_CHANCE: Final = 1e-6
"""How often a router that splits by fair coins may be taken for one that does not, on each side."""
SHARES: Final = (100, 5000, 9900, WHOLE, 0)
"""Of the candidate, in 1/10,000: 1, 50, 99, 100 and 0 %."""


def hold_share(found: int, count: int, weight: int) -> None:
    """Hold that of ``count`` requests the candidate got as many as ``weight`` (in 1/10,000) gives by chance.

    The bounds are quantiles of the binomial distribution (scipy's convention: the smallest k with F(k) >= q), so that
    of a share of nothing there is none, and of all of it everything.

    >>> hold_share(13, 1000, 100)
    >>> hold_share(1, 1000, 0)
    Traceback (most recent call last):
        ...
    AssertionError: broken promise: at 0.00% the candidate gets 0 to 0 of 1000 requests, not 1
    """
    from scipy.stats import binom

    share = weight / WHOLE
    low, high = (int(binom.ppf(chance, count, share)) for chance in (BY_CHANCE, 1 - BY_CHANCE))
    hold(low <= found <= high, f"at {share:.2%} the candidate gets {low} to {high} of {count} requests, not {found}")
