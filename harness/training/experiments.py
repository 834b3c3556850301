"""Several ways to train a model, side by side on the same folds, and the best of them.

All are judged on training rows alone: the held-out rows decide nothing here, or they would be held out no longer. Those
that are tuned are tuned on folds of their own, cut differently from those they are compared on (in order of time there
is but one way to cut). A tuned experiment has still seen all these rows before, so its figures flatter it a little;
what is promised of the winner stands on the held-out rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from harness.data.split import Rows
from harness.domain.training import Estimate, ExperimentPlan, FoldsPlan, TunePlan
from harness.errors import InputError
from harness.seeds import Stream
from harness.training.folds import CrossValidation, Fold, cross_validate, estimate, folds_of, ratio_of, split_of
from harness.training.sought import higher, quality_metrics
from harness.training.tuning import SAME, Search, tune


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """What came of one experiment."""

    plan: ExperimentPlan
    """Its parameters are those given and those found."""
    search: Search | None
    result: CrossValidation | None
    """None: it could not be trained."""
    refused: str = ""
    """Why."""

    def mean(self, metric: str) -> float | None:
        """Of a metric over the folds; None where not every fold defines it."""
        found = self.result.estimates.get(metric) if self.result else None
        return found.mean if found else None


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """The best of several experiments."""

    tried: tuple[Tried, ...]
    best: Tried
    metric: str
    runner_up: Tried | None
    difference: Estimate | None
    """Best less runner-up, paired by fold."""

    @property
    def detail(self) -> str:
        """How sure the choice is, in a sentence."""
        if self.runner_up is None or self.difference is None:
            return f"{self.best.plan.name}: there was no other that could be trained"
        gap, better = self.difference, self.best.plan.name
        if not round(gap.mean, SAME):
            return f"{better} and {self.runner_up.plan.name} are equal, and the first is taken"
        sure = gap.low > 0 or gap.high < 0
        told = "more than chance explains" if sure else "which may be chance: 0 lies within the interval"
        return (
            f"{better} differs from {self.runner_up.plan.name} by {gap.mean:+.4g} in {self.metric} "
            f"(95 % interval {gap.low:+.4g} to {gap.high:+.4g}), {told}"
        )


class Trials(Protocol):
    """Searches for one model, and judges what it is trained with."""

    def search(self, plan: ExperimentPlan, asked: TunePlan) -> Search:
        """Search for the parameters that the plan does not fix."""
        ...

    def validate(self, plan: ExperimentPlan, cut: FoldsPlan) -> CrossValidation:
        """Judge the plan's parameters fold by fold."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """Searches and judges on given rows.

    Args:
        rows: all that may be learned from.
        draws: what chance there is in cutting folds and in searching.
        random_state: what chance there is in training.
    """

    rows: Rows
    draws: Stream
    random_state: int

    def draws_of(self, plan: ExperimentPlan) -> Stream:
        """What chance there is in the search of an experiment, or of the only one, which has no name."""
        return self.draws.child(f"tuning/{plan.name}" if plan.name else "tuning")

    def folds(self, cut: FoldsPlan) -> tuple[Fold, ...]:
        """What all are judged on."""
        return folds_of(self.rows, cut, self.draws.child("folds"))

    def search(self, plan: ExperimentPlan, asked: TunePlan) -> Search:
        """Search for the parameters that the plan does not fix."""
        draws = self.draws_of(plan)
        return tune(plan.algorithm, plan.params, self.rows, asked, draws, self.random_state, features=plan.features)

    def validate(self, plan: ExperimentPlan, cut: FoldsPlan) -> CrossValidation:
        """Judge the plan's parameters fold by fold."""
        split = split_of(cut, classification=bool(self.rows.classes))
        given = (plan.algorithm, plan.params, self.rows, self.folds(cut), self.random_state)
        return cross_validate(*given, split=split, features=plan.features)


def compare(
    experiments: Sequence[ExperimentPlan], metric: str, cut: FoldsPlan, bench: Bench, by: Trials | None = None
) -> Chosen:
    """Tune those that ask for it, judge each on the same folds, and choose by the mean of a metric.

    Of equal ones the first is chosen, so the simpler belongs before the others. One that cannot be trained is told, and
    is no obstacle.

    Args:
        experiments: with different names.
        metric: what the best is best by.
        cut: the folds that all are compared on.
        bench: the rows, and what chance there is.
        by: who searches and judges, where it is not the bench itself.

    Raises:
        InputError: there is nothing to choose from.
    """
    known = quality_metrics(classification=bool(bench.rows.classes))
    if metric not in known:
        raise InputError(f"{metric} cannot be chosen by; on these rows there are {', '.join(known)}")
    names = [each.name for each in experiments]
    if len(set(names)) < len(names) or not names:
        raise InputError(f"experiments have different names, and there is at least one; these are {names}")
    tried = [_tried(each, cut, by or bench) for each in experiments]
    return chosen(tried, metric, bench.folds(cut))


def chosen(tried: Sequence[Tried], metric: str, folds: Sequence[Fold]) -> Chosen:
    """The best of what was tried.

    Raises:
        InputError: none could be trained and judged.
    """
    sign = -1 if higher(metric) else 1
    means = [each.mean(metric) for each in tried]
    judged = [(sign * round(mean, SAME), place) for place, mean in enumerate(means) if mean is not None]
    if not judged:
        details = "; ".join(f"{each.plan.name}: {each.refused or f'{metric} is not defined'}" for each in tried)
        raise InputError(f"none of the experiments could be trained and judged: {details}")
    order = [tried[place] for _, place in sorted(judged)]
    best, second = order[0], order[1] if len(order) > 1 else None
    return Chosen(tuple(tried), best, metric, second, paired(best, second, metric, folds) if second else None)


def paired(one: Tried, other: Tried, metric: str, folds: Sequence[Fold]) -> Estimate:
    """The difference of two experiments over the folds that both were judged on."""
    assert one.result
    assert other.result
    pairs = zip(one.result.folds[metric], other.result.folds[metric], strict=True)
    return estimate([a - b for a, b in pairs if a is not None and b is not None], ratio_of(folds))


def _tried(plan: ExperimentPlan, cut: FoldsPlan, by: Trials) -> Tried:
    settled, search = plan, None
    try:
        if plan.tune:
            search = by.search(plan, plan.tune)
            settled = replace(plan, params={**plan.params, **search.best})
        return Tried(settled, search, by.validate(settled, cut))
    except InputError as error:
        return Tried(settled, search, None, str(error))
