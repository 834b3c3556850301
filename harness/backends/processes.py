"""Processes that outlive the harness, and are found again.

Each runs in a session of its own, writes to a log of its own, and has a note below the folder that all runs share. The
note says which process it is (pid and start time: a pid that was given again is never taken for it) and who owns it.
It is there before the process is, and the process carries the note's id in its environment: wherever the harness is
killed, what it started is found.

    note = start(place, "stable-0", kind="replica", command=("harness", "serve", "model.skops", "--port", "0"))
    url = await said(note, "ready ", within_s=30)          # the rest of the line of its log that begins so
    note = amend(note, url=url)
    ...
    await ended(note)                                      # returns once it is dead
    await stop(note, grace_s=10)                           # SIGTERM, a while, SIGKILL; the note goes with it

After a kill of the harness:

    for note in notes(place.state, run=place.run):         # the resumed run
        note = take_over(note) if alive(note) else note
    stopped = await clean(place.state)                     # any other run, at its start: ends what has no living owner

Works on Linux; elsewhere `start` says so (BackendError).
"""

import asyncio
import json
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import anyio

from harness.backends import procfs
from harness.errors import BackendError
from harness.realtime import Place
from harness.state import process as known
from harness.state.files import sync_folder
from harness.state.process import Process

MARKER: Final = "HARNESS_PROCESS"
"""The variable in the environment of each process that holds its note's id."""
LOOK_S: Final = 0.05
KILL_S: Final = 10.0
"""How long a process may take to be gone after SIGKILL."""
TAIL_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Note:
    """What is known of one process."""

    file: Path
    """Where it stands."""
    id: str
    """Stands in the process's environment too, and in that of all that it starts."""
    run: str
    name: str
    """Unique in the run."""
    kind: str
    """replica, router, prometheus …"""
    command: tuple[str, ...]
    owner: Process
    log: Path
    log_from: int = 0
    """Bytes of the log that earlier processes of the name wrote."""
    process: Process | None = None
    """None: it was to be started, and nobody knows whether it was."""
    url: str | None = None
    arm: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What the kind needs besides, as JSON holds it."""

    @property
    def pid(self) -> int | None:
        """Of the process; None where it is not known to have started."""
        return self.process.pid if self.process else None


# --- notes ------------------------------------------------------------------------------------------------------------


def notes(state: Path, run: str | None = None) -> tuple[Note, ...]:
    """All notes, or those of one run, sorted by file; a process need not live because there is a note of it."""
    found = [_read(file) for file in sorted((state / "processes").glob("*.json"))]
    return tuple(note for note in found if note and run in (None, note.run))


def amend(note: Note, **changes: Any) -> Note:
    """The note with other fields (``url``, ``arm``, ``extra``), also on disk, unless it is another's there by now."""
    changed, now = replace(note, **changes), _read(note.file)
    if now is not None and _same(now, note):
        _write(changed)
    return changed


def take_over(note: Note) -> Note:
    """This process owns it from now on, as when a run is resumed."""
    taken = replace(note, owner=known.this())
    _write(taken)
    return taken


def forget(note: Note) -> None:
    """Remove the note; one that another process of the name has replaced stays, and one that was taken over."""
    now = _read(note.file)
    if now is None or _same(now, note):
        note.file.unlink(missing_ok=True)


def _same(now: Note, note: Note) -> bool:
    """Whether a note on disk is still of that process and that owner."""
    return (now.id, now.owner) == (note.id, note.owner)


def alive(note: Note) -> bool:
    """Whether the very process of the note lives (one that is dead but not collected does not)."""
    return note.process is not None and note.process.alive()


def _write(note: Note) -> None:
    fields = {
        "id": note.id, "run": note.run, "name": note.name, "kind": note.kind, "command": list(note.command),
        "owner": note.owner.fields(), "log": str(note.log), "log_from": note.log_from,
        "process": note.process.fields() if note.process else None, "url": note.url, "arm": note.arm,
        "extra": dict(note.extra),
    }  # fmt: skip
    note.file.parent.mkdir(parents=True, exist_ok=True)
    beside = note.file.with_suffix(".new")
    with beside.open("w") as file:  # synced, name and all: a power cut must not leave an empty note for later runs
        file.write(json.dumps(fields, indent=1))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(note.file)
    sync_folder(note.file.parent)


def _read(file: Path) -> Note | None:
    try:
        text = file.read_text()
    except FileNotFoundError:  # removed meanwhile
        return None
    try:
        fields = json.loads(text)
        owner = Process(**fields["owner"])
        return Note(
            file, fields["id"], fields["run"], fields["name"], fields["kind"], tuple(fields["command"]), owner,
            Path(fields["log"]), fields["log_from"], Process.of(fields["process"]), fields["url"], fields["arm"],
            fields["extra"],
        )  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise BackendError(f"{file} is no note of a process ({error!r}); remove it") from error


# --- starting ---------------------------------------------------------------------------------------------------------


