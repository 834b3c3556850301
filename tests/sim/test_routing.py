"""Where requests go: users that keep to an arm, classes, routes by header, copies, and users who never arrive."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.domain.fault import Errors, Fault, LatencyFactor, Lost
from harness.domain.model import Role
from harness.domain.service import Exponential, Fixed, Lognormal, Service
from harness.domain.traffic import RequestClass
from harness.domain.units import MILLISECOND, SECOND, WHOLE
from harness.sim import kernels as k
from harness.sim.cluster import ORDER
from harness.sim.plane import Mirror, RequestPlane
from harness.stats.histogram import Histogram
from tests.sim.test_kernels import figures, poisson, within

QUICK = Service(slots=4, service_time=Fixed(1e-6), queue=100)
BUSY = Service(slots=2, service_time=Lognormal(0.02, 0.2), timeout_ns=80 * MILLISECOND, queue=3)
USERS = 4000
BASELINE, STABLE, CANDIDATE = (ORDER.index(role) for role in (Role.BASELINE, Role.STABLE, Role.CANDIDATE))


def plane_of(*services, users=USERS, replicas=2, mirror=None, **more):
    plane = RequestPlane.build(seed=5, services=services, users=users, mirror=mirror, **more)
    for arm in range(len(services) - (mirror is not None)):  # copies have no replicas of their own
        for index in range(replicas):
            plane.start_replica(arm, index)
    return plane


class Asked:
    """A plane that can be asked who meets which arm: every user asks some thirty times."""

    def __init__(self, plane, users=USERS):
        self.plane, self.users = plane, users

    def arms(self, weights, *, sticky=True):
        """The users that each arm meets under these weights."""
        self.plane.set_sticky(sticky)
        self.plane.set_weights(weights)
        self.plane.users_from_now()
        start = self.plane.now_ns
        self.plane.advance(start + np.arange(30 * self.users, dtype=np.int64) * 1000, start + SECOND)
        return [set(np.flatnonzero(self.plane.users(arm) & k.LATELY).tolist()) for arm in range(len(weights))]


def split(baseline, candidate):
    weights = [0, 0, 0]
    weights[BASELINE], weights[STABLE], weights[CANDIDATE] = baseline, WHOLE - baseline - candidate, candidate
    return weights


# --- users ------------------------------------------------------------------------------------------------------------


def test_from_a_tenth_to_a_half_exactly_those_move_that_must():
    asked = Asked(plane_of(QUICK, QUICK))
    stable_before, before = asked.arms([9000, 1000])
    stable_after, after = asked.arms([5000, 5000])
    assert not stable_before & before
    assert not stable_after & after
    assert len(before | stable_before) == len(after | stable_after) == USERS
    assert before < after  # whoever was with the candidate stays
    assert within(len(after - before), USERS, 0.4)
    assert asked.arms([9000, 1000]) == [stable_before, before]  # and back: the same users as before


@settings(deadline=None, max_examples=25)
@given(
    shares=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000)), min_size=2, max_size=4),
    adopted=st.booleans(),
)
def test_nobody_moves_who_need_not_with_a_baseline_arm_either(shares, adopted):
    asked = Asked(plane_of(QUICK, QUICK, QUICK, users=300), users=300)
    if adopted:  # what was the candidate is stable now, and users stay by role
        asked.plane.exchange(STABLE, CANDIDATE)
    met = [asked.arms(split(*some)) for some in shares]
    for (one, before), (other, after) in itertools.pairwise(zip(shares, met, strict=True)):
        for arm, old, new in ((BASELINE, one[0], other[0]), (CANDIDATE, one[1], other[1])):
            larger, smaller = (after, before) if new >= old else (before, after)
            assert smaller[arm] <= larger[arm]
        if max(one[0], other[0]) + max(one[1], other[1]) <= WHOLE:
            assert not before[BASELINE] & after[CANDIDATE]
            assert not before[CANDIDATE] & after[BASELINE]


def test_who_is_not_kept_to_an_arm_meets_both():
    asked = Asked(plane_of(QUICK, QUICK))
    stable, candidate = asked.arms([5000, 5000], sticky=False)
    assert len(stable & candidate) > 0.999 * USERS


def test_of_users_who_are_lost_nothing_is_known_and_the_others_arm_is_as_it_was():
    seen = {}
    for share in (0.0, 0.3):
        asked = Asked(plane_of(QUICK, QUICK))
        asked.plane.set_faults(1, [Fault("", frozenset(), Lost(share))])
        users = asked.arms([5000, 5000])
        seen[share] = users, asked.plane.take()
    (whole, tallies), (left, fewer) = seen[0.0], seen[0.3]
    assert left[0] == whole[0]
    assert left[1] < whole[1]
    assert within(len(left[1]), len(whole[1]), 0.7)
    assert figures(fewer[0]) == figures(tallies[0])
    # Of requests the share is that of their users, who ask alike: a user is lost with all that it would have asked.
    assert fewer[1].arrivals / tallies[1].arrivals == pytest.approx(len(left[1]) / len(whole[1]), rel=0.02)
    assert fewer[1].arrivals == fewer[1].ok


def test_without_users_it_is_requests_that_are_lost():
    plane = plane_of(QUICK, users=0)
    plane.set_faults(0, [Fault("", frozenset(), Lost(0.3))])
    plane.advance(np.arange(100_000, dtype=np.int64) * 1000, SECOND)
    assert within(plane.take()[0].arrivals, 100_000, 0.7)


# --- classes and routes -----------------------------------------------------------------------------------------------

KINDS = (RequestClass("plain", 0.7), RequestClass("slow", 0.2, factor=3.0), RequestClass("beta", 0.1))
MEMBERS = (np.arange(10, dtype=np.int64), np.array([2, 3, 5]), np.array([7, 11]))


def classed(service=QUICK, **more):
    return plane_of(service, service, rows=12, classes=KINDS, members=MEMBERS, **more)


def test_classes_come_in_their_shares_and_the_shares_can_change():
    plane = classed()
    for shares in ((0.7, 0.2, 0.1), (0.05, 0.9, 0.05), (0.0, 0.0, 1.0)):
        plane.set_classes(shares)
        start = plane.now_ns
        plane.advance(start + np.arange(100_000, dtype=np.int64) * 1000, start + SECOND)
        found = plane.take()[0].classes
        assert all(within(found[kind.name].arrivals, 100_000, share) for kind, share in zip(KINDS, shares, strict=True))
        assert sum(tally.arrivals for tally in found.values()) == 100_000


def test_a_class_asks_its_own_rows_evenly():
    plane = classed()
    for number, (kind, rows) in enumerate(zip(KINDS, MEMBERS, strict=True)):
        plane.set_classes([float(number == other) for other in range(len(KINDS))])
        start = plane.now_ns
        plane.advance(start + np.arange(50_000, dtype=np.int64) * 1000, start + SECOND)
        answered = plane.take()[0].answered[0]
        assert set(np.flatnonzero(answered)) == set(rows.tolist()), kind.name
        assert all(within(int(answered[row]), 50_000, 1 / len(rows)) for row in rows)


def test_a_class_takes_so_many_times_as_long():
    plane = classed(Service(slots=4, service_time=Fixed(0.001), queue=100))
    plane.advance(np.arange(1000, dtype=np.int64) * MILLISECOND, 2 * SECOND)
    found = plane.take()[0].classes
    assert found["slow"].latency == Histogram.of([3 * MILLISECOND] * found["slow"].arrivals)
    assert found["plain"].latency == Histogram.of([MILLISECOND] * found["plain"].arrivals)


@settings(deadline=None, max_examples=25)
@given(rate=st.integers(50, 1500), weight=st.integers(0, WHOLE), errors=st.floats(0, 1))
def test_what_the_classes_met_adds_up_to_what_the_arm_met(rate, weight, errors):
    plane = classed(BUSY)
    plane.set_weights([WHOLE - weight, weight])
    plane.set_faults(0, [Fault("", frozenset(), Errors(errors))])
    arrivals = poisson(rate, 2 * SECOND)
    for start, stop in itertools.pairwise((0, SECOND // 3, SECOND, 3 * SECOND)):
        plane.advance(arrivals[(start <= arrivals) & (arrivals < stop)], stop)
        for tally in plane.take():
            kinds = tally.classes.values()
            assert sum(kind.arrivals for kind in kinds) == tally.arrivals
            assert sum(kind.ok for kind in kinds) == tally.ok
            assert sum(kind.failed for kind in kinds) == tally.failed
            assert sum((kind.latency for kind in kinds), Histogram()) == tally.latency


@settings(deadline=None, max_examples=25)
@given(weight=st.one_of(st.just(0), st.just(WHOLE), st.integers(0, WHOLE)), sticky=st.booleans())
def test_a_route_by_header_takes_all_of_its_class_and_nothing_else(weight, sticky):
    counts = {}
    for route in (None, 1, 0):
        plane = classed()
        plane.set_weights([WHOLE - weight, weight])
        plane.set_sticky(sticky)
        plane.set_route("beta", route)
        plane.advance(np.arange(20_000, dtype=np.int64) * 1000, SECOND)
        counts[route] = [{name: each.arrivals for name, each in tally.classes.items()} for tally in plane.take()]
    everywhere = sum(arm["beta"] for arm in counts[None])
    for route in (1, 0):
        assert (counts[route][route]["beta"], counts[route][1 - route]["beta"]) == (everywhere, 0)
        for name in ("plain", "slow"):
            assert [arm[name] for arm in counts[route]] == [arm[name] for arm in counts[None]]


# --- copies -----------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(
    rate=st.integers(50, 1500),
    share=st.integers(1, WHOLE),
    baseline=st.integers(0, WHOLE),
    killed=st.booleans(),
    slow=st.floats(1, 20),
)
def test_copies_change_nothing_for_users(rate, share, baseline, killed, slow):
    """Where the candidate answers copies alone: stable, a baseline and their users meet the same to the byte."""
    found = {}
    for mirror in (0, share):
        more = {"classes": KINDS, "rows": 12, "members": MEMBERS, "label_share": 0.4}
        plane = plane_of(BUSY, BUSY, BUSY, BUSY, mirror=Mirror(STABLE, CANDIDATE, 3), **more)
        plane.set_weights([baseline, WHOLE - baseline, 0, 0])
        plane.set_faults(STABLE, [Fault("", frozenset(), Errors(0.2))])
        plane.set_faults(3, [Fault("", frozenset(), LatencyFactor(slow))])
        plane.set_mirror(mirror)
        arrivals = poisson(rate, 2 * SECOND)
        plane.advance(arrivals[arrivals < SECOND], SECOND)
        if killed:
            plane.kill(CANDIDATE, 0)
        plane.advance(arrivals[arrivals >= SECOND], 2 * SECOND)
        tallies = plane.take()
        users = [plane.users(arm).tolist() for arm in (BASELINE, STABLE)]
        kinds = [repr(tallies[arm].classes) for arm in (BASELINE, STABLE)]
        flying = [plane.in_flight(arm) for arm in (BASELINE, STABLE)]
        found[mirror] = [figures(tallies[arm]) for arm in (BASELINE, STABLE)], users, kinds, flying
        copies = tallies[3]
        assert within(copies.arrivals, tallies[STABLE].arrivals, mirror / WHOLE)
        assert copies.arrivals == copies.ok + copies.failed + plane.in_flight(3)
        assert copies.busy_ns == tallies[CANDIDATE].arrivals == 0
        assert (tallies[CANDIDATE].busy_ns > 0) == (copies.wait_count > 0)
    assert found[0] == found[share]


def test_a_request_that_never_came_has_no_copy():
    plane = plane_of(QUICK, QUICK, QUICK, mirror=Mirror(0, 1, 2))
    plane.set_faults(0, [Fault("", frozenset(), Lost(0.4))])
    plane.set_mirror(WHOLE)
    plane.advance(np.arange(20_000, dtype=np.int64) * 1000, SECOND)
    stable, _, copies = plane.take()
    assert copies.arrivals == stable.arrivals
    assert within(stable.arrivals, 20_000, 0.6, sigmas=20)  # of users, who ask five times each


def test_copies_take_the_room_that_the_candidates_own_users_would_have():
    """The offered load of the candidate's slots is that of its users and of its copies."""
    law = Service(slots=4, service_time=Exponential(0.02), timeout_ns=10 * SECOND, queue=1000)
    plane = plane_of(law, law, law, mirror=Mirror(0, 1, 2), replicas=4)
    plane.set_weights([8000, 2000, 0])
    plane.set_mirror(5000)
    plane.advance(poisson(400, 200 * SECOND), 200 * SECOND)
    _, candidate, _ = plane.take()
    assert candidate.busy_ns / (200 * SECOND) == pytest.approx(400 * (0.2 + 0.8 * 0.5) * 0.02, rel=0.03)
