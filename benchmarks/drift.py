"""Figures of drift for many columns: against Evidently and a loop of scipy; growth with rows; memory of ten million.

    python benchmarks/drift.py [--rounds 5] [--quick] [--json FILE]

100,000 x 20 columns of numbers, reference and current (ten as they were, ten moved by 0.02 standard deviations):
Kolmogorov-Smirnov with its p-value, PSI, Jensen-Shannon and Wasserstein for every column. Ours fits the reference anew
in every round, though it need be fitted but once. Evidently 0.7.23 runs in an environment of its own (made at the first
run; network), in a process that has imported it and holds both tables; what is timed is `PEER` below, once as the
report that its documentation shows and once as the bare functions that the report calls; the faster of the two counts.
Rounds are interleaved, each in another order; what is told is the median. Before anything is measured our figures by
Evidently's conventions are seen to be Evidently's.

Growth: two columns of 10^4 to 10^7 rows, time per row and column. Memory: a process of its own takes 20 columns of 10^7
rows on each side chunk by chunk into sketches, and tells its peak (VmHWM) and the errors; against 10^6 rows.

Goals: at least 10 times as fast as Evidently; a row of 10^7 takes at most four times as long as one of 10^5; ten times
the rows take at most 32 MiB more.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from load_kit import ROOT, environment, finish, goal, middle, options

from harness import seeds
from harness.drift.reference import Reference, by_name
from harness.drift.samples import kolmogorov_smirnov, wasserstein_scaled
from harness.drift.shares import distance, histograms, psi
from harness.drift.sketch import Sketch, compare

PACKAGES = ("evidently==0.7.23", "numpy==2.3.5", "pandas==2.3.3", "scipy==1.17.1")
COLUMNS, MOVED = 20, 0.02
CHUNK = 100_000

PEER = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import numpy, pandas
from evidently import Report
from evidently.metrics import ValueDrift
from evidently.legacy.core import ColumnType
from evidently.legacy.calculations import stattests

names = [f"x{place:02d}" for place in range(int(sys.argv[3]))]
reference, current = (pandas.DataFrame(numpy.load(path), columns=names) for path in sys.argv[1:3])
methods = ("ks", "psi", "jensenshannon", "wasserstein")
bare = [stattests.ks_stat_test, stattests.psi_stat_test, stattests.jensenshannon_stat_test,
        stattests.wasserstein_stat_test]


def report():
    made = Report([ValueDrift(column=name, method=method) for name in names for method in methods])
    told = made.run(current, reference).dict()["metrics"]
    return [float(each["value"]) for each in told]


def functions():
    return [float(test(reference[name], current[name], ColumnType.Numerical, 0.05).drift_score)
            for name in names for test in bare]


for line in sys.stdin:
    run = {"report": report, "functions": functions}[line.strip()]
    began = time.perf_counter()
    values = run()
    print(json.dumps({"seconds": time.perf_counter() - began, "values": values}), flush=True)
"""


