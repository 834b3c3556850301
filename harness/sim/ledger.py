"""The ledger of a simulated cluster: what clients saw, in buckets of time, and the labels that have arrived.

A bucket holds counts, never requests, so memory grows with time and not with traffic; buckets older than any window
are dropped, and only the totals remember them.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.domain.model import Role
from harness.sim.tally import ClassTally, Tally
from harness.stats.histogram import Histogram

Rows = dict[int, NDArray[np.int64]]
"""How often each row was asked, by data level."""


@dataclass(frozen=True, slots=True, eq=False)
class Bucket:
    """What clients of each arm saw in ``[start, stop)``, in ns since traffic began."""

    start_ns: int
    stop_ns: int
    tallies: Mapping[Role, Tally]


@dataclass(slots=True)
class Sum:
    """Tallies of one arm added up."""

    arrivals: int = 0
    ok: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    busy_ns: int = 0
    latency: Histogram = field(default_factory=Histogram)
    answered: Rows = field(default_factory=dict)
    paired: Rows = field(default_factory=dict)
    """Of copies: those whose original was answered too."""
    classes: dict[str, ClassTally] = field(default_factory=dict)

    def add(self, tally: Tally) -> None:
        """Add what was seen in one bucket."""
        self.arrivals += tally.arrivals
        self.ok += tally.ok
        self.errors.update(tally.errors)
        self.busy_ns += tally.busy_ns
        self.latency += tally.latency
        add_rows(self.answered, tally.answered)
        add_rows(self.paired, tally.labelled)
        for name, more in tally.classes.items():
            self.classes[name] = self.classes.get(name, ClassTally()) + more

    @property
    def failed(self) -> int:
        """Failures of every kind."""
        return self.errors.total()

    @property
    def requests(self) -> int:
        """Requests that clients have an answer to, or gave up."""
        return self.ok + self.failed


class Ledger:
    """Buckets in order, for as long as any window reaches back, and totals for ever."""

    def __init__(self, roles: Iterable[Role], keep_ns: int) -> None:
        self.keep_ns = keep_ns
        self.buckets: deque[Bucket] = deque()
        self.labels: deque[Bucket] = deque()
        """Buckets whose labels have arrived; their times are those of the labels."""
        self.totals = {role: Sum() for role in roles}
        self.labelled: dict[Role, Rows] = {role: {} for role in roles}
        self.closed_ns = 0
        self.dropped_ns = 0
        """What was seen before this is in the totals alone."""

    def close(self, stop_ns: int, tallies: Mapping[Role, Tally]) -> Bucket:
        """End the bucket that is open, at ``stop_ns``."""
        bucket = Bucket(self.closed_ns, stop_ns, tallies)
        self.closed_ns = stop_ns
        self.buckets.append(bucket)
        for role, tally in tallies.items():
            self.totals[role].add(tally)
        self.dropped_ns = max(_drop(self.buckets, stop_ns - self.keep_ns), self.dropped_ns)
        return bucket

    def labels_arrived(self, bucket: Bucket, delay_ns: int) -> None:
        """The labels of a bucket are known from now on."""
        self.labels.append(Bucket(bucket.start_ns + delay_ns, bucket.stop_ns + delay_ns, bucket.tallies))
        for role, tally in bucket.tallies.items():
            add_rows(self.labelled[role], tally.labelled)
        _drop(self.labels, bucket.stop_ns + delay_ns - self.keep_ns)

    def forget_rows(self) -> None:
        """Other models answer from now on: rows that were asked before say nothing of these, and windows begin anew."""
        self.buckets.clear()
        self.labels.clear()
        for total in self.totals.values():
            total.answered, total.paired = {}, {}
        self.labelled = {role: {} for role in self.labelled}

    def window(self, start_ns: int, stop_ns: int) -> dict[Role, tuple[Sum, Rows]]:
        """What each arm did in the buckets of ``[start, stop)``, and the labels that came in it.

        A bucket belongs to the window that holds its middle. On virtual time windows begin and end where buckets do,
        and this is exact; on real time nothing happens on the nanosecond, and neighbouring windows still add up.

        Raises:
            ValueError: the window reaches back to what is not kept any more.
        """
        if start_ns < self.dropped_ns:
            raise ValueError(f"a window from {start_ns} ns on: what was seen before {self.dropped_ns} ns is not kept")
        found: dict[Role, tuple[Sum, Rows]] = {role: (Sum(), {}) for role in self.totals}
        for bucket in _inside(self.buckets, start_ns, stop_ns):
            for role, tally in bucket.tallies.items():
                found[role][0].add(tally)
        for bucket in _inside(self.labels, start_ns, stop_ns):
            for role, tally in bucket.tallies.items():
                add_rows(found[role][1], tally.labelled)
        return found


def add_rows(total: Rows, more: Mapping[int, NDArray[np.int64]]) -> None:
    """Add counts by level to a running total."""
    for level, counts in more.items():
        total[level] = total[level] + counts if level in total else counts


def _inside(buckets: Iterable[Bucket], start_ns: int, stop_ns: int) -> Iterable[Bucket]:
    return (bucket for bucket in buckets if start_ns <= (bucket.start_ns + bucket.stop_ns) // 2 < stop_ns)


def _drop(buckets: deque[Bucket], before_ns: int) -> int:
    """Drop what ended by then; answers with when the last of it did."""
    dropped_ns = 0
    while buckets and buckets[0].stop_ns <= before_ns:
        dropped_ns = buckets.popleft().stop_ns
    return dropped_ns
