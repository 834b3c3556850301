"""The feedback loop's training: a challenger learns from what has become known, and must beat the champion.

Rows stand in order of time: the training rows first, then the held-out ones as users walk through them. Of those whose
answers are known by now, the newest are kept apart: neither model has learned from them, and both are judged on them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from harness.analysis.conditions import comparisons, parse
from harness.analysis.measure import Figures, judge_gate
from harness.clock import is_virtual, now_ns, sleep_until
from harness.data.split import Rows
from harness.domain.analysis import Relative, Rule
from harness.domain.event import Evaluated, GateChecked, ModelReady, Retrained
from harness.domain.lifecycle import RetrainPlan, Window
from harness.domain.model import Role, Task, TrainedModel, TrainPlan
from harness.domain.scenario import Scenario
from harness.errors import InputError
from harness.protocols import Case, Population, Tell
from harness.seeds import stream
from harness.training.algorithms import algorithm, effective
from harness.training.cache import ModelCache, shared
from harness.training.evaluate import evaluate
from harness.training.faults import MIN_ROWS
from harness.training.train import train

JUDGED_SHARE: Final = 0.2
"""Of the window, the newest: what champion and challenger are judged on, and the challenger does not learn from."""
MIN_JUDGED: Final = 100
"""Fewer rows tell two models apart by chance: the standard error of an accuracy over a hundred is up to 5 %."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Places in the rows in order of time: learned from is ``[start, judged)``, judged on ``[judged, stop)``."""

    start: int
    judged: int
    stop: int


def cut(plan: RetrainPlan, first: int, known: int, learned: int) -> Cut:
    """Which of the known rows a challenger learns from, and which it is judged on.

    Args:
        plan: the window, and its length.
        first: how many rows the first training had; the length of a sliding window that says none.
        known: how many rows' answers are known.
        learned: how many of them the champion may have learned from: on those it would look better than it is.

    >>> cut(RetrainPlan(TrainPlan("majority", {}), rows=1000), first=500, known=3000, learned=500)
    Cut(start=2000, judged=2800, stop=3000)
    >>> cut(RetrainPlan(TrainPlan("majority", {}), Window.EXPANDING), first=500, known=3000, learned=2900)
    Cut(start=0, judged=2900, stop=3000)
    """
    start = 0 if plan.window is Window.EXPANDING else max(known - (plan.rows or first), 0)
    judged = max(known - round((known - start) * JUDGED_SHARE), learned)
    return Cut(start, min(judged, known), known)


class Retrain:
    """Trains challengers in one run, as `protocols.Retrainer` promises.

    On virtual time each takes its stated duration, while users go on.

    Args:
        scenario: with a plan of retraining.
        cache: a folder in which trained models are kept from run to run, or a cache; None: no folder.

    Raises:
        InputError: the scenario cannot tell what is known by a time, or its plan is not one of training.
    """

    def __init__(self, scenario: Scenario, cache: Path | ModelCache | None = None) -> None:
        self._plan, self._source = _checked(scenario)
        self._cache = cache if isinstance(cache, ModelCache) else shared(cache)
        self._learned: dict[str, int] = {}
        """How many rows, from the first on, each challenger has learned from, by its digest."""
        self._count = 0

    async def challenge(self, case: Case, known: float, tell: Tell) -> Case | None:
        """Train, judge, and answer with the challenger as candidate; None where it is no better.

        A challenger that cannot be trained is none; the champion stays, and the log tells why.
        """
        training, held = case.training, case.population
        if training is None or held is None:
            raise InputError("a challenger is to be trained, but no data set was read")
        began_ns, first = now_ns(), len(training.rows)
        rows = _known_rows(training, held, known)
        champion = case.models[Role.STABLE]
        places = cut(self._plan, first, len(rows.rows), self._learned.get(champion.artifact_digest, first))
        judged = rows.take(np.arange(places.judged, places.stop))
        learnt = rows.take(np.arange(places.start, places.judged))
        if refusal := _too_few(learnt, judged):
            tell(Retrained, rows=0, newest=_newest(rows), better=False, detail=refusal)
            return None
        try:
            challenger = await self._train(case, learnt, began_ns, tell)
        except InputError as error:
            tell(Retrained, rows=0, newest=_newest(learnt), better=False, detail=f"it could not be trained: {error}")
            return None
        self._learned[challenger.artifact_digest] = places.judged
        models = {
            role: replace(model, metrics=_judged_on(judged, role, model, tell))
            for role, model in {Role.STABLE: champion, Role.CANDIDATE: challenger}.items()
        }
        better, detail = self._better(models, tell)
        tell(Retrained, rows=len(learnt.rows), newest=_newest(learnt), better=better, detail=detail)
        return case.having(models=models) if better else None

    async def _train(self, case: Case, rows: Rows, began_ns: int, tell: Tell) -> TrainedModel:
        scenario, source = case.scenario, self._source
        self._count += 1
        random_state = stream(scenario.seed, f"training/challenger/{self._count}").integer()
        model, fitted, reused = train(
            source, rows, random_state, self._cache, scenario.model.name, Role.CANDIDATE, case.data_digest
        )
        if is_virtual():
            await sleep_until(began_ns + source.duration_ns)
        tell(
            ModelReady,
            role=Role.CANDIDATE,
            source=model.source,
            algorithm=model.algorithm,
            params=model.params,
            artifact_digest=model.artifact_digest,
            data_digest=model.data_digest,
            takes_ns=source.duration_ns,
            notes=fitted.notes,
            reused=reused,
        )
        return model

    def _better(self, models: Mapping[Role, TrainedModel], tell: Tell) -> tuple[bool, str]:
        """Judge every gate; whether all hold, and what there is to say of it."""
        figures: dict[Role, Figures] = {role: dict(model.metrics) for role, model in models.items()}
        found = [judge_gate(rule, figures) for rule in gates_of(self._plan, models[Role.STABLE].task)]
        texts = [rule.text for rule in gates_of(self._plan, models[Role.STABLE].task)]
        for text, gate in zip(texts, found, strict=True):
            tell(GateChecked, gate.metric, text, gate.passed, gate.value, gate.stable, gate.bound)
        failed = [gate.reason for gate in found if not gate.passed]
        return not failed, "; ".join(failed or [gate.reason for gate in found])


