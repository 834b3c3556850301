"""What an MLflow registry holds, listed: models by name, and their versions; everything blocks, no artifact is read."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from harness.backends.mlflow_models import ABSENT, DIGEST
from harness.domain.model import Revision
from harness.protocols import Version

if TYPE_CHECKING:
    from harness.backends.mlflow_connection import Connection

DATA: Final = "harness.data_digest"
FEATURES: Final = "harness.features_digest"
STATUS: Final = "harness.status"
PAGE: Final = 100
"""Models or versions that are asked for at once."""


def names(mlflow: "Connection") -> tuple[str, ...]:
    """The names of all models, sorted.

    Raises:
        NotRegistered: there is no such database.
    """
    mlflow.demand()
    return tuple(sorted(each.name for each in _all(mlflow.client.search_registered_models)))


def versions(mlflow: "Connection", model: Any) -> tuple[Version, ...]:
    """All versions of a model, oldest first.

    Args:
        mlflow: where they are.
        model: as MLflow has it. A version that is found by a search need not say its aliases; the model does.
    """
    aliases: dict[int, list[str]] = {}
    for alias, number in sorted(model.aliases.items()):
        aliases.setdefault(int(number), []).append(alias)
    found = _all(mlflow.client.search_model_versions, f"name = {quoted(model.name)}")
    return tuple(
        Version(
            Revision(model.name, int(each.version), each.tags.get(DIGEST, "")),
            tuple(aliases.get(int(each.version), ())),
            each.tags.get(STATUS, ""),
            each.tags.get(DATA),
            _metrics(mlflow, each.run_id),
        )
        for each in sorted(found, key=lambda each: int(each.version))
    )


def quoted(value: str) -> str:
    """A text as a filter of MLflow has it."""
    return f'"{value}"' if "'" in value else f"'{value}'"


def _metrics(mlflow: "Connection", run_id: str | None) -> Mapping[str, float]:
    """Of the version's run; none where it has no run, or that is gone."""
    from mlflow.exceptions import MlflowException

    if not run_id:
        return {}
    try:
        return dict(mlflow.client.get_run(run_id).data.metrics)
    except MlflowException as error:
        if error.error_code != ABSENT:
            raise
        return {}


def _all(search: Callable[..., Any], wanted: str | None = None) -> list[Any]:
    """Everything that a search finds, page by page."""
    found: list[Any] = []
    token = None
    while True:
        page = search(filter_string=wanted, max_results=PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            return found
