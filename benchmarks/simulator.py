"""Requests per second of the request plane on one core, against SimPy with a process for each request.

    python benchmarks/simulator.py [--json FILE]

Two arms at equal weight, ten replicas of four slots each, two-choices balancing, a time-out, a bounded queue, lognormal
service at load 0.8, windows of 5 s with their histograms taken. The plane's figure includes its arrivals and all its
draws. SimPy is handed the same arrivals and the same draws ready-made, which is in its favour, and so must see every
request meet the same fate: what differs is counted and shown. Rounds of each kind take turns; medians of process CPU
time are shown, with the spread.
"""

import argparse
import json
import statistics
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import simpy

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import arrivals
from harness.domain.service import Lognormal, Service
from harness.domain.traffic import Knots, Process, Traffic
from harness.domain.units import SECOND, WHOLE
from harness.seeds import stream
from harness.sim.bits import GOLDEN, below, below_low, compiled, mix, share
from harness.sim.laws import moments
from harness.sim.plane import RequestPlane
from harness.sim.service import service_ns, table_of
from harness.sim.tally import Tally
from harness.stats.histogram import Histogram

ARMS, REPLICAS, SLOTS, QUEUE = 2, 10, 4, 100
SERVICE = Service(REPLICAS, SLOTS, Lognormal(0.03, 0.12), timeout_ns=SECOND, queue=QUEUE)
LOAD = 0.8
RATE = LOAD * ARMS * REPLICAS * SLOTS / moments(SERVICE.service_time)[0]
WINDOW_NS = 5 * SECOND
ROWS, LEVELS, LABEL_SHARE = 1761, 8, 0.3
LONG_NS = 2**61


