"""A training pipeline: an experiment, a search where one is wanted, training, evaluation, registration."""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from harness.app import Options
from harness.clock import run_real
from harness.domain.model import Revision, Role
from harness.errors import InputError
from harness.facades.evaluation import ModelEvaluator
from harness.facades.preparing import kept
from harness.facades.tracking import ExperimentTracker
from harness.facades.training import DEFAULT, TARGET, HyperparameterTuner, ModelTrainer

NEEDED: Final = ("experiment_name", "parameters", "training_data", "test_data", "metrics")


class TrainingPipeline:
    """Trains a model as a mapping says, and registers it if it is good enough.

    Args:
        options: backends of the caller's own; default: a registry in memory, which is the pipeline's.
        experiment_tracker: has ``start_experiment(name=…, parameters=…)``.
        hyperparameter_tuner: has ``tune(data=…, algorithm=…, search_space=…)``.
        model_trainer: has ``train(data=…, hyperparameters=…, experiment_id=…, algorithm=…)``.
        model_evaluator: has ``evaluate(model=…, test_data=…, metrics=…)``.
        target: the column to predict, where data come as one frame.
    """

    def __init__(
        self,
        options: Options | None = None,
        experiment_tracker: Any = None,
        hyperparameter_tuner: Any = None,
        model_trainer: Any = None,
        model_evaluator: Any = None,
        target: str = TARGET,
    ) -> None:
        self.options = kept(options)
        self.target = target
        self.experiment_tracker = experiment_tracker or ExperimentTracker()
        self.hyperparameter_tuner = hyperparameter_tuner or HyperparameterTuner(target=target)
        self.model_trainer = model_trainer or ModelTrainer(target=target)
        self.model_evaluator = model_evaluator or ModelEvaluator()

    def run_training_pipeline(self, training_config: Mapping[str, Any]) -> dict[str, Any]:
        """Train.

        Args:
            training_config: ``experiment_name``, ``parameters``, ``training_data``, ``test_data``, ``metrics`` (names,
                or requirements by name: ``{"accuracy": 0.8}``); where wanted ``algorithm`` (default: random_forest),
                ``hyperparameter_tuning`` and ``search_space``.

        Returns:
            ``status`` is ``success``, with ``model`` (what `register_model` answers), ``evaluation`` and
            ``experiment``; or ``failed``, without a model and with the ``reason``: ``performance_below_threshold``, or
            ``training_failed: …``.

        Raises:
            InputError: something is missing, or cannot be used.
        """
        missing = [key for key in NEEDED if key not in training_config]
        if missing:
            raise InputError(f"a training needs {', '.join(NEEDED)}; {', '.join(missing)} is missing")
        config = training_config
        experiment = self.experiment_tracker.start_experiment(
            name=config["experiment_name"], parameters=config["parameters"]
        )
        trained = self.model_trainer.train(
            data=config["training_data"],
            hyperparameters=self._parameters(config),
            experiment_id=experiment.id,
            **({"algorithm": config["algorithm"]} if "algorithm" in config else {}),
        )
        if not trained.training_successful:
            return self._failed(experiment, None, f"training_failed: {trained.error}")
        own = {"target": self.target} if isinstance(self.model_evaluator, ModelEvaluator) else {}
        evaluation = self.model_evaluator.evaluate(
            model=trained.model, test_data=config["test_data"], metrics=config["metrics"], **own
        )
        self._log(experiment, evaluation)
        if not evaluation.meets_requirements():
            return self._failed(experiment, evaluation, "performance_below_threshold")
        registered = self.register_model(model=trained.model, evaluation_result=evaluation, experiment=experiment)
        self._end(experiment, "FINISHED")
        return {"model": registered, "evaluation": evaluation, "experiment": experiment, "status": "success"}

    def register_model(self, model: Any, evaluation_result: Any, experiment: Any) -> Revision:
        """Register a model under its experiment's name; override it to do something else with what was good enough.

        Raises:
            BackendError: the registry refused.
        """
        from harness.training.brought import brought

        name = str(experiment.name)
        made = replace(
            brought(model, name, Role.CANDIDATE, f"experiment {name}", binary=False),
            metrics={key: float(value) for key, value in getattr(evaluation_result, "metrics", {}).items()},
        )
        intent = f"{uuid.uuid4().hex}/{Role.CANDIDATE}"
        revision: Revision = run_real(self.options.registry.register, made, intent)
        return revision

    def _parameters(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        if not config.get("hyperparameter_tuning", False):
            given: Mapping[str, Any] = config["parameters"]
            return given
        if "search_space" not in config:
            raise InputError("hyperparameter_tuning needs a search_space, such as {'max_depth': [3, 5, None]}")
        found = self.hyperparameter_tuner.tune(
            data=config["training_data"],
            algorithm=config.get("algorithm", DEFAULT),
            search_space=config["search_space"],
        )
        best: Mapping[str, Any] = found.best_parameters
        return best

    def _failed(self, experiment: Any, evaluation: Any, reason: str) -> dict[str, Any]:
        self._end(experiment, "FAILED")
        return {
            "model": None,
            "evaluation": evaluation,
            "experiment": experiment,
            "status": "failed",
            "reason": reason,
        }

    def _log(self, experiment: Any, evaluation: Any) -> None:
        if isinstance(self.experiment_tracker, ExperimentTracker):
            figures = getattr(evaluation, "metrics", {})
            plain = {name: value for name, value in figures.items() if isinstance(value, int | float)}
            self.experiment_tracker.log_metrics(experiment.id, plain)

    def _end(self, experiment: Any, status: str) -> None:
        if isinstance(self.experiment_tracker, ExperimentTracker):
            self.experiment_tracker.end_experiment(experiment.id, status)
