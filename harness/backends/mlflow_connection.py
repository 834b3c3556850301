"""One MLflow: its client, its errors in our words, and its runs; on SQLite or over HTTP. Everything blocks."""

import functools
import logging
import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio

from harness.backends.mlflow_listing import DATA, FEATURES, quoted
from harness.backends.mlflow_models import ABSENT, DIGEST
from harness.backends.uri import SQLITE, masked
from harness.clock import is_virtual, utc_now
from harness.domain.model import TrainedModel
from harness.errors import ArtifactError, BackendError, HarnessError, NotRegistered, RegistryError, Unreachable
from harness.protocols import IntentId
from harness.realtime import Ours

T = TypeVar("T")

INTENT: Final = "harness.intent"
RUN: Final = "harness.run"
ALGORITHM: Final = "harness.algorithm"
TASK: Final = "harness.task"
ROLE: Final = "harness.role"

REFUSED: Final = re.compile(r"\b(?:error code|status code|HTTP code|HTTP) (401|403)\b|^(?:401|403) Client Error")
"""How MLflow's client and requests say that a server wants other credentials; bare digits may be of a port or an id."""
NO_ANSWER: Final = re.compile(
    r"failed with exception|too many 5\d\d error responses|\berror code 5\d\d\b|^5\d\d Server Error"
)
"""How they say that a server, or what stands before it, could not be reached or could not answer."""
EXISTS: Final = "RESOURCE_ALREADY_EXISTS"

QUIET: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # standard output is for the result (`--json -`)
}
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
        self.ours: Ours = nullcontext
        _import()

    def run(self, run_id: str | None) -> Any | None:
        """A training run; None where none is named, or it is gone."""
        from mlflow.exceptions import MlflowException

        if not run_id:
            return None
        try:
            return self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != ABSENT:
                raise
            return None

    @property
    def client(self) -> Any:
        """MLflow's client; LeaseLost where the run is another's by now: it is looked at before each request."""
        with self.ours():
            pass  # not around the request, which may take long: others wait for what is held here
        return self._client

    @functools.cached_property
    def _client(self) -> Any:
        """A new SQLite file gets its tables first, which takes some seconds."""
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
        if self.database and "_client" not in vars(self) and not _holds_mlflow(self.database):
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
            run = self.client.create_run(experiment, tags=tags_of(model, intent) | {ROLE: model.role}, run_name=label)
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


# --- what is kept of a model ------------------------------------------------------------------------------------------


def tags_of(model: TrainedModel, intent: IntentId) -> dict[str, str]:
    """What runs and versions are tagged with."""
    tags = {
        INTENT: intent,
        RUN: rehearsal(intent),
        DIGEST: model.artifact_digest,
        ALGORITHM: model.algorithm,
        TASK: model.task.value,
    }
    known = {DATA: model.data_digest, FEATURES: model.features_digest}
    return tags | {tag: digest for tag, digest in known.items() if digest}


def rehearsal(intent: IntentId) -> str:
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
