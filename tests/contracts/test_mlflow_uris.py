"""Models that others logged to MLflow are read by URI, on SQLite and over HTTP, and reading makes nothing."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from fakes.registry import MemoryRegistry
from harness.app import installed
from harness.domain.model import Revision
from harness.errors import NotRegistered, RegistryError, Unreachable
from harness.protocols import ModelStore, PickleLoader
from harness.training.digest import model_digest
from tests import log_models, requires
from tests.mlflow_server import Theirs, client, logged

pytestmark = [
    pytest.mark.filterwarnings("ignore"), pytest.mark.xdist_group("mlflow"), pytest.mark.timeout(180),
    pytest.mark.usefixtures("an_empty_folder"),
]  # fmt: skip


@pytest.fixture(params=["sqlite", "http"])
def theirs(request: pytest.FixtureRequest, tmp_path: Path) -> Theirs:
    if request.param == "sqlite":
        return request.getfixturevalue("their_mlflow")
    uri = request.getfixturevalue("mlflow_process")
    if uri not in ON_SERVERS or not _still_there(ON_SERVERS[uri]):  # another module has emptied it
        ON_SERVERS[uri] = logged(request.getfixturevalue("mlflow_server"), tmp_path)
    return ON_SERVERS[uri]


ON_SERVERS: dict[str, Theirs] = {}
"""What was logged to each server: that takes seconds, and no test here changes it."""


def _still_there(theirs: Theirs) -> bool:
    versions = client(theirs.uri).search_model_versions("name='churn'")
    return theirs.runs[0] in {each.run_id for each in versions}


def registry(uri: str, *, pickles: bool = False) -> Any:
    from harness.backends.mlflow import MlflowRegistry

    made = MlflowRegistry(uri)
    if pickles:
        made.trust_pickles()
    return made


async def test_every_form_of_uri_names_the_model_that_was_logged(theirs: Theirs) -> None:
    skops, _, plain = theirs.runs
    digests = {depth: model_digest(log_models.fitted(depth)) for depth in (3, 5)}
    for uri, depth, version in (
        ("models:/churn@champion", 3, 1),
        ("models:/churn/1", 3, 1),
        (f"runs:/{skops}/model", 3, None),
        ("models:/churn/3", 5, 3),
        (f"runs:/{plain}/kept/here", 5, None),
    ):
        found = await registry(theirs.uri).fetch(uri)
        assert found.model.artifact_digest == digests[depth], uri
        assert found.model.features == tuple(log_models.NUMBERS)
        assert found.revision == (Revision("churn", version, digests[depth]) if version else None), uri


async def test_a_tracker_answers_too(their_mlflow: Theirs) -> None:
    from harness.backends.mlflow import MlflowTracker

    tracker = MlflowTracker(their_mlflow.uri)
    assert isinstance(tracker, ModelStore)
    found = await tracker.fetch(f"runs:/{their_mlflow.runs[0]}/model")
    assert found.model.artifact_digest == model_digest(log_models.fitted(3))


async def test_a_pickle_is_read_only_once_it_is_trusted(theirs: Theirs) -> None:
    uris = ("models:/churn@pickled", "models:/churn/2", f"runs:/{theirs.runs[1]}/model")
    for uri in uris:
        with pytest.raises(RegistryError, match=r"saved as cloudpickle.*--trust-pickle"):
            await registry(theirs.uri).fetch(uri)
    with pytest.raises(RegistryError, match="--trust-pickle"):
        await registry(theirs.uri).resolve("churn", "pickled")
    trusting = registry(theirs.uri, pickles=True)
    for uri in uris:
        found = await trusting.fetch(uri)
        assert found.model.artifact_digest == model_digest(log_models.fitted(4))
        assert found.model.notes == ("model.pkl: loaded from a pickle, as --trust-pickle allows",)
    revision = await trusting.resolve("churn", "pickled")
    assert (await trusting.load(revision)).artifact_digest == revision.digest


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("models:/nobody/1", "holds no model 'nobody'"),
        ("models:/nobody@stable", "holds no model 'nobody'"),
        ("models:/churn/99", "there is no churn:99"),
        ("models:/churn@none", r"no version of churn is called 'none' \(aliases: champion, pickled\)"),
        ("runs:/00000000000000000000000000000000/model", "there is no run 0000"),
        ("runs:/RUN/absent", "has no model 'absent'"),
        ("runs:/RUN/kept/else", "has no model 'kept/else'"),
    ],
)
async def test_what_is_not_there_is_told_as_such(theirs: Theirs, uri: str, told: str) -> None:
    with pytest.raises(NotRegistered, match=told):
        await registry(theirs.uri).fetch(uri.replace("RUN", theirs.runs[2]))


async def test_a_folder_that_is_no_model_is_told(their_mlflow: Theirs) -> None:
    with pytest.raises(RegistryError, match="there is no file MLmodel"):
        await registry(their_mlflow.uri).fetch(f"runs:/{their_mlflow.runs[2]}/kept")


@pytest.mark.parametrize("what", ["nothing", "an empty file", "another database"])
async def test_reading_makes_no_database_and_fills_none(what: str, tmp_path: Path) -> None:
    requires.module("mlflow")
    path = tmp_path / "folder" / "none.db"
    if what != "nothing":
        path.parent.mkdir()
        path.touch()
    if what == "another database":
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE notes (text TEXT)")
        database.close()
    before = path.read_bytes() if path.exists() else None
    asked = registry(f"sqlite:///{path}")
    for asking in (
        asked.resolve("churn", "stable"),
        asked.fetch("models:/churn@stable"),
        asked.fetch("runs:/0a/model"),
        asked.load(Revision("churn", 1, "sha256:0")),
    ):
        with pytest.raises(NotRegistered, match="no such database yet"):
            await asking
    assert (path.read_bytes() if path.exists() else None) == before
    assert path.parent.exists() == (what != "nothing")


async def test_a_server_that_does_not_answer_is_told_apart_from_one_that_lacks_the_model(
    mlflow_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotRegistered):
        await registry(mlflow_server).resolve("nobody", "stable")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(Unreachable, match="check that an MLflow server answers"):
        await registry("http://127.0.0.1:9").resolve("nobody", "stable")


def test_a_registry_without_either_stays_a_registry() -> None:
    assert not isinstance(MemoryRegistry(), ModelStore | PickleLoader)
    assert not installed.keeps_models("registry", "memory")
    assert isinstance(installed.made("registry", "memory", trust_pickle=True), MemoryRegistry)
