"""Models as MLflow's scikit-learn flavor saves them: a folder with a file ``MLmodel``, and the estimator beside it."""

from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, Final

from harness.domain.model import Role, Source, Task, TrainedModel
from harness.errors import ArtifactError

PACKAGES: Final = ("scikit-learn", "skops", "numpy", "pandas")
"""What a saved model needs; named, because MLflow takes 13 s to find it out by itself."""
PICKLED: Final = ("cloudpickle", "pickle")
"""MLflow's words for the forms that run what they hold when they are loaded."""
METADATA: Final = "harness"
"""Under this name what is known of a model stands in ``MLmodel``."""


def save(model: TrainedModel, folder: Path) -> Path:
    """Write a model as a skops archive, with what is known of it; the folder."""
    import mlflow.sklearn

    from harness.training.algorithms import calm
    from harness.training.artifact import TRUSTED

    with calm():
        mlflow.sklearn.save_model(
            model.estimator,
            str(folder),
            serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_SKOPS,
            skops_trusted_types=sorted(TRUSTED),
            pip_requirements=[f"{name}=={installed_version(name)}" for name in PACKAGES],
            metadata={
                METADATA: {
                    "role": model.role.value,
                    "algorithm": model.algorithm,
                    "params": dict(model.params),
                    "task": model.task.value,
                    "features": list(model.features),
                    "classes": list(model.classes),
                    "data_digest": model.data_digest,
                    "metrics": {name: float(value) for name, value in model.metrics.items()},
                }
            },
        )
    return folder


def read(folder: Path, name: str, where: str, *, pickles: bool) -> TrainedModel:
    """The model of a folder, whoever saved it.

    Args:
        folder: it holds the file ``MLmodel``.
        name: the model's.
        where: what the user knows it by, for errors.
        pickles: the user trusts pickles; else they are refused unread.

    Raises:
        ArtifactError: it is no scikit-learn model, a pickle that is not trusted, damaged, or none that is served here.
    """
    from mlflow.models import Model

    from harness.training import artifact
    from harness.training.brought import brought
    from harness.training.digest import model_digest

    if not (folder / "MLmodel").is_file():
        raise ArtifactError(
            f"{where}: there is no file MLmodel, so this is no model of MLflow; name the model's folder"
        )
    saved = Model.load(str(folder))
    file, pickled = _archive(saved.flavors, where, pickles=pickles)
    notes: list[str] = []
    estimator = artifact.load(folder / file, notes, pickled=pickled)
    known = (saved.metadata or {}).get(METADATA)
    if known is None:
        found = brought(estimator, name, Role.STABLE, where)
        return replace(found, notes=tuple(notes))
    return TrainedModel(
        name=name,
        role=Role(known["role"]),
        source=Source.REGISTERED,
        algorithm=known["algorithm"],
        params=known["params"],
        estimator=estimator,
        task=Task(known["task"]),
        features=tuple(known["features"]),
        classes=tuple(known["classes"]),
        artifact_digest=model_digest(estimator),
        data_digest=known["data_digest"],
        metrics=known["metrics"],
        notes=tuple(notes),
    )


def _archive(flavors: Mapping[str, Any], where: str, *, pickles: bool) -> tuple[str, bool]:
    """The name of the estimator's file, and whether it is a pickle."""
    flavor = flavors.get("sklearn", {})
    form = flavor.get("serialization_format")
    if form != "skops" and not (pickles and form in PICKLED):
        kept = form or f"the flavors {', '.join(flavors)}"
        remedy = ", or say --trust-pickle where the model is your own: loading a pickle runs what it holds"
        raise ArtifactError(
            f"{where} is saved as {kept}, and only scikit-learn models saved by skops are loaded; log it with "
            f'mlflow.sklearn.log_model(..., serialization_format="skops"){remedy if form in PICKLED else ""}'
        )
    return Path(flavor["pickled_model"]).name, form in PICKLED  # MLflow's name for the file, whatever is in it
