"""MLflow keeps the promises of a registry and a tracker: on SQLite, and against a real server over HTTP."""

import itertools
import shutil
import socket
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from harness.backends.mlflow import Connection
from harness.clock import run_virtual
from harness.contracts import REGISTRY_CHECKS, check_tampering, check_tracker, sample_model
from harness.domain.model import Revision
from harness.errors import LeaseLost, NotRegistered, RegistryError
from tests import requires
from tests.mlflow_server import client

pytestmark = [
    pytest.mark.filterwarnings("ignore"), pytest.mark.xdist_group("mlflow"), pytest.mark.timeout(180),
    pytest.mark.usefixtures("an_empty_folder"),
]  # fmt: skip


@pytest.fixture
def stores(mlflow_template: Path, tmp_path: Path) -> Callable[[], str]:
    numbers = itertools.count()

    def new() -> str:
        path = tmp_path / f"store{next(numbers)}" / "registry.db"
        path.parent.mkdir()
        shutil.copy(mlflow_template, path)
        return f"sqlite:///{path}"

    return new


def registry(uri: str) -> Any:
    from harness.backends.mlflow import MlflowRegistry

    return MlflowRegistry(uri)


def tracker(uri: str) -> Any:
    from harness.backends.mlflow import MlflowTracker

    return MlflowTracker(uri)


def count(uri: str) -> int:
    experiments = [each.experiment_id for each in client(uri).search_experiments()]
    return len(client(uri).search_runs(experiments))


# --- SQLite -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REGISTRY_CHECKS)
async def test_on_sqlite_the_registry_keeps_every_promise(name: str, stores: Callable[[], str]) -> None:
    await REGISTRY_CHECKS[name](registry(stores()))


@pytest.mark.parametrize("name", REGISTRY_CHECKS)
def test_on_virtual_time_it_keeps_them_too(name: str, stores: Callable[[], str]) -> None:
    run_virtual(REGISTRY_CHECKS[name], registry(stores()))


async def test_on_sqlite_the_tracker_keeps_its_promises(stores: Callable[[], str]) -> None:
    uri = stores()
    await check_tracker(lambda: tracker(uri), lambda _: count(uri))


async def test_a_trackers_run_is_the_run_of_the_version(stores: Callable[[], str]) -> None:
    uri, model = stores(), sample_model(1)
    await tracker(uri).record(model, "rehearsal/1")
    revision = await registry(uri).register(model, "rehearsal/2")
    assert count(uri) == 1
    version = client(uri).get_model_version(revision.name, str(revision.version))
    run = client(uri).get_run(version.run_id)
    assert run.data.metrics == model.metrics
    assert run.data.params == {name: str(value) for name, value in model.params.items()}
    assert run.info.status == "FINISHED"


async def test_no_request_is_sent_for_a_rollout_that_another_has_taken_over(stores: Callable[[], str]) -> None:
    """Taken over after the first of the requests that a change consists of, the others stay unsent."""
    uri = stores()
    theirs = registry(uri)
    revision = await theirs.register(sample_model(1), "one")
    asked: list[int] = []

    @contextmanager
    def lost() -> Iterator[None]:
        asked.append(len(asked))
        if len(asked) > 1:
            raise LeaseLost("another harness drives it now")
        yield

    theirs.guard(lost)
    for late in (theirs.register(sample_model(2), "two"), theirs.set_alias(revision, "stable")):
        asked.clear()
        with pytest.raises(LeaseLost):
            await late
    (version,) = await registry(uri).versions(revision.name)
    assert not version.aliases


async def test_everything_known_of_a_model_comes_back(stores: Callable[[], str]) -> None:
    uri, model = stores(), sample_model(3)
    revision = await registry(uri).register(model, "intent")
    loaded = await registry(uri).load(revision)
    for what in ("role", "algorithm", "params", "task", "features", "classes", "data_digest", "metrics"):
        assert getattr(loaded, what) == getattr(model, what), what


async def test_an_artifact_that_someone_changed_is_not_loaded(stores: Callable[[], str]) -> None:
    uri = stores()
    revision = await registry(uri).register(sample_model(1), "one")
    await registry(uri).register(sample_model(2), "two")
    folder = Path(uri.removeprefix("sqlite:///")).parent
    mine, theirs = [
        next(folder.rglob(f"{client(uri).get_model_version(revision.name, number).run_id}/**/model.skops"))
        for number in ("1", "2")
    ]
    shutil.copy(theirs, mine)
    with pytest.raises(RegistryError, match="not what was registered"):
        await registry(uri).load(revision)
    mine.write_bytes(b"no archive")
    with pytest.raises(RegistryError, match="not a model file of skops"):
        await registry(uri).load(revision)


async def test_no_model_is_loaded_whose_archive_was_changed_or_is_gone(stores: Callable[[], str]) -> None:
    uri = stores()
    folder = Path(uri.removeprefix("sqlite:///")).parent
    assert await check_tampering(registry(uri), lambda _: list(folder.rglob("model.skops"))) == 1


