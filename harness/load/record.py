"""What a load test measured, as a value that can be merged: counts, log-bucket histograms, and a series by due time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.domain.load import Counts, Spread
from harness.domain.units import SECOND
from harness.stats.histogram import REPRESENTATIVE_NS, Histogram, bucket_of

IntArray = NDArray[np.int64]

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}


@dataclass(frozen=True, slots=True, eq=False)
class Durations:
    """A histogram, and the least and greatest exactly."""

    histogram: Histogram = field(default_factory=Histogram)
    least_ns: int | None = None
    most_ns: int | None = None

    @classmethod
    def of(cls, durations_ns: IntArray) -> "Durations":
        """Count them; a clock's step back counts as nothing."""
        if not durations_ns.size:
            return cls()
        durations = np.maximum(durations_ns, 0)
        return cls(Histogram.of(durations), int(durations.min()), int(durations.max()))

    @classmethod
    def merge(cls, parts: "Iterable[Durations]") -> "Durations":
        """All of them in one; exact, in any order and grouping."""
        some = [part for part in parts if part.least_ns is not None]
        if not some:
            return cls()
        return cls(
            Histogram.merge(part.histogram for part in some),
            min(part.least_ns for part in some if part.least_ns is not None),
            max(part.most_ns for part in some if part.most_ns is not None),
        )

    def above(self, bound_ns: float) -> "Durations":
        """Those in buckets above the bound's own; their sum within 0.8 %."""
        histogram = self.histogram
        skipped = int(bucket_of(int(bound_ns))) + 1 - histogram.first
        counts = histogram.counts[max(0, skipped) :]
        if not counts.any():
            return Durations()
        first = histogram.first + max(0, skipped)
        worth = REPRESENTATIVE_NS[first : first + counts.size]
        kept = Histogram.of_counts(counts, round(float(counts @ worth)), first)
        return Durations(kept, int(REPRESENTATIVE_NS[kept.first]), self.most_ns)

    def quantile_ns(self, q: float) -> float | None:
        """Nearest rank, within 0.8 %, and within what was seen; None where nothing was."""
        if self.least_ns is None or self.most_ns is None:
            return None
        return min(max(self.histogram.quantile(q), float(self.least_ns)), float(self.most_ns))

    def spread(self, *, buckets: bool = True) -> Spread:
        """For events: figures in seconds, and the buckets."""
        figures: dict[str, float | None] = {"mean": None, "min": None, "max": None}
        if self.least_ns is not None and self.most_ns is not None:
            figures = {"mean": self.histogram.mean_s, "min": self.least_ns / SECOND, "max": self.most_ns / SECOND}
        for name, q in PERCENTILES.items():
            value = self.quantile_ns(q)
            figures[name] = None if value is None else value / SECOND
        return Spread(self.histogram.count, figures, self.histogram.to_dict() if buckets else {})

    def to_dict(self) -> dict[str, Any]:
        """For JSON, and for other machines."""
        return {"histogram": self.histogram.to_dict(), "least_ns": self.least_ns, "most_ns": self.most_ns}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Durations":
        """What `to_dict` exported."""
        return cls(Histogram.from_dict(data["histogram"]), data["least_ns"], data["most_ns"])


