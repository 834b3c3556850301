"""The live view: what it shows, where it shows nothing, and that it never stands in a run's way."""

import io
from dataclasses import dataclass
from typing import Any

import pytest
from rich.console import Console

from harness import log
from harness.live import view
from harness.live.picture import picture, progress
from harness.log import EventLog, Events
from harness.report.folding import Folding
from tests.report.stories import long_canary
from tests.report.test_fold import STORIES


@dataclass
class Named:
    name: str = "canary-regression"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Gone(Terminal):
    """A terminal that was closed."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(text)


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real time on which every event is worth a drawing."""
    now = iter(range(0, 10**15, view.REDRAW_NS))
    monkeypatch.setattr(view, "wall_ns", lambda: next(now))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm-256color")


def watched(events: Events, file: io.StringIO, **options: Any) -> str:
    with view.watching(Named(), file=file, **options) as watcher:  # type: ignore[arg-type]
        if watcher:
            for number, event in enumerate(events):
                watcher(number, event)
    return file.getvalue()


@pytest.mark.usefixtures("ticking")
def test_a_terminal_sees_stage_step_arms_and_verdicts() -> None:
    text = watched(long_canary(), Terminal(), color=False)
    for part in ("step 2 of 6: pause 24m", "of the plan", "162 ms", "p95 <= stable * 1.5", "3 failed so far", "4/4"):
        assert part in text


@pytest.mark.usefixtures("ticking")
@pytest.mark.parametrize("outcome", STORIES)
def test_every_run_can_be_watched(outcome: str) -> None:
    assert watched(STORIES[outcome](), Terminal())


def test_elsewhere_there_are_plain_lines() -> None:
    lines = watched(long_canary(), io.StringIO()).splitlines()
    assert lines[0].split() == ["canary-regression", "0:00", "stage", "validate", "begins"]
    assert any("step 1: weight 10%" in line for line in lines)
    assert any("fault begins on candidate: latency x1.8" in line for line in lines)
    assert any("+16:30  decided: rolled back" in line for line in lines)
    assert len(lines) < 20
    assert "\x1b" not in "".join(lines)


def test_plain_lines_can_be_had_in_a_terminal_and_the_table_elsewhere() -> None:
    assert "\x1b" not in watched(long_canary(), Terminal(), live=False)
    assert "decided" not in watched(long_canary(), io.StringIO(), live=True)


def test_quiet_is_quiet() -> None:
    assert watched(long_canary(), Terminal(), quiet=True) == ""


def test_without_colour_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b[3" not in watched(long_canary(), Terminal(), color=False)


@pytest.mark.parametrize("live", [True, False])
def test_a_terminal_that_has_gone_away_does_not_stop_the_run(live: bool) -> None:
    assert watched(long_canary(), Gone(), live=live) == ""


def test_a_watcher_changes_no_event() -> None:
    events = long_canary()
    watched_log = EventLog()
    with view.watching(Named(), file=Terminal()) as watcher:  # type: ignore[arg-type]
        assert watcher is not None
        watched_log.watch(watcher)
        for event in events:
            watched_log.append(event)
    assert watched_log.digest == log.digest(events)


def test_it_draws_seldom_enough_to_be_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(view, "picture", lambda *_: drawn.append(1) or "picture")
    now = iter(range(0, 10**15, view.REDRAW_NS // 20))
    monkeypatch.setattr(view, "wall_ns", lambda: next(now))
    events = long_canary(bad=False)
    watched(events, Terminal(), live=True)
    assert len(events) / 25 < len(drawn) < len(events) / 15


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_picture_fits(width: int) -> None:
    folding = Folding()
    events = long_canary()
    for number, event in enumerate(events[: len(events) // 2]):
        folding.see(number, event)
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(picture(folding, width))
    text = console.export_text()
    assert "candidate" in text
    assert "accuracy" in text or width < 80
    assert max(map(len, text.splitlines())) <= width


def test_progress_goes_by_the_plan() -> None:
    folding = Folding()
    seen = []
    for number, event in enumerate(long_canary(bad=False)):
        folding.see(number, event)
        seen.append(progress(folding))
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)
