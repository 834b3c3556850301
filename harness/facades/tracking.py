"""Experiments that are kept: in memory or a folder, or as runs of MLflow."""

import json
import os
import tempfile
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from harness.clock import utc_now
from harness.errors import InputError

RUNNING: Final = "RUNNING"
FINISHED: Final = "FINISHED"


# --- our own ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Experiment:
    """What was tried with what, and what it came to."""

    id: str
    name: str
    parameters: dict[str, Any]
    metrics: dict[str, float] = field(default_factory=dict)
    status: str = RUNNING
    started: str = ""
    """UTC, ISO 8601."""
    ended: str = ""


class ExperimentTracker:
    """Keeps experiments in memory, or as one JSON file each in a folder.

    Args:
        folder: where they are kept; None: in memory.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = Path(folder) if folder is not None else None
        self._experiments: dict[str, Experiment] = {}
        if self.folder:
            for file in sorted(self.folder.glob("*.json")):
                kept = _read(file)
                self._experiments[kept.id] = kept

    def start_experiment(self, name: str, parameters: Mapping[str, Any] | None = None) -> Experiment:
        """A new experiment, with an id of its own."""
        made = Experiment(uuid.uuid4().hex, name, dict(parameters or {}), started=utc_now().isoformat())
        return self._keep(made)

    def log_parameters(self, experiment_id: str, parameters: Mapping[str, Any]) -> None:
        """Add parameters; those of the same name are replaced."""
        experiment = self.get(experiment_id)
        experiment.parameters |= parameters
        self._keep(experiment)

    def log_metrics(self, experiment_id: str, metrics: Mapping[str, float]) -> None:
        """Add metrics; those of the same name are replaced."""
        experiment = self.get(experiment_id)
        experiment.metrics |= {name: float(value) for name, value in metrics.items()}
        self._keep(experiment)

    def end_experiment(self, experiment_id: str, status: str = FINISHED) -> None:
        """Say that it is over, and how it ended."""
        experiment = self.get(experiment_id)
        experiment.status, experiment.ended = status, utc_now().isoformat()
        self._keep(experiment)

    def get(self, experiment_id: str) -> Experiment:
        """An experiment by its id.

        Raises:
            InputError: there is none.
        """
        if experiment_id not in self._experiments:
            raise InputError(f"there is no experiment {experiment_id!r}; there are {len(self._experiments)} others")
        return self._experiments[experiment_id]

    def compare_experiments(self, experiment_ids: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """Experiments as plain values, in the order named; all, in the order in which they began, if none are."""
        if experiment_ids is None:
            found = sorted(self._experiments.values(), key=lambda each: (each.started, each.id))
        else:
            found = [self.get(each) for each in experiment_ids]
        return [asdict(each) for each in found]

    def _keep(self, experiment: Experiment) -> Experiment:
        self._experiments[experiment.id] = experiment
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)
            beside = self.folder / f".{experiment.id}.{os.getpid()}"
            beside.write_text(json.dumps(asdict(experiment), indent=2, default=str) + "\n", encoding="utf-8")
            beside.replace(self.folder / f"{experiment.id}.json")
        return experiment


def _read(file: Path) -> Experiment:
    try:
        return Experiment(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{file}: not an experiment, or damaged ({error}); move it away") from error


# --- MLflow -----------------------------------------------------------------------------------------------------------


class MLflowExperimentTracker:
    """Runs of one experiment of MLflow, through a client and run ids: MLflow's process-wide state is left alone.

    What is logged goes to the run that was started last, unless a call names another.

    Args:
        tracking_uri: ``sqlite:///PATH``, or ``http(s)://HOST[:PORT]``.
        experiment_name: made where there is none.

    Raises:
        InputError: the URI is none of these.
        BackendError: MLflow is not installed, or cannot be asked.
    """

    def __init__(self, tracking_uri: str, experiment_name: str) -> None:
        from harness.backends.mlflow_connection import Connection

        self.tracking_uri = tracking_uri
        self.experiment_name = experiment_name
        self._mlflow = Connection(mlflow_place(tracking_uri))
        with self._mlflow.told(f"finding the experiment {experiment_name}"):
            self.experiment_id = self._mlflow.experiment(experiment_name)
            self.experiment = self._mlflow.client.get_experiment(self.experiment_id)
        self.run_id: str | None = None

    def start_run(self, run_name: str | None = None, tags: Mapping[str, str] | None = None) -> str:
        """Begin a run; its id."""
        with self._mlflow.told("starting a run"):
            run = self._mlflow.client.create_run(self.experiment_id, tags=dict(tags or {}), run_name=run_name)
        self.run_id = str(run.info.run_id)
        return self.run_id

    def log_parameters(self, parameters: Mapping[str, Any], run_id: str | None = None) -> None:
        """Keep parameters, as text."""
        from mlflow.entities import Param

        run = self._run(run_id)
        with self._mlflow.told("logging parameters"):
            params = [Param(str(name), str(value)) for name, value in parameters.items()]
            self._mlflow.client.log_batch(run, params=params)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None, run_id: str | None = None) -> None:
        """Keep metrics, of a step where they have one."""
        from mlflow.entities import Metric

        run, now_ms = self._run(run_id), int(utc_now().timestamp() * 1000)
        with self._mlflow.told("logging metrics"):
            told = [Metric(str(name), float(value), now_ms, step or 0) for name, value in metrics.items()]
            self._mlflow.client.log_batch(run, metrics=told)

    def log_model(
        self, model: Any, model_name: str, metadata: Mapping[str, Any] | None = None, run_id: str | None = None
    ) -> Any:
        """Keep a fitted scikit-learn model as a skops archive, and register it by that name; MLflow's version.

        Raises:
            RegistryError: a skops archive cannot hold it, or MLflow refused.
        """
        from harness.backends.mlflow_models import save_estimator
        from harness.backends.mlflow_runs import ensure_name

        run = self._run(run_id)
        with self._mlflow.told(f"logging the model {model_name}"), tempfile.TemporaryDirectory(prefix="harness-") as at:
            client = self._mlflow.client
            client.log_artifacts(run, str(save_estimator(model, Path(at, "model"), metadata)), model_name)
            ensure_name(client, model_name)
            return client.create_model_version(model_name, source=f"runs:/{run}/{model_name}", run_id=run)

    def log_artifact(
        self, artifact_path: str | Path, artifact_name: str | None = None, run_id: str | None = None
    ) -> None:
        """Keep a file, in the folder of that name where one is given.

        Raises:
            InputError: there is no such file.
        """
        run = self._run(run_id)
        if not Path(artifact_path).exists():
            raise InputError(f"{artifact_path}: there is no such file")
        with self._mlflow.told(f"logging {artifact_path}"):
            self._mlflow.client.log_artifact(run, str(artifact_path), artifact_name)

    def end_run(self, status: str = FINISHED, run_id: str | None = None) -> None:
        """Say that a run is over, and how it ended: FINISHED, FAILED or KILLED."""
        run = self._run(run_id)
        with self._mlflow.told("ending a run"):
            self._mlflow.client.set_terminated(run, status)
        if run == self.run_id:
            self.run_id = None

    def compare_experiments(self, run_ids: Iterable[str]) -> list[dict[str, Any]]:
        """Runs as plain values, in the order named."""
        found = []
        for run_id in run_ids:
            with self._mlflow.told(f"reading the run {run_id}"):
                run = self._mlflow.client.get_run(run_id)
            found.append(
                {
                    "run_id": run_id,
                    "experiment_id": run.info.experiment_id,
                    "status": run.info.status,
                    "start_time": run.info.start_time,
                    "end_time": run.info.end_time,
                    "metrics": dict(run.data.metrics),
                    "params": dict(run.data.params),
                    "tags": dict(run.data.tags),
                }
            )
        return found

    def _run(self, run_id: str | None) -> str:
        found = run_id or self.run_id
        if found is None:
            raise InputError("no run has been started; call start_run first, or name one with run_id=")
        return found


def mlflow_place(uri: str) -> str:
    """Where an MLflow is, as its client takes it: a path of an SQLite file becomes absolute.

    Raises:
        InputError: it is none of the forms that there are.
    """
    from harness.backends.uri import BackendUriError, normal, split

    written = uri if uri.startswith("mlflow+") else f"mlflow+{uri}"
    try:
        return split(normal(written, Path.cwd()))[1]
    except BackendUriError as error:
        raise InputError(f"{uri}: {error}") from None
