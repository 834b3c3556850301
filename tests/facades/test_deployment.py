"""Deployments from Python, end to end: what goes well, what goes badly, and what cannot be asked for."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

import harness
from fakes.cluster import SimulatedCluster
from harness.clock import run_real
from harness.domain.event import ArmTotals
from harness.domain.fault import Errors, Fault, LatencyFactor
from harness.domain.model import Role
from harness.domain.units import HOUR, MINUTE
from harness.facades.thresholds import rules_of
from tests.facades.conftest import Jotter

CANDIDATE = frozenset({Role.CANDIDATE})
WRONG = Fault("errors 20%", CANDIDATE, Errors(0.2), at_ns=5 * MINUTE)
SLOW = Fault("latency x3", CANDIDATE, LatencyFactor(3.0), at_ns=5 * MINUTE)
FEW = {"model_name": "churn", "traffic": "40/s"}


def aliases(options: harness.Options, name: str = "churn") -> dict[str, int]:
    return {
        alias: each.revision.version for each in run_real(options.registry.versions, name) for alias in each.aliases
    }


def fitted(seed: int) -> LogisticRegression:
    draws = np.random.default_rng(seed)
    rows = pd.DataFrame({"a": draws.normal(size=200), "b": draws.normal(size=200)})
    return LogisticRegression().fit(rows, (rows["a"] + draws.normal(size=200) > 0).astype(int))


@pytest.mark.parametrize("strategy", ["canary", "blue_green", "rolling"])
def test_a_good_candidate_is_in_service_afterwards(options: harness.Options, strategy: str) -> None:
    done = harness.DeploymentPipeline(options).run_deployment_pipeline({"strategy": strategy, **FEW})
    assert done["status"] == "success"
    deployed = done["deployment"]
    assert (deployed.strategy, deployed.model, deployed.replaced) == (strategy, "churn:2", "churn:1")
    assert [(each.model, each.share, each.verified) for each in deployed.endpoints] == [("churn:2", 1.0, True)]
    assert done["monitoring"]["rules"] == ("error_rate <= stable + 2%", "p95 <= stable * 1.5")
    assert aliases(options)["stable"] == 2
    assert aliases(options)["previous"] == 1


@pytest.mark.parametrize(
    ("strategy", "fault", "error", "metric"),
    [
        ("canary", WRONG, harness.CanaryDeploymentError, "error_rate"),
        ("canary", SLOW, harness.CanaryDeploymentError, "p95"),
        ("blue_green", replace(WRONG, at_ns=2 * MINUTE), harness.DeploymentError, "error_rate"),
        ("rolling", WRONG, harness.DeploymentError, "error_rate"),
    ],
)
def test_a_bad_one_is_not_and_the_error_says_why(
    options: harness.Options, strategy: str, fault: Fault, error: type[harness.DeploymentError], metric: str
) -> None:
    with pytest.raises(error, match=rf"churn was not deployed \(rolled back\): {metric} was") as raised:
        harness.DeploymentPipeline(options).run_deployment_pipeline({"strategy": strategy, "faults": [fault], **FEW})
    result = raised.value.result
    assert result.outcome == "rolled_back"
    assert result.ended_on == {Role.STABLE: 10_000, Role.CANDIDATE: 0}
    assert aliases(options)["stable"] == 1


def test_hours_pass_without_anybody_waiting(options: harness.Options) -> None:
    canary = harness.CanaryDeployment(options, weights=("5%", 0.2, "50%"), pause="2h")
    result = canary.deploy({**FEW, "traffic": "80/s"}).result
    assert result.simulated_s > 6 * HOUR / 1e9
    assert [weight for _, weight in result.plan] == [0.05, 0.2, 0.5, 1.0]


def test_models_are_the_callers_own_and_versions_the_registrys(options: harness.Options) -> None:
    pipeline = harness.DeploymentPipeline(options)
    first = pipeline.run_deployment_pipeline({"strategy": "rolling", "stable": fitted(1), "model": fitted(2), **FEW})
    second = pipeline.run_deployment_pipeline({"strategy": "canary", "model": fitted(3), **FEW})
    assert (first["deployment"].model, second["deployment"].replaced) == ("churn:2", "churn:2")
    third = pipeline.run_deployment_pipeline({"strategy": "blue_green", "model_version": "churn:1", **FEW})
    assert (third["deployment"].model, third["deployment"].model_version) == ("churn:1", 1)
    assert aliases(options) == {"stable": 1, "previous": 3, "candidate": 3}
    registered = run_real(options.registry.versions, "churn")
    assert len({each.revision.digest for each in registered}) == 3


def test_a_first_model_of_any_task_needs_none_before_it(options: harness.Options) -> None:
    model = LinearRegression().fit(pd.DataFrame({"a": [1.0, 2.0, 3.0]}), [1.0, 2.0, 3.5])
    done = harness.DeploymentPipeline(options).run_deployment_pipeline({"strategy": "rolling", "model": model, **FEW})
    assert done["status"] == "success"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategy": "cannary"}, "strategy is 'cannary'; it is one of blue_green, canary, rolling"),
        ({"trafic": "1/s"}, "a deployment has no 'trafic'; did you mean traffic?"),
        ({"model_version": 7}, "model_version is 7: the registry holds no model 'churn'"),
        ({"model_version": "newest"}, "model_version is 'newest'; it is a number"),
        ({"traffic": "40"}, "traffic is '40': a rate is a number per s, m or h"),
        ({"thresholds": {"accuracy_decrease": 0.05}}, "accuracy is measured on a data set; add model.data"),
        ({"thresholds": {"latency": 0.5}}, "threshold 'latency' is not known; there are error_rate_increase"),
        ({"rules": ["p59 <= 1s"]}, "no metric is called p59"),
        ({"model": object()}, "model.candidate: a object is neither a classifier nor a regressor"),
    ],
)
def test_what_cannot_be_asked_for_is_told_before_anything_runs(
    options: harness.Options, changes: dict[str, Any], message: str
) -> None:
    pipeline = harness.DeploymentPipeline(options)
    with pytest.raises(harness.DeploymentError) as raised:
        pipeline.run_deployment_pipeline({"strategy": "canary", **FEW, **changes})
    assert str(raised.value).startswith("Pre-deployment validation failed: ")
    assert message in str(raised.value)
    assert not list(options.reports.iterdir())


def test_an_unhealthy_endpoint_takes_the_deployment_back(options: harness.Options) -> None:
    class Sceptic(harness.DeploymentPipeline):
        def health_check_endpoints(self, endpoints: Any) -> Any:
            return replace(super().health_check_endpoints(endpoints), healthy=False, detail="I do not believe it")

    with pytest.raises(harness.DeploymentError, match="Health check failed after deployment: I do not believe it"):
        Sceptic(options).run_deployment_pipeline({"strategy": "canary", **FEW})
    assert aliases(options) == {"stable": 1, "candidate": 2}
    assert [each.status for each in run_real(options.registry.versions, "churn")] == ["verified", "bad"]


def test_a_platform_of_the_callers_own_is_what_it_runs_on(options: harness.Options) -> None:
    made = []

    class Counting(SimulatedCluster):
        async def totals(self) -> dict[Role, ArmTotals]:
            made.append(self)
            return dict(await super().totals())

    harness.RollingDeployment(replace(options, platform=Counting)).deploy(FEW)
    assert len(made) == 1


def test_monitoring_is_set_up_by_whoever_is_given(options: harness.Options) -> None:
    class Setup:
        def configure(self, *, model: str, endpoints: Any) -> str:
            return f"{model} at {endpoints[0]}"

    asked = {"strategy": "blue_green", "endpoints": ["http://10.0.0.7:8080"], **FEW}
    done = harness.DeploymentPipeline(options, Setup()).run_deployment_pipeline(asked)
    assert done["monitoring"] == "churn at http://10.0.0.7:8080"


def test_the_orchestrator_goes_by_way_of_a_canary(options: harness.Options, jotter: Jotter) -> None:
    orchestrator = harness.ModelDeploymentOrchestrator({"namespace": "ml"}, options)
    done = orchestrator.deploy_model({**FEW})
    assert set(done) == {"deployment_id", "staging_result", "production_result", "monitoring_config"}
    steps = done["production_result"].result.steps
    assert steps == ("weight 10%", "pause 2h", "weight 50%", "pause 2h")
    assert done["production_result"].model == done["monitoring_config"]["model"] == "churn:2"
    assert orchestrator.namespace == "ml"
    assert "churn:2 is the new stable" in jotter.texts


def test_the_orchestrators_canary_may_fail(options: harness.Options) -> None:
    with pytest.raises(harness.CanaryDeploymentError, match="error_rate was"):
        harness.ModelDeploymentOrchestrator(options=options, pause="10m").deploy_model({**FEW, "faults": [WRONG]})
    assert aliases(options)["stable"] == 1


def test_thresholds_come_to_the_rules_that_the_interface_names() -> None:
    usual = {"error_rate_increase": 0.02, "latency_increase": 0.5, "accuracy_decrease": 0.05}
    assert rules_of(usual) == ("error_rate <= stable + 2%", "p95 <= stable * 1.5", "accuracy >= stable - 5%")
    assert rules_of({"error_rate_increase": 0.1, "latency_increase": 1}) == (
        "error_rate <= stable + 10%",
        "p95 <= stable * 2",
    )
    assert rules_of({"latency_increase": 0.5}, ["latency"]) == ("p95 <= stable * 1.5",)
    for wrong, message in (({"latency_increase": 0}, "above 0"), ({"latency_increase": "50%"}, "above 0")):
        with pytest.raises(harness.InputError, match=message):
            rules_of(wrong)
    with pytest.raises(harness.InputError, match="limits accuracy, which is not among the metrics"):
        rules_of(usual, ["error_rate", "p95"])


def test_a_run_from_python_gives_the_same_events_each_time(options: harness.Options) -> None:
    digests = set()
    for _ in range(2):
        fresh = replace(options, registry=type(options.registry)())
        digests.add(harness.CanaryDeployment(fresh).deploy(FEW).result.event_digest)
    assert len(digests) == 1
