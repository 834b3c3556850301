"""Deployment and rollback under the names of the usual MLOps handbooks: thin and synchronous, over the parts of a run.

Each builds a scenario in Python and runs it (`harness.app`) over whatever backends the caller gives; without any, in
memory and simulated, on virtual time. Nothing here waits by itself.

thresholds.py   ``error_rate_increase: 0.02`` → ``error_rate <= stable + 2%``
preparing.py    what is to be deployed over what; deploying.py: one rollout, and what it came to
strategies.py   canary, blue-green, rolling
pipeline.py     validation, deployment, health check; orchestrator.py: staging first, then production
rollback.py     watch a version in service, and go back to the one before it
"""

from harness.facades.deploying import DeploymentResult, Endpoint
from harness.facades.orchestrator import ModelDeploymentOrchestrator
from harness.facades.pipeline import DeploymentPipeline
from harness.facades.preparing import DeploymentPrep
from harness.facades.rollback import ModelRollbackSystem, RollbackRequest, RollbackResult
from harness.facades.strategies import BlueGreenDeployment, CanaryDeployment, RollingDeployment

__all__ = [
    "BlueGreenDeployment",
    "CanaryDeployment",
    "DeploymentPipeline",
    "DeploymentPrep",
    "DeploymentResult",
    "Endpoint",
    "ModelDeploymentOrchestrator",
    "ModelRollbackSystem",
    "RollbackRequest",
    "RollbackResult",
    "RollingDeployment",
]
