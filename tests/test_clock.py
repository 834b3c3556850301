"""Virtual time: what asyncio and anyio promise must hold, and the traps of jumping must not be sprung."""

import asyncio
import signal
from collections.abc import Callable

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.clock import Phase, instant, is_virtual, now_ns, run_real, run_virtual, sleep_until
from harness.domain.units import HOUR, MILLISECOND, SECOND
from harness.errors import ClockError, Deadlock


def test_hours_pass_without_waiting() -> None:
    async def main() -> tuple[int, bool]:
        await anyio.sleep(7200)
        return now_ns(), is_virtual()

    assert run_virtual(main) == (2 * HOUR, True)


def test_deadlines_and_timeouts_are_virtual() -> None:
    async def main() -> list[int]:
        marks = []
        with anyio.move_on_after(30) as scope:
            await anyio.sleep(60)
        marks.append(now_ns())
        assert scope.cancelled_caught
        with pytest.raises(TimeoutError):
            with anyio.fail_after(0.25):
                await anyio.Event().wait()
        marks.append(now_ns())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.Event().wait()
        return [*marks, now_ns()]

    assert run_virtual(main) == [30 * SECOND, 30_250 * MILLISECOND, 31_250 * MILLISECOND]


@pytest.mark.parametrize("begun_ms", [128, 253, *range(1, 100)])
def test_a_time_limit_ends_whatever_the_clock_says_when_it_begins(begun_ms: int) -> None:
    """0.128 + 1 is a hair above 1.128: the limit is not reached at that nanosecond, and must be at the next."""

    async def main() -> int:
        await sleep_until(begun_ms * MILLISECOND)
        with anyio.move_on_after(1):
            await anyio.sleep(3600)
        return now_ns()

    assert 0 <= run_virtual(main) - (begun_ms * MILLISECOND + SECOND) <= 1


def test_sleeping_forever_ends_with_what_ends_it_and_is_else_a_deadlock() -> None:
    async def bounded() -> int:
        with anyio.move_on_after(30):
            await anyio.sleep_forever()
        return now_ns()

    assert run_virtual(bounded) == 30 * SECOND
    with pytest.raises(Deadlock, match="sleep"):
        run_virtual(anyio.sleep_forever)


def test_a_long_chain_of_sleeps_does_not_drift() -> None:
    async def main() -> int:
        for _ in range(10_000):
            await anyio.sleep(0.1)
        return now_ns()

    assert run_virtual(main) == 1000 * SECOND


@given(st.lists(st.sampled_from([0.0, 0.001, 0.5, 1.0]), min_size=1, max_size=40))
def test_equal_deadlines_wake_in_order_of_scheduling(delays: list[float]) -> None:
    async def main() -> list[tuple[float, int]]:
        woken: list[tuple[float, int]] = []
        loop = asyncio.get_running_loop()
        for number, delay in enumerate(delays):
            loop.call_at(delay, woken.append, (delay, number))
        await anyio.sleep(2)
        return woken

    assert run_virtual(main) == sorted((delay, number) for number, delay in enumerate(delays))


def test_neighbouring_nanoseconds_are_told_apart() -> None:
    async def main() -> list[int]:
        seen = []
        for at in (5 * HOUR, 5 * HOUR + 1, 5 * HOUR + 2):
            await sleep_until(at)
            seen.append(now_ns())
        return seen

    assert run_virtual(main) == [5 * HOUR, 5 * HOUR + 1, 5 * HOUR + 2]


def test_phases_of_an_instant_come_in_order_whatever_was_scheduled_first() -> None:
    async def at_one_second(phase: Phase | None, order: list[str], name: str) -> None:
        await anyio.sleep(1)
        if phase:
            await instant(phase)
        for _ in range(3):  # work that takes some turns of the loop still comes before the next phase
            await anyio.lowlevel.checkpoint()
        order.append(name)

    async def main() -> tuple[list[str], int]:
        order: list[str] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(at_one_second, Phase.DECIDE, order, "decide")
            tasks.start_soon(at_one_second, Phase.MEASURE, order, "measure")
            tasks.start_soon(at_one_second, None, order, "environment")
        return order, now_ns()

    assert run_virtual(main) == (["environment", "measure", "decide"], SECOND)


def test_waiting_for_nothing_is_a_deadlock_that_names_the_tasks() -> None:
    async def forever() -> None:
        await anyio.Event().wait()

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(forever, name="the one that waits")

    with pytest.raises(Deadlock, match="the one that waits"):
        run_virtual(main)


def test_a_real_socket_is_refused() -> None:
    async def main() -> None:
        await asyncio.open_connection("127.0.0.1", 9)

    with pytest.raises(ClockError, match="clock: real"):
        run_virtual(main)


def test_time_ends_before_floats_get_too_coarse() -> None:
    async def main() -> None:
        await anyio.sleep(50 * 24 * 3600)

    with pytest.raises(ClockError, match="40 days"):
        run_virtual(main)


def test_a_signal_is_seen_while_time_jumps() -> None:
    async def main() -> int:
        with anyio.open_signal_receiver(signal.SIGUSR1) as signals:
            asyncio.get_running_loop().call_at(3600, signal.raise_signal, signal.SIGUSR1)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_tick_for_ever)
                async for number in signals:
                    assert number is signal.SIGUSR1
                    tasks.cancel_scope.cancel()
        return now_ns()

    async def _tick_for_ever() -> None:
        for _ in range(7200):
            await anyio.sleep(1)

    assert HOUR <= run_virtual(main) <= HOUR + 2 * SECOND


def test_a_cancelled_scope_with_a_shielded_wait_lets_time_pass() -> None:
    async def main() -> int:
        with anyio.CancelScope() as outer:
            outer.cancel()
            with anyio.CancelScope(shield=True):
                await anyio.sleep(5)
        return now_ns()

    assert run_virtual(main) == 5 * SECOND


@pytest.mark.parametrize("run", [run_virtual, run_real], ids=["virtual", "real"])
def test_both_times_keep_the_same_promises(run: Callable[..., int]) -> None:
    async def main() -> int:
        start = now_ns()
        await sleep_until(start + 20 * MILLISECOND)
        await instant(Phase.DECIDE)
        return now_ns() - start

    assert run(main) >= 20 * MILLISECOND
