"""Training runs of MLflow, whoever logged them, as values; and what logging one takes besides."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from harness.domain.training import TrackedRun
from harness.errors import NotRegistered

if TYPE_CHECKING:
    from harness.backends.mlflow_connection import Connection

PAGE: Final = 200
HIDDEN: Final = "mlflow."
"""Tags that MLflow keeps for itself begin with this."""
ABSENT: Final = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
EXISTS: Final = "RESOURCE_ALREADY_EXISTS"


def runs(mlflow: "Connection", experiments: Sequence[str] = (), most: int | None = None) -> list[TrackedRun]:
    """The training runs that are kept, the newest first; everything blocks.

    Args:
        mlflow: where.
        experiments: their names; none: all that are not deleted.
        most: at most so many.

    Raises:
        NotRegistered: there is no such database or experiment.
    """
    mlflow.demand()
    names = _experiments(mlflow, experiments)
    found: list[TrackedRun] = []
    for run in _search(mlflow, list(names)) if names else ():
        if most is not None and len(found) >= most:
            break
        found.append(tracked(run, names[run.info.experiment_id]))
    return found


def one(mlflow: "Connection", run_id: str) -> TrackedRun:
    """A training run by its id, or by the beginning of it where that names but one.

    Raises:
        NotRegistered: there is no such run, or several begin so.
    """
    from mlflow.exceptions import MlflowException

    mlflow.demand()
    try:
        run = mlflow.client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise
    else:
        experiment = mlflow.client.get_experiment(run.info.experiment_id)
        return tracked(run, experiment.name)
    close = [each for each in runs(mlflow) if each.run_id.startswith(run_id)]
    if len(close) == 1:
        return close[0]
    said = f"{len(close)} runs begin so" if close else "it holds no such run"
    raise NotRegistered(f"run {run_id} in MLflow at {mlflow.uri}: {said}; harness runs list --tracker shows their ids")


def tracked(run: Any, experiment: str) -> TrackedRun:
    """A run of MLflow as a value; MLflow's own tags are left out."""
    began, ended = run.info.start_time, run.info.end_time
    return TrackedRun(
        run_id=run.info.run_id,
        name=run.info.run_name or "",
        experiment=experiment,
        status=run.info.status,
        started=datetime.fromtimestamp(began / 1000, UTC).isoformat(timespec="seconds") if began else "",
        duration_s=(ended - began) / 1000 if began and ended else None,
        params=dict(sorted(run.data.params.items())),
        metrics=dict(sorted(run.data.metrics.items())),
        tags={key: value for key, value in sorted(run.data.tags.items()) if not key.startswith(HIDDEN)},
    )


def ensure_name(client: Any, name: str) -> None:
    """Have a registered model of that name."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != EXISTS:
            raise


def _experiments(mlflow: "Connection", wanted: Sequence[str]) -> dict[str, str]:
    """Names by id."""
    if not wanted:
        return {each.experiment_id: each.name for each in mlflow.client.search_experiments()}
    found = {}
    for name in wanted:
        each = mlflow.client.get_experiment_by_name(name)
        if each is None:
            known = ", ".join(sorted(each.name for each in mlflow.client.search_experiments())) or "none"
            raise NotRegistered(f"MLflow at {mlflow.uri} holds no experiment {name!r}; there are: {known}")
        found[each.experiment_id] = name
    return found


def _search(mlflow: "Connection", ids: Sequence[str]) -> Iterator[Any]:
    token = None
    while True:
        page = mlflow.client.search_runs(
            list(ids), order_by=["attributes.start_time DESC"], max_results=PAGE, page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return
