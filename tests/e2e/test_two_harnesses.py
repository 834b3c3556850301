"""Two harnesses on one rollout: the second is refused; the first, held up beyond its lease, writes nothing more."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from harness import log as event_log
from harness.domain.event import Decided, RunEnded
from harness.domain.rollout import Outcome

HARNESS = """
import sys
from pathlib import Path
from harness import app
from harness.errors import HarnessError
from tests import surviving
from tests.surviving import Surviving, World

surviving.STARTUP_S = 0.1
reports, pause = Path(sys.argv[1]), sys.argv[2]
scenario = app.load_scenario("scenarios/local_canary.yaml", [
    "inject=[]", "expect=[duration < 1h]", "backends.serving=simulated", "rollout.analysis.rules=[error_rate <= 5%]",
    f"rollout.steps=[{{weight: 50%}}, {{pause: {pause}}}]", "rollout.analysis.every=1s",
], clock="real")
options = app.Options(reports=reports, platform=lambda _: Surviving(World()), lease_s=1.5)
try:
    made = app.attempt(scenario, options)
except HarnessError as refused:
    print(refused, flush=True)
    sys.exit(3)
print(made.error or made.outcome.value, flush=True)
sys.exit(3 if made.error else 0)
"""
"""`harness run`, on a platform that could outlive it, with a short lease."""
LONGEST_S = 60


def harness(reports: Path, pause: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", HARNESS, reports, pause],
        text=True,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )


def log_with(reports: Path, event: str, run: "subprocess.Popen[str]") -> Path:
    """The log of the only run, once it holds an event."""
    while True:
        assert run.poll() is None, run.communicate()
        for path in reports.glob("local-canary/*/events.jsonl"):
            if not path.parent.is_symlink() and f'"event":"{event}"' in path.read_text():
                return path
        time.sleep(0.02)


def hold_up(run: "subprocess.Popen[str]", reports: Path) -> None:
    """Stop a process, though not in the midst of a line: it would hold the database's lock, and nobody could write."""
    while True:
        run.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, run.pid, os.WSTOPPED | os.WNOWAIT)
        connection = sqlite3.connect(reports / ".state" / "harness.db", timeout=0.2, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            run.send_signal(signal.SIGCONT)
            continue
        finally:
            connection.close()
        return


def test_the_second_is_refused_and_the_one_that_lost_its_lease_writes_nothing_more(tmp_path: Path) -> None:
    first = harness(tmp_path, "5m")
    try:
        path = log_with(tmp_path, "StepEntered", first)
        second = harness(tmp_path, "1s")
        said, _ = second.communicate(timeout=LONGEST_S)
        assert second.returncode == 3
        assert f"run {path.parent.name} (process {first.pid}) drives simulated/churn-prediction already" in said

        hold_up(first, tmp_path)
        before = path.read_bytes()
        time.sleep(2)  # beyond its lease
        third = harness(tmp_path, "1s")
        said, _ = third.communicate(timeout=LONGEST_S)
        assert (third.returncode, said.strip()) == (0, "promoted")

        first.send_signal(signal.SIGCONT)
        said, _ = first.communicate(timeout=LONGEST_S)
    finally:
        first.kill()
        first.wait()
    assert first.returncode == 3
    assert "simulated/churn-prediction was taken over" in said
    assert path.read_bytes() == before
    events = event_log.read(path)
    assert not events.of(Decided)
    assert not events.of(RunEnded)
    other = next(each for each in tmp_path.glob("local-canary/*/events.jsonl")
                 if not each.parent.is_symlink() and each != path)  # fmt: skip
    assert event_log.read(other).last(RunEnded).outcome is Outcome.PROMOTED
    assert len(list(tmp_path.glob("local-canary/2*"))) == 2  # who was refused has left no folder
