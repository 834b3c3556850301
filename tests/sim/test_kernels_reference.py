"""The compiled queue against a slow one that was written from its description: event by event, request by request.

Times are a few nanoseconds, so that a request comes, another ends, a third gives up and a replica dies at one instant.
"""

import heapq
import itertools
from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.domain.fault import Fault, Lost
from harness.domain.service import Balancing, Exponential, Fixed, Lognormal, Service
from harness.domain.traffic import RequestClass
from harness.domain.units import WHOLE
from harness.seeds import stream
from harness.sim import kernels as k
from harness.sim.plane import NEVER, Mirror, RequestPlane
from harness.sim.service import table_of
from harness.stats.histogram import BIAS, SHIFT, Histogram

MASK = 2**64 - 1
SEED = 11


def mix(counter: int) -> int:
    counter = ((counter ^ (counter >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    counter = ((counter ^ (counter >> 27)) * 0x94D049BB133111EB) & MASK
    return counter ^ (counter >> 31)


def drawn(purpose: str, number: int, *, copy: bool = False, other: bool = False) -> int:
    """A request's draw, its copy's, or a second one for the same purpose."""
    key = stream(SEED, f"requests/{purpose}").key64
    if copy:
        key ^= stream(SEED, "requests/copy").key64
    return mix(((key ^ MASK if other else key) + number * 0x9E3779B97F4A7C15) & MASK)


def service_ns(service: Service, number: int, *, copy: bool = False, factor: float = 1.0) -> int:
    survival = float((drawn("service", number, copy=copy) >> 11) | 1)
    piece = (int(np.float64(survival).view(np.int64)) >> SHIFT) - BIAS
    value, slope = table_of(service.service_time)[piece]
    return int((value + slope * survival) * factor + 0.5)


@dataclass
class Replica:
    dies_ns: int
    busy: int = 0
    waiting: deque = field(default_factory=deque)


@dataclass
class Seen:
    arrivals: int = 0
    kinds: Counter = field(default_factory=Counter)
    latencies: list = field(default_factory=list)
    waits: list = field(default_factory=list)
    busy_ns: int = 0
    classes: Counter = field(default_factory=Counter)
    """By class and what became of its requests."""
    met: set = field(default_factory=set)
    harmed: set = field(default_factory=set)


@dataclass(frozen=True)
class World:
    """Who asks what. Copies are of the first arm's requests, and are answered by the second's replicas."""

    users: int = 0
    sticky: bool = False
    classes: tuple[RequestClass, ...] = ()
    routes: tuple[int | None, ...] = ()
    """Where each class is sent by its header."""
    mirror: int | None = None
    lost: tuple[float, ...] = (0.0, 0.0, 0.0)
    """Share of the users sent to each arm who never get there."""

    def user(self, number: int) -> int:
        return (drawn("user", number) >> 32) * self.users >> 32

    def kind(self, number: int) -> int:
        edges = np.cumsum([kind.share for kind in self.classes])[:-1]
        return sum((drawn("class", number) >> 2) >= int(edge * 2**62) for edge in edges)

    def arm(self, number: int, weights: list[int]) -> int:
        if self.classes and (routed := self.routes[self.kind(number)]) is not None:
            return routed
        share = drawn("arm", self.user(number) if self.sticky else number) >> 2
        return sum(share >= int(edge) * 2**62 // WHOLE for edge in np.cumsum(weights)[:-1])

    def loses(self, number: int, arm: int) -> bool:
        who = self.user(number) if self.users else number
        return (drawn("user", who, other=True) >> 2) < self.lost[arm] * 2**62

    def copies(self, number: int) -> bool:
        return self.mirror is not None and (drawn("mirror", number) >> 2) < self.mirror * 2**62 // WHOLE


PLAIN = World()


# What happens first at one instant: services end (and the next begin), clients give up, replicas die, requests come.
END, GIVE_UP, DIE, COME = range(4)
COPIES = 2
"""The arm that copies are counted for, where there are two arms and a mirror."""


def simulate(
    arms: list[Service], weights: list[int], deaths: list[list[int]], arrivals: list[int], world: World = PLAIN
) -> list[Seen]:
    """What each arm's clients see in the end, and what the copies met where there are any."""
    seen = [Seen() for _ in [*arms, *[None] * (world.mirror is not None)]]
    copies = COPIES if world.mirror is not None else None
    replicas = [[Replica(dies) for dies in deaths[arm]] for arm in range(len(arms))]
    turns = [0 for _ in seen]
    # (time, order, tie breaker, request, arm, replica); a request is settled once its outcome is known.
    events = [(at, COME, number, number, 0, 0) for number, at in enumerate(arrivals)]
    events += [
        (replica.dies_ns, DIE, 0, 0, arm, index)
        for arm, some in enumerate(replicas)
        for index, replica in enumerate(some)
        if replica.dies_ns < NEVER
    ]
    heapq.heapify(events)
    settled = {}
    held: dict[tuple[int, int], list[tuple[int, int]]] = {}

    def settle(number: int, arm: int, kind: str, at: int) -> None:
        if (number, arm == copies) not in settled:
            settled[number, arm == copies] = kind
            seen[arm].kinds[kind] += 1
            if world.classes:
                seen[arm].classes[world.kind(number), kind == "ok"] += 1
            if kind != "ok" and world.users:
                seen[arm].harmed.add(world.user(number))
            if kind in {"ok", "timeout"}:
                seen[arm].latencies.append(at - arrivals[number])

    def begin(number: int, arm: int, index: int, at: int) -> None:
        replica = replicas[owner(arm)][index]
        replica.busy += 1
        seen[arm].waits.append(at - arrivals[number])
        factor = world.classes[world.kind(number)].factor if world.classes else 1.0
        end = at + service_ns(arms[owner(arm)], number, copy=arm == copies, factor=factor)
        seen[owner(arm)].busy_ns += min(end, replica.dies_ns) - at
        if end <= replica.dies_ns:
            heapq.heappush(events, (end, END, number, number, arm, index))
        else:
            held.setdefault((owner(arm), index), []).append((number, arm))

    def owner(arm: int) -> int:
        return 1 if arm == copies else arm

    def come(number: int, arm: int, at: int) -> None:
        copy, service, ours = arm == copies, arms[owner(arm)], replicas[owner(arm)]
        seen[arm].arrivals += 1
        if world.users:
            seen[arm].met.add(world.user(number))
        if not ours:
            settle(number, arm, "no_replica", at)
            return
        index = pick(service.balancing, ours, drawn("replica", number, copy=copy), turns, arm)
        replica = ours[index]
        if at >= replica.dies_ns:
            settle(number, arm, "crash", at)
        elif replica.busy < service.slots:
            begin(number, arm, index, at)
        elif len(replica.waiting) >= service.queue:
            settle(number, arm, "rejected", at)
            return
        else:
            replica.waiting.append((number, arm))
        heapq.heappush(events, (at + service.timeout_ns, GIVE_UP, number, number, arm, index))

    while events:
        at, order, _, number, arm, index = heapq.heappop(events)
        if order == COME:
            arm = world.arm(number, weights)
            if world.loses(number, arm):
                continue
            come(number, arm, at)
            if arm == 0 and world.copies(number):
                come(number, copies, at)
        elif order == END:
            replica = replicas[owner(arm)][index]
            replica.busy -= 1
            settle(number, arm, "ok", at)
            if replica.waiting and at < replica.dies_ns:
                begin(*replica.waiting.popleft(), index, at)
        elif order == GIVE_UP:
            settle(number, arm, "timeout", at)
            if (number, arm) in replicas[owner(arm)][index].waiting:
                replicas[owner(arm)][index].waiting.remove((number, arm))
        else:
            replica = replicas[arm][index]
            for lost in [*held.get((arm, index), []), *replica.waiting]:
                settle(*lost, "crash", at)
            replica.waiting.clear()
            replica.busy = 0
    return seen


def pick(balancing: Balancing, replicas: list[Replica], draw: int, turns: list[int], arm: int) -> int:
    count = len(replicas)
    load = [replica.busy + len(replica.waiting) for replica in replicas]
    one = ((draw >> 32) * count) >> 32
    if count == 1:
        return 0
    if balancing is Balancing.RANDOM:
        return one
    if balancing is Balancing.ROUND_ROBIN:
        turns[arm] += 1
        return (turns[arm] - 1) % count
    if balancing is Balancing.LEAST_OUTSTANDING:
        return load.index(min(load))
    other = ((draw & 0xFFFFFFFF) * (count - 1)) >> 32
    other += other >= one
    return other if load[other] < load[one] else one


LAWS = st.one_of(
    st.builds(Fixed, st.sampled_from([0.0, 3e-9, 7e-9])),
    st.builds(Exponential, st.sampled_from([2e-9, 9e-9])),
    st.builds(Lognormal, st.just(4e-9), st.just(30e-9)),
)
SERVICES = st.builds(
    Service,
    slots=st.integers(1, 6),
    service_time=LAWS,
    timeout_ns=st.sampled_from([1, 5, 12, 1000]),
    queue=st.integers(0, 5),
    balancing=st.sampled_from(Balancing),
)
DEATHS = st.lists(st.one_of(st.just(NEVER), st.just(NEVER), st.integers(1, 120)), max_size=4)


@settings(deadline=None, max_examples=300)
@given(
    arms=st.lists(st.tuples(SERVICES, DEATHS), min_size=1, max_size=3),
    shares=st.lists(st.integers(0, 5), min_size=3, max_size=3),
    gaps=st.lists(st.integers(0, 4), max_size=120),
)
def test_every_request_meets_the_fate_described(arms, shares, gaps):
    services, deaths = [service for service, _ in arms], [dies for _, dies in arms]
    shares = shares[: len(arms)]
    weights = [WHOLE * share // max(sum(shares), 1) for share in shares]
    weights[0] += WHOLE - sum(weights)
    arrivals = np.cumsum(np.array(gaps, np.int64))

    plane = RequestPlane.build(seed=SEED, services=services)
    plane.set_weights(weights)
    for arm, some in enumerate(deaths):
        for replica, dies in enumerate(some):
            plane.start_replica(arm, replica, dies)
    plane.advance(arrivals, 10**6)

    for tally, seen in zip(plane.take(), simulate(services, weights, deaths, arrivals.tolist()), strict=True):
        assert {"ok": tally.ok, **tally.errors} == {"ok": 0, **seen.kinds}
        assert tally.latency == Histogram.of(seen.latencies)
        assert (tally.wait_count, tally.wait_sum_ns) == (len(seen.waits), sum(seen.waits))
        assert tally.busy_ns == seen.busy_ns


WORLDS = st.builds(
    lambda users, sticky, kinds, mirror, lost: World(
        users=users,
        sticky=sticky,
        classes=tuple(
            RequestClass(f"kind {number}", share, factor) for number, (share, factor) in enumerate(_shares(kinds))
        ),
        routes=tuple(route for _, _, route in kinds),
        mirror=mirror,
        lost=(*lost, 0.0),
    ),
    users=st.integers(1, 12),
    sticky=st.booleans(),
    kinds=st.lists(
        st.tuples(st.integers(1, 4), st.sampled_from([0.5, 1.0, 3.0]), st.sampled_from([None, None, 0, 1])), max_size=3
    ),
    mirror=st.sampled_from([None, 0, 5000, WHOLE]),
    lost=st.tuples(st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([0.0, 0.0, 0.5])),
)


def _shares(kinds):
    whole = sum(parts for parts, _, _ in kinds)
    return [(parts / whole, factor) for parts, factor, _ in kinds]


def plane_for(world, services, deaths):
    mirror = Mirror(0, 1, COPIES) if world.mirror is not None else None
    laws = [*services, services[1]] if mirror else services
    plane = RequestPlane.build(seed=SEED, services=laws, users=world.users, classes=world.classes, mirror=mirror)
    plane.set_sticky(world.sticky)
    for kind, route in zip(world.classes, world.routes, strict=True):
        plane.set_route(kind.name, route)
    if mirror:
        plane.set_mirror(world.mirror)
    for arm, share in enumerate(world.lost[: len(laws)]):
        plane.set_faults(arm, [Fault("", frozenset(), Lost(share))] if share else [])
    for arm, some in enumerate(deaths):
        for replica, dies in enumerate(some):
            plane.start_replica(arm, replica, dies)
    return plane


@settings(deadline=None, max_examples=300)
@given(
    arms=st.lists(st.tuples(SERVICES, DEATHS), min_size=2, max_size=2),
    weight=st.sampled_from([0, 1000, 5000, WHOLE]),
    gaps=st.lists(st.integers(0, 4), max_size=100),
    world=WORLDS,
    cuts=st.sets(st.integers(1, 400), max_size=4),
)
def test_users_classes_routes_copies_and_losses_are_as_described(arms, weight, gaps, world, cuts):
    services, deaths = [service for service, _ in arms], [dies for _, dies in arms]
    weights, arrivals = [WHOLE - weight, weight], np.cumsum(np.array(gaps, np.int64))
    plane = plane_for(world, services, deaths)
    plane.set_weights([*weights, *[0] * (world.mirror is not None)])
    for start, stop in itertools.pairwise([0, *sorted(cuts), 10**6]):
        plane.advance(arrivals[np.searchsorted(arrivals, start) : np.searchsorted(arrivals, stop)], stop)

    expected = simulate(services, weights, deaths, arrivals.tolist(), world)
    for arm, (tally, seen) in enumerate(zip(plane.take(), expected, strict=True)):
        assert tally.arrivals == seen.arrivals
        assert {"ok": tally.ok, **tally.errors} == {"ok": 0, **seen.kinds}
        assert tally.latency == Histogram.of(seen.latencies)
        assert (tally.wait_count, tally.wait_sum_ns) == (len(seen.waits), sum(seen.waits))
        assert tally.busy_ns == seen.busy_ns
        for number, kind in enumerate(world.classes):
            found = tally.classes[kind.name]
            assert (found.ok, found.failed) == (seen.classes[number, True], seen.classes[number, False])
        if world.users:
            met = plane.users(arm)
            assert set(np.flatnonzero(met & k.MET).tolist()) == seen.met
            assert set(np.flatnonzero(met & k.FAILED).tolist()) == seen.harmed
