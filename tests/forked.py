"""Programs of ours as processes of their own that need not import anything: forked from a server that has, once.

They are processes like any other (sessions of their own, killed by any signal); only their start takes a tenth.
"""

import functools
import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import chdir, closing
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

ROOT = Path(__file__).parents[1]
_ONE = threading.Lock()


class Forked:
    """A forked program, as `subprocess.Popen` tells of one.

    Args:
        process: it, begun.
        name: for messages.
    """

    def __init__(self, process: BaseProcess, name: str) -> None:
        self._process, self._name = process, name
        self.pid = process.pid or 0

    @property
    def returncode(self) -> int | None:
        """As of `Popen`: below 0 where a signal ended it; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Its exit code, if it has ended."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended; TimeoutExpired where it does not in time."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutExpired(self._name, timeout or 0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal; nothing where it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def harness(command: Sequence[str], said: Path, environment: Mapping[str, str] = {}) -> Forked:
    """Begin `harness COMMAND`; what it prints goes to a file."""
    return begun(_command, (*command,), said=said, environment=environment)


def begun(work: Callable[..., Any], *args: Any, said: Path, environment: Mapping[str, str] = {}) -> Forked:
    """Begin a function of a module in a process of its own.

    Args:
        work: to be called; what it raises is printed as Python does, and its exit code is 1.
        args: that it is called with.
        said: the file that takes what it prints.
        environment: variables beside this process's own.
    """
    variables = {**os.environ, **environment}
    with _ONE:
        process = _server().Process(target=_become, args=(work, args, str(said), variables), name=work.__name__)  # type: ignore[attr-defined]
        process.start()
    return Forked(process, work.__name__)


def held_up(pid: int, database: Path) -> None:
    """Stop a process, though not in the midst of a line: it would hold the database's lock, and nobody could write."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.001)
        with closing(sqlite3.connect(database, timeout=0.2, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            except sqlite3.OperationalError:
                os.kill(pid, signal.SIGCONT)
                continue
        return


@functools.cache
def _server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.preload"])
    with chdir(ROOT):  # where it finds its modules
        forkserver.ensure_running()
    return context


def _become(work: Callable[..., Any], args: Sequence[Any], said: str, variables: Mapping[str, str]) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(variables)
    for descriptor, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY)):
        opened = os.open(os.devnull if descriptor == 0 else said, flags | (os.O_CREAT | os.O_TRUNC) * descriptor, 0o644)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.dup2(1, 2)
    work(*args)


def _command(command: Sequence[str]) -> None:
    import sys

    from harness.cli import main

    sys.argv = ["harness", *command]
    main()
