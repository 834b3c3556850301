"""What clients of one arm saw between two looks, as counts and sums."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.sim import kernels as k
from harness.stats.histogram import Histogram

IntArray = NDArray[np.int64]

ERROR_KINDS: Final = {
    "error": k.ERROR,
    "timeout": k.TIMEOUT,
    "rejected": k.REJECTED,
    "crash": k.CRASH,
    "no_replica": k.NO_REPLICA,
}


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """What was seen of one arm between two takes. All that is a count or a sum is exact."""

    arrivals: int
    """Requests that came to this arm; their outcomes may be seen later."""
    ok: int
    errors: Mapping[str, int]
    """Failures by kind, those that occurred: error, timeout, rejected, crash, no_replica."""
    latency: Histogram
    """Of successes, errors and time-outs (at their full length)."""
    wait_sum_ns: int
    """Time in the queue of the requests that got a slot."""
    wait_count: int
    busy_ns: int
    """Slots in service, integrated over the time since the last take, in slot-nanoseconds."""
    answered: Mapping[int, IntArray] = field(default_factory=dict)
    """Successes by data level, then row; levels that occurred."""
    labelled: Mapping[int, IntArray] = field(default_factory=dict)
    """Those of them that will get a label; of copies, those whose original was answered too."""
    classes: Mapping[str, "ClassTally"] = field(default_factory=dict)
    """By class of requests, where there are any."""

    @property
    def failed(self) -> int:
        """Failures of every kind."""
        return sum(self.errors.values())


@dataclass(frozen=True, slots=True, eq=False)
class ClassTally:
    """What was seen of one class of requests at one arm."""

    arrivals: int = 0
    ok: int = 0
    failed: int = 0
    latency: Histogram = field(default_factory=Histogram)

    def __add__(self, other: "ClassTally") -> "ClassTally":
        """Both together."""
        return ClassTally(
            self.arrivals + other.arrivals,
            self.ok + other.ok,
            self.failed + other.failed,
            self.latency + other.latency,
        )
