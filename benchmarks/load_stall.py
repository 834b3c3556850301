"""A server stands still for a second: what `harness load`, hey and Locust say of it, against what is true.

    python benchmarks/load_stall.py [--quick] [--rounds 3] [--locust FOLDER] [--json FILE]

500 requests a second for 10 s, evenly spaced, and the server stands still for 1 s once. Whoever comes in that second
waits for the rest of it, so a tenth of all users wait from nothing to a second: p95 is half a second.

- *nginx, stopped*: a server that really stands still (SIGSTOP, a second later SIGCONT). The truth is reckoned from the
  due times and from when the signals were sent.
- *stand-in*: `harness serve --fake`, which takes 2 ms and stands still by a schedule (the first row of the table). When
  it goes on, it has 500 answers to write, which takes it a while: its own log of when each was done (`--service-log`)
  is the truth that its users met.

Claim: `harness load` is within 2 % of the truth at p95 and p99, on both. hey (50 workers of 10/s, 10 of
50/s) and Locust (50 users of 10/s) are asked for the same rate; neither counts from when a request was due, so they
show how a stall is hidden.
"""

import json
import math
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import load_peers as peers
import numpy as np
from load_kit import (
    about_cores,
    body_of,
    finish,
    goal,
    harness_load,
    middle,
    nginx_with_pid,
    options,
    stand_in,
)

from harness.domain.units import MILLISECOND, SECOND
from harness.serving.fake.still import Stillness

RATE, EVERY_NS, FOR_NS, SERVICE_NS = 500, 10 * SECOND, SECOND, 2 * MILLISECOND
USERS = 50
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p999": 0.999}
Figures = dict[str, float | None]


def figures_of(latency_ns: np.ndarray) -> Figures:
    """By nearest rank, in seconds."""
    found = np.quantile(latency_ns, list(QUANTILES.values()), method="inverted_cdf") / SECOND
    return dict(zip(QUANTILES, found.tolist(), strict=True))


