"""The server as a process of its own: its first line, its signals, its workers, and what it refuses to load."""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import joblib
import pandas as pd
import pytest

from harness.app import serving as app_serving
from harness.app.serving import Options
from harness.clock import run_real
from harness.errors import InputError
from harness.serving import openapi
from harness.training import artifact
from tests.serving.slow import Slow
from tests.serving.trained import pipeline, post, serving

ROOT = Path(__file__).parents[2]
PATIENCE_S = 90


class Program:
    """A running `harness serve`."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    async def ended(self) -> tuple[int, str]:
        """Its exit code and what it said on standard error."""
        _, said = await asyncio.wait_for(self.process.communicate(), PATIENCE_S)
        return int(self.process.returncode or 0), said.decode()


async def started(*words: str | Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "harness", "serve", *map(str, words), cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


@asynccontextmanager
async def program(*words: str | Path) -> AsyncIterator[Program]:
    process = await started(*words, "--port", "0")
    assert process.stdout
    assert process.stderr
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)).decode()
        assert line.startswith("ready http://127.0.0.1:"), (await process.stderr.read()).decode()
        yield Program(process, line.split()[1])
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        process._transport.close()  # type: ignore[attr-defined]


@asynccontextmanager
async def session_with(running: Program) -> AsyncIterator[aiohttp.ClientSession]:
    limit = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(running.url, timeout=limit) as session:
        yield session


async def until(check: Callable[[], Any]) -> None:
    for _ in range(2000):
        if await check():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")


@pytest.fixture(scope="module")
def churn_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "churn-model.skops"
    artifact.save(pipeline("logistic_regression"), path)
    return path


@pytest.fixture(scope="module")
def slow_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "slow.joblib"
    frame = pd.DataFrame({"seconds": [0.0, 0.001]})
    joblib.dump(Slow().fit(frame, [0, 1]), path)
    return path


def quick(*words: str | Path) -> tuple[str | Path, ...]:
    """Words of a program that does not linger."""
    return (*words, "--linger", "0s")


# --- one process ------------------------------------------------------------------------------------------------------


async def test_on_sigterm_what_is_in_flight_is_answered_and_the_exit_code_is_zero(slow_file: Path) -> None:
    async with program(slow_file, "--trust-pickle", "--drain", "20s") as running, session_with(running) as session:
        slow = asyncio.create_task(post(session, "/predict", {"seconds": 1.5}))

        async def in_flight() -> bool:
            async with session.get("/metrics") as response:
                return "\nmodel_requests_in_flight 1.0" in await response.text()

        await until(in_flight)
        running.process.terminate()

        async def not_ready() -> bool:
            async with session.get("/ready") as response:
                assert (response.status == 503) is (response.headers.get("Connection") == "close")
                return response.status == 503

        await until(not_ready)  # at once, though the server is still at work
        assert not slow.done()
        assert (await slow)[:1] == (200,)
        assert (await slow)[1]["prediction"] == 3.0
        code, said = await running.ended()
    assert code == 0
    assert "Traceback" not in said
    assert "loaded from a pickle, as --trust-pickle allows" in said


async def status_of(url: str) -> tuple[int, str | None]:
    """Status and Connection of an answer on a connection of its own."""
    async with aiohttp.request("GET", url) as response:
        return response.status, response.headers.get("Connection")


@pytest.mark.parametrize("words", [("--workers", "1"), ("--workers", "2"), ("--fake",)])
async def test_while_it_lingers_no_request_is_refused(churn_file: Path, words: tuple[str, ...]) -> None:
    """Requests are under way across a SIGTERM, each on a new connection; a second SIGTERM ends the while."""
    of_model = () if "--fake" in words else (churn_file,)
    row = openapi.example(serving(pipeline("logistic_regression")))
    statuses: list[int] = []
    enough = asyncio.Event()
    async with program(*of_model, *words, "--linger", "600s") as running:

        async def ask() -> None:
            while not enough.is_set():
                async with aiohttp.request("POST", f"{running.url}/predict", json=row) as response:
                    statuses.append(response.status)

        asking = [asyncio.create_task(ask()) for _ in range(4)]
        await until(lambda: asyncio.sleep(0, len(statuses) >= 20))
        running.process.terminate()

        async def not_ready() -> bool:
            return await status_of(f"{running.url}/ready") == (503, "close")

        await until(not_ready)
        before = len(statuses)
        await until(lambda: asyncio.sleep(0, len(statuses) >= before + 100))
        after = {(await status_of(f"{running.url}/ready"))[0] for _ in range(10)}
        enough.set()
        await asyncio.gather(*asking)
        assert running.process.returncode is None
        running.process.terminate()
        assert await running.ended() == (0, "")
        with pytest.raises(aiohttp.ClientConnectorError):
            await status_of(f"{running.url}/ready")
    assert set(statuses) == {200}
    assert after == {503}


async def test_an_idle_server_lingers_too_and_then_ends_by_itself(churn_file: Path) -> None:
    async with program(churn_file, "--linger", "1500ms") as running:
        running.process.terminate()
        seen = []
        while running.process.returncode is None:
            try:
                seen.append((await status_of(f"{running.url}/ready"))[0])
            except aiohttp.ClientError:
                break
            await asyncio.sleep(0.01)
        assert (await running.ended())[0] == 0
    assert 503 in seen


@pytest.mark.parametrize("words", [(), ("--workers", "2")])
async def test_ctrl_c_ends_it_without_lingering(churn_file: Path, words: tuple[str, ...]) -> None:
    async with program(churn_file, *words, "--linger", "600s") as running:
        running.process.send_signal(signal.SIGINT)
        assert await running.ended() == (0, "")


async def test_what_the_stand_in_has_in_flight_is_finished() -> None:
    async with program("--fake", "--latency", "2500ms") as running, session_with(running) as session:
        slow = asyncio.create_task(post(session, "/predict", {"a": 1}))

        async def in_flight() -> bool:
            async with session.get("/metrics") as response:
                return "\nmodel_requests_in_service 1.0" in await response.text()

        await until(in_flight)
        running.process.terminate()
        assert (await slow)[0] == 200
        assert (await running.ended())[0] == 0


async def test_a_drain_has_an_end(slow_file: Path) -> None:
    async with program(slow_file, "--trust-pickle", "--drain", "300ms") as running, session_with(running) as session:
        slow = asyncio.create_task(post(session, "/predict", {"seconds": 60}))
        await until(lambda: _busy(session))
        running.process.send_signal(signal.SIGINT)
        code, said = await running.ended()
        with pytest.raises(aiohttp.ClientError):
            await slow
    assert (code, "Traceback" in said) == (0, False)


async def _busy(session: aiohttp.ClientSession) -> bool:
    async with session.get("/metrics") as response:
        return "\nmodel_requests_in_flight 1.0" in await response.text()


async def test_logs_of_a_process(churn_file: Path, tmp_path: Path) -> None:
    access, service = tmp_path / "access.jsonl", tmp_path / "service.jsonl"
    async with program(
        *quick(churn_file), "--access-log", access, "--service-log", service, "--name", "c", "--version", "v2"
    ) as running:
        async with session_with(running) as session:
            row = openapi.example(serving(pipeline("logistic_regression")))
            _, said = await post(session, "/predict", row, X_Request_Id="q")
            assert (said["model"], said["version"]) == ("c", "v2")
            await post(session, "/nope", row)
        running.process.terminate()
        assert (await running.ended()) == (0, "")
    lines = [json.loads(line) for line in access.read_text().splitlines()]
    assert [(each["id"], each["method"], each["path"], each["status"]) for each in lines] == [
        ("q", "POST", "/predict", 200),
        (None, "POST", "/nope", 404),
    ]
    assert set(json.loads(service.read_text())) == {"id", "arrived_ns", "start_ns", "end_ns"}


async def test_the_stand_in_is_served_with_its_flags() -> None:
    flags = ("--latency", "1ms", "--error-rate", "100%", "--error-status", "502", "--name", "other", "--workers", "2")
    async with program("--fake", *flags) as running:
        async with session_with(running) as session:
            assert (await post(session, "/predict", {"a": 1}))[0] == 502
            async with session.get("/settings") as response:
                told = await response.json()
            assert (told["latency"], told["model"], told["workers"]) == ({"constant": "1ms"}, "other", 2)
        running.process.terminate()
        assert await running.ended() == (0, "")


# --- several processes ------------------------------------------------------------------------------------------------


async def test_workers_share_a_port_and_their_counts(churn_file: Path) -> None:
    row = openapi.example(serving(pipeline("logistic_regression")))
    async with program(*quick(churn_file), "--workers", "2") as running:
        ids = set()

        async def both() -> bool:
            async with session_with(running) as session:  # a new connection each time: the kernel picks the worker
                status, said = await post(session, "/predict", row)
            assert status == 200
            ids.add(said["id"].partition("-")[0])
            return len(ids) == 2

        asked = 0

        async def counted() -> bool:
            nonlocal asked
            asked += 1
            return await both()

        await until(counted)
        async with session_with(running) as session, session.get("/metrics") as response:
            text = await response.text()
        total = next(float(line.split()[1]) for line in text.splitlines() if line.startswith("model_requests_total{"))
        assert total == asked
        running.process.terminate()
        assert await running.ended() == (0, "")


async def test_when_a_worker_dies_the_others_end_and_it_is_told(churn_file: Path) -> None:
    async with program(churn_file, "--workers", "2", "--linger", "600s") as running:
        children = children_of(running.process.pid)
        assert len(children) == 2
        os.kill(children[0], signal.SIGKILL)
        code, said = await running.ended()
        assert (code, "ended by signal 9; the others are stopped" in said) == (3, True)
        assert not any(alive(child) for child in children)


async def test_workers_end_when_their_parent_is_killed(churn_file: Path) -> None:
    async with program(churn_file, "--workers", "2", "--linger", "600s") as running:
        children = children_of(running.process.pid)
        running.process.kill()
        await running.process.wait()

        async def gone() -> bool:
            return not any(alive(child) for child in children)

        await until(gone)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended, and nobody has asked after, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# --- registries -------------------------------------------------------------------------------------------------------


@pytest.mark.xdist_group("mlflow")
@pytest.mark.filterwarnings("ignore")
def test_a_version_is_found_by_alias_and_by_number(mlflow_template: Path, tmp_path: Path) -> None:
    from harness.backends.mlflow import MlflowRegistry
    from harness.contracts import sample_model

    path = tmp_path / "registry.db"
    shutil.copy(mlflow_template, path)

    async def fill() -> None:
        registry = MlflowRegistry(f"sqlite:///{path}")
        for number in (1, 2, 3):
            revision = await registry.register(sample_model(number), f"intent-{number}")
            if number == 2:
                await registry.set_alias(revision, "stable")

    run_real(fill)
    uri = f"mlflow+sqlite:///{path}"
    for model, version in (("checked-model@stable", "2"), ("checked-model:3", "3"), ("checked-model", "2")):
        found = app_serving.find(Options(model, uri))
        assert (found.name, found.version) == ("checked-model", version)
        assert found.model.artifact_digest == sample_model(int(version)).artifact_digest
    for model, told in (
        ("checked-model@prod", "aliases: stable"),
        ("checked-model:9", "versions: 1, 2, 3"),
        ("other@stable", "holds no model 'other'"),
        ("a b@c@d", "names no version"),
    ):
        with pytest.raises(InputError, match=told):
            app_serving.find(Options(model, uri))
    with pytest.raises(InputError, match="are for files"):
        app_serving.find(Options("checked-model@stable", uri, name="x"))
    with pytest.raises(InputError, match="a registry in memory"):
        app_serving.find(Options("checked-model@stable", "memory"))
    with pytest.raises(InputError, match="no registry is named"):
        app_serving.find(Options("checked-model@stable"))


@pytest.mark.xdist_group("mlflow")
@pytest.mark.filterwarnings("ignore")
def test_models_that_others_registered_are_served_too(mlflow_template: Path, tmp_path: Path) -> None:
    import mlflow

    path = tmp_path / "registry.db"
    shutil.copy(mlflow_template, path)
    folder = tmp_path / "theirs"
    mlflow.sklearn.save_model(
        pipeline("random_forest"), folder, serialization_format="skops", pip_requirements=["scikit-learn"],
        skops_trusted_types=["numpy.dtype", "sklearn.tree._tree.Tree"],
    )  # fmt: skip
    from tests.mlflow_server import client

    theirs = client(f"sqlite:///{path}")
    theirs.create_registered_model("theirs")
    theirs.create_model_version("theirs", folder.as_uri())
    theirs.set_registered_model_alias("theirs", "champion", "1")
    for model in ("theirs@champion", "theirs:1"):
        found = app_serving.find(Options(model, f"mlflow+sqlite:///{path}"))
        assert (found.name, found.version, len(found.features)) == ("theirs", "1", 19)
