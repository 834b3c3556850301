"""The registry by hand, on MLflow in an SQLite file, and what MLflow's own client finds afterwards."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.app import installed
from harness.clock import run_real
from harness.contracts import sample_model
from harness.errors import RegistryError
from tests.cli.conftest import Called
from tests.mlflow_server import client

Call = Callable[..., Called]
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.xdist_group("mlflow"), pytest.mark.timeout(180)]
NAME = "checked-model"


@pytest.fixture(scope="module")
def filled(mlflow_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three versions of one model and one of another; nothing is stable yet."""
    from harness.backends.mlflow import MlflowRegistry

    path = tmp_path_factory.mktemp("filled") / "registry.db"
    shutil.copy(mlflow_template, path)

    async def fill() -> None:
        registry = MlflowRegistry(f"sqlite:///{path}")
        for number in (1, 2, 3):
            await registry.register(sample_model(number), f"intent-{number}")
        await registry.register(sample_model(1, name="another-model"), "intent-4")

    run_real(fill)
    return path


@pytest.fixture
def store(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "store.db"
    shutil.copy(filled, path)
    monkeypatch.setenv("HARNESS_REGISTRY", f"mlflow+sqlite:///{path}")
    return path


def named(store: Path, **aliases: int) -> None:
    for alias, number in aliases.items():
        client(f"sqlite:///{store}").set_registered_model_alias(NAME, alias, str(number))


def state(store: Path) -> tuple[Mapping[str, int], Mapping[int, str]]:
    """Aliases and marks, as MLflow's own client has them."""
    asked = client(f"sqlite:///{store}")
    aliases = {alias: int(number) for alias, number in asked.get_registered_model(NAME).aliases.items()}
    versions = asked.search_model_versions(f"name = '{NAME}'")
    return aliases, {int(each.version): mark for each in versions if (mark := each.tags.get("harness.status"))}


def data(number: int) -> str | None:
    return sample_model(number).data_digest


# --- looking ----------------------------------------------------------------------------------------------------------


def test_list_shows_every_version_with_its_aliases_mark_data_and_metrics(call: Call, store: Path) -> None:
    named(store, stable=2, candidate=3, previous=1)
    client(f"sqlite:///{store}").set_model_version_tag(NAME, "1", "harness.status", "verified")
    called = call("registry", "list")
    assert called.code == 0, called.err
    assert "2 models, 4 versions" in called.out
    row = next(line for line in called.out.splitlines() if f"{NAME}:1" in line)
    for word in ("previous", "verified", str(data(1))[:19], "accuracy 90%"):
        assert word in row

    called = call("registry", "list", NAME, "--json", "-")
    [model] = json.loads(called.out)["models"]
    assert [(each["version"], each["aliases"], each["status"]) for each in model["versions"]] == [
        (1, ["previous"], "verified"),
        (2, ["stable"], None),
        (3, ["candidate"], None),
    ]
    for each in model["versions"]:
        assert each["data_digest"] == data(each["version"])
        assert each["artifact_digest"] == sample_model(each["version"]).artifact_digest
        assert each["metrics"] == {"accuracy": 0.9}


@pytest.mark.parametrize(("asked", "version"), [("", 2), ("@stable", 2), ("@candidate", 3), (":1", 1)])
def test_show_finds_a_version_by_alias_or_number(asked: str, version: int, call: Call, store: Path) -> None:
    named(store, stable=2, candidate=3)
    called = call("registry", "show", f"{NAME}{asked}")
    assert called.code == 0, called.err
    for word in (f"{NAME}:{version}", str(data(version)), sample_model(version).artifact_digest, "90%"):
        assert word in called.out
    told = json.loads(call("registry", "show", f"{NAME}{asked}", "--json", "-").out)
    assert told["model"]["version"] == version


def test_looking_changes_nothing(call: Call, store: Path) -> None:
    before = store.read_bytes()
    call("registry", "list")
    call("registry", "show", f"{NAME}:1")
    assert store.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("list", "nobody"), "holds no model 'nobody'"),
        (("show", "nobody"), "holds no model 'nobody'"),
        (("show", NAME), f"no version of {NAME} is called 'stable' (aliases: candidate)"),
        (("show", f"{NAME}:9"), f"there is no {NAME}:9 (versions: 1, 2, 3)"),
        (("show", "a/b"), "names no version; write NAME:VERSION"),
        (("promote", f"{NAME}:9"), f"there is no {NAME}:9 (versions: 1, 2, 3)"),
        (("promote", f"{NAME}@candidate"), "write NAME:VERSION"),
        (("promote", NAME), "write NAME:VERSION"),
        (("rollback", "nobody"), "holds no model 'nobody'"),
    ],
)
def test_what_the_command_line_names_wrongly_is_told_and_changes_nothing(
    words: tuple[str, ...], told: str, call: Call, store: Path
) -> None:
    named(store, candidate=3)
    before = state(store)
    called = call("registry", *words)
    assert (called.code, called.out) == (2, "")
    assert told in called.err
    assert state(store) == before


