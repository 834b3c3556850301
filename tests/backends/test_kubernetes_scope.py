"""What of a scenario cannot be done in a cluster is said before anything runs there."""

from dataclasses import replace

import pytest

from harness import app
from harness.backends import kubernetes_scope
from harness.domain.fault import Crash, Errors, LatencyAdd, LatencyFactor, Lost
from harness.errors import InputError, ScenarioError
from tests.build import fault
from tests.shipped import SCENARIOS

SHIPPED = SCENARIOS / "kubernetes_canary.yaml"


@pytest.mark.parametrize("effect", [LatencyFactor(2.0), LatencyAdd(1), Errors(0.5), Lost(0.5), Crash(1)], ids=str)
def test_servers_of_a_cluster_are_not_spoilt_on_purpose(effect: object) -> None:
    scenario = app.load_scenario(SHIPPED, quick=True)
    kubernetes_scope.check(scenario)  # training that is spoilt may be: a cluster has nothing to do with it
    with pytest.raises(InputError, match="servers of a cluster"):
        kubernetes_scope.check(replace(scenario, faults=(fault(effect),)))  # type: ignore[arg-type]


def test_pods_must_find_their_models() -> None:
    scenario = app.load_scenario(SHIPPED, quick=True)
    plan = replace(scenario.real.kubernetes, registry=None)
    lost = replace(scenario, real=replace(scenario.real, kubernetes=plan))
    with pytest.raises(
        InputError, match=r"^pods cannot read models from the registry 'memory'.*real\.kubernetes\.claim"
    ):
        kubernetes_scope.check(lost)
    claimed = replace(scenario.real, kubernetes=replace(plan, claim="models"))
    kubernetes_scope.check(replace(scenario, real=claimed))


@pytest.mark.parametrize("router", ["builtin", "haproxy"])
def test_a_router_of_this_machine_does_not_reach_pods(router: str) -> None:
    with pytest.raises(ScenarioError, match=f"backends.router is {router}, which runs on this machine.*take httproute"):
        app.load_scenario(SHIPPED, [f"backends.router={router}"], quick=True)
    rehearsed = app.load_scenario(SHIPPED, [f"backends.router={router}", "backends.serving=simulated"], quick=True)
    assert rehearsed.backends.router == router
