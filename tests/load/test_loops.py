"""The generator on virtual time, against closed forms and the queue's own record: exact, whatever the machine."""

import re
from dataclasses import replace

import numpy as np
import pytest

from harness.domain.load import ClosedLoop, Limits, Payload, Target, Transport
from harness.domain.traffic import Process
from harness.domain.units import MILLISECOND, SECOND
from harness.errors import InputError
from harness.load.generator import rooms
from harness.load.loops import AT_ONCE, Share
from harness.load.record import Record
from harness.seeds import stream
from tests.load.asking import conserved, open_loop, plan_of
from tests.load.on_virtual_time import rehearsed

ROOMY = Limits(max_connections=100_000, max_in_flight=100_000, timeout_ns=60 * SECOND)


def virtual_plan(**changes):
    return plan_of(80, **({"limits": ROOMY} | changes))


def test_a_stall_is_seen_whole():
    """A server that stands still for the last 0.3 s of every second, asked evenly.

    Of all requests 30 % wait, each for a time that is uniform on [0, 0.3 s]: p90 = 0.2 s, p95 = 0.25 s, p99 = 0.29 s.
    """

    def still(at_ns):
        into = (at_ns - 10 * MILLISECOND) % SECOND
        return at_ns + SECOND - into if into >= 0.7 * SECOND else at_ns

    plan = virtual_plan(duration_s=10.0, pace=open_loop(500.0))
    record, _ = rehearsed(plan, servers=10_000, service=lambda _: MILLISECOND, still=still)
    total = record.total
    assert total.counts.succeeded == 5000
    for q, truth in ((0.5, 0.001), (0.9, 0.201), (0.95, 0.251), (0.99, 0.291)):
        assert total.latency.quantile_ns(q) / SECOND == pytest.approx(truth, rel=0.01, abs=0.0021)
    # A user who waits for the answer meets one slow request in a stall, and no percentile below p99.6 tells of it.
    closed, _ = rehearsed(replace(plan, pace=ClosedLoop(1)), servers=1, service=lambda _: MILLISECOND, still=still)
    assert closed.total.latency.quantile_ns(0.99) / SECOND == pytest.approx(0.001, rel=0.01)


def test_latencies_are_those_of_the_lindley_recursion():
    """One server: W' = max(0, W + S - A), for each request, to the nanosecond of the virtual clock."""
    draws = stream(1, "test/service").generator().exponential(2.0 * MILLISECOND, 20_000).astype(np.int64)
    plan = virtual_plan(duration_s=30.0, pace=open_loop(400.0, Process.POISSON))
    record, seen = rehearsed(plan, service=lambda exchange: int(draws[exchange.number]))
    seen = sorted(seen, key=lambda exchange: exchange.number)
    free, latencies = 0, []
    for exchange in seen:
        free = max(free, exchange.due_ns) + int(draws[exchange.number])
        latencies.append(free - exchange.due_ns)
    assert [exchange.done_ns - exchange.due_ns for exchange in seen] == pytest.approx(latencies, abs=2)
    for q in (0.5, 0.99):
        truth = np.quantile(latencies, q, method="inverted_cdf")
        assert record.total.latency.quantile_ns(q) == pytest.approx(truth, rel=0.01)
    assert record.total.lag.most_ns == 0


def test_a_closed_loop_has_one_request_of_each_user_at_most():
    plan = virtual_plan(pace=ClosedLoop(5), duration_s=1.0)
    record, seen = rehearsed(plan, servers=5, service=lambda _: 5 * MILLISECOND)
    # Each asks again as soon as it was answered: 200 times a second.
    assert record.total.counts.succeeded == 5 * 200
    spans = sorted((exchange.sent_ns, exchange.done_ns) for exchange in seen)
    assert max(sum(begin <= at < end for begin, end in spans) for at, _ in spans) == 5


