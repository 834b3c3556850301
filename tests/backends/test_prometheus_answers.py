"""What Prometheus may answer, by a stand-in on loopback: figures only from whole answers; the rest is told, and none is
taken for zero.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from harness.backends.prometheus import PrometheusMetrics
from harness.backends.prometheus_api import Api, NoAnswer, QueryError
from harness.backends.prometheus_arm import Answers
from harness.backends.prometheus_series import Counted
from harness.clock import now_ns
from harness.domain.model import Role
from harness.domain.units import MILLISECOND, SECOND
from harness.errors import BackendError, InputError
from harness.protocols import ArmSample
from harness.stats.histogram import Histogram
from tests.backends.prometheus_bench import Clients, scenario
from tests.build import policy
from tests.sites import site

TOKEN = "s3cr3t-t0ken"
QUERIES = {"requests": "requests[$window]", "failed": "failed[$window]", "latency_buckets": "buckets[$window]"}
"""No selectors alone: the stand-in evaluates them itself."""

Said = web.Response | str | Callable[[web.Request], Any]


def told(value: str, **more: Any) -> str:
    """An instant vector of one sample."""
    return json.dumps({"status": "success", "data": vector(("", value)), **more})


def vector(*samples: tuple[str, str]) -> dict[str, Any]:
    labels = [{"le": bound} if bound else {} for bound, _ in samples]
    return {
        "resultType": "vector",
        "result": [
            {"metric": metric, "value": [1_700_000_000.5, value]}
            for metric, (_, value) in zip(labels, samples, strict=True)
        ],
    }


NOTHING = json.dumps({"status": "success", "data": vector()})


class StandIn:
    """Answers `/api/v1/query`; the last of a query's answers is given again and again."""

    def __init__(self, **answers: Said | list[Said]) -> None:
        self.answers = {name: list(said) if isinstance(said, list) else [said] for name, said in answers.items()}
        self.asked: list[str] = []
        self.headers: list[str | None] = []

    async def query(self, request: web.Request) -> web.StreamResponse:
        query = str((await request.post())["query"])
        self.asked.append(query)
        self.headers.append(request.headers.get("Authorization"))
        said = self.answers.get(query.partition("[")[0], [NOTHING])
        now = said.pop(0) if len(said) > 1 else said[0]
        if isinstance(now, str):
            return web.Response(text=now, content_type="application/json")
        if isinstance(now, web.Response):
            return web.Response(status=now.status, text=now.text, headers=now.headers)
        found: web.StreamResponse = await now(request)
        return found

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/api/v1/query", self.query)
        async with site(app) as url:
            yield url


def wrong(status: int, error: str) -> web.Response:
    return web.Response(status=status, text=json.dumps({"status": "error", "errorType": "x", "error": error}))


async def hang(request: web.Request) -> web.Response:
    await asyncio.sleep(30)
    return web.Response(text=told("1"))


async def cut(request: web.Request) -> web.StreamResponse:
    """Promises more than it sends, and hangs up."""
    answer = web.StreamResponse(headers={"Content-Length": "500"})
    await answer.prepare(request)
    await answer.write(told("1")[:40].encode())
    assert request.transport
    request.transport.close()
    return answer


def api(url: str, retries: int = 1, timeout_ns: int = 30 * SECOND, token: str | None = TOKEN) -> Api:
    return Api(url, timeout_ns, retries, token)


async def ask(url: str, query: str = "x", **settings: Any) -> list[float]:
    one = api(url, **settings)
    async with one.session() as session:
        return [each.points[-1][1] for each in await one.ask(session, query, 1_700_000_000_000)]


