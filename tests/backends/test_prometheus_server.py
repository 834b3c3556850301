"""A Prometheus of a run's own: found again, ended, and told whom to scrape; the real program."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest

from harness.backends import processes, prometheus_server
from harness.backends.prometheus_server import ManagedPrometheus, targets_text
from harness.domain.units import SECOND
from harness.errors import BackendError
from harness.realtime import Place
from tests.backends.prometheus_bench import SCRAPE_NS, scenario
from tests.requires import program

KILLED = """
import asyncio, sys
from pathlib import Path
from harness.backends.prometheus_server import ManagedPrometheus
from harness.realtime import Place
from tests.backends.prometheus_bench import scenario

async def main():
    server = ManagedPrometheus(scenario())
    folder = Path(sys.argv[1])
    server.place(Place(folder, folder / "state", "run"))
    await server.start(dict)
    print(server.url, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def _prometheus() -> None:
    program("prometheus")


def made(folder: Path, **plan: Any) -> ManagedPrometheus:
    server = ManagedPrometheus(scenario(**plan))
    server.place(Place(folder, folder / "state", "run"))
    return server


@asynccontextmanager
async def running(folder: Path, **plan: Any) -> AsyncIterator[ManagedPrometheus]:
    server = made(folder, **plan)
    try:
        await server.start(dict)
        yield server
    finally:
        await server.stop()


async def asked(url: str, path: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/api/v1/{path}") as answer:
        return (await answer.json())["data"]


def notes(folder: Path) -> tuple[processes.Note, ...]:
    return processes.notes(folder / "state")


async def test_two_on_one_machine_keep_to_themselves_and_leave_nothing(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    async with running(one) as first, running(two) as second:
        assert first.url != second.url
        flags = await asked(first.url, "status/flags")
        assert flags["storage.tsdb.path"] == str(one / "prometheus" / "data")
        assert flags["web.listen-address"].startswith("127.0.0.1:")
        kept = await asked(first.url, "status/runtimeinfo")
        assert kept["storageRetention"] == "15d or 1GiB"
        written = {path.relative_to(one).parts[0] for path in one.rglob("*")}
        assert written == {"prometheus", "processes", "state"}
        (note,) = notes(one)
    assert not processes.alive(note)
    assert not notes(one)
    assert not notes(two)
    with pytest.raises(BackendError, match="has not been started"):
        _ = first.url
    await first.stop()


async def test_one_that_a_killed_harness_left_is_taken_up_with_its_data(tmp_path: Path) -> None:
    words = [sys.executable, "-c", KILLED, str(tmp_path)]
    harness = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])  # noqa: ASYNC220
    assert harness.stdout
    with harness.stdout:
        url = (await anyio.to_thread.run_sync(harness.stdout.readline)).strip()
    harness.kill()
    harness.wait()
    (left,) = notes(tmp_path)
    assert processes.alive(left)
    server = made(tmp_path)
    try:
        await server.attach(dict)
        assert server.url == url
        (taken,) = notes(tmp_path)
        assert (taken.pid, taken.owner.pid) == (left.pid, os.getpid())
        server.check()
    finally:
        await server.stop()
    assert not processes.alive(left)
    assert not notes(tmp_path)


async def test_one_that_nobody_takes_up_is_ended_by_the_next_run(tmp_path: Path) -> None:
    words = [sys.executable, "-c", KILLED, str(tmp_path)]
    harness = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])  # noqa: ASYNC220
    assert harness.stdout
    with harness.stdout:
        await anyio.to_thread.run_sync(harness.stdout.readline)
    harness.kill()
    harness.wait()
    (left,) = notes(tmp_path)
    assert [note.name for note in await processes.clean(tmp_path / "state")] == ["prometheus"]
    assert not processes.alive(left)


async def test_one_that_hangs_is_ended_and_another_takes_its_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus_server, "TAKE_UP_S", 0.2)
    monkeypatch.setattr(prometheus_server, "GRACE_S", 0.1)
    first, second = made(tmp_path), made(tmp_path)
    try:
        await first.start(dict)
        (hung,) = notes(tmp_path)
        assert hung.pid
        os.kill(hung.pid, signal.SIGSTOP)
        await first.leave()
        await second.attach(dict)
        (note,) = notes(tmp_path)
        assert note.pid != hung.pid
        assert not processes.alive(hung)
        assert (await asked(second.url, "status/flags"))["storage.tsdb.path"].endswith("prometheus/data")
    finally:
        await second.stop()


async def test_one_that_dies_is_told(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        (note,) = notes(tmp_path)
        assert note.pid
        server.check()
        os.kill(note.pid, signal.SIGKILL)
        await processes.ended(note)
        with pytest.raises(BackendError, match=rf"the Prometheus of this run \(pid {note.pid}\) has ended"):
            server.check()


async def test_whom_nobody_can_scrape_is_told_before_users_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus_server, "FIRST_S", 0.3)
    server = made(tmp_path, scrape_ns=SCRAPE_NS)
    try:
        with pytest.raises(BackendError, match="Prometheus can scrape nobody"):
            await server.start(lambda: {"http://127.0.0.1:9/metrics": {"arm": "stable"}})
    finally:
        await server.stop()
    assert not notes(tmp_path)


async def test_a_users_own_is_told_whom_to_scrape_and_then_that_nobody_is_there(tmp_path: Path) -> None:
    server = made(tmp_path, url="http://127.0.0.1:9", scrape_ns=SECOND // 100)
    found = {"http://127.0.0.1:81/metrics": {"arm": "stable"}}
    await server.start(lambda: dict(found))
    assert (server.url, notes(tmp_path)) == ("http://127.0.0.1:9", ())
    told = json.loads(server.targets.read_text())
    assert (server.targets, told[0]["targets"]) == (tmp_path / "state" / "targets" / "run.json", ["127.0.0.1:81"])
    found["https://churn.example/m"] = {"arm": "candidate"}
    with anyio.fail_after(60):
        while len(told) < 2:
            await anyio.sleep(0.01)
            told = json.loads(server.targets.read_text())
    labels = {"scenario": "made-in-python", "run": "run", "arm": "candidate"}
    labels |= {"__scheme__": "https", "__metrics_path__": "/m"}
    assert told[1] == {"targets": ["churn.example:443"], "labels": labels}
    await server.stop()
    assert not server.targets.exists()


def test_what_is_no_address_is_no_target() -> None:
    with pytest.raises(BackendError, match="no address that can be scraped"):
        targets_text({"unix:/run/x": {}})
