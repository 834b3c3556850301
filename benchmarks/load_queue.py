"""Each request's latency, as `harness load` measures it, against the queue that it really stood in (Lindley 1952).

    python benchmarks/load_queue.py [--quick] [--requests 10000] [--mean 4] [--json FILE]

The server is `harness serve --fake --workers 1`, first come, first served, exponential service times, on a core of its
own. It logs how long each request really kept its worker. From when the requests were really sent (A between two of
them) and these times S follows what each must take, without any clock of the generator's having seen an answer:

    W(n+1) = max(0, W(n) + S(n) - A(n)),   latency(n) = W(n) + S(n)

The error is what `harness load` measured from sending, less that: the way there and back, what the server does besides
(reading, routing, writing), and whatever the generator adds. What lies between the two programs is told beside it, from
both logs of one machine's clock: from sent to arrived, and from done to received.

Claim: the median error is below 5 % of the median latency at both loads, and no latency is below the queue's own.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from load_kit import about_cores, body_of, finish, goal, options, stand_in
from load_samples import COLUMNS, open_plan, run_here

from harness.domain.units import SECOND

LOADS = (0.5, 0.8)
SENT, DONE, GOOD = (COLUMNS.index(name) for name in ("sent_ns", "done_ns", "good"))


def lindley(sent_ns: np.ndarray, service_ns: np.ndarray) -> np.ndarray:
    """Latencies of a server of one, first come, first served; both in the order of sending."""
    waits, wait = np.zeros(sent_ns.size, np.int64), 0
    gaps = np.diff(sent_ns)
    for at in range(1, sent_ns.size):
        wait = max(0, wait + int(service_ns[at - 1]) - int(gaps[at - 1]))
        waits[at] = wait
    return waits + service_ns


def service_log(file: Path, *, numbered: bool = True) -> dict[int, tuple[int, int, int]]:
    """When each request arrived, was begun and was done, by its id, or by its line's number."""
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    times = [(line["arrived_ns"], line["start_ns"], line["end_ns"]) for line in lines]
    return dict(zip((int(line["id"]) for line in lines) if numbered else range(len(lines)), times, strict=True))


def measured(load: float, requests: int, mean_ms: float, place: Path) -> dict[str, Any]:
    log, rate = place / f"service-{load}.jsonl", load * 1000 / mean_ms
    flags = ["--workers", "1", "--latency", f"{{exponential: {{mean: {mean_ms:g}ms}}}}"]
    with stand_in(*flags, service_log=log) as url:
        record, rows = run_here(open_plan(url, rate, requests / rate, body_of(100)))
    rows = rows[np.argsort(rows[:, SENT], kind="stable")]
    logged = service_log(log)
    rows = rows[(rows[:, GOOD] == 1) & np.isin(rows[:, 0], list(logged))]
    server = np.array([logged[number] for number in rows[:, 0].tolist()])
    service = server[:, 2] - server[:, 1]
    truth, seen = lindley(rows[:, SENT], service), rows[:, DONE] - rows[:, SENT]
    error = (seen - truth) / 1e6
    histogram = record.total.service.histogram
    return {
        "load": load,
        "rate": rate,
        "sent": record.total.counts.sent,
        "compared": len(rows),
        "real_load": rate * float(service.mean()) / SECOND,
        "latency_ms": {name: float(np.quantile(seen, q)) / 1e6 for name, q in (("p50", 0.5), ("p99", 0.99))},
        "truth_ms": {name: float(np.quantile(truth, q)) / 1e6 for name, q in (("p50", 0.5), ("p99", 0.99))},
        "histogram_ms": {name: histogram.quantile(q) / 1e6 for name, q in (("p50", 0.5), ("p99", 0.99))},
        "error_ms": {"p50": float(np.median(error)), "p99": float(np.quantile(np.abs(error), 0.99)),
                     "least": float(error.min()), "most": float(error.max())},
        "there_ms": float(np.median(server[:, 0] - rows[:, SENT])) / 1e6,
        "back_ms": float(np.median(rows[:, DONE] - server[:, 2])) / 1e6,
        "lag_p99_ms": (record.total.lag.quantile_ns(0.99) or 0.0) / 1e6,
    }  # fmt: skip


def main() -> None:
    parser = options(
        __doc__,
        requests={"type": int, "default": 10_000},
        mean={"type": float, "default": 4.0, "help": "of the service times, ms"},
    )
    given = parser.parse_args()
    requests = 1000 if given.quick else given.requests
    with tempfile.TemporaryDirectory(prefix="load-queue-") as place:
        found = [measured(load, requests, given.mean, Path(place)) for load in LOADS]
    print(f"one worker, exponential service of {given.mean:g} ms, Poisson arrivals; {about_cores()}; all in ms")
    print(f"{'load':>5}{'real':>7}{'requests':>10}{'':>4}{'latency p50 | truth':>22}{'latency p99 | truth':>24}"
          f"{'':>4}{'error p50':>10}{'|error| p99':>12}{'least':>8}{'there':>7}{'back':>6}{'lag p99':>9}")  # fmt: skip
    met = []
    for one in found:
        seen, truth, error = one["latency_ms"], one["truth_ms"], one["error_ms"]
        print(
            f"{one['load']:>5}{one['real_load']:>7.3f}{one['compared']:>10,}{'':>4}"
            f"{seen['p50']:>11.3f} |{truth['p50']:>9.3f}{seen['p99']:>13.3f} |{truth['p99']:>9.3f}{'':>4}"
            f"{error['p50']:>10.3f}{error['p99']:>12.3f}{error['least']:>8.3f}{one['there_ms']:>7.3f}{one['back_ms']:>6.3f}"
            f"{one['lag_p99_ms']:>9.3f}"
        )
    print()
    for one in found:
        name = f"load {one['load']}"
        met.append(goal(f"{name}: median error, % of the median latency", 100 * abs(one["error_ms"]["p50"])
                        / one["truth_ms"]["p50"], most=5.0))  # fmt: skip
        met.append(goal(f"{name}: requests compared, of those sent", one["compared"] / one["sent"], least=1.0))
        met.append(goal(f"{name}: least error, ms", one["error_ms"]["least"], least=0.0, form=".3f"))
    finish(found, given.json, met=all(met))


if __name__ == "__main__":
    main()
