"""The stand-in over real sockets: each protocol, and each fault to order."""

import asyncio
import json
from itertools import pairwise
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness.clock import wall_ns
from harness.domain.units import MILLISECOND
from harness.exporters.promql import DURATION, REQUESTS
from harness.serving.fake import FakeSettings, read
from harness.serving.fake.fate import Fates
from tests.serving.fake_server import asking, change, measured, predict, running, turns, until

SLICE_S = 0.005
GETS = [
    *("/health", "/ready", "/ping", "/version", "/metrics", "/openapi.json", "/settings"),
    *("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/churn"),
    *("/v2/models/churn/ready", "/v2/models/churn/versions/7/ready"),
]


async def test_every_protocol_answers() -> None:
    async with asking(model="churn", version="7") as session:
        assert (await predict(session))[1].keys() == {"prediction", "confidence", "model", "version"}
        async with session.post("/invocations", json={"dataframe_records": [{"a": 1}, {"a": 2}]}) as response:
            assert len((await response.json())["predictions"]) == 2
        asked = {"id": "q1", "inputs": [{"name": "a", "shape": [3, 1], "datatype": "FP64", "data": [1, 2, 3]}]}
        for path in ("/v2/models/churn/infer", "/v2/models/churn/versions/7/infer"):
            async with session.post(path, json=asked) as response:
                said = await response.json()
            assert (said["model_name"], said["model_version"], said["id"]) == ("churn", "7", "q1")
            assert [(each["name"], each["shape"]) for each in said["outputs"]] == [
                ("predict", [3]),
                ("confidence", [3]),
            ]
        for path in GETS:
            async with session.get(path) as response:
                assert response.status == 200, path


async def test_examples_of_the_openapi_document_are_answered() -> None:
    async with asking() as session:
        async with session.get("/openapi.json") as response:
            paths = (await response.json())["paths"]
        assert len(paths) == 4
        for path, operations in paths.items():
            example = operations["post"]["requestBody"]["content"]["application/json"]["example"]
            async with session.post(path, json=example) as response:
                assert response.status == 200, await response.text()


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/predict", b"[1]", "a JSON object, or a list of such"),
        ("/predict", b"[]", "a JSON object, or a list of such"),
        ("/predict", b"{", "the body cannot be used"),
        ("/predict", b"\xff", "the body cannot be used"),
        ("/invocations", b'{"instances": [], "inputs": []}', "exactly one of"),
        ("/invocations", b'{"instances": 3}', "rows are a list"),
        ("/v2/models/fake/infer", b'{"inputs": []}', '"inputs", a list'),
        ("/v2/models/fake/infer", b'{"inputs": [{"shape": ["x"]}]}', "inputs[0].shape"),
        ("/v2/models/other/infer", b"{}", "there is no model 'other'"),
        ("/settings", b"[]", "settings are a JSON object"),
        ("/settings", b"{", "settings are a JSON object"),
    ],
)
async def test_what_cannot_be_used_is_said(path: str, body: bytes, said: str) -> None:
    async with asking() as session, session.post(path, data=body) as response:
        assert response.status == (404 if "other" in path else 400)
        assert said in (await response.json())["error"]


async def test_a_list_of_rows_is_answered_with_a_list_of_any_size_in_bytes() -> None:
    for payload in (0, 5000):
        async with asking(payload=payload) as session, session.post("/predict", json=[{}, {"a": 1}, {}]) as response:
            text = await response.text()
        said = json.loads(text)
        assert [each["model"] for each in said] == ["fake"] * 3
        assert len(text) == payload or not payload


async def test_the_same_seed_gives_the_same_sequence_also_after_setting_it_anew() -> None:
    said = {"error_rate": "30%", "wrong_content": "30%", "seed": 11}

    async def sequence(session: aiohttp.ClientSession) -> list[tuple[int, str, bytes]]:
        found = []
        for _ in range(40):
            async with session.post("/predict", json={}) as response:
                found.append((response.status, response.content_type, await response.read()))
        return found

    async with asking(**said) as session:
        first = await sequence(session)
        assert await sequence(session) != first
        await change(session, seed=11)
        assert await sequence(session) == first
        await change(session, seed=12)
        assert await sequence(session) != first
    async with asking(**said) as session:
        assert await sequence(session) == first


async def test_errors_and_wrong_content_come_as_drawn() -> None:
    said = {"error_rate": "20%", "error_status": 502, "wrong_content": "30%", "seed": 3}
    fates = Fates(read(said))
    async with asking(**said) as session:
        for number in range(100):
            async with session.post("/predict", json={}) as response:
                fault = fates(number).fault
                expected = {None: (200, "application/json"), "error_rate": (502, "application/json")}
                assert (response.status, response.content_type) == expected.get(fault, (200, "text/html"))
        async with session.get("/metrics") as response:
            families = {each.name: each for each in text_string_to_metric_families(await response.text())}
    totals = [each for each in families[REQUESTS.removesuffix("_total")].samples if each.name.endswith("_total")]
    statuses = {each.labels["code"]: each.value for each in totals}
    errors = sum(fates(number).fault == "error_rate" for number in range(100))
    assert statuses == {"200": 100 - errors, "502": errors}
    assert {each.labels["outcome"] for each in totals} == {"success", "failure"}
    counts = [each.value for each in families[DURATION].samples if each.name.endswith("_count")]
    assert counts == [100]


