"""What the gates of a scenario refer to, held against it before anything runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.domain.gates import Fairness, GatePlan, History, Latency, ModelCard, Report, Robustness, Security, Size
from harness.domain.model import GivenPlan, PredictionsPlan
from harness.domain.scenario import Scenario
from harness.errors import InputError

if TYPE_CHECKING:
    from harness.data.split import Rows

OF_ARTIFACT: Final = (Latency, Robustness, Security, Size)
"""These look at the model itself."""


def wrong(plan: GatePlan, scenario: Scenario, held: "Rows | None") -> None:
    """Refuse what no candidate of this scenario could pass.

    Raises:
        InputError: the data lack a column or its groups, or of the candidate there is no model to look at.
    """
    source = scenario.model.candidate
    lacks = isinstance(source, PredictionsPlan) or (isinstance(source, GivenPlan) and source.model is None)
    if isinstance(plan, OF_ARTIFACT) and lacks:
        raise InputError("this gate looks at the model itself, and of the candidate only answers are known")
    if isinstance(plan, Fairness) and held is not None:
        from harness.gates.groups import grouping

        groups = grouping(held.rows, plan.columns, plan.min_rows)
        if len(groups.names) < 2:
            raise InputError(
                f"{' & '.join(plan.columns)} makes {len(groups.names)} groups of at least {plan.min_rows} held-out "
                "rows, and fairness compares two or more; lower min_rows, or name another column"
            )


def notes(scenario: Scenario) -> Iterator[str]:
    """What a run would refuse a candidate for, and may still change before it."""
    for plan in scenario.model.checks:
        if isinstance(plan, ModelCard | Report) and not Path(plan.path).is_file():
            yield f"a gate asks for {Path(plan.path).name}, which is not there yet: a run would reject the candidate"
        if isinstance(plan, History) and scenario.backends.registry == "memory":
            yield "the gate history looks at earlier versions, and the registry memory begins every run without any"
