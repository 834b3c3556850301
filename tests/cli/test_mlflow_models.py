"""Models in a user's own MLflow: checked before a run, run, and made a first scenario of."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import SCENARIOS, Called
from tests.mlflow_server import Theirs, client

Call = Callable[..., Called]
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.xdist_group("mlflow"), pytest.mark.timeout(180)]

TEXT = f"""\
harness: 1
name: own
seed: 3
model:
  name: NAME
  data: {{source: {SCENARIOS}/data/telco_churn.csv.gz, target: Churn, positive: "Yes"}}
  stable: {{algorithm: decision_tree, params: {{max_depth: 2}}}}
  candidate: {{SOURCE}}
traffic: {{poisson: 20/s}}
rollout:
  strategy: canary
  steps: [{{weight: 50%}}, {{pause: 5m}}]
  analysis: {{every: 1m, min_requests: 20, failure_limit: 1, rules: [error_rate <= stable + 5%]}}
expect:
  - outcome == promoted
"""


@pytest.fixture
def store(their_mlflow: Theirs, tmp_path: Path) -> Path:
    """A copy of what others logged: runs may add to it."""
    path = tmp_path / "store" / "models.db"
    path.parent.mkdir()
    shutil.copy(their_mlflow.uri.removeprefix("sqlite:///"), path)
    return path


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    def written(source: str, name: str = "churn") -> Path:
        path = tmp_path / "own.yaml"
        path.write_text(TEXT.replace("SOURCE", source).replace("NAME", name), encoding="utf-8")
        return path

    return written


def versions(store: Path, name: str) -> dict[int, list[str]]:
    """Every version of a model by MLflow's own client, and the aliases that name it."""
    asked = client(f"sqlite:///{store}")
    aliases = asked.get_registered_model(name).aliases
    found = sorted(int(each.version) for each in asked.search_model_versions(f"name = '{name}'"))
    return {number: sorted(alias for alias, at in aliases.items() if int(at) == number) for number in found}


def ready(tmp_path: Path) -> list[dict[str, Any]]:
    log = (tmp_path / "reports" / "latest" / "events.jsonl").read_text(encoding="utf-8")
    return [event for event in map(json.loads, log.splitlines()) if event["event"] == "ModelReady"]


# --- check ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["registered: nosuch", "artifact: models:/churn/3", "artifact: runs:/0a1b/model"])
def test_check_says_that_there_is_no_database_and_makes_none(
    call: Call, write: Callable[..., Path], tmp_path: Path, source: str
) -> None:
    path = write(source)
    called = call("check", path, "--registry", "mlflow+sqlite:///none/none.db")
    assert called.code == 2
    column = path.read_text().splitlines()[7].index(source) + 1
    assert f"own.yaml:8:{column}: " in called.err
    assert "none/none.db: there is no such database yet" in called.err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["own.yaml"]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("registered: nosuch", "no version of churn is called 'nosuch' (aliases: champion, pickled)"),
        ("artifact: models:/churn/9", "there is no churn:9"),
        ("registered: pickled", "--trust-pickle"),
        ("artifact: models:/churn/2", "--trust-pickle"),
    ],
)
def test_check_says_what_a_registry_lacks_or_will_not_load(
    call: Call, write: Callable[..., Path], store: Path, source: str, told: str
) -> None:
    called = call("check", write(source), "--registry", f"mlflow+sqlite:///{store}")
    assert called.code == 2
    assert "own.yaml:8:" in called.err
    assert told in called.err


def test_check_finds_what_is_there(call: Call, write: Callable[..., Path], store: Path) -> None:
    before = store.read_bytes()
    for source, told in (
        ("registered: champion", "candidate is what the alias champion of churn names: DecisionTreeClassifier"),
        ("artifact: models:/churn/3", "candidate loads from models:/churn/3: DecisionTreeClassifier"),
    ):
        called = call("check", write(source), "--registry", f"mlflow+sqlite:///{store}")
        assert called.code == 0, called.err
        assert told in called.out
        assert "not looked up" not in called.out
    called = call("check", write("registered: pickled"), "--trust-pickle", "--registry", f"mlflow+sqlite:///{store}")
    assert called.code == 0, called.err
    assert store.read_bytes() == before


def test_check_holds_a_stored_model_against_the_data(call: Call, write: Callable[..., Path], store: Path) -> None:
    path = write("artifact: models:/churn/3")
    text = path.read_text().replace('target: Churn, positive: "Yes"', "target: tenure")
    path.write_text(text.replace("decision_tree, params: {max_depth: 2}", "ridge"))
    called = call("check", path, "--registry", f"mlflow+sqlite:///{store}")
    assert called.code == 2
    assert "models:/churn/3: a model for classification, but the target holds numbers" in called.err


