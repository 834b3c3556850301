"""Deployment, rollback and load tests under the names of the usual MLOps handbooks: thin, over the parts of a run.

Each builds a scenario in Python and runs it (`harness.app`) over whatever backends the caller gives; without any, in
memory and simulated, on virtual time. Nothing here waits by itself; the load tester alone is awaited.

thresholds.py   ``error_rate_increase: 0.02`` → ``error_rate <= stable + 2%``
preparing.py    what is to be deployed over what; deploying.py: one rollout, and what it came to
strategies.py   canary, blue-green, rolling
pipeline.py     validation, deployment, health check; orchestrator.py: staging first, then production
load_tester.py  a load test of an endpoint, in the caller's own loop; load_config.py: what it is asked for
custom_registry.py  models of any kind in a database, by files and metadata; model_metadata.py: what must be said of one
training.py     train, cross-validate, tune; tracking.py: experiments that are kept, here or in MLflow
training_pipeline.py  a search, training, evaluation, registration
rollback.py     watch a version in service, and go back to the one before it
"""

from harness.facades.custom_registry import CustomModelRegistry
from harness.facades.deploying import DeploymentResult, Endpoint
from harness.facades.load_tester import ModelServingLoadTester
from harness.facades.orchestrator import ModelDeploymentOrchestrator
from harness.facades.pipeline import DeploymentPipeline
from harness.facades.preparing import DeploymentPrep
from harness.facades.rollback import ModelRollbackSystem, RollbackRequest, RollbackResult
from harness.facades.strategies import BlueGreenDeployment, CanaryDeployment, RollingDeployment

__all__ = [
    "BlueGreenDeployment",
    "CanaryDeployment",
    "CustomModelRegistry",
    "DeploymentPipeline",
    "DeploymentPrep",
    "DeploymentResult",
    "Endpoint",
    "ModelDeploymentOrchestrator",
    "ModelRollbackSystem",
    "ModelServingLoadTester",
    "RollbackRequest",
    "RollbackResult",
    "RollingDeployment",
]
