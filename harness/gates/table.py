"""Which file judges which plan: adding a gate is adding a file, a plan, and a line here."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from harness.domain.gates import (
    Check,
    Fairness,
    GatePlan,
    History,
    Latency,
    ModelCard,
    NoRegression,
    Report,
    Robustness,
    Security,
    Size,
)
from harness.errors import ArtifactError, InputError
from harness.gates import card, fairness, history, latency, regression, reports, robustness, security, size
from harness.gates.scene import Scene

Judge = Callable[[Any, Scene], tuple[Check, ...]]

GATES: Final[Mapping[type[Any], tuple[str, Judge]]] = {
    Fairness: (fairness.NAME, fairness.judge),
    History: (history.NAME, history.judge),
    Latency: (latency.NAME, latency.judge),
    ModelCard: (card.NAME, card.judge),
    NoRegression: (regression.NAME, regression.judge),
    Report: (reports.NAME, reports.judge),
    Robustness: (robustness.NAME, robustness.judge),
    Security: (security.NAME, security.judge),
    Size: (size.NAME, size.judge),
}
"""By the kind of plan: the gate's word, and what judges it."""


def judge(plan: GatePlan, scene: Scene) -> tuple[Check, ...]:
    """All that a plan asks, answered; what cannot be judged has failed, and says why.

    A gate that lets through what it could not look at is none. What is wrong with the plan itself is wrong input, and
    would be so for every candidate.
    """
    name, ask = GATES[type(plan)]
    try:
        return ask(plan, scene)
    except (InputError, ArtifactError) as error:
        return (Check(name, name.replace("_", " "), passed=False, reason=f"{name} could not be judged: {error}"),)