async def test_a_change_is_for_what_comes_after_it(tmp_path: Path) -> None:
    async with asking(tmp_path / "log", latency="300ms") as session:
        slow = asyncio.ensure_future(predict(session))

        async def working() -> bool:
            return await measured(session, "model_requests_in_service") == 1

        await until(working)
        await change(session, error_rate=1, latency="0s")
        assert (await predict(session))[0] == 500
        assert not slow.done()
        assert (await slow)[0] == 200
    served = turns(tmp_path / "log")
    assert [turn["end_ns"] - turn["start_ns"] >= 300 * MILLISECOND for turn in served] == [False, True]


async def test_one_worker_serves_one_after_the_other(tmp_path: Path) -> None:
    said = {"latency": {"exponential": {"mean": "3ms"}}, "workers": 1, "seed": 5}
    async with asking(tmp_path / "log", **said) as session:
        await asyncio.gather(*(predict(session, **{"X-Request-Id": f"r{k}"}) for k in range(40)))
    served = turns(tmp_path / "log")
    assert {turn["id"] for turn in served} == {f"r{k}" for k in range(40)}
    assert [turn["arrived_ns"] for turn in served] == sorted(turn["arrived_ns"] for turn in served)
    for one, other in pairwise(served):
        # What waited begins as the one before it ends; what came to an idle worker begins as it comes.
        if other["arrived_ns"] < one["end_ns"]:
            assert other["start_ns"] == one["end_ns"]
        else:
            assert other["start_ns"] >= other["arrived_ns"]
    fates = Fates(read(said))
    drawn_ns = sorted(fates(number).service_ns for number in range(40))
    given_ns = sorted(turn["end_ns"] - turn["start_ns"] for turn in served)
    assert all(given >= drawn for given, drawn in zip(given_ns, drawn_ns, strict=True))
    assert sum(turn["start_ns"] == before["end_ns"] for before, turn in pairwise(served)) > 20


@pytest.mark.parametrize(("workers", "most"), [(3, 3), (0, 12)])
async def test_no_more_at_a_time_than_workers(tmp_path: Path, workers: int, most: int) -> None:
    async with asking(tmp_path / "log", latency="200ms", workers=workers) as session:
        await asyncio.gather(*(predict(session) for _ in range(12)))
    served = turns(tmp_path / "log")
    at_once = [sum(one["start_ns"] <= other["start_ns"] < one["end_ns"] for one in served) for other in served]
    assert max(at_once) == most


async def test_workers_can_be_added_while_requests_wait(tmp_path: Path) -> None:
    async with asking(tmp_path / "log", latency="200ms", workers=1) as session:
        asked = [asyncio.ensure_future(predict(session)) for _ in range(6)]

        async def all_wait() -> bool:
            return await measured(session, "model_queue_length") == 5

        await until(all_wait)
        await change(session, workers=0)
        await asyncio.gather(*asked)
    served = turns(tmp_path / "log")
    assert max(turn["start_ns"] for turn in served) < min(turn["end_ns"] for turn in served)


async def test_a_full_queue_refuses() -> None:
    async with asking(latency="300ms", workers=1, queue=2) as session:
        answers = await asyncio.gather(*(predict(session) for _ in range(7)))
        assert [status for status, _ in answers].count(200) == 3
        assert next(said for status, said in answers if status == 503)["error"].startswith("2 requests wait")


async def test_it_stands_still() -> None:
    async with asking() as session:
        before_ns = wall_ns()
        await change(session, stall={"every": "100ms", "for": "50ms"})
        after_ns = wall_ns()
        stalled = 0
        while stalled < 3:
            asked_ns = wall_ns()
            assert (await predict(session))[0] == 200
            answered_ns = wall_ns()
            period, into_ns = divmod(asked_ns - after_ns, 100 * MILLISECOND)
            if into_ns >= 50 * MILLISECOND:  # in a stall by either reading of when the period began
                assert answered_ns >= before_ns + (period + 1) * 100 * MILLISECOND
                stalled += 1
            await asyncio.sleep(SLICE_S)
        await change(session, stall=None)
        assert (await predict(session))[0] == 200


async def test_work_begun_before_a_stall_goes_on_after_it(tmp_path: Path) -> None:
    async with asking(tmp_path / "log", latency="30ms") as session:
        await change(session, stall={"every": "200ms", "for": "190ms"})
        await predict(session)
    (turn,) = turns(tmp_path / "log")
    assert turn["end_ns"] - turn["start_ns"] >= (30 + 2 * 190) * MILLISECOND


