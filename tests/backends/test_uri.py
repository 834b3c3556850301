"""Where a backend is: its forms, and no secret in any of them."""

from pathlib import Path

import click.testing
import pytest

from harness import app
from harness.backends.uri import BackendUriError, masked, normal
from harness.cli import cli
from harness.errors import InputError, ScenarioError

HEALTHY = Path(__file__).parents[2] / "scenarios" / "canary_healthy.yaml"
SECRET = "s3cr3t/w@rd"


@pytest.mark.parametrize(
    ("written", "held"),
    [
        ("memory", "memory"),
        ("memory:", "memory"),
        ("mlflow+sqlite:///../runs/m.db", "mlflow+sqlite:////runs/m.db"),
        ("mlflow+sqlite:////else/m.db", "mlflow+sqlite:////else/m.db"),
        ("mlflow+https://mlflow.example.org:8443/base/", "mlflow+https://mlflow.example.org:8443/base"),
        ("theirs+s3://bucket", "theirs+s3://bucket"),
        ("sqlite:///../runs/r.db", "sqlite:////runs/r.db"),
        ("sqlite:////else/a+b.db", "sqlite:////else/a+b.db"),
        ("sql+sqlite:///r.db", "sqlite:////here/r.db"),
        (
            "postgresql://ann@db.example.org:5432/models?sslmode=require",
            "postgresql://ann@db.example.org:5432/models?sslmode=require",
        ),
        ("postgresql:///models?host=/run/postgresql", "postgresql:///models?host=/run/postgresql"),
    ],
)
def test_what_a_user_writes_is_what_a_scenario_holds(written: str, held: str) -> None:
    assert normal(written, "/here") == held
    assert normal(held, "/elsewhere") == held


@pytest.mark.parametrize(
    "wrong",
    ["mlflow", "mlflow+sqlite:///", "mlflow+sqlite:///a?b", "mlflow+http://", "mlflow+http://h:x", "mlflow+ftp://h",
     "mlflow+postgresql://h/db", "mlflow+http://h?token=1", f"mlflow+http://ann:{SECRET}@h",
     "sql", "sqlite://r.db", "sqlite:///", "sqlite:///a?b", "postgres://h/db", "postgresql+psycopg://h/db", "postgresql://h:x/db",
     f"postgresql://ann:{SECRET}@h/db", f"postgresql://h/db?user=ann&password={SECRET}", f"postgresql://h/db?sslpassword={SECRET}"],
)  # fmt: skip
def test_other_forms_are_refused(wrong: str) -> None:
    with pytest.raises(BackendUriError) as told:
        normal(wrong, "/here")
    assert SECRET not in str(told.value)


def test_variables_with_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", SECRET)
    assert masked(f"the server said: {SECRET} is no good") == "the server said: *** is no good"


def test_relative_paths_count_from_the_scenario(tmp_path: Path) -> None:
    scenario = app.load_scenario(HEALTHY, ["backends.registry=mlflow+sqlite:///../m.db"], quick=True)
    assert scenario.backends.registry == f"mlflow+sqlite:///{HEALTHY.parents[1] / 'm.db'}"


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize("flag", ["--registry", "--tracker", "--set"])
def test_a_password_in_a_uri_is_refused_and_never_shown(command: str, flag: str, tmp_path: Path) -> None:
    uri = f"mlflow+http://ann:{SECRET}@127.0.0.1:1"
    told = [flag, f"backends.registry={uri}" if flag == "--set" else uri]
    more = ["--report", str(tmp_path)] if command == "run" else []
    result = click.testing.CliRunner().invoke(cli, [command, str(HEALTHY), *told, *more], standalone_mode=False)
    shown = f"{result.output}{result.exception}"
    assert "s3cr3t" not in shown
    assert "w@rd" not in shown
    assert "MLFLOW_TRACKING_PASSWORD" in shown
    assert isinstance(result.exception, InputError) or result.return_value == 2
    assert not list(tmp_path.iterdir())


def test_a_password_in_a_file_is_not_shown_either(tmp_path: Path) -> None:
    text = HEALTHY.read_text(encoding="utf-8").replace("data/", f"{HEALTHY.parent}/data/")
    path = tmp_path / "secret.yaml"
    path.write_text(f'{text}\nbackends: {{registry: "mlflow+http://ann:{SECRET}@h"}}\n', encoding="utf-8")
    with pytest.raises(ScenarioError, match="MLFLOW_TRACKING_PASSWORD") as told:
        app.load_scenario(path)
    assert "s3cr3t" not in str(told.value)


@pytest.fixture
def without_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it were not installed."""
    import sys

    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setitem(sys.modules, "mlflow.sklearn", None)


@pytest.mark.usefixtures("without_mlflow")
def test_without_mlflow_the_extra_is_named(tmp_path: Path) -> None:
    scenario = app.load_scenario(HEALTHY, ["backends.registry=mlflow+sqlite:///../m.db"])
    with pytest.raises(Exception, match=r"pip install -e '\.\[mlflow\]'"):
        app.run_sync(scenario, app.Options(reports=tmp_path))
    assert any("-e '.[mlflow]'" in note for note in app.check_references(scenario).notes)


@pytest.mark.usefixtures("without_mlflow")
def test_of_a_folder_only_what_can_run_is_run(tmp_path: Path) -> None:
    text = HEALTHY.read_text(encoding="utf-8").replace("data/", f"{HEALTHY.parent}/data/")
    folder = tmp_path / "scenarios"
    folder.mkdir()
    (folder / "a.yaml").write_text(text, encoding="utf-8")
    (folder / "b.yaml").write_text(f"{text}\nbackends: {{registry: 'mlflow+sqlite:///m.db'}}\n", encoding="utf-8")
    arguments = ["run", str(folder), "--report", str(tmp_path / "reports"), "-q"]
    result = click.testing.CliRunner().invoke(cli, arguments, standalone_mode=False)
    assert result.return_value == 0, result.output
    assert "b.yaml: skipped: it keeps its models in MLflow, which is not installed" in result.output
