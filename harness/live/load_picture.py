"""A load test as it stands, as a picture for a terminal. Pure: what was told last, and the p99 of each second."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.domain.load_event import CapacityStarted, CapacityTried, LoadProgressed, LoadStarted
from harness.domain.units import SECOND
from harness.report import load_words as said
from harness.report import text as words
from harness.report.load_terminal import GRADES

BARS: Final = "▁▂▃▄▅▆▇█"
KEPT: Final = 60
"""Seconds that the sparkline shows."""
LATE_S: Final = 0.001
"""A lag of the generator that deserves to be seen."""
BUSY: Final = 0.85
"""A share of a core, or of the machine, that does."""


@dataclass
class Seen:
    """What is known of a test, or of a search and its trials."""

    started: LoadStarted | None = None
    now: LoadProgressed | None = None
    p99_s: list[float | None] = field(default_factory=list)
    """Of each second so far, the last `KEPT`."""
    search: CapacityStarted | None = None
    trials: list[CapacityTried] = field(default_factory=list)

    def see(self, event: object) -> bool:
        """Take an event; whether it changes the picture."""
        match event:
            case LoadStarted():
                self.started, self.now, self.p99_s = event, None, []
            case LoadProgressed():
                self.now = event
                self.p99_s = [*self.p99_s, event.figures.get("p99")][-KEPT:]
            case CapacityStarted():
                self.search = event
            case CapacityTried():
                self.trials.append(event)
            case _:
                return False
        return True


def picture(seen: Seen, width: int) -> RenderableType:
    """All of it."""
    blocks: list[RenderableType] = []
    if seen.search:
        blocks.append(_search(seen.search, seen.trials))
    if seen.started:
        blocks += _test(seen, seen.started, width)
    return Group(*blocks) if blocks else Text("…")


def sparkline(values: Sequence[float | None]) -> str:
    """Values as bars, the highest full; a blank where there is none.

    >>> sparkline([1, 2, None, 8])
    '▁▂ █'
    """
    most = max((value for value in values if value is not None), default=0.0)
    if most <= 0:
        return " " * len(values)
    return "".join(" " if value is None else BARS[min(7, int(value / most * 7.999))] for value in values)


def asked_now(started: LoadStarted, at_s: float) -> float | None:
    """The rate that is asked for at a moment; None of a closed loop."""
    if started.mode != "open":
        return None
    if not started.planned:
        return started.target_rate
    place = bisect_right(started.planned, at_s, key=lambda point: point[0])
    if place == 0 or place == len(started.planned):
        return started.planned[min(place, len(started.planned) - 1)][1]
    (t0, r0), (t1, r1) = started.planned[place - 1 : place + 1]
    return r0 + (r1 - r0) * (at_s - t0) / (t1 - t0) if t1 > t0 else r1


# --- a test -----------------------------------------------------------------------------------------------------------


def _test(seen: Seen, started: LoadStarted, width: int) -> list[RenderableType]:
    now = seen.now
    at_s, whole_s = (now.at_ns / SECOND if now else 0.0), (started.warmup_ns + started.duration_ns) / SECOND
    blocks: list[RenderableType] = [_head(started, now, at_s, whole_s, width)]
    if now is None:
        return blocks
    blocks += [_pace(started, now, at_s), _latencies(now)]
    if any(seen.p99_s):
        most = max(value for value in seen.p99_s if value is not None)
        blocks.append(Text(f"p99 each second  {sparkline(seen.p99_s)}  at most {words.latency(most)}"))
    blocks.append(_failed(now))
    blocks.append(_generator(now))
    return blocks


def _head(started: LoadStarted, now: LoadProgressed | None, at_s: float, whole_s: float, width: int) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    told = Text(started.url, style="bold")
    if now and now.grade:
        told.append(f"  {now.grade} so far", style=GRADES.get(now.grade, "bold cyan"))
    phase = "warm-up, " if at_s * SECOND < started.warmup_ns else ""
    left = f"{phase}{words.span(at_s)} of {words.span(whole_s)}, {words.span(max(0.0, whole_s - at_s))} left"
    bar = ProgressBar(total=max(whole_s, 1e-9), completed=min(at_s, whole_s), width=max(10, min(40, width - 45)))
    grid.add_row(bar, Text(left))
    return Group(told, grid)


def _pace(started: LoadStarted, now: LoadProgressed, at_s: float) -> Text:
    asked = asked_now(started, at_s)
    pace = f"asked {said.rate(asked)}" if asked is not None else f"{words.plural(started.users or 0, 'user')}"
    counts = now.counts
    good = words.share(counts.success_rate)
    return Text(
        f"{pace}  answered {said.rate(now.rate_per_s)}  in flight {words.count(counts.in_flight)}"
        f"  since warm-up {words.count(counts.succeeded)} succeeded ({good})"
    )


def _latencies(now: LoadProgressed) -> RenderableType:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("latency")
    names = ("mean", "p50", "p95", "p99")
    for name in names:
        table.add_column(name, justify="right", min_width=8)
    for row, figures in (("last second", now.figures), ("so far", now.so_far)):
        table.add_row(row, *(said.latency(figures.get(name)) for name in names))
    return table


def _failed(now: LoadProgressed) -> Text:
    counts = now.counts
    kinds = [f"{said.kind(kind)} {words.count(number)}" for kind, number in counts.errors.items() if number]
    kinds += [f"not sent: {said.kind(kind)} {words.count(number)}" for kind, number in counts.unsent.items() if number]
    return Text(f"failed  {', '.join(kinds)}", style="red") if kinds else Text("failed  none", style="dim")


def _generator(now: LoadProgressed) -> Text:
    lag, busy, machine = (now.figures.get(name) for name in ("lag_p99", "busy", "machine"))
    late = (lag or 0.0) > LATE_S or (busy or 0.0) > BUSY
    told = f"generator  lag p99 {said.latency(lag)}, core {words.share(busy)}, machine {words.share(machine)}"
    return Text(told, style="yellow" if late else "dim")


# --- a search ---------------------------------------------------------------------------------------------------------


def _search(search: CapacityStarted, trials: Sequence[CapacityTried]) -> RenderableType:
    told = Text(search.url, style="bold")
    told.append(f"  highest rate that holds {' and '.join(search.slos)}", style="default")
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("trial", "rate", "p50", "p99", "succeeded", "", "limit by then"):
        table.add_column(name, justify="left" if name in {"", "limit by then"} else "right", no_wrap=True)
    for trial in trials[-10:]:
        table.add_row(*trial_cells(trial), style={True: "green", False: "red", None: "yellow"}[trial.held])
    return Group(told, table) if trials else told


def trial_cells(trial: CapacityTried) -> tuple[str, ...]:
    """A trial in words: number, rate, p50, p99, success, verdict, bracket."""
    ends = said.rate(trial.low), said.rate(trial.high)
    limit = f"{ends[0]} to {ends[1]}" if trial.high is not None else f"{ends[0]} or more"
    return (
        str(trial.number),
        said.rate(trial.rate_per_s),
        said.latency(trial.figures.get("p50")),
        said.latency(trial.figures.get("p99")),
        words.share(trial.figures.get("success_rate")),
        {True: "✓ held", False: "✗ missed", None: "spoiled"}[trial.held],
        f"below {ends[1]}" if trial.low is None and trial.high is not None else limit,
    )
