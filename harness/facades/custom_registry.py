"""The handbook's custom model registry: files and metadata in a database, over the store of ``sqlite:///`` URIs."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from harness.domain.model import Revision, Role
from harness.errors import InputError, InvalidModelMetadataError, ModelNotFoundError, NotRegistered, RegistryError
from harness.facades.model_metadata import MetadataValidation, files_of, parents_of, validated

if TYPE_CHECKING:
    pass

REGISTERED: Final = "registered"
STAGES: Final = {"production": Role.STABLE.value, "staging": Role.CANDIDATE.value}
"""Stages that one version at a time is in; each is an alias: NAME@stable is what is in production."""
LEAVING: Final = (*STAGES, REGISTERED, "archived")
"""A version that is said to be so is in no other stage; a mark (verified, bad) changes none."""
STATUSES: Final = (REGISTERED, "staging", "production", "archived", "verified", "bad")
INTENT: Final = "model_id/"


class CustomModelRegistry:
    """A registry of models of any kind: files by name, metadata, lineage, stages.

    Args:
        database_url: ``sqlite:///PATH``, ``sqlite:///:memory:`` or ``postgresql://[USER@]HOST[:PORT]/DATABASE``; its
            tables are made where there are none.
        artifacts: where files are kept, a path or a URL of fsspec; None: beside the database.

    Raises:
        BackendError: the database cannot be used.
    """

    def __init__(self, database_url: str, artifacts: str | None = None) -> None:
        from harness.backends.sql import SqlRegistry

        self.registry: SqlRegistry = SqlRegistry(database_url, artifacts)
        self._store = self.registry.store
        with self._told("making the registry"):
            self._store.database.ensure()

    def _told(self, doing: str) -> Any:
        return self._store.database.told(doing)

    # --- registering --------------------------------------------------------------------------------------------------

    def register_model(self, model_info: Mapping[str, Any]) -> str:
        """Register a model with its files; the same ``model_id`` with the same files twice is one.

        Args:
            model_info: model_id, name, version, algorithm, created_by (texts; a version may be a number),
                hyperparameters, metrics, training_data_info, feature_info (by name), artifacts (bytes or paths by name,
                or paths alone); lineage is optional: names, or mappings with ``kind`` and ``what``.

        Returns:
            The ``model_id``.

        Raises:
            InvalidModelMetadataError: something is missing or wrong; it carries every error.
            RegistryError: the ``model_id`` is another model, or the name has that version already.
        """
        from harness.backends.manifest import content_digest
        from harness.backends.sql_store import Entry

        validation = self.validate_model_metadata(model_info)
        if not validation.is_valid:
            raise InvalidModelMetadataError(validation.errors)
        name, label, model_id = model_info["name"], str(model_info["version"]), model_info["model_id"]
        files = files_of(model_info["artifacts"])
        data, features = model_info["training_data_info"], model_info["feature_info"]
        with self._told(f"registering {name} {label}"):
            stored = {path: self._store.artifacts.put(source) for path, source in files.items()}
            entry = Entry(
                name=name,
                digest=content_digest(stored),
                intent=f"{INTENT}{model_id}",
                run=str(data.get("run", "")),
                algorithm=model_info["algorithm"],
                params=model_info["hyperparameters"],
                metrics={metric: float(value) for metric, value in model_info["metrics"].items()},
                data_digest=data.get("digest"),
                features_digest=features.get("digest"),
                status=REGISTERED,
                label=label,
                facts={
                    "model_id": model_id, "training_data_info": data, "feature_info": features,
                    "data_source": str(data.get("source", data.get("path", ""))),
                    "feature_set": str(features.get("name", "")),
                },
                created_by=model_info["created_by"],
            )  # fmt: skip
            self._refuse_taken(entry.name, label, entry.intent)
            self._store.register(entry, files)
        self.setup_model_lineage(model_id, model_info.get("lineage", ()))
        return str(model_id)

    def validate_model_metadata(self, model_info: Mapping[str, Any]) -> MetadataValidation:
        """Everything that is missing or wrong in what is said of a model."""
        return validated(model_info)

    def setup_model_lineage(self, model_id: str, lineage: Sequence[Any]) -> None:
        """Keep what a model comes from: names of others, or mappings with ``kind``, ``what`` and perhaps ``digest``.

        Raises:
            ModelNotFoundError: there is no such model.
            InputError: a link is none.
        """
        parents = parents_of(lineage)
        if parents:
            with self._told(f"keeping the lineage of {model_id}"):
                self._store.link(self._revision_of(model_id), parents)

    def _refuse_taken(self, name: str, label: str, intent: str) -> None:
        for row in self._rows(name):
            if row.label == label and row.intent != intent:
                raise RegistryError(f"{name} has a version {label} already; give this one another version")

    # --- stages -------------------------------------------------------------------------------------------------------

    def set_model_status(self, model_name: str, version: str | int, status: str) -> dict[str, Any]:
        """Say how a version stands; answers with the model as it is then.

        ``production`` and ``staging`` are for one version at a time: the one that was there is ``archived``, and
        what was in production is what `harness registry rollback` goes back to.

        Raises:
            ModelNotFoundError: there is no such version.
            InputError: there is no such status.
        """
        status = status.lower()
        if status not in STATUSES:
            raise InputError(f"{status!r} is no status; there are {', '.join(STATUSES)}")
        row = self._row(model_name, version)
        if row is None:
            raise ModelNotFoundError(f"Model {model_name} not found in version {version}")
        with self._told(f"setting the status of {model_name} {version}"):
            if alias := STAGES.get(status):
                self._enter(row, alias)
            if status in LEAVING:
                self._leave(row, alias)
            self._store.change(_revision(row), status=status)
        return self._model(self._row(model_name, version))

    def _enter(self, row: Any, alias: str) -> None:
        for other in self._rows(row.name):
            if alias in self._aliases(row.name).get(other.number, ()) and other.number != row.number:
                if alias == Role.STABLE.value:
                    self._store.set_alias(_revision(other), "previous")
                self._store.change(_revision(other), status="archived")
        self._store.set_alias(_revision(row), alias)

    def _leave(self, row: Any, stays: str | None) -> None:
        for alias in STAGES.values():
            if alias != stays and alias in self._aliases(row.name).get(row.number, ()):
                self._store.remove_alias(row.name, alias)

    # --- looking ------------------------------------------------------------------------------------------------------

    def get_model_for_deployment(
        self, model_name: str, stage: str, version: str | int | None = None
    ) -> dict[str, dict[str, Any]]:
        """A model ready to be deployed, once every file and signature of it was found to be what it should be.

        Args:
            model_name: the model's.
            stage: production, staging, or a status; the newest version in it is taken.
            version: that version instead, whatever its stage: as it was registered, or its number.

        Returns:
            ``model`` (what is known of it), ``artifacts`` (bytes by name) and ``serving_config``.

        Raises:
            ModelNotFoundError: there is none.
            RegistryError: a file was changed or is missing, or a signature is wrong or missing; it is named.
        """
        row = self._row(model_name, version) if version else self._newest(model_name, stage.lower())
        if row is None:
            raise ModelNotFoundError(f"Model {model_name} not found in stage {stage}")
        with self._told(f"loading {model_name}:{row.number}"):
            files = self.registry.files(_revision(row))
        model = self._model(row)
        return {"model": model, "artifacts": dict(files), "serving_config": self.generate_serving_config(model)}

    def generate_serving_config(self, model: Mapping[str, Any]) -> dict[str, Any]:
        """What a server of the model needs to know; `harness serve` takes one that has a skops archive."""
        name, number = model["name"], model["number"]
        return {
            "model_name": name,
            "model_version": model["version"],
            "digest": model["digest"],
            "artifacts": {path: f"sha256:{stored['sha256']}" for path, stored in model["files"].items()},
            "command": ["harness", "serve", f"{name}:{number}", "--registry", self._store.database.uri],
            "port": 8080,
            "predict": "/predict",
            "health": {"live": "/health", "ready": "/ready"},
            "metrics": "/metrics",
            "environment": {"MODEL_NAME": name, "MODEL_VERSION": model["version"]},
        }

    def _rows(self, name: str) -> list[Any]:
        try:
            numbers = [each.revision.version for each in self._store.versions(name)]
        except NotRegistered:
            return []
        return [self._store.row(name, number) for number in numbers]

    def _row(self, name: str, version: str | int) -> Any | None:
        with self._told(f"looking up {name} {version}"):
            rows = self._rows(name)
        labelled = [row for row in rows if row.label == str(version)]
        return next(iter([*labelled, *(row for row in rows if row.number == version)]), None)

    def _newest(self, name: str, stage: str) -> Any | None:
        with self._told(f"looking up {name} in {stage}"):
            rows, alias = self._rows(name), STAGES.get(stage, stage)
            named = [row for row in rows if alias in self._aliases(name).get(row.number, ())]
        return next(iter(named or [row for row in reversed(rows) if row.status == stage]), None)

    def _aliases(self, name: str) -> dict[int, tuple[str, ...]]:
        return {each.revision.version: each.aliases for each in self._store.versions(name)}

    def _revision_of(self, model_id: str) -> Revision:
        for name in self._store.names():
            for row in self._rows(name):
                if row.intent == f"{INTENT}{model_id}":
                    return _revision(row)
        raise ModelNotFoundError(f"Model {model_id} not found")

    def _model(self, row: Any) -> dict[str, Any]:
        facts = json.loads(row.facts)
        return {
            "model_id": facts.get("model_id", row.intent),
            "name": row.name,
            "version": row.label or str(row.number),
            "number": row.number,
            "algorithm": row.algorithm,
            "hyperparameters": json.loads(row.params),
            "metrics": json.loads(row.metrics),
            "training_data_info": facts.get("training_data_info", {}),
            "feature_info": facts.get("feature_info", {}),
            "storage_path": self._store.artifacts.place,
            "digest": row.digest,
            "files": {each["path"]: each for each in json.loads(row.manifest)["files"]},
            "lineage": [
                {"kind": each.kind, "what": each.what, "digest": each.digest}
                for each in self._store.parents(_revision(row))
            ],
            "created_at": row.created_at,
            "created_by": row.created_by,
            "signed_by": row.signed_by,
            "status": row.status,
            "aliases": list(self._aliases(row.name).get(row.number, ())),
        }


def _revision(row: Any) -> Revision:
    return Revision(row.name, row.number, row.digest)
