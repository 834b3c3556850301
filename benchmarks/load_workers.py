"""Several generators, merged: is it the histogram of all their requests, and what do they reach together?

    python benchmarks/load_workers.py [--quick] [--rounds 3] [--seconds 5] [--json FILE]

One worker process, two, and two workers of a Dask cluster on this machine, against nginx.

- *Merged*: an open loop whose generators also write down every request's times. The merged record's histograms must be
  those of all samples together, bucket by bucket, in every interval too; its percentiles within 1 % of the exact ones;
  and the samples must be each request of the test once.
- *Throughput*: a closed loop of 64 users in all, nothing written down; by wall and by the generators' processor time.
  Nginx has a core to itself beside one worker; with two workers all three share the cores, and the table's use is to
  show what splitting costs. With more cores, each worker has its own.

Claims: equal histograms, no request lost or sent twice. Of throughput nothing is claimed; processor time is that of the
generators' processes, so Dask's own threads (it listens, and tells its scheduler how it is) are in it.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from load_kit import CORES, about_cores, body_of, finish, goal, kept_to, middle, nginx, options
from load_samples import COLUMNS, closed_plan, open_plan, run_crew

from harness.domain.load import LoadPlan
from harness.domain.units import SECOND
from harness.load import cluster, crew
from harness.load.record import PERCENTILES, Record
from harness.stats.histogram import Histogram

KINDS = {"one worker": (1, "local"), "two workers": (2, "local"), "two Dask workers": (2, "dask")}
DUE, TAKEN, SENT, DONE, GOOD = (COLUMNS.index(name) for name in ("due_ns", "taken_ns", "sent_ns", "done_ns", "good"))


def held_against(record: Record, parts: list[np.ndarray], plan: LoadPlan) -> dict[str, Any]:
    """What a merged record says, and what its samples say."""
    rows = np.concatenate(parts)
    good, total = rows[rows[:, GOOD] == 1], record.total
    truth = {
        "latency": good[:, DONE] - good[:, DUE],
        "service": good[:, DONE] - good[:, SENT],
        "lag": rows[:, TAKEN] - rows[:, DUE],
    }
    same = {name: Histogram.of(values) == getattr(total, name).histogram for name, values in truth.items()}
    cells = Histogram.merge(tally.latency.histogram for tally in record.cells.values())
    exact = {name: float(np.quantile(truth["latency"], q, method="inverted_cdf")) for name, q in PERCENTILES.items()}
    off = max(abs((total.latency.quantile_ns(q) or 0.0) / exact[name] - 1) for name, q in PERCENTILES.items())
    numbers = np.sort(rows[:, 0])
    return {
        "requests": [len(part) for part in parts],
        "scheduled": total.counts.scheduled,
        "same": same,
        "series_same": cells == Histogram.of(truth["latency"]),
        "each_once": bool(np.array_equal(numbers, np.arange(total.counts.scheduled))),
        "off": off,
        "failed": total.counts.failed,
        "began_late_ms": record.began_late_ns / 1e6,
        "seconds": plan.duration_ns / SECOND,
    }


def throughput(url: str, workers: int, engine: str, seconds: float) -> dict[str, float]:
    which: Any = crew.LocalCrew() if engine == "local" else cluster.DaskCrew()
    plan = closed_plan(url, 64, seconds, body_of(100))
    # The first generator has the second core to itself; others take what there is.
    with kept_to(*(CORES[1:2] or CORES if workers == 1 else CORES)):
        record: Record = which.run(plan, workers, lambda *_: None, lambda: False, lambda: None)
    done = record.total.counts.succeeded
    return {"per_s": done / seconds, "per_cpu_s": done * SECOND / record.cpu_ns, "failed": record.total.counts.failed}


def main() -> None:
    parser = options(__doc__, rounds={"type": int, "default": 3}, seconds={"type": float, "default": 5.0})
    given = parser.parse_args()
    rounds, seconds = (1, 2.0) if given.quick else (given.rounds, given.seconds)
    merged, runs = {}, {name: [] for name in KINDS}
    with tempfile.TemporaryDirectory(prefix="load-workers-") as place, nginx() as url:
        for name, (workers, engine) in KINDS.items():
            plan = open_plan(url, 4000.0, seconds, body_of(100))
            with kept_to(*CORES):
                merged[name] = held_against(*run_crew(plan, workers, engine, Path(place)), plan)
        for _ in range(rounds):
            for name, (workers, engine) in KINDS.items():
                runs[name].append(throughput(url, workers, engine, seconds))
    print(f"merged, open loop of 4,000/s for {seconds:g} s; {about_cores()}")
    met = []
    for name, one in merged.items():
        told = " + ".join(f"{count:,}" for count in one["requests"])
        print(f"{name:<18}{told} requests, {one['failed']} failed; began {one['began_late_ms']:.2f} ms late; "
              f"percentiles off by {100 * one['off']:.2f} % at most")  # fmt: skip
        met.append(
            goal(
                f"{name}: histograms equal to those of all samples, of 4",
                sum(one["same"].values()) + one["series_same"],
                least=4,
                form="d",
            )
        )
        met.append(goal(f"{name}: each request once", one["each_once"], least=1, form="d"))
        met.append(goal(f"{name}: percentiles off, %", 100 * one["off"], most=1.0))
    print(f"\nclosed loop of 64 users, {rounds} rounds of {seconds:g} s in turn, medians; {about_cores()}")
    print(f"{'':<18}{'requests/s':>12}{'ratio':>8}{'requests/CPU-s':>16}{'ratio':>8}{'failed':>8}")
    base = {key: middle([run[key] for run in runs["one worker"]]) for key in ("per_s", "per_cpu_s")}
    for name, some in runs.items():
        wall, cpu = (middle([run[key] for run in some]) for key in ("per_s", "per_cpu_s"))
        failed = sum(run["failed"] for run in some)
        print(
            f"{name:<18}{wall:>12,.0f}{wall / base['per_s']:>8.2f}{cpu:>16,.0f}{cpu / base['per_cpu_s']:>8.2f}"
            f"{failed:>8,.0f}"
        )
    finish({"merged": merged, "throughput": runs}, given.json, met=all(met))


if __name__ == "__main__":
    main()
