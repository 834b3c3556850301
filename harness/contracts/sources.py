"""What a metric source must keep, on traffic that is known from elsewhere.

    async def test_my_source():
        ran = await check_source(my_bench)      # an async context manager that gives a `Bench`
        assert ran.passed == ran.total

A bench makes traffic and counts it itself: a server of the test, a simulator's own book. The source is asked what there
was, and the two must agree to the request.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import anyio

from harness.clock import now_ns
from harness.contracts.checks import hold, refuses
from harness.domain.model import Role
from harness.domain.units import SECOND
from harness.errors import BackendError
from harness.protocols import ArmSample, MetricSource, Sample


@dataclass(frozen=True, slots=True)
class Happened:
    """What really happened to one arm."""

    requests: int
    failed: int


class Bench(Protocol):
    """A source, and traffic whose counts are known without it."""

    source: MetricSource
    busy: Role
    """An arm that gets traffic, failures among it."""
    idle: Role
    """One that gets none."""
    within_s: float
    """A source that is asked has answered by then, or said that it cannot."""

    async def traffic(self) -> Mapping[Role, Happened]:
        """Let some traffic flow, and say what happened.

        Returns once nothing of it is in flight, and all that was seen of it so far lies in windows that end now.
        """
        ...


@runtime_checkable
class Mortal(Protocol):
    """A bench whose source can be made to die."""

    async def kill(self) -> None:
        """From now on the source has nobody to ask."""
        ...


@runtime_checkable
class Blinded(Protocol):
    """A bench whose source can be made to see nothing, and to know no reason."""

    async def blind(self) -> None:
        """From now on nothing of the traffic reaches what the source asks."""
        ...


@dataclass(frozen=True, slots=True)
class Ran:
    """Which checks a source was put to; one that is broken raises instead."""

    kept: tuple[str, ...]
    not_applicable: tuple[str, ...]
    """The bench cannot bring about what they are about."""

    @property
    def passed(self) -> int:
        """How many held."""
        return len(self.kept)

    @property
    def total(self) -> int:
        """How many were run."""
        return len(self.kept)

    def __str__(self) -> str:
        """As a report says it."""
        left = f" (cannot be tried here: {', '.join(self.not_applicable)})" if self.not_applicable else ""
        return f"{self.passed} of {self.total}{left}"


async def check_source(make: Callable[[], AbstractAsyncContextManager[Bench]]) -> Ran:
    """Run every check of a metric source that its bench allows.

    Args:
        make: gives a new bench each time, running.

    Raises:
        AssertionError: a promise is broken; the message says which.
    """
    kept, left = [], []
    for name, check in SOURCE_CHECKS.items():
        async with make() as bench:
            need = _NEEDS.get(name)
            if need is not None and not isinstance(bench, need):
                left.append(name)
                continue
            await check(bench)
            kept.append(name)
    return Ran(tuple(kept), tuple(left))


# --- what it says is so ---


async def counts_are_what_happened(bench: Bench) -> None:
    """Requests and failures of a window are those that there were."""
    start = now_ns()
    happened = await bench.traffic()
    found = await _asked(bench, start, now_ns())
    for role, truth in happened.items():
        arm = found[role]
        hold(truth.requests == arm.requests, f"{role} had {truth.requests} requests, and {arm.requests} are told")
        hold(truth.failed == arm.failed, f"{role} had {truth.failed} failures, and {arm.failed} are told")
        hold(sum(arm.errors.values()) == arm.failed, f"the failures of {role} by kind are all of them: {arm.errors}")
        hold(arm.latency.count <= arm.requests, f"{role} has no more latencies than requests")
    hold(happened[bench.busy].requests > 0, "the bench makes traffic")


async def windows_add_up(bench: Bench) -> None:
    """Neighbouring windows hold what the one over both holds; each is asked for when it is over, as looks do."""
    start = now_ns()
    first = await bench.traffic()
    middle = now_ns()
    left = await _asked(bench, start, middle)
    second = await bench.traffic()
    stop = now_ns()
    right, whole = await _asked(bench, middle, stop), await _asked(bench, start, stop)
    for role, arm in whole.items():
        for what in ("requests", "failed", "labelled"):  # arrivals of this very moment may not be noted yet
            parts = getattr(left[role], what) + getattr(right[role], what)
            hold(parts == getattr(arm, what), f"{what} of {role} add up: {parts}, {getattr(arm, what)} over both")
        latency = left[role].latency + right[role].latency
        hold(latency.count == arm.latency.count, f"latencies of {role} add up")
        hold(latency.sum_ns == arm.latency.sum_ns, f"the sum of the latencies of {role} adds up")
    for part, truth in ((left, first), (right, second)):
        told, happened = part[bench.busy].requests, truth[bench.busy].requests
        hold(told == happened, f"each holds what happened in it: {happened} requests, and {told} are told")


async def what_was_told_stays(bench: Bench) -> None:
    """A window says the same when it is asked again after other traffic: nothing at or after its end is in it."""
    start = now_ns()
    await bench.traffic()
    stop = now_ns()
    before = await _asked(bench, start, stop)
    await bench.traffic()
    after = await _asked(bench, start, stop)
    for role, arm in before.items():
        hold(_counts(arm) == _counts(after[role]), f"what {role} did in a window that is over stays as it was told")


async def an_idle_arm_has_none(bench: Bench) -> None:
    """An arm without traffic has no requests, and no figures that would need some."""
    start = now_ns()
    await bench.traffic()
    arm = (await _asked(bench, start, now_ns())).get(bench.idle)
    if arm is None:
        return
    hold(arm.requests == arm.failed == arm.arrivals == arm.latency.count == 0, f"{bench.idle} had nothing to do")
    figures = arm.figures()
    for name in ("error_rate", "success_rate", "mean", "p95"):
        hold(figures[name] is None, f"an arm without requests has no {name}")


async def a_window_of_no_time_is_empty(bench: Bench) -> None:
    """Nothing happens between a moment and itself."""
    await bench.traffic()
    now = now_ns()
    arm = (await _asked(bench, now, now))[bench.busy]
    hold(arm.requests == arm.failed == arm.latency.count == 0, "a window of no time holds nothing")


# --- what it does not know ---


async def the_future_is_refused(bench: Bench) -> None:
    """A window that ends in the future is a BackendError, at once."""
    now = now_ns()
    await _refused_in_time(bench, now, now + 3600 * SECOND, "a window that ends in the future")


async def a_dead_source_says_so(bench: Bench) -> None:
    """A source that has nobody to ask raises BackendError in time; it does not answer from nothing."""
    start = now_ns()
    await bench.traffic()
    if isinstance(bench, Mortal):
        await bench.kill()
    await _refused_in_time(bench, start, now_ns(), "asking a source that is dead")


async def what_is_not_seen_is_no_zero(bench: Bench) -> None:
    """Traffic that the source sees nothing of is no traffic without failures: its figures are open."""
    await bench.traffic()
    if isinstance(bench, Blinded):
        await bench.blind()
    start = now_ns()
    happened = await bench.traffic()
    hold(happened[bench.busy].requests > 0, "the bench makes traffic")
    try:
        arm = (await _asked(bench, start, now_ns()))[bench.busy]
    except BackendError:
        return
    for name in ("error_rate", "success_rate", "mean", "p50", "p95", "p99", "requests"):
        told = arm.figures()[name]
        hold(told is None, f"{name} of traffic that was not seen is not known, and {told} is told")


SOURCE_CHECKS: Final[Mapping[str, Callable[[Bench], Awaitable[None]]]] = {
    check.__name__: check
    for check in (
        counts_are_what_happened,
        windows_add_up,
        what_was_told_stays,
        an_idle_arm_has_none,
        a_window_of_no_time_is_empty,
        the_future_is_refused,
        what_is_not_seen_is_no_zero,
        a_dead_source_says_so,
    )
}
"""By name; each gets a bench of its own."""

_NEEDS: Final[Mapping[str, type]] = {"a_dead_source_says_so": Mortal, "what_is_not_seen_is_no_zero": Blinded}


async def _asked(bench: Bench, start_ns: int, stop_ns: int) -> Sample:
    with anyio.move_on_after(bench.within_s):
        return await bench.source.sample(start_ns, stop_ns)
    raise AssertionError(f"broken promise: a source answers, or says that it cannot, within {bench.within_s:g} s")


async def _refused_in_time(bench: Bench, start_ns: int, stop_ns: int, what: str) -> None:
    await refuses(_asked(bench, start_ns, stop_ns), what, BackendError)


def _counts(arm: ArmSample) -> tuple[int, int, int, int]:
    return arm.requests, arm.failed, arm.latency.count, arm.latency.sum_ns
