"""The model in the loop: what each arm really answers to each row, at each level of data drift.

Requests draw rows of the held-out data, and an answer is the real model's. Drift is cut into few levels; answers are
computed once for each model and level, and looked up ever after. All questions are asked by counts: how often each row
was answered (or labelled) at each level, as integers, so that no figure depends on the order counts were gathered in.
"""

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeVar, cast

import numpy as np
import threadpoolctl
from numpy.typing import NDArray

from harness.domain.event import InputColumn
from harness.domain.fault import Fault, LabelDrift, Missing, Scale, Shift, Swap
from harness.domain.model import ARMS, Role, Source, Task, TrainedModel
from harness.drift import inject, quality
from harness.drift.bins import Histograms, Numeric, binning
from harness.errors import ArtifactError, InputError
from harness.protocols import Population
from harness.seeds import stream

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
T = TypeVar("T")
Counts = Mapping[int, IntArray]
"""How often each row was asked, by level."""

MOST_BINS: Final = 12
"""Bins of a feature that a report tells apart."""
ALIKE: Final = 0.1
"""Two values are alike that differ by no more than this share of the true values' standard deviation."""
MOST_LEVELS: Final = 16
"""Distinct data conditions that there may be over a run."""

Condition = tuple[float, ...]
"""The strength of each drift, in the order of ``Levels.drifts``."""


# --- levels -----------------------------------------------------------------------------------------------------------


class Levels:
    """The distinct data conditions of a run, and when each arm sees which. Times are ns since traffic began.

    A ramp is cut into steps of equal length, as many as leave both arms together at most sixteen conditions; a step
    has the strength of its middle, so that the mean over the ramp is right. Level 0 is the data without drift. Arms
    under the same drifts share levels.

    Args:
        faults: those that are no data drift are passed over.
        horizon_ns: what begins then or later is never seen.
        shadow: copies of stable's requests are answered too; their level tells what both arms see of the row.

    Raises:
        InputError: drifts begin and end at so many different times that, even without steps, the arms see more
            than sixteen conditions.
    """

    def __init__(self, faults: Iterable[Fault], horizon_ns: int, *, shadow: bool = False) -> None:
        self.drifts = tuple(f for f in faults if isinstance(f.effect, Shift | Scale | Swap | Missing | LabelDrift))
        for steps in range(MOST_LEVELS - 1, -1, -1):
            courses = {role: self._course(role, steps, horizon_ns) for role in (*ARMS, *[Role.SHADOW] * shadow)}
            seen = len({self._none, *(condition for course in courses.values() for _, condition in course)})
            if seen <= MOST_LEVELS:
                break
        else:
            raise InputError(
                f"the drifts under `inject` put the data into {seen} different conditions, and at most "
                f"{MOST_LEVELS} are simulated; let drifts begin and end together, or leave some out"
            )
        numbers = {self._none: 0}
        self._breakpoints = {
            role: tuple((at_ns, numbers.setdefault(condition, len(numbers))) for at_ns, condition in course)
            for role, course in courses.items()
        }
        self.conditions: tuple[Condition, ...] = tuple(numbers)
        """By level; the first is no drift at all."""

    def breakpoints(self, role: Role) -> tuple[tuple[int, int], ...]:
        """When the arm's data reach which level: (ns since traffic began, level), rising, the first at 0."""
        return self._breakpoints[Role.STABLE if role is Role.BASELINE else role]

    def at(self, role: Role, at_ns: int) -> int:
        """The level that the arm's data have at an instant."""
        return [level for since_ns, level in self.breakpoints(role) if since_ns <= at_ns][-1]

    @property
    def _none(self) -> Condition:
        return (0.0,) * len(self.drifts)

    def _course(self, role: Role, steps: int, horizon_ns: int) -> list[tuple[int, Condition]]:
        """Each condition with the time it begins, the first at 0; neighbours differ."""
        both = role is Role.SHADOW
        mine = [_steps(fault, steps) if both or role in fault.on else [(0, 0.0)] for fault in self.drifts]
        times = sorted({0, *(at_ns for changes in mine for at_ns, _ in changes if 0 < at_ns < horizon_ns)})
        course: list[tuple[int, Condition]] = []
        for now_ns in times:
            condition = tuple([strength for at_ns, strength in changes if at_ns <= now_ns][-1] for changes in mine)
            if not course or course[-1][1] != condition:
                course.append((now_ns, condition))
        return course