def added(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counts by name, summed; the names in the order of the alphabet."""
    total: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return dict(sorted(total.items()))


def merged_counts(parts: Iterable[Counts]) -> Counts:
    """Counts of several generators, or intervals, as one."""
    some = list(parts)
    sums = {
        name: sum(getattr(part, name) for part in some)
        for name in ("scheduled", "not_sent", "sent", "succeeded", "failed", "in_flight")
    }
    return Counts(**sums, errors=added(part.errors for part in some), unsent=added(part.unsent for part in some))


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """What became of some requests: those of an interval, of a target, or all."""

    counts: Counts = field(default_factory=Counts)
    latency: Durations = Durations()
    """From the due time; what never got its answer counts with the time it was waited for."""
    service: Durations = Durations()
    """From the sending, of what was answered."""
    lag: Durations = Durations()
    waited: Durations = Durations()
    prompt: Durations = Durations()
    """The latency without the generator's own lag."""
    first: Durations = Durations()
    gap: Durations = Durations()
    answered: Durations = Durations()
    """From the due time, of what was answered well; of the whole test only."""
    failed: Durations = Durations()
    """From the due time, of what failed before its time-out; `settled` puts the slow ones of them into the latency."""

    @classmethod
    def merge(cls, parts: "Iterable[Tally]") -> "Tally":
        """All of them in one."""
        some = list(parts)
        spreads = ("latency", "service", "lag", "waited", "prompt", "first", "gap", "answered", "failed")
        return cls(
            merged_counts(part.counts for part in some),
            **{name: Durations.merge(getattr(part, name) for part in some) for name in spreads},
        )


@dataclass(frozen=True, slots=True)
class Load:
    """How busy a generator and its machine were in an interval; shares in 0..1."""

    busy: float = 0.0
    machine: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """All that one generator, or several, measured."""

    cells: Mapping[tuple[int, int], Tally]
    """By number of the interval, from the test's start (the warm-up's too), and of the target: counts, latency, service
    time, lag and time to the first byte."""
    targets: tuple[Tally, ...]
    """Since the warm-up, in the order of the plan's targets."""
    reached_ns: int
    """The last due time that came, since the test began: its planned end, unless it was stopped."""
    last_ns: int
    """When the last answer came, since the test began."""
    loads: Mapping[int, Load] = field(default_factory=dict)
    connections: Mapping[str, int] = field(default_factory=dict)
    locations: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, str] = field(default_factory=dict)
    cpu_ns: int = 0
    peak_memory: int = 0
    pulse: Durations = Durations()
    """How late the generator's loop came to what was to be done at a time; measured all the while."""
    began_late_ns: int = 0
    """How long after the agreed start it was ready."""
    cut_short: str = ""
    """What ended it before all that was to be sent was sent; empty: nothing did, or a stop that was asked for."""

    @property
    def intervals(self) -> dict[int, Tally]:
        """By number of the interval, all targets together."""
        found: dict[int, list[Tally]] = {}
        for (number, _), tally in sorted(self.cells.items()):
            found.setdefault(number, []).append(tally)
        return {number: Tally.merge(tallies) for number, tallies in found.items()}

    @property
    def total(self) -> Tally:
        """Since the warm-up, all targets together."""
        return Tally.merge(self.targets)

    @classmethod
    def merge(cls, parts: "Iterable[Record]") -> "Record":
        """What several generators of one test measured, as if it had been one; exact."""
        some = list(parts)
        cells = sorted({cell for part in some for cell in part.cells})
        busy = sorted({number for part in some for number in part.loads})
        return cls(
            cells={cell: Tally.merge(part.cells[cell] for part in some if cell in part.cells) for cell in cells},
            targets=tuple(Tally.merge(each) for each in zip(*(part.targets for part in some), strict=True)),
            reached_ns=max((part.reached_ns for part in some), default=0),
            last_ns=max((part.last_ns for part in some), default=0),
            loads={number: _busiest([part.loads[number] for part in some if number in part.loads]) for number in busy},
            connections=added(part.connections for part in some),
            locations=added(part.locations for part in some),
            examples={kind: told for part in reversed(some) for kind, told in part.examples.items()},
            cpu_ns=sum(part.cpu_ns for part in some),
            peak_memory=max((part.peak_memory for part in some), default=0),
            pulse=Durations.merge(part.pulse for part in some),
            began_late_ns=max((part.began_late_ns for part in some), default=0),
            cut_short=next((part.cut_short for part in some if part.cut_short), ""),
        )


def _busiest(loads: list[Load]) -> Load:
    machines = [load.machine for load in loads if load.machine is not None]
    return Load(max(load.busy for load in loads), max(machines, default=None))


def settled(record: Record) -> Record:
    """The record with every failure in its latencies that took longer than half of the requests did.

    A failure that comes late made its user wait like any answer. One that comes at once would make the percentiles look
    better than they are, and stays out. Which is which is known only when all generators' records are merged.
    """
    median = record.total.latency.quantile_ns(0.5)
    if median is None:
        return record

    def fold(tally: Tally) -> Tally:
        slow = tally.failed.above(median)
        if slow.least_ns is None:
            return tally
        return replace(
            tally,
            latency=Durations.merge((tally.latency, slow)),
            prompt=Durations.merge((tally.prompt, slow)),
            failed=Durations(),
        )

    cells = {cell: fold(tally) for cell, tally in record.cells.items()}
    return replace(record, cells=cells, targets=tuple(fold(tally) for tally in record.targets))