@pytest.mark.parametrize("words", [("list",), ("show", NAME), ("promote", f"{NAME}:1"), ("rollback", NAME)])
def test_a_registry_is_needed_that_keeps_what_it_is_told(
    words: tuple[str, ...], call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HARNESS_REGISTRY", raising=False)
    called = call("registry", *words)
    assert called.code == 2
    assert "no registry is named; say --registry URI" in called.err
    called = call("registry", *words, "--registry", "memory:")
    assert called.code == 2
    assert "holds nothing between commands" in called.err
    called = call("registry", *words, "--registry", "mlflow+sqlite:///none/registry.db")
    assert called.code == 2
    assert "no such database yet" in called.err
    assert not list(tmp_path.iterdir())


def test_a_server_that_is_not_there_is_a_backend_that_failed(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    called = call("registry", "rollback", NAME, "--registry", "mlflow+http://127.0.0.1:9")
    assert called.code == 3
    assert "check that an MLflow server answers" in called.err


def test_the_registry_may_stand_in_a_file(
    call: Call, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HARNESS_REGISTRY")
    (tmp_path / "harness.toml").write_text(f'registry = "mlflow+sqlite:///{store}"\n', encoding="utf-8")
    assert f"{NAME}:3" in call("registry", "list").out


# --- promoting and going back -----------------------------------------------------------------------------------------


def test_promote_keeps_the_way_back_and_rollback_takes_it_once(call: Call, store: Path) -> None:
    called = call("registry", "promote", f"{NAME}:1")
    assert called.code == 0, called.err
    assert state(store) == ({"stable": 1}, {1: "verified"})
    assert f"stable    {NAME}:1, of the data {data(1)}\nprevious  none\n" in called.out

    call("registry", "promote", f"{NAME}:2")
    assert state(store) == ({"stable": 2, "previous": 1}, {1: "verified", 2: "verified"})
    again = call("registry", "promote", f"{NAME}:2")
    assert (again.code, f"{NAME}:2 is stable already" in again.out) == (0, True)
    assert state(store) == ({"stable": 2, "previous": 1}, {1: "verified", 2: "verified"})

    called = call("registry", "rollback", NAME, "--json", "back.json")
    assert called.code == 0, called.err
    assert state(store) == ({"stable": 1}, {1: "verified", 2: "bad"})
    assert f"was       {NAME}:2, of the data {data(2)}\nstable    {NAME}:1, of the data {data(1)}" in called.out
    told = json.loads((store.parent / "back.json").read_text(encoding="utf-8"))
    assert (told["changed"], told["refused"], told["previous"]) == (True, None, None)
    assert [(told[each]["version"], told[each]["data_digest"]) for each in ("was", "stable")] == [
        (2, data(2)),
        (1, data(1)),
    ]


def test_rollback_twice_goes_back_once(call: Call, store: Path) -> None:
    for number in (1, 2, 3):
        call("registry", "promote", f"{NAME}:{number}")
    assert call("registry", "rollback", NAME).code == 0
    after = ({"stable": 2}, {1: "verified", 2: "verified", 3: "bad"})
    assert state(store) == after
    for _ in range(2):
        called = call("registry", "rollback", NAME, "--json", "-")
        assert called.code == 1
        assert f"{NAME} has no previous version to go back to: stable stays {NAME}:2" in called.err
        assert f"harness registry promote {NAME}:1" in called.err
        told = json.loads(called.out)
        assert (told["changed"], told["stable"]["version"]) == (False, 2)
        assert told["refused"] == called.err.strip()
        assert state(store) == after


def test_two_bad_versions_in_a_row_end_on_the_last_verified_one(call: Call, store: Path) -> None:
    call("registry", "promote", f"{NAME}:1")
    for bad in (2, 3):
        call("registry", "promote", f"{NAME}:{bad}")
        assert call("registry", "rollback", NAME).code == 0
        assert state(store)[0] == {"stable": 1}
    assert state(store)[1] == {1: "verified", 2: "bad", 3: "bad"}


def test_what_was_never_stable_has_no_way_back(call: Call, store: Path) -> None:
    called = call("registry", "rollback", NAME)
    assert called.code == 1
    assert f"no version of {NAME} is stable" in called.err
    assert state(store) == ({}, {})


def test_a_bad_version_is_promoted_by_force_alone_and_is_never_the_way_back(call: Call, store: Path) -> None:
    call("registry", "promote", f"{NAME}:1")
    call("registry", "promote", f"{NAME}:2")
    call("registry", "rollback", NAME)
    before = state(store)
    called = call("registry", "promote", f"{NAME}:2")
    assert called.code == 1
    assert f"{NAME}:2 is marked bad" in called.err
    assert state(store) == before
    assert call("registry", "promote", f"{NAME}:2", "--force").code == 0
    assert state(store) == ({"stable": 2, "previous": 1}, {1: "verified", 2: "verified"})
    # Somebody marks what is stable, and names another without going back: nothing leads to the bad one any more.
    client(f"sqlite:///{store}").set_model_version_tag(NAME, "2", "harness.status", "bad")
    assert call("registry", "promote", f"{NAME}:3").code == 0
    assert state(store)[0] == {"stable": 3}


def test_a_previous_version_that_is_marked_bad_is_not_gone_back_to(call: Call, store: Path) -> None:
    named(store, stable=2, previous=1)
    client(f"sqlite:///{store}").set_model_version_tag(NAME, "1", "harness.status", "bad")
    before = state(store)
    called = call("registry", "rollback", NAME)
    assert called.code == 1
    assert f"the previous version, {NAME}:1, is marked bad" in called.err
    assert state(store) == before


# --- what stops half-way ----------------------------------------------------------------------------------------------


STEPS = ("mark", "set_alias", "remove_alias")


class Cut:
    """A registry whose connection is cut at one call: before its effect, or after it."""

    def __init__(self, whole: Any, call: str, *, after: bool) -> None:
        self.whole, self.call, self.after = whole, call, after

    def __getattr__(self, name: str) -> Any:
        made = getattr(self.whole, name)
        if name != self.call:
            return made

        async def cut(*words: Any) -> None:
            self.call = ""
            if self.after:
                await made(*words)
            raise RegistryError("the connection was cut")

        return cut


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_rollback_that_is_cut_off_anywhere_is_finished_by_asking_again(
    step: str, after: bool, call: Call, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named(store, stable=3, previous=2)
    from harness.app import registry as act

    whole = installed.made

    def cutting(kind: str, place: str) -> Any:
        return Cut(whole(kind, place), step, after=after)

    with monkeypatch.context() as cut:
        cut.setattr(act, "made", cutting)
        called = call("registry", "rollback", NAME)
    assert called.code == 3
    assert f"from {NAME}:3 to {NAME}:2 is not finished: ask again" in called.err
    done = step == "remove_alias" and after
    assert call("registry", "rollback", NAME).code == (1 if done else 0)
    assert state(store) == ({"stable": 2}, {3: "bad"})


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", ["set_alias", "mark"])
def test_a_promotion_that_is_cut_off_anywhere_is_finished_by_asking_again(
    step: str, after: bool, call: Call, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named(store, stable=2, previous=1)
    from harness.app import registry as act

    whole = installed.made
    with monkeypatch.context() as cut:
        cut.setattr(act, "made", lambda kind, place: Cut(whole(kind, place), step, after=after))
        assert call("registry", "promote", f"{NAME}:3").code == 3
    assert call("registry", "promote", f"{NAME}:3").code == 0
    assert state(store) == ({"stable": 3, "previous": 2}, {3: "verified"})


def test_a_promotion_that_is_refused_leaves_stable_and_the_way_back(
    call: Call, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.app import registry as act
    from harness.backends.mlflow import MlflowRegistry

    class ReadOnlyStable(MlflowRegistry):
        async def set_alias(self, revision: Any, alias: str) -> None:
            if alias == "stable":
                raise RegistryError("stable is protected")
            await super().set_alias(revision, alias)

    named(store, stable=2, previous=1)
    before = state(store)
    monkeypatch.setattr(act, "made", lambda kind, place: ReadOnlyStable(place.removeprefix("mlflow+")))
    called = call("registry", "promote", f"{NAME}:3")
    assert (called.code, "stable is protected" in called.err) == (3, True)
    assert state(store) == before


# --- over HTTP --------------------------------------------------------------------------------------------------------


def test_a_server_is_promoted_on_and_gone_back_on_too(
    call: Call, mlflow_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = client(mlflow_server)
    asked.create_registered_model("theirs")
    for _ in range(2):  # as others register: without our tags, and without a run
        asked.create_model_version("theirs", source="s3://bucket/model")
    monkeypatch.setenv("HARNESS_REGISTRY", f"mlflow+{mlflow_server}")
    for number in (1, 2):
        assert call("registry", "promote", f"theirs:{number}").code == 0
    called = call("registry", "rollback", "theirs")
    assert called.code == 0, called.err
    assert "stable    theirs:1, of the data (not recorded)" in called.out
    assert asked.get_registered_model("theirs").aliases == {"stable": "1"}
    tags = asked.get_model_version("theirs", "2").tags
    told = [json.loads(tags.pop(tag))["outcome"] for tag in sorted(tags) if tag.startswith("harness.deployment.")]
    assert sorted(told) == ["promoted", "rolled_back"]
    assert tags == {"harness.status": "bad"}
    [model] = json.loads(call("registry", "list", "--json", "-").out)["models"]
    assert [(each["artifact_digest"], each["data_digest"], each["metrics"]) for each in model["versions"]] == [
        (None, None, {}),
        (None, None, {}),
    ]


# --- the door ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["list", "show", "promote", "rollback"])
def test_every_command_has_help_with_an_example(word: str, call: Call) -> None:
    called = call("registry", word, "--help")
    assert called.code == 0
    assert f"harness registry {word} churn-prediction" in called.out


def test_help_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    said = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "harness", "registry", "rollback", "--help"],
        capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip
    imported = {line.rpartition("|")[2].strip() for line in said.splitlines()}
    assert "harness.cli.options" in imported
    assert imported.isdisjoint({"mlflow", "pandas", "numpy", "sklearn", "rich", "anyio", "asyncio", "harness.app"})
