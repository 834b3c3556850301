"""``robustness``: how much of a metric is lost on rows that were tampered with, and does the model answer at all?

Each perturbation is made by itself, from a stream of its own of the seed, in all columns that it fits. What a model
answers with an error, or with no number, fails whatever the metric says.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.domain.gates import Check, Robustness
from harness.errors import ArtifactError
from harness.gates.scene import Scene, better_by
from harness.gates.words import amount, difference, figure, share
from harness.seeds import stream
from harness.training.answered import answered_rows
from harness.training.weighed import value

NAME: Final = "robustness"
UNSEEN: Final = "a value that nobody has seen"

Perturb = Callable[[Any, Robustness, np.random.Generator], Any]


def judge(plan: Robustness, scene: Scene) -> tuple[Check, ...]:
    """A check for each perturbation that the plan asks for and the columns allow.

    Raises:
        InputError: there are no rows or no model, or the rows do not define the metric.
        ArtifactError: the candidate cannot answer the rows as they are.
    """
    clean = value(plan.metric, scene.answers)
    asked = [word for word in PERTURBATIONS if getattr(plan, FIELDS[word])]
    return tuple(check for word in asked for check in _check(word, plan, scene, clean))


def _check(word: str, plan: Robustness, scene: Scene, clean: float) -> tuple[Check, ...]:
    rows = scene.rows.rows[list(scene.candidate.features)]
    draws = stream(scene.seed, f"gates/robustness/{word}").generator()
    changed = PERTURBATIONS[word](rows, plan, draws)
    if changed is None:
        return ()
    told = _told(word, plan)
    name, text = (
        f"{NAME}.{word}",
        f"robustness: {plan.metric} loses at most {amount(plan.metric, plan.drop)} with {told}",
    )
    bound = f"<= {amount(plan.metric, plan.drop)} lost"
    try:
        answers = answered_rows(scene.candidate, changed, scene.rows.target)
    except ArtifactError as error:
        return (Check(name, text, passed=False, reason=f"with {told}: {error}", bound=bound),)
    blank = int((~np.isfinite(answers.predicted)).sum())
    if answers.score is not None:
        blank = max(blank, int((~np.isfinite(answers.score)).sum()))
    if blank:
        return (Check(name, text, passed=False, reason=f"with {told}, {blank:,} answers are no number", bound=bound),)
    found = value(plan.metric, answers)
    lost = -better_by(plan.metric, found, clean)
    return (
        Check(
            name=name,
            text=text,
            passed=bool(lost <= plan.drop),
            reason=f"with {told}, {plan.metric} was {figure(plan.metric, found)} against {figure(plan.metric, clean)} "
            f"on clean rows: {difference(plan.metric, found - clean)} (bound: {bound})",
            value=lost if np.isfinite(lost) else None,
            bound=bound,
        ),
    )


def _told(word: str, plan: Robustness) -> str:
    return {
        "noise": f"noise of {plan.noise_sd:g}sd on numbers",
        "missing": f"{share(plan.missing)} of the values missing",
        "unknown": f"{share(plan.unknown)} of the categories unknown",
        "extreme": f"{share(plan.extreme)} of the numbers {plan.extreme_sd:g}sd out",
    }[word]


# --- perturbations ----------------------------------------------------------------------------------------------------


def _numbers(rows: Any) -> list[str]:
    return [name for name in rows.columns if pd.api.types.is_numeric_dtype(rows[name])]


def _texts(rows: Any) -> list[str]:
    numbers = set(_numbers(rows))
    return [name for name in rows.columns if name not in numbers]


def _sd(values: Any) -> float:
    """The standard deviation of what is there; 0 where nothing is."""
    there = values.to_numpy(np.float64)
    there = there[np.isfinite(there)]
    return float(there.std()) if len(there) else 0.0


def noise(rows: Any, plan: Robustness, draws: np.random.Generator) -> Any:
    """Normal noise of so many standard deviations on each column of numbers; None where there is none."""
    columns = _numbers(rows)
    made = {name: rows[name] + draws.normal(0, plan.noise_sd * _sd(rows[name]), len(rows)) for name in columns}
    return rows.assign(**made) if columns else None


def missing(rows: Any, plan: Robustness, draws: np.random.Generator) -> Any:
    """A share of each column's values is emptied."""
    return rows.assign(**{name: rows[name].mask(_chosen(rows, plan.missing, draws)) for name in rows.columns})


def unknown(rows: Any, plan: Robustness, draws: np.random.Generator) -> Any:
    """A share of each column of categories holds one that nobody has seen; None where there is no such column."""
    columns = _texts(rows)
    made = {name: rows[name].mask(_chosen(rows, plan.unknown, draws), UNSEEN) for name in columns}
    return rows.assign(**made) if columns else None


def extreme(rows: Any, plan: Robustness, draws: np.random.Generator) -> Any:
    """A share of each column of numbers lies so many standard deviations out, on either side; None: there is none."""
    columns = _numbers(rows)
    made = {}
    for name in columns:
        far = draws.choice((-1.0, 1.0), len(rows)) * plan.extreme_sd * _sd(rows[name])
        made[name] = rows[name].mask(_chosen(rows, plan.extreme, draws), rows[name].mean() + far)
    return rows.assign(**made) if columns else None


def _chosen(rows: Any, share: float, draws: np.random.Generator) -> NDArray[np.bool_]:
    return np.asarray(draws.random(len(rows)) < share)


PERTURBATIONS: Final[Mapping[str, Perturb]] = {
    "noise": noise,
    "missing": missing,
    "unknown": unknown,
    "extreme": extreme,
}
FIELDS: Final = {"noise": "noise_sd", "missing": "missing", "unknown": "unknown", "extreme": "extreme"}
"""The field of a plan that says how much; 0: not at all."""