def _steps(fault: Fault, steps: int) -> list[tuple[int, float]]:
    """When the fault's strength changes, and to what; without steps a ramp is one jump at its middle."""
    begin, ramp = fault.at_ns, fault.ramp_ns
    changes = [(-1, 0.0)]
    if not ramp or not steps:
        changes.append((begin + ramp // 2, 1.0))
    else:
        changes += [(begin + ramp * step // steps, (step + 0.5) / steps) for step in range(steps)]
        changes.append((begin + ramp, 1.0))
    if fault.until_ns is not None:
        changes = [(at_ns, strength) for at_ns, strength in changes if at_ns < fault.until_ns]
        changes.append((fault.until_ns, 0.0))
    return changes


# --- answers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """What one model answers to every row at one level."""

    scores: FloatArray
    """The probability of the positive class (of a classifier without one: how sure it is, on its own scale), or the
    value."""
    predicted: NDArray[Any]
    """0/1 int64 (1: positive), or the value, float64."""


class Answers:
    """Both models' answers over the rows of a population, under the drifts of a scenario.

    Args:
        models: of both roles.
        population: the held-out rows that requests are drawn from.
        levels: the data conditions over time.
        seed: the scenario's; it says which rows a drift reaches.

    Raises:
        InputError: a drift names a column or category that the rows lack.
    """

    def __init__(self, models: Mapping[Role, TrainedModel], population: Population, levels: Levels, seed: int) -> None:
        self.levels = levels
        self.rows = len(population.rows)
        self.task = models[Role.STABLE].task
        self._models = models
        self._population = population
        self._target: NDArray[Any] = np.asarray(population.target)
        self._knowable: NDArray[np.bool_] | None = None
        self._revealed: NDArray[Any] | None = None
        if population.known is not None:
            self._knowable = there = ~np.isnan(population.known)
            known = np.where(there, population.known, 0.0)
            self._revealed = known.astype(np.int64) if self.task is Task.CLASSIFICATION else known
        for fault in levels.drifts:
            inject.check(population.rows, fault.effect)  # type: ignore[arg-type]  # drifts are data drifts
        self._ranks = [_ranks(fault, seed, self.rows) for fault in levels.drifts]
        self._known: dict[tuple[object, ...], Any] = {}

    @classmethod
    def build(
        cls,
        models: Mapping[Role, TrainedModel],
        population: Population,
        faults: Iterable[Fault],
        seed: int,
        horizon_ns: int,
        *,
        shadow: bool = False,
    ) -> "Answers":
        """For a scenario's faults, over a run with at most ``horizon_ns`` of traffic."""
        return cls(models, population, Levels(faults, horizon_ns, shadow=shadow), seed)

    # --- single answers ---

    def truth(self, level: int) -> NDArray[Any]:
        """The true answer to each row: 0/1 int64, or float64."""
        return self._once(("truth", level), lambda: self._relabelled(level))

    def known(self, level: int) -> NDArray[Any]:
        """What becomes known of the answer to each row: the truth, or what the population says in its place.

        Drift of the true answers does not reach what stands in their place. Of rows for which nothing becomes known
        the value means nothing; `labelled` and `quality` leave them out.
        """
        return self.truth(level) if self._revealed is None else self._revealed

    @property
    def knowable(self) -> NDArray[np.bool_] | None:
        """Of which rows anything becomes known of the answer; None: of all."""
        return self._knowable

    def asked(self, level: int) -> Any:
        """The rows as they look at a level, as a pandas DataFrame: what users ask, where no arm is spared a drift."""
        return self._frame(self._rows_condition(level))

    def labelled(self, counts: Counts) -> int:
        """Of answers given so often, those of which something becomes known."""
        if self._knowable is None:
            return _total(counts)
        return sum(int(number[self._knowable].sum()) for number in counts.values())

    def answered(self, role: Role, level: int) -> Answered:
        """What that arm's model answers to each row; computed once for each condition of the rows."""
        return self._answered(role.model, self._seen_by(role, level))

    def scores(self, role: Role, level: int) -> FloatArray:
        """The model's score for each row: the probability of the positive class, or the value."""
        return self.answered(role, level).scores

    def predicted(self, role: Role, level: int) -> NDArray[Any]:
        """The model's answer to each row: 0/1 (1: positive), or the value."""
        return self.answered(role, level).predicted

    # --- questions by counts ---

    def quality(self, role: Role, counts: Counts) -> dict[str, float]:
        """accuracy, precision, recall, f1, auc and log_loss, or rmse, mae and r2, of answers given so often.

        A metric that the counts do not define is left out (`harness.drift.quality`).
        """
        asked = [
            (level, rows, number[rows])
            for level, number in sorted(counts.items())
            if len(rows := (number if self._knowable is None else number * self._knowable).nonzero()[0])
        ]
        if not asked:
            return {}
        weights = np.concatenate([number for _, _, number in asked])
        truth = np.concatenate([self.known(level)[rows] for level, rows, _ in asked])
        predicted = np.concatenate([self.predicted(role, level)[rows] for level, rows, _ in asked])
        if self.task is Task.REGRESSION:
            return quality.regression(weights, truth, predicted)
        scores = np.concatenate([self.scores(role, level)[rows] for level, rows, _ in asked])
        losses = None
        if hasattr(self._models[role.model].estimator, "predict_proba"):
            losses = np.concatenate([self._losses(role, level)[rows] for level, rows, _ in asked])
        return quality.classification(weights, truth, predicted, scores, losses)

    def bad(self, role: Role, counts: Counts) -> int:
        """Answers that the rollout made worse: wrong where stable, in the candidate's place, would have been right.

        A drift that acts on the candidate's inputs alone is the candidate's own fault (its serving code, say): stable
        is asked the row as it would see it.

        For regression an answer is bad that misses by more than twice what stable's would have, and by more than
        stable's mean absolute error without drift: as far off as stable is on an ordinary day, and clearly farther
        than stable on this row. Stable's own answers are never bad.
        """
        if role is not Role.CANDIDATE:
            return 0
        return sum(int(number[self.worse(level)].sum()) for level, number in counts.items())

    def agreement(self, counts: Counts) -> float | None:
        """Share of requests that both models answer alike, of those whose copies were answered so often.

        Alike: the same class; of values, no farther apart than a tenth of the true values' standard deviation.
        """
        return self._compared(counts, self._alike)

    def score_distance(self, counts: Counts) -> float | None:
        """How far apart both models' scores (or values) of the same request are, on average."""
        return self._compared(counts, self._apart)

    def _compared(self, counts: Counts, of: Callable[[int], NDArray[Any]]) -> float | None:
        total = _total(counts)
        found = sum(float((number * of(level)).sum()) for level, number in sorted(counts.items()))
        return found / total if total else None

    def _alike(self, level: int) -> NDArray[np.bool_]:
        one, other = self._both(level)
        if self.task is Task.CLASSIFICATION:
            return np.asarray(one.predicted == other.predicted)
        return np.asarray(np.abs(one.predicted - other.predicted) <= ALIKE * self._target.std())

    def _apart(self, level: int) -> FloatArray:
        one, other = self._both(level)
        return np.abs(one.scores - other.scores)

    def _both(self, level: int) -> tuple[Answered, Answered]:
        """What each model says of the rows as its own arm sees them."""
        return self._answered(Role.STABLE, self._as_stable_sees_it(level)), self.answered(Role.SHADOW, level)

    def drift_score(self, role: Role, counts: Counts) -> float:
        """How far the rows that the arm was asked are from the undrifted population: the largest column's distance.

        The Jensen-Shannon distance (base 2, 0 to 1) of each feature of the arm's model; numbers in bins between the
        population's deciles, categories by value, missing values in a bin of their own. The mean of what chance gives
        a sample of that size is taken off (`harness.drift.bins.Histograms.distances`). 0.0 where no row was asked.
        """
        distances = self._columns.distances(self._histogram(role, counts), _total(counts))
        return float(distances[self._places[role.model]].max(initial=0.0))

    def inputs(self, counts: Mapping[Role, Counts]) -> tuple[InputColumn, ...]:
        """Each feature as the arms were asked it, in the bins of `drift_score`; the farthest drifted first.

        Args:
            counts: for each arm, how often it was asked each row at each level.
        """
        histograms = self._columns
        seen = {role: self._histogram(role, found) for role, found in counts.items() if _total(found)}
        drift = {role: histograms.distances(found, _total(counts[role])) for role, found in seen.items()}
        ends = [*histograms.starts[1:].tolist(), histograms.size]
        columns = [
            _column(
                name,
                bins.labels,
                histograms.shares[start:end],
                {role: found[start:end] / _total(counts[role]) for role, found in seen.items()},
                {role: float(found[place]) for role, found in drift.items()},
            )
            for place, ((name, bins), start, end) in enumerate(
                zip(self._bins.items(), histograms.starts.tolist(), ends, strict=True)
            )
        ]
        return tuple(sorted(columns, key=lambda column: -max(column.drift.values(), default=0.0)))

    def _histogram(self, role: Role, counts: Counts) -> FloatArray:
        seen = np.zeros(self._columns.size)
        for level, number in counts.items():
            seen += self._columns.counts(self._codes(self._seen_by(role, level)), number)
        return seen

    def prediction_drift(self, role: Role, counts: Counts) -> float:
        """How far the model's scores are from those it gives to the undrifted population.

        The same distance as in `drift_score`, over bins between the deciles of the undrifted scores.
        """
        histograms = self._score_bins(role)[1]
        return float(histograms.distances(self._score_histogram(role, counts), _total(counts))[0])

    def predictions(self, counts: Mapping[Role, Counts]) -> dict[Role, InputColumn]:
        """What each arm's model answered, in the bins of `prediction_drift`, beside its answers to the undrifted rows.

        Two models differ in what they answer to the same rows: each is compared with itself alone.

        Args:
            counts: for each arm, how often it was asked each row at each level.
        """
        return {role: self._prediction(role, found) for role, found in counts.items() if _total(found)}

    def _prediction(self, role: Role, counts: Counts) -> InputColumn:
        bins, histograms = self._score_bins(role)
        shares = self._score_histogram(role, counts) / _total(counts)
        drift = self.prediction_drift(role, counts)
        return _column(_score(self._models[role]), bins.labels, histograms.shares, {role: shares}, {role: drift})

    def _score_histogram(self, role: Role, counts: Counts) -> FloatArray:
        histograms = self._score_bins(role)[1]
        seen = np.zeros(histograms.size)
        for level, number in counts.items():
            seen += histograms.counts(self._score_codes(role, level), number)
        return seen

    # --- computed once ---

    def _once(self, key: tuple[object, ...], make: Callable[[], T]) -> T:
        if key not in self._known:
            self._known[key] = make()
        return cast("T", self._known[key])

    def _rows_condition(self, level: int) -> Condition:
        """The level without drift of the answers: models see only rows."""
        strengths = zip(self.levels.drifts, self.levels.conditions[level], strict=True)
        return tuple(0.0 if isinstance(fault.effect, LabelDrift) else strength for fault, strength in strengths)

    def _answered(self, role: Role, condition: Condition) -> Answered:
        return self._once(("answered", role, condition), lambda: self._predict(role, condition))

    def _seen_by(self, role: Role, level: int) -> Condition:
        """The condition without drifts that the arm is spared: a level may tell of both arms at once."""
        faults = zip(self.levels.drifts, self._rows_condition(level), strict=True)
        return tuple(strength if role.model in fault.on else 0.0 for fault, strength in faults)

    def _as_stable_sees_it(self, level: int) -> Condition:
        """The condition without the drifts that stable's own inputs are spared."""
        return self._seen_by(Role.STABLE, level)

    def _frame(self, condition: Condition) -> Any:
        """The rows as they look in that condition."""
        frame = self._population.rows
        for fault, strength, ranks in zip(self.levels.drifts, condition, self._ranks, strict=True):
            effect = fault.effect
            deviation = 0.0
            if isinstance(effect, Shift):
                deviation = float(self._population.rows[effect.column].std(ddof=0))
            frame = inject.drifted(frame, effect, strength, ranks, deviation)  # type: ignore[arg-type]
        return frame

    def _relabelled(self, level: int) -> NDArray[Any]:
        target = self._target
        deviation = float(self._target.std())
        for fault, strength, ranks in zip(self.levels.drifts, self.levels.conditions[level], self._ranks, strict=True):
            if isinstance(fault.effect, LabelDrift):
                target = inject.relabelled(target, fault.effect, strength, ranks, deviation)
        return target

    def _predict(self, role: Role, condition: Condition) -> Answered:
        model = self._models[role]
        try:
            # One thread: sums over several depend on how many there are. Warnings are about rows, and drift is wanted.
            with threadpoolctl.threadpool_limits(limits=1), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return _answer(model, self._frame(condition)[list(model.features)])
        except (ValueError, TypeError, KeyError) as error:
            raise ArtifactError(f"the {role} model {model.name} cannot answer rows under drift: {error}") from error

    def _losses(self, role: Role, level: int) -> FloatArray:
        return self._once(
            ("losses", role.model, level), lambda: quality.log_losses(self.known(level), self.scores(role, level))
        )

    def worse(self, level: int) -> NDArray[np.bool_]:
        """Which rows the candidate answers worse than stable would, in the sense of `bad`."""
        return self._once(("worse", level), lambda: self._candidate_worse(level))

    def _candidate_worse(self, level: int) -> NDArray[np.bool_]:
        truth = self.truth(level)
        stable = self._answered(Role.STABLE, self._as_stable_sees_it(level)).predicted
        candidate = self.predicted(Role.CANDIDATE, level)
        if self.task is Task.CLASSIFICATION:
            return np.asarray((candidate != truth) & (stable == truth))
        usual = np.abs(self.predicted(Role.STABLE, 0) - self.truth(0)).mean()
        return np.asarray(np.abs(candidate - truth) > np.maximum(2 * np.abs(stable - truth), usual))

    # --- bins ---

    @cached_property
    def _bins(self) -> dict[str, Any]:
        rows = self._population.rows
        return {name: binning(rows[name].to_numpy()) for name in rows.columns}

    @cached_property
    def _places(self) -> dict[Role, list[int]]:
        """Where each model's features stand among the columns."""
        columns = list(self._bins)
        return {role: [columns.index(name) for name in model.features] for role, model in self._models.items()}

    @cached_property
    def _columns(self) -> Histograms:
        codes = [bins.codes(self._population.rows[name].to_numpy()) for name, bins in self._bins.items()]
        return Histograms([bins.size for bins in self._bins.values()], np.stack(codes))

    def _codes(self, condition: Condition) -> IntArray:
        def place() -> IntArray:
            frame = self._frame(condition)
            return self._columns.placed(np.stack([b.codes(frame[name].to_numpy()) for name, b in self._bins.items()]))

        return self._once(("codes", condition), place)

    def _score_bins(self, role: Role) -> tuple[Numeric, Histograms]:
        def make() -> tuple[Numeric, Histograms]:
            scores = self.scores(role, 0)
            bins = Numeric.of(scores)
            return bins, Histograms([bins.size], bins.codes(scores)[None, :])

        return self._once(("score bins", role.model), make)

    def _score_codes(self, role: Role, level: int) -> IntArray:
        def place() -> IntArray:
            bins, histograms = self._score_bins(role)
            return histograms.placed(bins.codes(self.scores(role, level))[None, :])

        return self._once(("score codes", role.model, self._seen_by(role, level)), place)


def _column(
    name: str,
    labels: tuple[str, ...],
    reference: FloatArray,
    shares: Mapping[Role, FloatArray],
    drift: dict[Role, float],
) -> InputColumn:
    """A feature in at most `MOST_BINS` bins: empty ones left out, of many categories the usual ones kept apart."""
    most = np.max([reference, *shares.values()], axis=0)
    used = [place for place in range(len(labels)) if most[place] > 0]
    few = sorted(sorted(used, key=lambda place: (-most[place], place))[:MOST_BINS])
    rest = [place for place in used if place not in few]

    def of(values: FloatArray) -> tuple[float, ...]:
        kept = [float(values[place]) for place in few]
        return (*kept, float(values[rest].sum())) if rest else tuple(kept)

    bins = [labels[place] for place in few] + [f"{len(rest)} others"] * bool(rest)
    return InputColumn(name, tuple(bins), of(reference), {role: of(found) for role, found in shares.items()}, drift)


def _score(model: TrainedModel) -> str:
    """What a model's scores are."""
    if model.task is Task.REGRESSION:
        return "predicted value"
    chance = hasattr(model.estimator, "predict_proba")
    return f"{'probability of' if chance else 'score for'} {model.classes[-1]}"


def _answer(model: TrainedModel, rows: Any) -> Answered:
    """One batch through the estimator."""
    estimator = model.estimator
    if model.task is Task.REGRESSION:
        values = np.asarray(estimator.predict(rows), dtype=np.float64).ravel()
        return Answered(values, values)
    place = [str(label) for label in estimator.classes_].index(model.classes[-1])
    # scikit-learn's classifiers answer with the likeliest class, unless a threshold was tuned: then it must be asked,
    # as must what was recorded, in which any threshold may be.
    if hasattr(estimator, "predict_proba"):
        chances = estimator.predict_proba(rows)
        likeliest = chances.argmax(axis=1)
        scores = np.ascontiguousarray(chances[:, place], dtype=np.float64)
        if model.source is not Source.RECORDED and not _thresholded(estimator):
            return Answered(scores, (likeliest == place).astype(np.int64))
    predicted = (np.asarray(estimator.predict(rows)) == estimator.classes_[place]).astype(np.int64)
    if not hasattr(estimator, "predict_proba"):
        decided = np.asarray(estimator.decision_function(rows)) if hasattr(estimator, "decision_function") else None
        scores = predicted.astype(np.float64) if decided is None else decided if place else -decided
    return Answered(scores, predicted)


def _thresholded(estimator: Any) -> bool:
    final = estimator[-1] if hasattr(estimator, "steps") else estimator
    return type(final).__name__ in ("FixedThresholdClassifier", "TunedThresholdClassifierCV")


def _ranks(fault: Fault, seed: int, rows: int) -> IntArray:
    """The order in which a drift reaches rows: the same for every drift of a kind on a column, whatever its numbers."""
    column = getattr(fault.effect, "column", "target")
    draws = stream(seed, f"drift/{type(fault.effect).__name__}/{column}")
    return draws.generator().permutation(rows)


def _total(counts: Counts) -> int:
    return sum(int(number.sum()) for number in counts.values())
