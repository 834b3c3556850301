"""An HTTPRoute as a gateway: lightkube over HTTP to the stand-in of an API server, whose data plane splits requests
between pods that are real servers. It is the client's protocol that is shown here, not Kubernetes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from lightkube import AsyncClient
from lightkube.types import PatchType

from fakes.kube_api import AppKubelet, Fault, KubeApi, Wrong
from fakes.kube_kinds import ROUTE, SERVICE, SLICE
from harness.backends.httproute import ALL_CANDIDATE, ALL_STABLE, HttpRouteRouter
from harness.backends.kubernetes_api import ROUTE as HTTP_ROUTE
from harness.backends.kubernetes_api import Kind, resource
from harness.backends.kubernetes_fence import TOKEN
from harness.backends.webhook import Patience
from harness.clock import run_virtual
from harness.domain.model import Revision, Role
from harness.domain.real import KubernetesPlan, RealPlan
from harness.domain.rollout import HeaderRoute, Routing
from harness.domain.scenario import Scenario
from harness.domain.units import WHOLE
from harness.errors import BackendError, RoutingError
from harness.manifests import rbac, workloads
from harness.manifests.common import deployment_name, service_name
from harness.realtime import MODEL_HEADER, Place
from tests.build import scenario
from tests.kube import client_of, eventually, front

ONE, TWO, THREE = (Revision("m", number, f"sha256:{number}") for number in (1, 2, 3))
QUICK = Patience(attempts=5, attempt_s=5.0, within_s=10.0, base_s=0.01, most_s=0.05)
HARNESS = "system:serviceaccount:ml:rollout-harness"


def pod(of: Any) -> web.Application:
    """Says which revision it is of, as `harness serve` does."""
    app, meta = web.Application(), of["metadata"]

    async def answer(request: web.Request) -> web.Response:
        if request.path != "/ready":
            await asyncio.sleep(0.005)
        return web.json_response({}, headers={MODEL_HEADER: meta["labels"]["app.kubernetes.io/instance"]})

    app.router.add_route("*", "/{path:.*}", answer)
    return app


@dataclass
class Cluster:
    """A stand-in with a Gateway, and routers of one scenario."""

    api: KubeApi
    admin: AsyncClient
    scenario: Scenario
    folder: Path
    made: list[HttpRouteRouter] = field(default_factory=list)

    def router(self, token: int = 1, stable: Revision = ONE, candidate: Revision = TWO, **more: Any) -> HttpRouteRouter:
        """Of one place; told what the models are called."""
        given = {"patience": QUICK, "stands_within_s": 10.0, "settle_s": 0.1, **more}
        made = HttpRouteRouter(self.scenario, **given)
        made.place(Place(self.folder / "run", self.folder / "state", f"run-{token}", token))
        made.inform({Role.STABLE: stable, Role.CANDIDATE: candidate})
        self.made.append(made)
        return made

    async def serve(self, **arms: Revision) -> None:
        """What a fleet does: each arm's Deployment, with one pod, and its Service."""
        for word, revision in arms.items():
            role = Role(word)
            for body in (
                workloads.deployment(self.scenario, role, revision, 1),
                workloads.service(self.scenario, role, revision),
            ):
                group, _, version = body["apiVersion"].rpartition("/")
                kind = body["kind"]
                await self.admin.apply(resource(Kind(group, version, kind, f"{kind.lower()}s"))(body), force=True)
        await eventually(lambda: all(self._is_up(Role(word), revision) for word, revision in arms.items()))

    def _is_up(self, role: Role, revision: Revision) -> bool:
        """A pod of that revision is behind the arm's Service, and ready."""
        ends = [
            each
            for held in self.api.store.all(SLICE)
            if held["metadata"]["labels"]["kubernetes.io/service-name"] == service_name(self.scenario, role)
            for each in held["endpoints"]
        ]
        name = deployment_name(self.scenario, role, revision)
        return any(each["conditions"]["ready"] and each["targetRef"]["name"].startswith(name) for each in ends)

    @property
    def route(self) -> Any:
        (found,) = self.api.store.all(ROUTE)
        return found

    def behind(self, role: Role) -> str:
        """What an arm's Service selects."""
        found = self.api.store.get(SERVICE, "ml", service_name(self.scenario, role))
        return str(found["spec"]["selector"]["app.kubernetes.io/instance"])

    async def ask(self, count: int = 1, **headers: str) -> Counter[Any]:
        """Who answered so many requests; what was no answer of a pod, by its status."""
        seen: Counter[Any] = Counter()
        async with aiohttp.ClientSession() as session:
            for _ in range(count):
                async with session.post(f"{self.api.gateway_url}/predict", headers=headers) as answer:
                    seen[answer.headers.get(MODEL_HEADER, answer.status)] += 1
        return seen


