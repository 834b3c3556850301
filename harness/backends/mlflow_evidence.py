"""What MLflow keeps of a version that a promotion looks at: metrics, tags, its card, its files. Nothing is loaded."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.errors import NotRegistered
from harness.gates.promotion import Evidence

if TYPE_CHECKING:
    from harness.backends.mlflow_connection import Connection
    from harness.backends.mlflow_models import Models

CARDS: Final = ("MODEL_CARD.md", "model_card.md", "README.md")
"""Names of a model card beside the model, or among the artifacts of its run; a version's description may be one too."""
TEXTS: Final = frozenset(
    {".csv", ".html", ".json", ".md", ".parquet", ".png", ".svg", ".toml", ".txt", ".yaml", ".yml", ".lock"}
)
"""Files that nobody loads as a model."""
PLAIN: Final = frozenset({"MLmodel", ".gitignore"})


def evidence(mlflow: "Connection", models: "Models", name: str, number: int) -> Evidence:
    """All that is kept of a version.

    Raises:
        NotRegistered: there is no such version, or its files are gone.
    """
    version = models.numbered(name, number)
    run = mlflow.run(version.run_id)
    with tempfile.TemporaryDirectory(prefix="harness-") as folder:
        found = models.download(version, Path(folder))
        if not found.exists():
            raise NotRegistered(f"the files of {name}:{number} are gone from MLflow at {mlflow.uri}")
        files = dict(_files(found))
        card = _card(found, version) or _card_of_run(mlflow, version.run_id, Path(folder))
    return Evidence(
        name=name,
        version=str(number),
        metrics=dict(run.data.metrics) if run else {},
        tags=_tags(version, run),
        card=card,
        files=files,
    )


def _tags(version: Any, run: Any) -> Mapping[str, str]:
    """The version's own, before those of its run."""
    return {**(run.data.tags if run else {}), **version.tags}


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Whatever might be a model: all but texts, by their paths in the folder."""
    if folder.is_file():
        yield folder.name, folder.read_bytes()
        return
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix.lower() not in TEXTS and path.name not in PLAIN:
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def _card(folder: Path, version: Any) -> str | None:
    text = str(version.description or "")
    if text.strip().startswith(("---", "#")):
        return text
    return next((path.read_text("utf-8") for name in CARDS if (path := folder / name).is_file()), None)


def _card_of_run(mlflow: "Connection", run_id: str | None, into: Path) -> str | None:
    """A card among the artifacts of the version's run."""
    if not run_id or mlflow.run(run_id) is None:
        return None
    there = {each.path for each in mlflow.client.list_artifacts(run_id)}
    for name in CARDS:
        if name in there:
            return Path(mlflow.client.download_artifacts(run_id, name, str(into))).read_text("utf-8")
    return None