class Run:
    """A plane, its arrivals, and what each took."""

    def __init__(self, seed: int, rows: int = 0) -> None:
        label_share = LABEL_SHARE if rows else 0.0
        self.plane = RequestPlane.build(seed=seed, services=[SERVICE] * ARMS, rows=rows, label_share=label_share)
        for arm in range(ARMS):
            for replica in range(REPLICAS):
                self.plane.start_replica(arm, replica)
        self.plane.set_weights([WHOLE // ARMS] * ARMS)
        source = arrivals.of(Traffic("poisson", Process.POISSON, Knots((0,), (RATE,))))
        self.reader = arrivals.Reader(source, stream(seed, "arrivals"))
        self.rows = rows
        self.requests = 0
        self.spent_ns = Counter[str]()

    def windows(self, count: int) -> Iterator[tuple[Tally, ...]]:
        for window in range(count):
            stop_ns = (window + 1) * WINDOW_NS
            if self.rows and window % 12 == 0:
                for arm in range(ARMS):
                    self.plane.set_level(arm, window // 12 % LEVELS)
            times = self._spend("arrivals", lambda stop_ns=stop_ns: self.reader.until(stop_ns))
            self._spend("kernel", lambda times=times, stop_ns=stop_ns: self.plane.advance(times, stop_ns))
            self.requests += times.size
            yield self._spend("take", self.plane.take)

    def _spend(self, part: str, work: Callable[[], Any]) -> Any:
        start = time.process_time_ns()
        done = work()
        self.spent_ns[part] += time.process_time_ns() - start
        return done


def timed(work: Callable[[], int]) -> dict[str, float]:
    """Requests per second of CPU time and of wall time."""
    cpu, wall = time.process_time(), time.perf_counter()
    requests = work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {"requests": requests, "per_s": requests / cpu, "wall_per_s": requests / wall}


def plane_round(seed: int, windows: int, rows: int) -> dict[str, float]:
    run = Run(seed, rows)

    def work() -> int:
        deque(run.windows(windows), maxlen=0)
        return run.requests

    found = timed(work)
    return found | {f"{part}_ns": spent / run.requests for part, spent in run.spent_ns.items()}


# --- the peer ---------------------------------------------------------------------------------------------------------


@compiled
def _draws(keys: Any, table: Any, arm: Any, one: Any, other: Any, service: Any) -> None:
    for number in range(arm.size):
        salt = np.uint64(number) * GOLDEN
        arm[number] = share(mix(keys[0] + salt)) >= 1 << 61
        choice = mix(keys[1] + salt)
        one[number] = below(choice, REPLICAS)
        second = below_low(choice, REPLICAS - 1)
        other[number] = second + (second >= one[number])
        service[number] = np.int64(service_ns(table, 0, mix(keys[2] + salt)) + 0.5)


def draws(seed: int, count: int) -> list[list[int]]:
    """What the plane draws for each request: its arm, two replicas, and its service time in ns."""
    keys = np.array([stream(seed, f"requests/{purpose}").key64 for purpose in ("arm", "replica", "service")], np.uint64)
    found = [np.zeros(count, np.int64) for _ in range(4)]
    _draws(keys, table_of(SERVICE.service_time).reshape(-1).copy(), *found)
    return [array.tolist() for array in found]


class Peer:
    """The same system as SimPy's users write it: a resource for each replica, a process for each request."""

    def __init__(self, seed: int, times: list[int]) -> None:
        self.times = times
        self.draws = draws(seed, len(times))
        self.env = simpy.Environment(initial_time=0)
        self.replicas = [[simpy.Resource(self.env, SLOTS) for _ in range(REPLICAS)] for _ in range(ARMS)]
        self.kinds: Counter[tuple[int, str]] = Counter()
        self.latencies: list[list[int]] = [[] for _ in range(ARMS)]

    def run(self) -> int:
        self.env.process(self._source())
        self.env.run()
        return len(self.times)

    def _source(self) -> Iterator[simpy.Event]:
        env = self.env
        for at, arm, one, other, service in zip(self.times, *self.draws, strict=True):
            yield env.timeout(at - env.now)
            env.process(self._request(arm, one, other, service))

    def _request(self, arm: int, one: int, other: int, service: int) -> Iterator[simpy.Event]:
        env, arrived = self.env, self.env.now
        this, that = self.replicas[arm][one], self.replicas[arm][other]
        replica = that if that.count + len(that.queue) < this.count + len(this.queue) else this
        if replica.count == SLOTS and len(replica.queue) >= QUEUE:
            self.kinds[arm, "rejected"] += 1
            return
        with replica.request() as slot:
            if slot.triggered:
                yield slot
            else:
                yield slot | env.timeout(SERVICE.timeout_ns)
            if not slot.triggered:
                self._seen(arm, "timeout", SERVICE.timeout_ns)
                return
            latency = env.now - arrived + service
            late = latency > SERVICE.timeout_ns
            self._seen(arm, "timeout" if late else "ok", min(latency, SERVICE.timeout_ns))
            yield env.timeout(service)

    def _seen(self, arm: int, kind: str, latency: int) -> None:
        self.kinds[arm, kind] += 1
        self.latencies[arm].append(latency)


def compare(seed: int, times: np.ndarray[Any, Any]) -> dict[str, Any]:
    """The same requests through both: what differs, and the figures to look at."""
    peer = Peer(seed, times.tolist())
    peer.run()
    run = Run(seed)
    run.plane.advance(times, LONG_NS)
    tallies = run.plane.take()
    differing = 0
    figures = []
    for arm, tally in enumerate(tallies):
        theirs = Histogram.of(peer.latencies[arm])
        ours = {"ok": tally.ok, **tally.errors}
        kinds = {kind: count for (where, kind), count in peer.kinds.items() if where == arm}
        differing += sum(abs(ours.get(kind, 0) - kinds.get(kind, 0)) for kind in {*ours, *kinds})
        differing += abs(tally.latency.sum_ns - theirs.sum_ns)
        figures.append(
            {
                "arm": arm,
                "requests": tally.arrivals,
                "mean_ms": [tally.latency.mean_s * 1e3, theirs.mean_s * 1e3],
                "p99_ms": [tally.latency.quantile(0.99) / 1e6, theirs.quantile(0.99) / 1e6],
            }
        )
    return {"differing": differing, "arms": figures}


# --- the table --------------------------------------------------------------------------------------------------------


def measure(rounds: int, windows: int, peer_requests: int) -> dict[str, Any]:
    times = Run(1).reader.until(int(peer_requests / RATE * SECOND))
    agreement = compare(1, times)
    kinds: dict[str, Callable[[int], dict[str, float]]] = {
        "plain": lambda seed: plane_round(seed, windows, 0),
        "model": lambda seed: plane_round(seed, windows, ROWS),
        "simpy": lambda seed: timed(Peer(seed, times.tolist()).run),
    }
    for work in list(kinds.values())[:2]:  # load the compiled code, fault the pages in
        work(1)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in kinds}
    for seed in range(1, rounds + 1):
        for name, work in kinds.items():
            found[name].append(work(seed))
    middle = {
        name: {part: statistics.median(some[part] for some in rows) for part in rows[0]}
        | {"least_per_s": min(some["per_s"] for some in rows), "most_per_s": max(some["per_s"] for some in rows)}
        for name, rows in found.items()
    }
    ratio = middle["plain"]["per_s"] / middle["simpy"]["per_s"]
    return {"rounds": rounds, "rate_per_s": RATE, "load": LOAD, "agreement": agreement, **middle, "ratio": ratio}


def show(found: dict[str, Any]) -> None:
    print(
        f"{found['rounds']} rounds, {found['rate_per_s']:.0f} requests/s at load {found['load']}, medians of CPU time"
    )
    print(f"{'':<8}{'requests/s':>14}{'least':>14}{'most':>14}{'by wall':>14}   ns a request")
    for name in ("plain", "model", "simpy"):
        row = found[name]
        names = [part for part in ("arrivals", "kernel", "take") if f"{part}_ns" in row]
        parts = " + ".join(f"{part} {row[f'{part}_ns']:.1f}" for part in names)
        columns = "".join(f"{row[column]:>14,.0f}" for column in ("per_s", "least_per_s", "most_per_s", "wall_per_s"))
        print(f"{name:<8}{columns}   {1e9 / row['per_s']:,.1f} {f'= {parts}' if parts else ''}")
    print(f"plain is {found['ratio']:.0f} times SimPy")
    for arm in found["agreement"]["arms"]:
        (mean, their_mean), (p99, their_p99) = arm["mean_ms"], arm["p99_ms"]
        print(
            f"arm {arm['arm']}, {arm['requests']} requests, plane | SimPy:"
            f" mean {mean:.6f} | {their_mean:.6f} ms, p99 {p99:.3f} | {their_p99:.3f} ms"
        )
    print(f"requests and nanoseconds that differ: {found['agreement']['differing']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--windows", type=int, default=300, help="windows of 5 s in a round of the plane")
    parser.add_argument("--peer-requests", type=int, default=50_000, help="requests in a round of SimPy")
    parser.add_argument("--json", metavar="FILE", help="write the figures; - is standard output, and no table then")
    options = parser.parse_args()
    found = measure(options.rounds, options.windows, options.peer_requests)
    if options.json == "-":
        json.dump(found, sys.stdout, indent=2)
        return
    show(found)
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
