"""One rollout from Python, and what it came to."""

from dataclasses import dataclass
from typing import Any

from harness.app import Options, rehearsal, run_sync
from harness.domain.model import Role
from harness.domain.rollout import Outcome, RolloutPolicy
from harness.domain.units import WHOLE
from harness.errors import DeploymentError
from harness.facades.preparing import DeploymentPrep


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a version answers users."""

    name: str
    """The arm."""
    model: str
    """``name:version``."""
    share: float
    """Of the traffic, when the run ended; in 0..1."""
    verified: bool
    """It was seen to serve with that: weights in force, replicas ready, probes answered."""


@dataclass(frozen=True, slots=True)
class DeploymentResult:
    """A deployment that ended with the candidate in service."""

    deployment_id: str
    strategy: str
    model: str
    """``name:version`` of what is in service now."""
    replaced: str
    """``name:version`` of what was before."""
    endpoints: tuple[Endpoint, ...]
    """Those that users reach."""
    rules: tuple[str, ...]
    """What it was judged by."""
    result: Any
    """All that is known of the run: `harness.Result`."""
    prep: DeploymentPrep

    @property
    def model_name(self) -> str:
        """Without the version."""
        return self.model.rpartition(":")[0]

    @property
    def model_version(self) -> int:
        """In the registry."""
        return int(self.model.rpartition(":")[2])


def deploy(
    prep: DeploymentPrep,
    policy: RolloutPolicy,
    options: Options,
    error: type[DeploymentError] = DeploymentError,
) -> DeploymentResult:
    """Roll the candidate out by a policy.

    Raises:
        DeploymentError: (of the kind asked for) it was not promoted; with the run's result.
        InputError: the preparation cannot be used.
    """
    scenario = rehearsal(policy, model=prep.model_name, stable=prep.stable, candidate=prep.candidate, **prep.settings)
    result = run_sync(scenario, options)
    if result.outcome != Outcome.PROMOTED:
        raise error(f"{prep.model_name} was not deployed ({result.outcome_text}): {result.reason}", result)
    return DeploymentResult(
        deployment_id=prep.deployment_id,
        strategy=policy.strategy,
        model=result.candidate,
        replaced=result.stable,
        endpoints=_endpoints(result),
        rules=prep.rules,
        result=result,
        prep=prep,
    )


def _endpoints(result: Any) -> tuple[Endpoint, ...]:
    models = {Role.STABLE: result.stable, Role.CANDIDATE: result.candidate}
    return tuple(
        Endpoint(role.value, models[role.model], share / WHOLE, result.verified is True)
        for role, share in result.ended_on.items()
        if share
    )
