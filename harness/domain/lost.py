"""Failures by kind, as users of real servers tell them apart, and which of them are requests that were lost."""

from collections.abc import Mapping
from typing import Final

LOST: Final = ("refused", "reset", "closed", "no_replica", "router_502", "router_504")
"""No replica answered at all: nobody listened, the connection was reset, or closed before the whole answer was there,
the router had no replica (its own 503), or none that would talk to it (its own 502, 504)."""
OTHERS: Final = ("error", "rejected", "timeout", "bad_answer", "not_sent")
"""A replica said that it failed, or that it has no room; nothing came in time; what came is no answer; and what was
never asked, because too many requests were under way."""
PRESUMED: Final = "presumed_"
"""Before a kind: nothing says which arm the request went to, and it is presumed to be the one whose answers are fewer
than its share (`harness.users.shares`)."""


def lost_in(errors: Mapping[str, int]) -> dict[str, int]:
    """Requests that were lost, by kind, of all that failed; kinds that did not occur are absent.

    >>> lost_in({"error": 3, "reset": 1, "presumed_reset": 2, "timeout": 4})
    {'reset': 3}
    """
    found = {kind: errors.get(kind, 0) + errors.get(PRESUMED + kind, 0) for kind in LOST}
    return {kind: count for kind, count in found.items() if count}
