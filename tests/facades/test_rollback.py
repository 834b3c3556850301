"""Versions in service, watched and taken back, end to end."""

from dataclasses import replace
from inspect import getattr_static
from typing import Any

import pytest

import harness
from fakes.registry import MemoryRegistry
from harness.backends.sql import SqlRegistry
from harness.clock import run_real
from harness.domain.fault import Errors, Fault, LatencyFactor
from harness.domain.model import Role
from harness.domain.units import MINUTE
from harness.facades.rollback import Holding
from harness.protocols import LineageKeeper, ManyClassLoader, ModelStore
from tests.facades.conftest import Jotter
from tests.facades.test_deployment import CANDIDATE, FEW, aliases

STABLE = frozenset({Role.STABLE})
POLICY: dict[str, Any] = {
    "metrics": ["error_rate", "latency"],
    "thresholds": {"error_rate_increase": 0.02, "latency_increase": 0.5},
    "monitoring_duration_minutes": 30,
    "traffic": "40/s",
}


def system(options: harness.Options, **changes: Any) -> harness.ModelRollbackSystem:
    return harness.ModelRollbackSystem({"rollback_policies": {"churn": {**POLICY, **changes}}}, options)


@pytest.fixture
def deployed(options: harness.Options) -> harness.Options:
    """Version 2 in service, version 1 before it."""
    harness.RollingDeployment(options).deploy(FEW)
    return options


def statuses(options: harness.Options) -> list[str]:
    return [each.status for each in run_real(options.registry.versions, "churn")]


def test_a_version_within_its_limits_stays(deployed: harness.Options) -> None:
    found = system(deployed).monitor_and_rollback("churn", 2)
    assert (found.rollback_required, found.reason) == (False, "Performance within acceptable limits")
    assert found.result.simulated_s >= 30 * 60
    assert {name: aliases(deployed)[name] for name in ("stable", "previous")} == {"stable": 2, "previous": 1}


@pytest.mark.parametrize(
    ("effect", "metric"), [(Errors(0.1), "error_rate"), (LatencyFactor(3.0), "p95")], ids=["errors", "latency"]
)
def test_one_that_decays_is_taken_back(deployed: harness.Options, jotter: Jotter, effect: Any, metric: str) -> None:
    fault = Fault("decay", CANDIDATE, effect, at_ns=10 * MINUTE)
    found = system(deployed, faults=[fault]).monitor_and_rollback("churn", "churn:2")
    assert (found.rollback_required, found.successful) == (True, True)
    assert (found.from_version, found.to_version) == (2, 1)
    assert found.reason.startswith(f"{metric} was")
    # The look at minute 11 is the first whose window holds nothing but decay.
    watched = next(stage for stage in found.result.stages if stage.name == "monitor")
    assert 10 * 60 < watched.simulated_s <= 12 * 60
    assert aliases(deployed) == {"stable": 1, "candidate": 2}
    assert statuses(deployed) == ["", "bad"]
    assert any(text.startswith("rolled back from churn:2 to churn:1") for text in jotter.texts)


def test_without_a_version_before_traffic_stays_and_a_person_is_called(
    deployed: harness.Options, jotter: Jotter
) -> None:
    run_real(deployed.registry.remove_alias, "churn", "previous")
    decays = system(deployed, faults=[Fault("decay", CANDIDATE, Errors(0.1), at_ns=5 * MINUTE)])
    with pytest.raises(harness.RollbackError, match=r"^No previous stable version found: error_rate was") as raised:
        decays.monitor_and_rollback("churn", 2)
    assert raised.value.result.ended_on[Role.CANDIDATE] == 10_000
    assert any("a person must look" in text for text in jotter.texts)
    with pytest.raises(harness.RollbackError, match=r"No previous stable version found.*traffic stays on churn:2"):
        decays.execute_rollback("churn", 2, "by hand")
    assert aliases(deployed)["stable"] == 2
    assert "previous" not in aliases(deployed)


def test_an_alarm_with_a_version_before_that_serves_no_more_leaves_traffic_where_it_is(
    deployed: harness.Options, jotter: Jotter
) -> None:
    decays = Fault("decay", CANDIDATE, Errors(0.1), at_ns=10 * MINUTE)
    broken = Fault("broken", STABLE, Errors(1.0), at_ns=5 * MINUTE)
    with pytest.raises(harness.RollbackError, match=r"^Rollback verification failed: error_rate was") as raised:
        system(deployed, faults=[decays, broken]).monitor_and_rollback("churn", 2)
    assert raised.value.result.outcome == "failed"
    assert raised.value.result.ended_on[Role.CANDIDATE] == 10_000
    assert aliases(deployed)["stable"] == 2
    assert any("churn:1 could not be verified: traffic stays on churn:2" in text for text in jotter.texts)


