"""Whole rollouts in a cluster that stands in: the engine, real requests of users through its gateway."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from fakes.kube_api import Fault, Ill, PodScript, Wrong
from harness import engine
from harness.backends.kubernetes import KubernetesFleet
from harness.backends.real import kubernetes
from harness.contracts.behind import users_of
from harness.domain.event import Routed, RunEnded, Totalled
from harness.domain.lost import lost_in
from harness.domain.model import ARMS, Role
from harness.domain.rollout import Outcome, Pause, RolloutPolicy, Routing, SetWeight
from harness.domain.scenario import Clock, Scenario
from harness.domain.traffic import Knots, Process, Traffic
from harness.domain.units import SECOND, WHOLE
from harness.errors import RoutingError, ServingError
from harness.log import EventLog, Events
from harness.manifests import rbac
from harness.realtime import MODEL_HEADER
from tests.backends.kubernetes_bench import HARNESS, MODELS, Cluster, cluster
from tests.build import analysis, parts

MS = SECOND // 1000
RULES = ("error_rate <= stable + 10%", "p95 <= 5s")
STEPS = (SetWeight(5000), Pause(600 * MS), SetWeight(WHOLE), Pause(200 * MS))


def serves(slow_and_wrong: bool) -> Callable[[Any], web.Application]:
    """Pods that answer as `harness serve` does; version 2 after a while, and with an error every other time."""

    def build(pod: Any) -> web.Application:
        app, version = web.Application(), pod["metadata"]["labels"]["app.kubernetes.io/version"]
        asked = 0

        async def answer(request: web.Request) -> web.Response:
            nonlocal asked
            bad = slow_and_wrong and version == "2" and request.path != "/ready"
            asked += 1
            if bad:
                await asyncio.sleep(0.1)
            said = {"prediction": "no", "confidence": 0.9, "model": "m", "version": int(version)}
            return web.json_response(
                {"error": "wrong"} if bad and asked % 2 else said,
                status=500 if bad and asked % 2 else 200,
                headers={MODEL_HEADER: f"m:{version}"},
            )

        app.router.add_route("*", "/{path:.*}", answer)
        return app

    return build


def rollout_on(there: Cluster, ready_within_ns: int) -> Scenario:
    """A canary of a second at 100 requests a second."""
    policy = RolloutPolicy(
        "canary",
        STEPS,
        analysis(*RULES, every_ns=150 * MS, window_ns=300 * MS, min_requests=10),
        ready_within_ns=ready_within_ns,
    )
    base = there.scenario
    return replace(
        base,
        clock=Clock.REAL,
        rollout=policy,
        traffic=Traffic("poisson", Process.POISSON, Knots((0,), (100.0,))),
        service={role: replace(base.service[role], timeout_ns=10 * SECOND) for role in ARMS},
    )


@dataclass
class Ran:
    """What became of a rollout."""

    outcome: Outcome
    events: Events

    @property
    def lost(self) -> dict[str, int]:
        """Requests that were not answered by any replica."""
        return {kind: n for arm in self.events.last(Totalled).arms.values() for kind, n in lost_in(arm.errors).items()}


async def rolled_out(there: Cluster, ready_within_ns: int = 20 * SECOND) -> Ran:
    """Run it to its end; what stands in the cluster afterwards is left."""
    of = rollout_on(there, ready_within_ns)
    platform = kubernetes(of)
    platform.place(there.place(1))
    log = EventLog()
    outcome = await engine.run(of, parts(of, platform), log)
    return Ran(outcome, Events(log.events))


TROUBLES = (
    Fault(Wrong.CONFLICT, verb="patch", resource="httproutes", nth=2),
    Fault(Wrong.CONFLICT, verb="patch", resource="deployments", nth=2, times=2),
    Fault(Wrong.CUT, verb="watch", resource="pods", after=1),
    Fault(Wrong.CUT, verb="watch", resource="deployments", after=2),
    Fault(Wrong.BUSY, verb="get", resource="httproutes", nth=4, retry_after_s=0),
    Fault(Wrong.LOST, verb="create", resource="services"),
)


@pytest.mark.parametrize(
    ("bad", "outcome", "winner"),
    [
        pytest.param(True, Outcome.ROLLED_BACK, "m-v1", id="slow-and-wrong"),
        pytest.param(False, Outcome.PROMOTED, "m-v2", id="healthy"),
    ],
)
async def test_a_rollout_ends_as_it_should_whatever_the_api_server_does_meanwhile(
    bad: bool, outcome: Outcome, winner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = {"claim": "models", "autoscale_max": 4}
    async with cluster(tmp_path, monkeypatch, serves(bad), plan, rbac=True) as there:
        there.order(*TROUBLES)
        ran = await rolled_out(there)
        assert ran.outcome is outcome, ran.events.last(RunEnded).reason
        assert not ran.lost
        assert [fault for fault in TROUBLES if not there.api.faults.met(fault)] == []
        # All of it was allowed by the Role that is exported, and there is no rule in that which was not needed.
        rules = rbac.harness_role(there.scenario)["rules"]
        may = {
            (verb, *rule["apiGroups"], each) for rule in rules for each in rule["resources"] for verb in rule["verbs"]
        }
        assert there.api.audit.count(code=403) == 0
        used = there.api.audit.asked(HARNESS)
        assert used == may if winner == "m-v2" else used < may  # the rest makes a candidate stable

        # What has won keeps running with all traffic, and is stable; the other has no pods.
        assert there.leads_to(Role.STABLE) == winner
        assert there.weights()["m-stable"] == WHOLE
        assert {name: there.replicas(name) for name in ("m-v1", "m-v2")} == {
            "m-v1": 0 if winner == "m-v2" else 2, "m-v2": 2 if winner == "m-v2" else 0,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("script", "word", "remedy"),
    [
        pytest.param(PodScript(ill=Ill.IMAGE), "ImagePullBackOff", "real.kubernetes.image", id="hopeless"),
        # By the fleet's word when time is nearly over, or by Kubernetes' own when it is: whichever comes first.
        pytest.param(
            PodScript(ready_after_s=None), "(NotReady|ProgressDeadlineExceeded)", "kubectl describe pod", id="late"
        ),
    ],
)
async def test_a_candidate_whose_pods_never_get_ready_is_given_up_with_a_name(
    script: PodScript, word: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cluster(tmp_path, monkeypatch, serves(False)) as there:
        there.api.scripts.say(script, labels={"app.kubernetes.io/version": "2"})
        ran = await rolled_out(there, ready_within_ns=2 * SECOND)
        ended = ran.events.last(RunEnded)
        assert (ran.outcome, ended.outcome) == (Outcome.ROLLED_BACK, Outcome.ROLLED_BACK), ended.reason
        assert re.search(rf"pod m-v2-[a-z0-9-]+: {word}\b", ended.reason), ended.reason
        assert remedy in ended.reason
        assert not any(event.weights.get(Role.CANDIDATE) for event in ran.events.of(Routed))
        assert not ran.lost
        assert there.weights()["m-stable"] == WHOLE
        assert {name: there.replicas(name) for name in ("m-v1", "m-v2")} == {"m-v1": 2, "m-v2": 0}


async def well(fleet: KubernetesFleet) -> bool:
    """Whether stable answers a probe."""
    try:
        return await fleet.probe(Role.STABLE)
    except ServingError:
        return False


async def test_an_arm_is_not_found_well_while_proxies_still_ask_the_other_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way back, as the engine goes it: all traffic, verified, and only then the candidate's pods are taken down."""
    async with cluster(tmp_path, monkeypatch, serves(False)) as there, users_of(there.api.gateway_url) as users:
        fleet, route = there.fleet(), there.router()
        await route.start()
        await route.apply(Routing({Role.STABLE: WHOLE, Role.CANDIDATE: 0}))
        await fleet.start(MODELS, 1, route.point)
        await fleet.apply({Role.CANDIDATE: 1})
        while (await fleet.observe())[Role.CANDIDATE].ready < 1:  # noqa: ASYNC110 - as the engine looks
            await asyncio.sleep(0.02)
        await route.apply(Routing({Role.STABLE: 5000, Role.CANDIDATE: 5000}))
        assert await fleet.probe(Role.STABLE)  # others answer too, as they should
        there.api.gateway.lag_s = 1.0
        async with users.busy(at_once=2) as answers:
            await route.apply(Routing({Role.STABLE: WHOLE, Role.CANDIDATE: 0}))
            with pytest.raises(ServingError, match="gateway's proxies still ask candidate"):
                assert not await fleet.probe(Role.STABLE)
            async with asyncio.timeout(30):
                while not await well(fleet):  # noqa: ASYNC110 - as the engine tries again
                    await asyncio.sleep(0.05)
            begun = len(answers)
            await fleet.apply({Role.CANDIDATE: 0})
            while there.api.pods("ml") != [name for name in there.api.pods("ml") if "-v1-" in name]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert Counter(answer.status for answer in answers) == {200: len(answers)}
        assert {answer.said["version"] for answer in answers[begun + 2 :]} == {1}
        await route.stop()
        await fleet.stop()


