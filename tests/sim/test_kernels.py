"""The request plane: nothing is lost, nothing depends on how time is cut, every share is what was asked for."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.domain.fault import Errors, Fault, LatencyAdd, LatencyFactor
from harness.domain.service import Balancing, Exponential, Fixed, Lognormal, Service
from harness.domain.units import MILLISECOND, SECOND, WHOLE
from harness.seeds import stream
from harness.sim.plane import NEVER, RequestPlane
from harness.stats.histogram import Histogram

SMALL = Service(slots=2, service_time=Lognormal(0.02, 0.2), timeout_ns=80 * MILLISECOND, queue=3)


def build(*services, replicas=2, weights=None, **more):
    plane = RequestPlane.build(seed=5, services=services, **more)
    for arm in range(len(services)):
        for index in range(replicas):
            plane.start_replica(arm, index)
    plane.set_weights(weights or [WHOLE] + [0] * (len(services) - 1))
    return plane


def poisson(rate_per_s, stop_ns, name="arrivals"):
    """Sorted times of a Poisson process in [0, stop)."""
    draw = stream(5, name).generator()
    count = draw.poisson(rate_per_s * stop_ns / SECOND)
    return np.sort(draw.integers(0, stop_ns, count))


def figures(tally):
    """A tally as plain values, so that equal means equal in every figure."""
    rows = [{level: cells.tolist() for level, cells in some.items()} for some in (tally.answered, tally.labelled)]
    counts = (tally.arrivals, tally.ok, dict(tally.errors), tally.wait_sum_ns, tally.wait_count, tally.busy_ns)
    return counts, tally.latency.to_dict(), rows


# --- cutting time -----------------------------------------------------------------------------------------------------

END = 2 * SECOND
CONTROL = (300 * MILLISECOND, 700 * MILLISECOND, 1100 * MILLISECOND)
FAULTS = [
    Fault("", frozenset(), LatencyFactor(3.0), at_ns=250 * MILLISECOND, ramp_ns=500 * MILLISECOND, until_ns=SECOND),
    Fault("", frozenset(), LatencyAdd(0.01), at_ns=500 * MILLISECOND),
    Fault("", frozenset(), Errors(0.2), at_ns=100 * MILLISECOND, ramp_ns=SECOND),
]


def rehearse(balancing, cuts):
    """Two seconds with changes at the same times, however they are cut; what was seen between the changes."""
    services = [replace(SMALL, balancing=balancing), replace(SMALL, balancing=balancing, slots=5, queue=0)]
    plane = build(*services, replicas=3, weights=[7000, 3000], rows=50, label_share=0.4)
    plane.set_faults(1, FAULTS)
    plane.start_replica(0, 1, dies_at_ns=800 * MILLISECOND)
    changes = {
        CONTROL[0]: lambda: (plane.set_weights([2000, 8000]), plane.set_level(1, 3)),
        CONTROL[1]: lambda: (plane.drain(1, 0), plane.start_replica(0, 7), plane.set_faults(0, FAULTS[:1])),
        CONTROL[2]: lambda: (plane.start_replica(0, 1), plane.set_level(0, 15), plane.drain(0, 0)),
    }
    arrivals = poisson(2000, END)
    seen, last = [], 0
    for stop in sorted({*cuts, *CONTROL, END}):
        plane.advance(arrivals[np.searchsorted(arrivals, last) : np.searchsorted(arrivals, stop)], stop)
        last = stop
        if stop in CONTROL or stop == END:
            changes.get(stop, lambda: None)()
            waiting = [plane.waiting(arm, stop) for arm in (0, 1)]
            seen.append(([figures(tally) for tally in plane.take()], waiting, [plane.in_flight(arm) for arm in (0, 1)]))
    return seen


@pytest.mark.parametrize("balancing", Balancing)
@settings(deadline=None, max_examples=25)
@given(cuts=st.sets(st.integers(1, END - 1), max_size=40))
def test_results_do_not_depend_on_how_time_is_cut(balancing, cuts):
    assert rehearse(balancing, cuts) == rehearse(balancing, set())


def test_the_rehearsal_sees_every_kind_of_outcome():
    counts = [tally[0] for tallies, _, _ in rehearse(Balancing.TWO_CHOICES, set()) for tally in tallies]
    assert set().union(*(errors for _, _, errors, *_ in counts)) == {"error", "timeout", "rejected", "crash"}
    assert sum(ok for _, ok, *_ in counts) > 500


# --- nothing is lost --------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    rate=st.integers(1, 5000),
    weight=st.integers(0, WHOLE),
    timeout_ms=st.integers(1, 500),
    queue=st.integers(0, 40),
    slots=st.integers(1, 9),
    replicas=st.integers(0, 4),
    share=st.floats(0, 1),
    stops=st.sets(st.integers(1, 3000), min_size=1, max_size=10),
)
def test_every_arrival_has_one_outcome_or_is_in_flight(rate, weight, timeout_ms, queue, slots, replicas, share, stops):
    service = replace(SMALL, timeout_ns=timeout_ms * MILLISECOND, queue=queue, slots=slots)
    plane = build(service, service, replicas=replicas, weights=[weight, WHOLE - weight], rows=7, label_share=share)
    plane.set_faults(0, [Fault("", frozenset(), Errors(share))])
    arrivals = poisson(rate, 3 * SECOND)
    arrived, settled, last = [0, 0], [0, 0], 0
    for stop_ns in sorted(stop * MILLISECOND for stop in stops):
        fresh = arrivals[np.searchsorted(arrivals, last) : np.searchsorted(arrivals, stop_ns)]
        plane.advance(fresh, stop_ns)
        last = stop_ns
        for arm, tally in enumerate(plane.take()):
            arrived[arm] += tally.arrivals
            settled[arm] += tally.ok + tally.failed
            assert tally.latency.count == tally.ok + tally.errors.get("error", 0) + tally.errors.get("timeout", 0)
            assert sum(int(cells.sum()) for cells in tally.answered.values()) == tally.ok
            assert all((tally.labelled[level] <= cells).all() for level, cells in tally.answered.items())
            assert arrived[arm] == settled[arm] + plane.in_flight(arm)
            assert 0 <= tally.busy_ns <= replicas * slots * stop_ns
        assert sum(arrived) == np.searchsorted(arrivals, stop_ns)
    plane.advance(np.zeros(0, np.int64), 10 * SECOND)
    assert [plane.in_flight(arm) for arm in (0, 1)] == [0, 0]


def test_an_outcome_is_recorded_when_the_client_sees_it():
    plane = build(replace(SMALL, service_time=Fixed(0.05)))
    plane.advance(np.array([10 * MILLISECOND]), 60 * MILLISECOND)
    (tally,) = plane.take()
    assert (tally.arrivals, tally.ok, plane.in_flight(0)) == (1, 0, 1)
    plane.advance(np.zeros(0, np.int64), 60 * MILLISECOND + 1)
    (tally,) = plane.take()
    assert (tally.arrivals, tally.ok, plane.in_flight(0)) == (0, 1, 0)
    assert tally.latency == Histogram.of([50 * MILLISECOND])


def test_more_in_flight_than_there_is_room_for_at_first():
    slow = Service(slots=4, service_time=Fixed(100.0), timeout_ns=200 * SECOND, queue=10_000)
    plane = build(slow, replicas=1)
    plane.advance(np.arange(5000, dtype=np.int64), 5000)
    assert plane.in_flight(0) == 5000
    assert plane.waiting(0, 5000) == 4996
    plane.advance(np.zeros(0, np.int64), 201 * SECOND)
    (tally,) = plane.take()
    assert (tally.ok, tally.errors) == (8, {"timeout": 4992})


def test_busy_time_is_what_lies_within_the_window():
    plane = build(replace(SMALL, service_time=Fixed(0.05)), replicas=1)
    plane.advance(np.array([0, 0, 0]), 20 * MILLISECOND)
    assert plane.take()[0].busy_ns == 2 * 20 * MILLISECOND
    plane.advance(np.zeros(0, np.int64), 70 * MILLISECOND)
    assert plane.take()[0].busy_ns == (2 * 30 + 20) * MILLISECOND
    plane.advance(np.zeros(0, np.int64), SECOND)
    assert plane.take()[0].busy_ns == 30 * MILLISECOND


def test_time_gone_by_changes_nothing_and_arrivals_outside_are_refused():
    plane = build(SMALL)
    plane.advance(np.array([3]), 10)
    plane.advance(np.zeros(0, np.int64), 4)
    assert plane.now_ns == 10
    for outside in (9, 20):
        with pytest.raises(ValueError, match="not in"):
            plane.advance(np.array([outside]), 20)


# --- shares -----------------------------------------------------------------------------------------------------------


def within(count, whole, share, sigmas=4.5):
    """Whether a binomial count is where it should be."""
    return abs(count - whole * share) <= sigmas * math.sqrt(whole * share * (1 - share)) + 1e-9


@pytest.mark.parametrize("weights", [[WHOLE, 0], [0, WHOLE], [9999, 1], [9000, 1000], [2500, 7500]])
def test_weights_split_the_requests(weights):
    plane = build(SMALL, SMALL, weights=weights)
    plane.advance(np.arange(1_000_000, dtype=np.int64) * 1000, 2 * SECOND)
    for tally, weight in zip(plane.take(), weights, strict=True):
        assert within(tally.arrivals, 1_000_000, weight / WHOLE)


def test_a_weight_raised_takes_requests_from_the_others_and_gives_none_back():
    """The same request draws the same number, so what went to the candidate at 10 % still goes there at 25 %."""

    def candidate(weight):
        return [
            number
            for number in range(300)
            if _alone(build(SMALL, SMALL, weights=[WHOLE - weight, weight]), number)[1].arrivals
        ]

    assert set(candidate(1000)) < set(candidate(2500))


def _alone(plane, number):
    plane.advance(np.zeros(number, np.int64), SECOND)
    plane.take()
    plane.advance(np.array([SECOND]), 2 * SECOND)
    return plane.take()


@pytest.mark.parametrize("weights", [[WHOLE], [5000, 4000], [11000, -1000]])
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(ValueError, match="sum to 10000"):
        build(SMALL, SMALL).set_weights(weights)


def test_rows_and_labels_are_drawn_evenly():
    service = Service(slots=4, service_time=Fixed(1e-6), queue=100)
    plane = build(service, rows=20, label_share=0.3)
    plane.advance(np.arange(400_000, dtype=np.int64) * 10_000, 5 * SECOND)
    (tally,) = plane.take()
    assert list(tally.answered) == [0]
    assert all(within(count, 400_000, 1 / 20) for count in tally.answered[0].tolist())
    assert within(int(tally.labelled[0].sum()), 400_000, 0.3)


def test_answers_count_for_the_level_of_their_arrival():
    plane = build(replace(SMALL, service_time=Fixed(0.01)), rows=3)
    plane.advance(np.array([0]), 5 * MILLISECOND)
    plane.set_level(0, 6)
    plane.advance(np.array([6 * MILLISECOND]), SECOND)
    (tally,) = plane.take()
    assert {level: int(cells.sum()) for level, cells in tally.answered.items()} == {0: 1, 6: 1}
    with pytest.raises(ValueError, match="0 to 15"):
        plane.set_level(0, 16)


# --- replicas ---------------------------------------------------------------------------------------------------------


def test_without_a_replica_requests_fail_at_once():
    plane = build(SMALL, SMALL, replicas=0, weights=[0, WHOLE])
    plane.advance(np.arange(10, dtype=np.int64), SECOND)
    stable, candidate = plane.take()
    assert (stable.arrivals, candidate.arrivals, candidate.errors) == (0, 10, {"no_replica": 10})
    assert candidate.latency == Histogram()
    assert plane.shortest_wait(1, SECOND) is None


def test_a_drained_replica_finishes_what_it_has():
    plane = build(replace(SMALL, service_time=Fixed(0.05)), replicas=1)
    plane.advance(np.array([0, 0, 0]), MILLISECOND)
    plane.drain(0, 0)
    assert plane.idle_at_ns(0, 0) == 100 * MILLISECOND
    plane.advance(np.array([MILLISECOND]), SECOND)
    (tally,) = plane.take()
    # The third waited 50 ms and was cut off by its time-out; its slot was busy to the end all the same.
    assert (tally.ok, tally.errors) == (2, {"timeout": 1, "no_replica": 1})
    assert tally.busy_ns == 150 * MILLISECOND


def test_a_crash_loses_what_is_there_and_the_restarted_replica_is_empty():
    plane = build(replace(SMALL, service_time=Fixed(0.05), timeout_ns=SECOND), replicas=0)
    plane.start_replica(0, 0, dies_at_ns=60 * MILLISECOND)
    plane.advance(np.array([0, 0, MILLISECOND, MILLISECOND]), 60 * MILLISECOND)
    assert plane.in_flight(0) == 2
    plane.drain(0, 0)
    plane.advance(np.array([61 * MILLISECOND]), 70 * MILLISECOND)
    (tally,) = plane.take()
    assert (tally.ok, tally.errors, tally.busy_ns) == (2, {"crash": 2, "no_replica": 1}, 120 * MILLISECOND)
    plane.start_replica(0, 0)
    plane.advance(np.array([70 * MILLISECOND]), SECOND)
    (tally,) = plane.take()
    assert (tally.ok, tally.latency) == (1, Histogram.of([50 * MILLISECOND]))


def test_the_shortest_wait_is_that_of_the_next_request():
    plane = build(replace(SMALL, service_time=Fixed(0.05), queue=1), replicas=2)
    assert plane.shortest_wait(0, 0) == 0
    plane.advance(np.zeros(4, np.int64), MILLISECOND)
    assert plane.shortest_wait(0, MILLISECOND) == 49 * MILLISECOND
    assert plane.busy_slots(0, MILLISECOND) == 4
    plane.advance(np.full(2, MILLISECOND), 2 * MILLISECOND)
    assert plane.waiting(0, 2 * MILLISECOND) == 2
    assert plane.shortest_wait(0, 2 * MILLISECOND) is None


def test_replicas_and_arms_grow_as_needed():
    plane = build(SMALL, SMALL, SMALL, replicas=40, weights=[4000, 3000, 3000])
    plane.start_replica(1, 99)
    assert [plane.replicas(arm) for arm in range(3)] == [40, 100, 40]
    plane.advance(np.arange(100_000, dtype=np.int64) * 1000, 10 * SECOND)
    tallies = plane.take()
    assert all(tally.ok + tally.failed == tally.arrivals for tally in tallies)
    assert plane.advance(np.zeros(0, np.int64), NEVER - 1) is None


# --- balancing --------------------------------------------------------------------------------------------------------


def test_the_more_a_policy_knows_the_shorter_the_waits():
    """Mitzenmacher 2001: two choices are far better than one; knowing all is better still."""
    service = Service(slots=1, service_time=Exponential(0.01), timeout_ns=100 * SECOND, queue=100_000)
    arrivals = poisson(900, 400 * SECOND)
    waits = {}
    for balancing in Balancing:
        plane = build(replace(service, balancing=balancing), replicas=10)
        plane.advance(arrivals, 400 * SECOND)
        (tally,) = plane.take()
        waits[balancing] = tally.wait_sum_ns / tally.wait_count
    assert waits[Balancing.RANDOM] > 2 * waits[Balancing.TWO_CHOICES]
    assert waits[Balancing.RANDOM] > waits[Balancing.ROUND_ROBIN] > waits[Balancing.LEAST_OUTSTANDING]
    assert waits[Balancing.TWO_CHOICES] > waits[Balancing.LEAST_OUTSTANDING]


def test_round_robin_takes_turns():
    plane = build(replace(SMALL, service_time=Fixed(1e-6), balancing=Balancing.ROUND_ROBIN), replicas=3)
    plane.advance(np.zeros(6, np.int64), 1)
    assert [plane.idle_at_ns(0, index) for index in range(3)] == [1000, 1000, 1000]
    assert plane.busy_slots(0, 1) == 6
