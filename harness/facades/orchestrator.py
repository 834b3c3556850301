"""Staging first, then production by canary, verified."""

from collections.abc import Mapping
from itertools import dropwhile, takewhile
from typing import Any, Final

from harness.app import Options
from harness.domain.lifecycle import StagingPlan
from harness.domain.rollout import Outcome
from harness.errors import CanaryDeploymentError, DeploymentError
from harness.facades.deploying import DeploymentResult
from harness.facades.pipeline import monitoring
from harness.facades.preparing import DeploymentPrep, kept, prepare, read, request_of
from harness.facades.strategies import CanaryDeployment

CANARY: Final[Mapping[str, Any]] = {"weights": ("10%", "50%"), "pause": "2h"}
"""A tenth of the traffic for two hours, then half of it for as long, then all."""


class ModelDeploymentOrchestrator:
    """Deploys a model: staging and its tests, production by canary, verification, monitoring.

    Args:
        config: a mapping or an object: ``mlflow_tracking_uri`` where models are kept in MLflow; ``namespace`` and
            ``helm_chart_path`` are kept for whoever makes manifests of it.
        options: backends of the caller's own, and where runs are kept; default: in memory, simulated.
        monitoring_setup: has ``configure(model=…, endpoints=…)``; None: what the deployment was judged by is answered.
        canary: of `CanaryDeployment`, where it is to be another than the usual one: weights, pause …
    """

    def __init__(
        self, config: Any = None, options: Options | None = None, *, monitoring_setup: Any = None, **canary: Any
    ) -> None:
        self.options = kept(options, config)
        self.namespace = read(config, "namespace", "default")
        self.helm_chart_path = read(config, "helm_chart_path")
        self.monitoring_setup = monitoring_setup
        self._canary = CanaryDeployment(self.options, **{**CANARY, **canary})

    def deploy_model(self, deployment_request: Any) -> dict[str, Any]:
        """Deploy.

        Args:
            deployment_request: as `DeploymentPipeline.run_deployment_pipeline` takes it, without a strategy; its
                ``staging`` says what the candidate must stand before production.

        Raises:
            CanaryDeploymentError: production's canary did not end with the candidate in service.
            DeploymentError: staging's tests failed, or production could not be verified.
            InputError: the request cannot be used.
        """
        prep = self.prepare_deployment(deployment_request)
        production = self.deploy_to_production(prep)
        if not all(endpoint.verified for endpoint in production.endpoints):
            self.rollback_production_deployment(production)
            raise DeploymentError("Production verification failed", production.result)
        return {
            "deployment_id": prep.deployment_id,
            "staging_result": staged(production.result),
            "production_result": production,
            "monitoring_config": self.setup_monitoring(production),
        }

    def prepare_deployment(self, deployment_request: Any) -> DeploymentPrep:
        """What is to be deployed over what, by way of staging."""
        return prepare({"staging": StagingPlan(), **request_of(deployment_request)}, self.options)

    def deploy_to_production(self, deployment_prep: DeploymentPrep) -> DeploymentResult:
        """Staging, if the preparation asks for it, and the canary: one run.

        Raises:
            CanaryDeploymentError: the canary failed.
            DeploymentError: the candidate never came so far.
        """
        try:
            return self._canary.deploy(deployment_prep)
        except CanaryDeploymentError as error:
            result = error.result
            if result is None or result.outcome != Outcome.REJECTED:
                raise
            what = "Staging tests failed" if staged(result) else "Pre-deployment validation failed"
            raise DeploymentError(f"{what}: {result.reason}", result) from error

    def rollback_production_deployment(self, production_result: DeploymentResult) -> Any:
        """Go back to what was in service before."""
        return self._canary.rollback(production_result)

    def setup_monitoring(self, production_result: DeploymentResult) -> Any:
        """What watches the model from now on."""
        if self.monitoring_setup is None:
            return monitoring(production_result)
        return self.monitoring_setup.configure(
            model=production_result.model_name, endpoints=production_result.prep.addresses
        )


def staged(result: Any) -> tuple[Any, ...]:
    """A run's stages in staging: those after the candidate was registered, and before any of it was in production."""
    after = list(dropwhile(lambda stage: stage.name != "register", result.stages))[1:]
    return tuple(takewhile(lambda stage: stage.name != "deploy", after))