async def test_the_next_run_begins_where_a_killed_one_left_all_traffic_and_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cluster(tmp_path, monkeypatch, serves(False)) as there, users_of(there.api.gateway_url) as users:
        killed, route = there.fleet(), there.router(1)
        await route.start()
        await route.apply(Routing({Role.STABLE: WHOLE, Role.CANDIDATE: 0}))
        await killed.start(MODELS, 1, route.point)
        await killed.apply({Role.CANDIDATE: 1})
        while (await killed.observe())[Role.CANDIDATE].ready < 1:  # noqa: ASYNC110 - as the engine looks
            await asyncio.sleep(0.02)
        await route.apply(Routing({Role.STABLE: 0, Role.CANDIDATE: WHOLE}))
        await killed.apply({Role.STABLE: 0})
        await route.leave()  # a kill: nothing is put in order
        await killed.leave()

        async with users.busy(at_once=2) as answers:
            fleet, other = there.fleet(2, stable=2), there.router(2, stable=2)
            await other.start()
            await other.apply(Routing({Role.STABLE: WHOLE, Role.CANDIDATE: 0}))
            await fleet.start(MODELS, 1, other.point)
        assert Counter(answer.status for answer in answers) == {200: len(answers)}
        assert {answer.said["version"] for answer in answers} == {2}
        assert there.leads_to(Role.STABLE) == "m-v2"
        again = there.router(1)
        with pytest.raises(RoutingError, match="fencing token 2, and ours is 1"):
            await again.start()
        await again.leave()
        await other.stop()
        await fleet.stop()
        assert {name: there.replicas(name) for name in ("m-v1", "m-v2", "m-v3")} == {"m-v1": 0, "m-v2": 1, "m-v3": 0}
