"""The disk is full under a rollout: for its event log, for everything, for what runs agree on.

Real: the program as a process of its own, and the kernel, which refuses every write beyond a size (RLIMIT_FSIZE, EFBIG:
a full disk, as one process sees it). Leases and orders alone are refused by SQLite itself (``PRAGMA query_only``, a
trigger), with the program in this process, for no limit tells two files apart. Servers and router are stand-ins.
"""

import json
import os
import resource
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import log
from harness.cli import main
from harness.domain.event import Intended, RunEnded
from harness.state.database import StateDatabase
from tests import forked
from tests.outages.runs import Begin, Run, drawn_s, folder_of, later, left, once, write
from tests.outages.stage import Service, Stage

ON_STABLE = {"stable": 1.0, "candidate": 0.0}
LONGEST_S = 60.0
SHARED_MEMORY = 40_000
"""Bytes: more than SQLite needs for what processes share, so that it is the log that meets the limit."""


def parts(service: Service, stage: Stage) -> dict[str, str]:
    front = stage.site(service.app).url
    real = (
        f"http: {{stable: {front}/stable, candidate: {front}/candidate, front: {front}}}, "
        f"router: {{webhook: {front}/weights}}"
    )
    return {"backends": "serving: http, router: webhook", "real": real}


@dataclass
class Beside:
    """A program under way, what it prints in a pipe, for a full disk takes no output either."""

    process: forked.Forked
    said: list[str]
    reading: threading.Thread

    def ended(self) -> int:
        code = self.process.wait(LONGEST_S)
        self.reading.join(LONGEST_S)
        return code


def beside(folder: Path, *words: str) -> Beside:
    pipe, said = folder / "said", list[str]()
    os.mkfifo(pipe)
    reading = threading.Thread(target=lambda: said.append(pipe.read_text()), daemon=True)
    reading.start()
    made = forked.begun(program, [*words, "--no-color"], said=pipe, environment={"COLUMNS": "400"})
    return Beside(made, said, reading)


def program(words: list[str]) -> None:
    """`harness` with outputs that know that they are pipes: those that were forked were files."""
    sys.argv = ["harness", *words]
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
    main()


def full(service: Service, stage: Stage, folder: Path, room: Callable[[Path], int]) -> tuple[int, str]:
    """A run whose disk is full at a moment drawn from a seed; its exit code, and what it printed."""
    write(folder, **parts(service, stage))
    due = threading.Event()
    service.began = later(drawn_s("disk"), due.set)
    words = ["run", str(folder / "outage.yaml"), "--clock", "real", "--quiet", "--json", str(folder / "result.json")]
    run = beside(folder, *words, "--report", str(folder / "reports"))
    while not due.wait(0.05):
        assert run.process.poll() is None, run.said
    kept = folder_of(folder)
    assert kept is not None
    resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, (room(kept / "events.jsonl"), resource.RLIM_INFINITY))
    return run.ended(), "".join(run.said)


def shown(folder: Path, kept: Path) -> Run:
    """The same run, its report made from what is left of its log once there is room again."""
    (folder / "said").unlink()
    words = ["report", str(kept), "--json", str(folder / "again.json"), "--report", str(folder / "reports")]
    again = beside(folder, *words)
    assert again.ended() == 0, again.said
    result = json.loads((folder / "again.json").read_text())["scenarios"][0]
    return Run(0, "".join(again.said), "", result, log.read_torn(kept / "events.jsonl")[0], kept)


def test_a_log_that_cannot_be_written_ends_the_rollout_on_stable(stage: Stage, tmp_path: Path) -> None:
    service = Service()
    size = SHARED_MEMORY + round(20_000 * drawn_s("size", 1.0))
    code, said = full(service, stage, tmp_path, lambda _: size)
    run = left(tmp_path, code, said, "")
    assert (run.outcome, run.code) == ("error", 3)
    assert service.weights == ON_STABLE
    assert "the event log cannot be written: File too large; make room there" in said
    assert "Stable has all traffic, verified" in said
    assert run.result["failed_requests"] == 0
    assert len(service.told) <= 2 + len([each for each in run.events.of(Intended) if each.action == "route"])
    again = shown(tmp_path, run.folder)
    assert not again.events.of(RunEnded)
    assert "Unfinished: the log stops" in again.page


def test_a_disk_that_takes_nothing_at_all_is_told_on_the_terminal(stage: Stage, tmp_path: Path) -> None:
    service = Service()
    code, said = full(service, stage, tmp_path, lambda _: 0)
    assert "Traceback" not in said
    assert code == 3
    assert service.weights == ON_STABLE
    for words in ("the event log cannot be written", "the report cannot be written", "--json", "File too large"):
        assert words in said


def test_a_state_that_cannot_be_locked_any_more_ends_the_rollout_on_stable(
    stage: Stage, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, opened, refused = Service(), StateDatabase._opened, threading.Event()
    service.began = later(drawn_s("state"), refused.set)

    def reading_only(self: StateDatabase) -> sqlite3.Connection:
        connection = opened(self)
        if refused.is_set():
            connection.execute("PRAGMA query_only = ON")
        return connection

    monkeypatch.setattr(StateDatabase, "_opened", reading_only)
    run = begin(**parts(service, stage))
    assert (run.outcome, run.code) == ("error", 3)
    assert (service.weights, run.failed) == (ON_STABLE, {})
    run.tells("what runs agree on cannot be kept there: attempt to write a readonly database")


def test_a_lease_that_cannot_be_renewed_is_told_and_the_rollout_goes_on(
    stage: Stage, begin: Begin, tmp_path: Path
) -> None:
    service = Service()
    service.began = later(drawn_s("lease"), lambda: no_more_leases(tmp_path))
    looks = ['"event":"Observed"'] * 3
    once(tmp_path, ['"kind":"deaf"', *looks], lambda _: os.kill(os.getpid(), signal.SIGINT))
    run = begin("--lease", "1s", **parts(service, stage))
    assert (run.outcome, run.code) == ("aborted", 130)
    assert (service.weights, run.failed) == (ON_STABLE, {})
    (text,) = run.noticed("deaf")
    run.tells("orders from other terminals cannot be heard", text)


def no_more_leases(folder: Path) -> None:
    """SQLite refuses to change them, as it does where the disk is full; what reads and locks goes on."""
    refuse = "CREATE TRIGGER full BEFORE UPDATE ON leases BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END"
    with closing(sqlite3.connect(folder / "reports" / ".state" / "harness.db", timeout=30)) as connection:
        connection.execute(refuse)
        connection.commit()
