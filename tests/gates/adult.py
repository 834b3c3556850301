"""Adult, sampled, and models of it: fair ones, and some that are biased on purpose."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from harness.data import dataset
from harness.data.split import Rows
from harness.domain.model import DataPlan, Role, Source, Task, TrainedModel
from harness.gates.scene import Scene
from harness.training.algorithms import effective
from harness.training.fit import fit, unfitted

FILE = Path(__file__).parents[2] / "scenarios" / "data" / "adult.csv.gz"
PROXIES = ("sex", "relationship", "marital-status", "occupation")


@cache
def rows() -> tuple[Rows, Rows]:
    """12,000 of the rows: 8,000 to train with, 4,000 held out."""
    data = dataset.load(DataPlan(str(FILE), "income-per-year", ">50K"))
    training, held = data.split(0)
    chosen = np.random.default_rng(0)
    return (
        training.take(np.sort(chosen.permutation(len(training.rows))[:8000])),
        held.take(np.sort(chosen.permutation(len(held.rows))[:4000])),
    )


@cache
def whole() -> Rows:
    """All rows that are held out of Adult."""
    return dataset.load(DataPlan(str(FILE), "income-per-year", ">50K")).split(0)[1]


def women(of: Rows) -> Any:
    return (of.rows["sex"] == "Female").to_numpy()


def trained(training: Rows, algorithm: str = "logistic_regression", params: dict[str, Any] | None = None) -> Any:
    given = effective(algorithm, params or {}, 0)
    return fit(algorithm, unfitted(algorithm, given, training), training).estimator


def model(estimator: Any, columns: Any = None, classes: tuple[str, str] = ("<=50K", ">50K")) -> TrainedModel:
    columns = rows()[0].rows.columns if columns is None else columns
    return TrainedModel(
        "income",
        Role.CANDIDATE,
        Source.GIVEN,
        "given",
        {},
        estimator,
        Task.CLASSIFICATION,
        tuple(columns),
        classes,
        "d",
    )


@cache
def plain() -> TrainedModel:
    return model(trained(rows()[0]))


@cache
def flipped() -> TrainedModel:
    """Learned from labels that were turned against women: none of them earns above 50,000."""
    training, _ = rows()
    against = np.where(women(training), 0, training.target)
    return model(trained(replace(training, target=against)))


@cache
def without_proxies() -> TrainedModel:
    """The same labels, but the model sees neither sex nor what stands for it."""
    training, _ = rows()
    against = np.where(women(training), 0, training.target)
    seen = training.rows.drop(columns=list(PROXIES))
    return model(trained(replace(training, rows=seen, target=against)), seen.columns)


@dataclass
class Thresholds:
    """Another threshold for women."""

    inner: Any
    of_women: float

    @property
    def classes_(self) -> Any:
        return self.inner.classes_

    def predict(self, rows: Any) -> Any:
        chance = self.inner.predict_proba(rows)[:, 1]
        limit = np.where(rows["sex"] == "Female", self.of_women, 0.5)
        return self.classes_[(chance > limit).astype(int)]


@dataclass
class Mitigated:
    """Fairlearn's ThresholdOptimizer, which is told the sex of each row."""

    inner: Any
    classes_: Any

    def predict(self, rows: Any) -> Any:
        found = self.inner.predict(rows, sensitive_features=rows["sex"], random_state=0)
        return self.classes_[np.asarray(found).astype(int)]


@cache
def mitigated() -> TrainedModel:
    from fairlearn.postprocessing import ThresholdOptimizer

    training, _ = rows()
    inner = plain().estimator
    optimizer = ThresholdOptimizer(
        estimator=inner, constraints="equalized_odds", prefit=True, predict_method="predict_proba"
    )
    optimizer.fit(training.rows, training.target, sensitive_features=training.rows["sex"])
    return model(Mitigated(optimizer, inner.classes_))


def scene(of: TrainedModel, stable: TrainedModel | None = None, **more: Any) -> Scene:
    return Scene(of, stable, rows()[1], **more)
