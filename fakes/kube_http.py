"""The REST interface over HTTP: paths, verbs, bodies and answers."""

import json
from dataclasses import dataclass
from typing import Any, Final

import anyio
from aiohttp import web

from fakes.kube_errors import Refused, bad_request, no_path
from fakes.kube_faults import Fault, Faults, Wrong
from fakes.kube_kinds import NAMESPACE, SERVED, Kind
from fakes.kube_rbac import Asked, Audit, Entry, authorize, user_of
from fakes.kube_reads import Watched, listed
from fakes.kube_scale import scale_of, scaled
from fakes.kube_script import Object
from fakes.kube_writes import APPLY, Write, Writer

JSON: Final = "application/json"
VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get"}
VERSION: Final = {"major": "1", "minor": "34", "gitVersion": "v1.34.0+stand-in", "platform": "stand-in"}
REFUSALS: Final = {Wrong.ERROR: 500, Wrong.UNAVAILABLE: 503, Wrong.CONFLICT: 409, Wrong.GONE: 410}


def read_path(method: str, path: str, *, watch: bool) -> Asked:
    """What a request is about.

    Raises:
        Refused: 404 there is no such resource; 405 it cannot be asked so.

    >>> asked = read_path("GET", "/apis/apps/v1/namespaces/ml/deployments/churn-v1/scale", watch=False)
    >>> asked.verb, asked.resource, asked.namespace, asked.name
    ('get', 'deployments/scale', 'ml', 'churn-v1')
    """
    parts = path.strip("/").split("/")
    group, rest = ("", parts[1:]) if parts[0] == "api" else (parts[1] if len(parts) > 1 else "", parts[2:])
    version, rest = (rest[0], rest[1:]) if rest else ("", [])
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in NAMESPACE.subresources:
        namespace, rest = rest[1], rest[2:]
    kind = SERVED.get((group, version, rest[0])) if rest else None
    name, subresource = [*rest[1:3], "", ""][:2]
    if kind is None or len(rest) > 3 or (subresource and subresource not in kind.subresources):
        raise no_path()
    if bool(namespace) != kind.namespaced and (namespace or name or method == "POST"):
        raise no_path()
    return Asked(_verb(method, name, watch=watch), kind, namespace, name, subresource)


def _verb(method: str, name: str, *, watch: bool) -> str:
    if method not in VERBS or (method == "POST" and name) or (method in {"PUT", "PATCH"} and not name):
        raise Refused(405, "the server does not allow this method on the requested resource")
    if name:
        return VERBS[method]
    return {"GET": "watch" if watch else "list", "DELETE": "deletecollection"}.get(method, VERBS[method])


