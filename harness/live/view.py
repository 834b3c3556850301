"""Shows a run while it goes on: a live table in a terminal, plain lines elsewhere, nothing where it is to be quiet.

It folds the events that the report will fold, and only looks: it never adds or changes one, and a terminal that has
gone away ends the view, not the run. Virtual hours pass in a second, so it draws by real time, ten times a second.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from harness.clock import wall_ns
from harness.domain.event import (
    Alarmed,
    Awaited,
    Checked,
    Commanded,
    Decided,
    Escalated,
    Event,
    ExperimentLooked,
    ExperimentPlanned,
    Interrupted,
    Noticed,
    Notified,
    Retrained,
    RolloutStarted,
    StageStarted,
    StepEntered,
    StepHeld,
    TrafficStarted,
)
from harness.domain.faster import TimeScaled
from harness.domain.scenario import Scenario
from harness.domain.units import MILLISECOND, SECOND
from harness.live.picture import picture
from harness.report import text as words
from harness.report.diary import mark, tell
from harness.report.folding import Folding
from harness.report.terminal import Screen

Watcher = Callable[[int, Event], None]

REDRAW_NS: Final = 100 * MILLISECOND


@contextmanager
def watching(
    scenario: Scenario,
    *,
    live: bool | None = None,
    quiet: bool = False,
    color: bool = True,
    file: IO[str] | None = None,
) -> Iterator[Watcher | None]:
    """A watcher for the scenario's log, as `EventLog.watch` wants it; None where nothing is to be shown.

    Args:
        scenario: the one that runs.
        live: the live table; None: where the file is a terminal. False gives plain lines.
        quiet: show nothing.
        color: colours are allowed.
        file: standard error, if not given.
    """
    if quiet:
        yield None
        return
    out = file or sys.stderr
    console = Screen(file=out, no_color=not color, highlight=False, markup=False, emoji=False)
    if live or (live is None and console.is_terminal and not console.is_dumb_terminal):
        with LiveView(console, scenario.name) as view:
            yield view
    else:
        yield PlainLines(out, scenario.name)


class PlainLines:
    """One line for each stage, step, fault, decision, and what asks for a person, with the time since the run began.

    Once traffic runs, the time since then, with a plus: what a scenario injects is timed by that.
    """

    def __init__(self, file: IO[str], name: str) -> None:
        self._file: IO[str] | None = file
        self._name = name
        self._traffic_ns: int | None = None

    def __call__(self, number: int, event: Event) -> None:
        """Print a line if it is worth one."""
        del number
        if self._file is None or not _worth_a_line(event):
            return
        if isinstance(event, TrafficStarted):
            self._traffic_ns = event.at_ns
        at = words.clock_time((event.at_ns - (self._traffic_ns or 0)) / SECOND)
        at = at if self._traffic_ns is None else f"+{at}"
        try:
            print(f"{self._name}  {at:>8}  {tell(event)}", file=self._file)
        except OSError:
            self._file = None


def _worth_a_line(event: Event) -> bool:
    match event:
        case StageStarted() | TrafficStarted() | StepHeld() | Decided() | Interrupted() | Escalated():
            return True
        case Awaited() | Commanded() | TimeScaled() | Alarmed() | Retrained() | RolloutStarted() | ExperimentPlanned():
            return True
        case ExperimentLooked():
            return tell(event) is not None
        case Checked(passed=False) | Notified(delivered=False):
            return True
        case Noticed() | StepEntered():
            return mark(event) is not None
    return False


class LiveView:
    """A table that is drawn anew in place; gone when the run is over, for its result takes the place."""

    def __init__(self, console: Console, name: str) -> None:
        self._name = name
        self._folding = Folding()
        self._drawn_ns = 0
        self._live: Live | None = Live(
            Text(f"{name}  …"),
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )

    def __enter__(self) -> "LiveView":
        self._guarded(lambda live: live.start(refresh=True))
        return self

    def __exit__(self, *_: object) -> None:
        self._guarded(lambda live: live.stop())

    def __call__(self, number: int, event: Event) -> None:
        """Take an event; draw if the last drawing is old enough."""
        self._folding.see(number, event)
        now_ns = wall_ns()
        if self._live and now_ns - self._drawn_ns >= REDRAW_NS:
            self._guarded(lambda live: live.update(picture(self._folding, live.console.width), refresh=True))
            self._drawn_ns = wall_ns()

    def _guarded(self, act: Callable[[Live], None]) -> None:
        """A terminal that has gone away is no reason to stop users' traffic."""
        if self._live:
            try:
                act(self._live)
            except OSError:
                self._live = None
