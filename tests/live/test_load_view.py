"""A load test watched live: the picture, the plain lines, and that neither ever stands in a test's way."""

import io
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from harness.domain.load_event import LoadStarted
from harness.live.load_picture import Seen, asked_now, picture, sparkline
from harness.live.load_view import watching
from tests.live.test_view import Gone, Terminal
from tests.report.load_logs import capacity_log, load_log, seconds_of


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm-256color")


def watched(events: Any, file: io.StringIO, **options: Any) -> str:
    with watching(file=file, **options) as watcher:
        if watcher:
            for number, event in enumerate(events):
                watcher(number, event)
    return file.getvalue()


def drawn(events: Any, width: int = 120) -> str:
    seen = Seen()
    for event in events:
        seen.see(event)
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(picture(seen, width))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_the_picture_tells_how_the_test_stands() -> None:
    seconds = seconds_of(np.random.default_rng(1), 32, 500, fail=0.01, limit=505)
    events = load_log(seconds)[:21]
    told = drawn(events)
    failed = ("HTTP 503", "not sent: in flight limit")
    machine = ("lag p99", "core 31%", "machine 42%")
    for part in (
        "20 s of 32 s, 12 s left",
        "asked 500/s",
        "last second",
        "A so far",
        "p99 each second",
        *failed,
        *machine,
    ):
        assert part in told
    assert "warm-up" in drawn(events[:2])
    assert all(len(line.rstrip()) <= 60 for line in drawn(events, 60).splitlines())


def test_before_the_first_second_there_is_the_plan() -> None:
    assert "0 s of 32 s" in drawn(load_log()[:1])
    assert drawn([]).strip() == "…"


def test_a_search_shows_its_trials() -> None:
    told = drawn(capacity_log()[:6])
    assert "highest rate that holds p99 < 100ms" in told
    assert "✓ held" in told
    assert "600/s to 800/s" in told
    assert "800/s" in told


def test_the_rate_that_is_asked_for_follows_the_plan() -> None:
    (started,) = load_log(planned=((0.0, 10.0), (30.0, 500.0), (30.0, 100.0), (60.0, 100.0)))[:1]
    assert isinstance(started, LoadStarted)
    assert [asked_now(started, at) for at in (0.0, 15.0, 30.0, 59.0, 99.0)] == [10.0, 255.0, 100.0, 100.0, 100.0]
    (closed,) = load_log(mode="closed", planned=(), users=8)[:1]
    assert isinstance(closed, LoadStarted)
    assert asked_now(closed, 5.0) is None
    assert "8 users" in drawn(load_log(mode="closed", planned=(), users=8)[:5])


def test_a_terminal_has_the_picture_and_other_files_nothing_or_lines() -> None:
    events = load_log()
    assert "so far" in watched(events, Terminal())
    assert watched(events, io.StringIO()) == ""
    assert watched(events, Terminal(), live=False) == ""
    lines = watched(events, io.StringIO(), verbose=True).splitlines()
    assert len(lines) == 32
    assert lines[9].split()[0] == "0:10"
    assert "\x1b" not in "".join(lines)
    assert len(watched(capacity_log(), io.StringIO(), verbose=True).splitlines()) == 10


def test_nothing_is_left_in_the_terminal_but_blanks() -> None:
    """Drawn in place and taken away: the last thing written erases the last line."""
    assert watched(load_log(), Terminal()).rstrip().endswith(("\x1b[2K", "\x1b[?25h", "\x1b[1A\x1b[2K"))


@pytest.mark.parametrize("options", [{"live": True}, {"live": False, "verbose": True}])
def test_a_terminal_that_has_gone_does_not_end_the_test(options: dict[str, bool]) -> None:
    watched(load_log(), Gone(), **options)


def test_bars_are_as_high_as_their_values() -> None:
    assert sparkline([]) == ""
    assert sparkline([0.0, None]) == "  "
    assert sparkline([1.0, 1.0]) == "██"