@pytest.mark.parametrize("said", ["honest", "never", "fails", "lies"])
async def test_what_readiness_says_in_warm_up_and_after_it(said: str) -> None:
    expected = {"honest": (503, 200), "never": (503, 503), "fails": (500, 500), "lies": (200, 200)}[said]

    async def ready(session: aiohttp.ClientSession, path: str) -> int:
        async with session.get(path) as response:
            return response.status

    async with asking(readiness=said, warmup="1h") as session:
        paths = ("/ready", "/v2/health/ready", "/v2/models/fake/ready")
        assert {await ready(session, path) for path in paths} == {expected[0]}
        assert (await predict(session))[0] == 503
        assert await ready(session, "/health") == 200
        await change(session, warmup="0s")
        assert {await ready(session, path) for path in paths} == {expected[1]}
        assert (await predict(session))[0] == 200


async def test_warm_up_ends() -> None:
    async with asking(warmup="50ms") as session:
        assert (await predict(session))[0] == 503

        async def answered() -> bool:
            return (await predict(session))[0] == 200

        await until(answered)


@pytest.mark.parametrize("size", [100, 5000, 300_000])
async def test_bodies_have_the_size_they_are_told(size: int) -> None:
    example = {"inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "data": [1]}]}
    asked = {"/predict": {}, "/invocations": {"instances": [1]}, "/v2/models/fake/infer": example}
    async with asking(payload=size) as session:
        for path, body in asked.items():
            async with session.post(path, json=body) as response:
                said = await response.read()
            json.loads(said)
            assert len(said) == size or (size == 100 and "v2" in path)  # a shorter one than it is cannot be


async def test_a_slow_body_takes_its_time_and_is_whole() -> None:
    async with asking(payload=500, body_rate=5000) as session:
        begun_ns = wall_ns()
        async with session.post("/predict", json={}) as response:
            assert response.content_length == 500
            assert "prediction" in await response.json()
        assert wall_ns() - begun_ns >= 100 * MILLISECOND


@pytest.mark.parametrize(("fault", "heard"), [("reset_headers", b"HTTP/1.1 200 OK\r\n"), ("reset_body", b"\r\n\r\n{")])
async def test_resets(fault: str, heard: bytes) -> None:
    async with running(FakeSettings(**{fault: 1.0}, payload=200_000)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        said = await _until_reset(reader)
        writer.close()
    assert heard in said
    assert (b"\r\n\r\n" in said) == (fault == "reset_body")
    if fault == "reset_body":
        assert len(said.partition(b"\r\n\r\n")[2]) == 100_000


async def _until_reset(reader: asyncio.StreamReader) -> bytes:
    said = b""
    try:
        while piece := await asyncio.wait_for(reader.read(65536), 5):
            said += piece
    except ConnectionResetError:
        return said
    raise AssertionError(f"the connection ended regularly after {said[:200]!r}")


async def test_a_streamed_answer_comes_in_events_at_their_times(tmp_path: Path) -> None:
    said = {"latency": "20ms", "gap": {"exponential": {"mean": "10ms"}}, "chunks": 6, "workers": 1, "seed": 2}
    fates = Fates(read(said))
    due_ns = [sum([fates(0).service_ns, *fates.gaps_ns(0)][: k + 1]) for k in range(6)]
    async with asking(tmp_path / "log", **said) as session:
        begun_ns = wall_ns()
        async with session.post("/predict", json={}, headers={"X-Request-Id": "s"}) as response:
            assert response.content_type == "text/event-stream"
            came = [(line, wall_ns() - begun_ns) async for line in response.content]
    events = [(line[6:].strip(), came_ns) for line, came_ns in came if line.startswith(b"data: ")]
    assert [json.loads(event)["index"] for event, _ in events[:-1]] == list(range(6))
    assert events[-1][0] == b"[DONE]"
    assert all(came_ns >= due for (_, came_ns), due in zip(events, due_ns, strict=False))
    (turn,) = turns(tmp_path / "log")  # its worker was kept to the last chunk
    assert turn["end_ns"] - turn["start_ns"] >= due_ns[-1]


async def test_a_client_that_leaves_a_stream_frees_the_worker(tmp_path: Path) -> None:
    async with asking(tmp_path / "log", chunks=1000, gap="2ms", workers=1) as session:
        async with session.post("/predict", json={}) as response:
            await response.content.readany()
            response.close()
        await change(session, chunks=0)
        assert (await predict(session))[0] == 200
    first, _ = turns(tmp_path / "log")
    assert first["end_ns"] - first["start_ns"] < 1000 * 2 * MILLISECOND


async def test_redirects() -> None:
    async with asking(redirect="/elsewhere") as session:
        async with session.post("/predict", json={}, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (307, "/elsewhere")
        async with session.get("/health") as response:
            assert response.status == 200


async def test_a_request_keeps_its_id() -> None:
    async with asking() as session, session.post("/predict", json={}, headers={"X-Request-Id": "mine"}) as response:
        assert response.headers["X-Request-Id"] == "mine"


async def test_wrong_settings_change_nothing() -> None:
    async with asking(error_rate=0) as session:
        async with session.post("/settings", json={"error_rate": 1, "workers": "x", "gaap": 1}) as response:
            assert response.status == 400
            assert len((await response.json())["errors"]) == 2
        assert (await predict(session))[0] == 200
