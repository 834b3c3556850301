"""``latency``: how long the model takes to answer, here and now.

The wall clock of a shared machine is noisy, and noise only adds. So each round asks some rows to warm up and then so
many one by one, a percentile is taken of each round, and the quietest round is judged. What the clock says is kept out
of the log's digest; the verdict stays in, so a bound belongs well above what is measured (three times, say).
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from harness.clock import wall_ns
from harness.domain.gates import Check, Details, Latency
from harness.domain.units import SECOND
from harness.errors import InputError
from harness.gates.scene import Scene

NAME: Final = "latency"
WARM_UP: Final = 5
BATCH: Final = "batch"
BATCHES: Final = 5
PERCENTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
WORDS: Final = (*PERCENTILES, BATCH)


def judge(plan: Latency, scene: Scene) -> tuple[Check, ...]:
    """A check for each bound; figures stand in what was measured alone, for they differ from run to run.

    Raises:
        InputError: there are no rows, or no model to ask.
    """
    if scene.artifact_lacks:
        raise InputError(scene.artifact_lacks)
    if wrong := [word for word in plan.limits if word not in WORDS]:
        raise InputError(f"latency has no {wrong[0]}; there are {', '.join(WORDS)}")
    measured = measure(plan, scene)
    return tuple(
        Check(
            name=f"{NAME}.{word}",
            text=f"latency: {_what(word, plan)} {limit.text}",
            passed=limit.holds(measured[word]),
            reason=f"{_what(word, plan)} {'kept' if limit.holds(measured[word]) else 'broke'} its bound, {limit.text}; "
            "what was measured is no part of the log's digest",
            bound=limit.text,
            details=Details(
                (),
                (),
                f"by the wall clock: the quietest of {plan.rounds} rounds, each of {plan.repeats} rows "
                f"after {WARM_UP} to warm up",
            ),
            measured={word: measured[word]},
        )
        for word, limit in plan.limits.items()
    )


def _what(word: str, plan: Latency) -> str:
    return f"a batch of {plan.batch_rows} rows" if word == BATCH else f"{word} of one row"


def measure(plan: Latency, scene: Scene, clock: Callable[[], int] = wall_ns) -> dict[str, float]:
    """Seconds, by the words that are bounded.

    Args:
        plan: which, and how often.
        scene: whose rows, and the model.
        clock: nanoseconds of some clock.
    """
    rows, model = scene.rows.rows[list(scene.candidate.features)], scene.candidate.estimator.predict
    found: dict[str, float] = {}
    if percentiles := [word for word in plan.limits if word != BATCH]:
        some = [rows.iloc[[at % len(rows)]] for at in range(plan.repeats + WARM_UP)]
        rounds = [_times(model, some, WARM_UP, clock) for _ in range(plan.rounds)]
        found |= {word: min(float(np.quantile(each, PERCENTILES[word])) for each in rounds) for word in percentiles}
    if BATCH in plan.limits:
        batch = rows.iloc[np.arange(plan.batch_rows) % len(rows)]
        found[BATCH] = min(
            float(np.median(_times(model, [batch] * (BATCHES + 1), 1, clock))) for _ in range(plan.rounds)
        )
    return found


def _times(model: Callable[[Any], Any], asked: list[Any], warm_up: int, clock: Callable[[], int]) -> list[float]:
    took = []
    for rows in asked:
        began = clock()
        model(rows)
        took.append((clock() - began) / SECOND)
    return took[warm_up:]