# --- the API ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "error", "words", "attempts"),
    [
        (wrong(500, "out of memory"), NoAnswer, r"no answer in 2 attempts: HTTP 500, out of memory", 2),
        (wrong(503, "query timed out"), NoAnswer, r"HTTP 503, query timed out", 2),
        (web.Response(status=429, text="slow down"), NoAnswer, r"HTTP 429, slow down", 2),
        (cut, NoAnswer, r"no answer in 2 attempts", 2),
        (wrong(400, "parse error: unexpected )"), QueryError, r"refused the query x .*parse error: unexpected \)", 1),
        (wrong(422, "too many samples"), QueryError, r"refused the query x .*too many samples", 1),
        (web.Response(status=404, text="<html>no page</html>"), BackendError, r"HTTP 404\): <html>no page", 1),
        (web.Response(status=401, text="who?"), BackendError, r"lets nobody in .*token_env", 1),
        (web.Response(status=302, headers={"Location": "http://b/login"}), BackendError, r"redirects to http://b/", 1),
        (web.Response(text="<html>log in</html>"), BackendError, r"did not answer as Prometheus does.*<html>log in", 1),
        (told("1")[:-20], BackendError, r"did not answer as Prometheus does to x \(JSONDecodeError", 1),
        ("[]", BackendError, r"did not answer as Prometheus", 1),
        ("[" * 100_000, BackendError, r"did not answer as Prometheus", 1),
        ('{"status": "success"}', BackendError, r"\(KeyError: 'data'\)", 1),
        ('{"status": "success", "data": {"resultType": "string", "result": [1, "a"]}}', BackendError, "type string", 1),
        (told("seven"), BackendError, r"could not convert", 1),
        (told("1", warnings=["a store did not answer"]), BackendError, r"x is not whole: a store did not answer", 1),
        (told("1", isPartial=True), BackendError, r"x is not whole: isPartial", 1),
        (told(TOKEN), BackendError, r"\*\*\*", 1),
        (told("1", warnings=[f"saw {TOKEN}"]), BackendError, r"saw \*\*\*", 1),
        (web.Response(status=302, headers={"Location": f"http://b/?q={TOKEN}"}), BackendError, r"\*\*\*", 1),
        (wrong(400, f"no {TOKEN}"), QueryError, r"no \*\*\*", 1),
    ],
)  # fmt: skip
async def test_what_is_no_answer_is_told_and_asked_again_only_where_that_may_help(
    said: Said, error: type[BackendError], words: str, attempts: int
) -> None:
    stand_in = StandIn(x=said)
    async with stand_in.running() as url:
        with pytest.raises(error, match=words) as caught:
            await ask(url)
    assert type(caught.value) is error
    assert len(stand_in.asked) == attempts
    assert stand_in.headers == [f"Bearer {TOKEN}"] * attempts
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("first", [wrong(500, "busy"), wrong(503, "starts"), cut])
async def test_what_fails_once_is_answered_the_second_time(first: Said) -> None:
    async with StandIn(x=[first, told("7")]).running() as url:
        assert await ask(url) == [7.0]


