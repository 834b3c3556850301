"""A search for parameters: optuna says what is tried next, folds say how good it is, and a median prunes.

Trials are asked for in batches of `BATCH`, trained fold by fold, and told in their order. What is asked depends on what
was told and on nothing else, so the number of processes changes how long a search takes, and no byte of its result.
(A time limit does: what takes too long differs from machine to machine.) A search that is cut off is asked for anew,
and what its storage knows of a trial is not trained again.

The samplers and the pruner are optuna's: ``TPESampler`` with its defaults, ``RandomSampler``, ``MedianPruner`` (five
trials before it prunes), which is told the mean over the folds so far.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from harness.data.split import Rows
from harness.domain.features import FeatureSet
from harness.domain.training import Sampler, Split, Trial, TrialState, TunePlan
from harness.domain.units import SECOND
from harness.errors import InputError
from harness.seeds import Stream
from harness.training.algorithms import calm, effective
from harness.training.fit import unfitted
from harness.training.folds import folds_of, split_of
from harness.training.pool import Answer, Job, Material, Pool, pool
from harness.training.sought import higher, quality_metrics
from harness.training.space import distribution, drawn, grid
from harness.training.trials import Direction, Storage, search_key, storage_of

BATCH: Final = 4
"""Trials that are asked for together; more processes than that have nothing to do while trials are pruned."""
SAME: Final = 12
"""Digits of a mean that count: the last ones differ by the order in which a library adds."""

Watch = Callable[[Trial], None]


@dataclass(frozen=True, slots=True)
class Search:
    """What a search found."""

    best: Mapping[str, Any]
    """Of the search; the fixed parameters stand elsewhere."""
    value: float
    """Of the best trial: the mean over its folds; of equal ones the first."""
    trials: tuple[Trial, ...]
    took_s: tuple[float, ...]
    """By trial: real seconds of training, whenever that was."""
    known: int
    """Trials that the storage knew already."""
    split: Split


def tune(
    word: str,
    params: Mapping[str, Any],
    rows: Rows,
    plan: TunePlan,
    draws: Stream,
    random_state: int,
    *,
    features: FeatureSet | None = None,
    watch: Watch = lambda trial: None,
) -> Search:
    """Search for the parameters whose mean over folds is best.

    Args:
        word: of the algorithm.
        params: fixed ones; the search names others.
        rows: all that may be learned from.
        plan: what is tried, how often, and what is sought.
        draws: what chance there is in cutting folds and in what is tried.
        random_state: what chance there is in training.
        features: what the model sees of each column; None: what is usual.
        watch: told each trial when it is over, those that were known too.

    Raises:
        InputError: the plan cannot be carried out, or not one trial could be trained.
        BackendError: the storage cannot be used.
    """
    fixed = checked(word, params, rows, plan)
    folds = folds_of(rows, plan.folds, draws.child("folds"))
    split = split_of(plan.folds, classification=bool(rows.classes))
    given = effective(word, fixed, random_state)
    seed = draws.child("sampler").integer()
    direction: Direction = "maximize" if higher(plan.metric) else "minimize"
    key = search_key(unfitted(word, given, rows, features), rows, plan, folds, seed) if plan.storage else ""
    with (
        _quiet(),
        storage_of(plan.storage, key, direction) as storage,
        pool(Material(word, features, rows, folds), plan.workers, limited=plan.limit_ns is not None) as trainers,
    ):
        runner = _Runner(plan, given, len(folds), storage, trainers, _study(plan, direction, seed))
        for trials in runner.batches():
            for trial in trials:
                watch(trial)
    best = best_of(runner.trials, plan.metric)
    if best is None or best.value is None:
        details = "; ".join(dict.fromkeys(trial.detail for trial in runner.trials if trial.detail))
        raise InputError(f"{word}: none of {len(runner.trials)} trials could be trained and judged: {details}")
    return Search(best.params, best.value, tuple(runner.trials), tuple(runner.took_s), runner.known, split)


def checked(word: str, params: Mapping[str, Any], rows: Rows, plan: TunePlan) -> dict[str, Any]:
    """The fixed parameters, if the plan can be carried out.

    Raises:
        InputError: it cannot.
    """
    both = [name for name in plan.space if name in params]
    if both:
        raise InputError(f"{both[0]} is fixed by params and searched for too; leave one out")
    effective(word, {**params, **dict.fromkeys(plan.space)}, 0)
    known = quality_metrics(classification=bool(rows.classes))
    if plan.metric not in known:
        raise InputError(f"{plan.metric} cannot be sought; on these rows there are {', '.join(known)}")
    for name, least in (("trials", plan.trials), ("workers", plan.workers)):
        if least < 1:
            raise InputError(f"{name} is {least}; it is at least 1")
    if plan.sampler is Sampler.GRID:
        grid(plan.space)
    return dict(params)


def best_of(trials: Sequence[Trial], metric: str) -> Trial | None:
    """The best trial that was trained on all folds, of equal ones the first."""
    complete = [trial for trial in trials if trial.value is not None]
    sign = -1 if higher(metric) else 1
    return min(complete, key=lambda trial: (sign * round(trial.value or 0.0, SAME), trial.number), default=None)


@dataclass(slots=True, eq=False)
class _Under:
    """A trial under way."""

    number: int
    asked: Any
    params: dict[str, Any]
    known: Trial | None
    took_s: float = 0.0
    answers: list[float] | None = None
    state: TrialState | None = None
    detail: str = ""

    @property
    def values(self) -> list[float]:
        if self.answers is None:
            self.answers = []
        return self.answers


class _Runner:
    """Goes from batch to batch."""

    def __init__(
        self, plan: TunePlan, given: Mapping[str, Any], folds: int, storage: Storage, trainers: Pool, study: Any
    ) -> None:
        self._plan, self._given, self._folds = plan, given, folds
        self._storage, self._trainers, self._study = storage, trainers, study
        self._ranges = {name: distribution(each) for name, each in plan.space.items()}
        self.trials: list[Trial] = []
        self.took_s: list[float] = []
        self.known = 0

    def batches(self) -> Iterator[list[Trial]]:
        """Each batch, when it is over."""
        combinations = grid(self._plan.space) if self._plan.sampler is Sampler.GRID else None
        total = self._plan.trials if combinations is None else min(self._plan.trials, len(combinations))
        while len(self.trials) < total:
            first = len(self.trials)
            numbers = range(first, min(first + BATCH, total))
            if combinations is not None:
                for number in numbers:
                    self._study.enqueue_trial(combinations[number])
            batch = [self._ask(number) for number in numbers]
            for rung in range(self._folds):
                self._climb([each for each in batch if each.state is None], rung)
            yield [self._tell(each) for each in batch]

    def _ask(self, number: int) -> _Under:
        asked = self._study.ask(self._ranges)
        params = drawn(self._plan.space, asked.params)
        return _Under(number, asked, params, self._storage.known(number, params))

    def _climb(self, alive: Sequence[_Under], rung: int) -> None:
        """Train the next fold of those that are still in, and give up those that stand badly."""
        new = [each for each in alive if each.known is None]
        jobs = [Job({**self._given, **each.params}, rung, self._left_ns(each)) for each in new]
        for each, answer in zip(new, self._trainers.run(jobs) if jobs else [], strict=True):
            self._take(each, answer)
        for each in alive:
            if each.known is not None:
                _recall(each, each.known, rung)
        still = [each for each in alive if each.state is None]
        for each in still:
            each.asked.report(float(np.mean(each.values)), rung)
        if self._plan.prune and rung + 1 < self._folds:
            for each in still:
                if each.asked.should_prune():
                    each.state = TrialState.PRUNED

    def _left_ns(self, each: _Under) -> int | None:
        limit = self._plan.limit_ns
        return None if limit is None else max(limit - int(each.took_s * SECOND), 0)

    def _take(self, each: _Under, answer: Answer) -> None:
        each.took_s += answer.took_ns / SECOND
        metric, limit = self._plan.metric, self._plan.limit_ns
        if answer.timed_out:
            each.state, each.detail = TrialState.TIMED_OUT, f"took longer than {(limit or 0) / SECOND:g} s"
        elif answer.failure or metric not in answer.metrics:
            each.state = TrialState.FAILED
            each.detail = answer.failure or f"{metric} is not defined on fold {len(each.values) + 1}"
        else:
            each.values.append(answer.metrics[metric])

    def _tell(self, each: _Under) -> Trial:
        from optuna.trial import TrialState as Optunas

        state = each.state or TrialState.COMPLETE
        value = float(np.mean(each.values)) if state is TrialState.COMPLETE else None
        trial = Trial(each.number, each.params, value, tuple(each.values), state, each.detail)
        if state is TrialState.COMPLETE:
            self._study.tell(each.asked, value)
        else:
            self._study.tell(each.asked, state=Optunas.PRUNED if state is TrialState.PRUNED else Optunas.FAIL)
        if each.known is None:
            self._storage.keep(trial, each.took_s, self._ranges)
        else:
            each.took_s = self._storage.took_s(each.number)
            self.known += 1
        self.trials.append(trial)
        self.took_s.append(each.took_s)
        return trial


def _recall(each: _Under, known: Trial, rung: int) -> None:
    """What was known of a fold, as if it were trained now."""
    if rung < len(known.folds):
        each.values.append(known.folds[rung])
    else:
        each.state, each.detail = known.state, known.detail


def _study(plan: TunePlan, direction: Direction, seed: int) -> Any:
    import optuna

    pruner = optuna.pruners.MedianPruner() if plan.prune else optuna.pruners.NopPruner()
    made = optuna.samplers.TPESampler if plan.sampler is Sampler.TPE else optuna.samplers.RandomSampler
    return optuna.create_study(direction=direction, sampler=made(seed=seed), pruner=pruner)


@contextmanager
def _quiet() -> Iterator[None]:
    """What optuna would tell of each trial on standard error is left out; what is to be told is told by events."""
    import optuna  # noqa: F401 - it sets its level when it is first imported

    logger = logging.getLogger("optuna")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with calm():
            yield
    finally:
        logger.setLevel(before)