@dataclass(slots=True)
class Rest:
    """Answers requests.

    Args:
        writer: admits writes.
        faults: what requests meet.
        audit: where they are noted.
        rbac: whether Roles are enforced, and tokens asked for.
        bookmark_s: how often watches that want bookmarks get one.
        gone_by_http: a watch from a forgotten resource version is answered 410, not told in its stream.
    """

    writer: Writer
    faults: Faults
    audit: Audit
    rbac: bool = False
    bookmark_s: float = 60.0
    gone_by_http: bool = False
    over: bool = False

    def application(self) -> web.Application:
        """As an application of aiohttp."""
        app = web.Application(client_max_size=3 * 1024 * 1024)
        app.router.add_get("/version", self._version)
        for probe in ("/healthz", "/readyz", "/livez"):
            app.router.add_get(probe, self._healthy)
        app.router.add_route("*", "/{path:.*}", self.answer)
        return app

    async def _version(self, request: web.Request) -> web.StreamResponse:
        return self._reset(request) if self.faults.is_down else _sent(VERSION, 200)

    async def _healthy(self, request: web.Request) -> web.StreamResponse:
        return self._reset(request) if self.faults.is_down else web.Response(text="ok")

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Any request to a resource."""
        if self.faults.is_down:
            return self._reset(request)
        user, asked = user_of(request.headers.get("Authorization", "")), None
        try:
            watch = request.query.get("watch") in {"true", "1"}
            asked = read_path(request.method, request.path, watch=watch)
            known = self._let_in(user, asked)
            fault = self.faults.meets(asked.verb, asked.resource, asked.name, known)
            answer = await self._met(request, asked, known, fault)
        except Refused as refused:
            answer = _refusal(refused)
        if asked is not None:
            code = 0 if answer.status == RESET else answer.status
            self.audit.entries.append(Entry(user or "", asked, code))
        return answer

    def _let_in(self, user: str | None, asked: Asked) -> str:
        if user is None:
            raise Refused(401, "Unauthorized")
        if self.rbac:
            authorize(self.writer.store, user, asked)
        return user

    async def _met(self, request: web.Request, asked: Asked, user: str, fault: Fault | None) -> web.StreamResponse:
        wrong = fault.wrong if fault else None
        if fault is not None and wrong is Wrong.RESET:
            return self._reset(request)
        if fault is not None and wrong is Wrong.BUSY:
            told = {"Retry-After": str(fault.retry_after_s)}
            return web.Response(status=429, text="Too many requests, please try again later.\n", headers=told)
        if fault is not None and wrong in REFUSALS and not (asked.verb == "watch" and wrong is Wrong.GONE):
            raise _ordered(fault, asked)
        answer = await self._served(request, asked, user, fault)
        if fault is not None and wrong is Wrong.SLOW:
            await anyio.sleep(fault.delay_s)
        return self._reset(request) if wrong is Wrong.LOST else answer

    def _reset(self, request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=RESET)

    async def _served(self, request: web.Request, asked: Asked, user: str, fault: Fault | None) -> web.StreamResponse:
        store = self.writer.store
        if asked.verb == "watch":
            return await self._watch(request, asked, fault)
        if asked.verb == "list":
            return _sent(listed(store, asked.kind, asked.namespace, request.query), 200)
        if asked.verb == "get":
            found = store.get(asked.kind, asked.namespace, asked.name)
            return _sent(scale_of(found) if asked.subresource == "scale" else found, 200)
        body = await _body(request)
        how = _how(request, asked)
        if asked.verb == "create":
            return _sent(self.writer.create(asked.kind, asked.namespace, _an_object(body), how), 201)
        if asked.verb in {"update", "patch"}:
            return self._change(request, asked, user, body, how)
        return self._delete(request, asked, {**_options(request), **(body or {})}, how)

    def _change(self, request: web.Request, asked: Asked, user: str, body: Any, how: Write) -> web.Response:
        kind, namespace, name = asked.kind, asked.namespace, asked.name
        if asked.subresource == "scale":
            scale = scaled(self.writer, asked, None if asked.verb == "update" else request.content_type, body, how)
            return _sent(scale, 200)
        if asked.verb == "update":
            return _sent(self.writer.update(kind, namespace, name, _an_object(body), how), 200)
        applies = request.content_type == APPLY
        if applies and not request.query.get("fieldManager"):
            raise bad_request(
                "PatchOptions.meta.k8s.io is invalid: fieldManager: Required value: is required for apply patch"
            )
        if applies and self.rbac and self.writer.store.find(kind, namespace, name) is None:
            authorize(self.writer.store, user, Asked("create", kind, namespace, name))
        done, made = self.writer.patch(kind, namespace, name, body, request.content_type, how)
        return _sent(done, 201 if made else 200)

    def _delete(self, request: web.Request, asked: Asked, options: Object, how: Write) -> web.Response:
        kind, store = asked.kind, self.writer.store
        if asked.verb == "delete":
            done = self.writer.delete(kind, asked.namespace, asked.name, options, dry=how.dry)
            stays = store.find(kind, asked.namespace, asked.name) is not None
            return _sent(done if stays else _deleted(kind, done), 200)
        found = listed(store, kind, asked.namespace, request.query)
        for obj in found["items"]:
            self.writer.delete(
                kind, obj["metadata"].get("namespace", ""), obj["metadata"]["name"], options, dry=how.dry
            )
        return _sent(found, 200)

    async def _watch(self, request: web.Request, asked: Asked, fault: Fault | None) -> web.StreamResponse:
        watched = Watched(
            self.writer.store, asked.kind, asked.namespace, request.query, self.bookmark_s, fault,
            lambda: self.over or self.faults.is_down,
        )  # fmt: skip
        if self.gone_by_http:
            watched.begin()
        answer = web.StreamResponse(headers={"Content-Type": JSON, "Cache-Control": "no-cache, private"})
        answer.enable_chunked_encoding()
        await answer.prepare(request)

        async def send(type_of_event: str, obj: Object) -> None:
            await answer.write(json.dumps({"type": type_of_event, "object": obj}).encode() + b"\n")

        await watched.tell(send)
        if self.faults.is_down:
            self._reset(request)
        return answer


RESET: Final = 444
"""The status of an answer that is never sent: its connection is gone."""


def _ordered(fault: Fault, asked: Asked) -> Refused:
    code = REFUSALS[fault.wrong]
    said = {
        409: f'Operation cannot be fulfilled on {asked.kind.resource} "{asked.name}": the object has been modified; '
        "please apply your changes to the latest version and try again",
        410: "The resourceVersion for the provided list is too old.",
        500: "Internal error occurred: etcdserver: request timed out",
        503: "the server is currently unable to handle the request",
    }[code]
    after = fault.retry_after_s if code == 503 else None
    return Refused(code, said, kind=asked.kind, name=asked.name, retry_after_s=after)


def _sent(body: Object, code: int) -> web.Response:
    return web.Response(status=code, body=json.dumps(body).encode(), content_type=JSON)


def _refusal(refused: Refused) -> web.Response:
    answer = _sent(refused.status(), refused.code)
    if refused.retry_after_s is not None:
        answer.headers["Retry-After"] = str(refused.retry_after_s)
    return answer


def _deleted(kind: Kind, obj: Object) -> Object:
    group = {"group": kind.group} if kind.group else {}
    told = {"name": obj["metadata"]["name"], **group, "kind": kind.plural, "uid": obj["metadata"]["uid"]}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": told}


async def _body(request: web.Request) -> Any:
    text = await request.read()
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        if request.content_type == APPLY:
            return _yaml(text)
        raise bad_request(f"error decoding the body: {error}") from error


def _yaml(text: bytes) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise bad_request(f"error decoding YAML: {error}") from error


def _an_object(body: Any) -> Object:
    if not isinstance(body, dict):
        raise bad_request("the body is no object")
    return body


def _how(request: web.Request, asked: Asked) -> Write:
    agent = request.headers.get("User-Agent", "unknown").partition("/")[0]
    return Write(
        manager=request.query.get("fieldManager") or agent, subresource=asked.subresource,
        dry=request.query.get("dryRun") == "All", force=request.query.get("force") == "true",
    )  # fmt: skip


def _options(request: web.Request) -> Object:
    options: Object = {}
    if request.query.get("propagationPolicy"):
        options["propagationPolicy"] = request.query["propagationPolicy"]
    if request.query.get("gracePeriodSeconds"):
        options["gracePeriodSeconds"] = int(request.query["gracePeriodSeconds"])
    return options
