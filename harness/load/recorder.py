"""The recorder: every request in a buffer, flushed to histograms in batches; bounded memory, however long the test."""

import struct
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.domain.load import Counts, LoadPlan
from harness.load.exchange import IN_FLIGHT, UNSENT, WAITED, Exchange
from harness.load.record import Durations, Tally
from harness.stats.histogram import Histogram

BATCH: Final = 4096
"""Requests in the buffer; flushing it holds the loop up for a fraction of a millisecond."""
_ROW: Final = struct.Struct("=qqqqqii")
_TYPE: Final = np.dtype(
    [
        ("due", "<i8"),
        ("taken", "<i8"),
        ("sent", "<i8"),
        ("first", "<i8"),
        ("done", "<i8"),
        ("target", "<i4"),
        ("kind", "<i4"),
    ]
)
SERIES: Final = ("latency", "service", "lag", "first", "failed")
"""The durations that a series shows."""
TOTAL: Final = ("latency", "service", "lag", "waited", "prompt", "first", "failed", "answered")
LATELY: Final = ("latency", "lag")
MOST_EXAMPLES: Final = 64
MOST_LOCATIONS: Final = 32

Rows = NDArray[Any]
Flags = NDArray[np.bool_]


class Sums:
    """A tally that is still added to."""

    __slots__ = ("gap", "kinds", "parts")

    def __init__(self) -> None:
        self.kinds: dict[int, int] = defaultdict(int)
        self.parts: dict[str, Durations] = {}
        self.gap = Durations()

    def add(self, kinds: Mapping[int, int], parts: Mapping[str, Durations], names: Sequence[str]) -> None:
        """Take what some requests come to.

        Args:
            kinds: how many ended in each way.
            parts: their durations, by name.
            names: of those durations that are kept.
        """
        for kind, count in kinds.items():
            self.kinds[kind] += count
        for name in names:
            if (new := parts.get(name)) is not None:
                before = self.parts.get(name)
                self.parts[name] = new if before is None else Durations.merge((before, new))

    def counts(self, names: Sequence[str]) -> Counts:
        """How many ended in each way, by the names of the ways."""
        return counted({names[kind]: count for kind, count in self.kinds.items()})

    def histogram(self, name: str) -> Histogram:
        """Of one of the durations."""
        return self.parts.get(name, Durations()).histogram

    def tally(self, names: Sequence[str]) -> Tally:
        """What it comes to."""
        return Tally(self.counts(names), **self.parts, gap=self.gap)


def durations_of(rows: Rows, waited: Flags, unsent: Flags, *, first: bool) -> dict[str, Durations]:
    """The durations of requests that have come to their end, those of which there are any.

    Args:
        rows: the requests.
        waited: by kind of end, whether it counts in the latency without an answer.
        unsent: by kind of end, whether it means that nothing was sent.
        first: answers come in pieces.
    """
    kinds = rows["kind"]
    answered = rows if not kinds.any() else rows[kinds == 0]
    lasted = rows if answered is rows else rows[(kinds == 0) | waited[kinds]]
    sent = rows if answered is rows else rows[~unsent[kinds]]
    found = {
        "latency": lasted["done"] - lasted["due"],
        "service": answered["done"] - answered["sent"],
        "lag": rows["taken"] - rows["due"],
        "waited": sent["sent"] - sent["taken"],
        "prompt": lasted["done"] - lasted["taken"],
    }
    if answered is not rows:
        failed = rows[(kinds != 0) & ~waited[kinds]]
        found["failed"] = failed["done"] - failed["due"]
        found["answered"] = answered["done"] - answered["due"]
    if first:
        found["first"] = answered["first"] - answered["sent"]
    counted = {name: Durations.of(durations) for name, durations in found.items() if durations.size}
    if answered is rows:
        counted["answered"] = counted["latency"]  # all were, and are not counted twice
    return counted


def counted(kinds: dict[str, int]) -> Counts:
    """Counts from how many requests ended in each way; the success is called by an empty name."""
    unsent = {kind: count for kind, count in sorted(kinds.items()) if kind in UNSENT}
    errors = {kind: count for kind, count in sorted(kinds.items()) if kind and kind not in UNSENT and kind != IN_FLIGHT}
    scheduled, not_sent = sum(kinds.values()), sum(unsent.values())
    return Counts(
        scheduled=scheduled,
        not_sent=not_sent,
        sent=scheduled - not_sent,
        succeeded=kinds.get("", 0),
        failed=sum(errors.values()),
        in_flight=kinds.get(IN_FLIGHT, 0),
        errors=errors,
        unsent=unsent,
    )