def test_a_user_thinks_first_and_after_each_answer():
    plan = virtual_plan(pace=ClosedLoop(3, think_ns=100 * MILLISECOND), duration_s=1.0)
    record, seen = rehearsed(plan, servers=3, service=lambda _: 10 * MILLISECOND)
    begins = sorted({(exchange.sent_ns - 10 * MILLISECOND) // MILLISECOND for exchange in seen})
    assert begins == [100, 210, 320, 430, 540, 650, 760, 870, 980]
    assert record.total.counts.sent == 3 * 9


def test_thinking_times_are_drawn_by_user_and_turn():
    plan = virtual_plan(pace=ClosedLoop(4, think_ns=50 * MILLISECOND, exponential=True), duration_s=20.0)
    _, seen = rehearsed(plan, servers=4, service=lambda _: 1)
    _, again = rehearsed(plan, servers=4, service=lambda _: 1)
    assert [exchange.due_ns for exchange in seen] == [exchange.due_ns for exchange in again]
    gaps = np.diff([exchange.due_ns for exchange in seen if exchange.user == 2])
    assert gaps.mean() / MILLISECOND == pytest.approx(50, rel=0.2)
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.2)


def test_what_is_not_answered_in_time_is_a_time_out_and_what_finds_no_room_is_not_sent():
    limits = Limits(max_connections=10, max_in_flight=10, timeout_ns=SECOND)
    plan = virtual_plan(pace=open_loop(100.0), duration_s=2.0, limits=limits)
    record, _ = rehearsed(plan, service=lambda _: None)
    conserved(record)
    counts = record.total.counts
    assert (counts.scheduled, counts.succeeded) == (200, 0)
    assert set(counts.errors) == {"timeout"}
    assert set(counts.unsent) == {"no_connection"}
    assert record.total.latency.histogram.count == 200
    assert record.total.latency.least_ns >= SECOND


def test_stopped_it_answers_with_what_there_is():
    limits = Limits(max_connections=10, max_in_flight=10, timeout_ns=10 * SECOND)
    plan = virtual_plan(pace=open_loop(100.0), duration_s=30.0, limits=limits)
    record, _ = rehearsed(plan, service=lambda _: None, stop_at_s=0.5)
    conserved(record)
    counts = record.total.counts
    assert (counts.scheduled, counts.in_flight) == (50, 10)
    assert counts.unsent == {"stopped": 40}
    assert record.reached_ns == pytest.approx(0.5 * SECOND, abs=20 * MILLISECOND)


def test_the_deadline_ends_it():
    limits = Limits(max_connections=10, max_in_flight=10, timeout_ns=20 * SECOND, deadline_ns=400 * MILLISECOND)
    record, _ = rehearsed(virtual_plan(pace=open_loop(100.0), duration_s=30.0, limits=limits), service=lambda _: None)
    conserved(record)
    assert record.total.counts.in_flight == 10
    assert record.reached_ns < 500 * MILLISECOND


def test_it_ends_when_the_last_answer_has_come_and_not_before_its_time():
    """Twenty requests, the last due at 1.95 s; nine servers take 3 s each: the twentieth begins at 6.15 s."""
    record, _ = rehearsed(virtual_plan(pace=open_loop(10.0), duration_s=2.0), servers=9, service=lambda _: 3 * SECOND)
    assert record.total.counts.succeeded == 20
    assert (record.reached_ns, record.last_ns) == (2 * SECOND, 9.15 * SECOND)


def test_a_request_s_draws_hang_on_its_number_alone():
    """Another number of users, or of generators, leaves every request's body as it was."""
    bodies = tuple(b'{"row": %d}' % row for row in range(50))
    numbered = Transport(request_ids=True)

    def drawn(pace, share=None):
        plan = virtual_plan(pace=pace, payload=Payload(bodies), transport=numbered, seed=9, duration_s=1.0)
        _, seen = rehearsed(plan, share=share, servers=9)
        return {
            int(re.search(rb"X-Request-Id: (\d+)", each.wire)[1]): each.wire.rpartition(b"\r\n")[2] for each in seen
        }

    two, three = drawn(ClosedLoop(2)), drawn(ClosedLoop(3))
    one, third = drawn(open_loop(900.0)), drawn(open_loop(900.0), Share(1, 3))
    assert sorted(third) == list(range(1, 900, 3))
    for others in (three, one, third):
        common = two.keys() & others.keys()
        assert len(common) > 200
        assert all(two[number] == others[number] for number in common)


def test_generators_together_send_what_one_would():
    plan = virtual_plan(pace=open_loop(500.0, Process.POISSON), duration_s=4.0, seed=3)
    whole, _ = rehearsed(plan, servers=1000)
    parts = [rehearsed(plan, share=Share(number, 3), servers=1000)[0] for number in range(3)]
    merged = Record.merge(parts)
    assert merged.total.counts == whole.total.counts
    assert merged.total.latency.histogram == whole.total.latency.histogram
    assert {number: tally.counts for number, tally in merged.intervals.items()} == {
        number: tally.counts for number, tally in whole.intervals.items()
    }


def test_each_second_is_told_and_adds_up():
    told = []
    record, _ = rehearsed(virtual_plan(pace=open_loop(200.0), duration_s=3.3), servers=9, tell=told.append)
    assert [snapshot.second for snapshot in told] == [1, 2, 3, 3]
    assert [snapshot.counts.scheduled for snapshot in told] == [200, 200, 200, 60]
    assert sum(snapshot.latency.count for snapshot in told) == record.total.counts.scheduled == 660


def test_what_was_due_and_could_not_be_sent_when_it_stopped_is_counted():
    """A generator that is held up for a second, and then stopped: all that fell due meanwhile is not sent, and late."""
    plan = virtual_plan(pace=open_loop(1000.0), duration_s=10.0)
    record, _ = rehearsed(plan, servers=99, held_up_s=(0.5, 1.5), stop_at_s=1.4)
    conserved(record)
    counts = record.total.counts
    assert counts.scheduled == pytest.approx(1500, abs=1)
    assert counts.unsent == {"stopped": counts.scheduled - 500 - AT_ONCE}
    assert record.total.lag.most_ns == pytest.approx(SECOND, rel=0.02)


def test_a_deadline_that_cuts_it_short_is_told():
    limits = replace(ROOMY, deadline_ns=2 * SECOND)
    record, _ = rehearsed(virtual_plan(pace=open_loop(100.0), duration_s=10.0, limits=limits), servers=99)
    assert "cut short by its deadline, 2s after it began" in record.cut_short
    whole, _ = rehearsed(virtual_plan(pace=open_loop(100.0), duration_s=1.0, limits=limits), servers=99)
    assert whole.cut_short == ""


@pytest.mark.parametrize(
    ("connections", "flight", "generators", "weights", "expected"),
    [
        (10, 10, 1, (1,), [[10]]),
        (10, 4, 3, (1,), [[2], [1], [1]]),
        (8, 99, 2, (3, 1), [[3, 1], [3, 1]]),
        (5, 99, 2, (1, 1), [[2, 1], [1, 1]]),
    ],
)
def test_limits_are_of_the_whole_test_and_shared_out(connections, flight, generators, weights, expected):
    targets = tuple(Target(str(at), "http://127.0.0.1:80/", float(weight)) for at, weight in enumerate(weights))
    limits = Limits(max_connections=connections, max_in_flight=flight)
    plan = virtual_plan(limits=limits, targets=targets)
    found = [rooms(plan, Share(number, generators)) for number in range(generators)]
    assert found == expected
    assert sum(map(sum, found)) <= min(connections, flight)


def test_limits_that_leave_nothing_for_some_are_refused():
    with pytest.raises(
        InputError, match=r"--max-connections is 1, and each of 2 generators needs one.* give 2 or more"
    ):
        rooms(virtual_plan(limits=Limits(max_connections=1)), Share(1, 2))
