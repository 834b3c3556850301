"""`harness check` of what a scenario says of Prometheus: by a real one, by promtool, and one that is locked."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

from harness import app
from harness.app.prometheus_checks import Found, check
from harness.backends import processes
from harness.backends.prometheus_server import ManagedPrometheus
from harness.clock import run_real
from harness.domain.units import SECOND
from harness.errors import ScenarioError
from harness.realtime import Place
from tests.backends.prometheus_bench import scenario
from tests.requires import program
from tests.shipped import SCENARIOS
from tests.sites import site

GOOD = 'sum(increase(x_total{arm="$arm"}[$window]))'
TOKEN = "s3cr3t-t0ken"


def said(**plan: Any) -> Found:
    """What is found of a scenario made in Python."""
    return check(scenario(**{"timeout_ns": 20 * SECOND, **plan}))


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """A real Prometheus with nothing in it, that outlives the loop it was started in."""
    program("prometheus")
    server = ManagedPrometheus(scenario())
    server.place(Place(folder, folder / "state", "run"))

    async def start() -> str:
        await server.start(dict)
        url = server.url
        await server.leave()
        return url

    async def end() -> None:
        for note in processes.notes(folder / "state"):
            await processes.stop(note)

    try:
        yield run_real(start)
    finally:
        run_real(end)


def test_what_is_wrong_is_told_at_its_place(tmp_path: Path) -> None:
    """Promtool reads queries where nobody can be asked."""
    program("promtool")
    text = (SCENARIOS / "local_canary.yaml").read_text(encoding="utf-8")
    text = text.replace("metrics: inprocess", "metrics: prometheus").replace(
        "source: data", f"source: {SCENARIOS}/data"
    )
    own = {"requests": GOOD, "failed": "sum(increase(x_total[$window])", "p95": "histogram_quantil(0.9, x)"}
    lines = ["real:", "  prometheus:", "    queries:", *(f"      {name}: '{query}'" for name, query in own.items())]
    path = tmp_path / "mine.yaml"
    path.write_text("\n".join([text.replace("schema: data", f"schema: {SCENARIOS}/data"), *lines]))
    with pytest.raises(ScenarioError) as caught:
        app.check_references(app.load_scenario(path))
    failed, p95 = caught.value.problems
    assert (p95.line, p95.column) == (path.read_text().count("\n") + 1, 7)
    assert (failed.line, failed.column) == (p95.line - 1, 7)
    assert "real.prometheus.queries.failed is 'sum(increase(x_total[$window])', which is no PromQL" in failed.message
    assert 'unknown function with name "histogram_quantil"' in p95.message


def test_a_prometheus_that_is_down_is_no_error_of_the_file() -> None:
    program("promtool")
    found = said(url="http://127.0.0.1:9", queries={"requests": GOOD, "failed": GOOD, "p95": "max(y)"})
    assert not found.problems
    assert "real.prometheus.url was not asked: Prometheus at http://127.0.0.1:9 gave no answer" in found.notes[0]
    found = said(url="http://127.0.0.1:9", queries={"requests": GOOD, "failed": GOOD, "p95": "max(y"})
    assert [key for key, _ in found.problems] == [("real", "prometheus", "queries", "p95")]


def test_a_prometheus_that_is_there_is_asked_what_a_run_would_ask(tmp_path: Path) -> None:
    counts = {"requests": GOOD, "failed": "x_total"}
    with running(tmp_path) as url:
        found = said(url=url, queries={**counts, "p95": "max(y)"})
        assert (found.problems, found.words) == ([], ["Prometheus answers 3 queries"])
        assert "no series for stable's requests, failed, p95 now" in found.notes[0]
        for query, words in (
            ("quantile(2, up, up)", "is no query that it answers: .*parse error: wrong number of arguments"),
            ("vector(1) or label_replace(vector(1), 'a', 'b', '', '')", "answers with 2 series where one figure"),
        ):
            ((key, told),) = said(url=url, queries={**counts, "p95": query}).problems
            assert key == ("real", "prometheus", "queries", "p95")
            assert re.search(words, told), told


def test_all_that_is_wrong_with_queries_is_told_at_once() -> None:
    found = said(queries={"requests": "sum(x_total)", "accurcy": "y"}).problems
    words = " ".join(told for _, told in found)
    assert len(found) == 4
    for each in ("counts since ever", "did you mean accuracy?", "lacks failed", "nor p95, and a rule speaks of p95"):
        assert each in words


async def test_a_locked_door_is_told_and_the_token_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    async def locked(request: web.Request) -> web.Response:
        return web.Response(status=401, text=str(request.headers.get("Authorization")))

    made = web.Application()
    made.router.add_post("/api/v1/query", locked)
    async with site(made) as url:
        plan = {"url": url, "token_env": "HARNESS_TEST_PROM"}
        found = await anyio.to_thread.run_sync(lambda: said(**plan))
        assert (found.problems, "no variable of that name is set" in found.notes[0]) == ([], True)
        monkeypatch.setenv("HARNESS_TEST_PROM", TOKEN)
        ((key, told),) = (await anyio.to_thread.run_sync(lambda: said(**plan))).problems
    assert key == ("real", "prometheus", "url")
    assert "lets nobody in so (HTTP 401)" in told
    assert TOKEN not in told
