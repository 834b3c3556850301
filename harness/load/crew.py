"""Several generators of one test, each in a process of its own on this machine; what they measured is merged."""

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Final, Protocol

from harness import clock
from harness.domain.load import LoadPlan
from harness.domain.units import SECOND
from harness.errors import BackendError
from harness.load.generator import Snapshot
from harness.load.loops import Share
from harness.load.record import Record, Tally
from harness.load.worker import STOP, Broken, Ready, work

LEAD_NS: Final = 100_000_000
"""From the word to begin to the beginning."""
START_S: Final = 120.0
"""So long may a process take to get ready: it imports, and resolves its targets."""
TURN_S: Final = 0.1
END_S: Final = 10.0

Tell = Callable[[int, Snapshot], None]
"""Told a generator's number and how it stands."""


class Crew(Protocol):
    """Runs the generators of a load test."""

    def run(
        self, plan: LoadPlan, workers: int, tell: Tell, stopped: Callable[[], bool], began: Callable[[], None]
    ) -> Record:
        """Run the test to its end, or until it is stopped, and answer with what was measured.

        Args:
            plan: the load test.
            workers: how many generators.
            tell: told how each stands, each second.
            stopped: asked often whether to stop, from the first moment on.
            began: called when the test begins; never where it is stopped before.

        Raises:
            InputError: a target cannot be resolved.
            BackendError: a generator died.
        """


def nothing_measured(plan: LoadPlan) -> Record:
    """Of a test that was stopped before it began."""
    return Record(cells={}, targets=tuple(Tally() for _ in plan.targets), reached_ns=0, last_ns=0)


@contextmanager
def unsignalled() -> Iterator[None]:
    """Processes that are started meanwhile never see Ctrl-C nor SIGTERM, from their first instruction on.

    A terminal, and many supervisors, send them to the whole group, and what they mean is the parent's to decide. A new
    process keeps the mask of the thread that starts it; what comes for this one meanwhile reaches it right after.
    """
    if sys.platform == "win32":
        yield
        return
    # It unblocks the two when it starts, as it does with the first process; so it is there before.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class LocalCrew:
    """Generators in processes of their own: each has its own interpreter, loop and core."""

    def run(
        self, plan: LoadPlan, workers: int, tell: Tell, stopped: Callable[[], bool], began: Callable[[], None]
    ) -> Record:
        """Run the test to its end; see `Crew.run`."""
        # A fresh interpreter each: forking one that holds threads is not safe.
        context = multiprocessing.get_context("spawn")
        channels: list[Connection[Any, Any]] = []
        orders: list[Connection[Any, Any]] = []
        processes: list[Any] = []
        try:
            for number in range(workers):
                if stopped():
                    break
                ours, mouth = context.Pipe(duplex=False)
                ear, order = context.Pipe(duplex=False)
                process = context.Process(
                    target=work,
                    args=(plan, Share(number, workers), ear, mouth),
                    name=f"generator-{number + 1}",
                    daemon=True,
                )
                with unsignalled():
                    process.start()
                ear.close()
                mouth.close()
                channels.append(ours)
                orders.append(order)
                processes.append(process)
            if not self._get_ready(channels, processes, stopped):
                for process in processes:
                    process.kill()  # it has sent nothing, and may be importing for seconds
                return nothing_measured(plan)
            start_ns = clock.monotonic_ns() + LEAD_NS
            for order in orders:
                order.send(start_ns)
            began()
            return Record.merge(self._follow(channels, orders, processes, tell, stopped))
        finally:
            for channel in (*channels, *orders):
                channel.close()  # those that still run find out, and stop
            for process in processes:
                process.join(END_S)
                if process.is_alive():
                    process.kill()
                    process.join()
                process.close()

    def _get_ready(
        self, channels: list["Connection[Any, Any]"], processes: list[Any], stopped: Callable[[], bool]
    ) -> bool:
        """Wait for all to be ready; False where the test was stopped before."""
        until_ns = clock.monotonic_ns() + int(START_S * SECOND)
        for number, channel in enumerate(channels):
            while not channel.poll(TURN_S):
                if stopped():
                    return False
                if clock.monotonic_ns() > until_ns:
                    raise BackendError(
                        f"generator {number + 1} was not ready within {START_S:g} s; is the machine overloaded?"
                    )
            told = self._receive(channel, number, processes)
            if not isinstance(told, Ready):
                raise BackendError(f"generator {number + 1} told {told!r} before it was ready")
        return not stopped()

    def _follow(
        self,
        channels: list["Connection[Any, Any]"],
        orders: list["Connection[Any, Any]"],
        processes: list[Any],
        tell: Tell,
        stopped: Callable[[], bool],
    ) -> list[Record]:
        records: dict[int, Record] = {}
        numbers = {channel: number for number, channel in enumerate(channels)}
        open_ones, asked = list(channels), False
        while open_ones:
            for ready in wait(open_ones, TURN_S):
                channel = next(each for each in open_ones if each is ready)
                number = numbers[channel]
                told = self._receive(channel, number, processes)
                if isinstance(told, Snapshot):
                    tell(number, told)
                elif isinstance(told, Record):
                    records[number] = told
                    open_ones.remove(channel)
            if stopped() and not asked:
                asked = True
                for order in orders:
                    with suppress(OSError):  # it has just ended; its record is on the way
                        order.send(STOP)
        return [records[number] for number in sorted(records)]

    @staticmethod
    def _receive(channel: "Connection[Any, Any]", number: int, processes: list[Any]) -> Any:
        try:
            told = channel.recv()
        except (EOFError, OSError):
            processes[number].join(END_S)
            code = processes[number].exitcode
            raise BackendError(
                f"generator {number + 1} died (exit code {code}); its requests are lost, and with them the test"
            ) from None
        if isinstance(told, Broken):
            raise told.error
        return told
