"""Kill -9 of `harness run` with real processes, at moments drawn from a seed; all fifty: benchmarks/crashes.py."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.crashes import moments
from tests import forked
from tests.crashes import QUICK, Trial, tried
from tests.surviving import in_memory

SCENARIO = Path(__file__).parents[2] / "scenarios" / "local_canary.yaml"
STEPS = "rollout.steps=[{weight: 20%}, {pause: 1s}, {weight: 100%}, {pause: 1s}]"
QUICKER = (*QUICK, STEPS, "labels.delay=500ms", "service.replicas=1", "real.local.drain=2s")
TRIALS, SEED, WORKERS = 5, 11, 3


def test_whenever_it_is_killed_the_run_is_taken_up_and_ends_safely() -> None:
    def trial(number: int) -> Trial:
        with in_memory() as folder:
            return tried(SCENARIO, folder, moments(TRIALS, SEED)[number], QUICKER, forked.harness)

    with ThreadPoolExecutor(WORKERS) as pool:
        done = list(pool.map(trial, range(TRIALS)))
    assert [(str(each.moment), each.wrong, each.said) for each in done if each.wrong] == []
    assert any(each.killed for each in done)
