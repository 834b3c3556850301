"""The server under load and in trouble: batches, full queues, slow and failing models, logs, labels, draining."""

import asyncio
import json
import logging
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness.clock import wall_ns
from harness.domain.model import Task
from harness.domain.units import MILLISECOND, SECOND
from harness.errors import InputError
from harness.exporters.promql import DURATION, LABELS, REQUESTS
from harness.serving.answering import Served
from harness.serving.batching import Limits
from harness.serving.features import Feature, Kind
from harness.serving.logs import LineLog, PredictionLog
from harness.serving.server import Settings
from tests.serving.trained import made_of, pipeline, post, rows_of, running, serving

CHURN = serving(pipeline("logistic_regression"))
ROWS = rows_of(CHURN, 40)
UNLUCKY = -13.0


class Gate:
    """A regressor that waits at a gate, and fails on an unlucky number; it tells what it was asked."""

    feature_names_in_ = np.array(["a"], dtype=object)

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.asked: list[int] = []
        self.busy = threading.Event()

    def predict(self, rows: Any) -> Any:
        self.busy.set()
        assert self.open.wait(20)
        if (rows["a"] == UNLUCKY).any():
            raise RuntimeError("unlucky: secret detail")
        self.asked.append(len(rows))
        return rows["a"].to_numpy() * 2


def gated() -> tuple[Gate, Served]:
    gate = Gate()
    return gate, of_one_number(gate)


def of_one_number(estimator: Any) -> Served:
    """A model of one number: no part of it would say so."""
    return Served("gate", "1", made_of(estimator, Task.REGRESSION, ["a"]), (Feature("a", Kind.NUMBER, 0.0),))


async def until(check: Any) -> None:
    for _ in range(4000):
        if check():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come to that")


async def busy(gate: Gate) -> None:
    await until(gate.busy.is_set)


# --- batches ----------------------------------------------------------------------------------------------------------


async def test_what_waits_is_answered_together_and_each_gets_its_own_answer() -> None:
    gate, one = gated()
    async with running(one, Settings(Limits(max_batch=32))) as (server, session):
        gate.busy.clear()
        gate.open.clear()
        first = asyncio.create_task(post(session, "/predict", {"a": -1}))
        await busy(gate)
        rest = [asyncio.create_task(post(session, "/predict", {"a": number})) for number in range(100)]
        await until(lambda: server.batcher.waiting == 100)
        gate.open.set()
        answers = [said["prediction"] for _, said in await asyncio.gather(first, *rest)]
    assert answers == [-2.0, *(2.0 * number for number in range(100))]
    assert gate.asked == [1, 32, 32, 32, 4]


async def test_a_row_that_the_model_fails_on_spoils_no_other_of_its_batch(caplog: pytest.LogCaptureFixture) -> None:
    gate, one = gated()
    async with running(one) as (server, session):
        gate.busy.clear()
        gate.open.clear()
        first = asyncio.create_task(post(session, "/predict", {"a": 0}))
        await busy(gate)
        rest = [asyncio.create_task(post(session, "/predict", {"a": number})) for number in (1, UNLUCKY, 2)]
        await until(lambda: server.batcher.waiting == 3)
        with caplog.at_level(logging.ERROR, "harness.serving"):
            gate.open.set()
            said = await asyncio.gather(first, *rest)
    assert [status for status, _ in said] == [200, 200, 500, 200]
    assert said[2][1] == {"error": "the model failed on this request", "errors": []}
    assert "unlucky: secret detail" in caplog.text  # the log has it all, the client nothing
    assert [record.exc_info is not None for record in caplog.records] == [True]


async def test_requests_that_come_alone_never_wait_for_others() -> None:
    gate, one = gated()
    async with running(one, Settings(Limits(wait_ns=20 * SECOND))) as (_, session):
        for number in range(5):
            assert (await post(session, "/predict", {"a": number}))[0] == 200
    assert gate.asked == [1] * 5


async def test_under_load_a_batch_waits_a_little_for_more() -> None:
    gate, one = gated()
    async with running(one, Settings(Limits(max_batch=4, wait_ns=20 * SECOND))) as (server, session):
        gate.busy.clear()
        gate.open.clear()
        first = asyncio.create_task(post(session, "/predict", {"a": 0}))
        await busy(gate)
        pair = [asyncio.create_task(post(session, "/predict", {"a": 1})) for _ in range(4)]
        await until(lambda: server.batcher.waiting == 4)
        gate.open.set()
        await asyncio.gather(first, *pair)
        late = [asyncio.create_task(post(session, "/predict", {"a": number})) for number in range(3)]
        await until(lambda: server.batcher.waiting == 3)  # held back: the last batch had four
        late.append(asyncio.create_task(post(session, "/predict", {"a": 3})))
        assert [said["prediction"] for _, said in await asyncio.gather(*late)] == [0.0, 2.0, 4.0, 6.0]
    assert gate.asked == [1, 4, 4]


