"""Kill -9 of `harness run` with real processes, at moments drawn from a seed; all fifty: benchmarks/crashes.py."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.crashes import moments
from tests import forked
from tests.crashes import QUICK, Moment, Trial, surely, tried
from tests.surviving import in_memory

SCENARIO = Path(__file__).parents[2] / "scenarios" / "local_canary.yaml"
STEPS = "rollout.steps=[{weight: 20%}, {pause: 1s}, {weight: 100%}, {pause: 1s}]"
QUICKER = (*QUICK, STEPS, "labels.delay=500ms", "service.replicas=1", "real.local.drain=2s")
TRIALS, SEED, WORKERS = 5, 11, 3
HAPROXY = {2: ("backends.router=haproxy",)} if shutil.which("haproxy") else {}
"""What is in front of one of them; all the others have the built-in router."""


def test_whenever_it_is_killed_the_run_is_taken_up_and_ends_safely() -> None:
    def trial(number: int) -> Trial:
        def at(moment: Moment) -> Trial:
            with in_memory() as folder:
                return tried(SCENARIO, folder, moment, (*QUICKER, *HAPROXY.get(number, ())), forked.harness)

        return surely(at, moments(TRIALS, SEED)[number])

    with ThreadPoolExecutor(WORKERS) as pool:
        done = list(pool.map(trial, range(TRIALS)))
    assert [(str(each.moment), each.wrong, each.said) for each in done if each.wrong] == []
    assert sum(each.routed is not None for each in done) >= TRIALS - len(HAPROXY)
    assert [each.killed for each in done] == [True] * TRIALS
