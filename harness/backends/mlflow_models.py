"""Models in MLflow: found by alias, number or URI, whoever logged them; read, and saved.

A model is a folder of MLflow's scikit-learn flavor: a file ``MLmodel``, and the estimator beside it.
"""

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.backends.told import model_of, told_of
from harness.backends.uri import ModelUri, ModelUriError, model_uri
from harness.domain.model import Revision, Role, TrainedModel
from harness.errors import ArtifactError, NotRegistered, RegistryError
from harness.protocols import Fetched

if TYPE_CHECKING:
    from harness.backends.mlflow_connection import Connection

PACKAGES: Final = ("scikit-learn", "skops", "numpy", "pandas")
"""What a saved model needs; named, because MLflow takes 13 s to find it out by itself."""
PICKLED: Final = ("cloudpickle", "pickle")
"""MLflow's words for the forms that run what they hold when they are loaded."""
METADATA: Final = "harness"
"""Under this name what is known of a model stands in ``MLmodel``."""
DIGEST: Final = "harness.artifact_digest"
ABSENT: Final = "RESOURCE_DOES_NOT_EXIST"
MALFORMED: Final = "INVALID_PARAMETER_VALUE"
LOGGED: Final = re.compile(r"models:/(m-[0-9a-f]+)")
"""How a version names the model that it was made of, since MLflow 3."""


class Models:
    """What is asked of one MLflow's models; everything blocks.

    Args:
        mlflow: where they are.
    """

    def __init__(self, mlflow: "Connection") -> None:
        self._mlflow = mlflow
        self.pickles = False
        """The user trusts pickles."""
        self.binary = True
        """Classifiers must tell two classes apart."""

    def fetch(self, uri: str) -> Fetched:
        """The model that a URI names, and its version if it is one.

        Raises:
            NotRegistered: there is none.
            RegistryError: the URI is none of those that there are, or the model is not what was registered.
            ArtifactError: it cannot be loaded.
        """
        try:
            named = model_uri(uri)
        except ModelUriError as error:
            raise RegistryError(f"{uri}: {error}") from None
        if named.run:
            return Fetched(self._of_run(named))
        found = self.aliased(named.name, named.alias) if named.alias else self.numbered(named.name, named.version)
        model = self.load(found, found.tags.get(DIGEST))
        return Fetched(model, Revision(named.name, int(found.version), model.artifact_digest))

    def _of_run(self, named: ModelUri) -> TrainedModel:
        self._mlflow.demand()
        where = f"runs:/{named.run}/{named.path}"
        return self._read(self._in_run(named.run, named.path), named.path, where)

    def _in_run(self, run_id: str, path: str) -> str:
        """Where a model of a run is kept: one that the run logged by that name, or a folder of its artifacts.

        MLflow itself finds a logged model through its process-wide URI, and so makes a database in the current folder.
        """
        from mlflow.exceptions import MlflowException

        try:
            run = self._mlflow.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code not in (ABSENT, MALFORMED):
                raise
            raise NotRegistered(f"there is no run {run_id} in MLflow at {self._mlflow.uri}") from None
        name, _, rest = path.partition("/")
        for output in run.outputs.model_outputs if run.outputs else ():
            logged = self._mlflow.client.get_logged_model(output.model_id)
            if logged.name == name:
                return _below(logged.artifact_location, rest)
        if not self._mlflow.client.list_artifacts(run_id, path):
            raise NotRegistered(f"run {run_id} in MLflow at {self._mlflow.uri} has no model {path!r}")
        return _below(run.info.artifact_uri, path)

    def named(self, name: str) -> Any:
        """The registered model of a name."""
        from mlflow.exceptions import MlflowException

        self._mlflow.demand()
        try:
            return self._mlflow.client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code != ABSENT:
                raise
            raise NotRegistered(
                f"MLflow at {self._mlflow.uri} holds no model {name!r}; register one first, or train it in this run"
            ) from None

    def aliased(self, name: str, alias: str) -> Any:
        """The version that an alias names."""
        model = self.named(name)
        if alias not in model.aliases:
            known = ", ".join(sorted(model.aliases)) or "none"
            raise NotRegistered(f"no version of {name} is called {alias!r} (aliases: {known}); set the alias first")
        return self._mlflow.client.get_model_version(name, str(model.aliases[alias]))

    def numbered(self, name: str, number: int) -> Any:
        """The version of a number."""
        from mlflow.exceptions import MlflowException

        self.named(name)
        try:
            return self._mlflow.client.get_model_version(name, str(number))
        except MlflowException as error:
            if error.error_code != ABSENT:
                raise
            raise NotRegistered(f"there is no {name}:{number} in MLflow at {self._mlflow.uri}") from None

    def load(self, version: Any, expected: str | None) -> TrainedModel:
        """The model of a version, held against its digest where one was kept."""
        where = f"{version.name}:{version.version}"
        model = self._read(self._location(version.source), version.name, where)
        if expected and model.artifact_digest != expected:
            raise RegistryError(
                f"{where} is not what was registered: its artifact is {model.artifact_digest}, not {expected}; someone "
                "has changed the file: register the model again"
            )
        return model

    def download(self, version: Any, into: Path) -> Path:
        """The folder of a version's model, below another; nothing in it is loaded."""
        from mlflow.artifacts import download_artifacts

        return Path(
            download_artifacts(
                artifact_uri=self._location(version.source),
                dst_path=str(into),
                tracking_uri=self._mlflow.uri,
                registry_uri=self._mlflow.uri,
            )
        )

    def _location(self, source: str) -> str:
        """Where the model of a version is kept: it names a run, a logged model, or the place itself."""
        if found := LOGGED.fullmatch(source):
            return str(self._mlflow.client.get_logged_model(found[1]).artifact_location)
        if source.startswith("runs:/"):
            run_id, _, path = source.removeprefix("runs:/").partition("/")
            return self._in_run(run_id, path)
        return source

    def _read(self, location: str, name: str, where: str) -> TrainedModel:
        from mlflow.artifacts import download_artifacts

        with tempfile.TemporaryDirectory(prefix="harness-") as empty:
            folder = download_artifacts(
                artifact_uri=location, dst_path=empty, tracking_uri=self._mlflow.uri, registry_uri=self._mlflow.uri
            )
            return read(Path(folder), name, where, pickles=self.pickles, binary=self.binary)


