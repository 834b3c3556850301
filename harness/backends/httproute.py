"""A Gateway API HTTPRoute as the router before replicas in Kubernetes (``router: httproute``).

    users -> a Gateway of the cluster's -> HTTPRoute -> Service of an arm -> its pods

The route's backendRefs carry the weights; each arm's Service says by its selector which pods stand behind it, and so no
URL of a pod is ever written here. A change is applied server-side over exactly what was read (a resource version), so
that nothing slips in between; it is done once the Gateway's controller says of this very generation that the route is
Accepted and its references are resolved, and the weights were read back. How long the proxies behind that controller
take to follow, the Gateway API does not tell (`SETTLE_S`).

A later harness writes its fencing token into an annotation; one with a lower token changes nothing more. When the
harness ends, or is killed, the route stays as it was told last.
"""

import logging
from collections.abc import Mapping
from typing import Final

import anyio

from harness.backends import httproute_words as words
from harness.backends.kubernetes_api import PATIENCE, ROUTE, SERVICE, Api, Kind
from harness.backends.kubernetes_fence import put, refuse_lower
from harness.backends.kubernetes_objects import Arm, Objects, behind_of
from harness.backends.webhook import Patience
from harness.domain.model import SERVING, Revision, Role
from harness.domain.rollout import Routing, Weights
from harness.domain.scenario import Scenario
from harness.domain.units import WHOLE
from harness.errors import BackendError, RoutingError
from harness.manifests.common import Manifest, deployment_name, model_name, service_name
from harness.realtime import Behind, Place

log = logging.getLogger("harness.backends.httproute")
SLICE: Final = Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
ALL_STABLE: Final = Routing({Role.STABLE: WHOLE, Role.CANDIDATE: 0})
ALL_CANDIDATE: Final = Routing({Role.STABLE: 0, Role.CANDIDATE: WHOLE})
STANDS_WITHIN_S: Final = 20.0
"""How long the Gateway's controller may take to say that a route stands."""
LOOK_S: Final = (0.05, 1.0)
"""From one look at the route's status to the next: at first, and at most."""
SETTLE_S: Final = 1.0
"""What proxies get to hear which pods stand behind a Service, before it gets traffic because of them."""


