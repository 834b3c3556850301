"""A first model card of a scenario's candidate: trained and measured as a run does it, and nothing is deployed."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness import clock
from harness.app.running import Options, parts
from harness.domain.gates import Fairness
from harness.domain.scenario import Clock, Scenario
from harness.errors import InputError
from harness.protocols import Case

if TYPE_CHECKING:
    from harness.gates.firstcard import Facts
    from harness.gates.scene import Scene

LAST: Final = "evaluate"
"""The stage after which all that a card tells is known."""


def card_of(scenario: Scenario, options: Options | None = None) -> str:
    """The card as Markdown; what only a person knows is left to them as a placeholder.

    Must be called where no event loop runs.

    Raises:
        InputError: the data or a model cannot be used, or nothing is known of the candidate's model.
        Rejected: the data break their schema.
    """
    from harness.gates.firstcard import first_card
    from harness.gates.stage import scene_of

    start = clock.run_virtual if scenario.clock is Clock.VIRTUAL else clock.run_real
    case: Case = start(_evaluated, scenario, parts(scenario, "card", options or Options()))
    scene = scene_of(case)
    model = scene.candidate
    if model.estimator is None:
        raise InputError("nothing is known of the candidate's model, so there is no card to write")
    return first_card(model, _facts(scenario, case, scene))


async def _evaluated(scenario: Scenario, made_of: Any) -> Case:
    """The stages of a run as far as the evaluation; what they tell is not kept."""

    def tell(event: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return event(clock.now_ns(), *args, **kwargs)

    case = Case(scenario)
    for stage in made_of.stages:
        case = await stage.run(case, tell)
        if stage.name == LAST:
            break
    return case


def _facts(scenario: Scenario, case: Case, scene: "Scene") -> "Facts":
    from harness.gates.firstcard import Facts
    from harness.training.bootstrap import LEVEL, intervals

    data = scenario.model.data
    if data is None or case.population is None:
        return Facts()
    found = intervals(scene.answers)
    return Facts(
        source=Path(data.source).name,
        training_rows=len(case.training.rows) if case.training else 0,
        held_out_rows=len(case.population.rows),
        target=data.target,
        intervals={name: (each.lower, each.upper) for name, each in found.items() if name in scene.candidate.metrics},
        level=LEVEL,
        slices=_slices(scenario, scene),
        checks=_fairness(scenario, scene),
    )


def _asked(scenario: Scenario) -> tuple[Fairness, ...]:
    return tuple(plan for plan in scenario.model.checks if isinstance(plan, Fairness))


def _fairness(scenario: Scenario, scene: "Scene") -> tuple[Any, ...]:
    from harness.gates.table import judge

    return tuple(check for plan in _asked(scenario) for check in judge(plan, scene))


def _slices(scenario: Scenario, scene: "Scene") -> list[tuple[str, int, dict[str, float]]]:
    """By the columns that fairness is asked of; the figures of the metrics that each slice has."""
    from harness.domain.evaluation import SlicePlan
    from harness.training.slices import sliced

    told = []
    for column in dict.fromkeys(column for plan in _asked(scenario) for column in plan.columns):
        for each in sliced(scene.answers, scene.rows.rows, SlicePlan((column,))).slices:
            known = {
                name: value
                for name, value in each.metrics.items()
                if value is not None and name in scene.candidate.metrics
            }
            told.append((f"{column}: {each.name}" if column not in each.name else each.name, each.rows, known))
    return told
