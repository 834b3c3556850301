"""The data plane of the Gateway API: requests split by the weights of HTTPRoutes over the ready pods of Services.

Rules: https://gateway-api.sigs.k8s.io/reference/spec/#httproute. The split is smooth weighted round robin, so that over
any number of requests each backend is within one of its share. A while after a route was written its status says so
(``parents[].conditions`` with observedGeneration); requests go by it ``lag_s`` later, as proxies follow controllers. A
backend that is no Service, or none that is there, is answered 500 for its share; a Service with no ready pods 503; a
pod that fails to answer 502.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from fakes.kube_admission import timestamp
from fakes.kube_kinds import GATEWAY, GATEWAYS, ROUTE
from fakes.kube_script import Object
from fakes.kube_services import addresses
from fakes.kube_writes import Writer
from harness.clock import now_ns
from harness.domain.units import SECOND

CONTROLLER: Final = "stand-in/gateway"
HOP: Final = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
    "upgrade", "content-length",
})  # fmt: skip
TIMEOUT_S: Final = 60.0


@dataclass(slots=True)
class Wheel:
    """Smooth weighted round robin (as in nginx): turn by turn, each weight gets its share.

    >>> wheel = Wheel((5, 1, 1))
    >>> [wheel.turn() for _ in range(7)]
    [0, 0, 1, 0, 2, 0, 0]
    """

    weights: tuple[int, ...]
    _owed: list[int] = field(default_factory=list)

    def turn(self) -> int | None:
        """Whose turn it is; None where nobody has a weight."""
        if not sum(self.weights):
            return None
        owed = [have + more for have, more in zip(self._owed or [0] * len(self.weights), self.weights, strict=True)]
        best = max(range(len(owed)), key=lambda i: (self.weights[i] > 0, owed[i], -i))
        owed[best] -= sum(self.weights)
        self._owed = owed
        return best


@dataclass(slots=True)
class DataPlane:
    """All Gateways of the cluster, behind one address.

    Args:
        writer: writes the statuses of routes and gateways.
        address: where it listens, as a Gateway's status tells it.
        lag_s: from a route's status to requests that go by it; may be changed at any time.
    """

    writer: Writer
    address: str = "127.0.0.1"
    lag_s: float = 0.0
    sent: dict[str, int] = field(default_factory=dict)
    """Requests by ``NAMESPACE/SERVICE`` that got them."""
    _routes: list[Object] = field(default_factory=list)
    _coming: list[tuple[int, list[Object]]] = field(default_factory=list)
    """Routes as they will be in force, from when on."""
    _wheels: dict[tuple[str, int], Wheel] = field(default_factory=dict)
    _turns: dict[str, int] = field(default_factory=dict)
    _session: aiohttp.ClientSession | None = None

    def application(self) -> web.Application:
        """As an application of aiohttp."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self.answer)
        app.cleanup_ctx.append(self._asking)
        return app

    async def _asking(self, _: web.Application) -> Any:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        async with aiohttp.ClientSession(
            timeout=timeout, connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            self._session = session
            yield

    def sync(self) -> None:
        """Take over what routes say now, and tell so in their statuses."""
        store = self.writer.store
        for gateway in store.all(GATEWAYS):
            self.writer.set_status(GATEWAYS, gateway, self._gateway_status(gateway))
        routes = store.all(ROUTE)
        last = self._coming[-1][1] if self._coming else self._routes
        if [_version(each) for each in routes] != [_version(each) for each in last]:
            self._coming.append((now_ns() + round(self.lag_s * SECOND), routes))
        for route in routes:
            self.writer.set_status(ROUTE, route, {"parents": self._parents(route)})

    def _in_force(self) -> list[Object]:
        while self._coming and self._coming[0][0] <= now_ns():
            self._routes = self._coming.pop(0)[1]
        return self._routes

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Any request of a user."""
        found = self._rule(request)
        if found is None:
            return web.Response(status=404, text="no route")
        route, i, rule = found
        refs = rule.get("backendRefs") or []
        wheel = self._wheel(route, i, tuple(ref["weight"] for ref in refs))
        turn = wheel.turn()
        if turn is None:
            return web.Response(status=500, text="no backend has a weight")
        ref = refs[turn]
        namespace = ref.get("namespace", route["metadata"]["namespace"])
        ups = addresses(self.writer.store, namespace, ref["name"], ref.get("port", 0)) if _is_service(ref) else None
        if ups is None:
            return web.Response(status=500, text=f"backend {ref['name']} is not valid")
        if not ups:
            return web.Response(status=503, text=f"no healthy upstream: {ref['name']}")
        return await self._pass_on(request, f"{namespace}/{ref['name']}", ups)

    async def _pass_on(self, request: web.Request, service: str, ups: list[str]) -> web.StreamResponse:
        assert self._session is not None
        self.sent[service] = self.sent.get(service, 0) + 1
        turn = self._turns[service] = self._turns.get(service, -1) + 1
        body = await request.read()
        head = CIMultiDict((name, value) for name, value in request.headers.items() if name.lower() not in HOP)
        url = f"http://{ups[turn % len(ups)]}{request.raw_path}"
        try:
            async with self._session.request(
                request.method, url, data=body or None, headers=head, allow_redirects=False
            ) as answer:
                told = CIMultiDict((name, value) for name, value in answer.headers.items() if name.lower() not in HOP)
                return web.Response(status=answer.status, body=await answer.read(), headers=told)
        except (aiohttp.ClientError, TimeoutError) as error:
            return web.Response(status=502, text=f"upstream {service}: {error!r}")

    def _wheel(self, route: Object, rule: int, weights: tuple[int, ...]) -> Wheel:
        key = (route["metadata"]["uid"], rule)
        if key not in self._wheels or self._wheels[key].weights != weights:
            self._wheels[key] = Wheel(weights)
        return self._wheels[key]

    def _rule(self, request: web.Request) -> tuple[Object, int, Object] | None:
        """The rule with the most specific match: longest path, then most headers, then the oldest route."""
        best: tuple[tuple[int, int], Object, int, Object] | None = None
        for route in sorted(self._in_force(), key=lambda each: each["metadata"]["creationTimestamp"]):
            if not self._attached(route) or not _hosts(route["spec"].get("hostnames"), request.host):
                continue
            for i, rule in enumerate(route["spec"]["rules"]):
                for match in rule["matches"]:
                    rank = _rank(match, request)
                    if rank is not None and (best is None or rank > best[0]):
                        best = (rank, route, i, rule)
        return best[1:] if best else None

    def _attached(self, route: Object) -> bool:
        return any(self._gateway(route, parent) is not None for parent in route["spec"].get("parentRefs", []))

    def _gateway(self, route: Object, parent: Object) -> Object | None:
        namespace = parent.get("namespace", route["metadata"]["namespace"])
        return self.writer.store.find(GATEWAYS, namespace, parent["name"]) if parent["kind"] == "Gateway" else None

    def _parents(self, route: Object) -> list[Object]:
        before = {
            (str(parent["parentRef"]), condition["type"]): condition
            for parent in (route.get("status") or {}).get("parents", [])
            for condition in parent["conditions"]
        }
        told = []
        for parent in route["spec"].get("parentRefs", []):
            accepted = "Accepted" if self._gateway(route, parent) is not None else "NoMatchingParent"
            conditions = []
            for name, reason in (("Accepted", accepted), ("ResolvedRefs", self._resolved(route))):
                condition = {
                    "type": name, "status": str(reason == name), "reason": reason, "message": reason,
                    "observedGeneration": route["metadata"]["generation"],
                }  # fmt: skip
                was = before.get((str(parent), name))
                same = was is not None and was["status"] == condition["status"]
                condition["lastTransitionTime"] = was["lastTransitionTime"] if was and same else timestamp()
                conditions.append(condition)
            told.append({"parentRef": parent, "controllerName": CONTROLLER, "conditions": conditions})
        return told

    def _resolved(self, route: Object) -> str:
        for rule in route["spec"]["rules"]:
            for ref in rule.get("backendRefs") or []:
                namespace = ref.get("namespace", route["metadata"]["namespace"])
                if not _is_service(ref):
                    return "InvalidKind"
                if namespace != route["metadata"]["namespace"]:
                    return "RefNotPermitted"
                if addresses(self.writer.store, namespace, ref["name"], ref["port"]) is None:
                    return "BackendNotFound"
        return "ResolvedRefs"

    def _gateway_status(self, gateway: Object) -> Object:
        before = {each["type"]: each for each in (gateway.get("status") or {}).get("conditions", [])}
        conditions = [
            {
                "type": name, "status": "True", "reason": name, "message": name,
                "observedGeneration": gateway["metadata"]["generation"],
                "lastTransitionTime": before.get(name, {}).get("lastTransitionTime", timestamp()),
            }
            for name in ("Accepted", "Programmed")
        ]  # fmt: skip
        return {"addresses": [{"type": "IPAddress", "value": self.address}], "conditions": conditions}


def _version(route: Object) -> tuple[str, int]:
    return route["metadata"]["uid"], route["metadata"]["generation"]


def _is_service(ref: Object) -> bool:
    return bool(ref["kind"] == "Service" and ref["group"] in {"", "core"} and ref["group"] != GATEWAY)


def _hosts(wanted: list[str] | None, host: str) -> bool:
    if not wanted:
        return True
    name = host.rpartition(":")[0] if ":" in host else host
    return any(name == each or (each.startswith("*.") and name.endswith(each[1:])) for each in wanted)


def _rank(match: Object, request: web.Request) -> tuple[int, int] | None:
    """How specific a match is; None where it does not take the request."""
    path, headers = match["path"], match.get("headers") or []
    value, asked = path["value"], request.path
    whole = value.rstrip("/")
    exact = path["type"] == "Exact"
    if (exact and asked != value) or (not exact and asked != whole and not asked.startswith(f"{whole}/")):
        return None
    if match.get("method", request.method) != request.method:
        return None
    if not all(_has(request, header) for header in headers):
        return None
    return (100_000 if exact else len(whole)), len(headers)


def _has(request: web.Request, header: Object) -> bool:
    found = request.headers.get(header["name"])
    if found is None:
        return False
    if header["type"] == "RegularExpression":
        return re.fullmatch(header["value"], found) is not None
    return bool(found == header["value"])
