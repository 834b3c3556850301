"""Payloads made of descriptions: FastAPI's and the model server's own documents, and schemas that jsonschema judges."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import anyio
import jsonschema
import pytest
from aiohttp import web
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.domain.load import Order, Payload, Speech
from harness.errors import BackendError, InputError
from harness.load import describe as describing
from harness.load import openapi
from harness.load.describe import describe
from harness.load.speech import predict_url, prediction
from tests import requires
from tests.serving.trained import pipeline, running, serving
from tests.sites import site

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def server(answers: dict[str, Any]) -> AsyncIterator[str]:
    """Answers a GET of each path with JSON, or as a handler says."""
    app = web.Application()
    for path, answer in answers.items():
        app.router.add_get(path, answer if callable(answer) else _says(answer))
    async with site(app) as url:
        yield url


def _says(answer: Any) -> Handler:
    async def say(_: web.Request) -> web.StreamResponse:
        return web.json_response(answer)

    return say


async def described(answers: dict[str, Any], speech: Speech = Speech.JSON, path: str = "", **how: Any) -> Payload:
    async with server(answers) as base, aiohttp.ClientSession() as session:
        return await describe(session, base + path, speech, **how)


def document(schema: Any = None, *, path: str = "/predict", **media: Any) -> dict[str, Any]:
    content = {"application/json": media | ({} if schema is None else {"schema": schema})}
    return {"openapi": "3.1.0", "paths": {path: {"post": {"requestBody": {"content": content}}}}}


def made(schema: Any, **more: Any) -> Any:
    (body,), _ = openapi.bodies(document(schema) | more, "http://h/predict")
    return body


# --- OpenAPI ---


async def test_examples_come_first() -> None:
    one = await described({"/openapi.json": document({"type": "object"}, example={"age": 41})})
    assert (one.bodies, one.order) == ((b'{"age":41}',), Order.IN_TURN)
    assert one.source.startswith("made of its example in http://127.0.0.1:")
    named = {"old": {"value": {"age": 80}}, "young": {"$ref": "#/components/examples/y"}, "far": {"externalValue": "x"}}
    several = document(examples=named) | {"components": {"examples": {"y": {"value": {"age": 20}}}}}
    payload = await described({"/openapi.json": several})
    assert (payload.bodies, payload.order) == ((b'{"age":80}', b'{"age":20}'), Order.DRAWN)


async def test_what_fastapi_says_of_a_model_is_what_it_takes() -> None:
    requires.module("fastapi")
    from typing import Annotated, Literal

    from fastapi import FastAPI
    from pydantic import BaseModel, Field

    class Address(BaseModel):
        zip_code: Annotated[str, Field(min_length=5, max_length=5)]
        near: "list[Address]" = []

    class Customer(BaseModel):
        age: Annotated[int, Field(ge=18, lt=100)]
        fee: Annotated[float, Field(gt=0, le=0.5)]
        plan: Literal["gold", "basic"]
        note: str | None
        address: Address
        scores: Annotated[list[float], Field(min_length=3)]

    app = FastAPI()

    @app.post("/score/{model}")
    def score(model: str, customer: Customer) -> dict[str, Any]:
        return {"prediction": model, "customer": customer.model_dump()}

    payload = await described({"/openapi.json": app.openapi()}, path="/score/churn")
    body = json.loads(payload.bodies[0])
    assert payload.source.startswith("made of its schema in")
    assert body["plan"] == "gold"
    assert Customer.model_validate(body, strict=True).model_dump() == body
    assert payload.bodies == (await described({"/openapi.json": app.openapi()}, path="/score/churn")).bodies


@pytest.mark.parametrize("speech", [Speech.JSON, Speech.MLFLOW, Speech.V2])
async def test_the_model_server_answers_what_its_own_description_gives(speech: Speech) -> None:
    served = serving(pipeline("logistic_regression"))
    async with running(served) as (_, session):
        async with session.get("/health") as alive:
            base = str(alive.url.origin())
        payload = await describe(session, base, speech, served.name)
        assert payload.bodies
        for body in payload.bodies:
            url = predict_url(base, speech, served.name)
            async with session.post(url, data=body, headers={"Content-Type": payload.content_type}) as answer:
                assert answer.status == 200, await answer.text()
                assert prediction(await answer.json(), speech) in {"No", "Yes", *served.labels}


@pytest.mark.parametrize(
    ("schema", "body"),
    [
        ({"type": "integer", "minimum": 18}, 18),
        ({"type": "integer", "exclusiveMinimum": 4, "multipleOf": 5}, 5),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 0.5}, 0.5),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5}, 0.25),
        ({"maximum": -2}, -2),
        ({"type": ["null", "string"]}, "text"),
        ({"type": "string", "minLength": 9, "maxLength": 9}, "texttextt"),
        ({"type": "string", "format": "date"}, "2024-01-15"),
        ({"type": "string", "pattern": "^[A-Z]{2}$"}, "AA"),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [True, True]),
        ({"prefixItems": [{"const": 1}, {"enum": ["a", "b"]}]}, [1, "a"]),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 1),
        ({"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"default": 2}}}]}, {"a": 1, "b": 2}),
        ({"properties": {"id": {"type": "string", "readOnly": True}, "a": {"examples": [3]}}}, {"a": 3}),
        ({"required": ["x"], "additionalProperties": {"type": "null"}}, {"x": None}),
    ],
)
def test_values_are_made_by_the_schema(schema: Any, body: Any) -> None:
    assert made(schema) == body


def test_a_schema_that_leads_into_itself_ends() -> None:
    node = {"type": "object", "required": ["value"], "properties": {
        "value": {"type": "integer"}, "left": {"anyOf": [{"$ref": "#/components/schemas/Node"}, {"type": "null"}]},
        "right": {"$ref": "#/components/schemas/Node"}, "all": {"items": {"$ref": "#/components/schemas/Node"}},
    }}  # fmt: skip
    components = {"components": {"schemas": {"Node": node}}}
    assert made({"$ref": "#/components/schemas/Node"}, **components) == {"value": 1, "left": None, "all": []}
    node["required"] = ["right"]
    with pytest.raises(openapi.Unmade, match=r"the body\.right leads into itself without an end"):
        made({"$ref": "#/components/schemas/Node"}, **components)


def test_openapi_3_0_has_words_of_its_own() -> None:
    schema = {"type": "number", "minimum": 1, "exclusiveMinimum": True, "nullable": True, "maximum": 1.5}
    assert made(schema, openapi="3.0.3") == 1.5


BOUNDS = st.integers(-5, 5) | st.sampled_from([-0.5, 0.25, 0.5, 1.5])
LIMITS = dict.fromkeys(("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"), BOUNDS)
NUMBERS = st.fixed_dictionaries(
    {"type": st.sampled_from(["integer", "number"])}, optional=LIMITS | {"multipleOf": st.sampled_from([1, 2, 0.5])}
)
TEXTS = st.fixed_dictionaries(
    {"type": st.just("string")},
    optional={
        "minLength": st.integers(0, 9),
        "maxLength": st.integers(0, 12),
        "enum": st.lists(st.text(max_size=3), min_size=1),
        "format": st.sampled_from(["date", "uuid", "odd"]),
    },
)
LEAVES = NUMBERS | TEXTS | st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"const": 5}, True, {}])


def compound(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    sizes = {"minItems": st.integers(0, 3), "maxItems": st.integers(0, 3)}
    properties = st.dictionaries(st.sampled_from("abc"), inner)
    required = st.lists(st.sampled_from("abcd"), unique=True)
    return st.one_of(
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}, optional=sizes),
        st.fixed_dictionaries({"type": st.just("object"), "properties": properties}, optional={"required": required}),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)}),
    )


SCHEMAS = st.recursive(LEAVES, compound, max_leaves=5)


@given(SCHEMAS)
@settings(deadline=None, max_examples=150)
def test_what_is_made_is_valid_or_refused(schema: Any) -> None:
    try:
        body = made(schema)
    except openapi.Unmade:
        return
    jsonschema.Draft202012Validator(schema).validate(body)


def test_most_schemas_can_be_made() -> None:
    """The property above would hold of a maker that refuses all: what it must be able to make."""
    for low in range(-3, 4):
        for kind in ("integer", "number"):
            for keys in (("minimum", "maximum"), ("exclusiveMinimum", "maximum"), ("minimum", "exclusiveMaximum")):
                schema = {"type": kind, keys[0]: low, keys[1]: low + 1}
                jsonschema.Draft202012Validator(schema).validate(made(schema))


WORDS = ["type", "properties", "$ref", "items", "anyOf", "allOf", "required", "minItems", "pattern", "enum", "content"]
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=10,
)


@given(ODD)
@example({"type": "string", "pattern": "[["})
@settings(deadline=None, max_examples=200)
def test_any_document_gives_a_body_or_is_refused(part: Any) -> None:
    for candidate in (
        document(part),
        {"paths": {"/predict": part}},
        {"paths": part},
        {"paths": {"/predict": {"post": part}}},
    ):
        try:
            found, _ = openapi.bodies(candidate, "http://h/predict")
        except openapi.Unmade:
            continue
        assert found


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (document({"type": "object"}, path="/score"), "it has no POST /predict; its POST paths are: /score"),
        ({"openapi": "3.1.0"}, "its POST paths are: none"),
        (document(), "takes any JSON: the document has neither an example nor a schema"),
        (
            document({"type": "string", "pattern": "^[xyz]{7}$"}),
            r"the body asks for a text that matches \^\[xyz\]\{7\}\$",
        ),
        (
            document({"type": "integer", "minimum": 3, "maximum": 2}),
            "a number that nothing tried is: minimum 3, maximum 2",
        ),
        (document({"not": {}}), "a body made of its schema would be refused"),
        (document({"$ref": "#/components/schemas/X"}), "it refers to #/components/schemas/X, which is not in it"),
        (document({"$ref": "https://example.org/x"}), "it refers to https://example.org/x, which is not in it"),
        (
            {"paths": {"/predict": {"post": {"requestBody": {"content": {"text/csv": {}}}}}}},
            "takes text/csv, and no JSON",
        ),
        ({"paths": {"/predict": {"post": {}}}}, "does not say what it takes, and no JSON"),
        ([], r"a description that is no object: \[\]"),
    ],
)
async def test_what_does_not_do_asks_for_a_payload(answer: Any, told: str) -> None:
    with pytest.raises(
        InputError, match=rf"^http://127\.0\.0\.1:\d+/openapi\.json: .*{told}.*--payload FILE.*\"age\": 41"
    ):
        await described({"/openapi.json": answer})


async def test_a_mounted_endpoint_is_found_at_its_root_and_by_the_end_of_its_path() -> None:
    payload = await described({"/openapi.json": document({"const": 1}, path="/predict")}, path="/v1/predict")
    assert payload.bodies == (b"1",)


async def test_mlflow_has_none_and_is_asked_for_a_payload() -> None:
    with pytest.raises(
        InputError, match=r"status 404; give one with --payload FILE, a file such as \{\"dataframe_split\""
    ):
        await described({}, Speech.MLFLOW)
    theirs = {"paths": {"/invocations": {"post": {"responses": {}}}}}  # what its scoring server says
    with pytest.raises(InputError, match="POST /invocations does not say what it takes"):
        await described({"/openapi.json": theirs}, Speech.MLFLOW)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(InputError, match="raw says nothing of what it takes"):
            await describe(session, "http://127.0.0.1:1", Speech.RAW)


# --- v2 ---


async def test_v2_tensors_have_the_shapes_that_are_asked_for() -> None:
    inputs = [
        {"name": "x", "datatype": "FP32", "shape": [-1, 4]},
        {"name": "n", "datatype": "INT64", "shape": [2]},
        {"name": "t", "datatype": "BYTES", "shape": [-1, 1], "parameters": {"content_type": "str"}},
        {"name": "on", "datatype": "BOOL", "shape": []},
    ]
    payload = await described({"/v2/models/m": {"name": "m", "inputs": inputs}}, Speech.V2, model="m")
    tensors = json.loads(payload.bodies[0])["inputs"]
    assert [(t["shape"], t["data"]) for t in tensors] == [
        ([1, 4], [0.5] * 4), ([2], [1, 1]), ([1, 1], ["text"]), ([], [True]),
    ]  # fmt: skip
    assert tensors[2]["parameters"] == {"content_type": "str"}
    assert [t["datatype"] for t in tensors] == [each["datatype"] for each in inputs]


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ([], "the model does not say which inputs it has"),
        ([{"name": "x", "datatype": "FP16", "shape": [1]}], "input x is of datatype FP16"),
        ([{"name": "x", "datatype": "FP32"}], r"inputs\[0\] is .* and should have a name, a datatype and a shape"),
        ([{"name": "x", "datatype": "FP32", "shape": [10**9]}], "input x has 1,000,000,000 elements"),
        ([{"name": "x", "datatype": "FP32", "shape": [True]}], "should have a name"),
        (["x"], r'inputs\[0\] is "x"'),
    ],
)
async def test_metadata_that_does_not_do(inputs: Any, told: str) -> None:
    with pytest.raises(InputError, match=rf"/v2/models/m: .*{told}.*--payload FILE"):
        await described({"/v2/models/m": {"inputs": inputs}}, Speech.V2, model="m")


# --- the endpoint in trouble ---


async def test_what_cannot_be_read_is_told_with_its_url(monkeypatch: pytest.MonkeyPatch) -> None:
    async def text(_: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>")

    async def moved(_: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("http://192.0.2.1/openapi.json")

    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        with anyio.move_on_after(20):
            while True:
                await answer.write(b" " * 65536)
        return answer

    monkeypatch.setattr(describing, "MOST_BYTES", 1 << 20)
    for handler, told in (
        (text, "not JSON"),
        (moved, r"status 302 \(redirects are not followed"),
        (endless, "more than 1 MiB"),
    ):
        with pytest.raises(InputError, match=rf"^http://127\.0\.0\.1:\d+/openapi\.json: .*{told}"):
            await described({"/openapi.json": handler})


async def test_no_answer_has_an_end() -> None:
    async def never(_: web.Request) -> web.StreamResponse:
        await anyio.sleep(20)
        return web.Response()

    with pytest.raises(BackendError, match=r"/openapi\.json gave no answer within 0\.05 s; is the endpoint up\?"):
        await described({"/openapi.json": never}, timeout_s=0.05)
    async with server({}) as base:
        pass
    async with aiohttp.ClientSession() as session:
        with pytest.raises(BackendError, match=r"gave no answer: .*is the endpoint up") as caught:
            await describe(session, f"{base}?key=s3cret", Speech.JSON)
    assert "s3cret" not in str(caught.value)


async def test_the_headers_are_sent() -> None:
    async def guarded(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != "Bearer t":
            raise web.HTTPUnauthorized
        return web.json_response(document({"const": 1}))

    with pytest.raises(InputError, match="status 401"):
        await described({"/openapi.json": guarded})
    assert (await described({"/openapi.json": guarded}, headers=[("Authorization", "Bearer t")])).bodies == (b"1",)
