"""The registry's commands on a database of our own: list, promote, rollback, lineage, verify, keygen, gc."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.backends.sql import SqlRegistry
from harness.clock import run_real
from harness.contracts import sample_model
from harness.domain.lineage import Deployment
from tests.cli.conftest import SCENARIOS, Called

Call = Callable[..., Called]
NAME = "checked-model"
URI = "sqlite:///registry.db"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SqlRegistry:
    """Two versions in the folder that the program is called in; the first is stable."""
    monkeypatch.setenv("HARNESS_REGISTRY", URI)
    registry = SqlRegistry(f"sqlite:///{tmp_path}/registry.db")

    async def fill() -> None:
        first = await registry.register(sample_model(1), "run-1/2")
        await registry.register(sample_model(2), "run-2/2")
        await registry.set_alias(first, "stable")

    run_real(fill)
    return registry


def aliases(registry: SqlRegistry) -> dict[str, int]:
    return {alias: each.revision.version for each in run_real(registry.versions, NAME) for alias in each.aliases}


def test_list_show_promote_and_go_back(call: Call, store: SqlRegistry) -> None:
    assert "1 model, 2 versions" in call("registry", "list").out
    assert sample_model(1).artifact_digest in call("registry", "show", NAME).out
    called = call("registry", "promote", f"{NAME}:2")
    assert called.code == 0, called.err
    assert aliases(store) == {"stable": 2, "previous": 1}
    assert call("registry", "rollback", NAME).code == 0
    assert aliases(store) == {"stable": 1}
    assert [each.status for each in run_real(store.versions, NAME)] == ["", "bad"]
    assert call("registry", "rollback", NAME).code == 1


def test_what_is_done_by_hand_stands_in_the_lineage(call: Call, store: SqlRegistry) -> None:
    call("registry", "promote", f"{NAME}:2")
    call("registry", "rollback", NAME)
    told = json.loads(call("registry", "lineage", f"{NAME}:2", "--json", "-").out)
    assert [(each["outcome"], each["scenario"], each["stable"]) for each in told["deployments"]] == [
        ("promoted", "harness registry", f"{NAME}:1"), ("rolled_back", "harness registry", f"{NAME}:1"),
    ]  # fmt: skip
    assert told["parents"] == [{"kind": "replaced", "what": f"{NAME}:1", "digest": sample_model(1).artifact_digest}]
    assert f"promoted  harness registry (by hand over {NAME}:1)" in call("registry", "lineage", f"{NAME}:2").out


def test_what_would_not_load_is_promoted_by_force_alone_and_is_gone_back_from(
    call: Call, store: SqlRegistry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    call("registry", "keygen", "-o", "release.key")
    monkeypatch.setenv("HARNESS_TRUSTED_KEYS", str(tmp_path / "release.key.pub"))
    called = call("registry", "promote", f"{NAME}:2")
    assert called.code == 1
    assert f"{NAME}:2 is not what was registered (it is not signed, and only what ed25519:" in called.err
    assert aliases(store) == {"stable": 1}
    assert call("registry", "promote", f"{NAME}:2", "--force").code == 0
    assert call("registry", "rollback", NAME).code == 0, "the way back needs nothing but the database"
    assert aliases(store) == {"stable": 1}


def test_lineage_is_a_tree_json_and_a_graph(call: Call, store: SqlRegistry) -> None:
    second = run_real(store.versions, NAME)[1].revision
    told = Deployment(
        "run-2", 1, "promoted", "canary", "all held", "canary", "", f"{NAME}:1", "sha256:1", 'the "file".csv'
    )
    run_real(store.record_deployment, second, told)
    shown = call("registry", "lineage", f"{NAME}:2", "--no-color").out
    places = [
        shown.index(word) for word in ('the "file".csv', "features", "training", f"{NAME}:2", "took the place of")
    ]
    assert places == sorted(places), shown
    assert f"promoted  canary (canary over {NAME}:1)" in shown
    assert "no deployment recorded" in call("registry", "lineage", NAME).out
    found = json.loads(call("registry", "lineage", f"{NAME}:2", "--json", "-").out)
    assert found["data"] == {"digest": sample_model(2).data_digest, "name": 'the "file".csv'}
    assert found["training"]["run"] == "run-2"
    assert found["parents"] == [{"kind": "replaced", "what": f"{NAME}:1", "digest": "sha256:1"}]
    assert [each["outcome"] for each in found["deployments"]] == ["promoted"]
    graph = call("registry", "lineage", f"{NAME}:2", "--dot").out
    assert graph.startswith("digraph lineage {")
    assert graph.count("->") == 5
    assert r"the \"file\".csv" in graph
    assert call("registry", "lineage", f"{NAME}:9").code == 2


def test_a_promotion_in_a_run_stands_in_the_lineage_and_makes_a_first_scenario(call: Call, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/r.db"
    called = call("run", SCENARIOS / "canary_healthy.yaml", "--registry", uri, "-q", "--report", tmp_path / "reports")
    assert called.code == 0, called.err
    told = json.loads(call("registry", "lineage", "churn-prediction", "--registry", uri, "--json", "-").out)
    [deployment] = told["deployments"]
    assert (deployment["outcome"], deployment["scenario"], deployment["stable"]) == (
        "promoted", "canary-healthy", "churn-prediction:1",
    )  # fmt: skip
    assert told["data"]["name"] == "telco_churn.csv.gz"
    assert told["training"]["run"] == deployment["run"]
    assert call("registry", "verify", "churn-prediction", "--registry", uri).code == 0
    data = SCENARIOS / "data" / "telco_churn.csv.gz"
    called = call(
        "init", "--data", data, "--target", "Churn", "--model", "models:/churn-prediction@stable", "--registry", uri,
        "--output", tmp_path / "mine" / "first.yaml",
    )  # fmt: skip
    assert called.code == 0, called.err
    written = (tmp_path / "mine" / "first.yaml").read_text()
    assert "sqlite:///../r.db" in written
    assert call("check", tmp_path / "mine" / "first.yaml").code == 0


def test_verify_names_what_is_wrong_and_leaves_the_rest(call: Call, store: SqlRegistry, tmp_path: Path) -> None:
    called = call("registry", "verify", NAME)
    assert (called.code, called.out.splitlines()[-1]) == (0, "2 of 2 versions passed")
    manifest = json.loads(store.store.row(NAME, 2).manifest)
    [archive] = [each for each in manifest["files"] if each["path"] == "model.skops"]
    path = tmp_path / "registry.db.artifacts" / "sha256" / archive["sha256"][:2] / archive["sha256"]
    os.truncate(path, 100)
    called = call("registry", "verify", NAME, "--json", "told.json")
    assert called.code == 1
    assert f"model.skops has 100 bytes, not {archive['size']:,}: someone has changed the file" in called.out
    told = json.loads((tmp_path / "told.json").read_text())
    assert [each["passed"] for each in told["versions"]] == [True, False]
    assert call("registry", "verify", f"{NAME}@stable").code == 0
    assert call("registry", "verify", f"{NAME}:2").code == 1
    called = call("serve", f"{NAME}:2", "--registry", URI)
    assert called.code == 3
    assert "is not loaded: model.skops has 100 bytes" in called.err


def test_a_key_is_made_for_its_owner_alone_and_never_replaced(
    call: Call, store: SqlRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = call("registry", "keygen", "-o", "release.key")
    assert called.code == 0, called.err
    assert (tmp_path / "release.key").stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" not in f"{called.out}{(tmp_path / 'release.key.pub').read_text()}"
    before = (tmp_path / "release.key").read_text()
    assert call("registry", "keygen", "-o", "release.key").code == 2
    assert (tmp_path / "release.key").read_text() == before

    monkeypatch.setenv("HARNESS_SIGNING_KEY_FILE", str(tmp_path / "release.key"))
    run_real(store.register, sample_model(3), "run-3/2")
    signer = called.out.splitlines()[0]
    assert f"{NAME}:3  ok  signed by {signer}" in call("registry", "verify", NAME).out
    monkeypatch.setenv("HARNESS_TRUSTED_KEYS", str(tmp_path / "release.key.pub"))
    called = call("registry", "verify", NAME)
    assert called.code == 1
    assert called.out.count("it is not signed, and only what") == 2
    assert f"{NAME}:3  ok" in called.out


def test_gc_says_what_it_would_take_and_takes_what_nobody_names(call: Call, store: SqlRegistry) -> None:
    store.store.artifacts.put(b"of a registration that was cut off")
    assert "0 files taken away, 4 are named by versions; 1 younger than 1h are left" in call("registry", "gc").out
    assert "1 files would be taken away" in call("registry", "gc", "--dry-run", "--older-than", "0m").out
    assert "1 files taken away" in call("registry", "gc", "--older-than", "0m").out
    assert "0 files taken away" in call("registry", "gc", "--older-than", "0m").out
    assert call("registry", "gc", "--older-than", "soon").code == 2
    assert call("registry", "verify", NAME).code == 0


def test_a_password_in_the_uri_is_refused_and_never_shown(call: Call) -> None:
    for uri in (
        "postgresql://ann:s3cr3t@h/db",
        "postgresql://ann@h/db?password=s3cr3t",
        "postgresql://ann:s3@cr3t@h/db",
    ):
        called = call("registry", "list", "--registry", uri)
        assert called.code == 2
        assert "PGPASSWORD" in called.err
        assert "cr3t" not in f"{called.out}{called.err}"