async def test_what_never_answers_has_its_time_and_no_more() -> None:
    async with StandIn(x=hang).running() as url:
        with pytest.raises(NoAnswer, match=r"no answer in 2 attempts: nothing within 0\.05 s \(query: x\)"):
            await ask(url, timeout_ns=SECOND // 20)


async def test_a_late_answer_is_asked_for_again() -> None:
    async with StandIn(x=[hang, told("7")]).running() as url:
        assert await ask(url, timeout_ns=SECOND // 2, retries=20) == [7.0]


async def test_nobody_there_is_told_with_the_place_and_without_its_password() -> None:
    async with StandIn().running() as url:
        pass
    place = url.replace("//", "//ann:pa55word@")
    with pytest.raises(NoAnswer, match=r"http://\*\*\*@127\.0\.0\.1:\d+ gave no answer in 2 attempts"):
        await ask(place, token=None)


@pytest.mark.parametrize(
    ("said", "values"),
    [
        (NOTHING, []),
        (told("+Inf"), [float("inf")]),
        (told("1", infos=["PromQL info: metric might not be a counter"]), [1.0]),
        (told("1", warnings=["PromQL info: metric might not be a counter"]), [1.0]),
    ],
)
async def test_remarks_on_a_query_are_no_warnings(said: str, values: list[float]) -> None:
    async with StandIn(x=said).running() as url:
        assert await ask(url) == values


# --- the metric source ------------------------------------------------------------------------------------------------


class Busy(Clients):
    """Clients that asked ten times."""

    async def sample(self, start_ns: int, stop_ns: int) -> dict[Role, ArmSample]:
        found = await super().sample(start_ns, stop_ns)
        return {role: replace(arm, arrivals=10) for role, arm in found.items()}


async def figures(stand_in: StandIn, **plan: Any) -> dict[str, float | None]:
    """Stable's, of a window that is just over."""
    async with stand_in.running() as url:
        given = {"queries": QUERIES, "retries": 0, "timeout_ns": 30 * SECOND, **plan}
        source = PrometheusMetrics(scenario(url=url, **given), Busy())
        found = await source.sample(now_ns() - SECOND, now_ns())
    return found[Role.STABLE].figures()


BUCKETS = json.dumps({"status": "success", "data": vector(("0.1", "90"), ("0.2", "100"), ("+Inf", "100"))})


async def test_figures_come_from_prometheus_and_quality_from_the_clients() -> None:
    found = await figures(StandIn(requests=told("100.2"), failed=told("4.9"), buckets=BUCKETS))
    assert (found["requests"], found["error_rate"], found["accuracy"]) == (100, 0.05, 0.75)
    assert found["p50"] == pytest.approx(0.1 * 50 / 90, rel=0.01)
    assert found["p95"] == pytest.approx(0.15, rel=0.01)


@pytest.mark.parametrize("said", [told("NaN"), told("+Inf"), told("-Inf"), told("-3"), NOTHING])
async def test_requests_that_are_no_number_leave_every_figure_open(said: str) -> None:
    found = await figures(StandIn(requests=said, failed=told("0"), buckets=BUCKETS))
    assert [found[name] for name in ("requests", "error_rate", "success_rate", "mean", "p50", "p99")] == [None] * 6
    assert found["accuracy"] == 0.75


@pytest.mark.parametrize("said", [told("NaN"), told("+Inf"), told("-1")])
async def test_failures_that_are_no_number_are_not_none(said: str) -> None:
    assert (await figures(StandIn(requests=told("100"), failed=said, buckets=BUCKETS)))["error_rate"] is None


async def test_no_series_of_failures_is_no_failure_where_requests_are_seen() -> None:
    assert (await figures(StandIn(requests=told("100"), failed=NOTHING, buckets=BUCKETS)))["error_rate"] == 0


@pytest.mark.parametrize("said", [NOTHING, json.dumps({"status": "success", "data": vector(("0.1", "NaN"))})])
async def test_latencies_that_are_not_known_are_open_and_errors_are_not(said: str) -> None:
    found = await figures(StandIn(requests=told("100"), failed=told("1"), buckets=said))
    assert (found["error_rate"], found["mean"], found["p95"]) == (0.01, None, None)


@pytest.mark.parametrize("value", ["NaN", "+Inf", None])
async def test_a_metric_of_ones_own_that_is_no_number_is_open(value: str | None) -> None:
    own = {**QUERIES, "p95": "own[$window]"}
    stand_in = StandIn(requests=told("9"), failed=told("0"), buckets=BUCKETS, own=told(value) if value else NOTHING)
    found = await figures(stand_in, queries=own)
    assert (found["p95"], found["error_rate"]) == (None, 0)


async def test_more_series_than_one_are_no_figure() -> None:
    two = json.dumps({"status": "success", "data": vector(("1", "1"), ("2", "2"))})
    with pytest.raises(BackendError, match=r"own\[1s\] answers with 2 series .* make it one, with sum"):
        await figures(
            StandIn(requests=told("9"), failed=told("0"), own=two), queries={**QUERIES, "p95": "own[$window]"}
        )


async def test_buckets_without_bounds_are_told() -> None:
    with pytest.raises(BackendError, match=r"has no bound \(le\) among its labels .* sum by \(le\)"):
        await figures(StandIn(requests=told("9"), failed=told("0"), buckets=told("9")))


@pytest.mark.parametrize("query", ["requests", "failed", "buckets"])
async def test_one_query_without_an_answer_is_no_sample_at_all(query: str) -> None:
    answers: dict[str, Said] = {"requests": told("9"), "failed": told("0"), "buckets": BUCKETS, query: wrong(500, "x")}
    with pytest.raises(NoAnswer, match=rf"HTTP 500, x \(query: {query}\[1s\]\)"):
        await figures(StandIn(**answers))


async def test_a_window_is_asked_for_once_it_has_been_over_for_the_lag() -> None:
    stand_in = StandIn(requests=told("9"), failed=told("0"), buckets=BUCKETS)
    async with stand_in.running() as url:
        of = scenario(url=url, queries=QUERIES, lag_ns=300 * MILLISECOND)
        stop = now_ns()
        await PrometheusMetrics(of, Busy()).sample(stop - SECOND, stop)
        assert now_ns() >= stop + 300 * MILLISECOND


async def test_the_token_goes_with_each_query_and_must_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = StandIn(requests=told("9"), failed=told("0"), buckets=BUCKETS)
    with pytest.raises(InputError, match="token_env is HARNESS_TEST_PROM, and no variable of that name is set"):
        await figures(stand_in, token_env="HARNESS_TEST_PROM")
    monkeypatch.setenv("HARNESS_TEST_PROM", f"Bearer {TOKEN}")
    with pytest.raises(InputError, match="without `Bearer`") as caught:
        await figures(stand_in, token_env="HARNESS_TEST_PROM")
    assert TOKEN not in str(caught.value)
    monkeypatch.setenv("HARNESS_TEST_PROM", f"{TOKEN}\n")
    await figures(stand_in, token_env="HARNESS_TEST_PROM")
    assert set(stand_in.headers) == {f"Bearer {TOKEN}"}


def test_an_arm_that_hangs_does_not_look_healthy_to_its_own_servers() -> None:
    """Servers count what they answer; what their users waited for in vain only the users know."""
    met = ArmSample(
        10, 6, {"timeout": 3, "presumed_reset": 1, "error": 2}, Histogram(), 10, 0, {}, SECOND, {}
    )  # fmt: skip
    counts = {"requests": Counted((({}, 96),), seen=True, spoilt=False)}
    arm = Answers(counts).over(met, by_servers=True)
    assert (arm.requests, arm.failed, arm.errors) == (100, 4, {"timeout": 3, "presumed_reset": 1})
    assert Answers(counts).over(met).failed == 0
    assert Answers().over(met, by_servers=True).figures()["error_rate"] is None


# --- queries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("queries", "words"),
    [
        ({"requests": "x_total"}, "lacks failed: whoever counts by queries of their own"),
        ({"requests": "x_total", "failed": "sum(y_total)"}, r"queries.failed is 'sum\(y_total\)', which counts since"),
        ({"accurcy": "x"}, r"queries.accurcy answers nothing.*did you mean accuracy\?"),
        ({"outcome": "x"}, "queries.outcome answers nothing"),
        ({"requests": "x", "failed": "y"}, "has no latency_buckets, nor p95, and a rule speaks of p95"),
        (
            {"requests": "x", "failed": "y", "latency_buckets": "z", "latency_buckets_ms": "z"},
            "latency_buckets_ms is latency_buckets in another unit",
        ),
    ],
)
def test_queries_that_would_answer_wrongly_are_refused(queries: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        PrometheusMetrics(scenario(queries=queries), Clients())


def test_a_rule_about_a_latency_that_is_asked_for_itself_needs_no_buckets() -> None:
    queries = {"requests": "x", "failed": "y", "p95": "z"}
    assert PrometheusMetrics(scenario(queries=queries), Clients()).realtime
    assert PrometheusMetrics(policy(scenario(queries={"requests": "x", "failed": "y"}), analysis=None), Clients())
