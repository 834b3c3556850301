"""Models that come from elsewhere: what they are is learnt from the estimator itself."""

from dataclasses import replace
from typing import Any, Final

from sklearn.base import BaseEstimator, is_classifier, is_regressor

from harness.data.split import Rows
from harness.domain.model import GivenPlan, Role, Source, Task, TrainedModel
from harness.errors import ArtifactError, DataError, InputError
from harness.protocols import Population
from harness.training.digest import model_digest

ZERO_AND_ONE: Final = (("0", "1"), ("0.0", "1.0"), ("False", "True"))


def brought(estimator: Any, name: str, role: Role, where: str, *, binary: bool = True) -> TrainedModel:
    """A fitted estimator from a file as the model of a role.

    Args:
        estimator: fitted; a classifier or a regressor with one output.
        name: the model's.
        role: its role.
        where: the file, for errors.
        binary: a classifier must tell two classes apart, as all that compares models here asks of it; a server asks
            nothing of the kind.

    Raises:
        ArtifactError: it is neither, not fitted, or tells more classes apart than it may.
    """
    classes = _classes(estimator, where, binary=binary)
    final = estimator[-1] if hasattr(estimator, "steps") else estimator
    return TrainedModel(
        name=name,
        role=role,
        source=Source.ARTIFACT,
        algorithm=type(final).__name__,
        params={},
        estimator=estimator,
        task=Task.CLASSIFICATION if classes else Task.REGRESSION,
        features=tuple(str(column) for column in getattr(estimator, "feature_names_in_", ())),
        classes=classes,
        artifact_digest=model_digest(estimator),
    )


def given(plan: GivenPlan, name: str, role: Role, population: Population | None) -> TrainedModel:
    """What a caller in Python has handed over as the model of a role.

    Raises:
        InputError: it is no model, does not fit the data, or is nothing although there are rows to answer.
    """
    if plan.model is None:
        if population is not None:
            raise InputError(
                f"model.{role} is not given, and the data's rows are to be answered; give a fitted estimator"
            )
        return TrainedModel(
            name=name, role=role, source=Source.GIVEN, algorithm="unknown", params={}, estimator=None,
            task=Task.CLASSIFICATION, features=(), classes=(), artifact_digest=f"unknown:{name}/{role}",
        )  # fmt: skip
    model = plan.model if isinstance(plan.model, TrainedModel) else brought(plan.model, name, role, f"model.{role}")
    source = Source.REGISTERED if plan.revision else Source.GIVEN
    model = replace(model, name=name, role=role, source=source)
    return check_fits(model, population, f"model.{role}") if population else model


def _classes(estimator: Any, where: str, *, binary: bool) -> tuple[str, ...]:
    known_kind = isinstance(estimator, BaseEstimator)
    if known_kind and is_regressor(estimator):
        return ()
    if not known_kind or not is_classifier(estimator):
        raise ArtifactError(f"{where}: a {type(estimator).__name__} is neither a classifier nor a regressor")
    known = getattr(estimator, "classes_", None)
    if known is None:
        raise ArtifactError(f"{where}: the {type(estimator).__name__} is not fitted; fit it before it is saved")
    if isinstance(known, list):  # an array for each target
        raise ArtifactError(f"{where}: the model answers {len(known)} targets at once; save a model for each of them")
    if binary and len(known) != 2:
        raise ArtifactError(
            f"{where}: the model tells {len(known)} classes apart; only binary classifiers are compared and rolled out "
            "(harness serve takes any number)"
        )
    return tuple(str(label) for label in known)


def check_fits(model: TrainedModel, population: Population, where: str) -> TrainedModel:
    """The model, its positive class that of the data, if it can be asked these rows.

    Raises:
        DataError: the data lack a column it was fitted to, or their target is not what it answers.
    """
    if isinstance(population, Rows):
        model = _aligned(model, population.classes, where)
    columns = [str(name) for name in population.rows.columns]
    if model.features:
        lacking = [name for name in model.features if name not in columns]
        if lacking:
            raise DataError(
                f"{where}: the model was fitted to columns that the data's features lack: {', '.join(lacking)}; "
                f"the features are {', '.join(columns)}"
            )
        return model
    width = getattr(model.estimator, "n_features_in_", len(columns))
    raise DataError(
        f"{where}: the model was fitted to {width} unnamed columns; fit it to a DataFrame, so that they have names"
    )


def _aligned(model: TrainedModel, classes: tuple[str, ...], where: str) -> TrainedModel:
    if bool(classes) != bool(model.classes):
        what = "labels" if classes else "numbers"
        raise DataError(f"{where}: a model for {model.task}, but the target holds {what} (see model.data.positive)")
    if sorted(classes) == sorted(model.classes):
        return replace(model, classes=classes)
    if model.classes in ZERO_AND_ONE or not classes:
        return model  # fitted to 1 for positive, 0 for negative
    raise DataError(
        f"{where}: the model answers {' or '.join(map(repr, model.classes))}, "
        f"but the target holds {' or '.join(map(repr, classes))}"
    )