def _below(location: str, path: str) -> str:
    return f"{location.rstrip('/')}/{path}" if path else location


def save(model: TrainedModel, folder: Path) -> Path:
    """Write a model as a skops archive, with what is known of it; the folder.

    Raises:
        ArtifactError: a skops archive cannot hold it without types that are not known to be harmless.
    """
    return save_estimator(model.estimator, folder, {METADATA: told_of(model)})


def save_estimator(estimator: Any, folder: Path, metadata: Mapping[str, Any] | None = None) -> Path:
    """Write a fitted scikit-learn model as a skops archive; the folder.

    Args:
        estimator: fitted.
        folder: it is made.
        metadata: what stands beside it in ``MLmodel``.

    Raises:
        ArtifactError: a skops archive cannot hold it without types that are not known to be harmless.
    """
    import mlflow.sklearn
    from mlflow.exceptions import MlflowException

    from harness.training.algorithms import calm
    from harness.training.artifact import TRUSTED

    with calm(), _refusing(MlflowException):
        mlflow.sklearn.save_model(
            estimator,
            str(folder),
            serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_SKOPS,
            skops_trusted_types=sorted(TRUSTED),
            pip_requirements=[f"{name}=={installed_version(name)}" for name in PACKAGES],
            metadata=dict(metadata or {}),
        )
    return folder


@contextmanager
def _refusing(kind: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kind as error:
        reason = " ".join(str(error).split())[:300]
        raise ArtifactError(
            f"models are kept as skops, and this one cannot be: {reason}; build it of scikit-learn's own estimators, "
            "or keep this run's models in memory (--registry memory:)"
        ) from error


def read(folder: Path, name: str, where: str, *, pickles: bool, binary: bool = True) -> TrainedModel:
    """The model of a folder, whoever saved it.

    Args:
        folder: it holds the file ``MLmodel``.
        name: the model's.
        where: what the user knows it by, for errors.
        pickles: the user trusts pickles; else they are refused unread.
        binary: a classifier must tell two classes apart.

    Raises:
        ArtifactError: it is no scikit-learn model, a pickle that is not trusted, damaged, or none that is served here.
    """
    from mlflow.models import Model

    from harness.training import artifact
    from harness.training.brought import brought

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
        found = brought(estimator, name, Role.STABLE, where, binary=binary)
        return replace(found, notes=tuple(notes))
    return model_of(known, name, estimator, notes)


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
