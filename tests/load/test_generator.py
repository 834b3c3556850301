"""One generator against real servers: due times, latency under a stall, warm-up, stopping, limits, closed loops."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from harness import arrivals
from harness.domain.load import Order, Payload, Target, Transport
from harness.domain.traffic import Process
from harness.domain.units import MILLISECOND, SECOND
from harness.load.generator import Stopper, generate
from harness.load.loops import Share
from harness.load.record import Record
from harness.load.worker import checker_of
from harness.seeds import stream
from tests import faulty_servers as faulty
from tests.load.asking import conserved, load, open_loop, plan_of


@pytest.mark.parametrize("process", [Process.CONSTANT, Process.POISSON])
async def test_what_is_due_is_what_the_simulator_s_arrivals_say_and_all_of_it_is_sent(process):
    pace = open_loop(400.0, process)
    async with faulty.Server() as port:
        plan = plan_of(port, duration_s=0.4, pace=pace, warmup_ns=100 * MILLISECOND, seed=5)
        record = await load(plan)
    times = arrivals.of(pace.traffic).times(100 * MILLISECOND, 500 * MILLISECOND, stream(5, "load/arrivals"))
    counts = record.total.counts
    assert counts.scheduled == counts.succeeded == len(times)
    conserved(record)


async def test_several_generators_send_one_test_between_them():
    pace = open_loop(300.0, Process.POISSON)
    server = faulty.Server()
    async with server as port:
        bodies = tuple(b'{"row": %d}' % row for row in range(7))
        plan = plan_of(
            port, duration_s=0.3, pace=pace, payload=Payload(bodies), seed=3, transport=Transport(request_ids=True)
        )
        whole = await load(plan)
        alone = sorted((request.header("X-Request-Id"), request.body) for request in server.requests)
        server.requests.clear()
        begin = asyncio.get_running_loop().time() * SECOND + 50 * MILLISECOND
        parts = await asyncio.gather(
            *(
                generate(plan, Share(k, 3), int(begin), lambda _: None, Stopper(), checker=checker_of(plan))
                for k in range(3)
            )
        )
        together = sorted((request.header("X-Request-Id"), request.body) for request in server.requests)
    assert together == alone
    merged = Record.merge(parts)
    assert merged.total.counts == whole.total.counts
    assert len({body for _, body in alone}) == 7


async def test_bodies_in_turn():
    server = faulty.Server()
    async with server as port:
        bodies = tuple(b'{"row": %d}' % row for row in range(3))
        await load(plan_of(port, pace=open_loop(50.0), payload=Payload(bodies, order=Order.IN_TURN)))
    assert [int(request.body[8:-1]) for request in server.requests] == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]


async def test_the_warm_up_is_sent_and_left_out():
    server = faulty.Server()
    async with server as port:
        record = await load(plan_of(port, pace=open_loop(100.0), warmup_ns=200 * MILLISECOND, duration_s=0.3))
    assert len(server.requests) == 50
    assert record.total.counts.scheduled == 30
    assert sum(tally.counts.scheduled for tally in record.intervals.values()) == 50
    assert record.intervals[0].counts.scheduled == 20


async def test_several_targets_have_their_parts_and_their_own_figures():
    slow = faulty.Stalls(10.0, 0.0)
    async with faulty.Server() as one, slow as two:
        targets = (Target("one", f"http://127.0.0.1:{one}/", 3.0), Target("two", f"http://127.0.0.1:{two}/", 1.0))
        record = await load(plan_of(one, pace=open_loop(1000.0), duration_s=1.0, targets=targets))
    sent = [tally.counts.sent for tally in record.targets]
    assert sum(sent) == record.total.counts.sent == 1000
    assert len(slow.requests) == sent[1]
    assert sent[1] == pytest.approx(250, abs=4 * np.sqrt(1000 * 0.25 * 0.75))  # four standard deviations
    conserved(record)


async def test_what_is_told_adds_up():
    told = []
    async with faulty.Server() as port:
        record = await load(plan_of(port, pace=open_loop(200.0), duration_s=1.2), tell=told.append)
    # How many seconds are told apart depends on the machine: one that is held up tells of several at once.
    assert sum(snapshot.measured.scheduled for snapshot in told) == record.total.counts.scheduled == 240
    assert sum(snapshot.latency.count for snapshot in told) == 240


async def test_pieces_of_an_answer_have_their_times():
    async with faulty.ByteByByte(0.002) as port:
        plan = plan_of(port, pace=open_loop(20.0), transport=Transport(stream=True))
        record = await load(replace(plan, limits=replace(plan.limits, timeout_ns=5 * SECOND)))
    total = record.total
    length = len(faulty.BODY)
    assert total.counts.succeeded == 4
    assert total.first.histogram.count == 4
    assert total.gap.histogram.count == 4 * (length - 1)
    assert total.gap.quantile_ns(0.5) / 1e6 > 1.5  # the server waits 2 ms, and now and then the loop longer
    # The first byte comes long before the last.
    assert total.first.quantile_ns(1.0) < total.service.quantile_ns(0.0) / 2
