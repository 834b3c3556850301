"""Whole A/B tests through the engine, over many seeds: how often a difference is found, if there is one and if not.

    python benchmarks/ab_runs.py [--runs 2000] [--json FILE]

Each run is a rollout on virtual time: users split by a hash, requests served by the simulated cluster, one in ten
failing in both arms alike (or one in eleven in the candidate), looks every five minutes, the decision of
`harness.analysis.ab`. Beside it, what a fixed-sample test at every look would have said of the very same counts.
"""

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.domain.analysis import Experiment
from harness.domain.event import Decided, ExperimentLooked, Totalled
from harness.domain.fault import Errors, Fault
from harness.domain.model import ARMS, Role
from harness.domain.rollout import RolloutPolicy
from harness.domain.scenario import Scenario
from harness.domain.traffic import Knots, Process, Traffic
from harness.domain.units import HOUR, MINUTE
from harness.stats.intervals import Arm, fixed_interval
from harness.strategies.ab_test import ab_test, ab_test_steps
from tests.build import parts, rehearse, scenario

LEVEL, EFFECT, EVERY_NS, AT_MOST_NS = 0.05, 0.01, 5 * MINUTE, 4 * HOUR
RATE = 5.0
BASE, BETTER = 0.10, 0.09


def test_of(seed: int, candidate_errors: float) -> Scenario:
    """An A/B test on the success rate."""
    errors = [
        Fault(role.value, frozenset({role}), Errors(share))
        for role, share in {Role.STABLE: BASE, Role.CANDIDATE: candidate_errors}.items()
    ]
    steps = ab_test_steps(5000, Experiment("success_rate", EFFECT, LEVEL), EVERY_NS, AT_MOST_NS)
    policy = RolloutPolicy("ab_test", steps, None, sticky=True)
    traffic = Traffic("poisson", Process.POISSON, Knots((0,), (RATE,)), users=20_000)
    return replace(scenario(), seed=seed, horizon_ns=6 * HOUR, rollout=policy, faults=tuple(errors), traffic=traffic)


def one(seed: int, candidate_errors: float) -> dict[str, Any]:
    of = test_of(seed, candidate_errors)
    sizes = {role: of.service[role].replicas for role in ARMS}
    outcome, events = rehearse(of, parts(of, machine=ab_test(of.rollout, sizes)))
    looks = events.of(ExperimentLooked)
    naive = [p for look in looks if (p := _fixed_p(look)) is not None]
    return {
        "outcome": outcome.value,
        "stopped_ns": events.of(Decided)[-1].at_ns,
        "looks": len(looks),
        "naive": any(p < LEVEL for p in naive),
        "last": bool(naive) and naive[-1] < LEVEL,
        "mismatch": looks[-1].finding == "mismatch",
        "found": looks[-1].finding in {"better", "worse"} and bool(looks[-1].lower > 0 or looks[-1].upper < 0),
        "requests": sum(arm.arrived for arm in events.only(Totalled).arms.values()),
    }


def _fixed_p(look: ExperimentLooked) -> float | None:
    arms = [
        Arm.of_successes(round((mean or 0.0) * look.answers[role]), look.answers[role])
        for role, mean in ((Role.STABLE, look.stable), (Role.CANDIDATE, look.candidate))
    ]
    found = fixed_interval(*arms, LEVEL) if all(arm.n for arm in arms) else None
    return found.p_value if found else None


def study(runs: int, candidate_errors: float) -> dict[str, Any]:
    begun = time.perf_counter()
    found = [one(seed, candidate_errors) for seed in range(1, runs + 1)]
    stopped = sorted(each["stopped_ns"] for each in found)
    return {
        "runs": runs,
        "outcomes": dict(Counter(each["outcome"] for each in found)),
        "difference found": sum(each["found"] for each in found),
        "fixed test at every look": sum(each["naive"] for each in found),
        "mismatch found": sum(each["mismatch"] for each in found),
        "median minutes to the decision": stopped[len(stopped) // 2] / MINUTE,
        "looks": sum(each["looks"] for each in found),
        "requests": sum(each["requests"] for each in found),
        "wall_s": round(time.perf_counter() - begun, 1),
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--runs", type=int, default=2000)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    tables = {
        "no difference (10 % errors in both arms)": study(given.runs, BASE),
        "a difference (10 % against 9 %)": study(given.runs // 4, BETTER),
    }
    for title, table in tables.items():
        print(title)
        for name, value in table.items():
            print(f"  {name:32} {value}")
    if given.json:
        given.json.write_text(json.dumps(tables, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
