"""The compiled queue against a slow one that was written from its description: event by event, request by request.

Times are a few nanoseconds, so that a request comes, another ends, a third gives up and a replica dies at one instant.
"""

import heapq
from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.domain.service import Balancing, Exponential, Fixed, Lognormal, Service
from harness.domain.units import WHOLE
from harness.seeds import stream
from harness.sim.plane import NEVER, RequestPlane
from harness.sim.service import table_of
from harness.stats.histogram import BIAS, SHIFT, Histogram

MASK = 2**64 - 1
SEED = 11


def mix(counter: int) -> int:
    counter = ((counter ^ (counter >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    counter = ((counter ^ (counter >> 27)) * 0x94D049BB133111EB) & MASK
    return counter ^ (counter >> 31)


def drawn(purpose: str, number: int) -> int:
    key = stream(SEED, f"requests/{purpose}").key64
    return mix((key + number * 0x9E3779B97F4A7C15) & MASK)


def service_ns(service: Service, number: int) -> int:
    survival = float((drawn("service", number) >> 11) | 1)
    piece = (int(np.float64(survival).view(np.int64)) >> SHIFT) - BIAS
    value, slope = table_of(service.service_time)[piece]
    return int(value + slope * survival + 0.5)


@dataclass
class Replica:
    dies_ns: int
    busy: int = 0
    waiting: deque = field(default_factory=deque)


@dataclass
class Seen:
    kinds: Counter = field(default_factory=Counter)
    latencies: list = field(default_factory=list)
    waits: list = field(default_factory=list)
    busy_ns: int = 0


# What happens first at one instant: services end (and the next begin), clients give up, replicas die, requests come.
END, GIVE_UP, DIE, COME = range(4)


def simulate(arms: list[Service], weights: list[int], deaths: list[list[int]], arrivals: list[int]) -> list[Seen]:
    """What each arm's clients see in the end."""
    seen = [Seen() for _ in arms]
    replicas = [[Replica(dies) for dies in deaths[arm]] for arm in range(len(arms))]
    turns = [0 for _ in arms]
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

    def settle(number: int, arm: int, kind: str, at: int) -> None:
        if number not in settled:
            settled[number] = kind
            seen[arm].kinds[kind] += 1
            if kind in {"ok", "timeout"}:
                seen[arm].latencies.append(at - arrivals[number])

    def begin(number: int, arm: int, index: int, at: int) -> None:
        replica = replicas[arm][index]
        replica.busy += 1
        seen[arm].waits.append(at - arrivals[number])
        end = at + service_ns(arms[arm], number)
        seen[arm].busy_ns += min(end, replica.dies_ns) - at
        if end <= replica.dies_ns:
            heapq.heappush(events, (end, END, number, number, arm, index))
        else:
            held.setdefault((arm, index), []).append(number)

    held: dict[tuple[int, int], list[int]] = {}
    while events:
        at, order, _, number, arm, index = heapq.heappop(events)
        if order == COME:
            share = drawn("arm", number) >> 2
            edges = np.cumsum(weights)[:-1]
            arm = sum(share >= int(edge) * 2**62 // WHOLE for edge in edges)
            if not replicas[arm]:
                settle(number, arm, "no_replica", at)
                continue
            index = pick(arms[arm].balancing, replicas[arm], drawn("replica", number), turns, arm)
            replica = replicas[arm][index]
            if at >= replica.dies_ns:
                settle(number, arm, "crash", at)
            elif replica.busy < arms[arm].slots:
                begin(number, arm, index, at)
            elif len(replica.waiting) >= arms[arm].queue:
                settle(number, arm, "rejected", at)
                continue
            else:
                replica.waiting.append(number)
            heapq.heappush(events, (at + arms[arm].timeout_ns, GIVE_UP, number, number, arm, index))
        elif order == END:
            replica = replicas[arm][index]
            replica.busy -= 1
            settle(number, arm, "ok", at)
            if replica.waiting and at < replica.dies_ns:
                begin(replica.waiting.popleft(), arm, index, at)
        elif order == GIVE_UP:
            settle(number, arm, "timeout", at)
            if number in replicas[arm][index].waiting:
                replicas[arm][index].waiting.remove(number)
        else:
            replica = replicas[arm][index]
            for lost in [*held.get((arm, index), []), *replica.waiting]:
                settle(lost, arm, "crash", at)
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