def test_a_server_that_does_not_answer_is_a_note(
    call: Call, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    called = call("check", write("registered: champion"), "--registry", "mlflow+http://127.0.0.1:9")
    assert called.code == 0, called.err
    assert "note: model.candidate.registered was not looked up: MLflow at http://127.0.0.1:9" in called.out


def test_memory_can_never_know_an_alias(call: Call, write: Callable[..., Path]) -> None:
    called = call("check", write("registered: stable"))
    assert called.code == 2
    assert "models are looked up before the run registers any" in called.err
    assert "--registry sqlite:///PATH" in called.err


def test_a_plan_needs_no_mlflow(call: Call, write: Callable[..., Path]) -> None:
    path = write("artifact: models:/churn/3")
    assert call("plan", path).code == 0
    called = call("run", path)
    assert called.code == 2
    assert "--registry sqlite:///PATH" in called.err


# --- run --------------------------------------------------------------------------------------------------------------


def test_a_version_of_the_scenarios_own_model_is_not_registered_again(
    call: Call, write: Callable[..., Path], store: Path, tmp_path: Path
) -> None:
    path = write("artifact: models:/churn/3")
    called = call("run", path, "--registry", f"mlflow+sqlite:///{store}", "--quiet", "--json", "out.json")
    assert called.code == 0, called.err
    (result,) = json.loads(Path("out.json").read_text())["scenarios"]
    assert (result["stable"], result["candidate"]) == ("churn:4", "churn:3")
    assert [each["source"] for each in ready(tmp_path)] == ["trained", "registered"]
    assert versions(store, "churn") == {1: ["champion"], 2: ["pickled"], 3: ["stable"], 4: ["previous"]}


@pytest.mark.parametrize("kind", ["registry", "tracker"])
def test_any_other_is_a_model_that_was_brought(
    call: Call, write: Callable[..., Path], store: Path, tmp_path: Path, kind: str
) -> None:
    path = write("artifact: models:/churn@champion", "other")
    called = call("run", path, f"--{kind}", f"mlflow+sqlite:///{store}", "--quiet", "--json", "out.json")
    assert called.code == 0, called.err
    (result,) = json.loads(Path("out.json").read_text())["scenarios"]
    assert (result["stable"], result["candidate"]) == ("other:1", "other:2")
    assert [each["source"] for each in ready(tmp_path)] == ["trained", "artifact"]
    assert list(versions(store, "churn")) == [1, 2, 3]
    if kind == "registry":
        assert versions(store, "other") == {1: ["previous"], 2: ["candidate", "stable"]}


@pytest.mark.parametrize("source", ["registered: pickled", "artifact: models:/churn/2"])
def test_a_pickle_runs_only_where_it_is_trusted(
    call: Call, write: Callable[..., Path], store: Path, tmp_path: Path, source: str
) -> None:
    words = ("run", write(source), "--registry", f"mlflow+sqlite:///{store}", "--quiet")
    refused = call(*words)
    assert refused.code == 3
    assert "saved as cloudpickle" in refused.out + refused.err
    assert "--trust-pickle" in refused.out + refused.err
    called = call(*words, "--trust-pickle")
    assert called.code == 0, called.out + called.err
    assert ready(tmp_path)[1]["notes"] == ["model.pkl: loaded from a pickle, as --trust-pickle allows"]


# --- init -------------------------------------------------------------------------------------------------------------

TELCO = SCENARIOS / "data" / "telco_churn.csv.gz"


def test_a_first_scenario_of_a_model_in_mlflow_passes_the_check_and_runs_untouched(
    call: Call, store: Path, tmp_path: Path
) -> None:
    words = (
        "--data",
        TELCO,
        "--target",
        "Churn",
        "--registry",
        "mlflow+sqlite:///store/models.db",
        "--output",
        "s/my.yaml",
    )
    called = call("init", *words, "--model", "models:/churn@champion")
    assert called.code == 0, called.err
    text = (tmp_path / "s" / "my.yaml").read_text(encoding="utf-8")
    assert '  registry: "mlflow+sqlite:///../store/models.db"' in text
    assert 'artifact: "models:/churn@champion"' in text
    assert "--trust-pickle" not in text
    checked = call("check", "s/my.yaml")
    assert checked.code == 0, checked.err
    ran = call("run", "s/my.yaml", "--quiet", "--json", "-")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["scenarios"][0]["outcome"] == "promoted"
    assert list(versions(store, "telco_churn").values()) == [["previous"], ["candidate", "stable"]]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--model", "models:/churn@champion"), "say --registry sqlite:///PATH, mlflow+sqlite:///PATH"),
        (
            ("--model", "models:/churn", "--registry", "STORE"),
            "models:/NAME/VERSION or runs:/RUN_ID/PATH",
        ),
        (("--model", "models:/churn/2", "--registry", "STORE"), "--trust-pickle"),
        (("--model", "models:/churn/9", "--registry", "STORE"), "there is no churn:9"),
    ],
)
def test_init_says_what_it_cannot_take(call: Call, store: Path, words: tuple[str, ...], told: str) -> None:
    called = call(
        "init", "--data", TELCO, "--target", "Churn", *(w.replace("STORE", f"mlflow+sqlite:///{store}") for w in words)
    )
    assert called.code in (2, 3)
    assert told in called.err
    assert not list(Path.cwd().glob("*.yaml"))


def test_init_takes_a_trusted_pickle_and_says_what_it_needs_from_then_on(call: Call, store: Path) -> None:
    called = call(
        "init", "--data", TELCO, "--target", "Churn", "--model", "models:/churn/2", "--trust-pickle",
        "--registry", f"mlflow+sqlite:///{store}", "--output", "my.yaml",
    )  # fmt: skip
    assert called.code == 0, called.err
    assert "--trust-pickle" in Path("my.yaml").read_text()
    assert call("check", "my.yaml").code == 2
    assert call("check", "my.yaml", "--trust-pickle").code == 0