def of_the_cluster(api: KubeApi) -> Scenario:
    """A scenario whose users ask the stand-in's data plane."""
    plan = KubernetesPlan(namespace="ml", registry="postgresql://db/m", gateway="front", front=api.gateway_url)
    return replace(scenario(), real=RealPlan(kubernetes=plan))


@asynccontextmanager
async def a_cluster(
    tmp_path: Path, patch: pytest.MonkeyPatch, *, user: str = "admin", gateway: bool = True, **settings: Any
) -> AsyncIterator[Cluster]:
    async with KubeApi(namespaces=["ml"], kubelet=AppKubelet(pod), **settings) as api, client_of(api) as admin:
        patch.setenv("KUBECONFIG", str(api.write_kubeconfig(tmp_path / "kubeconfig", "ml", user=user)))
        if gateway:
            await admin.create(front())
        cluster = Cluster(api, admin, of_the_cluster(api), tmp_path)
        try:
            yield cluster
        finally:
            for each in cluster.made:
                await each.stop()


@pytest.fixture
async def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    async with a_cluster(tmp_path, monkeypatch) as made:
        yield made


def split(candidate: int, **more: Any) -> Routing:
    return Routing({Role.STABLE: WHOLE - candidate, Role.CANDIDATE: candidate}, **more)


SOMEBODY = dict.fromkeys((Role.STABLE, Role.CANDIDATE), ("http://10.0.0.1:8080",))
"""Replicas; which ones is nothing to this router."""


# --- routing ----------------------------------------------------------------------------------------------------------


async def test_the_gateway_splits_as_asked_to_the_request(cluster: Cluster) -> None:
    """The stand-in's split is smooth weighted round robin: over so many requests it is exact."""
    router = cluster.router()
    await router.start()
    assert await router.apply(split(0)) == {Role.STABLE: WHOLE, Role.CANDIDATE: 0}  # before there is any Service
    await cluster.serve(stable=ONE)
    await router.point({Role.STABLE: SOMEBODY[Role.STABLE]})
    assert await cluster.ask(5) == {"m-v1": 5}
    await cluster.serve(candidate=TWO)
    await router.point(SOMEBODY)
    for candidate, count, expected in (
        (1000, 100, {"m-v1": 90, "m-v2": 10}),
        (2500, 40, {"m-v1": 30, "m-v2": 10}),
        (WHOLE, 5, {"m-v2": 5}),
        (0, 5, {"m-v1": 5}),
    ):
        assert await router.apply(split(candidate)) == {Role.STABLE: WHOLE - candidate, Role.CANDIDATE: candidate}
        assert await cluster.ask(count) == expected


async def test_headers_lead_to_the_candidate_whatever_the_weights(cluster: Cluster) -> None:
    await cluster.serve(stable=ONE, candidate=TWO)
    router = cluster.router()
    await router.start()
    await router.point(SOMEBODY)
    await router.apply(split(0, routes=(HeaderRoute("beta", "X-Beta", "yes"), HeaderRoute("own", "x-own", "a b"))))
    assert await cluster.ask(3, **{"x-beta": "yes"}) == {"m-v2": 3}
    assert await cluster.ask(3, **{"X-Own": "a b"}) == {"m-v2": 3}
    assert await cluster.ask(3, **{"x-beta": "no"}) == {"m-v1": 3}
    await router.apply(split(0))
    assert await cluster.ask(3, **{"x-beta": "yes"}) == {"m-v1": 3}


