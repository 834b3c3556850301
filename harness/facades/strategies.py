"""Deployment strategies under the names of the handbooks, over the strategies of `harness.strategies`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from harness.app import Options, analysis_policy
from harness.app.building import Duration
from harness.domain.analysis import AnalysisPolicy
from harness.domain.quantity import duration_ns, weight
from harness.domain.rollout import RolloutPolicy
from harness.errors import CanaryDeploymentError, DeploymentError, InputError
from harness.facades.deploying import DeploymentResult, deploy
from harness.facades.preparing import DeploymentPrep, kept, prepare
from harness.facades.rollback import ModelRollbackSystem, RollbackResult
from harness.strategies.blue_green import blue_green_steps
from harness.strategies.canary import canary_steps


class Deployment(ABC):
    """A way to deploy.

    Args:
        options: backends of the caller's own, and where runs are kept; default: in memory, simulated.
        every: from look to look.
        min_requests: answers that each arm must have in a look's window.
        failure_limit: a rule fails when it failed on more looks than this.
    """

    error: ClassVar[type[DeploymentError]] = DeploymentError

    def __init__(
        self,
        options: Options | None = None,
        *,
        every: Duration = "1m",
        min_requests: int = 100,
        failure_limit: int = 1,
    ) -> None:
        self.options = kept(options)
        self._looks: dict[str, Any] = {"every": every, "min_requests": min_requests, "failure_limit": failure_limit}

    def deploy(self, deployment_prep: DeploymentPrep | Mapping[str, Any]) -> DeploymentResult:
        """Deploy, watch, and verify.

        Args:
            deployment_prep: what `DeploymentPipeline.prepare_deployment` answers, or a request as it takes it.

        Raises:
            DeploymentError: the candidate was not promoted; traffic is on what was in service before (where the
                rollout was still held when its horizon came, ``paused``: as it stood).
        """
        given = deployment_prep
        prep = given if isinstance(given, DeploymentPrep) else prepare(given, self.options)
        return deploy(prep, self.policy(prep), self.options, self.error)

    def rollback(self, result: DeploymentResult) -> RollbackResult:
        """Go back from what was deployed to what was in service before.

        Raises:
            RollbackError: there is nothing to go back to, or it could not be verified.
        """
        system = ModelRollbackSystem(options=self.options)
        surroundings = {key: value for key, value in result.prep.settings.items() if key in {"traffic", "service"}}
        system.rollback_policies = {result.model_name: surroundings}
        return system.execute_rollback(result.model_name, result.model_version, f"{result.model} is taken back")

    @abstractmethod
    def policy(self, prep: DeploymentPrep) -> RolloutPolicy:
        """How the candidate replaces what is in service."""

    def _analysis(self, prep: DeploymentPrep) -> AnalysisPolicy | None:
        return analysis_policy(*prep.rules, **self._looks) if prep.rules else None


class CanaryDeployment(Deployment):
    """Raise the candidate's share of the traffic step by step, judging it all the while.

    Args:
        options: as in `Deployment`.
        weights: the shares.
        pause: how long each is kept.
        looks: as in `Deployment`.
    """

    error = CanaryDeploymentError

    def __init__(
        self,
        options: Options | None = None,
        *,
        weights: Sequence[str | float] = ("10%", "50%"),
        pause: Duration = "30m",
        **looks: Any,
    ) -> None:
        super().__init__(options, **looks)
        self._steps = canary_steps([_weight(each) for each in weights], _duration(pause))

    def policy(self, prep: DeploymentPrep) -> RolloutPolicy:
        """Its steps."""
        return RolloutPolicy("canary", self._steps, self._analysis(prep))


class BlueGreenDeployment(Deployment):
    """Try the candidate beside what is in service, switch at once, and judge it then.

    Args:
        options: as in `Deployment`.
        smoke: requests of our own that it must answer before the switch.
        watch: how often it is looked at after the switch; what fails then switches back.
        keep_for: how long what was in service before stays up, so that the way back is instant.
        looks: as in `Deployment`.
    """

    def __init__(
        self,
        options: Options | None = None,
        *,
        smoke: int = 10,
        watch: int = 10,
        keep_for: Duration = 0,
        **looks: Any,
    ) -> None:
        super().__init__(options, **looks)
        self._smoke, self._watch, self._keep_ns = smoke, watch, _duration(keep_for)

    def policy(self, prep: DeploymentPrep) -> RolloutPolicy:
        """Smoke tests, the switch, and looks."""
        analysis = self._analysis(prep)
        after = (replace(analysis, failure_limit=0), self._watch) if analysis and self._watch else None
        return RolloutPolicy(
            "blue_green", blue_green_steps(smoke=self._smoke, after=after), None, retire_after_ns=self._keep_ns
        )


class RollingDeployment(Deployment):
    """Replace replicas a few at a time, judging each batch before the next.

    Args:
        options: as in `Deployment`.
        max_surge: replicas beyond the service's size; a count, or a share rounded up.
        max_unavailable: ready replicas that may lack; a count, or a share rounded down.
        min_ready: a replica counts as ready when it has been for so long.
        batch_pause: how long each batch is kept and judged before the next.
        looks: as in `Deployment`.
    """

    def __init__(
        self,
        options: Options | None = None,
        *,
        max_surge: int | str = "25%",
        max_unavailable: int | str = "25%",
        min_ready: Duration = 0,
        batch_pause: Duration = "5m",
        **looks: Any,
    ) -> None:
        super().__init__(options, **looks)
        self._limits = {"max_surge": str(max_surge), "max_unavailable": str(max_unavailable)}
        self._times = {"min_ready_ns": _duration(min_ready), "batch_pause_ns": _duration(batch_pause)}

    def policy(self, prep: DeploymentPrep) -> RolloutPolicy:
        """Batches."""
        return RolloutPolicy("rolling", (), self._analysis(prep), **self._limits, **self._times)  # type: ignore[arg-type]


def _duration(given: Duration) -> int:
    try:
        return given if isinstance(given, int) else duration_ns(given)
    except ValueError as error:
        raise InputError(f"{given!r}: {error}") from None


def _weight(given: str | float) -> int:
    try:
        return weight(given)
    except ValueError as error:
        raise InputError(f"weight {given!r}: {error}") from None
