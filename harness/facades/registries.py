"""The handbook's registry on MLflow: versions registered, validated and promoted, by aliases and tags, without stages.

MLflow deprecated stages in favour of aliases: Production is the alias ``stable`` here (what it named before becomes
``previous``), Staging the alias ``candidate``; an archived version is marked so, and named by neither.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from harness.app import registry as by_hand
from harness.backends.mlflow import MlflowRegistry
from harness.backends.mlflow_connection import Connection
from harness.backends.mlflow_evidence import evidence
from harness.backends.mlflow_models import Models
from harness.backends.uri import BackendUriError, normal
from harness.clock import run_real, utc_now
from harness.domain.model import Role
from harness.errors import InputError, ModelPromotionError
from harness.gates import promotion
from harness.gates.promotion import ModelPromotionValidation, PromotionRequirements
from harness.gates.scene import Scene

STAGE: Final = "harness.stage"
NO_STAGE: Final = "None"
EXPERIMENT: Final = "harness.experiment"
REGISTERED_AT: Final = "harness.registered_at"
PROMOTED_AT: Final = "harness.promoted_at"
VALIDATION: Final = "harness.validation"
FOLDER: Final = "model"
FOREIGN: Final = ("models:/", "runs:/")
WORD: Final = "mlflow"


class MLflowModelRegistry:
    """Registers, validates and promotes versions of models in MLflow.

    Args:
        tracking_uri: ``sqlite:///PATH`` or ``http(s)://HOST[:PORT]``.
        requirements: what a promotion asks (`PromotionRequirements`, or its fields as a mapping).
        rows: held-out rows (a `harness.protocols.Population`), where fairness is to be measured anew.

    Raises:
        InputError: a requirement that there is not, or a URI that is none of MLflow.
        BackendError: MLflow is not installed.
    """

    def __init__(
        self,
        tracking_uri: str,
        requirements: PromotionRequirements | Mapping[str, Any] | None = None,
        rows: Any = None,
    ) -> None:
        uri = _normal(tracking_uri)
        self.requirements = PromotionRequirements.of(requirements)
        self.rows = rows
        self.registry = MlflowRegistry(uri)
        self._mlflow = Connection(uri)
        self._models = Models(self._mlflow)

    @property
    def registry_client(self) -> Any:
        """MLflow's own client."""
        return self._mlflow.client

    # --- registering --------------------------------------------------------------------------------------------------

    def register_model(
        self, model_path: str, model_name: str, experiment_id: str, tags: Mapping[str, str] | None = None
    ) -> Any:
        """Add a version.

        Args:
            model_path: a model of MLflow by its URI (``runs:/…``, ``models:/…``), a folder that MLflow saved, or a
                skops file.
            model_name: the registered model; made where there is none.
            experiment_id: of MLflow; what is registered from a file gets a run there.
            tags: of the version.

        Returns:
            MLflow's version, as its client has it.

        Raises:
            InputError: there is no such file, or it is no model.
            RegistryError: MLflow refused.
        """
        with self._mlflow.told(f"registering {model_name}"):
            source, run_id = self._source(str(model_path), model_name, str(experiment_id))
            self._name(model_name)
            made = self.registry_client.create_model_version(
                model_name, source=source, run_id=run_id, tags={key: str(value) for key, value in (tags or {}).items()}
            )
        self.add_model_metadata(made, experiment_id)
        self.setup_stage_transitions(made)
        return self.registry_client.get_model_version(made.name, made.version)

    def add_model_metadata(self, model_version: Any, experiment_id: str) -> None:
        """Say in tags of the version where it comes from, and since when it is registered."""
        told = {EXPERIMENT: str(experiment_id), REGISTERED_AT: utc_now().isoformat(timespec="seconds")}
        self._tag(model_version.name, model_version.version, told)

    def setup_stage_transitions(self, model_version: Any) -> None:
        """A new version is in no stage; it takes one by `promote_model` alone."""
        self._tag(model_version.name, model_version.version, {STAGE: NO_STAGE})

    # --- promoting ----------------------------------------------------------------------------------------------------

    def promote_model(self, model_name: str, version: str | int, target_stage: str) -> bool:
        """Let a version take a stage, once it has shown what it must; to be archived it need show nothing.

        Args:
            model_name: the registered model.
            version: its number.
            target_stage: Production, Staging or Archived.

        Raises:
            ModelPromotionError: ``n/5 checks passed``, and what failed; or a version in service would be archived.
            InputError: there is no such stage.
            RegistryError: there is no such version, or MLflow refused; nothing was changed then.
        """
        stage = promotion.known_stage(target_stage)
        if stage != promotion.ARCHIVED:
            validation = self.validate_promotion_criteria(model_name, version, stage)
            promotion.refuse(validation, f"{model_name}:{version}", stage)
        wanted = by_hand.Named(model_name, version=_number(version))
        run_real(self._take, wanted, stage)
        self.log_promotion_event(model_name, version, stage)
        return True

    async def _take(self, wanted: by_hand.Named, stage: str) -> None:
        found = await by_hand.shown(self.registry, wanted)
        if stage == promotion.PRODUCTION:
            moved = await by_hand.promote(self.registry, wanted)
            if moved.refused:
                raise ModelPromotionError(moved.refused)
        elif stage == promotion.STAGING:
            await self.registry.set_alias(found.revision, Role.CANDIDATE.value)
        elif Role.STABLE.value in found.aliases:
            raise ModelPromotionError(f"{found.revision} is in service; promote another version first, then archive it")
        else:
            for alias in found.aliases:
                await self.registry.remove_alias(wanted.name, alias)
            await self.registry.mark(found.revision, "archived")

    def validate_promotion_criteria(
        self, model_name: str, version: str | int, target_stage: str
    ) -> ModelPromotionValidation:
        """Make the five checks; nothing is changed.

        Raises:
            InputError: there is no such stage, or a requirement cannot be read.
            RegistryError: there is no such version, or MLflow refused.
        """
        promotion.known_stage(target_stage)
        found = self._evidence(model_name, version)
        return promotion.validate(found, self.requirements)

    def check_performance_requirements(self, model_info: Any) -> Mapping[str, Any]:
        """Metrics that were logged with a version (as MLflow's client has it) keep their bounds."""
        return promotion.check_performance(self._of(model_info), self.requirements)

    def check_bias_requirements(self, model_info: Any) -> Mapping[str, Any]:
        """Groups are treated alike."""
        return promotion.check_bias(self._of(model_info), self.requirements)

    def check_security_scan(self, model_info: Any) -> Mapping[str, Any]:
        """Nothing is in the version's files that must not be."""
        return promotion.check_security(self._of(model_info), self.requirements)

    def check_documentation(self, model_info: Any) -> Mapping[str, Any]:
        """The version has a complete model card."""
        return promotion.check_documentation(self._of(model_info), self.requirements)

    def check_testing_coverage(self, model_info: Any) -> Mapping[str, Any]:
        """Tests ran enough of the code."""
        return promotion.check_testing(self._of(model_info), self.requirements)

    def log_promotion_event(self, model_name: str, version: str | int, target_stage: str) -> None:
        """Say in tags of the version which stage it took, and when."""
        told = {STAGE: target_stage, PROMOTED_AT: utc_now().isoformat(timespec="seconds")}
        self._tag(model_name, version, told)

    # --- asking MLflow ------------------------------------------------------------------------------------------------

    def _of(self, model_info: Any) -> promotion.Evidence:
        return self._evidence(model_info.name, model_info.version)

    def _evidence(self, name: str, version: str | int) -> promotion.Evidence:
        with self._mlflow.told(f"looking at {name}:{version}"):
            found = evidence(self._mlflow, self._models, name, _number(version))
            if self.requirements.fairness is None or self.rows is None:
                return found
            kept = self._models.numbered(name, _number(version))
            return replace(found, scene=Scene(self._models.load(kept, None), population=self.rows))

    def _tag(self, name: str, version: str | int, tags: Mapping[str, str]) -> None:
        with self._mlflow.told(f"tagging {name}:{version}"):
            for key, value in tags.items():
                self.registry_client.set_model_version_tag(name, str(version), key, value)

    def _name(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.registry_client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _source(self, path: str, name: str, experiment_id: str) -> tuple[str, str | None]:
        """Where MLflow finds the model, and the run that it is of."""
        if path.startswith(FOREIGN):
            run = path.removeprefix("runs:/").partition("/")[0] if path.startswith("runs:/") else None
            return path, run
        file = Path(path)
        if not file.exists():
            raise InputError(f"{path}: there is no such model; name a file, a folder of MLflow, runs:/… or models:/…")
        run_id = self.registry_client.create_run(experiment_id, run_name=f"register-{name}").info.run_id
        if file.is_dir():
            self.registry_client.log_artifacts(run_id, str(file), FOLDER)
        else:
            self._save(file, name, run_id)
        self.registry_client.set_terminated(run_id)
        return f"runs:/{run_id}/{FOLDER}", run_id

    def _save(self, file: Path, name: str, run_id: str) -> None:
        """A skops file as a model of MLflow, in a run."""
        import tempfile

        from harness.backends.mlflow_models import save
        from harness.training import artifact
        from harness.training.brought import brought

        model = brought(artifact.load(file), name, Role.CANDIDATE, file.name)
        with tempfile.TemporaryDirectory(prefix="harness-") as folder:
            self.registry_client.log_artifacts(run_id, str(save(model, Path(folder) / FOLDER)), FOLDER)


def _normal(uri: str) -> str:
    try:
        return normal(f"{WORD}+{uri}", str(Path.cwd())).partition("+")[2]
    except BackendUriError as error:
        raise InputError(f"tracking_uri is {uri!r}: {error}") from None


def _number(version: str | int) -> int:
    text = str(version)
    if not (text.isascii() and text.isdigit()):
        raise InputError(f"version is {version!r}; it is a number, such as 2")
    return int(text)


__all__ = ["MLflowModelRegistry"]