@pytest.mark.parametrize(
    ("want", "said"),
    [
        (split(1000, sticky=True), "sessionPersistence is in the experimental channel alone; leave `sticky` out"),
        (split(0, mirror=500), "nobody learns what the copies met"),
        (split(0, routes=tuple(HeaderRoute(f"r{i}", "x-r", str(i)) for i in range(16))), "at most 15 headers, not 16"),
        (Routing({Role.STABLE: 5000, Role.CANDIDATE: 4000}), "weights sum to 9000"),
    ],
)
async def test_what_a_route_cannot_do_is_refused_and_changes_nothing(
    want: Routing, said: str, cluster: Cluster
) -> None:
    router = cluster.router()
    await router.start()
    with pytest.raises(RoutingError, match=said):
        await router.apply(want)
    assert cluster.api.store.all(ROUTE) == []


# --- what goes wrong --------------------------------------------------------------------------------------------------


async def test_conflicts_a_busy_server_and_lost_answers_are_got_over(cluster: Cluster) -> None:
    await cluster.serve(stable=ONE, candidate=TWO)
    router = cluster.router()
    await router.start()
    await router.point(SOMEBODY)
    await router.apply(split(0))
    faults = [
        Fault(Wrong.CONFLICT, "patch", "httproutes", times=2),
        Fault(Wrong.LOST, "patch", "httproutes", nth=3),  # carried out; what follows is a conflict with ourselves
        Fault(Wrong.UNAVAILABLE, "get", "httproutes", nth=2, retry_after_s=0),
        Fault(Wrong.BUSY, "get", "httproutes", nth=4, retry_after_s=0),
        Fault(Wrong.RESET, "get", "services"),
    ]
    cluster.api.faults.order(*faults)
    await router.apply(split(2500))
    assert [cluster.api.faults.met(each) for each in faults] == [2, 1, 1, 1, 1]
    assert await cluster.ask(40) == {"m-v1": 30, "m-v2": 10}


async def test_a_route_that_is_never_accepted_is_an_error_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_cluster(tmp_path, monkeypatch, gateway=False) as cluster:
        router = cluster.router(stands_within_s=0.3)
        await router.start()
        with pytest.raises(
            RoutingError, match=r"after 0\.3 s: Accepted is False: NoMatchingParent .* describe httproute m"
        ):
            await router.apply(split(0))
        await cluster.admin.create(front())
        await router.apply(split(0))
        with pytest.raises(RoutingError, match=r"ResolvedRefs is False: BackendNotFound"):
            await router.point(SOMEBODY)


