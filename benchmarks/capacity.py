"""Does the bracket cover the limit, and is it narrow? Searches for capacity on queues whose limit is known.

    python benchmarks/capacity.py [--repeats 40] [--first 101] [--json FILE] [--only NAME]

Each search tries its rates as a generator would: Poisson arrivals at that rate, an empty queue at the start, a warm-up
that is left out, intervals of one second. The limits are exact: of M/M/c from the closed form of its sojourn time, of
M/D/1 from Crommelin's formula for its wait (1932), of M/M/1/K from its own, of the rate limiter (a token bucket, which
refuses as M/D/1/K does) from its embedded chain. None of them enters the search. A search counts as good where its
bracket covers the limit and is at most 5 % wide. `seconds` are those that the trials would take, warm-ups included; a
search has half an hour of them. The search was tuned on repeats 1 to 100; by default those from 101 on are shown. Exits
with 1 where fewer than 36 of 40 are good.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, getcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import arrivals
from harness.analysis.grammar import parse
from harness.domain.traffic import Knots, Process, Traffic
from harness.domain.units import MINUTE, SECOND
from harness.seeds import Stream, stream
from harness.sim.bits import compiled
from harness.stats.capacity import Found, Search, Trial
from harness.stats.histogram import Histogram
from harness.stats.objective import Interval, Outcome

getcontext().prec = 80
Serve = Callable[[np.ndarray, Stream], tuple[np.ndarray, np.ndarray]]
"""Arrival times in seconds and a stream, to sojourn times in seconds and which requests failed."""


@dataclass(frozen=True)
class Case:
    """An endpoint, what it is held to, and the rate up to which it holds that."""

    name: str
    slos: tuple[str, ...]
    limit: float
    serve: Serve
    first_rate: tuple[float, float]
    """Where searches begin, drawn between these."""


# --- queues -----------------------------------------------------------------------------------------------------------


@compiled
def _lindley(at: Any, service: Any, free: Any, sojourn: Any) -> None:
    """First come, first served: each request takes the server that is free first (Kiefer and Wolfowitz 1955)."""
    for i in range(at.size):
        first = 0
        for server in range(1, free.size):
            if free[server] < free[first]:
                first = server
        free[first] = max(free[first], at[i]) + service[i]
        sojourn[i] = free[first] - at[i]


@compiled
def _token_bucket(at: Any, rate: Any, burst: Any, refused: Any) -> None:
    tokens, before = burst, 0.0
    for i in range(at.size):
        tokens = min(burst, tokens + (at[i] - before) * rate)
        before = at[i]
        refused[i] = tokens < 1.0
        tokens -= 0.0 if refused[i] else 1.0


def queue(servers: int, service: Callable[[np.random.Generator, int], np.ndarray]) -> Serve:
    """So many servers before one line."""

    def serve(at: np.ndarray, rng: Stream) -> tuple[np.ndarray, np.ndarray]:
        sojourn = np.zeros(at.size)
        _lindley(at, service(rng.generator(), at.size), np.zeros(servers), sojourn)
        return sojourn, np.zeros(at.size, bool)

    return serve


def limiter(rate: float, burst: float, mean_s: float) -> Serve:
    """Refuses what a token bucket has no token for; all else is answered soon."""

    def serve(at: np.ndarray, rng: Stream) -> tuple[np.ndarray, np.ndarray]:
        refused = np.zeros(at.size, bool)
        _token_bucket(at, rate, burst, refused)
        return rng.generator().exponential(mean_s, at.size), refused

    return serve


@compiled
def _room(at: Any, service: Any, ends: Any, sojourn: Any, refused: Any) -> None:
    """One server, and room for so many requests in all: `ends` is when each of the last ones is done."""
    last = 0.0
    taken = 0
    for i in range(at.size):
        refused[i] = ends[taken % ends.size] > at[i]
        if not refused[i]:
            last = max(last, at[i]) + service[i]
            ends[taken % ends.size] = last
            taken += 1
            sojourn[i] = last - at[i]


def room(places: int, rate: float) -> Serve:
    """A server that refuses whoever finds no place."""

    def serve(at: np.ndarray, rng: Stream) -> tuple[np.ndarray, np.ndarray]:
        sojourn, refused = np.zeros(at.size), np.zeros(at.size, bool)
        _room(at, rng.generator().exponential(1 / rate, at.size), np.zeros(places), sojourn, refused)
        return sojourn, refused

    return serve


def exponential(rate: float) -> Callable[[np.random.Generator, int], np.ndarray]:
    return lambda draw, count: draw.exponential(1 / rate, count)


# --- limits -----------------------------------------------------------------------------------------------------------


def mmc_over(rate: float, servers: int, mu: float, t: float) -> float:
    """P(sojourn > t) of M/M/c."""
    offered = rate / mu
    last = offered**servers / math.factorial(servers) * servers / (servers - offered)
    waits = last / (sum(offered**k / math.factorial(k) for k in range(servers)) + last)
    theta = servers * mu - rate
    if abs(theta - mu) < 1e-9 * mu:
        both = math.exp(-mu * t) * (1 + mu * t)
    else:
        both = (theta * math.exp(-mu * t) - mu * math.exp(-theta * t)) / (theta - mu)
    return (1 - waits) * math.exp(-mu * t) + waits * both


def md1_over(rate: float, service_s: float, t: float) -> float:
    """P(sojourn > t) of M/D/1, by Crommelin's series; alternating, so with 80 digits."""
    wait, d, lam = Decimal(t) - Decimal(service_s), Decimal(service_s), Decimal(rate)
    total, factorial = Decimal(0), Decimal(1)
    for k in range(int(wait / d) + 1):
        factorial *= max(k, 1)
        x = lam * (k * d - wait)
        total += (x**k if k else Decimal(1)) / factorial * (-x).exp()
    return float(1 - (1 - lam * d) * total)


