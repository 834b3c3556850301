"""MLflow as a registry of models and as a tracker of training runs, on SQLite or over HTTP.

Aliases and tags, no stages. Everything goes through a client with explicit run ids and an explicit URI: nothing here
sets MLflow's process-wide state, and nothing is ever written to the current folder. Models are saved as skops archives,
which hold no code (`harness.backends.mlflow_models`). docs/backends.md tells what is kept where.
"""

import functools
import logging
import os
import re
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio

from harness.backends.mlflow_listing import DATA, STATUS, names, quoted, versions
from harness.backends.mlflow_models import DIGEST, Models, save
from harness.backends.uri import SQLITE, masked
from harness.clock import is_virtual, utc_now
from harness.domain.model import Revision, Source, TrainedModel
from harness.errors import ArtifactError, BackendError, HarnessError, NotRegistered, RegistryError, Unreachable
from harness.protocols import Fetched, IntentId, Version

T = TypeVar("T")

INTENT: Final = "harness.intent"
RUN: Final = "harness.run"
ALGORITHM: Final = "harness.algorithm"
TASK: Final = "harness.task"
ROLE: Final = "harness.role"

FOLDER: Final = "model"
"""Where a run keeps the model among its artifacts."""
REFUSED: Final = re.compile(r"\b(?:error code|status code|HTTP code|HTTP) (401|403)\b|^(?:401|403) Client Error")
"""How MLflow's client and requests say that a server wants other credentials; bare digits may be of a port or an id."""
NO_ANSWER: Final = re.compile(
    r"failed with exception|too many 5\d\d error responses|\berror code 5\d\d\b|^5\d\d Server Error"
)
"""How they say that a server, or what stands before it, could not be reached or could not answer."""
EXISTS: Final = "RESOURCE_ALREADY_EXISTS"

QUIET: Final = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
IMPATIENT: Final = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
"""By default MLflow asks a server that is not there for minutes. Variables that are set already stand."""