async def test_several_threads_ask_side_by_side() -> None:
    both = threading.Barrier(2)

    class Pair(Gate):
        def predict(self, rows: Any) -> Any:
            if rows["a"].iloc[0] > 0:
                both.wait(10)  # goes on only once a second thread is here
            return rows["a"].to_numpy()

    async with running(of_one_number(Pair()), Settings(Limits(max_batch=1, threads=2))) as (_, session):
        said = await asyncio.gather(*(post(session, "/predict", {"a": number}) for number in (1, 2)))
    assert [status for status, _ in said] == [200, 200]


# --- trouble ----------------------------------------------------------------------------------------------------------


async def test_one_request_more_than_may_wait_is_told_to_come_again() -> None:
    gate, one = gated()
    async with running(one, Settings(Limits(queue=2))) as (server, session):
        gate.busy.clear()
        gate.open.clear()
        waiting = [asyncio.create_task(post(session, "/predict", {"a": 0}))]
        await busy(gate)
        waiting += [asyncio.create_task(post(session, "/predict", {"a": 1})) for _ in range(2)]
        await until(lambda: server.batcher.waiting == 2)
        for path, body in (("/predict", {"a": 1}), ("/invocations", {"dataframe_records": [{"a": 1}]})):
            async with session.post(path, json=body) as response:
                assert response.status == 503
                assert int(response.headers["Retry-After"]) >= 1
                assert "overloaded" in await response.text()
        gate.open.set()
        assert {status for status, _ in await asyncio.gather(*waiting)} == {200}


async def test_a_model_that_is_too_slow_is_told_of_and_the_loop_goes_on() -> None:
    gate, one = gated()
    async with running(one, Settings(Limits(timeout_ns=300 * MILLISECOND))) as (server, session):
        gate.busy.clear()
        gate.open.clear()
        slow = [asyncio.create_task(post(session, "/predict", {"a": number})) for number in range(2)]
        await busy(gate)
        async with session.get("/health") as response:
            assert response.status == 200
        for status, said in await asyncio.gather(*slow):
            assert status == 504
            assert "no answer within 0.3s" in said["error"]
        await until(lambda: server.batcher.stuck)
        async with session.get("/ready") as response:  # no traffic for a model that stands still
            assert (response.status, (await response.json())["status"]) == (503, "stuck")
        gate.open.set()
        await until(lambda: not server.batcher.stuck)
        assert (await post(session, "/predict", {"a": 3}))[1]["prediction"] == 6.0
        async with session.get("/ready") as response:
            assert response.status == 200


