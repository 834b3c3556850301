"""A load test from inside a test's own loop: one generator, no process."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from harness import clock
from harness.domain.load import (
    AnswerChecks,
    ClosedLoop,
    Limits,
    LoadPlan,
    OpenLoop,
    Payload,
    Speech,
    Target,
    Transport,
)
from harness.domain.traffic import Knots, Process, Traffic
from harness.domain.units import MILLISECOND, SECOND
from harness.load.generator import Snapshot, Stopper, generate
from harness.load.loops import Share
from harness.load.record import Record
from harness.load.worker import checker_of

BODY = b'{"tenure": 1}'


def open_loop(rate_per_s: float, process: Process = Process.CONSTANT) -> OpenLoop:
    """So many requests a second."""
    return OpenLoop(Traffic(process.value, process, Knots((0,), (rate_per_s,)), users=0), process.value, rate_per_s)


def plan_of(port: int, *, duration_s: float = 0.2, pace: Any = None, **changes: Any) -> LoadPlan:
    """A short load test of a server on this machine."""
    limits = Limits(max_connections=16, max_in_flight=16, timeout_ns=10 * SECOND, connect_timeout_ns=10 * SECOND)
    plan = LoadPlan(
        targets=(Target("target", f"http://127.0.0.1:{port}/predict"),),
        pace=pace or open_loop(50.0),
        payload=Payload((BODY,)),
        duration_ns=int(duration_s * SECOND),
        speech=Speech.JSON,
        limits=limits,
    )
    return replace(plan, **changes)


async def load(
    plan: LoadPlan, *, stopper: Stopper | None = None, tell: Callable[[Snapshot], None] | None = None, **how: Any
) -> Record:
    """Run it here."""
    begin = clock.reader()() + 5 * MILLISECOND
    async with asyncio.timeout(60):
        return await generate(
            plan, Share(), begin, tell or (lambda _: None), stopper or Stopper(), checker=checker_of(plan), **how
        )


def conserved(record: Record) -> None:
    """The two sums of the interface, of the whole, of each target and of each interval."""
    for tally in (record.total, *record.targets, *record.intervals.values()):
        counts = tally.counts
        assert counts.scheduled == counts.sent + counts.not_sent
        assert counts.sent == counts.succeeded + counts.failed + counts.in_flight
        assert counts.failed == sum(counts.errors.values())
        assert counts.not_sent == sum(counts.unsent.values())


__all__ = ["AnswerChecks", "ClosedLoop", "Transport", "conserved", "load", "open_loop", "plan_of"]