class Connection:
    """One MLflow: its client, made at first use, and its errors in our words.

    Args:
        uri: ``sqlite:///`` and an absolute path, or ``http(s)://HOST[:PORT]``.

    Raises:
        BackendError: MLflow is not installed.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        _import()

    @functools.cached_property
    def client(self) -> Any:
        """MLflow's client; a new SQLite file gets its tables first, which takes some seconds."""
        from mlflow import MlflowClient

        if self.database and not self.database.exists():
            from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

            self.database.parent.mkdir(parents=True, exist_ok=True)
            make: Any = SqlAlchemyStore
            make(self.uri, self.artifacts)  # else its default experiment names the current folder
        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    @property
    def database(self) -> Path | None:
        """The SQLite file, where there is one."""
        return Path(self.uri.removeprefix(SQLITE)) if self.uri.startswith(SQLITE) else None

    @property
    def artifacts(self) -> str | None:
        """Where artifacts go: a folder beside the SQLite file; a server decides for itself."""
        return self.database.with_name(f"{self.database.stem}-artifacts").as_uri() if self.database else None

    def demand(self) -> None:
        """Before anything is read: MLflow itself would make an SQLite file, or fill an empty one.

        Raises:
            NotRegistered: there is no such database, or nothing of MLflow in it.
        """
        if self.database and "client" not in vars(self) and not _holds_mlflow(self.database):
            raise NotRegistered(
                f"MLflow at {self.uri}: there is no such database yet, so it holds no model; check its path, "
                "or let a run that trains its models make it"
            )

    async def call(self, doing: str, work: Callable[[], T]) -> T:
        """Do something that blocks; off the event loop on real time, inline on virtual time, which stands still.

        Raises:
            RegistryError: MLflow refused, or is not there.
        """

        def told() -> T:
            with self.told(doing):
                return work()

        return told() if is_virtual() else await anyio.to_thread.run_sync(told)

    @contextmanager
    def told(self, doing: str) -> Iterator[None]:
        """Whatever MLflow and what it stands on raise is a RegistryError that says what to do, and shows no secret."""
        from mlflow.exceptions import MlflowException
        from requests import RequestException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except ArtifactError as error:
            raise RegistryError(masked(f"MLflow at {self.uri}: {doing}: {error}")) from None
        except HarnessError:
            raise
        except (MlflowException, RequestException, SQLAlchemyError, OSError) as error:
            reason = " ".join(str(error).split())[:400] or type(error).__name__
            kind = RegistryError if self.database or not _unanswered(error) else Unreachable
            # The cause may quote what was sent: it is left out of the chain.
            raise kind(masked(f"MLflow at {self.uri}: {doing} failed: {reason}; {self._remedy(error)}")) from None

    def _remedy(self, error: Exception) -> str:
        if self.database:
            return f"check that {self.database} is a database of MLflow that can be written (`mlflow db upgrade`)"
        if refused := REFUSED.search(str(error)):
            if refused[1] == "403":
                return "give the user of MLFLOW_TRACKING_USERNAME or MLFLOW_TRACKING_TOKEN the right to do this"
            return "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        return f"check that an MLflow server answers at {self.uri}/health"

    def experiment(self, name: str) -> str:
        """The id of a model's experiment; made where there is none."""
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(name)
        if found is None:
            where = f"{self.artifacts}/{name}" if self.artifacts else None
            try:
                return str(self.client.create_experiment(name, artifact_location=where))
            except MlflowException as error:
                if error.error_code != EXISTS:  # another process was quicker
                    raise
                found = self.client.get_experiment_by_name(name)
        if found.lifecycle_stage != "active":
            raise RegistryError(
                f"MLflow at {self.uri}: the experiment {name} was deleted; restore it "
                f"(`mlflow experiments restore --experiment-id {found.experiment_id}`) or give model.name another name"
            )
        return str(found.experiment_id)

    def run_with(self, experiment: str, tags: Mapping[str, str]) -> Any | None:
        """The newest run with these tags."""
        wanted = " and ".join(f"tags.`{key}` = {quoted(value)}" for key, value in tags.items())
        return next(iter(self.client.search_runs([experiment], wanted, max_results=1)), None)

    def keep(self, model: TrainedModel, intent: IntentId, finish: bool) -> Any:
        """The run of an intent with the model's parameters and metrics; found again where a first try made it."""
        from mlflow.entities import Metric, Param

        experiment = self.experiment(model.name)
        run = self.run_with(experiment, {INTENT: intent})
        if run and run.data.tags.get(DIGEST) != model.artifact_digest:
            raise RegistryError(
                f"intent {intent!r} has recorded another training run already; use a new intent for each run"
            )
        if run is None:
            label = f"{model.role}-{model.algorithm}"
            run = self.client.create_run(experiment, tags=_tags(model, intent) | {ROLE: model.role}, run_name=label)
        if run.info.status != "FINISHED":
            now_ms = int(utc_now().timestamp() * 1000)
            self.client.log_batch(
                run.info.run_id,
                metrics=[Metric(name, float(value), now_ms, 0) for name, value in model.metrics.items()],
                params=[Param(name, str(value)) for name, value in model.params.items()],
            )
            if finish:
                self.client.set_terminated(run.info.run_id)
        return run


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

    async def register(self, model: TrainedModel, intent: IntentId) -> Revision:
        """Add a version; the same intent twice is one version.

        Raises:
            RegistryError: the intent has registered another model, the model is not here, or MLflow refused.
        """
        if model.source is Source.RECORDED:
            raise RegistryError(
                f"{model.name} answers by recorded predictions, and MLflow keeps models that can be served; "
                "register in memory"
            )
        return await self._mlflow.call(f"registering {model.name}", lambda: self._register(model, intent))

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
        tracked = self._mlflow.run_with(experiment, {DIGEST: model.artifact_digest, RUN: _rehearsal(intent)})
        run = tracked or self._mlflow.keep(model, intent, finish=False)
        with tempfile.TemporaryDirectory(prefix="harness-") as folder:
            client.log_artifacts(run.info.run_id, str(save(model, Path(folder, FOLDER))), FOLDER)
        if run.info.status != "FINISHED":
            client.set_terminated(run.info.run_id)
        made = client.create_model_version(
            model.name,
            source=f"runs:/{run.info.run_id}/{FOLDER}",
            run_id=run.info.run_id,
            tags=_tags(model, intent),
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


# --- what is kept of a model ------------------------------------------------------------------------------------------


def _tags(model: TrainedModel, intent: IntentId) -> dict[str, str]:
    tags = {
        INTENT: intent,
        RUN: _rehearsal(intent),
        DIGEST: model.artifact_digest,
        ALGORITHM: model.algorithm,
        TASK: model.task.value,
    }
    return tags | ({DATA: model.data_digest} if model.data_digest else {})


def _rehearsal(intent: IntentId) -> str:
    """The run of the harness that an intent belongs to: the intent without its number."""
    return intent.rpartition("/")[0] or intent


def _holds_mlflow(path: Path) -> bool:
    """Whether there are tables of MLflow in an SQLite file; of one that cannot be read MLflow says why."""
    if not path.exists():
        return False
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as found:
            return found.execute("SELECT 1 FROM sqlite_master WHERE name = 'registered_models'").fetchone() is not None
    except sqlite3.Error:
        return True


def _unanswered(error: BaseException | None) -> bool:
    """Whether a server gave no answer, or none to this user: nothing came back, 401, 403, or an error of its own."""
    from requests import RequestException

    while error is not None:
        if isinstance(error, RequestException) or NO_ANSWER.search(str(error)) or REFUSED.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _import() -> None:
    """Import MLflow once, quietly; it takes 5 s, and must not fall into a run's measured time."""
    for name, value in (QUIET | IMPATIENT).items():
        os.environ.setdefault(name, value)
    try:
        import_module("mlflow.sklearn")
    except ImportError as error:
        if error.name and error.name.partition(".")[0] != "mlflow":
            raise BackendError(f"MLflow cannot be imported: {error}") from error
        raise BackendError(
            "models are kept in MLflow here, which is not installed; in a clone: "
            ".venv/bin/python -m pip install -e '.[mlflow]'"
        ) from None
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
