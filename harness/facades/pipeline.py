"""A deployment pipeline: validation, preparation, the strategy, monitoring, health."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.app import Options, rehearsal
from harness.errors import BackendError, DeploymentError, HarnessError
from harness.facades.deploying import DeploymentResult, Endpoint
from harness.facades.preparing import DeploymentPrep, check_models, kept, prepare
from harness.facades.strategies import BlueGreenDeployment, CanaryDeployment, Deployment, RollingDeployment


@dataclass(frozen=True, slots=True)
class Validation:
    """Whether a request can be carried out, and what is wrong with it."""

    passed: bool
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """Whether what is in service serves."""

    healthy: bool
    detail: str


class DeploymentPipeline:
    """Deploys a model by the strategy that its request names.

    Args:
        options: backends of the caller's own, and where runs are kept; default: in memory, simulated. The registry is
            the pipeline's from one deployment to the next.
        monitoring_setup: has ``configure(model=…, endpoints=…)``; None: what the deployment was judged by is answered.
    """

    def __init__(self, options: Options | None = None, monitoring_setup: Any = None) -> None:
        self.options = kept(options)
        self.monitoring_setup = monitoring_setup
        self.deployment_strategies: dict[str, Deployment] = {
            "blue_green": BlueGreenDeployment(self.options),
            "canary": CanaryDeployment(self.options),
            "rolling": RollingDeployment(self.options),
        }

    def run_deployment_pipeline(self, deployment_config: Mapping[str, Any]) -> dict[str, Any]:
        """Deploy.

        Args:
            deployment_config: ``strategy``, ``model_name``; ``model`` (a fitted estimator, or where it comes from) or
                ``model_version`` of the registry; ``stable`` likewise (default: what the registry names so);
                ``thresholds`` or ``rules``; ``endpoints`` (URLs, for its monitoring); and what `harness.rehearsal`
                takes: traffic, service, faults, data …

        Raises:
            DeploymentError: the request cannot be carried out, the candidate was not promoted, or is not healthy; with
                the reason, and with the run's result where there was a run.
        """
        validation = self.pre_deployment_validation(deployment_config)
        if not validation.passed:
            raise DeploymentError(f"Pre-deployment validation failed: {'; '.join(validation.errors)}")
        prep = self.prepare_deployment(deployment_config)
        strategy = self.deployment_strategies[deployment_config["strategy"]]
        deployed = strategy.deploy(prep)
        monitoring = self.setup_monitoring(deployed)
        health = self.health_check_endpoints(deployed.endpoints)
        if not health.healthy:
            strategy.rollback(deployed)
            raise DeploymentError(f"Health check failed after deployment: {health.detail}", deployed.result)
        return {"deployment": deployed, "monitoring": monitoring, "status": "success"}

    def pre_deployment_validation(self, deployment_config: Mapping[str, Any]) -> Validation:
        """Whether there is such a strategy, its models are there, and everything else can be read."""
        word = deployment_config.get("strategy")
        if word not in self.deployment_strategies:
            known = ", ".join(sorted(self.deployment_strategies))
            return Validation(passed=False, errors=(f"strategy is {word!r}; it is one of {known}",))
        try:
            prep = self.prepare_deployment(deployment_config)
            policy = self.deployment_strategies[word].policy(prep)
            check_models(prep)
            rehearsal(policy, model=prep.model_name, stable=prep.stable, candidate=prep.candidate, **prep.settings)
        except BackendError:
            raise
        except HarnessError as error:
            return Validation(passed=False, errors=(str(error),))
        return Validation(passed=True)

    def prepare_deployment(self, deployment_config: Mapping[str, Any]) -> DeploymentPrep:
        """What is to be deployed over what."""
        return prepare(deployment_config, self.options)

    def setup_monitoring(self, deployed: DeploymentResult) -> Any:
        """What watches the model from now on."""
        if self.monitoring_setup is None:
            return monitoring(deployed)
        return self.monitoring_setup.configure(model=deployed.model_name, endpoints=deployed.prep.addresses)

    def health_check_endpoints(self, endpoints: tuple[Endpoint, ...]) -> HealthCheck:
        """Whether each was seen to serve with the traffic that it has, when the run ended."""
        sick = [each.name for each in endpoints if not each.verified]
        return HealthCheck(not sick and bool(endpoints), f"not verified: {', '.join(sick)}" if sick else "verified")


def monitoring(deployed: DeploymentResult) -> dict[str, Any]:
    """What the deployment was judged by, for whoever watches it from now on."""
    return {"model": deployed.model, "endpoints": deployed.endpoints, "rules": deployed.rules}
