"""MLflow as a registry of models and as a tracker of training runs, on SQLite or over HTTP.

Aliases and tags, no stages. Everything goes through a client with explicit run ids and an explicit URI: nothing here
sets MLflow's process-wide state, and nothing is ever written to the current folder. Models are saved as skops archives,
which hold no code (`harness.backends.mlflow_models`). docs/backends.md tells what is kept where.
"""

import tempfile
import threading
from pathlib import Path
from typing import Any, Final

from harness.backends.mlflow_connection import EXISTS, INTENT, RUN, Connection, rehearsal, tags_of
from harness.backends.mlflow_lineage import record, trace
from harness.backends.mlflow_listing import STATUS, names, quoted, versions
from harness.backends.mlflow_models import DIGEST, Models, save
from harness.domain.lineage import Deployment, Lineage
from harness.domain.model import Revision, Source, TrainedModel
from harness.errors import RegistryError
from harness.protocols import Fetched, IntentId, Version
from harness.realtime import Ours

FOLDER: Final = "model"
"""Where a run keeps the model among its artifacts."""


class _Kept:
    """What registry and tracker have in common: one MLflow, and the models in it by URI, whoever saved them.

    Args:
        uri: ``sqlite:///`` and an absolute path, or ``http(s)://HOST[:PORT]``.

    Raises:
        BackendError: MLflow is not installed.
    """

    def __init__(self, uri: str) -> None:
        self._mlflow = Connection(uri)
        self._models = Models(self._mlflow)

    def trust_pickles(self) -> None:
        """Load models saved as pickles too, which run what they hold; until this is called they are refused."""
        self._models.pickles = True

    def allow_many_classes(self) -> None:
        """Load classifiers of more than two classes too, for a server; until this is called they are refused."""
        self._models.binary = False

    async def fetch(self, uri: str) -> Fetched:
        """The model that ``models:/NAME@ALIAS``, ``models:/NAME/VERSION`` or ``runs:/RUN_ID/PATH`` names.

        Raises:
            NotRegistered: there is no such model, alias, version, run or folder.
            RegistryError: it cannot be loaded, or MLflow refused.
        """
        return await self._mlflow.call(f"loading {uri}", lambda: self._models.fetch(uri))


class MlflowTracker(_Kept):
    """Keeps training runs as runs of MLflow, in an experiment of the model's name.

    Args:
        uri: ``sqlite:///`` and an absolute path, or ``http(s)://HOST[:PORT]``.

    Raises:
        BackendError: MLflow is not installed.
    """

    async def record(self, model: TrainedModel, intent: IntentId) -> None:
        """Keep what is known of a training run; the same intent twice is one run.

        Raises:
            RegistryError: the intent has recorded another model, or MLflow refused.
        """
        await self._mlflow.call("recording a training run", lambda: self._mlflow.keep(model, intent, finish=True))


