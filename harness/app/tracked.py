"""Training runs that a tracker keeps, whoever logged them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.backends.uri import BackendUriError, normal, split
from harness.domain.training import TrackedRun
from harness.errors import InputError

MLFLOW = "mlflow"


def training_runs(uri: str, experiments: Sequence[str] = (), most: int | None = None) -> list[TrackedRun]:
    """The training runs of a tracker, the newest first.

    Args:
        uri: ``mlflow+sqlite:///PATH`` or ``mlflow+http://HOST[:PORT]``.
        experiments: only of these; none: of all.
        most: at most so many.

    Raises:
        InputError: this tracker keeps none, or its URI cannot be read.
        BackendError: it is not there, or refused.
    """
    from harness.backends.mlflow_runs import runs

    mlflow = _connected(uri)
    with mlflow.told("listing training runs"):
        return runs(mlflow, experiments, most)


def training_runs_of(uri: str, run_ids: Sequence[str]) -> list[TrackedRun]:
    """These training runs, in this order; a run may be named by the beginning of its id.

    Raises:
        InputError: this tracker keeps none, its URI cannot be read, or one is named twice.
        BackendError: there is no such run, or the tracker is not there.
    """
    from harness.backends.mlflow_runs import one

    mlflow = _connected(uri)
    with mlflow.told("reading training runs"):
        found = [one(mlflow, run_id) for run_id in run_ids]
    known = [run.run_id for run in found]
    twice = next((run_id for run_id in known if known.count(run_id) > 1), None)
    if twice:
        raise InputError(f"run {twice} is named twice; name each run once")
    return found


def _connected(uri: str) -> Any:
    from harness.backends.mlflow_connection import Connection

    try:
        word, place = split(normal(uri, Path.cwd()))
    except BackendUriError as error:
        raise InputError(f"--tracker {uri}: {error}") from None
    if word != MLFLOW:
        meant = f"; did you mean mlflow+{uri}?" if uri.startswith("sqlite:") else ""
        raise InputError(
            f"--tracker {uri}: {word} keeps no training runs from one command to the next{meant}; "
            "name an MLflow: mlflow+sqlite:///PATH or mlflow+http://HOST[:PORT]"
        )
    return Connection(place)
