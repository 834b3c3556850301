"""Scenario files: read, and foreseen."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from harness.app.installed import catalog, planned
from harness.app.loadtold import load_tests
from harness.domain.model import Role
from harness.domain.scenario import Clock, Scenario

REAL: Final = ("local", "http", "kubernetes")
"""Servers that are there on real time only."""
REHEARSED: Final = ("backends.serving=simulated", "backends.metrics=inprocess")
"""What stands in for them on virtual time."""


def load_scenario(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    seed: int | None = None,
    clock: str | None = None,
    quick: bool = False,
    trust_pickle: bool = False,
) -> Scenario:
    """Read a scenario file.

    Args:
        path: the file.
        overrides: ``PATH=VALUE`` each, as after ``--set``.
        seed: instead of the file's.
        clock: ``virtual`` or ``real``, instead of the file's; on virtual time servers that are real are simulated.
        quick: leave the parameters of algorithms unchecked, and whether there is an MLflow for a model's URI.
        trust_pickle: let model files be pickles; loading one runs whatever it holds.

    Raises:
        ScenarioError: with every problem of the file and its place.
    """
    from harness import scenario

    extra = [f"seed={seed}"] if seed is not None else []
    extra += [f"clock={clock}"] if clock is not None else []
    words = catalog(quick=quick, trust_pickle=trust_pickle)
    made = scenario.load(str(path), words, [*overrides, *extra])
    if clock != Clock.VIRTUAL:
        return made
    rehearsed = [*(REHEARSED if made.backends.serving in REAL else ()), *_unstaged(made)]
    return scenario.load(str(path), words, [*overrides, *extra, *rehearsed]) if rehearsed else made


def _unstaged(made: Scenario) -> Sequence[str]:
    """What stands in on virtual time for a real staging environment that a scenario names."""
    return ("backends.staging=simulated",) if made.backends.staging in REAL else ()


def timeline(scenario: Scenario) -> Any:
    """What the scenario's policy would do if all goes well."""
    from harness import arrivals
    from harness.sim.laws import moments
    from harness.strategies.plan import timeline as foresee

    curve = arrivals.of(scenario.traffic).curve
    laws = {role: moments(service.service_time)[0] for role, service in scenario.service.items()}
    foreseen = foresee(
        planned(scenario),
        lambda start, stop: float(curve.expected(stop) - curve.expected(start)),
        laws,
    )
    first = tuple(load_tests(scenario, laws[Role.CANDIDATE]))
    return replace(foreseen, remarks=(*first, *foreseen.remarks)) if first else foreseen
