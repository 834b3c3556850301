"""Processes that outlive whoever started them are found again, and no other is ever taken for one of them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.backends import processes, procfs
from harness.backends.processes import MARKER, Note
from harness.clock import run_real
from harness.errors import BackendError, LeaseLost
from harness.realtime import Place
from harness.state import process

PATIENCE_S = 60.0
SLEEPS = ("sh", "-c", "echo ready here; exec sleep 600")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "run", tmp_path / "state", "a run/7")


def started(place: Place, name: str = "one", command: tuple[str, ...] = SLEEPS, **more: Any) -> Note:
    return processes.start(place, name, kind="test", command=command, **more)


def written(log: Path, times: int) -> bool:
    return log.read_text().count("beside") == times


def in_table(pid: int | None) -> bool:
    return Path(f"/proc/{pid}").exists()


async def until(so: Callable[[], bool]) -> None:
    with anyio.fail_after(PATIENCE_S):
        while not so():  # noqa: ASYNC110
            await anyio.sleep(0.01)


def test_it_runs_in_a_session_of_its_own_and_is_noted_with_all_that_is_known(place: Place) -> None:
    async def main() -> None:
        note = started(place, url="http://x", arm="stable", extra={"digest": "d"})
        assert await processes.said(note, "ready ", PATIENCE_S) == "here"
        assert os.getsid(note.pid or 0) == note.pid != os.getsid(0)
        assert processes.notes(place.state, "a run/7") == processes.notes(place.state) == (note,)
        assert processes.notes(place.state, "another") == ()
        assert (note.url, note.arm, note.extra, note.owner.pid) == ("http://x", "stable", {"digest": "d"}, os.getpid())
        assert os.readlink(f"/proc/{note.pid}/fd/0") == os.devnull  # noqa: PTH115
        assert note.log.read_text() == "ready here\n"
        assert processes.amend(note, url="http://y") == processes.notes(place.state)[0]
        await processes.stop(note, PATIENCE_S)
        assert not processes.alive(note)
        assert processes.notes(place.state) == ()
        assert not in_table(note.pid)  # collected: no zombie
        await processes.stop(note)  # once more is nothing

    run_real(main)


def test_a_note_is_on_disk_whole_and_by_its_name_before_the_process_is(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut leaves no empty note, which every later run would stumble over."""
    seen: list[str] = []
    sync, spawn = os.fsync, os.posix_spawnp

    def synced(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").resolve()
        there = [json.loads(file.read_text())["name"] for file in path.glob("*.json")] if path.is_dir() else []
        seen.append(f"folder with {there}" if path.is_dir() else f"file of {len(path.read_text()) > 2}")
        sync(descriptor)

    def spawned(*args: Any, **more: Any) -> int:
        seen.append("process")
        return spawn(*args, **more)

    async def main() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", synced)
            patched.setattr(os, "posix_spawnp", spawned)
            note = started(place)
        await processes.stop(note)

    run_real(main)
    note_is_kept = ["file of True", "folder with ['one']"]
    assert seen == [*note_is_kept, "process", *note_is_kept]  # again, once its pid is known


def test_a_log_goes_on_where_the_one_before_ended(place: Place) -> None:
    async def main() -> None:
        for number in (1, 2):
            note = started(place, command=("sh", "-c", f"echo ready {number}; echo beside >&2; exec sleep 600"))
            assert await processes.said(note, "ready ", PATIENCE_S) == str(number)
            await until(partial(written, note.log, number))
            await processes.stop(note)
        assert note.log.read_text() == "ready 1\nbeside\nready 2\nbeside\n"

    run_real(main)


def test_what_takes_no_hint_is_killed_with_all_that_it_started(place: Place) -> None:
    deaf = "trap '' TERM; (trap '' TERM; exec sleep 600) & setsid sleep 600 & echo ready; while :; do sleep 600; done"

    async def main() -> None:
        note = started(place, command=("sh", "-c", deaf))
        await processes.said(note, "ready", PATIENCE_S)
        await until(lambda: len(procfs.marked(MARKER, note.id)) >= 4)
        others = procfs.marked(MARKER, note.id)
        await processes.stop(note, 0.1)
        assert procfs.marked(MARKER, note.id) == ()
        await until(lambda: not any(each.alive() for each in others))

    run_real(main)


def test_one_that_dies_is_noticed_and_its_last_words_are_told(place: Place) -> None:
    async def main() -> None:
        note = started(place, command=("sh", "-c", "echo no such model; exit 3"))
        with anyio.fail_after(PATIENCE_S):
            await processes.ended(note)
        assert not processes.alive(note)
        with pytest.raises(BackendError, match=r"ended before it was ready; .*no such model"):
            await processes.said(note, "ready ", PATIENCE_S)
        await processes.ended(note)  # at once
        await processes.stop(note)

    run_real(main)


def test_one_that_never_says_it_is_waited_for_no_longer_than_told(place: Place) -> None:
    async def main() -> None:
        note = started(place, command=("sleep", "600"))
        with pytest.raises(BackendError, match=r"not ready within 0\.1 s"):
            await processes.said(note, "ready ", 0.1)
        await processes.stop(note)

    run_real(main)


def test_what_cannot_be_started_leaves_no_note(place: Place) -> None:
    with pytest.raises(BackendError, match="no-such-program cannot be started"):
        started(place, command=("no-such-program",))
    assert processes.notes(place.state) == ()


def test_a_name_that_is_taken_is_refused_until_its_process_is_dead(place: Place) -> None:
    async def main() -> None:
        note = started(place)
        with pytest.raises(BackendError, match=f"lives already .pid {note.pid}"):
            started(place)
        os.kill(note.pid or 0, signal.SIGKILL)
        await processes.ended(note)
        again = started(place)
        await processes.stop(note)  # the old one's: the new one and its note stay
        assert processes.alive(again)
        assert processes.notes(place.state) == (again,)
        await processes.stop(again)

    run_real(main)


def test_a_pid_that_was_given_again_is_another_process(place: Place) -> None:
    """The note names the pid of a living process that is not its own: nothing happens to that one."""

    stranger = subprocess.Popen(["sleep", "600"], start_new_session=True)

    async def main() -> None:
        try:
            note = started(place)
            await processes.stop(note)
            found = process.find(stranger.pid)
            assert found is not None
            for changed in (replace(found, began=str(int(found.began) - 1)), replace(found, boot="another")):
                stale = processes.amend(note, process=changed)
                assert not processes.alive(stale)
                await processes.stop(stale)
            assert stranger.poll() is None
        finally:
            stranger.kill()
            stranger.wait()

    run_real(main)


def test_a_dead_child_that_nobody_collected_does_not_live() -> None:
    child = subprocess.Popen(["true"])
    found = process.find(child.pid)

    async def main() -> None:
        await until(lambda: process.find(child.pid) is None)
        assert in_table(child.pid)  # it is a zombie
        assert found is None or not procfs.send(found, signal.SIGKILL)

    run_real(main)
    child.wait()


# --- the owner dies ---------------------------------------------------------------------------------------------------

OWNER = """
import os, signal, sys
from pathlib import Path
from harness.backends import processes
from harness.realtime import Place
from harness.state import process

root, how = Path(sys.argv[1]), sys.argv[2]
if how == "before the pid is noted":  # the moment between fork and note
    processes.amend = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
note = processes.start(
    Place(root / "run", root / "state", "cut off"), "one", kind="test",
    command=("sh", "-c", "echo ready; exec sleep 600"),
)
os.kill(os.getpid(), signal.SIGKILL)
"""


def cut_off(root: Path, how: str) -> Note:
    """A process whose owner was killed; its note as it was left."""
    done = subprocess.run([sys.executable, "-c", OWNER, str(root), how], check=False)
    assert done.returncode == -signal.SIGKILL
    return processes.notes(root / "state", "cut off")[0]


@pytest.mark.parametrize("how", ["once it runs", "before the pid is noted"])
def test_what_a_killed_owner_left_is_found_and_ended(tmp_path: Path, how: str) -> None:
    async def main() -> None:
        note = cut_off(tmp_path, how)
        assert (note.process is None) == (how == "before the pid is noted")
        await until(lambda: len(procfs.marked(MARKER, note.id)) == 1)
        assert await processes.clean(tmp_path / "state", spare="cut off") == ()  # it is being resumed
        mine = started(Place(tmp_path / "mine", tmp_path / "state", "mine"))
        assert await processes.clean(tmp_path / "state", grace_s=PATIENCE_S) == (note,)
        assert procfs.marked(MARKER, note.id) == ()
        assert processes.alive(mine)  # its owner lives
        assert processes.notes(tmp_path / "state") == (mine,)
        await processes.stop(mine)

    run_real(main)


def test_what_was_taken_over_is_nobodys_orphan(tmp_path: Path) -> None:
    async def main() -> None:
        note = cut_off(tmp_path, "once it runs")
        assert processes.alive(note)
        note = processes.take_over(note)
        assert note.owner == process.this()
        assert await processes.clean(tmp_path / "state") == ()
        assert await processes.said(note, "ready", PATIENCE_S) == ""
        os.kill(note.pid or 0, signal.SIGKILL)
        with anyio.fail_after(PATIENCE_S):
            await processes.ended(note)  # it is no child of ours
        await processes.stop(note)

    run_real(main)


def test_what_another_has_taken_over_is_left_to_it(place: Place) -> None:
    """Who was held up finds another's name on the note: it neither ends the process nor writes of it."""
    other = subprocess.Popen(["sleep", "600"])

    async def main() -> None:
        mine = started(place)
        owner = process.find(other.pid)
        assert owner is not None
        theirs = processes.amend(mine, owner=owner)
        try:
            await processes.stop(mine, 0.0)
            processes.forget(mine)
            assert processes.amend(mine, url="http://late").url == "http://late"
            assert processes.notes(place.state) == (theirs,)
            assert processes.alive(theirs)
        finally:
            await processes.stop(theirs)
        processes.amend(theirs, url="http://later")
        assert processes.notes(place.state) == ()  # what has ended does not come back as a note

    try:
        run_real(main)
    finally:
        other.kill()
        other.wait()


def test_nothing_is_started_by_who_has_lost_the_rollout(place: Place) -> None:
    @contextmanager
    def lost() -> Iterator[None]:
        raise LeaseLost("another harness drives it now")
        yield

    with pytest.raises(LeaseLost):
        started(replace(place, ours=lost))
    assert processes.notes(place.state) == ()
    assert not list((place.folder / "processes").glob("*.log"))


def test_processes_of_another_machine_are_let_alone(place: Place) -> None:
    async def main() -> None:
        note = started(place)
        far = processes.amend(note, owner=replace(note.owner, pid=1, began="1", host="elsewhere"))
        assert await processes.clean(place.state) == ()
        assert processes.notes(place.state) == (far,)
        await processes.stop(far)

    run_real(main)


def test_a_note_that_is_none_is_told_with_its_file(place: Place) -> None:
    (place.state / "processes").mkdir(parents=True)
    (place.state / "processes" / "x--y.json").write_text(json.dumps({"id": 1}))
    with pytest.raises(BackendError, match=r"x--y\.json is no note of a process .*remove it"):
        processes.notes(place.state)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=15))
def test_a_processs_name_may_be_anything(comm: str) -> None:
    """Field 22 of proc(5)'s stat comes after a name in brackets that may hold brackets and spaces itself."""
    line = f"7 ({comm}) S " + " ".join(str(number) for number in range(4, 53))
    assert process.parsed(line) == ("S", "22")
