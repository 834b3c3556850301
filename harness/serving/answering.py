"""A model asked for rows: one DataFrame for each batch, or where it was proved to give the same, plain arrays."""

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from harness.domain.model import Task, TrainedModel
from harness.errors import ArtifactError
from harness.serving import compiled
from harness.serving.checking import Row
from harness.serving.features import Feature, Kind, steps_of

log = logging.getLogger("harness.serving")

LIKELIEST: Final = frozenset(
    {
        "DecisionTreeClassifier", "ExtraTreesClassifier", "HistGradientBoostingClassifier", "LogisticRegression",
        "RandomForestClassifier",
    }
)  # fmt: skip
"""Classifiers of scikit-learn whose answer is their likeliest class, so that one question gives both."""
CLOSE: Final = 1e-9
"""Where two classes are this close the model is asked for its answer too: rounding may decide it otherwise."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model says of rows."""

    values: list[Any]
    """The labels as the estimator has them (text, or whole numbers), or the values."""
    confidences: list[float] | None
    """How probable each label is; None of values, and where the model does not say."""

    def part(self, start: int, stop: int) -> "Answers":
        """Those of some rows."""
        return Answers(self.values[start:stop], self.confidences[start:stop] if self.confidences else None)


class SeveralTargets(ValueError):
    """A model answers a row with several values, and a server says one."""


class NotFinite(ArithmeticError):
    """A model has answered NaN or infinity, which JSON cannot say."""


@dataclass(frozen=True, eq=False)
class Served:
    """A model as it is served."""

    name: str
    version: str
    model: TrainedModel
    features: tuple[Feature, ...]
    labels: tuple[Any, ...] = ()
    """As the estimator has them, in its order; empty for a regressor."""
    source: str = ""
    """What the user named it by."""
    notes: tuple[str, ...] = field(default=())

    @property
    def task(self) -> Task:
        """What it predicts."""
        return self.model.task

    @property
    def shown_version(self) -> int | str:
        """As JSON has it: a whole number where it is one."""
        return int(self.version) if self.version.isdecimal() else self.version


class Answerer:
    """Asks an estimator; of several threads at a time where the estimator can be.

    Args:
        estimator: fitted.
        features: what it takes.
        task: what it predicts.
        quick: use arrays where they give the same.
    """

    def __init__(self, estimator: Any, features: Sequence[Feature], task: Task, *, quick: bool = True) -> None:
        self._estimator = estimator
        self.features = tuple(features)
        self._classifies = task is Task.CLASSIFICATION
        self._named = hasattr(estimator, "feature_names_in_")
        self._labels: list[Any] = [_plain(label) for label in estimator.classes_] if self._classifies else []
        self.together = all(feature.kind is not Kind.ANY for feature in features)
        """Rows may be asked together: no column's type depends on what others send."""
        self.quick = False
        """Arrays are used: they gave the very same for every row that was tried."""
        self._transform: Callable[[Sequence[Row]], Any] | None = None
        self._sum: Callable[[Any], Any] | None = None
        self._order: Literal["C", "F"] = "C"
        if quick and self.together:
            try:
                with warnings.catch_warnings():
                    warnings.filterwarnings("error", "X does not have valid feature names")  # would come with each row
                    self._hasten()
            except Exception as error:  # noqa: BLE001 - a user's model may raise anything over what it does not like
                log.info("rows are asked in DataFrames, which is slower: %s: %s", type(error).__name__, error)
                self.quick = False

    def answer(self, rows: Sequence[Row]) -> Answers:
        """What the model says of rows.

        Raises:
            NotFinite: it has no finite answer.
            Exception: whatever the estimator raises.
        """
        if not self.quick:
            return self.slow(rows)
        return self._said(self._final, self._seen(rows), self._sum)

    def slow(self, rows: Sequence[Row]) -> Answers:
        """What it says of a DataFrame of these rows: the way that the quick one is held against."""
        return self._said(self._estimator, self._table(rows), None)

    def _table(self, rows: Sequence[Row]) -> Any:
        if not self._named:
            return np.array(rows, dtype=np.float64)
        return compiled.frame(rows, self.features)

    def _said(self, estimator: Any, seen: Any, summed: Callable[[Any], Any] | None) -> Answers:
        if not self._classifies:
            values = (summed(seen) if summed else _asked(estimator, seen)).astype(np.float64)
            _check_finite(values)
            return Answers(values.tolist(), None)
        if not hasattr(estimator, "predict_proba"):
            return Answers([_plain(label) for label in _asked(estimator, seen)], None)
        chances = summed(seen) if summed else estimator.predict_proba(seen)
        _check_finite(chances)
        places = self._places(estimator, seen, chances)
        sure = chances[np.arange(len(places)), places]
        return Answers([self._labels[place] for place in places.tolist()], sure.tolist())

    def _places(self, estimator: Any, seen: Any, chances: Any) -> NDArray[np.intp]:
        """Where each answer stands among the estimator's labels."""
        if _answers_likeliest(estimator) and chances.shape[1] > 1:
            ranked = np.partition(chances, -2, axis=1)
            if bool(np.all(ranked[:, -1] - ranked[:, -2] > CLOSE)):
                return np.asarray(chances.argmax(axis=1))
        said = _asked(estimator, seen)
        return np.array([self._labels.index(_plain(label)) for label in said], dtype=np.intp)

    # --- the quick way ---

    def _seen(self, rows: Sequence[Row]) -> Any:
        """What the pipeline's last step sees of rows."""
        assert self._transform is not None
        seen: Any = np.asarray(self._transform(rows), order=self._order)
        for step in self._between:
            seen = step.transform(seen)
        return seen

    def _hasten(self) -> None:
        """Use arrays where they give the same as DataFrames for rows of every kind there is."""
        trial = trial_rows(self.features)
        table = self._table(trial)
        wanted: Any
        model = self._estimator
        while hasattr(model, "best_estimator_"):  # a search answers as what it has found
            model = model.best_estimator_
        steps = steps_of(model)
        if hasattr(steps[0], "transformers_"):
            self._transform = compiled.transformer(model, self.features)
            wanted = steps[0].transform(table)
            del steps[0]
        elif all(feature.kind is Kind.NUMBER for feature in self.features) and all(map(_ours, steps)):
            places = range(len(self.features))
            self._transform = lambda rows: compiled.numbers(rows, places)
            wanted = np.asarray(table)
        if self._transform is None:
            return
        *self._between, self._final = [compiled.nameless(step) for step in steps]
        if not (isinstance(wanted, np.ndarray) and np.array_equal(self._transform(trial), wanted, equal_nan=True)):
            return
        # Sums of products differ in their last bit with the order in memory, so that is made the same too.
        self._order = "C" if wanted.flags.c_contiguous else "F"
        seen = self._seen(trial)
        summed = compiled.forest(self._final)
        if summed is not None:
            asked = self._final.predict_proba if self._classifies else self._final.predict
            self._sum = summed if np.array_equal(summed(seen), asked(seen)) else None
        self.quick = self._said(self._final, seen, self._sum) == self._said(self._estimator, table, None)