@pytest.mark.parametrize("form", ["skops", "cloudpickle"])
async def test_a_version_of_others_loads_if_it_holds_no_code(
    form: str, stores: Callable[[], str], tmp_path: Path
) -> None:
    import mlflow.sklearn

    uri, model = stores(), sample_model(1)
    mlflow.sklearn.save_model(
        model.estimator, str(tmp_path / "theirs"), serialization_format=form, pip_requirements=["scikit-learn"],
        **({"skops_trusted_types": ["numpy.dtype"]} if form == "skops" else {}),
    )  # fmt: skip
    theirs = client(uri)
    theirs.create_registered_model("theirs")
    theirs.create_model_version("theirs", source=(tmp_path / "theirs").as_uri())
    theirs.set_registered_model_alias("theirs", "stable", "1")
    if form == "skops":
        revision = await registry(uri).resolve("theirs", "stable")
        assert revision == Revision("theirs", 1, model.artifact_digest)
        assert (await registry(uri).load(revision)).features == model.features
    else:
        with pytest.raises(RegistryError, match="saved as cloudpickle, and only scikit-learn models saved by skops"):
            await registry(uri).resolve("theirs", "stable")


async def test_versions_come_page_by_page_in_the_order_of_their_numbers(
    stores: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.backends import mlflow_listing

    uri = stores()
    theirs = client(uri)
    for name in ("it's theirs", *(f"model-{number:02}" for number in range(11))):
        theirs.create_registered_model(name)
    for _ in range(12):
        theirs.create_model_version("it's theirs", source="file:///nowhere")
    monkeypatch.setattr(mlflow_listing, "PAGE", 5)
    found = await registry(uri).versions("it's theirs")
    assert [each.revision.version for each in found] == list(range(1, 13))
    assert len(await registry(uri).names()) == 12


async def test_a_version_whose_run_is_gone_is_listed_without_metrics(stores: Callable[[], str]) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    uri = stores()
    revision = await registry(uri).register(sample_model(1), "one")
    run_id = client(uri).get_model_version(revision.name, "1").run_id
    folder = Path(uri.removeprefix("sqlite:///")).parent
    client(uri).delete_run(run_id)
    made: Any = SqlAlchemyStore
    store = made(uri, folder.as_uri())
    store._hard_delete_run(run_id)
    store.engine.dispose()
    [version] = await registry(uri).versions(revision.name)
    assert (version.revision, dict(version.metrics), version.data_digest) == (revision, {}, sample_model(1).data_digest)


async def test_marks_and_aliases_are_seen_by_mlflows_own_client(stores: Callable[[], str]) -> None:
    uri = stores()
    revision = await registry(uri).register(sample_model(1), "one")
    await registry(uri).mark(revision, "verified")
    assert client(uri).get_model_version(revision.name, "1").tags["harness.status"] == "verified"


class OwnClassifier(LogisticRegression):
    """A type that nobody but its author knows, as a trusted pickle may bring it."""


async def test_a_model_that_skops_cannot_hold_is_not_blamed_on_the_database(stores: Callable[[], str]) -> None:
    rows = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0]})
    theirs = replace(sample_model(1), estimator=OwnClassifier().fit(rows, ["a", "a", "b", "b"]))
    with pytest.raises(RegistryError, match=r"OwnClassifier.*build it of scikit-learn's own") as told:
        await registry(stores()).register(theirs, "intent")
    assert "mlflow db upgrade" not in str(told.value)


async def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    requires.module("mlflow")
    path = tmp_path / "notes.db"
    path.write_text("not a database, whatever its name says" * 100)
    with pytest.raises(RegistryError, match="is a database of MLflow that can be written") as told:
        await registry(f"sqlite:///{path}").resolve("model", "stable")
    assert not isinstance(told.value, NotRegistered)


# --- HTTP -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REGISTRY_CHECKS)
async def test_over_http_the_registry_keeps_every_promise(name: str, mlflow_server: str) -> None:
    await REGISTRY_CHECKS[name](registry(mlflow_server))


async def test_over_http_the_tracker_keeps_its_promises(mlflow_server: str) -> None:
    await check_tracker(lambda: tracker(mlflow_server), lambda _: count(mlflow_server))


async def test_a_server_that_is_not_there_is_told_without_secrets(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    requires.module("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cr3t-word")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        uri = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(RegistryError, match="check that an MLflow server answers") as told:
            await registry(uri).resolve("model", "stable")
    assert not isinstance(told.value, NotRegistered)
    out, err = capfd.readouterr()
    assert "s3cr3t-word" not in f"{''.join(traceback.format_exception(told.value))}{caplog.text}{out}{err}"


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("API request to endpoint /api failed with error code 401 != 200. Body: ''", "MLFLOW_TRACKING_USERNAME"),
        ("API request to endpoint /api failed with error code 403 != 200. Response body: ''", "the right to do this"),
        ("HTTPConnectionPool(host='127.0.0.1', port=53401): Connection refused", "check that an MLflow server answers"),
        ("HTTPConnectionPool(host='127.0.0.1', port=40301): Connection refused", "check that an MLflow server answers"),
    ],
)
def test_the_remedy_goes_by_what_the_server_answered_and_not_by_its_port(said: str, remedy: str) -> None:
    requires.module("mlflow")
    from mlflow.exceptions import MlflowException

    with pytest.raises(RegistryError, match=remedy), Connection("http://127.0.0.1:1").told("looking up m@stable"):
        raise MlflowException(said)