def test_one_that_does_not_serve_at_all_is_taken_back_at_once(deployed: harness.Options) -> None:
    dead = Fault("dead", CANDIDATE, Errors(1.0))
    found = system(deployed, faults=[dead]).monitor_and_rollback("churn", 2)
    assert (found.rollback_required, found.to_version, found.successful) == (True, 1, True)
    assert "could not be verified" in found.reason
    assert aliases(deployed) == {"stable": 1, "candidate": 2}


def test_by_hand(deployed: harness.Options) -> None:
    found = system(deployed).execute_rollback("churn", 2, "customers complained")
    assert found == harness.RollbackResult(
        rollback_required=True, from_version=2, to_version=1, reason="customers complained", successful=True,
        result=found.result,
    )  # fmt: skip
    assert found.result.outcome == "promoted"
    assert aliases(deployed) == {"stable": 1, "candidate": 2}
    assert statuses(deployed) == ["verified", "bad"]


def test_two_in_a_row_find_no_way_back_the_second_time(deployed: harness.Options) -> None:
    assert system(deployed).execute_rollback("churn", 2, "first").to_version == 1
    with pytest.raises(harness.RollbackError, match="No previous stable version found"):
        system(deployed).execute_rollback("churn", 1, "second")
    assert aliases(deployed)["stable"] == 1


def test_a_version_before_that_does_not_serve_is_not_gone_back_to(deployed: harness.Options, jotter: Jotter) -> None:
    broken = Fault("errors 100%", STABLE, Errors(1.0))
    with pytest.raises(harness.RollbackError, match="Rollback verification failed: 0 of 5 smoke tests") as raised:
        system(deployed, faults=[broken]).execute_rollback("churn", 2, "by hand")
    assert raised.value.result.outcome == "rolled_back"
    assert aliases(deployed)["stable"] == 2
    assert aliases(deployed)["previous"] == 1
    assert jotter.texts[-1].endswith("traffic stays on churn:2, a person must look")


def test_a_channel_that_fails_is_told_of_in_the_error(deployed: harness.Options) -> None:
    class Broken:
        realtime = False

        async def notify(self, message: Any) -> None:
            raise OSError("no line")

    run_real(deployed.registry.remove_alias, "churn", "previous")
    with pytest.raises(harness.RollbackError, match="pager could not be told: no line"):
        system(replace(deployed, notifiers={"pager": Broken()})).execute_rollback("churn", 2, "by hand")


def test_a_request_can_be_carried_out_by_itself(deployed: harness.Options) -> None:
    result = system(deployed).deploy_model(harness.RollbackRequest("churn", 1, "drill", "manual"))
    assert (result.outcome, result.description) == ("promoted", "manual rollback: drill")
    assert (result.stable, result.candidate) == ("churn:2", "churn:1")


@pytest.mark.parametrize(
    ("changes", "version", "message"),
    [
        ({"tresholds": {}}, 2, "a rollback policy has no 'tresholds'"),
        ({}, 9, "the registry holds no version 9 of churn; it holds 1, 2"),
        ({"metrics": ["error_rate"]}, 2, "limits p95, which is not among the metrics"),
    ],
)
def test_what_cannot_be_watched_is_told(
    deployed: harness.Options, changes: dict[str, Any], version: int, message: str
) -> None:
    with pytest.raises(harness.InputError, match=message):
        system(deployed, **changes).monitor_and_rollback("churn", version)


def test_a_model_without_a_policy_is_told(deployed: harness.Options) -> None:
    with pytest.raises(harness.InputError, match="rollback_policies has none for 'fraud'"):
        system(deployed).monitor_and_rollback("fraud", 1)


def test_a_registry_that_is_held_promises_what_it_does_by_itself() -> None:
    whole = SqlRegistry("sqlite:///:memory:")
    for promise in (LineageKeeper, ManyClassLoader, ModelStore):
        held: Any = Holding(Holding(whole))
        assert isinstance(held, promise)
        for name in set(vars(promise)) & {"record_deployment", "lineage", "allow_many_classes", "fetch"}:
            # as isinstance looks from Python 3.12 on, past __getattr__
            assert getattr_static(held, name) == getattr(whole, name)
    assert not isinstance(Holding(MemoryRegistry()), ModelStore)
    assert getattr_static(Holding(whole), "set_alias") is vars(Holding)["set_alias"]
