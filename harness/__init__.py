"""Rehearse an ML rollout before production does.

How the package lies, from the bottom up (docs/architecture.md has the map and who may import whom):

    domain/ errors                 the nouns, as frozen values
    stats/ drift/ arrivals/ sim/   mathematics: arrays in, arrays out; the simulator
    protocols clock seeds log      the boundaries, the two times, the named streams, the event log
    strategies/ analysis/          what should be, given what was seen; and how it is judged
    data/ training/ scenario/      the model's way to its rollout; the scenario file
    load/ serving/                 load tests of live endpoints; the model server, its stand-in and its client
    engine/                        the only part with effects: runs stages, drives the rollout, makes it safe
    report/ live/                  what came of it, folded from the log
    app/ facades/ cli/             assembly; the handbooks' names for it; the door
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.app import Options, Stop, analysis_policy, load_scenario, rehearsal, run, run_sync
    from harness.domain.model import GivenPlan
    from harness.domain.rollout import RolloutPolicy
    from harness.domain.scenario import Scenario
    from harness.engine.graph import Node, Pipeline
    from harness.engine.store import FolderStore, MemoryStore, digest_of
    from harness.errors import (
        BackendError,
        CanaryDeploymentError,
        DataValidationError,
        DeploymentError,
        EndpointError,
        HarnessError,
        InputError,
        InvalidModelMetadataError,
        ModelNotFoundError,
        ModelPromotionError,
        RollbackError,
        ScenarioError,
    )
    from harness.facades import (
        BlueGreenDeployment,
        CanaryDeployment,
        CustomModelRegistry,
        DeploymentPipeline,
        ModelDeploymentOrchestrator,
        ModelRollbackSystem,
        ModelServingLoadTester,
        RollbackRequest,
        RollbackResult,
        RollingDeployment,
    )
    from harness.facades.data import DataValidator
    from harness.facades.data_pipeline import DataValidationPipeline
    from harness.facades.drift import (
        ChiSquareTest,
        DataDriftDetection,
        DomainSpecificDriftDetector,
        JensenShannonDivergence,
        KolmogorovSmirnovTest,
        MLBasedDriftDetector,
        PopulationStabilityIndex,
        StatisticalDriftDetector,
    )
    from harness.facades.dvc import DVCIntegration
    from harness.facades.evaluation import ModelEvaluator
    from harness.facades.features import DataPipeline, DataTransformer, FeatureEngineer, FeatureStore
    from harness.facades.registries import MLflowModelRegistry
    from harness.facades.tracking import ExperimentTracker, MLflowExperimentTracker
    from harness.facades.training import HyperparameterTuner, ModelTrainer
    from harness.facades.training_pipeline import TrainingPipeline
    from harness.gates.promotion import ModelPromotionValidation, PromotionRequirements
    from harness.load.generated import generate_test_payloads
    from harness.log import Events
    from harness.protocols import Arrivals, MetricSource, Notifier, Platform, Registry, Router, Serving, Stage, Tracker
    from harness.report import Result
    from harness.serving.client import AsyncModelServingClient, ModelServingClient
    from harness.strategies import STRATEGIES, Machine, ab_test, blue_green, canary, rolling, shadow
    from harness.strategies.ab_test import ab_test_steps
    from harness.strategies.blue_green import blue_green_steps
    from harness.strategies.canary import canary_steps
    from harness.strategies.shadow import shadow_steps

_WHERE = {
    "STRATEGIES": "strategies",
    "Arrivals": "protocols",
    "AsyncModelServingClient": "serving.client",
    "BackendError": "errors",
    "BlueGreenDeployment": "facades",
    "CanaryDeployment": "facades",
    "CanaryDeploymentError": "errors",
    "ChiSquareTest": "facades.drift",
    "CustomModelRegistry": "facades",
    "DVCIntegration": "facades.dvc",
    "DataDriftDetection": "facades.drift",
    "DataPipeline": "facades.features",
    "DataTransformer": "facades.features",
    "DataValidationError": "errors",
    "DataValidationPipeline": "facades.data_pipeline",
    "DataValidator": "facades.data",
    "DeploymentError": "errors",
    "DeploymentPipeline": "facades",
    "DomainSpecificDriftDetector": "facades.drift",
    "EndpointError": "errors",
    "Events": "log",
    "ExperimentTracker": "facades.tracking",
    "FeatureEngineer": "facades.features",
    "FeatureStore": "facades.features",
    "FolderStore": "engine.store",
    "GivenPlan": "domain.model",
    "HarnessError": "errors",
    "HyperparameterTuner": "facades.training",
    "InputError": "errors",
    "InvalidModelMetadataError": "errors",
    "JensenShannonDivergence": "facades.drift",
    "KolmogorovSmirnovTest": "facades.drift",
    "MLBasedDriftDetector": "facades.drift",
    "MLflowExperimentTracker": "facades.tracking",
    "MLflowModelRegistry": "facades.registries",
    "Machine": "strategies",
    "MemoryStore": "engine.store",
    "MetricSource": "protocols",
    "ModelDeploymentOrchestrator": "facades",
    "ModelEvaluator": "facades.evaluation",
    "ModelNotFoundError": "errors",
    "ModelPromotionError": "errors",
    "ModelPromotionValidation": "gates.promotion",
    "ModelRollbackSystem": "facades",
    "ModelServingClient": "serving.client",
    "ModelServingLoadTester": "facades",
    "ModelTrainer": "facades.training",
    "MonitoringSetup": "exporters.monitoring",
    "Node": "engine.graph",
    "Notifier": "protocols",
    "Options": "app",
    "Pipeline": "engine.graph",
    "Platform": "protocols",
    "PopulationStabilityIndex": "facades.drift",
    "PromotionRequirements": "gates.promotion",
    "Registry": "protocols",
    "Result": "report",
    "RollbackError": "errors",
    "RollbackRequest": "facades",
    "RollbackResult": "facades",
    "RollingDeployment": "facades",
    "RolloutPolicy": "domain.rollout",
    "Router": "protocols",
    "Scenario": "domain.scenario",
    "ScenarioError": "errors",
    "Serving": "protocols",
    "Stage": "protocols",
    "StatisticalDriftDetector": "facades.drift",
    "Stop": "app",
    "Tracker": "protocols",
    "TrainingPipeline": "facades.training_pipeline",
    "ab_test": "strategies",
    "ab_test_steps": "strategies.ab_test",
    "analysis_policy": "app",
    "blue_green": "strategies",
    "blue_green_steps": "strategies.blue_green",
    "canary": "strategies",
    "canary_steps": "strategies.canary",
    "digest_of": "engine.store",
    "generate_test_payloads": "load.generated",
    "load_scenario": "app",
    "rehearsal": "app",
    "rolling": "strategies",
    "run": "app",
    "run_sync": "app",
    "shadow": "strategies",
    "shadow_steps": "strategies.shadow",
}

__all__ = [
    "STRATEGIES",
    "Arrivals",
    "AsyncModelServingClient",
    "BackendError",
    "BlueGreenDeployment",
    "CanaryDeployment",
    "CanaryDeploymentError",
    "ChiSquareTest",
    "CustomModelRegistry",
    "DVCIntegration",
    "DataDriftDetection",
    "DataPipeline",
    "DataTransformer",
    "DataValidationError",
    "DataValidationPipeline",
    "DataValidator",
    "DeploymentError",
    "DeploymentPipeline",
    "DomainSpecificDriftDetector",
    "EndpointError",
    "Events",
    "ExperimentTracker",
    "FeatureEngineer",
    "FeatureStore",
    "FolderStore",
    "GivenPlan",
    "HarnessError",
    "HyperparameterTuner",
    "InputError",
    "InvalidModelMetadataError",
    "JensenShannonDivergence",
    "KolmogorovSmirnovTest",
    "MLBasedDriftDetector",
    "MLflowExperimentTracker",
    "MLflowModelRegistry",
    "Machine",
    "MemoryStore",
    "MetricSource",
    "ModelDeploymentOrchestrator",
    "ModelEvaluator",
    "ModelNotFoundError",
    "ModelPromotionError",
    "ModelPromotionValidation",
    "ModelRollbackSystem",
    "ModelServingClient",
    "ModelServingLoadTester",
    "ModelTrainer",
    "MonitoringSetup",
    "Node",
    "Notifier",
    "Options",
    "Pipeline",
    "Platform",
    "PopulationStabilityIndex",
    "PromotionRequirements",
    "Registry",
    "Result",
    "RollbackError",
    "RollbackRequest",
    "RollbackResult",
    "RollingDeployment",
    "RolloutPolicy",
    "Router",
    "Scenario",
    "ScenarioError",
    "Serving",
    "Stage",
    "StatisticalDriftDetector",
    "Stop",
    "Tracker",
    "TrainingPipeline",
    "ab_test",
    "ab_test_steps",
    "analysis_policy",
    "blue_green",
    "blue_green_steps",
    "canary",
    "canary_steps",
    "digest_of",
    "generate_test_payloads",
    "load_scenario",
    "rehearsal",
    "rolling",
    "run",
    "run_sync",
    "shadow",
    "shadow_steps",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: ``import harness`` itself costs nothing."""
    where = _WHERE.get(name)
    if where is None:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(import_module(f"harness.{where}"), name)


def __dir__() -> list[str]:
    return __all__