def start(
    place: Place,
    name: str,
    *,
    kind: str,
    command: Sequence[str],
    url: str | None = None,
    arm: str | None = None,
    extra: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Note:
    """Start a process in a session of its own, which does not end with this one; returns at once.

    Args:
        place: of the run; the log is ``folder/processes/NAME.log``, the note ``state/processes/RUN--NAME.json``.
        name: unique in the run; the name of a process that is dead may be given again.
        kind: what it is.
        command: program and arguments; a program without a folder is looked for on the path.
        url: where it answers, if that is known.
        arm: whom it serves.
        extra: what else is to be known of it, as JSON holds it.
        environment: variables beside this process's own.

    Raises:
        BackendError: it cannot be started, or one of that name lives.
        LeaseLost: another harness drives the rollout now; nothing was started.
    """
    procfs.check()
    file = place.state / "processes" / f"{quote(place.run, safe='')}--{quote(name, safe='')}.json"
    before = _read(file)
    if before is not None and _members(before):
        raise BackendError(
            f"a process called {name} of run {place.run} lives already (pid {before.pid}); stop it first"
        )
    log = place.folder / "processes" / f"{quote(name, safe='')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    written = log.stat().st_size if log.exists() else 0
    made = Note(
        file, os.urandom(12).hex(), place.run, name, kind, tuple(command), known.this(), log, written,
        None, url, arm, dict(extra or {}),
    )  # fmt: skip
    try:
        with place.ours():
            _write(made)
            pid = _spawn(made, {**os.environ, **(environment or {}), MARKER: made.id})
    except OSError as error:
        forget(made)
        raise BackendError(f"{command[0]} cannot be started: {error.strerror}") from error
    found = known.find(pid) or Process(pid, "", made.owner.boot, made.owner.host)
    try:
        return amend(made, process=found)
    except OSError:  # a full disk: the note that is there names no pid, and the process is found by its marker
        return replace(made, process=found)


def _spawn(note: Note, environment: Mapping[str, str]) -> int:
    appended = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawnp(
        note.command[0],
        note.command,
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(note.log), appended, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=(),
        setsigdef=(signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
    )


# --- watching ---------------------------------------------------------------------------------------------------------


async def ended(note: Note) -> None:
    """Return once the process is dead; at once where it is already."""
    if note.process is None:
        return
    with procfs.held(note.process) as descriptor:
        if descriptor is not None:
            loop, over = asyncio.get_running_loop(), asyncio.Event()
            loop.add_reader(descriptor, over.set)
            try:
                await over.wait()
            finally:
                loop.remove_reader(descriptor)
    procfs.collect(note.process.pid)


async def said(note: Note, beginning: str, within_s: float) -> str:
    """What follows in the first line of its log that begins so.

    Raises:
        BackendError: it died before it said so, or did not in time; with the end of its log.
    """
    with anyio.move_on_after(within_s):
        while True:
            gone = not alive(note)  # looked at first: what it said last is still read
            for line in _log(note)[:-1]:
                if line.startswith(beginning):
                    return line.removeprefix(beginning)
            if gone:
                raise BackendError(f"{note.name} ended before it was ready; {told(note)}")
            await anyio.sleep(LOOK_S)
    raise BackendError(f"{note.name} was not ready within {within_s:g} s; {told(note)}")


def told(note: Note, lines: int = 3) -> str:
    """The last lines of its log, for a message."""
    written = [line.strip() for line in _log(note) if line.strip()]
    return f"{note.log} ends: {' / '.join(written[-lines:])[-600:]}" if written else f"{note.log} is empty"


def _log(note: Note) -> list[str]:
    """The log's lines since the process was started, or the last of them; the very last has not ended yet."""
    if not note.log.exists():
        return [""]
    with note.log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(note.log_from, size - TAIL_BYTES))
        return file.read().decode(errors="replace").split("\n")


# --- ending -----------------------------------------------------------------------------------------------------------


async def stop(note: Note, grace_s: float = 10.0) -> None:
    """End the process and all that it started, and remove the note; one that is dead already is no error.

    One that another harness has taken over since the note was read is left to it.

    Args:
        note: of a process, ours or one that an earlier harness started.
        grace_s: from SIGTERM to SIGKILL.

    Raises:
        BackendError: it is still there 10 s after SIGKILL.
    """
    now = _read(note.file)
    if now and now.id == note.id:
        if now.owner != note.owner:
            return
        note = now  # its pid may have become known since
    if note.process is not None and procfs.send(note.process, signal.SIGTERM):
        with anyio.move_on_after(grace_s):
            await ended(note)
    await _kill(note)
    forget(note)


async def clean(state: Path, *, grace_s: float = 10.0, spare: str | None = None) -> tuple[Note, ...]:
    """End every process whose owner is dead; answers which those were, also where they had died by themselves.

    Args:
        state: where the notes are.
        grace_s: as in `stop`.
        spare: a run that is left alone, because it is being resumed.

    Raises:
        BackendError: some are still there; the others have ended.
    """
    orphans = tuple(
        note for note in notes(state)
        if note.run != spare and note.owner.here() and not note.owner.alive()
    )  # fmt: skip
    said: list[str] = []

    async def end(note: Note) -> None:
        try:
            await stop(note, grace_s)
        except BackendError as error:
            said.append(str(error))

    async with anyio.create_task_group() as tasks:
        for note in orphans:
            tasks.start_soon(end, note)
    if said:
        raise BackendError("; ".join(said))
    return orphans


def _members(note: Note) -> tuple[Process, ...]:
    """Living processes of the note: its own, and those that it started."""
    itself = (note.process,) if note.process and note.process.alive() else ()
    return (*itself, *(each for each in procfs.marked(MARKER, note.id) if each not in itself))


async def _kill(note: Note) -> None:
    """SIGKILL whatever is left, until nothing is."""
    with anyio.move_on_after(KILL_S):
        while left := _members(note):
            for process in left:
                procfs.send(process, signal.SIGKILL)
            await anyio.sleep(LOOK_S)
    if note.process is not None:
        procfs.collect(note.process.pid)
    if left:
        pids = ", ".join(str(process.pid) for process in left)
        raise BackendError(f"{note.name} (pid {pids}) is still there {KILL_S:g} s after SIGKILL")
