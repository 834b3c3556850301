"""A real MLflow server that tests share; `tests.conftest` makes its fixtures known.

What uses it belongs to the xdist group ``mlflow``, so that there is one.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from tests import log_models, requires


def client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


@pytest.fixture(scope="session")
def mlflow_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store: a new one costs seconds of migrations, a copy nothing."""
    requires.module("mlflow")
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    path = tmp_path_factory.mktemp("template") / "registry.db"
    SqlAlchemyStore(f"sqlite:///{path}", path.with_name("registry-artifacts").as_uri()).engine.dispose()
    return path


@pytest.fixture(scope="session")
def mlflow_process(mlflow_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server in a process group of its own, which ends as a whole."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(mlflow_template, folder / "server.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True, env=environment)
    try:
        uri = f"http://127.0.0.1:{port}"
        _wait_for(uri, process, folder / "log")
        yield uri
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(uri: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = monotonic() + 90
    while monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            sleep(0.2)
    pytest.fail(f"mlflow server did not come up:\n{log.read_text()[-2000:]}")


@pytest.fixture
def mlflow_server(mlflow_process: str) -> str:
    """The server, without what the checks before left."""
    asked = client(mlflow_process)
    for model in asked.search_registered_models():
        asked.delete_registered_model(model.name)
    for experiment in asked.search_experiments():
        if experiment.name != "Default":
            asked.rename_experiment(experiment.experiment_id, f"past-{uuid.uuid4().hex}")
            asked.delete_experiment(experiment.experiment_id)
    return mlflow_process


@dataclass(frozen=True)
class Theirs:
    """An MLflow that others have filled, and their runs: skops, cloudpickle, plain artifacts."""

    uri: str
    runs: tuple[str, str, str]


@pytest.fixture(scope="session")
def their_mlflow(mlflow_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Theirs:
    folder = tmp_path_factory.mktemp("theirs")
    shutil.copy(mlflow_template, folder / "store.db")
    return logged(f"sqlite:///{folder}/store.db", folder)


def logged(uri: str, folder: Path) -> Theirs:
    done = subprocess.run(
        [sys.executable, log_models.__file__, uri, folder], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    skops, pickled, plain = [line for line in done.stdout.split() if len(line) == 32]
    return Theirs(uri, (skops, pickled, plain))
