"""Queues whose answers are known: thirty independent runs each, their seeds fixed beforehand, held against theory.

Each test asks that the mean over the runs be within 3 standard errors (Student's, from the runs themselves) and within
1 % of the closed form. With ``-s`` the figures are shown.
"""

import math
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from harness import arrivals
from harness.domain.service import Balancing, Exponential, Fixed, Lognormal, Service, ServiceTime
from harness.domain.traffic import Knots, Process, Traffic
from harness.domain.units import SECOND
from harness.seeds import stream
from harness.sim.laws import moments
from harness.sim.plane import RequestPlane

SEEDS = range(1, 31)
REQUESTS = 1_500_000
WARM_UP = 100_000
WINDOW = 100_000
ENDLESS_NS = 2**62
ENDLESS = 1 << 16

MEAN_S = 0.01
LOGNORMAL = Lognormal(0.008, 0.05)


@dataclass(frozen=True)
class Found:
    """What one run saw after its warm-up."""

    wait_s: float
    blocked: float
    """Share of requests that found no room."""
    gave_up: float
    """Share that neither got a slot nor was blocked."""
    utilisation: float


def run(seed: int, service: Service, rate_per_s: float, requests: int = REQUESTS) -> Found:
    """One replica under Poisson arrivals."""
    plane = RequestPlane.build(seed=seed, services=[service])
    plane.start_replica(0, 0)
    source = arrivals.of(Traffic("poisson", Process.POISSON, Knots((0,), (rate_per_s,))))
    reader = arrivals.Reader(source, stream(seed, "arrivals"))
    span_ns = int(WINDOW / rate_per_s * SECOND)
    arrived = waited = wait_ns = rejected = busy_ns = 0
    for window in range((requests + WARM_UP) // WINDOW):
        stop_ns = (window + 1) * span_ns
        plane.advance(reader.until(stop_ns), stop_ns)
        (tally,) = plane.take()
        if window >= WARM_UP // WINDOW:
            arrived += tally.arrivals
            waited += tally.wait_count
            wait_ns += tally.wait_sum_ns
            rejected += tally.errors.get("rejected", 0)
            busy_ns += tally.busy_ns
    slots_ns = requests // WINDOW * span_ns * service.slots
    return Found(wait_ns / waited / SECOND, rejected / arrived, 1 - (waited + rejected) / arrived, busy_ns / slots_ns)


def hold(name: str, found: list[float], exact: float) -> None:
    """Within 3 standard errors and within 1 %."""
    mean, error = np.mean(found), np.std(found, ddof=1) / math.sqrt(len(found))
    z, relative = (mean - exact) / error, mean / exact - 1
    sys.stdout.write(f"\n{name:<28} exact {exact:<12.6g} found {mean:<12.6g} z {z:+5.2f}  error {relative:+.3%}")
    assert abs(z) < 3
    assert abs(relative) < 0.01


def single(law: ServiceTime, slots: int = 1, queue: int = ENDLESS, timeout_ns: int = ENDLESS_NS) -> Service:
    return Service(slots=slots, service_time=law, timeout_ns=timeout_ns, queue=queue, balancing=Balancing.RANDOM)


def erlang_b(offered: float, servers: int) -> float:
    blocked = 1.0
    for server in range(1, servers + 1):
        blocked = offered * blocked / (server + offered * blocked)
    return blocked


def erlang_c_wait_s(rate_per_s: float, mean_s: float, servers: int) -> float:
    offered = rate_per_s * mean_s
    blocked = erlang_b(offered, servers)
    waits = servers * blocked / (servers - offered * (1 - blocked))
    return waits * mean_s / (servers - offered)


def pollaczek_khinchine_wait_s(rate_per_s: float, law: ServiceTime) -> float:
    mean_s, second_s2 = moments(law)
    return rate_per_s * second_s2 / (2 * (1 - rate_per_s * mean_s))


@pytest.mark.parametrize("load", [0.5, 0.8])
@pytest.mark.parametrize(
    ("name", "law", "servers"),
    [
        ("M/M/1", Exponential(MEAN_S), 1),
        ("M/M/4", Exponential(MEAN_S), 4),
        ("M/D/1", Fixed(MEAN_S), 1),
        ("M/lognormal/1", LOGNORMAL, 1),
    ],
)
def test_mean_wait(name, law, servers, load):
    """Erlang C; Pollaczek and Khinchine."""
    mean_s, _ = moments(law)
    rate = load * servers / mean_s
    exact = erlang_c_wait_s(rate, mean_s, servers) if servers > 1 else pollaczek_khinchine_wait_s(rate, law)
    found = [run(seed, single(law, servers), rate) for seed in SEEDS]
    hold(f"{name} load {load} wait", [some.wait_s for some in found], exact)
    hold(f"{name} load {load} utilisation", [some.utilisation for some in found], load)


@pytest.mark.parametrize("law", [Exponential(MEAN_S), LOGNORMAL])
def test_blocking_without_a_queue(law):
    """Erlang B, which asks for nothing but the mean of the service time."""
    mean_s, _ = moments(law)
    rate = 3.0 / mean_s
    found = [run(seed, single(law, 4, queue=0), rate, 500_000) for seed in SEEDS]
    hold(f"M/{type(law).__name__[0]}/4/4 blocked", [some.blocked for some in found], erlang_b(3.0, 4))


def test_blocking_with_a_bounded_queue():
    """M/M/3/3+5: the chain of births and deaths."""
    offered, servers, queue = 2.4, 3, 5
    weight = [
        offered**number / (math.factorial(min(number, servers)) * servers ** max(0, number - servers))
        for number in range(servers + queue + 1)
    ]
    share = [some / sum(weight) for some in weight]
    waiting = sum((number - servers) * some for number, some in enumerate(share) if number > servers)
    rate = offered / MEAN_S
    found = [run(seed, single(Exponential(MEAN_S), servers, queue), rate, 500_000) for seed in SEEDS]
    hold("M/M/3/8 blocked", [some.blocked for some in found], share[-1])
    # Little's law, for those that were let in.
    hold("M/M/3/8 wait", [some.wait_s for some in found], waiting / (rate * (1 - share[-1])))


@pytest.mark.parametrize(("servers", "load"), [(1, 0.9), (4, 1.2)])
def test_giving_up(servers, load):
    """M/M/c with a fixed time-out (Barrer 1957), also under overload: the density of the wait that would be offered."""
    patience_s = 2 * MEAN_S
    rate, drain = load * servers / MEAN_S, servers / MEAN_S
    offered = rate * MEAN_S
    idle = [offered**number / math.factorial(number) for number in range(servers)]
    at_zero = rate * idle[-1]
    decay = math.exp(-(drain - rate) * patience_s)
    served = at_zero * (1 - decay) / (drain - rate)
    lost = at_zero * decay / drain
    exact = lost / (sum(idle) + served + lost)
    service = single(Exponential(MEAN_S), servers, timeout_ns=int(patience_s * SECOND))
    found = [run(seed, service, rate, 500_000) for seed in SEEDS]
    hold(f"M/M/{servers} load {load} gave up", [some.gave_up for some in found], exact)
