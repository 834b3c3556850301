"""The handbook's custom registry: what it asks for, what it gives back, and what it refuses."""

from pathlib import Path
from typing import Any

import pytest

import harness
from harness.clock import run_real
from harness.errors import InvalidModelMetadataError, ModelNotFoundError, RegistryError
from harness.facades import CustomModelRegistry


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/models.db"


def info(number: int = 1, **changed: Any) -> dict[str, Any]:
    return {
        "model_id": f"churn-{number:03}",
        "name": "churn",
        "version": f"1.0.{number}",
        "algorithm": "gradient_boosting",
        "hyperparameters": {"max_depth": 3, "learning_rate": 0.1},
        "metrics": {"accuracy": 0.91, "f1": 0.8},
        "training_data_info": {"source": "churn.csv", "digest": f"sha256:{number:064x}", "rows": 7043},
        "feature_info": {"name": "telco-v2", "columns": ["tenure", "MonthlyCharges"]},
        "created_by": "ann",
        "artifacts": {"model.bin": b"weights %d" % number, "vocabulary.txt": b"yes no"},
        **changed,
    }


def test_what_is_registered_comes_back_whole(url: str) -> None:
    registry = CustomModelRegistry(url)
    assert (
        registry.register_model(info(lineage=["churn:0", {"kind": "warm_start", "what": "churn-base:3"}]))
        == "churn-001"
    )
    found = CustomModelRegistry(url).get_model_for_deployment("churn", "registered")
    assert found["artifacts"] == info()["artifacts"]
    for key in ("name", "version", "algorithm", "hyperparameters", "metrics", "training_data_info", "feature_info",
                "model_id", "created_by"):  # fmt: skip
        assert found["model"][key] == info()[key], key
    assert found["model"]["status"] == "registered"
    assert [(each["kind"], each["what"]) for each in found["model"]["lineage"]] == [
        ("parent", "churn:0"), ("warm_start", "churn-base:3"),
    ]  # fmt: skip
    config = found["serving_config"]
    assert (config["model_name"], config["model_version"]) == ("churn", "1.0.1")
    assert config["command"] == ["harness", "serve", "churn:1", "--registry", url]


def test_a_model_is_registered_once_and_a_version_belongs_to_one(url: str) -> None:
    registry = CustomModelRegistry(url)
    registry.register_model(info())
    registry.register_model(info())
    assert len(run_real(registry.registry.versions, "churn")) == 1
    with pytest.raises(RegistryError, match=r"churn has a version 1\.0\.1 already"):
        registry.register_model(info(2, version="1.0.1"))
    with pytest.raises(RegistryError, match="which is another model"):
        registry.register_model(info(artifacts={"model.bin": b"others"}))
    assert len(run_real(registry.registry.versions, "churn")) == 1


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"name": ""}, "name: missing"),
        ({"name": "a@b"}, "name: 'a@b' holds one of"),
        ({"version": None}, "version: missing"),
        ({"version": True}, "version: missing"),
        ({"hyperparameters": [1]}, "hyperparameters: missing"),
        ({"metrics": {"accuracy": "high"}}, "metrics.accuracy: 'high' is no number"),
        ({"artifacts": {}}, "artifacts: missing"),
        ({"artifacts": {"model.bin": "nowhere/model.bin"}}, "artifacts.model.bin: there is no file nowhere/model.bin"),
        ({"artifacts": {"model.bin": 3}}, "artifacts.model.bin: a int; bytes, or the path of a file"),
        ({"artifacts": {"../model.bin": b"w"}}, "artifacts.'../model.bin': the name of a file below a folder"),
        ({"artifacts": {"/etc/passwd": b"w"}}, "artifacts.'/etc/passwd': the name of a file below a folder"),
        ({"artifacts": {"a\\..\\b": b"w"}}, r"artifacts.'a\\..\\b': the name of a file below a folder"),
        ({"lineage": [{"kind": "parent"}]}, "lineage: {'kind': 'parent'} is neither a name nor"),
    ],
)
def test_each_thing_that_is_wrong_is_named_and_nothing_is_registered(
    wrong: dict[str, Any], told: str, url: str
) -> None:
    registry = CustomModelRegistry(url)
    with pytest.raises(InvalidModelMetadataError) as refused:
        registry.register_model(info(**wrong))
    [error] = refused.value.errors
    assert error.startswith(told)
    assert run_real(registry.registry.names) == ()


