"""The part of the stage ``train`` that comes before a model: folds, searches and experiments, and what is told of them.

What is found becomes a plan like any other, which is then trained on all training rows. Each search, and each figure
over folds, is made once for each digest of what decides it, as models are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from harness.data.digest import table_digest
from harness.data.split import Rows
from harness.domain.event import Event
from harness.domain.model import ExperimentsPlan, Role, TrainPlan
from harness.domain.training import ExperimentPlan, FoldsPlan, TunePlan
from harness.domain.training_event import CrossValidated, ExperimentChosen, ExperimentTried, Tuned
from harness.protocols import Tell
from harness.seeds import stream
from harness.training.algorithms import effective
from harness.training.cache import training_key
from harness.training.experiments import Bench, Chosen, Tried, compare
from harness.training.fit import unfitted
from harness.training.folds import CrossValidation
from harness.training.results import kept, key_of
from harness.training.space import words
from harness.training.tuning import Search

SEARCHER: Final = "optuna"
"""Whose version decides what a search tries."""

Told = tuple[type[Event], Mapping[str, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A plan that can be trained at once, and what there is to tell of how it came about."""

    plan: TrainPlan
    told: tuple[Told, ...] = ()

    def tell(self, tell: Tell) -> None:
        """Tell it."""
        for event, fields in self.told:
            tell(event, **fields)


def prepared(
    plan: TrainPlan | ExperimentsPlan, rows: Rows, seed: int, role: Role, random_state: int, models: Path | None
) -> Prepared:
    """What is to be trained, once all that a plan asks for before is done.

    Args:
        plan: a search, folds, experiments, or none of them.
        rows: all that may be learned from.
        seed: of the scenario.
        role: of the model.
        random_state: what chance there is in training.
        models: the folder in which models are kept from run to run; what is found is kept beside it.

    Raises:
        InputError: the plan cannot be carried out on these rows.
        BackendError: the storage of a search cannot be used.
    """
    work = _Work(Bench(rows, stream(seed, f"search/{role}"), random_state), role, models)
    if isinstance(plan, ExperimentsPlan):
        found = compare(plan.experiments, plan.choose, plan.folds, work.bench, work)
        work.tell_choice(found)
        best = found.best.plan
        return Prepared(TrainPlan(best.algorithm, best.params, plan.duration_ns, best.features), tuple(work.told))
    alone = ExperimentPlan("", plan.algorithm, plan.params, plan.features)
    if plan.tune:
        alone = replace(alone, params={**plan.params, **work.search(alone, plan.tune).best})
    if plan.cross_validation:
        figures = work.validate(alone, plan.cross_validation)
        rows_by_fold = {"train_rows": figures.train_rows, "test_rows": figures.test_rows}
        work.told.append((CrossValidated, work.figures(alone, figures) | rows_by_fold))
    return Prepared(replace(plan, params=alone.params, tune=None, cross_validation=None), tuple(work.told))


class _Work:
    """Searches and judges for one model, or recalls what came of it before; and notes what there is to tell."""

    def __init__(self, bench: Bench, role: Role, models: Path | None) -> None:
        self.bench, self._role, self._models = bench, role, models
        self.told: list[Told] = []
        self._reused: dict[str, bool] = {}
        """By name of an experiment, whether its figures were there."""

    def search(self, plan: ExperimentPlan, asked: TunePlan) -> Search:
        """Search for the parameters that the plan does not fix."""
        if asked.limit_ns is None:
            decided = replace(asked, workers=1, storage=None)
            key = self._key("search", plan, decided, asked.folds)
            found, reused = kept(self._models, key, Search, lambda: self.bench.search(plan, asked))
        else:  # what was too long once need not be so again
            found, reused = self.bench.search(plan, asked), False
        self.told.append((Tuned, self._tuned(plan, asked, found) | {"reused": reused}))
        return found

    def validate(self, plan: ExperimentPlan, cut: FoldsPlan) -> CrossValidation:
        """Judge the plan's parameters fold by fold."""
        key = self._key("folds", plan, cut, cut)
        found, self._reused[plan.name] = kept(
            self._models, key, CrossValidation, lambda: self.bench.validate(plan, cut)
        )
        return found

    def _key(self, kind: str, plan: ExperimentPlan, asked: Any, cut: FoldsPlan) -> str:
        rows = self.bench.rows
        given = effective(plan.algorithm, plan.params, self.bench.random_state)
        decides = training_key(unfitted(plan.algorithm, given, rows, plan.features), rows)
        groups = None
        if rows.names is not None and cut.group in rows.names.columns:
            groups = table_digest(rows.names[[cut.group]].loc[rows.rows.index])
        return key_of(kind, decides, asked, groups, f"{self.bench.draws_of(plan).key:x}", version(SEARCHER))

    # --- what there is to tell ---

    def figures(self, plan: ExperimentPlan, found: CrossValidation | None) -> dict[str, Any]:
        """What two events say alike of what was judged fold by fold."""
        return {
            "role": self._role,
            "algorithm": plan.algorithm,
            "params": dict(plan.params),
            "split": found.split.value if found else "",
            "folds": found.folds if found else {},
            "estimates": found.estimates if found else {},
            "reused": self._reused.get(plan.name, False),
        }

    def tell_choice(self, found: Chosen) -> None:
        """Each experiment, and the best of them."""
        self.told += [(ExperimentTried, self._experiment(each)) for each in found.tried]
        said = {
            "role": self._role,
            "experiment": found.best.plan.name,
            "metric": found.metric,
            "value": found.best.mean(found.metric),
            "runner_up": found.runner_up.plan.name if found.runner_up else "",
            "difference": found.difference,
            "detail": found.detail,
        }
        self.told.append((ExperimentChosen, said))

    def _experiment(self, tried: Tried) -> dict[str, Any]:
        plan = tried.plan
        own = {"experiment": plan.name, "features": plan.features.name if plan.features else ""}
        return self.figures(plan, tried.result) | own | {"refused": tried.refused}

    def _tuned(self, plan: ExperimentPlan, asked: TunePlan, found: Search) -> dict[str, Any]:
        return {
            "role": self._role,
            "experiment": plan.name,
            "algorithm": plan.algorithm,
            "metric": asked.metric,
            "sampler": asked.sampler.value,
            "split": found.split.value,
            "folds": asked.folds.folds,
            "space": {name: words(each) for name, each in asked.space.items()},
            "best": found.best,
            "value": found.value,
            "trials": found.trials,
            "took_s": found.took_s,
        }
