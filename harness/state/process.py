"""What tells one process of a machine from every other, also from one that has its number later."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
DEAD = frozenset({"Z", "X"})
"""States of a process that is over, and only not yet asked for its exit code (proc(5))."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process, by all that makes it that one."""

    pid: int
    began: str
    """In clock ticks after the machine's start, as proc(5) has it; empty where there is no /proc."""
    boot: str
    """Which start of the machine; empty where it cannot be told."""
    host: str

    def here(self) -> bool:
        """Whether it is or was of this machine, so that `alive` can tell."""
        return self.host == socket.gethostname()

    def alive(self) -> bool:
        """Whether it still runs; only this machine's own processes can be asked about."""
        if self.boot != boot():
            return False
        state, began = _stat(self.pid)
        if not (PROC / "self").exists():
            return _answers(self.pid)
        return bool(began) and began == self.began and state not in DEAD


def this() -> Process:
    """The process that asks."""
    pid = os.getpid()
    return Process(pid, _stat(pid)[1], boot(), socket.gethostname())


def boot() -> str:
    """Names the present start of the machine (random(4)); empty where it cannot be told."""
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _stat(pid: int) -> tuple[str, str]:
    """State and start of a process; empty where there is none."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", ""
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return fields[0], fields[19]


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
