"""The client against the stand-in and faulty servers, through both of its doors."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness
from harness.clock import wall_ns
from harness.domain.units import MILLISECOND, SECOND
from harness.errors import EndpointError, InputError
from harness.serving.client import AsyncModelServingClient, ModelServingClient
from harness.serving.fake import FakeSettings
from tests import certificates
from tests import faulty_servers as faulty
from tests.serving.doors import DOORS, ask
from tests.serving.fake_server import running

ROW = {"feature1": 1.5, "feature2": 2.5, "feature3": "A"}
PROTOCOLS: list[dict[str, Any]] = [{"protocol": "json"}, {"protocol": "mlflow"}, {"protocol": "v2", "model": "churn"}]
CHURN = FakeSettings(model="churn", version="7")

pytestmark = pytest.mark.parametrize("door", DOORS)


@pytest.mark.parametrize("spoken", PROTOCOLS, ids=lambda spoken: spoken["protocol"])
async def test_every_protocol_says_the_same(door: str, spoken: dict[str, Any]) -> None:
    async with running(CHURN) as port:
        health = await ask(door, port, "health_check", **spoken)
        assert (health.status, health.healthy, health.reason, health.http_status) == ("healthy", True, "", 200)
        assert await ask(door, port, "ready", **spoken) is True
        one = await ask(door, port, "predict", ROW, **spoken)
        assert one.keys() == {"prediction", "confidence", "model", "version"}
        assert one["prediction"] in (0, 1)
        many = await ask(door, port, "predict_many", [ROW, {**ROW, "feature1": 3}, ROW], **spoken)
        assert len(many) == 3
        assert await ask(door, port, "predict_many", [], **spoken) == []
        about = await ask(door, port, "metadata", **spoken)
    if spoken["protocol"] == "mlflow":  # which says neither of a model, nor how sure it is
        assert (one["confidence"], one["model"], one["version"], about["model"]) == (None, None, None, None)
        assert about["mlflow"]
    else:
        assert 0.5 <= one["confidence"] <= 1
        assert (one["model"], one["version"]) == (about["model"], about["version"]) == ("churn", 7)


async def test_values_of_numpy_and_missing_ones_are_sent_as_json_has_them(door: str) -> None:
    server = faulty.Server()
    row = {"a": np.float64(1.5), "b": np.int64(3), "c": np.bool_(True), "d": float("nan"), "e": None, "f": (1, 2)}
    async with server as port:
        await ask(door, port, "predict", row)
    assert json.loads(server.requests[0].body) == {"a": 1.5, "b": 3, "c": True, "d": None, "e": None, "f": [1, 2]}
    assert server.requests[0].header("Content-Type") == "application/json"


@pytest.mark.parametrize("value", [float("inf"), object(), {"a": 1}, np.array([1.0])])
async def test_what_json_has_not_is_an_error_that_names_the_feature(door: str, value: Any) -> None:
    async with faulty.Server() as port:
        with pytest.raises(InputError, match=r"^amount is "):
            await ask(door, port, "predict", {"amount": value})


async def test_v2_sends_a_tensor_for_each_feature(door: str) -> None:
    answered = {
        "model_name": "m",
        "model_version": "2024a",
        "outputs": [
            {"name": "scores", "shape": [2], "datatype": "FP64", "data": [7, 8]},
            {"name": "predict", "shape": [2, 1], "datatype": "BYTES", "data": [["yes"], ["no"]]},
            {"name": "predict_proba", "shape": [2, 2], "datatype": "FP64", "data": [0.1, 0.9, 0.8, 0.2]},
        ],
    }
    server = faulty.Scripted(faulty.answer(body=json.dumps(answered).encode()))
    rows = [{"a": 1, "b": 0.5, "c": "x", "d": True, "e": None}, {"a": 2, "b": 1, "c": "y", "d": False, "e": 3}]
    async with server as port:
        said = await ask(door, port, "predict_many", rows, protocol="v2", model="a b/c")
    (request,) = server.requests
    assert request.target == "/v2/models/a%20b%2Fc/infer"
    sent = [
        (each["name"], each["shape"], each["datatype"], each["data"]) for each in json.loads(request.body)["inputs"]
    ]
    assert sent == [
        ("a", [2], "INT64", [1, 2]),
        ("b", [2], "FP64", [0.5, 1]),
        ("c", [2], "BYTES", ["x", "y"]),
        ("d", [2], "BOOL", [True, False]),
        ("e", [2], "FP64", [None, 3]),
    ]
    assert said == [
        {"prediction": "yes", "confidence": 0.9, "model": "m", "version": "2024a"},
        {"prediction": "no", "confidence": 0.8, "model": "m", "version": "2024a"},
    ]


async def test_rows_that_make_no_columns_are_errors(door: str) -> None:
    async with faulty.Server() as port:
        with pytest.raises(InputError, match="row 1 and row 0 differ in b;"):
            await ask(door, port, "predict_many", [{"a": 1}, {"a": 1, "b": 2}], protocol="v2", model="m")
        with pytest.raises(InputError, match="a is int and str;"):
            await ask(door, port, "predict_many", [{"a": 1}, {"a": "x"}], protocol="v2", model="m")


@pytest.mark.parametrize(
    ("spoken", "body", "said"),
    [
        (PROTOCOLS[0], b"[1]", "not an object with a prediction, but [1]; does the endpoint speak json?"),
        (PROTOCOLS[1], b'{"predictions": [1, 2]}', "not an object with 1 predictions"),
        (PROTOCOLS[2], b'{"outputs": []}', "not an object with outputs"),
        (PROTOCOLS[2], b'{"outputs": [{"name": "p", "data": []}]}', "not outputs of 1 rows"),
    ],
)
async def test_an_answer_of_another_protocol_is_told(door: str, spoken: dict[str, Any], body: bytes, said: str) -> None:
    async with faulty.Scripted(faulty.answer(body=body)) as port:
        with pytest.raises(EndpointError) as caught:
            await ask(door, port, "predict", ROW, **spoken)
    assert said in str(caught.value)


# --- what fails, and is tried again -----------------------------------------------------------------------------------


def refusal(status: str, *headers: str) -> bytes:
    return faulty.answer(status, b'{"error": "too busy"}', *headers)


@pytest.mark.parametrize(
    ("first", "asked"),
    [
        (refusal("502 Bad Gateway"), 2),
        (refusal("503 Service Unavailable", "Retry-After: 0"), 2),
        (refusal("504 Gateway Timeout"), 2),
        (refusal("429 Too Many Requests", "Retry-After: 0"), 2),
        (refusal("429 Too Many Requests"), 1),
        (refusal("500 Internal Server Error"), 1),
        (refusal("400 Bad Request"), 1),
        (refusal("422 Unprocessable Content"), 1),
    ],
    ids=lambda value: value.decode().splitlines()[0] if isinstance(value, bytes) else None,
)
async def test_what_may_help_is_tried_again_and_nothing_else(door: str, first: bytes, asked: int) -> None:
    server = faulty.Scripted(first, faulty.answer())
    async with server as port:
        if asked == 2:
            assert (await ask(door, port, "predict", ROW))["prediction"] == 1
        else:
            with pytest.raises(EndpointError) as caught:
                await ask(door, port, "predict", ROW)
            assert caught.value.status == int(first.split()[1])
            assert "too busy" in str(caught.value)
    assert len(server.requests) == asked


async def test_retries_come_to_an_end(door: str) -> None:
    server = faulty.Scripted(refusal("503 Service Unavailable"))
    async with server as port:
        with pytest.raises(EndpointError, match="answered 503: too busy"):
            await ask(door, port, "predict", ROW, retries=3)
    assert len(server.requests) == 4


async def test_the_server_says_how_long_to_wait(door: str) -> None:
    server = faulty.Scripted(refusal("503 Service Unavailable", "Retry-After: 1"), faulty.answer())
    async with server as port:
        begun_ns = wall_ns()
        await ask(door, port, "predict", ROW)
        assert wall_ns() - begun_ns >= SECOND


async def test_no_wait_goes_beyond_the_time_there_is(door: str) -> None:
    server = faulty.Scripted(refusal("429 Too Many Requests", "Retry-After: 60"), faulty.answer())
    async with server as port:
        with pytest.raises(EndpointError, match="answered 429: too busy; ask more slowly"):
            await asyncio.wait_for(ask(door, port, "predict", ROW, timeout=5), 20)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "server",
    [faulty.NeverAnswers(), faulty.StopsInBody(), faulty.ByteByByte(pause_s=0.05)],
    ids=lambda server: type(server).__name__,
)
async def test_no_server_holds_a_call_beyond_its_time(door: str, server: faulty.Server) -> None:
    async with server as port:
        begun_ns = wall_ns()
        with pytest.raises(TimeoutError, match=r"no whole answer in time, within 0.2 s"):
            await asyncio.wait_for(ask(door, port, "predict", ROW, timeout=0.2), 20)
        assert wall_ns() - begun_ns >= 200 * MILLISECOND
    assert len(server.requests) == 1  # all of the time was for the first


async def test_a_server_that_never_reads_holds_nobody(door: str) -> None:
    async with faulty.NeverReads() as port:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask(door, port, "predict", {"text": "x" * 30_000_000}, timeout=0.5), 20)


async def test_a_refused_connection(door: str) -> None:
    with faulty.refused() as port:
        with pytest.raises(
            ConnectionError, match=rf"http://127.0.0.1:{port}: no connection was made .*, tried 3 times;"
        ):
            await ask(door, port, "predict", ROW)
        health = await ask(door, port, "health_check")
        assert (health.status, health.http_status) == ("unhealthy", None)
        assert "no connection was made" in health.reason
        assert await ask(door, port, "ready") is False


async def test_a_server_that_comes_up_is_found(door: str) -> None:
    with faulty.refused() as port:
        asked = asyncio.ensure_future(ask(door, port, "predict", ROW, retries=30))
        await asyncio.sleep(0.05)
        assert not asked.done()
    server = faulty.Server()
    server.port = port
    async with server:
        assert (await asked)["prediction"] == 1


@pytest.mark.parametrize(
    "server", [faulty.ResetInHeaders(), faulty.ResetInBody(), faulty.LengthTooLong()], ids=lambda it: type(it).__name__
)
async def test_a_broken_connection_is_tried_again(door: str, server: faulty.Server) -> None:
    async with server as port:
        with pytest.raises(ConnectionError, match=r"broke before the answer was whole .* tried 2 times"):
            await ask(door, port, "predict", ROW, retries=1)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (faulty.Garbage(), "what came was no HTTP"),
        (faulty.EndlessHeaders(), "what came was no HTTP"),
        (faulty.LengthAndChunked(), "what came was no HTTP"),
        (faulty.WrongContent(), "what is no JSON (text/html): '<html>It works!</html>'"),
        (faulty.NoBody(204), "an empty body"),
        (faulty.NoBody(304), "redirects to nowhere (304)"),
        (faulty.Redirects("http://elsewhere/"), "redirects to http://elsewhere/ (307), which is not followed"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, faulty.Server) else None,
)
async def test_what_is_no_answer_is_told_in_one_printable_line(door: str, server: faulty.Server, said: str) -> None:
    async with server as port:
        with pytest.raises(EndpointError) as caught:
            await ask(door, port, "predict", ROW)
    assert said in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "server",
    [
        *(faulty.Server(), faulty.Interim(), faulty.SingleBytes(), faulty.Chunked(), faulty.CloseDelimited()),
        *(faulty.Http10(), faulty.Gzip(), faulty.BigBody(), faulty.ClosesAfterEach(), faulty.ClosesOnSecond()),
        faulty.Stalls(0.2, 0.1),
    ],
    ids=lambda server: type(server).__name__,
)
async def test_answers_of_every_shape_are_read(door: str, server: faulty.Server) -> None:
    async with server as port:
        said = await ask(door, port, "predict_many", [ROW] * 3)
    assert [(each["prediction"], each["confidence"], each["model"], each["version"]) for each in said] == [
        (1, 0.9, "m", 1)
    ] * 3


async def test_a_kept_connection_that_was_closed_costs_no_retry(door: str) -> None:
    server = faulty.ClosesOnSecond()
    async with server as port:
        assert len(await ask(door, port, "predict_many", [ROW] * 3, retries=1)) == 3
    assert server.connections == 3


async def test_connections_are_kept(door: str) -> None:
    server = faulty.Server()
    async with server as port:
        await ask(door, port, "predict_many", [ROW] * 5)
    assert (server.connections, len(server.requests)) == (1, 5)


@pytest.mark.parametrize("packed", [b"\x1f\x8bnot really", b"", b"plain"], ids=["broken", "empty", "not packed"])
async def test_an_answer_that_is_packed_wrongly(door: str, packed: bytes) -> None:
    async with faulty.Scripted(faulty.answer("200 OK", packed, "Content-Encoding: gzip")) as port:
        with pytest.raises(EndpointError):
            await ask(door, port, "predict", ROW)
    async with faulty.Scripted(faulty.answer("200 OK", packed, "Content-Encoding: br")) as port:
        with pytest.raises(EndpointError, match="packed as br"):
            await ask(door, port, "predict", ROW)


# --- health -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (faulty.answer("503 Service Unavailable", b'{"error": "draining"}'), "answered 503: draining"),
        (faulty.answer("200 OK", b'{"status": "unhealthy", "why": "disk"}'), "it says so itself"),
        (faulty.answer("404 Not Found", b"nothing here"), "answered 404: nothing here; are the endpoint"),
    ],
)
async def test_why_a_server_is_not_well(door: str, answer: bytes, reason: str) -> None:
    server = faulty.Scripted(answer)
    async with server as port:
        health = await ask(door, port, "health_check")
    assert health.status == "unhealthy"
    assert reason in health.reason
    assert health.http_status == int(answer.split()[1])
    assert health.details == (json.loads(answer.partition(b"\r\n\r\n")[2]) if b"{" in answer else {})
    assert health.latency_s > 0
    assert len(server.requests) == 1  # a look is one attempt


@pytest.mark.parametrize(
    "server", [faulty.Garbage(), faulty.NeverAnswers(), faulty.ClosesAtOnce(), faulty.ResetInBody()],
    ids=lambda server: type(server).__name__,
)  # fmt: skip
async def test_health_raises_nothing(door: str, server: faulty.Server) -> None:
    async with server as port:
        health = await ask(door, port, "health_check", timeout=0.3)
        assert (health.status, bool(health.reason)) == ("unhealthy", True)
        assert await ask(door, port, "ready", timeout=0.3) is False


async def test_readiness_is_not_health(door: str) -> None:
    async with running(FakeSettings(warmup_ns=3600 * SECOND)) as port:
        assert (await ask(door, port, "health_check")).healthy
        assert await ask(door, port, "ready") is False
        with pytest.raises(EndpointError, match="answered 503: the model is warming up"):
            await ask(door, port, "predict", ROW, retries=0)


# --- who asks, and who answers ----------------------------------------------------------------------------------------


async def test_a_token_goes_with_each_request_and_into_no_message(
    door: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "s3cr3t-token-value"
    monkeypatch.setenv("MODEL_TOKEN", f"{secret}\n")
    (tmp_path / "token").write_text(f"{secret}\n")
    echo = faulty.answer("403 Forbidden", json.dumps({"error": f"Bearer {secret} is not known"}).encode())
    for given in ({"token_env": "MODEL_TOKEN"}, {"token_file": tmp_path / "token"}):
        server = faulty.Scripted(faulty.answer(), echo)
        async with server as port:
            await ask(door, port, "predict", ROW, headers={"X-Team": "churn"}, **given)
            with pytest.raises(EndpointError, match=r"Bearer \*\*\* is not known; the token has no right") as caught:
                await ask(door, port, "predict", ROW, **given)
            health = await ask(door, port, "health_check", **given)
        assert server.requests[0].header("Authorization") == f"Bearer {secret}"
        assert server.requests[0].header("X-Team") == "churn"
        assert secret not in str(caught.value) + repr(caught.value) + repr(health)


async def test_a_renewed_token_is_read_anew(door: str, tmp_path: Path) -> None:
    server = faulty.Server()
    path = tmp_path / "token"
    async with server as port:
        for token in ("first", "second"):
            path.write_text(token)
            await ask(door, port, "predict", ROW, token_file=path)
        path.unlink()
        with pytest.raises(InputError, match="holds no token: No such file"):
            await ask(door, port, "predict", ROW, token_file=path)
        assert (await ask(door, port, "health_check", token_file=path)).status == "unhealthy"
    assert [request.header("Authorization") for request in server.requests] == ["Bearer first", "Bearer second"]


async def test_certificates(door: str, tmp_path: Path) -> None:
    made = certificates.make(tmp_path)
    async with faulty.Server(made.good) as port:
        trusting = {"scheme": "https", "ca_file": made.authority}
        assert len(await ask(door, port, "predict_many", [ROW] * 2, **trusting)) == 2
        with pytest.raises(EndpointError, match=r"certificate is not trusted .*; ca_file names"):
            await ask(door, port, "predict", ROW, scheme="https")
    for name in ("self_signed", "expired", "elsewhere"):
        server = faulty.Server(getattr(made, name))
        async with server as port:
            with pytest.raises(EndpointError, match="certificate is not trusted") as caught:
                await ask(door, port, "predict", ROW, **trusting)
            assert caught.value.status is None
        assert not server.requests
    async with faulty.NeverAnswers() as port:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask(door, port, "predict", ROW, timeout=0.3, scheme="https"), 20)


async def test_a_client_in_several_threads_or_tasks(door: str) -> None:
    server = faulty.Server()
    async with server as port:
        endpoint = f"http://127.0.0.1:{port}"
        if door == "awaited":
            async with AsyncModelServingClient(endpoint) as client:
                said = await asyncio.gather(*(client.predict(ROW) for _ in range(40)))
        else:
            with ModelServingClient(endpoint) as blocking:
                said = await asyncio.gather(*(asyncio.to_thread(blocking.predict, ROW) for _ in range(40)))
    assert [each["prediction"] for each in said] == [1] * 40
    assert len(server.requests) == 40


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"endpoint": "localhost:8080"}, "the endpoint is 'localhost:8080'; it is a URL"),
        ({"endpoint": "http://ann:pw@host"}, "the endpoint holds a user"),
        ({"endpoint": "http://host/?a=b"}, "a query or a fragment"),
        ({"endpoint": "http://host:99999"}, "port is no number"),
        ({"timeout": 0}, "timeout is 0; it is a number of seconds above 0"),
        ({"retries": -1}, "retries is -1"),
        ({"protocol": "grpc"}, "protocol is 'grpc'; there are json, mlflow, v2"),
        ({"protocol": "v2"}, "the protocol v2 names the model"),
        ({"headers": {"X": "a\nb"}}, "the header 'X' cannot be sent"),
        ({"token_env": "A", "token_file": "b"}, "both token_env and token_file"),
        ({"endpoint": "https://host", "ca_file": "/nowhere.pem"}, "ca_file /nowhere.pem cannot be used"),
    ],
)
async def test_what_cannot_be_used_is_told_at_once(door: str, given: dict[str, Any], said: str) -> None:
    kind = ModelServingClient if door == "blocking" else AsyncModelServingClient
    with pytest.raises(InputError) as caught:
        kind(**{"endpoint": "http://host", **given})
    assert said in str(caught.value)
    assert "pw" not in str(caught.value)


async def test_it_is_public(door: str) -> None:
    name = "ModelServingClient" if door == "blocking" else "AsyncModelServingClient"
    assert repr(getattr(harness, name)("http://host:80/a/")) == f"{name}('http://host/a')"