class MlflowRegistry(_Kept):
    """Versions of models and their aliases in MLflow's model registry.

    A version's run is the training run of the same rehearsal, if a tracker recorded it in the same MLflow; else it has
    one of its own. Versions that others registered can be resolved and loaded too, if they are saved by skops, or are
    pickles that the user trusts.

    Args:
        uri: ``sqlite:///`` and an absolute path, or ``http(s)://HOST[:PORT]``.

    Raises:
        BackendError: MLflow is not installed.
    """

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self._turn = threading.Lock()  # MLflow looks for an intent and adds a version in two steps

    def guard(self, ours: Ours) -> None:
        """Whether the rollout is still ours is looked at right before each request."""
        self._mlflow.ours = ours

    async def register(self, model: TrainedModel, intent: IntentId) -> Revision:
        """Add a version; the same intent twice is one version.

        Of several processes that try one intent at the same time each may add one: MLflow has no transaction for it.

        Raises:
            RegistryError: the intent has registered another model, the model is not here, or MLflow refused.
        """
        if model.source is Source.RECORDED:
            raise RegistryError(
                f"{model.name} answers by recorded predictions, and MLflow keeps models that can be served; "
                "register in memory"
            )

        def in_turn() -> Revision:
            with self._turn:
                return self._register(model, intent)

        return await self._mlflow.call(f"registering {model.name}", in_turn)

    async def resolve(self, name: str, alias: str) -> Revision:
        """The version an alias names.

        Raises:
            NotRegistered: no such model or alias.
            RegistryError: MLflow refused.
        """
        return await self._mlflow.call(f"looking up {name}@{alias}", lambda: self._resolve(name, alias))

    async def set_alias(self, revision: Revision, alias: str) -> None:
        """Let the alias name this version; it then names no other.

        Raises:
            RegistryError: there is no such version, or MLflow refused.
        """

        def work() -> None:
            self._version(revision)
            self._mlflow.client.set_registered_model_alias(revision.name, alias, str(revision.version))

        await self._mlflow.call(f"setting the alias {alias} of {revision}", work)

    async def load(self, revision: Revision) -> TrainedModel:
        """The model of a version, its digest checked.

        Raises:
            RegistryError: there is no such version, its artifact is damaged or not what was registered, or MLflow
                refused.
        """
        return await self._mlflow.call(
            f"loading {revision}", lambda: self._models.load(self._version(revision), revision.digest)
        )

    async def remove_alias(self, name: str, alias: str) -> None:
        """Let the alias name nothing; one that names nothing already is left so.

        Raises:
            NotRegistered: no such model.
            RegistryError: MLflow refused.
        """

        def work() -> None:
            if alias in self._models.named(name).aliases:
                self._mlflow.client.delete_registered_model_alias(name, alias)

        await self._mlflow.call(f"removing the alias {alias} of {name}", work)

    async def mark(self, revision: Revision, status: str) -> None:
        """Say how a version stands, in its tag ``harness.status``; a second mark replaces the first.

        Raises:
            NotRegistered: there is no such version.
            RegistryError: MLflow refused.
        """

        def work() -> None:
            self._version(revision)
            self._mlflow.client.set_model_version_tag(revision.name, str(revision.version), STATUS, status)

        await self._mlflow.call(f"marking {revision} {status}", work)

    async def versions(self, name: str) -> tuple[Version, ...]:
        """All versions of a model, oldest first; no artifact is read.

        Metrics are those of a version's run: those of others have some too, and none where the run is gone.

        Raises:
            NotRegistered: no such model.
            RegistryError: MLflow refused.
        """
        return await self._mlflow.call(
            f"listing the versions of {name}", lambda: versions(self._mlflow, self._models.named(name))
        )

    async def names(self) -> tuple[str, ...]:
        """The names of all models, sorted.

        Raises:
            NotRegistered: there is no such database.
            RegistryError: MLflow refused.
        """
        return await self._mlflow.call("listing the models", lambda: names(self._mlflow))

    async def record_deployment(self, revision: Revision, deployment: Deployment) -> None:
        """Keep what became of a version in a rollout, in a tag of it; the same one twice is one.

        Raises:
            NotRegistered: there is no such version.
            RegistryError: MLflow refused.
        """
        await self._mlflow.call(
            f"recording a deployment of {revision}", lambda: record(self._mlflow, self._version(revision), deployment)
        )

    async def lineage(self, revision: Revision) -> Lineage:
        """Where a version comes from, and what became of it; no artifact is read.

        Raises:
            NotRegistered: there is no such version.
            RegistryError: MLflow refused.
        """
        return await self._mlflow.call(
            f"tracing {revision}", lambda: trace(self._mlflow, revision, self._version(revision))
        )

    # --- what blocks ---

    def _register(self, model: TrainedModel, intent: IntentId) -> Revision:
        client = self._mlflow.client
        known = client.search_model_versions(f"tags.`{INTENT}` = {quoted(intent)}", max_results=1)
        if known:
            found = Revision(known[0].name, int(known[0].version), known[0].tags[DIGEST])
            if (found.name, found.digest) != (model.name, model.artifact_digest):
                raise RegistryError(
                    f"intent {intent!r} has registered {found} already, which is another model; "
                    "use a new intent for each model"
                )
            return found
        self._ensure_name(model.name)
        experiment = self._mlflow.experiment(model.name)
        tracked = self._mlflow.run_with(experiment, {DIGEST: model.artifact_digest, RUN: rehearsal(intent)})
        run = tracked or self._mlflow.keep(model, intent, finish=False)
        with tempfile.TemporaryDirectory(prefix="harness-") as folder:
            client.log_artifacts(run.info.run_id, str(save(model, Path(folder, FOLDER))), FOLDER)
        if run.info.status != "FINISHED":
            client.set_terminated(run.info.run_id)
        made = client.create_model_version(
            model.name,
            source=f"runs:/{run.info.run_id}/{FOLDER}",
            run_id=run.info.run_id,
            tags=tags_of(model, intent),
        )
        return Revision(made.name, int(made.version), model.artifact_digest)

    def _ensure_name(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._mlflow.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != EXISTS:
                raise

    def _resolve(self, name: str, alias: str) -> Revision:
        found = self._models.aliased(name, alias)
        digest = found.tags.get(DIGEST)
        if digest is None:  # registered by others: what it is, is known once it is read
            digest = self._models.load(found, None).artifact_digest
        return Revision(name, int(found.version), digest)

    def _version(self, revision: Revision) -> Any:
        found = self._models.numbered(revision.name, revision.version)
        kept = found.tags.get(DIGEST, revision.digest)
        if kept != revision.digest:
            raise RegistryError(f"{revision} is {kept}, not {revision.digest}; resolve it anew")
        return found