def main() -> None:
    parser = options(__doc__, rounds={"type": int, "default": 5}, sketch={"type": int, "metavar": "ROWS"})
    given = parser.parse_args()
    if given.sketch:
        print(json.dumps(sketched(given.sketch)))
        return
    rows = 20_000 if given.quick else 100_000
    with tempfile.TemporaryDirectory(prefix="drift-") as place, evidently(Path(place), rows) as peer:
        alike = agreement(peer, rows)
        found: dict[str, Any] = {
            "rows": rows,
            "columns": COLUMNS,
            "evidently": alike,
            "seconds": speed(peer, rows, given),
        }
    found["growth"] = growth(7 if not given.quick else 6)
    found["sketch"] = [in_process(size // (10 if given.quick else 1)) for size in (10**6, 10**7)]
    finish(found, given.json, met=tell(found))


# --- speed ------------------------------------------------------------------------------------------------------------


def tables(rows: int, columns: int = COLUMNS) -> tuple[np.ndarray, np.ndarray]:
    draws = seeds.stream(1, f"{rows} rows").generator()
    reference, current = draws.normal(size=(rows, columns)), draws.normal(size=(rows, columns))
    current[:, columns // 2 :] += MOVED
    return reference, current


def names(columns: int = COLUMNS) -> list[str]:
    return [f"x{place:02d}" for place in range(columns)]


Asked = Callable[[str], dict[str, Any]]


@contextmanager
def evidently(folder: Path, rows: int) -> Iterator[Asked]:
    """Evidently in a process of its own, which answers each word with seconds and values."""
    python = environment(folder / "evidently", *PACKAGES)
    (folder / "peer.py").write_text(PEER)
    paths = []
    for name, table in zip(("reference", "current"), tables(rows), strict=True):
        paths.append(folder / f"{name}.npy")
        np.save(paths[-1], table)
    command = [str(python), "peer.py", *map(str, paths), str(COLUMNS)]
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout

        def asked(word: str) -> dict[str, Any]:
            process.stdin.write(f"{word}\n")
            process.stdin.flush()
            if not (line := process.stdout.readline()):
                sys.exit("Evidently ended without an answer")
            return json.loads(line)

        yield asked
        process.stdin.close()


def agreement(peer: Asked, rows: int) -> float:
    """The largest difference between Evidently's figures and ours by its conventions, relative to theirs."""
    reference, current = tables(rows)
    ours = []
    for old, new in zip(reference.T, current.T, strict=True):
        cells = histograms(old, new, "evidently")
        ours += [
            kolmogorov_smirnov(old, new)[1], psi(*cells, "evidently"), distance(*cells, "evidently"),
            wasserstein_scaled(old, new),
        ]  # fmt: skip
    apart = 0.0
    for word in ("report", "functions"):
        theirs = np.array(peer(word)["values"])
        apart = max(apart, float(np.max(np.abs(np.array(ours) / theirs - 1))))
    if apart > 1e-9:
        sys.exit(f"the figures are not Evidently's: {apart:.1e} apart")
    print(f"{len(ours)} figures by Evidently's conventions are Evidently's, {apart:.1e} apart at most\n", flush=True)
    return apart


def ours(reference: np.ndarray, current: np.ndarray) -> None:
    Reference.fit(by_name(reference, names())).compare(by_name(current, names()))


def scipy_loop(reference: np.ndarray, current: np.ndarray) -> None:
    """What one would write by hand: each figure by scipy or numpy, column by column."""
    from scipy import stats
    from scipy.spatial.distance import jensenshannon

    for old, new in zip(reference.T, current.T, strict=True):
        stats.ks_2samp(old, new)
        stats.wasserstein_distance(old, new)
        edges = np.concatenate([[-np.inf], np.quantile(old, np.linspace(0.1, 0.9, 9)), [np.inf]])
        p, q = (np.maximum(np.histogram(each, edges)[0] / len(each), 1e-4) for each in (old, new))
        ((p - q) * np.log(p / q)).sum()
        jensenshannon(p, q, base=2)


def timed(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def speed(peer: Asked, rows: int, given: Any) -> dict[str, list[float]]:
    reference, current = tables(rows)
    runs: dict[str, Callable[[], float]] = {
        "ours": lambda: timed(lambda: ours(reference, current)),
        "scipy loop": lambda: timed(lambda: scipy_loop(reference, current)),
        "Evidently, report": lambda: peer("report")["seconds"],
        "Evidently, functions": lambda: peer("functions")["seconds"],
    }
    fitted = Reference.fit(by_name(reference, names()))
    runs["ours, fitted before"] = lambda: timed(lambda: fitted.compare(by_name(current, names())))
    for run in runs.values():
        run()  # warm
    found: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(given.rounds):
        order = list(runs)
        for name in order[number % len(order) :] + order[: number % len(order)]:
            found[name].append(runs[name]())
    return found


# --- growth and memory ------------------------------------------------------------------------------------------------


def growth(most: int) -> list[dict[str, float]]:
    found = []
    for size in (10**power for power in range(4, most + 1)):
        reference, current = tables(size, 2)
        times = []
        for _ in range(5 if size <= 10**6 else 2):
            fitting = timed(lambda: Reference.fit(by_name(reference, names(2))))  # noqa: B023 - run at once
            fitted = Reference.fit(by_name(reference, names(2)))
            times.append((fitting, timed(lambda: fitted.compare(by_name(current, names(2))))))  # noqa: B023
        fit, compared = (middle(each) / (2 * size) * 1e9 for each in zip(*times, strict=True))
        found.append({"rows": size, "fit_ns": fit, "compare_ns": compared})
    return found


def sketched(rows: int) -> dict[str, Any]:
    """Peak memory and errors of two tables of so many rows taken in by chunks."""
    draws = seeds.stream(1, "sketched").generator()
    sides = [[Sketch(seeds.stream(side, name)) for name in names()] for side in range(2)]
    before, began = peak_mib(), time.perf_counter()
    for _ in range(0, rows, CHUNK):
        for moved, side in enumerate(sides):
            chunk = draws.normal(size=(COLUMNS, CHUNK))
            chunk[COLUMNS // 2 :] += MOVED * moved
            for sketch, values in zip(side, chunk, strict=True):
                sketch.update(values)
    taken = time.perf_counter() - began
    told = [compare(old, new) for old, new in zip(*sides, strict=True)]
    return {
        "rows": rows,
        "seconds": taken,
        "before_mib": before,
        "peak_mib": peak_mib(),
        "kept_mib": sum(sketch.nbytes for side in sides for sketch in side) / 2**20,
        "rank_error": max(sketch.error for side in sides for sketch in side),
        "rank_error_bound": sides[0][0].error_bound(),
        "alarms": [each.figures.ks_p_value <= 0.01 / COLUMNS for each in told],
    }


def peak_mib() -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def in_process(rows: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--sketch", str(rows)]
    return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


# --- what is told -----------------------------------------------------------------------------------------------------


def tell(found: dict[str, Any]) -> bool:
    medians = {name: middle(each) for name, each in found["seconds"].items()}
    print(f"{found['rows']:,} x {COLUMNS}: KS with p-value, PSI, Jensen-Shannon, Wasserstein; medians (least to most)")
    for name, seconds in medians.items():
        rounds = found["seconds"][name]
        span = f"({min(rounds):.3f} to {max(rounds):.3f})"
        print(f"  {name:22}{seconds:>9.3f} s {span:>20}{seconds / medians['ours']:>9.1f}x")
    print(f"\n{'rows':>12}{'fit, ns':>12}{'compare, ns':>14}   per row and column")
    for each in found["growth"]:
        print(f"{each['rows']:>12,}{each['fit_ns']:>12.1f}{each['compare_ns']:>14.1f}")
    print(
        f"\n{'sketched rows':>14}{'seconds':>9}{'kept, MiB':>11}{'peak, MiB':>11}{'rank error':>12}{'bound':>9}  alarms"
    )
    for each in found["sketch"]:
        alarms = f"{sum(each['alarms'][: COLUMNS // 2])} of 10 still, {sum(each['alarms'][COLUMNS // 2 :])} of 10 moved"
        print(
            f"{each['rows']:>14,}{each['seconds']:>9.1f}{each['kept_mib']:>11.1f}{each['peak_mib']:>11.1f}"
            f"{each['rank_error']:>12.3%}{each['rank_error_bound']:>9.3%}  {alarms}"
        )
    print()
    theirs = min(medians["Evidently, report"], medians["Evidently, functions"])
    a_row = {each["rows"]: each["fit_ns"] + each["compare_ns"] for each in found["growth"]}
    less, more = (each["peak_mib"] for each in found["sketch"])
    false_alarms = sum(sum(each["alarms"][: COLUMNS // 2]) for each in found["sketch"])
    met = [
        goal("as fast as Evidently, times", theirs / medians["ours"], least=10.0, form=".1f"),
        goal("as fast as a loop of scipy, times", medians["scipy loop"] / medians["ours"], least=1.0, form=".1f"),
        goal("a row of the most rows against one of 10^5", a_row[max(a_row)] / a_row[10**5], most=4.0),
        goal("memory of ten times the rows, MiB", more - less, most=32.0, form=".1f"),
        goal("false alarms of sketched columns", false_alarms, most=0, form="d"),
    ]
    return all(met)


if __name__ == "__main__":
    main()
