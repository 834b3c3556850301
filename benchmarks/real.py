"""Rollouts of real processes: what became of each, what their users lost, and what was left behind.

Each row is `harness run SCENARIO --clock real` as a user would type it: replicas of `harness serve` as processes, a
real router before them, real requests. Lost are requests that got no answer of a replica, by the clients' own count.

    python benchmarks/real.py [ROUNDS]
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from harness import log
from harness.backends.processes import notes
from harness.domain.event import Totalled
from harness.domain.model import SERVING

SCENARIOS = Path(__file__).parents[1] / "scenarios"
HAPROXY, PROMETHEUS = "backends.router=haproxy", "backends.metrics=prometheus"
HEALTHY = ("inject=[]", "expect=[outcome == promoted, failed_requests == 0]")
MARK = "HARNESS_REAL_BENCHMARK"
STAGED = ("inject=[]", "service.timeout=10s")
SHORTLY = "staging={golden_rows: 3, duration: 2s}"
SLOW = "staging={golden_rows: 3, duration: 2s, inject: [{on: candidate, latency: +3s}]}"
OWN_KINDS = ("error",)
"""Failures that a replica answered: of the candidate, because it is a bad one. All others are lost requests."""


@dataclass(frozen=True)
class Row:
    name: str
    scenario: str
    changes: tuple[str, ...]
    outcome: str


ROWS = (
    Row("bad canary", "local_canary", (), "rolled_back"),
    Row("bad canary, HAProxy", "local_canary", (HAPROXY,), "rolled_back"),
    Row("bad canary, Prometheus", "local_canary", (PROMETHEUS,), "rolled_back"),
    Row("bad canary, HAProxy and Prometheus", "local_canary", (HAPROXY, PROMETHEUS), "rolled_back"),
    Row("healthy canary", "local_canary", HEALTHY, "promoted"),
    Row("healthy canary, HAProxy and Prometheus", "local_canary", (*HEALTHY, HAPROXY, PROMETHEUS), "promoted"),
    Row("blue-green", "local_blue_green", (), "promoted"),
    Row("blue-green, HAProxy", "local_blue_green", (HAPROXY,), "promoted"),
    Row("rolling", "local_rolling", (), "promoted"),
    Row("slow candidate, staged", "local_canary", (*STAGED, SLOW, "expect=[outcome == rejected]"), "rejected"),
    Row("healthy canary, staged", "local_canary", (*STAGED, SHORTLY, *HEALTHY), "promoted"),
    Row("rolling, HAProxy", "local_rolling", (HAPROXY,), "promoted"),
)


def run(row: Row, reports: Path) -> tuple[dict[str, Any], list[str]]:
    """The run's own JSON, and what of its processes is left."""
    mark = uuid4().hex
    words = [sys.executable, "-m", "harness", "run", str(SCENARIOS / f"{row.scenario}.yaml"), "--clock", "real"]
    words += ["--quiet", "--json", "-", "--report", str(reports)]
    for change in row.changes:
        words += ["--set", change]
    done = subprocess.run(words, text=True, capture_output=True, check=False, env=os.environ | {MARK: mark})
    if not done.stdout:
        raise SystemExit(f"{row.name}: exit {done.returncode}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)["scenarios"][0]
    return found, left_behind(mark) + [str(note) for note in notes(reports.resolve() / ".state")]


def lost(errors: Mapping[str, int]) -> int:
    """Of an arm's failures those that no replica answered."""
    return sum(count for kind, count in errors.items() if kind not in OWN_KINDS)


def left_behind(mark: str) -> list[str]:
    """Processes that a run started and that are still there, by a mark that its children inherit."""
    found = []
    for each in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"{MARK}={mark}".encode() in each.read_bytes().split(b"\0"):
                found.append(each.parent.name)
        except OSError:
            continue
    return found


def main(rounds: int) -> int:
    """Every row, as often as asked."""
    wrong = total = total_lost = 0
    print(f"{'rollout':40} {'outcome':12} {'requests':>8} {'lost':>5} {'to cand.':>8} {'detected':>9} {'left':>4}")
    for number in range(rounds):
        for row in ROWS:
            with tempfile.TemporaryDirectory(prefix="harness-real-") as folder:
                reports = Path(folder)
                found, left = run(row, reports)
                counted = log.read(Path(found["event_log"])).of(Totalled)
                arms = counted[-1].arms if counted else {}  # none: no user ever asked
                gone = sum(lost(arms[role].errors) for role in SERVING if role in arms)
            total, total_lost = total + found["requests"], total_lost + gone
            good = found["outcome"] == row.outcome and found["passed"] and not gone and not left
            wrong += not good
            after = found["detected_after_s"]
            told = f"{after:.1f} s" if after is not None else "-"
            print(
                f"{row.name:40} {found['outcome']:12} {found['requests']:8} {gone:5} {found['candidate_requests']:8}"
                f" {told:>9} {len(left):4}{'' if good else f'   WRONG (round {number + 1}): ' + found['reason']}",
                flush=True,
            )
    print(f"{rounds * len(ROWS)} rollouts, {total} requests, {total_lost} lost, {wrong} not as they should be")
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1))