def test_everything_that_is_missing_is_told_at_once(url: str) -> None:
    with pytest.raises(InvalidModelMetadataError) as refused:
        CustomModelRegistry(url).register_model({})
    named = [error.partition(":")[0] for error in refused.value.errors]
    assert named == [
        "model_id", "name", "algorithm", "created_by", "version", "hyperparameters", "training_data_info",
        "feature_info", "metrics", "artifacts",
    ]  # fmt: skip


def test_a_stage_has_one_version_and_what_was_there_is_archived(url: str) -> None:
    registry = CustomModelRegistry(url)
    for number in (1, 2):
        registry.register_model(info(number))
    with pytest.raises(ModelNotFoundError, match=r"^Model churn not found in stage Production$"):
        registry.get_model_for_deployment("churn", "Production")
    registry.set_model_status("churn", "1.0.1", "production")
    registry.set_model_status("churn", "1.0.2", "Production")
    found = registry.get_model_for_deployment("churn", "production")
    assert (found["model"]["version"], found["model"]["aliases"]) == ("1.0.2", ["stable"])
    assert registry.get_model_for_deployment("churn", "archived")["model"]["version"] == "1.0.1"
    assert registry.get_model_for_deployment("churn", "Production", version="1.0.1")["model"]["number"] == 1
    assert run_real(registry.registry.resolve, "churn", "previous").version == 1
    with pytest.raises(harness.InputError, match="'gone' is no status; there are registered"):
        registry.set_model_status("churn", 1, "gone")


def test_what_leaves_a_stage_is_found_there_no_more(url: str) -> None:
    registry = CustomModelRegistry(url)
    registry.register_model(info())
    registry.set_model_status("churn", "1.0.1", "staging")
    registry.set_model_status("churn", "1.0.1", "production")
    registry.set_model_status("churn", "1.0.1", "verified")
    assert registry.get_model_for_deployment("churn", "production")["model"]["aliases"] == ["stable"]
    registry.set_model_status("churn", "1.0.1", "archived")
    for stage in ("production", "staging"):
        with pytest.raises(ModelNotFoundError):
            registry.get_model_for_deployment("churn", stage)


def test_a_file_may_be_called_as_one_of_ours_is(url: str) -> None:
    registry = CustomModelRegistry(url)
    registry.register_model(info(artifacts={"model.bin": b"w", "metadata.json": b"{'not': json"}))
    assert registry.get_model_for_deployment("churn", "registered")["artifacts"]["model.bin"] == b"w"


@pytest.mark.parametrize(("name", "version"), [("nobody", None), ("churn", "9.9")])
def test_what_is_not_there_is_told_in_the_handbooks_words(name: str, version: str | None, url: str) -> None:
    registry = CustomModelRegistry(url)
    registry.register_model(info())
    with pytest.raises(ModelNotFoundError, match=f"^Model {name} not found in stage Production$"):
        registry.get_model_for_deployment(name, "Production", version)


def test_files_and_folders_are_taken_as_they_are(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "weights.bin").write_bytes(b"w" * 3_000_000)
    (tmp_path / "notes.txt").write_text("trained on a rainy day")
    registry = CustomModelRegistry(url)
    registry.register_model(info(artifacts=[folder, str(tmp_path / "notes.txt")]))
    found = registry.get_model_for_deployment("churn", "registered")["artifacts"]
    assert found == {"saved/inner/weights.bin": b"w" * 3_000_000, "notes.txt": b"trained on a rainy day"}


def test_a_file_that_someone_changed_is_not_handed_out(url: str, tmp_path: Path) -> None:
    registry = CustomModelRegistry(url)
    registry.register_model(info())
    [path] = [each for each in tmp_path.glob("models.db.artifacts/sha256/*/*") if each.read_bytes() == b"yes no"]
    path.chmod(0o644)
    path.write_bytes(b"yes yes")
    with pytest.raises(RegistryError, match=r"vocabulary\.txt has 7 bytes, not 6: someone has changed the file"):
        registry.get_model_for_deployment("churn", "registered")


def test_a_registry_in_memory_lives_as_long_as_its_object() -> None:
    registry = CustomModelRegistry("sqlite:///:memory:")
    registry.register_model(info())
    assert registry.get_model_for_deployment("churn", "registered")["artifacts"] == info()["artifacts"]
    other = CustomModelRegistry("sqlite:///:memory:")
    with pytest.raises(ModelNotFoundError):
        other.get_model_for_deployment("churn", "registered")