async def test_bodies_that_are_too_large_or_never_end() -> None:
    async with running(CHURN, Settings(Limits(timeout_ns=SECOND // 2), max_body=1000)) as (server, session):
        status, said = await post(session, "/predict", b" " * 1001)
        assert (status, said["error"]) == (413, "the body is larger than 1,000 bytes; send fewer rows at a time")
        status, said = await post(session, "/invocations", b" " * 1_000_000)
        assert (status, "1,000" in said["message"]) == (413, True)
        port = session._base_url.port
        for sent, told in (
            (b"Content-Length: 100\r\n\r\n{", b" 408 "),
            (b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b" 400 "),
            (b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd", b" 400 "),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n" + sent)
            assert told in await asyncio.wait_for(reader.readline(), 10)
            writer.close()
        assert server.in_flight == 0


async def test_other_methods_and_places() -> None:
    async with running(CHURN) as (_, session):
        for method, path, status in (
            ("GET", "/predict", 405),
            ("DELETE", "/invocations", 405),
            ("POST", "/health", 405),
            ("PUT", "/v2/models/churn/infer", 405),
            ("GET", "/nope", 404),
            ("POST", "/v2/models/churn/versions/3/nope", 404),
        ):
            async with session.request(method, path) as response:
                said = await response.json()
                assert (response.status, set(said)) == (status, {"error", "errors"})
                assert ("Allow" in response.headers) is (status == 405)
        async with session.head("/health") as response:
            assert response.status == 200


# --- ids, logs, labels ------------------------------------------------------------------------------------------------


async def test_a_request_keeps_its_id_or_gets_one() -> None:
    async with running(CHURN) as (_, session):
        ids = []
        for given in ("mine-1", None, None, "x" * 129, "two words", "é"):
            headers = {} if given is None else {"X-Request-Id": given}
            async with session.post("/predict", json=ROWS[0], headers=headers) as response:
                said = await response.json()
                assert response.headers["X-Request-Id"] == said["id"]
                ids.append(said["id"])
    assert ids[0] == "mine-1"
    assert len(set(ids)) == 6
    assert all(re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", each) for each in ids[1:])


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_predictions_are_logged_and_labels_find_them(tmp_path: Path) -> None:
    log = tmp_path / "deep" / "predictions.jsonl"
    settings = Settings(prediction_log=str(log))
    async with running(CHURN, settings) as (_, session):
        _, one = await post(session, "/predict", ROWS[0] | {"TotalCharges": None}, X_Request_Id="first")
        await post(session, "/invocations", {"dataframe_records": ROWS[:2]}, X_Request_Id="two")
        assert await post(session, "/labels", {"id": "first", "label": "Yes"}) == (200, {"labels": 1})
        assert await post(session, "/labels", [{"id": f"two/{n}", "label": "No"} for n in (0, 1)]) == (
            200,
            {"labels": 2},
        )
        kept = len(lines(log))
        for body, status, told in (
            ({"id": "first", "label": "No"}, 409, 'come already for "first"'),
            ([{"id": "two/0", "label": "No"}, {"id": "first", "label": "No"}], 409, "nothing was kept"),
            ({"id": "other", "label": "No"}, 404, 'no prediction has the id "other"'),
            ({"id": "first", "label": "Maybe"}, 422, "one of No, Yes"),
            ({"id": "first", "label": True}, 422, "one of No, Yes"),
            ({"id": 3, "label": "No"}, 422, "a label is"),
            ([], 422, "no label"),
            ([3, {"id": "first"}], 422, "[1] is"),
        ):
            found, said = await post(session, "/labels", body)
            assert (found, told in said["error"]) == (status, True), said
        assert len(lines(log)) == kept
        async with session.get("/metrics") as response:
            assert "\nmodel_labels_total 3.0" in await response.text()
    first, *_ = written = lines(log)
    assert (first["id"], first["prediction"], first["confidence"]) == ("first", one["prediction"], one["confidence"])
    assert first["features"] == ROWS[0] | {"TotalCharges": None}
    assert (first["model"], first["version"]) == ("churn", 3)
    assert first["time"].startswith("20")
    assert [each["id"] for each in written] == ["first", "two/0", "two/1", "first", "two/0", "two/1"]
    assert [each["label"] for each in written[3:]] == ["Yes", "No", "No"]
    async with running(CHURN, settings) as (_, session):  # a server that starts anew knows what was before
        assert (await post(session, "/labels", {"id": "first", "label": "No"}))[0] == 409
        assert (await post(session, "/labels", {"id": "never", "label": "No"}))[0] == 404
    async with running(CHURN) as (_, session):
        status, said = await post(session, "/labels", {"id": "first", "label": "No"})
        assert (status, "--prediction-log" in said["error"]) == (404, True)


async def test_the_prediction_log_is_put_aside_at_its_size(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    lost: list[tuple[str, int]] = []
    log = PredictionLog(str(path), lambda *told: lost.append(told), rotate_bytes=200, keep=2)
    for number in range(8):
        log.predicted(f"id-{number}", {"id": f"id-{number}", "features": "x" * 200})
        assert await log.flush()
    assert sorted(each.name for each in tmp_path.iterdir()) == [  # noqa: ASYNC240
        "p.jsonl",
        "p.jsonl.1",
        "p.jsonl.2",
    ]
    assert (path.read_text(), lines(tmp_path / "p.jsonl.1")[0]["id"]) == ("", "id-7")
    await log.close()
    again = PredictionLog(str(path), lambda *told: lost.append(told), rotate_bytes=200, keep=2)
    assert again.unknown(["id-7", "id-6", "id-5"]) == ["id-5"]
    await again.close()
    assert lost == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
async def test_a_full_disk_costs_lines_and_no_answers(caplog: pytest.LogCaptureFixture) -> None:
    async with running(CHURN, Settings(prediction_log="/dev/full", service_log="/dev/full")) as (server, session):
        for _ in range(3):
            assert (await post(session, "/predict", ROWS[0], X_Request_Id="a"))[0] == 200
            assert server.predictions
            await server.predictions.flush()
        status, said = await post(session, "/labels", {"id": "a", "label": "No"})
        assert (status, "send it again later" in said["error"]) == (503, True)
        async with session.get("/metrics") as response:
            assert 'model_log_lines_lost_total{log="prediction-log"} 4.0' in await response.text()
    told = [record.message for record in caplog.records if "prediction-log" in record.message]
    assert len(told) == 1
    assert "lines are lost (No space left on device)" in told[0]


async def test_the_service_log_tells_when_a_request_was_served(tmp_path: Path) -> None:
    gate, one = gated()
    log = tmp_path / "service.jsonl"
    before_ns = wall_ns()
    async with running(one, Settings(Limits(max_batch=1), service_log=str(log))) as (_, session):
        await asyncio.gather(*(post(session, "/predict", {"a": n}, X_Request_Id=f"r{n}") for n in range(20)))
    written = lines(log)
    assert {each["id"] for each in written} == {f"r{n}" for n in range(20)}
    served_in_turn = sorted(written, key=lambda each: each["start_ns"])
    free_ns = before_ns
    for each in served_in_turn:  # one thread: no service begins before the one before it has ended
        assert before_ns < each["arrived_ns"] < each["start_ns"]
        assert free_ns <= each["start_ns"] < each["end_ns"] < wall_ns()
        free_ns = each["end_ns"]
    assert gate.asked == [1] * 20


async def test_a_log_that_cannot_be_written_is_told_before_anything_is_served() -> None:
    with pytest.raises(InputError, match=r"--access-log /proc/nope/a: cannot be written"):
        async with running(CHURN, Settings(access_log="/proc/nope/a")):
            pass


async def test_lines_beyond_what_may_wait_are_lost_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.serving.logs.MOST_WAITING", 3)
    lost: list[tuple[str, int]] = []
    log = LineLog(str(tmp_path / "a"), "access-log", lambda *told: lost.append(told))
    for number in range(5):
        log.write(str(number))
    await log.close()
    assert (tmp_path / "a").read_text() == "0\n1\n2\n"
    assert lost == [("access-log", 1)] * 2


# --- metrics and draining ---------------------------------------------------------------------------------------------


async def test_metrics_are_prometheus_text_under_the_names_of_exported_rules() -> None:
    async with running(CHURN) as (_, session):
        for row in ROWS[:5]:
            await post(session, "/predict", row)
        await post(session, "/predict", {})
        await post(session, "/invocations", {"dataframe_records": ROWS[:3]})
        async with session.get("/metrics") as response:
            assert response.headers["Content-Type"].startswith("text/plain")
            families = {each.name: each for each in text_string_to_metric_families(await response.text())}
    samples = {
        (each.name, *sorted(each.labels.items())): each.value for family in families.values() for each in family.samples
    }
    json_200 = (("code", "200"), ("outcome", "success"), ("protocol", "json"))
    json_422 = (("code", "422"), ("outcome", "refused"), ("protocol", "json"))
    assert samples[REQUESTS, *json_200] == 5
    assert samples[REQUESTS, *json_422] == 1
    assert samples[f"{DURATION}_count", ("protocol", "json")] == 6
    assert (LABELS,) in samples
    assert sum(value for key, value in samples.items() if key[0] == "model_predictions_total") == 8
    assert samples["model_batch_rows_sum",] == 8
    assert samples["model_requests_in_flight",] == samples["model_queue_length",] == 0
    (info,) = families["model_info"].samples
    assert (info.labels["name"], info.labels["version"], info.labels["algorithm"]) == (
        "churn",
        "3",
        "LogisticRegression",
    )


async def test_while_it_drains_it_is_not_ready_and_closes_each_connection_with_its_answer() -> None:
    gate, one = gated()
    async with running(one) as (server, session):
        gate.busy.clear()
        gate.open.clear()
        first = asyncio.create_task(post(session, "/predict", {"a": 4}))
        await busy(gate)
        server.drain()
        async with session.get("/ready") as response:
            assert (response.status, (await response.json())["status"]) == (503, "draining")
            assert response.headers["Connection"] == "close"
        async with session.get("/health") as response:
            assert response.status == 200
        gate.open.set()
        assert (await first)[1]["prediction"] == 8.0
        assert (await post(session, "/predict", {"a": 1}))[0] == 200  # balancers need a moment to see it


async def test_a_client_that_goes_away_leaves_nothing_behind() -> None:
    gate, one = gated()
    async with running(one) as (server, session):
        gate.busy.clear()
        gate.open.clear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await post(session, "/predict", {"a": 1})
        gate.open.set()
        await until(lambda: server.in_flight == 0)
        assert (await post(session, "/predict", {"a": 1}))[0] == 200