def bucket_refuses(rate: float, tokens: float, burst: int) -> float:
    """Share refused by a token bucket: M/D/1/K with K = burst, service 1/tokens; by its chain at departures."""
    load = rate / tokens
    a = [math.exp(-load)]
    for k in range(1, burst + 1):
        a.append(a[-1] * load / k)
    chain = np.zeros((burst, burst))
    for i in range(burst):
        for j in range(max(i - 1, 0), burst - 1):
            chain[i, j] = a[j - max(i - 1, 0)]
        chain[i, burst - 1] = 1 - chain[i].sum()
    system = np.vstack([(chain.T - np.eye(burst))[:-1], np.ones(burst)])
    idle = np.linalg.solve(system, np.append(np.zeros(burst - 1), 1.0))[0]
    return float(1 - 1 / (idle + load))


def mm1k_refuses(load: float, places: int) -> float:
    """Share refused by M/M/1/K."""
    if abs(load - 1) < 1e-9:
        return 1 / (places + 1)
    return (1 - load) * load**places / (1 - load ** (places + 1))


def limit_of(over: Callable[[float], float], target: float, most: float) -> float:
    return float(brentq(lambda rate: over(rate) - target, most * 1e-3, most * (1 - 1e-9), xtol=1e-9))


def cases() -> list[Case]:
    mu, d = 500.0, 0.002
    found = []
    for share, bound in ((0.05, 0.030), (0.01, 0.046)):
        name, text = f"p{100 - share * 100:g}", f"{bound * 1000:g}ms"
        slo = (f"{name} < {text}",)
        exact = limit_of(lambda rate, s=bound: mmc_over(rate, 1, mu, s), share, mu)
        found.append(Case(f"M/M/1 {slo[0]}", slo, exact, queue(1, exponential(mu)), (10, 40)))
        exact = limit_of(lambda rate, s=bound: mmc_over(rate, 4, mu / 4, s + 0.01), share, mu)
        slo = (f"{name} < {bound * 1000 + 10:g}ms",)
        found.append(Case(f"M/M/4 {slo[0]}", slo, exact, queue(4, exponential(mu / 4)), (10, 40)))
    exact = limit_of(lambda rate: md1_over(rate, d, 0.02), 0.05, 1 / d)
    fixed = queue(1, lambda draw, count: np.full(count, d))
    found.append(Case("M/D/1 p95 < 20ms", ("p95 < 20ms",), exact, fixed, (10, 40)))
    exact = mu - 1 / 0.010
    found.append(Case("M/M/1 mean < 10ms", ("mean < 10ms",), exact, queue(1, exponential(mu)), (10, 40)))
    both = min(limit_of(lambda rate, s=s: mmc_over(rate, 1, mu, s), p, mu) for p, s in ((0.05, 0.030), (0.01, 0.044)))
    slo = ("p95 < 30ms and p99 < 44ms", "error_rate < 1%")
    found.append(Case("M/M/1 two percentiles", slo, both, queue(1, exponential(mu)), (10, 40)))
    exact = limit_of(lambda rate: bucket_refuses(rate, 300.0, 20), 0.01, 400.0)
    found.append(Case("rate limiter errors < 1%", ("error_rate < 1%",), exact, limiter(300.0, 20, 0.005), (10, 40)))
    slo = ("success_rate > 99%", "p95 < 200ms")
    exact = limit_of(lambda rate: mm1k_refuses(rate / mu, 40), 0.01, 2 * mu)
    found.append(Case("M/M/1/40 success > 99%", slo, exact, room(40, mu), (10, 40)))
    return found


