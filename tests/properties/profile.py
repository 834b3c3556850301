"""How many examples: a slice that takes a minute, always the same; or thousands of seeds, each time others.

``HARNESS_PROPERTIES=long pytest tests/properties`` runs the long one, on one core for some minutes, and says in the end
what it has been through; ``HARNESS_PROPERTIES=50000`` sets the number of examples.
"""

import os
from collections import Counter
from typing import Any, Final

from hypothesis import HealthCheck, settings

ASKED: Final = os.environ.get("HARNESS_PROPERTIES", "")
EXAMPLES: Final = int(ASKED) if ASKED.isdigit() else 10_000 if ASKED == "long" else 0
LONG: Final = EXAMPLES > 0

TALLY: Final[Counter[str]] = Counter()
"""What the runs of this session have been through."""


def examples(share: float, slice_of: int) -> Any:
    """The settings of a property: its share of the long run's examples, or its slice."""
    return settings(
        max_examples=max(int(EXAMPLES * share), 1) if LONG else slice_of,
        derandomize=not LONG,
        database=None,
        deadline=None,
        print_blob=LONG,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )
