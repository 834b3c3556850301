"""Injected faults: as strong as `Fault.strength` says at the time a request arrives."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.domain.fault import Crash, Errors, Fault, LatencyAdd, LatencyFactor
from harness.domain.service import Fixed, Service
from harness.domain.units import SECOND, WHOLE
from harness.sim.plane import RequestPlane
from harness.stats.histogram import Histogram

WIDE = Service(slots=4, service_time=Fixed(0.01), timeout_ns=1000 * SECOND, queue=0)


def plane_with(faults, service=WIDE):
    plane = RequestPlane.build(seed=3, services=[service, service])
    for arm in (0, 1):
        plane.start_replica(arm, 0)
    plane.set_faults(1, faults)
    plane.set_weights([0, WHOLE])
    return plane


def latency_ns(faults, at_ns):
    """What one request that arrives then takes."""
    plane = plane_with(faults)
    plane.advance(np.array([at_ns], np.int64), at_ns + 1000 * SECOND)
    return plane.take()[1].latency.sum_ns


TIMES = st.integers(0, 100 * SECOND)
FAULTS = st.builds(
    Fault,
    text=st.just(""),
    on=st.just(frozenset()),
    effect=st.one_of(
        st.builds(LatencyFactor, st.floats(0, 10)), st.builds(LatencyAdd, st.floats(0, 1)), st.builds(Crash, st.just(1))
    ),
    at_ns=TIMES,
    ramp_ns=TIMES,
    until_ns=st.one_of(st.none(), TIMES),
)


@settings(deadline=None)
@given(faults=st.lists(FAULTS, max_size=4), at_ns=TIMES)
def test_latency_follows_the_strength_at_arrival(faults, at_ns):
    factor, added_s = 1.0, 0.0
    for fault in faults:
        match fault.effect:
            case LatencyFactor(value):
                factor *= 1 + (value - 1) * fault.strength(at_ns)
            case LatencyAdd(value):
                added_s += value * fault.strength(at_ns)
    assert latency_ns(faults, at_ns) == pytest.approx((0.01 * factor + added_s) * SECOND, abs=1, rel=1e-9)


@pytest.mark.parametrize(
    ("faults", "share"),
    [
        ([Errors(0.0)], 0.0),
        ([Errors(0.05)], 0.05),
        ([Errors(0.5), Errors(0.5)], 0.75),
        ([Errors(1.0)], 1.0),
    ],
)
def test_errors_take_their_share_and_join_as_independent(faults, share):
    plane = plane_with([Fault("", frozenset(), effect) for effect in faults])
    plane.advance(np.arange(200_000, dtype=np.int64) * 10_000_000, 3000 * SECOND)
    stable, tally = plane.take()
    assert stable.arrivals == 0
    assert abs(tally.errors.get("error", 0) - 200_000 * share) <= 4.5 * (200_000 * share * (1 - share)) ** 0.5
    # An error takes its full service, and its client's time is counted.
    assert tally.latency == Histogram.of(np.full(200_000, 10_000_000))


def test_errors_rise_along_the_ramp():
    plane = plane_with([Fault("", frozenset(), Errors(0.4), at_ns=0, ramp_ns=1000 * SECOND)])
    seen = []
    for stop in range(1, 11):
        start = (stop - 1) * 100 * SECOND
        plane.advance(start + np.arange(25_000, dtype=np.int64) * 4_000_000, stop * 100 * SECOND)
        seen.append(plane.take()[1].errors.get("error", 0) / 25_000)
    assert seen == pytest.approx([0.02 + 0.04 * step for step in range(10)], abs=0.012)


def test_other_draws_stay_as_they_are_when_a_fault_is_added():
    """A request that errs at 10 % errs at 20 % too, and nothing else about it changes."""
    runs = []
    for share in (0.1, 0.2):
        plane = plane_with([Fault("", frozenset(), Errors(share))], replace(WIDE, queue=100))
        plane.advance(np.arange(10_000, dtype=np.int64) * 2_490_000, 3000 * SECOND)
        runs.append(plane.take()[1])
    few, many = runs
    assert few.errors["error"] < many.errors["error"]
    assert (few.latency, few.wait_sum_ns, few.busy_ns) == (many.latency, many.wait_sum_ns, many.busy_ns)


def test_faults_can_be_taken_back():
    plane = plane_with([Fault("", frozenset(), Errors(1.0)), Fault("", frozenset(), LatencyFactor(9.0))])
    plane.set_faults(1, [])
    plane.advance(np.array([0]), SECOND)
    tally = plane.take()[1]
    assert (tally.ok, tally.latency.sum_ns) == (1, 10_000_000)
