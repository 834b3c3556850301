"""A generator in a process of its own: what it is told and what it tells, over a pipe each way.

It loads all that it needs, says that it is ready, and begins when it is told, at one time with the others. A process
whose parent is gone stops by itself.
"""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final

from harness import clock
from harness.domain.load import LoadPlan
from harness.errors import HarnessError
from harness.load.checks import Checker
from harness.load.generator import Check, Snapshot, Stopper, generate
from harness.load.loops import Share
from harness.load.record import Record

STOP: Final = "stop"


@dataclass(frozen=True, slots=True)
class Ready:
    """It can begin."""


@dataclass(frozen=True, slots=True)
class Broken:
    """It cannot go on."""

    error: Exception


Told = Ready | Broken | Snapshot | Record


def checker_of(plan: LoadPlan) -> Check | None:
    """What answers are held to beyond their status; None where nothing is."""
    checks = plan.checks
    return Checker(checks, plan.speech) if checks.reads_body or checks.content_type else None


def work(plan: LoadPlan, share: Share, ear: "Connection[Any, Any]", mouth: "Connection[Any, Any]") -> None:
    """The process's whole life.

    Args:
        plan: the load test.
        share: which part of it.
        ear: says when to begin (nanoseconds of the machine's clock) and when to stop.
        mouth: is told all that happens. A pipe of its own, since a loop that listens to one makes it non-blocking.
    """
    # Ctrl-C reaches every process of the terminal; the parent alone decides what it means. Where there is a mask they
    # are blocked already (`harness.load.crew.unsignalled`).
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        mouth.send(clock.run_fast(_work, plan, share, ear, mouth))
    except HarnessError as error:
        mouth.send(Broken(error))
    except (BrokenPipeError, EOFError):
        return  # nobody is left to be told
    finally:
        ear.close()
        mouth.close()


async def _work(plan: LoadPlan, share: Share, ear: "Connection[Any, Any]", mouth: "Connection[Any, Any]") -> Record:
    from harness.load.address import resolve

    options = plan.transport
    checker = checker_of(plan)
    addresses = [await resolve(target.url, options.ca_file, insecure=options.insecure) for target in plan.targets]
    mouth.send(Ready())
    start_ns = await asyncio.to_thread(ear.recv)
    stopper = Stopper()
    if start_ns == STOP:
        start_ns = clock.monotonic_ns()
        stopper()
    with _heard(ear, stopper):
        return await generate(plan, share, start_ns, mouth.send, stopper, checker=checker, addresses=addresses)


@contextmanager
def _heard(ear: "Connection[Any, Any]", stopper: Stopper) -> Iterator[None]:
    """Whatever the parent says from now on, and its end, means to stop."""
    loop = asyncio.get_running_loop()

    def heard() -> None:
        with suppress(EOFError, OSError):  # the parent is gone: that too means to stop
            ear.recv()
        loop.remove_reader(ear.fileno())
        stopper()

    loop.add_reader(ear.fileno(), heard)
    try:
        yield
    finally:
        loop.remove_reader(ear.fileno())
