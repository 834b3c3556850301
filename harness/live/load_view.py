"""Shows a load test or a capacity search while it goes on: a picture in a terminal, a line each second where asked for.

It watches the log in the process that keeps it; generators are processes of their own and do not wait for a drawing.
Once a second at most there is something new, so that is how often it draws. A terminal that has gone away ends the view
and not the test.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from rich.live import Live
from rich.text import Text

from harness.domain.event import Event
from harness.domain.load_event import CapacityTried, LoadProgressed
from harness.domain.units import SECOND
from harness.live.load_picture import Seen, picture, trial_cells
from harness.report import load_words as said
from harness.report import text as words
from harness.report.terminal import Screen

Watcher = Callable[[int, Event], None]


@contextmanager
def watching(
    *, live: bool | None = None, verbose: bool = False, color: bool = True, file: IO[str] | None = None
) -> Iterator[Watcher | None]:
    """A watcher for the log of a load test or a search, as `EventLog.watch` wants it; None: nothing is to be shown.

    Args:
        live: the picture; None: where the file is a terminal. False: never.
        verbose: where there is no picture, a line for each second and trial.
        color: colours are allowed.
        file: standard error, if not given.
    """
    out = file or sys.stderr
    console = Screen(file=out, no_color=not color, highlight=False, markup=False, emoji=False)
    if live or (live is None and console.is_terminal and not console.is_dumb_terminal):
        with LoadView(console) as view:
            yield view
    else:
        yield PlainSeconds(out) if verbose else None


class PlainSeconds:
    """A line for each second of a test, and for each trial of a search."""

    def __init__(self, file: IO[str]) -> None:
        self._file: IO[str] | None = file

    def __call__(self, number: int, event: Event) -> None:
        """Print a line if it is worth one."""
        del number
        line = _second(event) if isinstance(event, LoadProgressed) else None
        if isinstance(event, CapacityTried):
            line = f"trial {'  '.join(trial_cells(event))}"
        if line is None or self._file is None:
            return
        try:
            print(line, file=self._file)
        except OSError:
            self._file = None


def _second(now: LoadProgressed) -> str:
    figures = now.figures
    told = [
        words.clock_time(now.at_ns / SECOND),
        said.rate(now.rate_per_s),
        *(f"{name} {said.latency(figures.get(name))}" for name in ("p50", "p95", "p99")),
        f"lag {said.latency(figures.get('lag_p99'))}",
        f"in flight {now.counts.in_flight}",
        f"failed {now.counts.failed}",
        f"not sent {now.counts.not_sent}",
        now.grade or "–",
    ]
    return "  ".join(told)


class LoadView:
    """A picture that is drawn anew in place; gone when the test is over, for its result takes the place."""

    def __init__(self, console: Screen) -> None:
        self._seen = Seen()
        self._live: Live | None = Live(
            Text("…"),
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )

    def __enter__(self) -> "LoadView":
        self._guarded(lambda live: live.start(refresh=True))
        return self

    def __exit__(self, *_: object) -> None:
        self._guarded(lambda live: live.stop())

    def __call__(self, number: int, event: Event) -> None:
        """Take an event, and draw what it changes."""
        del number
        if self._live and self._seen.see(event):
            self._guarded(lambda live: live.update(picture(self._seen, live.console.width), refresh=True))

    def _guarded(self, act: Callable[[Live], None]) -> None:
        """A terminal that has gone away is no reason to stop the test."""
        if self._live:
            try:
                act(self._live)
            except OSError:
                self._live = None