def trial_rows(features: Sequence[Feature]) -> list[Row]:
    """Rows of every kind: each known value, one never seen, nothing, numbers of all sizes; one feature at a time."""
    base: Row = [feature.example for feature in features]
    found = [base]
    for place, feature in enumerate(features):
        values: list[Any] = list(feature.known[:200])
        if feature.kind is Kind.NUMBER and not feature.closed:
            top = min(feature.limit, 1e12)
            values += [0.0, -0.0, 1.0, -1.0, 1 / 3, 123456.789, top, -top, top / 7]
        if feature.kind is Kind.TEXT and not feature.closed:
            values += [compiled.NOT_SEEN, "", "é"]
        if feature.nullable:
            values.append(float("nan") if feature.kind is Kind.NUMBER else None)
        found += [[*base[:place], value, *base[place + 1 :]] for value in values]
    return found


def labels_of(estimator: Any, task: Task) -> tuple[Any, ...]:
    """A classifier's labels as Python has them.

    Raises:
        ArtifactError: they are neither texts nor numbers.
    """
    if task is not Task.CLASSIFICATION:
        return ()
    labels = tuple(_plain(label) for label in estimator.classes_)
    if not all(isinstance(label, str | int | float) for label in labels):
        raise ArtifactError(f"the model answers {labels!r}; labels must be texts or numbers, which JSON can say")
    return labels


def _asked(estimator: Any, seen: Any) -> NDArray[Any]:
    """One answer for each row."""
    said = np.asarray(estimator.predict(seen))
    if said.ndim > 1 and said.shape[1] != 1:
        raise SeveralTargets(f"the model answers each row with {said.shape[1]} values; save a model for each of them")
    return said.ravel()


def _answers_likeliest(estimator: Any) -> bool:
    final = estimator[-1] if hasattr(estimator, "steps") else estimator
    return type(final).__name__ in LIKELIEST and type(final).__module__.startswith("sklearn.")


def _ours(step: Any) -> bool:
    return type(step).__module__.startswith("sklearn.")


def _check_finite(values: Any) -> None:
    if not np.isfinite(values).all():
        raise NotFinite("the model has answered NaN or infinity")


def _plain(label: Any) -> Any:
    return label.item() if hasattr(label, "item") else label
