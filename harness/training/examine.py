"""The stage ``examine``: what the models are asked beyond their figures on all held-out rows together."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from harness.data.table import read_table
from harness.domain.evaluation import Bounds, Cases, Directional, EvaluationPlan
from harness.domain.evaluation_event import (
    BehaviourFound,
    CalibrationFound,
    ImportanceFound,
    IntervalsFound,
    SlicesFound,
)
from harness.domain.event import GateChecked, GateDetails
from harness.domain.model import Role, TrainedModel
from harness.errors import InputError
from harness.protocols import Case, Population, Tell
from harness.seeds import stream
from harness.training.answered import Answered, answered
from harness.training.behaviour import check
from harness.training.bootstrap import intervals
from harness.training.calibration import calibration
from harness.training.importance import importance
from harness.training.paired import difference
from harness.training.slices import sliced

ROLES = (Role.STABLE, Role.CANDIDATE)


class Examine:
    """Asks the candidate what the plan says, and stable what the two can be compared by.

    Each behaviour is a gate: a candidate that does not show it is rejected, with all that refuses it.
    """

    name = "examine"

    def __init__(self, plan: EvaluationPlan) -> None:
        self.plan = plan

    async def run(self, case: Case, tell: Tell) -> Case:
        """Tell what was found; answer with why behaviours refuse the candidate.

        Raises:
            InputError: the plan asks what these models or rows cannot answer.
            ArtifactError: a model cannot answer the rows.
        """
        population = case.population
        if population is None:
            return case
        answers = {role: answered(case.models[role], population) for role in ROLES}
        if self.plan.intervals:
            self._intervals(answers, case.scenario.seed, tell)
        for role in ROLES:
            self._slices(role, answers[role], population, case.scenario.seed, tell)
        for role in ROLES:
            self._calibration(role, answers[role], tell)
        if self.plan.importance:
            self._importance(case.models[Role.CANDIDATE], population, case.scenario.seed, tell)
        refusals = self._behaviour(case, population, tell)
        return case.having(refusals=(*case.refusals, *refusals))

    def _intervals(self, answers: Mapping[Role, Answered], seed: int, tell: Tell) -> None:
        resamples, level = self.plan.intervals, self.plan.level
        draws = stream(seed, "evaluation/bootstrap")
        found = {
            role: {
                name: Bounds(each.value, each.lower, each.upper, each.method)
                for name, each in intervals(answers[role], resamples=resamples, level=level, draws=draws).items()
            }
            for role in ROLES
        }
        apart = {name: self._apart(answers, name, seed) for name in found[Role.CANDIDATE] if name in found[Role.STABLE]}
        for role in ROLES:
            told = apart if role is Role.CANDIDATE else {}
            tell(IntervalsFound, role, len(answers[role]), resamples, level, found[role], told)

    def _apart(self, answers: Mapping[Role, Answered], metric: str, seed: int) -> Bounds:
        stable, candidate = (answers[role] for role in ROLES)
        draws = stream(seed, "evaluation/paired")
        each = difference(stable, candidate, metric, resamples=self.plan.intervals, level=self.plan.level, draws=draws)
        return Bounds(each.estimate, each.lower, each.upper, each.method)

    def _slices(self, role: Role, answers: Answered, population: Population, seed: int, tell: Tell) -> None:
        for plan in self.plan.slices:
            found = sliced(
                answers,
                population.rows,
                plan,
                metric=self.plan.metric,
                min_rows=self.plan.min_rows,
                resamples=self.plan.intervals,
                level=self.plan.level,
                draws=stream(seed, f"evaluation/slices/{'/'.join(plan.columns)}"),
            )
            tell(
                SlicesFound, role, found.by, found.metric, found.overall, found.slices, found.worst, self.plan.min_rows
            )

    def _calibration(self, role: Role, answers: Answered, tell: Tell) -> None:
        if not self.plan.calibration or (role is Role.STABLE and not answers.probable):
            return
        found = calibration(answers)
        tell(
            CalibrationFound,
            role=role,
            rows=found.rows,
            ece=found.ece,
            ece_equal_mass=found.ece_equal_mass,
            brier=found.brier,
            reliability=found.reliability,
            resolution=found.resolution,
            uncertainty=found.uncertainty,
            bins=found.bins,
        )

    def _importance(self, model: TrainedModel, population: Population, seed: int, tell: Tell) -> None:
        draws = stream(seed, "evaluation/importance")
        found = importance(model, population, metric=self.plan.metric, repeats=self.plan.importance, draws=draws)
        tell(ImportanceFound, model.role, found.metric, found.baseline, found.rows, found.repeats, found.columns)

    def _behaviour(self, case: Case, population: Population, tell: Tell) -> tuple[str, ...]:
        data, model = case.scenario.model.data, case.models[Role.CANDIDATE]
        refusals = []
        for wanted in self.plan.behaviour:
            found = check(model, population, wanted, data.target if data else "target")
            tell(
                BehaviourFound,
                role=model.role,
                kind=found.kind,
                text=found.text,
                rows=found.rows,
                failed=found.failed,
                share=found.share,
                at_most=found.at_most,
                passed=found.passed,
                first=found.first,
                detail=found.detail,
            )
            bound = f"<= {found.at_most * 100:.4g}%"
            tell(GateChecked, "behaviour", found.text, found.passed, found.share, None, bound)
            tell(GateDetails, "behaviour", found.text, found.passed, found.reason, None, (), (), "")
            if not found.passed:
                refusals.append(f"behaviour: {found.reason}")
        return tuple(refusals)


def hold(plan: EvaluationPlan, rows: pd.DataFrame, target: str) -> None:
    """Hold a plan against the rows that will be asked.

    Raises:
        InputError: with every column that the rows or a file of cases lack, and numbers that are none.
        DataError: a file of cases cannot be read.
    """
    known = list(rows.columns)
    named = [(f"slices by {column}", column) for each in plan.slices for column in each.columns]
    named += [(f"behaviour of {each.column}", each.column) for each in plan.behaviour if not isinstance(each, Cases)]
    wrong = [
        f"{what}: the features have no such column; they are {', '.join(known)}"
        for what, column in named
        if column not in known
    ]
    for each in plan.behaviour:
        if (
            isinstance(each, Directional)
            and each.column in known
            and not pd.api.types.is_numeric_dtype(rows[each.column])
        ):
            wrong.append(f"{each.column} holds text, and only numbers can be raised")
        if isinstance(each, Cases):
            lacking = [column for column in (*known, target) if column not in read_table(each.path).columns]
            if lacking:
                wrong.append(f"{Path(each.path).name} lacks columns: {', '.join(lacking)}")
    if wrong:
        raise InputError("\n".join(wrong))
