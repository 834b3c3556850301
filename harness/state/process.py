"""What tells one process of a machine from every other, also from one that has its number later.

A number (pid) is given again once its process is gone. With the time at which it started, in clock ticks since the
machine did (field 22 of ``/proc/PID/stat``, proc(5)), and the boot it was started in, it names one process for good.
"""

import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

PROC: Final = Path("/proc")
STATE, STARTED = 0, 19
"""Places in ``stat`` after the name, which stands in brackets and may hold anything."""
DEAD: Final = frozenset("ZXx")
"""States of a process that is over, and only not yet asked for its exit code."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process, by all that makes it that one."""

    pid: int
    began: str
    """In clock ticks after the machine's start; empty where there is no /proc."""
    boot: str
    """Which start of the machine; empty where it cannot be told."""
    host: str
    """A folder may be shared by machines (or containers), and a pid means nothing on another."""

    def here(self) -> bool:
        """Whether it is or was of this machine, so that `alive` can tell."""
        return self.host == socket.gethostname()

    def alive(self) -> bool:
        """Whether that very process still runs, on this machine; only its own can be asked about."""
        if not self.here() or self.boot != boot():
            return False
        if not (PROC / "self").exists():
            return _answers(self.pid)
        return find(self.pid) == self

    def fields(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)

    @classmethod
    def of(cls, fields: Mapping[str, Any] | None) -> "Process | None":
        """From JSON."""
        if not fields:
            return None
        return cls(int(fields["pid"]), str(fields["began"]), str(fields["boot"]), str(fields["host"]))


def this() -> Process:
    """The process that asks."""
    return find(os.getpid()) or Process(os.getpid(), "", boot(), socket.gethostname())


def find(pid: int) -> Process | None:
    """Which process a pid is now; None: none, or one that is dead and not yet collected by its parent."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, began = parsed(text)
    return None if state in DEAD else Process(pid, began, boot(), socket.gethostname())


def parsed(stat: str) -> tuple[str, str]:
    """State and start time of a line of ``/proc/PID/stat``.

    >>> parsed("42 (a) b) S 1 42 42 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 12345 0 0")
    ('S', '12345')
    """
    fields = stat[stat.rindex(")") + 2 :].split()
    return fields[STATE], fields[STARTED]


def boot() -> str:
    """Names the present start of the machine (random(4)); empty where it cannot be told."""
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
