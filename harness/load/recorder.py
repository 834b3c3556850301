"""The recorder: every request in a buffer, flushed to histograms in batches; bounded memory, however long the test."""

import struct
from collections import defaultdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.domain.load import Counts, LoadPlan
from harness.load.exchange import IN_FLIGHT, UNSENT, WAITED, Exchange
from harness.load.record import Durations, Tally
from harness.stats.histogram import Histogram

BATCH: Final = 1024
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
MOST_EXAMPLES: Final = 64
MOST_LOCATIONS: Final = 32

Rows = NDArray[Any]
Flags = NDArray[np.bool_]


class Sums:
    """A tally that is still added to.

    Args:
        whole: every duration is kept; else those alone that a series shows.
    """

    __slots__ = ("gap", "kinds", "parts", "whole")

    def __init__(self, *, whole: bool = False) -> None:
        self.whole = whole
        self.kinds: dict[int, int] = defaultdict(int)
        self.parts: dict[str, Durations] = {}
        self.gap = Durations()

    def add(self, rows: Rows, waited: Flags, unsent: Flags, *, first: bool) -> None:
        """Take rows.

        Args:
            rows: exchanges.
            waited: by kind of end, whether it counts in the latency without an answer.
            unsent: by kind of end, whether it means that nothing was sent.
            first: answers come in pieces.
        """
        kinds = rows["kind"]
        for kind, count in enumerate(np.bincount(kinds)):
            if count:
                self.kinds[kind] += int(count)
        answered = rows if not kinds.any() else rows[kinds == 0]
        lasted = rows if answered is rows else rows[(kinds == 0) | waited[kinds]]
        found = {
            "latency": lasted["done"] - lasted["due"],
            "service": answered["done"] - answered["sent"],
            "lag": rows["taken"] - rows["due"],
        }
        if first:
            found["first"] = answered["first"] - answered["sent"]
        if self.whole:
            sent = rows if answered is rows else rows[~unsent[kinds]]
            found["waited"] = sent["sent"] - sent["taken"]
            found["prompt"] = lasted["done"] - lasted["taken"]
        for name, durations in found.items():
            if durations.size:
                before = self.parts.get(name)
                new = Durations.of(durations)
                self.parts[name] = new if before is None else Durations.merge((before, new))

    def tally(self, names: list[str]) -> Tally:
        """What it comes to."""
        return Tally(counted({names[kind]: count for kind, count in self.kinds.items()}), **self.parts, gap=self.gap)


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
        self._targets = [Sums(whole=True) for _ in plan.targets]
        self._lately: list[Rows] = []
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
        self._lately.append(rows)
        self.last_ns = max(self.last_ns, int(rows["done"].max()) - self._start_ns)
        waited, unsent = self._flags()
        since = rows["due"] - self._start_ns
        numbers = self.numbers_of(since)
        one = len(self._targets) == 1
        for target, sums in enumerate(self._targets):
            of_target = slice(None) if one else rows["target"] == target
            mine, number = rows[of_target], numbers[of_target]
            for each in _distinct(number):
                self._cells[each, target].add(mine[number == each], waited, unsent, first=self._stream)
            measured = mine[since[of_target] >= self._warm_ns]
            if measured.size:
                sums.add(measured, waited, unsent, first=self._stream)
            if gaps := self._gaps.pop(target, None):
                sums.gap = Durations.merge((sums.gap, Durations.of(np.array(gaps, np.int64))))

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
        batches, self._lately = self._lately, []
        if not batches:
            return Counts(), Histogram(), Histogram(), Counts()
        rows = np.concatenate(batches)
        waited, _ = self._flags()
        lasted = rows[(rows["kind"] == 0) | waited[rows["kind"]]]
        measured = rows[rows["due"] - self._start_ns >= self._warm_ns]
        return (
            self._counts(rows),
            Durations.of(lasted["done"] - lasted["due"]).histogram,
            Durations.of(rows["taken"] - rows["due"]).histogram,
            self._counts(measured),
        )

    def _counts(self, rows: Rows) -> Counts:
        kinds = np.bincount(rows["kind"], minlength=1)
        return counted({self._names[kind]: int(count) for kind, count in enumerate(kinds) if count})

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