async def test_a_controller_that_is_late_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Conditions of an older generation say nothing of this one."""
    async with a_cluster(tmp_path, monkeypatch, lag_s=0.15) as cluster:
        await cluster.serve(stable=ONE, candidate=TWO)
        router = cluster.router()
        await router.start()
        await router.point(SOMEBODY)
        for candidate in (5000, WHOLE):
            await router.apply(split(candidate))
            (parent,) = cluster.route["status"]["parents"]
            told = {each["observedGeneration"] for each in parent["conditions"]}
            assert told == {cluster.route["metadata"]["generation"]}


async def test_rights_that_lack_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_cluster(tmp_path, monkeypatch, user=HARNESS, rbac=True) as cluster:
        router = cluster.router()
        with pytest.raises(RoutingError, match=r'lacks the rule .*gateway.networking.k8s.io.*"httproutes".*"get"'):
            await router.start()


async def test_the_exported_role_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_cluster(tmp_path, monkeypatch, user=HARNESS, rbac=True) as cluster:
        for body in (rbac.harness_role(cluster.scenario), rbac.harness_binding(cluster.scenario)):
            kind = body["kind"]
            made = resource(Kind("rbac.authorization.k8s.io", "v1", kind, f"{kind.lower()}s"))
            await cluster.admin.apply(made(body))
        await cluster.serve(stable=ONE, candidate=TWO)
        router = cluster.router()
        await router.start()
        await router.apply(split(WHOLE))
        await router.point(SOMEBODY)
        await router.adopt()
        assert await cluster.ask(3) == {"m-v2": 3}


async def test_a_server_that_is_gone_ends_in_an_error(cluster: Cluster) -> None:
    router = cluster.router(patience=replace(QUICK, attempts=2))
    await router.start()
    cluster.api.faults.down(1e6)
    with pytest.raises(RoutingError, match="2 tries"):
        await router.apply(split(0))


async def test_somebody_else_who_writes_weights_is_told_of(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    await cluster.serve(stable=ONE, candidate=TWO)
    router = cluster.router()
    await router.start()
    await router.point(SOMEBODY)
    await router.apply(split(0))
    stands = router._stands

    async def after_another() -> Any:
        await stands()
        refs = cluster.route["spec"]["rules"][-1]["backendRefs"]
        shares = [{**ref, "weight": 5000} for ref in refs]
        change = {"spec": {"rules": [{"backendRefs": shares}]}}
        await cluster.admin.patch(resource(HTTP_ROUTE), "m", change, patch_type=PatchType.MERGE)
        return await stands()

    monkeypatch.setattr(router, "_stands", after_another)
    with pytest.raises(RoutingError, match="holds stable 5000, candidate 5000 where stable 9000, candidate 1000"):
        await router.apply(split(1000))


# --- harnesses that come and go ---------------------------------------------------------------------------------------


async def test_another_harness_finds_what_is_in_force_and_has_it_from_then_on(cluster: Cluster) -> None:
    await cluster.serve(stable=ONE, candidate=TWO)
    first, second = cluster.router(1), cluster.router(2)
    assert await first.attach() is None  # nothing was left
    await first.point(SOMEBODY)
    want = split(2500, routes=(HeaderRoute("beta", "x-beta", "yes"),))
    await first.apply(want)
    assert await second.attach() == want
    assert second.url == first.url == cluster.api.gateway_url
    with pytest.raises(RoutingError, match=rf"fencing token 2, and ours is 1.*annotate httproutes -n ml m {TOKEN}-"):
        await first.apply(split(WHOLE))
    with pytest.raises(RoutingError, match="fencing token 2"):
        await first.adopt()
    assert cluster.behind(Role.STABLE) == "m-v1"
    await first.stop()
    await first.stop()
    assert await cluster.ask(40) == {"m-v1": 30, "m-v2": 10}
    with pytest.raises(RoutingError, match="fencing token 2"):
        await cluster.router(1).start()


# --- a candidate that becomes stable ----------------------------------------------------------------------------------


@asynccontextmanager
async def busy(cluster: Cluster, at_once: int = 4) -> AsyncIterator[Counter[Any]]:
    """Users who ask without a pause, and what they got."""
    seen: Counter[Any] = Counter()
    over = asyncio.Event()

    async def user() -> None:
        while not over.is_set():
            seen.update(await cluster.ask())

    async with asyncio.TaskGroup() as tasks:
        for _ in range(at_once):
            tasks.create_task(user())
        try:
            yield seen
        finally:
            over.set()


def more_than(seen: Counter[Any]) -> Callable[[], bool]:
    before = seen.total()
    return lambda: seen.total() > before + 10


async def test_nothing_is_lost_while_weights_change(cluster: Cluster) -> None:
    await cluster.serve(stable=ONE, candidate=TWO)
    router = cluster.router()
    await router.start()
    await router.point(SOMEBODY)
    await router.apply(ALL_STABLE)
    async with busy(cluster) as seen:
        for candidate in (3700, WHOLE, 1100, 0):
            await router.apply(split(candidate))
            await eventually(more_than(seen))
    assert set(seen) == {"m-v1", "m-v2"}


async def test_adopting_loses_nothing_and_nobody_meets_the_old_revision_again(cluster: Cluster) -> None:
    await cluster.serve(stable=ONE, candidate=TWO)
    router = cluster.router()
    await router.start()
    await router.point(SOMEBODY)
    await router.apply(ALL_CANDIDATE)
    assert await cluster.ask(3) == {"m-v2": 3}
    router.inform({Role.STABLE: TWO, Role.CANDIDATE: THREE})  # as the engine does before it replaces
    async with busy(cluster) as seen:
        await eventually(more_than(seen))
        for _ in range(2):  # whoever got no answer asks again
            await router.adopt()
        await eventually(more_than(seen))
        await cluster.serve(stable=TWO, candidate=THREE)  # the fleet has the same of stable's Service
        await eventually(more_than(seen))
    assert set(seen) == {"m-v2"}
    assert cluster.behind(Role.STABLE) == "m-v2"
    assert await cluster.ask(3) == {"m-v2": 3}
    await router.apply(split(5000))
    assert await cluster.ask(10) == {"m-v2": 5, "m-v3": 5}


async def test_who_leaves_changes_nothing_and_who_stops_keeps_what_was_promoted(cluster: Cluster) -> None:
    await cluster.serve(stable=ONE, candidate=TWO)
    first, second = cluster.router(), cluster.router()
    for router in (first, second):
        await router.attach()
        await router.point(SOMEBODY)
        await router.apply(ALL_CANDIDATE)
        await (router.leave() if router is first else router.stop())
        assert cluster.behind(Role.STABLE) == ("m-v1" if router is first else "m-v2")
        assert await cluster.ask(3) == {"m-v2": 3}


async def test_nothing_moves_where_the_candidate_has_no_pod_to_be_adopted(cluster: Cluster) -> None:
    await cluster.serve(stable=ONE)
    router = cluster.router(stands_within_s=0.3)
    await router.start()
    await router.point({Role.STABLE: SOMEBODY[Role.STABLE]})
    await router.apply(ALL_STABLE)
    with pytest.raises(RoutingError, match="no Service m-candidate"):
        await router.adopt()
    assert cluster.behind(Role.STABLE) == "m-v1"
    assert await cluster.ask(2) == {"m-v1": 2}


@pytest.mark.parametrize("moved", [True, False], ids=["weights-moved", "weights-not-yet"])
async def test_killed_while_it_was_adopted_traffic_stays_on_the_candidates_pods(moved: bool, cluster: Cluster) -> None:
    """The log still calls it the candidate: its own Service has the traffic before stable's is given other pods."""
    await cluster.serve(stable=ONE, candidate=TWO)
    first = cluster.router(1)
    await first.start()
    await first.point(SOMEBODY)
    await first.apply(ALL_CANDIDATE)
    if moved:
        await first.adopt()
    else:
        await first._follow(Role.STABLE, "m-v2")
    second = cluster.router(2)
    async with busy(cluster) as seen:
        await eventually(more_than(seen))
        assert await second.attach() == ALL_CANDIDATE
        await cluster.serve(stable=ONE)  # the fleet's next step
        await eventually(more_than(seen))
    assert set(seen) == {"m-v2"}
    await second.apply(ALL_STABLE)
    assert await cluster.ask(3) == {"m-v1": 3}


# --- without a cluster ------------------------------------------------------------------------------------------------


def test_it_is_told_first_where_users_ask() -> None:
    with pytest.raises(BackendError, match=r"real\.kubernetes\.front says where users ask"):
        HttpRouteRouter(scenario())


def _placed() -> HttpRouteRouter:
    made = HttpRouteRouter(
        replace(scenario(), real=RealPlan(kubernetes=KubernetesPlan(front="http://127.0.0.1:1"))), patience=QUICK
    )
    made.place(Place(Path(), Path(), "run"))
    return made


def test_a_cluster_is_not_asked_on_virtual_time() -> None:
    with pytest.raises(BackendError, match="run with `--clock real`"):
        run_virtual(_placed().start)


async def test_without_a_kubeconfig_it_says_what_names_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(BackendError, match=r"set KUBECONFIG, or real\.kubernetes\.context"):
        await _placed().start()
