"""The lease: one at a time, taken over from the dead at once, and lost for good by who was held up too long."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from harness import log as event_log
from harness.domain.event import StageStarted
from harness.errors import BackendError, LeaseError, LeaseLost
from harness.log import EventLog
from harness.state import database, lease, process
from harness.state.process import Process

WRITER = """
import sys, time
from pathlib import Path
from harness.domain.event import StageStarted
from harness.errors import LeaseLost
from harness.log import EventLog
from harness.state import lease

state, path, run = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
held = lease.acquire(state, "local/m", run, ttl_s=1.0)
with held.kept(lambda who: None):
    log = EventLog(path, durable=True, guard=held.guarded)
    for number in range(100_000):
        try:
            log.append(StageStarted(number, run))
        except LeaseLost as lost:
            print(lost, flush=True)
            sys.exit(3)
        time.sleep(0.02)
"""
"""A harness in small: it takes the lease, and writes until it has lost it."""


def test_the_second_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    first = lease.acquire(tmp_path, "local/m", "first")
    with pytest.raises(LeaseError, match=rf"run first \(process {os.getpid()}\) drives local/m already"):
        lease.acquire(tmp_path, "local/m", "second")
    other = lease.acquire(tmp_path, "local/another", "second")
    assert {each.run for each in lease.holders(tmp_path)} == {"first", "second"}
    first.release()
    assert lease.holder(tmp_path, "local/m") is None
    assert lease.acquire(tmp_path, "local/m", "third").token > first.token
    other.release()


def test_tokens_rise_with_every_acquisition(tmp_path: Path) -> None:
    tokens = []
    for number in range(5):
        held = lease.acquire(tmp_path, "x", str(number))
        tokens.append(held.token)
        held.release()
    assert tokens == sorted(set(tokens))


def test_who_lost_it_can_neither_renew_nor_write(tmp_path: Path) -> None:
    late = lease.acquire(tmp_path, "x", "late", ttl_s=0.0)  # over as soon as it has begun
    late.renew()  # nobody took it
    lease.acquire(tmp_path, "x", "next")
    with pytest.raises(LeaseLost, match="run next"):
        late.renew()
    entered = False
    with pytest.raises(LeaseLost), late.guarded():
        entered = True
    assert not entered
    late.release()  # which changes nothing
    found = lease.holder(tmp_path, "x")
    assert found is not None
    assert found.run == "next"


def test_nobody_takes_it_over_while_a_line_is_written(tmp_path: Path) -> None:
    held = lease.acquire(tmp_path, "x", "held", ttl_s=0.0)
    with held.guarded():
        connection = sqlite3.connect(tmp_path / "harness.db", timeout=0.05, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            connection.execute("BEGIN IMMEDIATE")
        connection.close()
    lease.acquire(tmp_path, "x", "next")


def test_a_log_whose_lease_is_lost_takes_nothing_more(tmp_path: Path) -> None:
    held = lease.acquire(tmp_path, "x", "held", ttl_s=0.0)
    log = EventLog(tmp_path / "events.jsonl", durable=True, guard=held.guarded)
    log.append(StageStarted(0, "one"))
    seen: list[int] = []
    log.watch(lambda number, _: seen.append(number))
    lease.acquire(tmp_path, "x", "next")
    before = log.digest
    with pytest.raises(LeaseLost):
        log.append(StageStarted(1, "two"))
    assert (len(log.events), log.digest, seen) == (1, before, [])
    log.close()
    assert len(event_log.read(tmp_path / "events.jsonl")) == 1


def test_a_process_is_told_from_a_later_one_of_its_number() -> None:
    this = process.this()
    assert this.alive()
    assert this.here()
    assert not Process(this.pid, this.began + "0", this.boot, this.host).alive()
    assert not Process(this.pid, this.began, "another start", this.host).alive()


def test_a_number_that_another_program_has_now_holds_nothing(tmp_path: Path) -> None:
    """The harness is dead, and its pid was given again: to this very process, which is no harness of that lease."""
    lease.acquire(tmp_path, "x", "dead")
    with sqlite3.connect(tmp_path / "harness.db") as connection:
        connection.execute("UPDATE leases SET began = began || '0'")
    connection.close()
    assert lease.holder(tmp_path, "x") is None
    assert lease.acquire(tmp_path, "x", "next").rollout == "x"


def test_where_the_file_was_lost_tokens_go_on_rising(tmp_path: Path) -> None:
    """A router outside has seen the last one."""
    before = [lease.acquire(tmp_path, "x", "run", ttl_s=0.0).token for _ in range(5)][-1]
    for file in tmp_path.iterdir():
        file.unlink()
    assert lease.last(tmp_path, "x") is None
    assert lease.acquire(tmp_path, "x", "run").token > before


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process holds the file: it was stopped as it wrote."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


def test_a_file_that_is_held_for_ever_is_told_with_a_remedy_and_can_still_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    lost = lease.acquire(tmp_path, "x", "first", ttl_s=0.0)
    held = lease.acquire(tmp_path, "x", "second")
    with locked(tmp_path / "harness.db"):
        with pytest.raises(BackendError, match=r"harness\.db: .*has held it for 0\.05 s.*have it go on, or kill it"):
            lease.acquire(tmp_path, "y", "third")
        found = lease.holder(tmp_path, "x")
        assert found is not None
        assert found.run == "second"
        with pytest.raises(LeaseLost, match="run second"), lost.guarded():
            pytest.fail("it is another's, whether the file can be written or not")
        with held.ours():
            entered = True  # traffic must be made safe where nobody can say whose it is
    assert entered


def test_a_damaged_file_is_told_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "harness.db").write_bytes(b"no database at all, and long enough to be looked at" * 20)
    for ask in (lease.last, lease.holder):
        with pytest.raises(BackendError, match=r"harness\.db: .*it is damaged .*holds no history.*remove it"):
            ask(tmp_path, "x")
    with pytest.raises(BackendError, match=r"it is damaged .*remove it"):
        lease.acquire(tmp_path, "x", "run")
    (tmp_path / "harness.db").unlink()
    lease.acquire(tmp_path, "x", "run")


def writer(state: Path, path: Path, run: str) -> "subprocess.Popen[str]":
    """A process that has the lease, and has written."""
    made = subprocess.Popen([sys.executable, "-c", WRITER, state, path, run], text=True, stdout=subprocess.PIPE)
    while not path.exists() or path.read_bytes().count(b"\n") < 3:
        assert made.poll() is None
        time.sleep(0.02)
    return made


def stopped(made: "subprocess.Popen[str]", state: Path) -> None:
    """Hold the process up where it does not hold the database."""
    while True:
        made.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, made.pid, os.WSTOPPED | os.WNOWAIT)
        connection = sqlite3.connect(state / "harness.db", timeout=0.2, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            made.send_signal(signal.SIGCONT)
            continue
        finally:
            connection.close()
        return


def test_the_dead_lose_it_at_once(tmp_path: Path) -> None:
    made = writer(tmp_path, tmp_path / "first.jsonl", "first")
    first = lease.last(tmp_path, "local/m")
    with pytest.raises(LeaseError, match="run first"):
        lease.acquire(tmp_path, "local/m", "second")
    made.kill()
    os.waitid(os.P_PID, made.pid, os.WEXITED | os.WNOWAIT)  # dead, and not collected
    assert first
    assert lease.acquire(tmp_path, "local/m", "second").token == first.token + 1
    made.communicate()


def test_one_that_was_held_up_beyond_its_lease_writes_nothing_more(tmp_path: Path) -> None:
    path = tmp_path / "first.jsonl"
    made = writer(tmp_path, path, "first")
    try:
        stopped(made, tmp_path)
        before = path.read_bytes()
        while lease.holder(tmp_path, "local/m"):  # alive, and so until it is over
            time.sleep(0.05)
        second = lease.acquire(tmp_path, "local/m", "second")
        made.send_signal(signal.SIGCONT)
        said, _ = made.communicate(timeout=60)
    finally:
        made.kill()
        made.wait()
    assert made.returncode == 3
    assert "run second" in said
    assert path.read_bytes() == before
    with second.guarded():
        pass
