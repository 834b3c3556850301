"""What Linux tells of processes: which one a pid is, whether it lives, which carry a marker.

A pid is given again once its process is gone. With the time at which it started, in ticks since the machine did
(field 22 of ``/proc/PID/stat``, proc(5)), and the boot it was started in, it names one process for good.
"""

import os
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from harness.errors import BackendError

PROC: Final = Path("/proc")
STATE, STARTED = 0, 19
"""Places in ``stat`` after the name, which stands in brackets and may hold anything."""
DEAD: Final = frozenset("ZXx")


@dataclass(frozen=True, slots=True)
class Identity:
    """One process, and no other that gets its pid later."""

    pid: int
    started: int
    """Ticks since the machine started."""
    boot: str
    host: str
    """A folder may be shared by machines (or containers), and a pid means nothing on another."""

    def fields(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)

    @classmethod
    def of(cls, fields: Mapping[str, Any] | None) -> "Identity | None":
        """From JSON."""
        if not fields:
            return None
        return cls(int(fields["pid"]), int(fields["started"]), str(fields["boot"]), str(fields["host"]))


def check() -> None:
    """Refuse a machine without /proc.

    Raises:
        BackendError: processes cannot be told apart here.
    """
    if not (PROC / "self" / "stat").exists():
        raise BackendError(
            "processes are told apart by /proc, which this machine lacks: `serving: local`, routers and Prometheus "
            "as processes of ours work on Linux; elsewhere run harness in a Linux container, or use serving: simulated"
        )


def boot() -> str:
    """Names this start of the machine."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def identify(pid: int) -> Identity | None:
    """Which process a pid is now; None: none, or one that is dead and not yet collected by its parent."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, started = parsed(text)
    return None if state in DEAD else Identity(pid, started, boot(), socket.gethostname())


def parsed(stat: str) -> tuple[str, int]:
    """State and start time of a line of ``/proc/PID/stat``.

    >>> parsed("42 (a) b) S 1 42 42 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 12345 0 0")
    ('S', 12345)
    """
    fields = stat[stat.rindex(")") + 2 :].split()
    return fields[STATE], int(fields[STARTED])


def myself() -> Identity:
    """This process."""
    found = identify(os.getpid())
    if found is None:  # only a dead process has no line, and this one reads it
        raise BackendError(f"/proc/{os.getpid()}/stat says nothing of this process")
    return found


def lives(process: Identity) -> bool:
    """Whether that very process lives, on this machine."""
    return identify(process.pid) == process


def elsewhere(process: Identity) -> bool:
    """Whether it is a process of another machine, of which nothing is known here."""
    return process.host != socket.gethostname()


def marked(variable: str, value: str) -> tuple[Identity, ...]:
    """Living processes, but for this one, that were started with this variable in their environment."""
    word, found = f"{variable}={value}".encode(), []
    for each in PROC.iterdir():
        if not each.name.isdecimal() or int(each.name) == os.getpid():
            continue
        process = identify(int(each.name))  # before its environment is read: a later process of the pid is another
        try:
            environment = (each / "environ").read_bytes()
        except OSError:  # gone meanwhile, or another user's: none that we started
            continue
        if process is not None and word in environment.split(b"\0"):
            found.append(process)
    return tuple(found)


@contextmanager
def held(process: Identity) -> Iterator[int | None]:
    """A descriptor of that very process (pidfd_open(2)), readable once it has ended; None where it has already."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield descriptor if lives(process) else None  # looked at after it was opened: it is no later one's
    finally:
        os.close(descriptor)


def send(process: Identity, number: signal.Signals) -> bool:
    """Send a signal to that very process; whether it was there to get it."""
    with held(process) as descriptor:
        if descriptor is None:
            return False
        try:
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        return True


def collect(pid: int) -> None:
    """Take a dead child's place in the table of processes away; nothing where it lives, or is no child of ours."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
