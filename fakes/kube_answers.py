"""Bodies and answers of the REST interface, and what faults make of them."""

import json
from typing import Any, Final

from aiohttp import web

from fakes.kube_admission import APPLY, PATCHES, Write
from fakes.kube_errors import Refused, bad_request
from fakes.kube_faults import Fault, Wrong
from fakes.kube_kinds import Kind
from fakes.kube_rbac import Asked
from fakes.kube_script import Object

JSON: Final = "application/json"
REFUSALS: Final = {Wrong.ERROR: 500, Wrong.UNAVAILABLE: 503, Wrong.CONFLICT: 409, Wrong.GONE: 410}
RESET: Final = 444
"""The status of an answer that is never sent: its connection is gone."""


def ordered(fault: Fault, asked: Asked) -> Refused:
    """The refusal that a fault makes of a request."""
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


def sent(body: Object, code: int) -> web.Response:
    """An answer of JSON, with the very content type that clients compare with."""
    return web.Response(status=code, body=json.dumps(body).encode(), content_type=JSON)


def refusal(refused: Refused) -> web.Response:
    """A refusal as an answer."""
    answer = sent(refused.status(), refused.code)
    if refused.retry_after_s is not None:
        answer.headers["Retry-After"] = str(refused.retry_after_s)
    return answer


def deleted(kind: Kind, obj: Object) -> Object:
    """What a deletion that is over is answered with."""
    group = {"group": kind.group} if kind.group else {}
    told = {"name": obj["metadata"]["name"], **group, "kind": kind.plural, "uid": obj["metadata"]["uid"]}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": told}


async def body_of(request: web.Request) -> Any:
    """What a request brings; None where it brings nothing.

    Raises:
        Refused: 400 it cannot be read; 415 it is no JSON.
    """
    if request.content_type not in {JSON, *PATCHES, "application/octet-stream", "text/plain"}:
        said = f"the body of the request was in an unknown format - accepted media types include: {JSON}"
        raise Refused(415, said)
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


def an_object(body: Any) -> Object:
    """The body, if it is an object.

    Raises:
        Refused: 400.
    """
    if not isinstance(body, dict):
        raise bad_request("the body is no object")
    return body


def how_of(request: web.Request, asked: Asked) -> Write:
    """How a request wants something written."""
    agent = request.headers.get("User-Agent", "unknown").partition("/")[0]
    return Write(
        manager=request.query.get("fieldManager") or agent, subresource=asked.subresource,
        dry=request.query.get("dryRun") == "All", force=request.query.get("force") == "true",
    )  # fmt: skip


def options_of(request: web.Request) -> Object:
    """The DeleteOptions of a query."""
    options: Object = {}
    if request.query.get("propagationPolicy"):
        options["propagationPolicy"] = request.query["propagationPolicy"]
    if request.query.get("gracePeriodSeconds"):
        options["gracePeriodSeconds"] = int(request.query["gracePeriodSeconds"])
    return options