def gates_of(plan: RetrainPlan, task: Task) -> tuple[Rule, ...]:
    """What a challenger must show: the plan's gates, and that it is better, where none of them compares it.

    >>> [rule.text for rule in gates_of(RetrainPlan(TrainPlan("majority", {})), Task.CLASSIFICATION)]
    ['accuracy > stable']
    """
    compared = any(isinstance(each.bound, Relative) for rule in plan.gates for each in comparisons(rule.condition))
    usual = parse("accuracy > stable" if task is Task.CLASSIFICATION else "rmse < stable")
    return plan.gates if compared else (*plan.gates, usual)


def _checked(scenario: Scenario) -> tuple[RetrainPlan, TrainPlan]:
    """The plan and what it trains, if the scenario can tell what is known by a time."""
    plan = scenario.aftercare.retrain if scenario.aftercare else None
    data = scenario.model.data
    if plan is None:
        raise InputError("this scenario has no plan of retraining")
    if data is None or data.walk_ns is None:
        raise InputError(
            "a challenger learns from the rows whose answers are known by then, which rows in no order of time cannot "
            "tell; say how long users take to walk through them (model.data.walk), or leave the retraining out"
        )
    if scenario.labels is None:
        raise InputError(
            "a challenger learns from the rows whose answers are known by then, and without `labels` none ever is; "
            "say when labels come, or leave the retraining out"
        )
    if not isinstance(plan.source, TrainPlan):
        raise InputError("a challenger is trained: its source must be an algorithm, not a model that is there already")
    task = Task.CLASSIFICATION if data.positive is not None else Task.REGRESSION
    if algorithm(plan.source.algorithm).task is not task:
        raise InputError(f"retrain: {plan.source.algorithm} is no algorithm for {task}, which the data set is for")
    effective(plan.source.algorithm, plan.source.params, random_state=0)
    return plan, plan.source


def _known_rows(training: Population, held: Population, known: float) -> Rows:
    """All rows whose answers are known by now, in order of time, with what is known of them.

    Users at a time ask any of the part of the rows that their time is in: what they may still be asked is left out, so
    that nobody who asks later meets a model that has learned the answer.
    """
    from harness.sim.arrays import WINDOWS

    count = len(held.rows)
    asked = held.rows.iloc[: int(known * (count - max(count // WINDOWS, 1)))]
    target: Any = np.asarray(held.target)[: len(asked)]
    there = np.ones(len(asked), dtype=bool)
    if held.known is not None:  # a proxy, or outcomes of the user's own; of some rows nothing ever becomes known
        told = np.asarray(held.known)[: len(asked)]
        there = ~np.isnan(told)
        target = np.where(there, told, 0).astype(target.dtype)
    classes = held.classes if isinstance(held, Rows) else ("0", "1") if target.dtype.kind in "iub" else ()
    return Rows(pd.concat([training.rows, asked[there]]), np.concatenate([training.target, target[there]]), classes)


def _too_few(learnt: Rows, judged: Rows) -> str:
    if len(judged.rows) < MIN_JUDGED:
        return (
            f"no challenger yet: {len(judged.rows)} rows are known that the champion has not learned from, and "
            f"{MIN_JUDGED} are needed to judge by"
        )
    if len(learnt.rows) < MIN_ROWS or (learnt.classes and len(np.unique(learnt.target)) < 2):
        return f"no challenger: the {len(learnt.rows)} rows of the window do not suffice to train on"
    return ""


def _judged_on(rows: Rows, role: Role, model: TrainedModel, tell: Tell) -> dict[str, float]:
    metrics = evaluate(model, rows)
    tell(Evaluated, role=role, rows=len(rows.rows), metrics=metrics)
    return metrics


def _newest(rows: Rows) -> int:
    """The number of the last row, in the data set."""
    return int(rows.rows.index[-1])
