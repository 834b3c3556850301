"""What only a model itself can tell: whether a value may be missing, and how large numbers may be.

The model is asked rows made of what its parts say (`harness.serving.features`). What it raises then, it would raise for
a user: so it is refused as bad input instead.
"""

import logging
import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from harness.domain.model import Task, TrainedModel
from harness.errors import ArtifactError
from harness.serving.answering import Answerer, Served, SeveralTargets, labels_of
from harness.serving.checking import Row
from harness.serving.features import MISSING, Feature, Kind, feature_names, read

log = logging.getLogger("harness.serving")

SIZES: Final = (1e300, 1e150, 1e75, 1e37, 1e30, 1e18, 1e12, 1e6)
"""Magnitudes that are tried, the largest first; what is allowed is a thousandth of the first that is answered."""
MARGIN: Final = 1e3
EXAMPLES: Final = (0, "a", False, None)
"""What is tried for a feature of which nothing is known."""


def served(model: TrainedModel, name: str, version: str, source: str) -> Served:
    """A model with all that is known of what it takes.

    Args:
        model: fitted.
        name: what it is called in answers.
        version: likewise.
        source: what the user named it by, for errors.

    Raises:
        ArtifactError: it has no features, answers no row at all, or answers it with several values.
    """
    estimator = model.estimator
    names = feature_names(estimator, model.features)
    if not names:
        raise ArtifactError(f"{source}: the model does not say what columns it was fitted to; fit it to a DataFrame")
    labels = labels_of(estimator, model.task)
    if not hasattr(estimator, "feature_names_in_"):
        features: Sequence[Feature] = [Feature(each, Kind.NUMBER, 0.0) for each in names]
    else:
        features = read(estimator, [str(each) for each in estimator.feature_names_in_])
    try:
        features = _with_examples(estimator, features, model.task, source)
    except SeveralTargets as error:
        raise ArtifactError(f"{source}: {error}") from None
    features = _with_nulls(estimator, features, model.task)
    features = _with_limits(estimator, features, model.task)
    return Served(name, version, model, tuple(features), labels, source, model.notes)


class _Trial:
    def __init__(self, estimator: Any, features: Sequence[Feature], task: Task) -> None:
        self._answerer = Answerer(estimator, features, task, quick=False)
        self.reason = ""

    def takes(self, rows: Sequence[Row]) -> bool:
        """Whether the model answers them, without an overflow on the way.

        Raises:
            SeveralTargets: it answers them with several values each.
        """
        try:
            with warnings.catch_warnings(), np.errstate(over="raise", invalid="raise"):
                warnings.simplefilter("ignore")
                self._answerer.slow(rows)
        except SeveralTargets:
            raise
        except Exception as error:  # noqa: BLE001 - a user's model may raise anything
            self.reason = f"{type(error).__name__}: {error}"
            return False
        return True


def _with_examples(estimator: Any, features: Sequence[Feature], task: Task, source: str) -> Sequence[Feature]:
    reason = ""
    for example in EXAMPLES:
        tried = [replace(each, example=example) if each.kind is Kind.ANY else each for each in features]
        trial = _Trial(estimator, tried, task)
        if trial.takes([[each.example for each in tried]]):
            return tried
        reason = reason or trial.reason
        if all(each.kind is not Kind.ANY for each in features):
            break
    if all(each.kind is not Kind.ANY for each in features):
        raise ArtifactError(f"{source}: the model answers no row: {reason[:300]}")
    log.warning("no example row is known that the model answers (%s)", " ".join(reason.split())[:200])
    return features


def _with_nulls(estimator: Any, features: Sequence[Feature], task: Task) -> Sequence[Feature]:
    """Which features may be missing: all at once, or else by halves until those are found that may not."""
    trial = _Trial(estimator, features, task)
    base: Row = [each.example for each in features]

    def refused(places: Sequence[int]) -> set[int]:
        row = list(base)
        for place in places:
            row[place] = MISSING if features[place].kind is Kind.NUMBER else None
        if trial.takes([row]):
            return set()
        if len(places) == 1:
            return {places[0]}
        half = len(places) // 2
        return refused(places[:half]) | refused(places[half:])

    found = refused(range(len(features)))
    return [replace(each, nullable=place not in found) for place, each in enumerate(features)]


def _with_limits(estimator: Any, features: Sequence[Feature], task: Task) -> Sequence[Feature]:
    trial = _Trial(estimator, features, task)
    signs = np.array([1.0 if place % 2 else -1.0 for place in range(len(features))])
    base: Row = [each.example for each in features]

    def row(size: float, sign: Any) -> Row:
        return [
            float(size * sign[place]) if each.kind is Kind.NUMBER and not each.closed else base[place]
            for place, each in enumerate(features)
        ]

    for size in SIZES:
        if trial.takes([row(size, each) for each in (abs(signs), -abs(signs), signs, -signs)]):
            return [replace(each, limit=size / MARGIN) for each in features]
    log.warning("the model answers no number as large as %g; numbers are not limited", SIZES[-1])
    return [replace(each, limit=math.inf) for each in features]
