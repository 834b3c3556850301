"""Pods as a fleet: lightkube over HTTP to the stand-in of an API server, with the rights that are exported.

What is shown is the client's protocol and what it makes of a cluster's troubles, not Kubernetes itself.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from fakes.kube_admission import Write
from fakes.kube_api import Fault, Ill, PodScript, Wrong
from fakes.kube_kinds import AUTOSCALER, CLAIM, DEPLOYMENT, POD, ROUTE
from harness.backends.kubernetes_fence import RUN, TOKEN
from harness.backends.kubernetes_keeper import HOPELESS
from harness.clock import run_virtual
from harness.contracts.fleets import FleetBench, check_fleet
from harness.domain.model import ARMS, Role
from harness.domain.rollout import Routing
from harness.domain.units import WHOLE
from harness.errors import ServingError
from harness.manifests import rbac, routes
from harness.protocols import Readiness
from tests.backends import kubernetes_bench
from tests.backends.kubernetes_bench import HARNESS, MODELS, speaks
from tests.backends.kubernetes_pods import QUICK, Around, Cluster, of, states
from tests.kube import eventually

FLEET = of()


@pytest.fixture
async def ml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    async with states(tmp_path, monkeypatch) as made:
        yield made


async def test_it_keeps_what_fleets_must_keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with kubernetes_bench.cluster(tmp_path, monkeypatch, rbac=True) as ml:
        # There is no router here that could say who answers: whether a pod does, the kubelet knows.
        ml.scenario = kubernetes_bench.made(ml.scenario.real.kubernetes.port)

        async def kill(url: str) -> None:
            host = url.split(":")[1].strip("/")
            (pod,) = [each["metadata"] for each in ml.api.store.all(POD, "ml") if each["status"]["podIP"] == host]
            ml.api.crash("ml", pod["name"])

        @asynccontextmanager
        async def bench() -> AsyncIterator[FleetBench]:
            yield FleetBench(ml.fleet(), kill=kill, speaks=speaks, ready_within_s=60.0, outlives=True)

        assert str(await check_fleet(bench)) == "8 of 8"
        # Whatever it asked for it was allowed to: the Role that is exported is all that it needs.
        assert ml.api.audit.count(code=403) == 0
        rules = rbac.harness_role(ml.scenario)["rules"]
        may = {
            (verb, *rule["apiGroups"], each) for rule in rules for each in rule["resources"] for verb in rule["verbs"]
        }
        assert ml.api.audit.asked(HARNESS) <= may


async def test_a_candidate_becomes_stable_and_none_of_its_pods_is_started_anew(ml: Cluster):
    around = ml.fleet(FLEET)
    await around.start(2)
    assert (ml.behind(Role.STABLE), ml.behind(Role.CANDIDATE)) == ("m-v1", "m-v2")
    await around.fleet.apply({Role.STABLE: 2, Role.CANDIDATE: 2})
    await around.ready(Role.CANDIDATE, 2)
    candidate = ml.pods(2)
    around.inform(2, 3)
    await around.fleet.replace(MODELS, adopt=True)
    assert ml.pods(2) == candidate
    assert not ml.pods(1)
    assert (ml.behind(Role.STABLE), ml.behind(Role.CANDIDATE)) == ("m-v2", "m-v3")
    assert (ml.replicas(1), ml.replicas(2), ml.replicas(3)) == (0, 2, None)
    assert await around.fleet.observe() == {Role.STABLE: Readiness(2, 2), Role.CANDIDATE: Readiness(0, 0)}


async def test_after_a_kill_all_is_found_again_and_who_was_held_up_changes_nothing_more(ml: Cluster):
    first, wanted = ml.fleet(FLEET, token=1), {Role.STABLE: 2, Role.CANDIDATE: 1}
    await first.start(2)
    await first.fleet.apply(wanted)
    await first.ready(Role.CANDIDATE, 1)
    before = ml.pods(1) | ml.pods(2)
    second = ml.fleet(FLEET, token=2)
    await second.fleet.attach(MODELS, wanted, second.point)
    assert {role: state.ready for role, state in (await second.fleet.observe()).items()} == wanted
    assert ml.pods(1) | ml.pods(2) == before
    notes = [each["metadata"]["annotations"] for each in ml.api.store.all(DEPLOYMENT)]
    assert [(each[RUN], each[TOKEN]) for each in notes] == [("run-2", "2")] * 2
    version = ml.api.store.version
    with pytest.raises(ServingError, match="run run-2 with the fencing token 2, and ours is 1"):
        await first.fleet.apply({Role.STABLE: 0, Role.CANDIDATE: 3})
    with pytest.raises(ServingError, match="nothing was changed"):
        await first.fleet.stop()
    assert ml.api.store.version == version


async def test_what_is_lacking_after_a_kill_is_started_anew(ml: Cluster):
    around = ml.fleet(FLEET)
    await around.fleet.attach(MODELS, {Role.STABLE: 2, Role.CANDIDATE: 1}, around.point)
    await around.ready(Role.STABLE, 2)
    await around.ready(Role.CANDIDATE, 1)
    assert (ml.behind(Role.STABLE), ml.behind(Role.CANDIDATE)) == ("m-v1", "m-v2")


async def test_stable_keeps_its_old_pods_until_its_new_ones_are_ready(ml: Cluster):
    around = ml.fleet(FLEET)
    await around.start()
    await around.fleet.leave()
    ml.api.scripts.say(PodScript(ready_after_s=None), labels={"app.kubernetes.io/version": "7"})
    later = ml.fleet(of(0.3), token=2)
    later.inform(7, 8)
    with pytest.raises(ServingError, match="m-v7"):
        await later.start()
    assert ml.behind(Role.STABLE) == "m-v1"
    assert len(ml.pods(1)) == 1


@pytest.mark.parametrize("routed", [True, False], ids=["by a route", "by a router of one's own"])
@pytest.mark.parametrize("promoted", [False, True], ids=["rolled back", "promoted"])
async def test_who_has_the_traffic_goes_on_when_the_harness_ends(ml: Cluster, promoted: bool, routed: bool):
    around = ml.fleet(FLEET)
    await around.start()
    await around.fleet.apply(dict.fromkeys(ARMS, 1))
    await around.ready(Role.CANDIDATE, 1)
    if promoted:
        await around.fleet.apply({Role.STABLE: 0, Role.CANDIDATE: 1})
    if routed:
        share = {Role.STABLE: 0, Role.CANDIDATE: WHOLE} if promoted else {Role.STABLE: WHOLE, Role.CANDIDATE: 0}
        ml.api.writer.create(ROUTE, "ml", routes.http_route(FLEET, Routing(share)), Write())
    await around.fleet.stop()
    await around.fleet.stop()
    assert (ml.replicas(1), ml.replicas(2)) == ((0, 1) if promoted else (1, 0))
    assert ml.behind(Role.STABLE) == ("m-v2" if promoted else "m-v1")  # the next run begins with all traffic there
    assert not around.fleet.scraped()


async def test_what_nobody_took_up_again_is_taken_down_by_the_next_run(ml: Cluster):
    around = ml.fleet(FLEET)
    await around.start()
    await around.fleet.apply(dict.fromkeys(ARMS, 1))
    await around.ready(Role.CANDIDATE, 1)
    stable = ml.pods(1)
    await around.fleet.leave()
    later = ml.fleet(FLEET, token=2)
    later.inform(1, 3)
    await later.start()
    assert (ml.replicas(1), ml.replicas(2), ml.behind(Role.CANDIDATE)) == (1, 0, "m-v3")
    assert ml.pods(1) == stable
    await eventually(lambda: not ml.pods(2))


@pytest.mark.parametrize(
    "fault",
    [
        Fault(Wrong.CONFLICT, verb="patch", resource="deployments", times=3),
        Fault(Wrong.BUSY, verb="patch", resource="deployments", times=2, retry_after_s=0),
        Fault(Wrong.UNAVAILABLE, verb="get", times=2, retry_after_s=0),
        Fault(Wrong.ERROR, verb="patch", times=2),
        Fault(Wrong.RESET, verb="patch", resource="deployments"),
        Fault(Wrong.LOST, verb="patch", resource="deployments"),
    ],
    ids=lambda fault: str(fault.wrong),
)
async def test_what_fails_for_a_while_is_done_all_the_same(ml: Cluster, fault: Fault):
    around = ml.fleet(FLEET)
    await around.start()
    ml.api.faults.order(fault)
    await around.fleet.apply({Role.STABLE: 1, Role.CANDIDATE: 2})
    await around.ready(Role.CANDIDATE, 2)
    assert ml.api.faults.met() == fault.times
    assert len(ml.pods(2)) == 2


async def test_conflicts_without_an_end_come_to_one(ml: Cluster, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("harness.backends.kubernetes_fence.BACK_OFF_S", (0.001, 0.001))
    around = ml.fleet(FLEET)
    await around.start()
    ml.api.faults.order(Fault(Wrong.CONFLICT, verb="patch", resource="deployments", times=1000))
    with pytest.raises(ServingError, match="Deployment m-v1 was changed by somebody else each of the 12 times"):
        await around.fleet.apply({Role.STABLE: 3})
    assert ml.replicas(1) == 1


async def test_nobody_is_asked_again_before_the_server_wants_it(ml: Cluster):
    around = ml.fleet(FLEET, patience=replace(QUICK, within_s=5.0))
    await around.start()
    ml.api.faults.order(Fault(Wrong.BUSY, verb="patch", resource="deployments", times=9, retry_after_s=3600))
    with pytest.raises(ServingError, match=r"did not patch Deployment m-v1 in 1 tries: HTTP 429"):
        await around.fleet.apply({Role.STABLE: 3})
    assert ml.api.faults.met() == 1


@pytest.mark.parametrize("wrong", [Wrong.CUT, Wrong.SILENT, Wrong.GONE], ids=str)
async def test_a_watch_that_is_no_good_any_more_is_begun_again(ml: Cluster, wrong: Wrong):
    ml.api.faults.order(Fault(wrong, verb="watch", times=6))
    around = ml.fleet(FLEET, silent_s=0.1)
    await around.start()
    for count in (2, 1, 3):
        await around.fleet.apply({Role.CANDIDATE: count})
        await around.ready(Role.CANDIDATE, count)
    assert ml.api.faults.met() > 2


@pytest.mark.parametrize("by_http", [False, True], ids=["in the stream", "by HTTP"])
async def test_where_history_is_forgotten_all_is_listed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_http: bool
):
    async with states(tmp_path, monkeypatch, gone_by_http=by_http) as ml:
        around = ml.fleet(FLEET)
        await around.start()
        lists = ml.api.audit.count("list", "pods")
        ml.api.faults.down(0.05)
        ml.api.compact()
        await eventually(lambda: ml.api.audit.count("list", "pods") > lists)
        await around.fleet.apply({Role.CANDIDATE: 1})
        await around.ready(Role.CANDIDATE, 1)


ILL = {
    "CrashLoopBackOff": (PodScript(ill=Ill.CRASH), "kubectl logs --previous -n ml m-v2-"),
    "ImagePullBackOff": (PodScript(ill=Ill.IMAGE), "real.kubernetes.image"),
    "Unschedulable": (PodScript(ill=Ill.UNSCHEDULABLE), "real.kubernetes.cpu and memory"),
    "ProgressDeadlineExceeded": (PodScript(ready_after_s=None), "kubectl describe pod -n ml m-v2-"),
}


@pytest.mark.parametrize("reason", ILL)
async def test_why_a_candidate_does_not_get_ready_is_told(ml: Cluster, reason: str):
    script, remedy = ILL[reason]
    around = ml.fleet(of(1.0))
    await around.start()
    listening = asyncio.create_task(around.listen())
    ml.api.scripts.say(script, prefix="m-v2-")
    await around.fleet.apply({Role.STABLE: 1, Role.CANDIDATE: 1})
    await eventually(lambda: any(reason in each.text and remedy in each.text for each in around.heard))
    told = next(each for each in around.heard if reason in each.text)
    assert told.on == (Role.CANDIDATE,)
    assert "Deployment m-v2" in told.text
    if reason != "Unschedulable":  # room may come
        await eventually(lambda: around.heard[-1].kind == HOPELESS)
        with pytest.raises(ServingError, match=f"Deployment m-v2.*pod m-v2-.*{reason}"):
            await around.fleet.observe()
    assert (await around.fleet.observe())[Role.CANDIDATE] == Readiness(1, 0)
    await around.fleet.leave()
    await listening


@pytest.mark.parametrize("reason", ILL)
async def test_why_stable_cannot_be_served_is_told(ml: Cluster, reason: str):
    script, remedy = ILL[reason]
    ml.api.scripts.say(script, prefix="m-v1-")
    around = ml.fleet(of(0.5))
    with pytest.raises(ServingError, match=f"Deployment m-v1.*pod m-v1-.*{reason}") as told:
        await around.start()
    assert remedy.replace("m-v2", "m-v1") in str(told.value)


async def test_a_pod_that_no_account_lets_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with states(tmp_path, monkeypatch) as ml:
        around = ml.fleet(of(service_account="somebody"))
        with pytest.raises(ServingError, match=r"ReplicaFailure .*somebody.*kubectl describe replicaset -n ml"):
            await around.start()


async def test_a_right_that_is_lacking_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with states(tmp_path, monkeypatch, lacks="deployments") as ml:
        with pytest.raises(ServingError) as told:
            await ml.fleet(FLEET).start()
        assert 'apiGroups: ["apps"], resources: ["deployments"], verbs: ["list"]' in str(told.value)
        assert "harness export kubernetes" in str(told.value)


async def test_a_namespace_that_is_not_there_is_told(ml: Cluster):
    with pytest.raises(ServingError, match="nowhere"):
        await ml.fleet(of(namespace="nowhere")).start()


async def test_an_autoscaler_may_add_pods_and_a_claim_is_made_once(ml: Cluster):
    around = ml.fleet(of(claim="models", autoscale_max=5))
    await around.start(2)
    (scaler,) = ml.api.store.all(AUTOSCALER)
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (2, 5)
    claim = ml.api.store.get(CLAIM, "ml", "models")
    found = ml.api.store.get(DEPLOYMENT, "ml", "m-v1")
    ml.api.writer.change(DEPLOYMENT, found, lambda body: body["spec"].update(replicas=4))
    await around.fleet.apply({Role.STABLE: 2})
    assert ml.replicas(1) == 4
    await around.ready(Role.STABLE, 2)
    await around.fleet.apply({Role.STABLE: 0})
    assert ml.replicas(1) == 0
    assert ml.api.store.get(CLAIM, "ml", "models") == claim


async def test_pods_that_somebody_else_takes_away_come_back_and_are_told(ml: Cluster):
    around = ml.fleet(FLEET)
    await around.start()
    listening = asyncio.create_task(around.listen())
    (name,) = ml.pods(1)
    ml.api.writer.delete(POD, "ml", name, {})
    await eventually(lambda: [each.kind for each in around.heard].count("replica_crashed") == 1)
    await around.ready(Role.STABLE, 1)
    assert name not in ml.pods(1)
    await around.fleet.leave()
    await listening


def test_a_cluster_is_not_asked_on_virtual_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def main() -> None:
        around = Cluster(None, tmp_path).fleet(FLEET)  # type: ignore[arg-type]  # nobody is asked
        with pytest.raises(ServingError, match="run with `--clock real`"):
            await around.start()

    run_virtual(main)


async def test_without_lightkube_or_a_kubeconfig_what_to_do_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    around: Around = Cluster(None, tmp_path).fleet(FLEET)  # type: ignore[arg-type]  # nobody is asked
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(ServingError, match=r"set KUBECONFIG, or real\.kubernetes\.context"):
        await around.start()
    monkeypatch.setitem(sys.modules, "lightkube", None)
    with pytest.raises(ServingError, match=r"pip install 'rollout-harness\[kubernetes\]'"):
        await around.start()


async def test_a_program_that_should_tell_the_credentials_and_does_not_is_told(
    ml: Cluster, monkeypatch: pytest.MonkeyPatch
):
    config = ml.api.kubeconfig("ml")
    program = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "false"}
    config["users"] = [{"name": "user", "user": {"exec": program}}]
    (ml.folder / "exec").write_text(json.dumps(config), encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", str(ml.folder / "exec"))
    with pytest.raises(ServingError, match="credentials cannot be had: Exec false returned 1"):
        await ml.fleet(FLEET).start()
