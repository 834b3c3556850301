"""A harness that was held up beyond its lease, and one that is interrupted: real processes, and what comes of them."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import log as event_log
from harness.backends import processes
from harness.domain.event import Decided, Routed, RunEnded, Verified
from harness.domain.model import Role
from harness.domain.resume_event import FoundRunning, Resumed
from harness.domain.rollout import Outcome
from harness.domain.units import WHOLE
from harness.state import lease
from tests import forked
from tests.crashes import MARK, QUICK, left
from tests.forked import Forked
from tests.surviving import in_memory

SCENARIO = Path(__file__).parents[2] / "scenarios" / "local_canary.yaml"
SETS = (
    *QUICK, "rollout.steps=[{weight: 50%}, {pause: 5m}]", "rollout.analysis.rules=[error_rate <= 100%]",
    "service.replicas=1", "real.local.drain=2s",
)  # fmt: skip
LONGEST_S = 60.0
ON_STABLE = {"stable": WHOLE, "candidate": 0}
HALF = {"stable": 0.5, "candidate": 0.5}


def test_who_was_held_up_leaves_all_as_it_is_and_who_is_interrupted_leaves_traffic_on_stable() -> None:
    with in_memory() as folder:
        seen = Seen(folder)
        sets = [part for each in SETS for part in ("--set", each)]
        first = seen.begun("first", "run", str(SCENARIO), "--clock", "real", *sets)
        second: Forked | None = None
        try:
            seen.until(first, '"event":"Routed"', 1)
            forked.held_up(first.pid, folder / "reports/.state/harness.db")
            before = seen.log.read_bytes()
            assert before.endswith(b"\n")
            while seen.holder():
                time.sleep(0.02)
            second = seen.begun("second", "resume", seen.log.parent.name)
            seen.until(second, '"event":"Observed"', before.count(b'"Observed"') + 2)
            gone_on(seen, first, second)
            interrupted(seen, second)
            told(seen, len(before.splitlines()))
        finally:
            for each in (first, second):
                if each is not None:
                    each.kill()
                    each.wait(LONGEST_S)
            lost = left(seen.mark)
        assert lost == []


class Seen:
    """What can be seen of a run from outside.

    Args:
        folder: where all of it is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.reports, self.mark = folder, folder / "reports", str(folder)

    def begun(self, name: str, *command: str) -> Forked:
        """`harness` under way, with a short lease."""
        ours = ("--report", str(self.reports), "--no-color", "--lease", "2s")
        return forked.harness([*command, *ours], self.said_in(name), {MARK: self.mark})

    def said_in(self, name: str) -> Path:
        """What it prints."""
        return self.folder / f"{name}.txt"

    @property
    def log(self) -> Path:
        """Of the only run."""
        return next(path for path in self.reports.glob("local-canary/2*/events.jsonl"))

    def holder(self) -> lease.Holder | None:
        """Who drives it."""
        return lease.holder(self.reports / ".state", "local/churn-prediction")

    def until(self, run: Forked, text: str, times: int) -> None:
        """Wait for so many lines of the log."""
        while not list(self.reports.glob("local-canary/2*/events.jsonl")) or self.log.read_text().count(text) < times:
            assert run.poll() is None, [path.read_text() for path in self.folder.glob("*.txt")]
            time.sleep(0.02)

    def routing(self) -> tuple[int, dict[str, int]]:
        """Token and weights of the router's last change."""
        kept = json.loads((self.log.parent / "router" / "routing.json").read_text())
        return kept["token"], kept["routing"]["weights"]

    def running(self) -> dict[str, tuple[int | None, int, bool]]:
        """Of each process its number, its owner's, and whether it lives."""
        notes = processes.notes(self.reports / ".state")
        return {note.name: (note.pid, note.owner.pid, processes.alive(note)) for note in notes}


def gone_on(seen: Seen, first: Forked, second: Forked) -> None:
    """The first goes on, finds that the second has the rollout, and ends; nothing has changed by it."""
    held, before, running = seen.holder(), seen.routing(), seen.running()
    assert held is not None
    assert (held.process.pid, before[0]) == (second.pid, held.token)
    assert {name: each[1:] for name, each in running.items()} == dict.fromkeys(running, (second.pid, True))
    assert len(running) == 3  # the router, and a replica of each arm
    os.kill(first.pid, signal.SIGCONT)
    assert first.wait(LONGEST_S) == 3, seen.said_in("first").read_text()
    said = seen.said_in("first").read_text()
    assert f"was taken over: run {seen.log.parent.name} (process {second.pid}) drives it now" in " ".join(said.split())
    assert "Traceback" not in said
    assert "nclosed" not in said  # its own connections are
    assert (seen.routing(), seen.running()) == (before, running)
    seen.until(second, '"event":"Observed"', seen.log.read_text().count('"Observed"') + 2)
    assert (seen.routing(), seen.running()) == (before, running)


def interrupted(seen: Seen, second: Forked) -> None:
    """Ctrl-C, twice: all that belongs to its terminal gets it, and then once more."""
    with watched(seen) as weights:
        os.killpg(second.pid, signal.SIGINT)
        time.sleep(0.01)
        os.killpg(second.pid, signal.SIGTERM)
        assert second.wait(LONGEST_S) == 130, seen.said_in("second").read_text()
    assert weights[-1] == ON_STABLE
    first = weights.index(ON_STABLE)
    assert set(map(str, weights[first:])) == {str(ON_STABLE)}
    assert seen.running() == {}


@contextmanager
def watched(seen: Seen) -> Iterator[list[dict[str, int]]]:
    """Weights of the router meanwhile, as it has them."""
    weights, over = [], threading.Event()

    def look() -> None:
        while not over.wait(0.005):
            weights.append(seen.routing()[1])

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield weights
    finally:
        over.set()
        looking.join()
    weights.append(seen.routing()[1])


def told(seen: Seen, lines: int) -> None:
    """The log is that of one run, and only the second has written in it since."""
    numbers = [json.loads(line)["seq"] for line in seen.log.read_text().splitlines()]
    assert numbers == list(range(len(numbers)))
    events = event_log.read(seen.log)
    assert isinstance(events[lines], Resumed)
    assert events.only(FoundRunning).weights == {Role.STABLE: WHOLE // 2, Role.CANDIDATE: WHOLE // 2}
    assert events.only(Decided).outcome is Outcome.ABORTED
    assert events.last(Routed).weights[Role.STABLE] == WHOLE
    verified, ended = events.last(Verified), events.only(RunEnded)
    assert (verified.role, verified.passed) == (Role.STABLE, True)
    assert (ended.outcome, ended.weights[Role.STABLE]) == (Outcome.ABORTED, WHOLE)
