"""Two harnesses on one rollout: the second is refused; the first, held up beyond its lease, writes nothing more."""

import signal
import time
from pathlib import Path

from harness import log as event_log
from harness.domain.event import Decided, RunEnded
from harness.domain.rollout import Outcome
from harness.state import lease
from tests import forked, rivals
from tests.forked import Forked

LONGEST_S = 60


def harness(folder: Path, name: str, pause: str) -> Forked:
    return forked.begun(rivals.drive, str(folder), pause, said=folder / f"{name}.txt")


def said(folder: Path, name: str) -> str:
    return (folder / f"{name}.txt").read_text()


def log_with(reports: Path, event: str, run: Forked) -> Path:
    """The log of the only run, once it holds an event."""
    while True:
        assert run.poll() is None, said(reports, "first")
        for path in reports.glob("local-canary/*/events.jsonl"):
            if not path.parent.is_symlink() and f'"event":"{event}"' in path.read_text():
                return path
        time.sleep(0.02)


def test_the_second_is_refused_and_the_one_that_lost_its_lease_writes_nothing_more(tmp_path: Path) -> None:
    first = harness(tmp_path, "first", "5m")
    try:
        path = log_with(tmp_path, "StepEntered", first)
        second = harness(tmp_path, "second", "1s")
        assert second.wait(LONGEST_S) == 3
        refused = f"run {path.parent.name} (process {first.pid}) drives simulated/churn-prediction already"
        assert refused in said(tmp_path, "second")

        forked.held_up(first.pid, tmp_path / ".state" / "harness.db")
        before = path.read_bytes()
        while lease.holder(tmp_path / ".state", "simulated/churn-prediction"):
            time.sleep(0.02)
        third = harness(tmp_path, "third", "1s")
        assert (third.wait(LONGEST_S), said(tmp_path, "third").strip()) == (0, "promoted")

        first.send_signal(signal.SIGCONT)
        assert first.wait(LONGEST_S) == 3
    finally:
        first.kill()
        first.wait(LONGEST_S)
    assert "simulated/churn-prediction was taken over" in said(tmp_path, "first")
    assert f"(process {third.pid}) has driven it since" in said(tmp_path, "first")
    assert path.read_bytes() == before
    events = event_log.read(path)
    assert not events.of(Decided)
    assert not events.of(RunEnded)
    other = next(each for each in tmp_path.glob("local-canary/*/events.jsonl")
                 if not each.parent.is_symlink() and each != path)  # fmt: skip
    assert event_log.read(other).last(RunEnded).outcome is Outcome.PROMOTED
    assert len(list(tmp_path.glob("local-canary/2*"))) == 2  # who was refused has left no folder
