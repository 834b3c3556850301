"""A search for capacity against a real server whose limit is known: does the bracket cover it, and is it narrow?

    python benchmarks/load_capacity.py [--quick] [--mean 4] [--bound 40] [--within 10m] [--report DIR] [--json FILE]

The server is `harness serve --fake --workers 1` with exponential service times, on a core of its own, and arrivals are
Poisson, so it is an M/M/1 queue: the time in it is exponential with the rate mu - lambda, and its p95 is ln(20) / (mu -
lambda). `harness capacity` is asked for the highest rate with `p95 < bound`; it knows nothing of queues. The limit is

    lambda = mu - ln(20) / (bound - d)

where mu is what the server really did (1 over the mean of the service times in its own log of the whole search, which
are longer than asked for by what its timer is late), and d is what a request takes outside the queue: the way there
and back and the server's reading and writing, measured before, at a third of the load (`benchmarks/load_queue.py`).
The limit by what was asked for (mu = 1 / mean, d = 0) is told beside it.

Claim: the bracket covers the limit and is at most 5 % wide. How often a search does so in simulated repeats is told by
`benchmarks/capacity.py`.
"""

import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from load_kit import GENERATOR, ROOT, about_cores, body_of, finish, goal, options, run, stand_in
from load_queue import measured, service_log

CALIBRATING = 0.33


def limit(mu_per_s: float, bound_s: float) -> float:
    """The rate up to which the p95 of M/M/1 is below a bound."""
    return mu_per_s - math.log(20) / bound_s


def search(url: str, given: Any, body: Path) -> dict[str, Any]:
    within, first = given.within, 0.2 * 1000 / given.mean
    command = [
        sys.executable, "-m", "harness", "capacity", url, "--slo", f"p95 < {given.bound:g}ms", "--protocol", "raw",
        "--payload", body, "--first-rate", f"{first:.0f}/s", "--within", within, "--json", "-", "--quiet",
        "--report", given.report.resolve(), "--seed", str(given.seed),
    ]  # fmt: skip
    ended = run(command, cores=(GENERATOR,), cwd=body.parent, timeout_s=3600)
    if ended.code not in {0, 1} or not ended.out.strip():
        raise RuntimeError(f"harness capacity ended with {ended.code}:\n{ended.err[-2000:]}")
    return json.loads(ended.out)


def main() -> None:
    parser = options(
        __doc__,
        mean={"type": float, "default": 4.0, "help": "of the service times, ms"},
        bound={"type": float, "default": 40.0, "help": "of p95, ms"},
        within={"default": "10m", "help": "for all trials of the search"},
        seed={"type": int, "default": 1},
        report={"metavar": "DIR", "type": Path, "default": ROOT / "reports"},
    )
    given = parser.parse_args()
    if given.quick:
        given.within = "1m"
    with tempfile.TemporaryDirectory(prefix="load-capacity-") as folder:
        place = Path(folder)
        body, log = place / "body.json", place / "service.jsonl"
        body.write_bytes(body_of(100))
        outside = measured(CALIBRATING, 500 if given.quick else 3000, given.mean, place)["error_ms"]["p50"]
        flags = ["--workers", "1", "--latency", f"{{exponential: {{mean: {given.mean:g}ms}}}}"]
        with stand_in(*flags, service_log=log) as url:
            found = search(url, given, body)
        times = np.array(list(service_log(log, numbered=False).values()))
    service_s = (times[:, 2] - times[:, 1]) / 1e9
    mu = 1 / float(service_s.mean())
    asked, real = limit(1000 / given.mean, given.bound / 1e3), limit(mu, (given.bound - outside) / 1e3)
    low, high = found["low"], found["high"]
    for trial in found["trials"]:
        p95 = trial["figures"].get("p95")
        print(f"  {trial['number']:>3}  {trial['rate']:>7.1f}/s  {trial['duration_s']:>5.0f} s  {trial['requests']:>7,}"
              f"  p95 {'-' if p95 is None else f'{p95 * 1e3:.1f}':>8} ms  {trial['detail'] or ''}")  # fmt: skip
    print(f"one worker, exponential service of {given.mean:g} ms, p95 < {given.bound:g} ms; {about_cores()}")
    print(f"service really took {1e3 / mu:.3f} ms ({len(times):,} requests); {outside:.3f} ms passed outside the queue")
    print(f"limit {real:.1f}/s (by what was asked for: {asked:.1f}/s)")
    print(
        f"search: {found['status']}, {low} to {high}/s, estimate {found['estimate']},"
        f" {found['requests']:,} requests in {found['elapsed_s']:.0f} s; {found['reason']}"
    )
    covers = low is not None and high is not None and low <= real <= high
    met = [
        goal("the bracket covers the limit", covers, least=1, form="d"),
        goal("width of the bracket, %", 100 * found["width"] if found["width"] else math.inf, most=5.0),
    ]
    finish({"limit": real, "limit_asked": asked, "mu": mu, "outside_ms": outside, **found}, given.json, met=all(met))


if __name__ == "__main__":
    main()
