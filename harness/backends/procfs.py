"""What Linux does with processes that are known by more than their pid: looked for, held, signalled, collected.

Which one a pid is, and whether it lives, is `harness.state.process`'s to tell.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from harness.errors import BackendError
from harness.state.process import PROC, Process, find, this


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


def myself() -> Process:
    """This process."""
    return this()


def marked(variable: str, value: str) -> tuple[Process, ...]:
    """Living processes, but for this one, that were started with this variable in their environment."""
    word, found = f"{variable}={value}".encode(), []
    for each in PROC.iterdir():
        if not each.name.isdecimal() or int(each.name) == os.getpid():
            continue
        process = find(int(each.name))  # before its environment is read: a later process of the pid is another
        try:
            environment = (each / "environ").read_bytes()
        except OSError:  # gone meanwhile, or another user's: none that we started
            continue
        if process is not None and word in environment.split(b"\0"):
            found.append(process)
    return tuple(found)


@contextmanager
def held(process: Process) -> Iterator[int | None]:
    """A descriptor of that very process (pidfd_open(2)), readable once it has ended; None where it has already."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield descriptor if process.alive() else None  # looked at after it was opened: it is no later one's
    finally:
        os.close(descriptor)


def send(process: Process, number: signal.Signals) -> bool:
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