# --- searches ---------------------------------------------------------------------------------------------------------


def measure(trial: Trial, serve: Serve, rng: Stream) -> tuple[Outcome, int]:
    """What a generator would measure, and how many requests it sends."""
    stop_ns = trial.warmup_ns + trial.duration_ns
    source = arrivals.of(Traffic("poisson", Process.POISSON, Knots((0,), (trial.rate_per_s,))))
    at_ns = source.times(0, stop_ns, rng.child("arrivals"))
    sojourn, failed = serve(at_ns / SECOND, rng.child("service"))
    latency_ns = np.rint(sojourn * SECOND).astype(np.int64)
    edges = np.searchsorted(at_ns, np.arange(trial.warmup_ns, stop_ns + 1, SECOND))
    parts = [slice(start, stop) for start, stop in pairwise(edges)]
    intervals = [
        Interval(part.stop - part.start, Histogram.of(latency_ns[part][~failed[part]]), int(failed[part].sum()))
        for part in parts
    ]
    return Outcome(tuple(intervals)), at_ns.size


def search(case: Case, repeat: int, **options: Any) -> tuple[Found, dict[str, float]]:
    """One search, and what it cost."""
    rng = stream(repeat, f"capacity/{case.name}")
    low, high = case.first_rate
    first = low * (high / low) ** rng.child("first").generator().random()
    under_way = Search([parse(slo) for slo in case.slos], first_rate=first, **{"most_ns": 30 * MINUTE} | options)
    trials = requests = 0
    while (trial := under_way.next()) is not None:
        outcome, sent = measure(trial, case.serve, rng.child(f"trial/{trials}"))
        under_way.tell(trial.rate_per_s, outcome)
        trials, requests = trials + 1, requests + sent
    if under_way.found is None:
        raise RuntimeError("a search that is over has found something")
    return under_way.found, {"trials": trials, "seconds": under_way.spent_ns / SECOND, "requests": requests}


def summary(case: Case, repeats: int, first: int, **options: Any) -> dict[str, Any]:
    runs = [search(case, repeat, **options) for repeat in range(first, first + repeats)]
    brackets = [(found.low or 0.0, found.high or math.inf) for found, _ in runs]
    widths = [2 * (high - low) / (high + low) if high < math.inf else math.inf for low, high in brackets]
    covered = [low <= case.limit <= high for low, high in brackets]
    narrow = [width <= 0.05 for width in widths]
    return {
        "case": case.name,
        "limit": case.limit,
        "repeats": repeats,
        "covered": sum(covered),
        "narrow": sum(narrow),
        "good": sum(each and thin for each, thin in zip(covered, narrow, strict=True)),
        "width": statistics.median(widths),
        "error": statistics.median((found.estimate or math.inf) / case.limit - 1 for found, _ in runs),
        **{key: statistics.median(cost[key] for _, cost in runs) for key in ("trials", "seconds", "requests")},
        "most_seconds": max(cost["seconds"] for _, cost in runs),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--first", type=int, default=101)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    print(f"{'':28}{'limit':>8}{'good':>6}{'covered':>9}{'narrow':>8}{'width':>8}{'error':>7}"
          f"{'trials':>8}{'seconds':>9}{'(most)':>8}{'requests':>10}")  # fmt: skip
    rows = []
    for case in cases():
        if given.only not in case.name:
            continue
        row = summary(case, given.repeats, given.first)
        rows.append(row)
        print(f"{row['case']:28}{row['limit']:8.1f}{row['good']:6}{row['covered']:9}{row['narrow']:8}{row['width']:8.2%}"
              f"{row['error']:7.2%}{row['trials']:8.0f}{row['seconds']:9.0f}{row['most_seconds']:8.0f}"
              f"{row['requests']:10,.0f}", flush=True)  # fmt: skip
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))
    return int(any(row["good"] < 0.9 * row["repeats"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
