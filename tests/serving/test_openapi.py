"""The OpenAPI document, requests made from it, and requests made of nothing: no 5xx, and still serving."""

import asyncio
import json
import logging
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from harness import seeds
from harness.serving import openapi
from harness.serving.server import Settings
from tests import requires
from tests.serving.malformed import broken, generated, spoken, thrown
from tests.serving.trained import REGRESSORS, pipeline, post, random_row, running, serving

ONE = serving(pipeline("logistic_regression"))
DOCUMENT = openapi.document(ONE, labels=True)


def resolved(name: str, document: dict[str, Any] = DOCUMENT) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}", "components": document["components"]}


def test_the_document_is_one_of_openapi() -> None:
    requires.module("schemathesis")
    import schemathesis

    for word in ("logistic_regression", *REGRESSORS[:1]):
        document = openapi.document(serving(pipeline(word)), labels=True)
        schemathesis.openapi.from_dict(json.loads(json.dumps(document))).validate()
        assert document["openapi"].startswith("3.1")


def test_the_schema_of_a_row_says_what_is_taken() -> None:
    row = Draft202012Validator(resolved("Row"))
    good = openapi.example(ONE)
    assert row.is_valid(good)
    assert row.is_valid(good | {"tenure": None, "Contract": "never seen"})
    for wrong in ({}, [good], good | {"tenure": "x"}, good | {"gender": 1}, good | {"tenure": 1e308}):
        assert not row.is_valid(wrong)
    known = DOCUMENT["components"]["schemas"]["Row"]["properties"]["Contract"]["examples"]
    assert known == ["Month-to-month", "One year", "Two year"]


async def test_every_example_is_answered_with_an_answer_of_its_schema() -> None:
    async with running(ONE, Settings()) as (_, session):
        async with session.get("/openapi.json") as response:
            document = await response.json()
        for path, schema in (
            ("/predict", "Answer"),
            ("/invocations", "Predictions"),
            ("/v2/models/churn/infer", "InferAnswer"),
            ("/v2/models/churn/versions/3/infer", "InferAnswer"),
        ):
            for media, body in document["paths"][path]["post"]["requestBody"]["content"].items():
                text = body["example"]
                sent = text.encode() if media == "text/csv" else json.dumps(text).encode()
                status, said = await post(session, path, sent, Content_Type=media)
                assert status == 200
                Draft202012Validator(resolved(schema, document)).validate(said)
        for path, operations in document["paths"].items():
            if "get" in operations:
                async with session.get(path) as response:
                    assert response.status == 200, path
                    media = response.headers["Content-Type"].partition(";")[0]
                    assert media in operations["get"]["responses"]["200"]["content"], path


async def test_lists_of_rows_are_in_the_document() -> None:
    predict = DOCUMENT["paths"]["/predict"]["post"]
    parts = {"components": DOCUMENT["components"]}
    asked = Draft202012Validator(predict["requestBody"]["content"]["application/json"]["schema"] | parts)
    answered = Draft202012Validator(predict["responses"]["200"]["content"]["application/json"]["schema"] | parts)
    row = openapi.example(ONE)
    async with running(ONE) as (_, session):
        for body in (row, [row], [row, row], [], [row, 3], 3):
            status, said = await post(session, "/predict", body)
            assert (status == 200) is asked.is_valid(body), body
            assert (status == 200) is answered.is_valid(said), said


async def test_what_the_schema_takes_is_answered_and_what_it_refuses_is_not() -> None:
    row = Draft202012Validator(resolved("Row"))
    draws = np.random.default_rng(5)
    async with running(ONE) as (_, session):
        for _ in range(100):
            body = random_row(ONE, draws)
            if draws.integers(2):
                body[str(draws.choice(list(body)))] = [True, {}, "text", 7, 1e300, None][draws.integers(6)]
            status, _ = await post(session, "/predict", body)
            assert (status == 200) is row.is_valid(body), body
            assert status in {200, 422}


async def test_generated_requests_are_answered_as_the_document_says(caplog: pytest.LogCaptureFixture) -> None:
    """Schemathesis makes good and bad requests of the document; 10,000 of them: benchmarks/serve.py --malformed."""
    requires.module("schemathesis")
    seen = set()
    async with running(ONE, Settings()) as (server, session):
        with caplog.at_level(logging.WARNING):
            asked = await asyncio.to_thread(generated, json.loads(json.dumps(openapi.document(ONE))), 160, 3)
            for each in asked:
                status, text = await spoken(session, each)
                seen.add(status)
                assert status < 500, (each, text)
                assert str(status) in each.statuses, (each, status, text)
                assert "Traceback" not in text
        assert (await post(session, "/predict", openapi.example(ONE)))[0] == 200
        assert server.in_flight == 0
    assert {200, 400, 422} <= seen
    assert caplog.records == []


async def test_random_bytes_are_no_error_of_the_server(caplog: pytest.LogCaptureFixture) -> None:
    from harness.serving.process import quiet_about_bad_requests

    quiet_about_bad_requests()
    draws = seeds.stream(4, "random bytes").generator()
    statuses: list[int] = []
    async with running(ONE, Settings()) as (server, session):
        port = session._base_url.port
        with caplog.at_level(logging.WARNING):
            for _ in range(4):
                sent = [broken(draws) for _ in range(100)]
                statuses += await asyncio.gather(*(thrown(port, each) for each in sent))
        assert (await post(session, "/predict", openapi.example(ONE)))[0] == 200
        await asyncio.sleep(0)
        assert server.batcher.waiting == 0
    assert all(status == 0 or 200 <= status < 500 for status in statuses)
    assert 400 in statuses
    assert [record.getMessage() for record in caplog.records] == []
