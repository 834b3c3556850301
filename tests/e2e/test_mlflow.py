"""Two rehearsals with models kept in MLflow, and what MLflow's own client finds afterwards."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import requires

SCENARIO = Path(__file__).parents[2] / "scenarios" / "mlflow_registry.yaml"
TOKEN = "t0k3n-of-nobody"
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.xdist_group("mlflow"), pytest.mark.timeout(180)]


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(params=["sqlite", "http"])
def registry_uri(request: pytest.FixtureRequest) -> str:
    """A registry as a user names it: a file that is not there yet, or a real server."""
    requires.module("mlflow")
    if request.param == "sqlite":
        return "mlflow+sqlite:///store/registry.db"
    return f"mlflow+{request.getfixturevalue('mlflow_server')}"


def test_the_second_run_takes_stable_from_the_first(
    registry_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness import app
    from harness.backends.mlflow import MlflowRegistry
    from harness.clock import run_virtual

    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
    command = [
        str(Path(sys.executable).with_name("harness")),
        "run",
        str(SCENARIO),
        "--registry",
        registry_uri,
        "--tracker",
        registry_uri,
    ]
    results, logs = [], []
    for number in ("1", "2"):
        done = subprocess.run(
            [*command, "--json", f"{number}.json", "--report", f"reports{number}"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert TOKEN not in done.stdout + done.stderr
        results.append(json.loads((tmp_path / f"{number}.json").read_text(encoding="utf-8"))["scenarios"][0])
        logs.append(events(tmp_path / f"reports{number}" / "latest"))
    on_disk = {"store"} if "sqlite" in registry_uri else set()
    assert {path.name for path in tmp_path.iterdir()} == {"reports1", "reports2", "1.json", "2.json"} | on_disk
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert TOKEN.encode() not in path.read_bytes(), path

    assert [(each["stable"], each["candidate"]) for each in results] == [
        ("churn-prediction:1", "churn-prediction:2"),
        ("churn-prediction:2", "churn-prediction:3"),
    ]
    ready = [[each for each in log if each["event"] == "ModelReady"] for log in logs]
    assert [each["source"] for each in ready[0]] == ["trained", "trained"]
    assert [each["source"] for each in ready[1]] == ["registered", "trained"]
    assert ready[1][0]["takes_ns"] == 0
    assert ready[1][0]["notes"] == ["not trained: the registry names churn-prediction:2 stable"]
    assert ready[1][0]["artifact_digest"] == ready[0][1]["artifact_digest"]

    import mlflow.sklearn
    from mlflow import MlflowClient

    store = registry_uri.removeprefix("mlflow+").replace(":///", f":///{tmp_path}/")
    theirs = MlflowClient(tracking_uri=store, registry_uri=store)
    versions = sorted(theirs.search_model_versions("name = 'churn-prediction'"), key=lambda each: int(each.version))
    assert [int(each.version) for each in versions] == [1, 2, 3]
    aliases = theirs.get_registered_model("churn-prediction").aliases
    assert {name: int(number) for name, number in aliases.items()} == {"stable": 3, "candidate": 3, "previous": 2}
    measured = {each["role"]: each["metrics"] for each in logs[1] if each["event"] == "Evaluated"}
    run = theirs.get_run(versions[2].run_id)
    assert run.data.metrics == pytest.approx(measured["candidate"])
    assert run.data.params["max_iter"] == "60"
    assert run.data.params["learning_rate"] == "0.05"

    ours = run_virtual(_loaded, MlflowRegistry(store))
    folder = theirs.download_artifacts(versions[2].run_id, "model", str(tmp_path))
    loaded = mlflow.sklearn.load_model(folder)
    scenario = app.load_scenario(SCENARIO)
    from harness.data import dataset

    assert scenario.model.data
    _, held = dataset.load(scenario.model.data).split(scenario.seed)
    rows = held.rows[list(ours.features)]
    assert (loaded.predict_proba(rows) == ours.estimator.predict_proba(rows)).all()
    shutil.rmtree(folder)


async def _loaded(registry: Any) -> Any:
    return await registry.load(await registry.resolve("churn-prediction", "stable"))
