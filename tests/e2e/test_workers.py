"""Scenarios side by side: a signal to any of the processes, at any time, ends every run safely, and none is left."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from harness import log
from harness.domain.event import Promoted, RunEnded
from harness.domain.rollout import Outcome
from tests.e2e.test_interrupt import ON_STABLE, REAL, SCENARIOS, _wait_for
from tests.requires import missing


@pytest.fixture
def suite(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Three scenarios and two workers, one of them on real time, in a process group of their own."""
    text = REAL.format(data=SCENARIOS[0].parent / "data")
    (tmp_path / "real.yaml").write_text(text)
    (tmp_path / "late.yaml").write_text(text.replace("name: on-real-time", "name: late"))
    # A shell's background job ignores the interrupt, and what it starts would too; a handler is not inherited.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    program = subprocess.Popen(
        [sys.executable, "-m", "harness", "run", "real.yaml", str(SCENARIOS[0].parent / "gate_rejected.yaml"),
         "late.yaml", "late.yaml", "--workers", "2", "--quiet", "--json", "out.json"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    signal.signal(signal.SIGINT, before)
    try:
        yield program
    finally:
        _end(program.pid)
        program.kill()
        program.communicate()


def _end(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _alive(group: int) -> bool:
    """Whether any process of the group is left; one that is dead and was not asked for its exit code is none."""
    listed = subprocess.run(["ps", "-eo", "pgid=,stat="], capture_output=True, text=True, check=True).stdout
    return any(
        int(found) == group and not state.startswith("Z") for found, state in map(str.split, listed.splitlines())
    )


def _none_left(group: int, within_s: float) -> bool:
    """Whether the group is empty, soon: what has been told to go may take its time to be gone."""
    until = time.monotonic() + within_s
    while _alive(group) and time.monotonic() < until:
        time.sleep(0.1)
    return not _alive(group)


def _all_settled(folder: Path) -> None:
    for path in folder.glob("reports/*/2*/events.jsonl"):
        events = log.read(path)
        ended = events[-1]
        assert isinstance(ended, RunEnded), path
        assert not events.of(Promoted)
        assert ended.outcome in {Outcome.ABORTED, Outcome.REJECTED}
        assert ended.weights in ({}, ON_STABLE)


@pytest.mark.parametrize(
    ("number", "to_group", "times"),
    [
        (signal.SIGINT, True, 2),
        (signal.SIGTERM, False, 1),
    ],
)
def test_a_signal_ends_every_run_and_starts_no_other(
    suite: "subprocess.Popen[str]", tmp_path: Path, number: signal.Signals, to_group: bool, times: int
) -> None:
    _wait_for(tmp_path, suite)
    for _ in range(times):
        (os.killpg if to_group else os.kill)(suite.pid, number)
        time.sleep(0.05)
    out, err = suite.communicate(timeout=60)
    assert suite.returncode == 130, err
    assert "Traceback" not in err
    assert "KeyboardInterrupt" not in err
    assert _none_left(suite.pid, within_s=5)
    _all_settled(tmp_path)
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["passed"] is False
    assert {run["name"]: run["outcome"] for run in result["scenarios"]}["on-real-time"] == "aborted"
    assert "not run: interrupted" in out or not result["skipped"]


@pytest.mark.parametrize("wait_s", [1.0])
def test_a_signal_while_workers_start_is_not_lost(
    suite: "subprocess.Popen[str]", tmp_path: Path, wait_s: float
) -> None:
    time.sleep(wait_s)
    os.killpg(suite.pid, signal.SIGINT)
    _, err = suite.communicate(timeout=60)
    assert suite.returncode in {130, -signal.SIGINT}, err  # the latter while Python itself is still starting
    assert _none_left(suite.pid, within_s=5)
    _all_settled(tmp_path)


def test_workers_do_not_outlive_a_parent_that_was_killed(suite: "subprocess.Popen[str]", tmp_path: Path) -> None:
    _wait_for(tmp_path, suite)
    os.kill(suite.pid, signal.SIGKILL)
    suite.wait(timeout=60)
    assert _none_left(suite.pid, within_s=30)
    _all_settled(tmp_path)


def test_a_worker_that_is_killed_is_told_and_the_others_are_not_left_waiting(
    suite: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    _wait_for(tmp_path, suite)
    children = Path(f"/proc/{suite.pid}/task/{suite.pid}/children")
    if not children.exists():
        missing("needs /proc to find the workers")
    for child in children.read_text().split():
        if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text():
            os.kill(int(child), signal.SIGKILL)
            break
    _, err = suite.communicate(timeout=60)
    assert suite.returncode == 3, err
    assert "worker process ended abruptly" in err
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["passed"] is False
    assert len(result["scenarios"]) == 3