class Recorder:
    """Takes each exchange at its end.

    Args:
        plan: the load test.
        start_ns: when it began, in the loop's time.
    """

    def __init__(self, plan: LoadPlan, start_ns: int) -> None:
        self._start_ns = start_ns
        self._warm_ns = plan.warmup_ns
        self._width_ns = plan.interval_ns
        self._warm_intervals = -(-plan.warmup_ns // plan.interval_ns)
        self._stream = plan.transport.stream
        self._buffer = bytearray(BATCH * _ROW.size)
        self._at = 0
        self._end = len(self._buffer)
        self._step = _ROW.size
        self._pack = _ROW.pack_into
        self._names = [""]
        self._kinds = {"": 0}
        self._gaps: dict[int, list[int]] = defaultdict(list)
        self._cells: dict[tuple[int, int], Sums] = defaultdict(Sums)
        self._targets = [Sums() for _ in plan.targets]
        self._lately, self._lately_measured = Sums(), Sums()
        self.examples: dict[str, str] = {}
        self.locations: dict[str, int] = {}
        self.last_ns = 0

    def take(self, exchange: Exchange) -> None:
        """Record an exchange that has come to its end."""
        fault = exchange.fault
        kind = 0
        if fault:
            kind = self._failed(exchange, fault)
        elif exchange.gaps and exchange.due_ns - self._start_ns >= self._warm_ns:
            self._gaps[exchange.target].extend(exchange.gaps)
        self._pack(
            self._buffer,
            self._at,
            exchange.due_ns,
            exchange.taken_ns,
            exchange.sent_ns,
            exchange.first_ns,
            exchange.done_ns,
            exchange.target,
            kind,
        )
        self._at += self._step
        if self._at == self._end:
            self.flush()

    def _failed(self, exchange: Exchange, fault: str) -> int:
        kind = self._kinds.get(fault)
        if kind is None:
            kind = self._kinds[fault] = len(self._names)
            self._names.append(fault)
        if fault not in self.examples and exchange.told and len(self.examples) < MOST_EXAMPLES:
            self.examples[fault] = exchange.told[:300]
        if exchange.location and (exchange.location in self.locations or len(self.locations) < MOST_LOCATIONS):
            self.locations[exchange.location] = self.locations.get(exchange.location, 0) + 1
        return kind

    def flush(self) -> None:
        """Sort what is in the buffer into its histograms."""
        if not self._at:
            return
        rows = np.frombuffer(bytes(self._buffer[: self._at]), _TYPE)
        self._at = 0
        self.last_ns = max(self.last_ns, int(rows["done"].max()) - self._start_ns)
        flags = self._flags()
        numbers = self.numbers_of(rows["due"] - self._start_ns)
        one = len(self._targets) == 1
        for target, sums in enumerate(self._targets):
            of_target = slice(None) if one else rows["target"] == target
            mine, number = rows[of_target], numbers[of_target]
            distinct = _distinct(number)
            for each in distinct:
                self._sort(each, target, mine if len(distinct) == 1 else mine[number == each], flags)
            if gaps := self._gaps.pop(target, None):
                sums.gap = Durations.merge((sums.gap, Durations.of(np.array(gaps, np.int64))))

    def _sort(self, number: int, target: int, rows: Rows, flags: tuple[Flags, Flags]) -> None:
        """Add requests of one interval and target to all that they are of; each is counted in buckets once."""
        kinds = {kind: int(count) for kind, count in enumerate(np.bincount(rows["kind"])) if count}
        parts = durations_of(rows, *flags, first=self._stream)
        self._cells[number, target].add(kinds, parts, SERIES)
        self._lately.add(kinds, parts, LATELY)
        if number >= self._warm_intervals:
            self._targets[target].add(kinds, parts, TOTAL)
            self._lately_measured.add(kinds, parts, ())

    def _flags(self) -> tuple[Flags, Flags]:
        """By kind of end: whether it counts in the latency without an answer, and whether it means nothing was sent."""
        waited = [name in WAITED or name.startswith("timeout") for name in self._names]
        return np.array(waited), np.array([name in UNSENT for name in self._names])

    def numbers_of(self, since_ns: Any) -> Any:
        """The interval that each time since the start lies in: the warm-up has its own, before all others."""
        number = self._warm_intervals + (since_ns - self._warm_ns) // self._width_ns
        return np.maximum(number, 0)

    def lately(self) -> tuple[Counts, Histogram, Histogram, Counts]:
        """What has come to its end since this was asked last.

        Returns:
            Counts of all of it, its latencies, its lags, and the counts of that part which was due after the warm-up.
        """
        self.flush()
        found, measured = self._lately, self._lately_measured
        self._lately, self._lately_measured = Sums(), Sums()
        names = self._names
        return found.counts(names), found.histogram("latency"), found.histogram("lag"), measured.counts(names)

    def cells(self) -> dict[tuple[int, int], Tally]:
        """What became of the requests of each interval, by due time, and target."""
        self.flush()
        return {cell: sums.tally(self._names) for cell, sums in sorted(self._cells.items())}

    def targets(self) -> tuple[Tally, ...]:
        """The same of each target, since the warm-up."""
        self.flush()
        return tuple(sums.tally(self._names) for sums in self._targets)


def _distinct(numbers: NDArray[np.int64]) -> list[int]:
    """Those that occur; most batches lie in one interval."""
    if not numbers.size:
        return []
    least, most = int(numbers.min()), int(numbers.max())
    return [least] if least == most else [int(each) for each in np.unique(numbers)]
