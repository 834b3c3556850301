"""The shipped local scenarios as a user starts them: real processes, real routers, real requests; shortened.

`benchmarks/real.py` has them at their full length, and more of them: rolling updates too.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from harness import log
from harness.domain.event import Totalled
from harness.domain.lost import lost_in
from harness.domain.model import SERVING
from tests.requires import program
from tests.shipped import SCENARIOS

MARK = "HARNESS_REAL_ROLLOUT"
ONE_REPLICA = ("service.replicas=1", "labels.delay=0s")
SHORT = (
    *ONE_REPLICA,
    "rollout.steps=[{weight: 50%}, {pause: 4s}, {weight: 100%}, {pause: 1s}]",
    "rollout.analysis.every=500ms",
    "rollout.analysis.window=1500ms",
    "rollout.analysis.min_requests=10",
)
BAD = (
    "inject=[{on: candidate, training: {corrupt: 40%}}, {at: 0s, on: candidate, latency: +150ms}]",
    "expect=[outcome == rolled_back, failed_requests == 0]",
)
HEALTHY = ("inject=[]", "expect=[outcome == promoted, failed_requests == 0]")
STAGED = (
    "staging={golden_rows: 3, duration: 1s, min_grade: C}",
    "service.timeout=10s",
    "rollout.analysis.rules=[error_rate <= stable + 5%]",
    "expect=[outcome == promoted, failed_requests == 0, grade != F]",  # a grade is a load test's that was made
)
SHORTER_LOOKS = ("rollout.after.every=1s", "rollout.after.looks=2", "rollout.keep_for=1s")


def run(scenario: str, changes: tuple[str, ...], reports: Path) -> tuple[dict[str, Any], list[str]]:
    """The run's own JSON, and what of its processes is left."""
    mark = uuid4().hex
    words = [sys.executable, "-m", "harness", "run", str(SCENARIOS / f"{scenario}.yaml"), "--clock", "real"]
    words += ["--quiet", "--json", "-", "--report", str(reports)]
    words += [word for change in changes for word in ("--set", change)]
    done = subprocess.run(words, text=True, capture_output=True, check=False, env=os.environ | {MARK: mark})
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["scenarios"][0]
    return found, marked(mark)


def marked(mark: str) -> list[str]:
    """Command lines of the processes that were started below one with the mark."""
    left = []
    for each in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"{MARK}={mark}".encode() in each.read_bytes().split(b"\0"):
                left.append((each.parent / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # another user's, or gone since
    return left


@pytest.mark.parametrize(
    ("scenario", "changes", "outcome"),
    [
        pytest.param("local_canary", (*SHORT, *BAD), "rolled_back", id="bad-canary"),
        pytest.param(
            "local_canary",
            (*SHORT, *BAD, "backends.router=haproxy", "backends.metrics=prometheus"),
            "rolled_back",
            id="bad-canary-haproxy-prometheus",
        ),
        pytest.param("local_canary", (*SHORT, *HEALTHY, *STAGED), "promoted", id="healthy-canary-staged"),
        pytest.param("local_blue_green", (*ONE_REPLICA, *SHORTER_LOOKS), "promoted", id="blue-green"),
    ],
)
def test_a_real_rollout_ends_as_it_should_and_loses_nothing(
    scenario: str, changes: tuple[str, ...], outcome: str, tmp_path: Path
) -> None:
    if "backends.router=haproxy" in changes:
        program("haproxy")
        program("prometheus")
    found, left = run(scenario, changes, tmp_path)
    assert found["outcome"] == outcome, found["reason"]
    arms = log.read(Path(found["event_log"])).last(Totalled).arms
    assert found["passed"], found["expectations"]
    assert found["requests"] > 0
    assert not [lost for role in SERVING if role in arms and (lost := lost_in(arms[role].errors))]
    assert not left
