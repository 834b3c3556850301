"""Waking at a nanosecond: never early, in order, with a timer descriptor and without one."""

import asyncio
import sys

import pytest

from harness.clock import wall_ns
from harness.domain.units import MILLISECOND
from harness.serving.fake.alarm import Alarm

EXACT = [pytest.param(True, marks=pytest.mark.skipif(sys.platform != "linux", reason="timerfd is Linux's")), False]


@pytest.mark.parametrize("exact", EXACT)
async def test_calls_come_in_order_and_never_early(exact: bool) -> None:
    alarm = Alarm(exact)
    assert alarm.exact is exact
    called: list[tuple[int, int]] = []
    begun_ns = wall_ns()
    due_ms = [9, 3, 6, 3, 0, 1, 12, 3]  # the second is earlier than what is armed; some are equal
    done = asyncio.Event()

    def call(number: int) -> None:
        called.append((number, wall_ns()))
        if len(called) == len(due_ms):
            done.set()

    for number, due in enumerate(due_ms):
        alarm.at(begun_ns + due * MILLISECOND, call, number)
    async with asyncio.timeout(10):
        await done.wait()
    alarm.close()
    assert [number for number, _ in called] == [4, 5, 1, 3, 7, 2, 0, 6]
    assert all(at_ns >= begun_ns + due_ms[number] * MILLISECOND for number, at_ns in called)


@pytest.mark.parametrize("exact", EXACT)
async def test_waits_end_and_a_call_may_ask_for_another(exact: bool) -> None:
    alarm = Alarm(exact)
    due_ns = [wall_ns() + k * MILLISECOND for k in (-5, 4, 2)]
    async with asyncio.timeout(10):
        await asyncio.gather(*(alarm.until(each) for each in due_ns))
        assert wall_ns() >= max(due_ns)
        chained: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        alarm.at(wall_ns(), lambda: alarm.at(wall_ns() + MILLISECOND, chained.set_result, 1))
        assert await chained == 1
    alarm.close()


@pytest.mark.parametrize("exact", EXACT)
async def test_closed_it_calls_nobody(exact: bool) -> None:
    alarm = Alarm(exact)
    called: list[int] = []
    alarm.at(wall_ns() + MILLISECOND, called.append, 1)
    alarm.close()
    await asyncio.sleep(0.005)
    assert not called
    assert not alarm.exact