def by_schedule(still: Stillness, service_ns: int) -> Figures:
    """Of users who come evenly spread over one period."""
    due = range(0, still.every_ns, still.every_ns // 20_000)
    return figures_of(np.array([still.advance(at, service_ns) - at for at in due]))


def by_log(file: Path) -> Figures:
    """From when each request was due to when the server was done with it. The first due time is that of the request
    that came with the least delay: due times are a 500th of a second apart, and ids are their numbers."""
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    numbers = np.array([int(line["id"]) for line in lines])
    due = numbers * (SECOND // RATE)
    first = min(np.array([line["arrived_ns"] for line in lines]) - due)
    return figures_of(np.array([line["end_ns"] for line in lines]) - due - first)


class Stopper:
    """Stops a process for a while, some time after it is begun."""

    def __init__(self, pid: int, after_s: float) -> None:
        self.pid, self.after_s, self.lasted_ns = pid, after_s, 0
        self._thread = threading.Thread(target=self._stop, daemon=True)

    def __enter__(self) -> "Stopper":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _stop(self) -> None:
        time.sleep(self.after_s)
        os.kill(self.pid, signal.SIGSTOP)
        began = time.monotonic_ns()
        time.sleep(FOR_NS / SECOND)
        os.kill(self.pid, signal.SIGCONT)
        self.lasted_ns = time.monotonic_ns() - began


def ours(asked: peers.Asked, *flags: str) -> Figures:
    told, _ = harness_load(
        asked.url, "--rate", f"{RATE}/s", "--arrivals", "constant", "--duration", f"{asked.seconds:g}s",
        "--protocol", "raw", "--payload", str(asked.body), *flags, reports=asked.work,
    )  # fmt: skip
    if told["spoiled"]:
        print(f"  harness says: {told['spoiled']}")
    return {name: told["latency_s"][name] for name in QUANTILES}


def of_peer(seen: peers.Seen) -> Figures:
    return {name: seen.detail.get(name) for name in QUANTILES}


def on_nginx(asked: peers.Asked, take: Callable[[], Figures], pid: int) -> tuple[Figures, Figures]:
    """What a generator says, and the truth of its run."""
    with Stopper(pid, asked.seconds * 0.6) as stopped:  # some seconds into it, whatever its start takes
        said = take()
    return said, by_schedule(Stillness(int(asked.seconds * SECOND), stopped.lasted_ns), 0)


def on_stand_in(asked: peers.Asked, take: Callable[..., Figures], *, logged: bool) -> tuple[Figures, Figures]:
    log = asked.work / "service.jsonl"
    flags = ["--latency", "{constant: 2ms}", "--stall", "{every: 10s, for: 1s}"]
    with stand_in(*flags, service_log=log) as url:
        said = take(replace(asked, url=url))
    return said, by_log(log) if logged else by_schedule(Stillness(EVERY_NS, FOR_NS), SERVICE_NS)


def row(name: str, figures: Figures) -> None:
    cells = "".join(f"{value * 1e3:>10.1f}" if value is not None else f"{'-':>10}" for value in figures.values())
    print(f"  {name:<44}{cells}")


def told(name: str, runs: list[tuple[Figures, Figures]]) -> tuple[Figures, Figures]:
    said, truth = ({q: middle([run[at][q] for run in runs]) for q in QUANTILES} for at in (0, 1))
    row(f"{name}, truth", truth)
    row(f"{name}, as it says", {q: None if math.isnan(value) else value for q, value in said.items()})
    return said, truth


def main() -> None:
    parser = options(
        __doc__,
        rounds={"type": int, "default": 3},
        locust={"metavar": "FOLDER", "default": os.environ.get("LOAD_LOCUST"), "help": "environment that has Locust"},
    )
    given = parser.parse_args()
    rounds = 1 if given.quick else given.rounds
    locust = peers.locust_python(given.locust)
    runs: dict[str, list[tuple[Figures, Figures]]] = {}
    with tempfile.TemporaryDirectory(prefix="load-stall-") as place, nginx_with_pid() as (url, pid):
        work = Path(place)
        body = work / "body.json"
        body.write_bytes(body_of(100))
        asked = peers.Asked(url, body, EVERY_NS / SECOND, USERS, work)
        takes: dict[str, Callable[[peers.Asked], Figures]] = {
            "harness": lambda asked: ours(asked, "--request-ids"),
            "hey -c 50 -q 10": lambda asked: of_peer(peers.hey(asked, "-q", "10")),
            "hey -c 10 -q 50": lambda asked: of_peer(peers.hey(replace(asked, users=10), "-q", "50")),
            "locust": lambda asked: of_peer(peers.locust(asked, locust, RATE)),
        }
        for at in range(rounds):
            print(f"round {at + 1} of {rounds}: {about_cores()}", flush=True)
            for name, take in takes.items():
                stopped = on_nginx(asked, lambda take=take: take(asked), pid)
                still = on_stand_in(asked, take, logged=name == "harness")
                for server, pair in (("nginx, stopped", stopped), ("stand-in", still)):
                    runs.setdefault(f"{server}: {name}", []).append(pair)
    print(f"\n{RATE}/s for 10 s, still for 1 s; medians of {rounds} rounds; latencies in ms")
    print(f"  {'':<44}{'p50':>10}{'p95':>10}{'p99':>10}{'p99.9':>10}")
    row("stand-in, by its schedule", by_schedule(Stillness(EVERY_NS, FOR_NS), SERVICE_NS))
    middles = {name: told(name, runs[name]) for name in sorted(runs)}
    print()
    met = []
    for name in ("nginx, stopped: harness", "stand-in: harness"):
        said, truth = middles[name]
        off = {q: 100 * abs(said[q] / truth[q] - 1) for q in ("p95", "p99")}
        met += [goal(f"{name}: {q} off the truth, %", value, most=2.0) for q, value in off.items()]
    finish(runs, given.json, met=all(met))


if __name__ == "__main__":
    main()