class HttpRouteRouter:
    """A gateway over one HTTPRoute.

    Args:
        scenario: where it is, and where users ask (``real.kubernetes``).
        patience: how long each call is tried.
        stands_within_s: how long a route may take to be accepted.
        settle_s: what proxies get to follow a Service.

    Raises:
        BackendError: the scenario does not say where users ask.
    """

    realtime = True

    def __init__(
        self,
        scenario: Scenario,
        patience: Patience = PATIENCE,
        stands_within_s: float = STANDS_WITHIN_S,
        settle_s: float = SETTLE_S,
    ) -> None:
        front = scenario.real.kubernetes.front
        if front is None:
            raise BackendError("with `router: httproute`, real.kubernetes.front says where users ask")
        self.url = front
        self._scenario, self._name = scenario, model_name(scenario)
        self._api = Api(scenario.real.kubernetes, RoutingError, scenario.seed, patience)
        self._stands_within_s, self._settle_s = stands_within_s, settle_s
        self._at: Place | None = None
        self._revisions: Mapping[Role, Revision] = {}
        self._one_at_a_time = anyio.Lock()
        self._pointed = False

    def place(self, where: Place) -> None:
        """Names the run, and has its token."""
        self._at = where

    def inform(self, revisions: Mapping[Role, Revision]) -> None:
        """What the models are called: so are their Deployments."""
        self._revisions = dict(revisions)

    @property
    def _place(self) -> Place:
        if self._at is None:
            raise BackendError("the router has not been told which run this is: call place() first")
        return self._at

    # --- its life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """See that the cluster answers, has the Gateway API, and lets nobody else drive the route.

        A candidate that an earlier run left with all traffic is stable from now on: all traffic is given to stable
        before there are others behind its Service.

        Raises:
            BackendError: it does not, and what to do about it.
            RoutingError: a harness with a higher token drives it.
        """
        await self._ours()
        await self._keep_promoted()

    async def attach(self) -> Routing | None:
        """The routing in force by the route that a killed run left, which is ours from now on; None: there is none.

        Killed after its candidate was adopted and before its log says so, it has left a stable Service with the
        candidate's pods behind it. Then all traffic goes to these pods by the candidate's Service again, as the log has
        it, before anybody puts others behind stable's.
        """
        route = await self._ours()
        found = words.routing_in(self._scenario, route) if route is not None else None
        if found is None:
            return None
        self._pointed = True
        if found.weights[Role.STABLE] and await self._adopted_already():
            log.warning("the candidate was adopted already, by the stable Service; its own one has the traffic again")
            await self._follow(Role.CANDIDATE, self._deployment(Role.CANDIDATE))
            found = ALL_CANDIDATE
        await self._put(found)
        return found

    async def point(self, behind: Behind) -> None:
        """Wait until the route stands, now that there are Services; which pods are behind them is the fleet's affair.

        A pod that is taken down answers for a while yet, and drains (`harness.manifests.workloads`): that is how
        proxies let go of it.
        """
        if not any(behind.values()):
            return
        self._pointed = True
        if await self._route() is not None:
            await self._stands()

    async def stop(self) -> None:
        """Nothing of it ends: users are answered as it was told last.

        A candidate with all traffic is stable from now on, so that whoever comes next finds its pods as stable's.
        """
        if not self._api.is_open:
            return
        try:
            await self._keep_promoted()
        except BackendError as error:  # the next run asks again before it begins
            log.warning("whether the candidate is to be stable was not seen to: %s", error)
        finally:
            await self._api.close()

    async def _keep_promoted(self) -> None:
        route = await self._route()
        found = words.routing_in(self._scenario, route) if route is not None else None
        has_all = found is not None and found.weights.get(Role.CANDIDATE) == WHOLE
        if has_all and await self._ready_behind(Role.CANDIDATE):
            await self.adopt()

    async def leave(self) -> None:
        """Let go of connections and change nothing: another harness drives it now."""
        await self._api.close()

    def scraped(self) -> Mapping[str, Mapping[str, str]]:
        """The Gateway's own metrics are its controller's affair."""
        return {}

    # --- routing ------------------------------------------------------------------------------------------------------

    async def apply(self, want: Routing) -> Weights:
        """Put it in force; answers with the weights that the route holds once it stands.

        Raises:
            RoutingError: a route cannot do that, the cluster refused it or gives no answer, the Gateway's controller
                does not accept it in time, somebody else writes other weights, or a harness with a higher token does.
        """
        words.check(want)
        return await self._put(want)

    async def _put(self, want: Routing) -> Weights:
        async with self._one_at_a_time:
            bare = [role for role in SERVING if not want.weights.get(role) and not await self._behind(role)]
            body = words.written(self._scenario, want, bare)
            await put(self._api, self._place, ROUTE, self._name, lambda _: body)
            route = await self._stands()
        return self._held(route, want)

    async def _ours(self) -> Manifest | None:
        """The route, which nobody else drives."""
        if not self._api.is_open:
            self._api.open()
        route = await self._route()
        refuse_lower(self._api, self._place, ROUTE, route)
        return route

    async def _route(self) -> Manifest | None:
        return await self._api.get(ROUTE, self._name)

    def _held(self, route: Manifest, want: Routing) -> Weights:
        refuse_lower(self._api, self._place, ROUTE, route)
        found = words.routing_in(self._scenario, route)
        asked = {role: share for role, share in want.weights.items() if share}
        if found is None or {role: share for role, share in found.weights.items() if share} != asked:
            raise RoutingError(
                f"the HTTPRoute {self._name} holds {_shares(found)} where {_shares(want)} was written: somebody else "
                "writes it too"
            )
        return {**dict.fromkeys(want.weights, 0), **found.weights}

    async def _stands(self) -> Manifest:
        """The route, once the Gateway's controller says that it is in force."""
        lack, pause_s = "it is gone", LOOK_S[0]
        with anyio.move_on_after(self._stands_within_s):
            while True:
                route = await self._route()
                if route is not None:
                    lack = words.lacking(self._scenario, route, resolved=self._pointed)
                    if not lack:
                        return route
                await anyio.sleep(pause_s)
                pause_s = min(2 * pause_s, LOOK_S[1])
        raise RoutingError(
            f"the HTTPRoute {self._name} is not in force after {self._stands_within_s:g} s: {lack}; see kubectl -n "
            f"{self._scenario.real.kubernetes.namespace} describe httproute {self._name}"
        )

    # --- a candidate that becomes stable ------------------------------------------------------------------------------

    async def adopt(self) -> None:
        """The candidate's pods are stable's from now on, with all traffic, and at no moment is there nobody behind it.

        They are put behind stable's Service first, while the candidate's own one has the traffic; the weights move only
        once it has them. Killed in between, nothing has moved.

        Raises:
            RoutingError: the candidate has no Service, or no pod that is ready; or as `apply`.
        """
        await self._ours()
        behind = await self._behind(Role.CANDIDATE)
        if not behind:
            raise RoutingError(f"there is no Service {service_name(self._scenario, Role.CANDIDATE)} to be adopted")
        await self._follow(Role.STABLE, behind)
        await self._put(ALL_STABLE)

    async def _follow(self, role: Role, deployment: str) -> None:
        """Put a Deployment's pods behind an arm's Service; returns when it has those that the other arm's has."""
        other = Role.STABLE if role is Role.CANDIDATE else Role.CANDIDATE
        revision = self._revisions.get(role)
        if revision is None:
            raise BackendError("the router has not been told what the models are called: call inform() first")
        await Objects(self._scenario, self._api, self._place).service(role, Arm(revision, deployment))
        pause_s = LOOK_S[0]
        with anyio.move_on_after(self._stands_within_s):
            while True:
                have, there = await self._ready_behind(other), await self._ready_behind(role)
                if have and have == there:
                    await anyio.sleep(self._settle_s)
                    return
                await anyio.sleep(pause_s)
                pause_s = min(2 * pause_s, LOOK_S[1])
        raise RoutingError(
            f"the Service {service_name(self._scenario, role)} has not got the ready pods of {deployment} after "
            f"{self._stands_within_s:g} s: no traffic was moved to it"
        )

    async def _ready_behind(self, role: Role) -> set[str]:
        """The ready pods behind an arm's Service, by its EndpointSlices."""
        of = {"kubernetes.io/service-name": service_name(self._scenario, role)}
        found, _ = await self._api.list(SLICE, of)
        ends = [each for held in found.values() for each in held.get("endpoints") or ()]
        ready = [each for each in ends if (each.get("conditions") or {}).get("ready")]
        return {(each.get("targetRef") or {}).get("name") or each["addresses"][0] for each in ready}

    async def _adopted_already(self) -> bool:
        """Whether stable's Service has the pods that the log still calls the candidate's."""
        if not {Role.STABLE, Role.CANDIDATE} <= self._revisions.keys():
            return False
        ours, other = self._deployment(Role.STABLE), self._deployment(Role.CANDIDATE)
        return ours != other and await self._behind(Role.STABLE) == other

    def _deployment(self, role: Role) -> str:
        return deployment_name(self._scenario, role, self._revisions[role])

    async def _behind(self, role: Role) -> str:
        """The Deployment behind an arm's Service; empty where there is no Service."""
        return behind_of(await self._api.get(SERVICE, service_name(self._scenario, role)))


def _shares(routing: Routing | None) -> str:
    if routing is None:
        return "no weights"
    return ", ".join(f"{role} {share}" for role, share in routing.weights.items() if share)
