"""DVC and git as they are: data and a scenario's pipeline under version control, sent away and brought back."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness import BackendError, DVCIntegration, InputError
from harness.app import load_scenario
from harness.backends import dvc
from harness.clock import run_real
from harness.exporters.dvc import pipeline
from tests import requires

SCENARIO = """\
harness: 1
name: small
model:
  name: small
  data: {source: data.csv, target: y, positive: "yes"}
  features: features.yaml
  stable: {algorithm: logistic_regression}
  candidate: {algorithm: decision_tree, params: {max_depth: 3}}
traffic: {poisson: 50/s}
rollout: {strategy: canary, steps: [{weight: 50%}, {pause: 5m}]}
"""
FEATURES = "features: 1\ncolumns:\n  x: {scale: robust}\n"
SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIA-very-secret-id",
    "AWS_SECRET_ACCESS_KEY": "very/secret+key=",
    "AWS_DEFAULT_REGION": "eu-west-1",
}


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    requires.module("dvc")
    requires.program("git")
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "a tester")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "tester@example.org")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / "global"))
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    rows = [f"{number},{(number * 37) % 11},{'yes' if (number * 37) % 11 > 5 else 'no'}" for number in range(120)]
    (folder / "data.csv").write_text("\n".join(["n,x,y", *rows]) + "\n")
    (folder / "small.yaml").write_text(SCENARIO)
    (folder / "features.yaml").write_text(FEATURES)
    return folder


def committed(folder: Path) -> str:
    """Every byte that git has, of all that is committed."""
    names = git(folder, "ls-files").split()
    return "\n".join((folder / name).read_text(errors="replace") for name in names if (folder / name).exists())


@pytest.mark.timeout(240)
def test_there_and_back_again(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dozen commands of the real program; each takes seconds, so that one test goes the whole way."""
    integration = DVCIntegration(repository)
    store = integration.setup_dvc_pipeline()
    assert store == str(repository.parent / "dvc-storage")
    first = integration.version_data("data.csv", "as it came")
    assert first.changed
    assert git(repository, "log", "-1", "--format=%H %s").strip() == f"{first.commit} Version data: as it came"
    assert first.md5 in git(repository, "show", f"{first.commit}:data.csv.dvc")
    assert "data.csv\n" in (repository / ".gitignore").read_text()

    for name, text in pipeline(load_scenario(repository / "small.yaml"), repository).items():
        (repository / name).write_text(text)
    dvc_here = integration.dvc
    assert run_real(dvc_here.repro) == ("validate", "features", "train", "evaluate")
    integration.push()
    assert integration.reproduce_pipeline() == ()  # nothing to pull, to run, or to push
    assert run_real(dvc_here.status) == {}

    # What no model looks at asks for nothing; what one does asks for what comes after it.
    (repository / "small.yaml").write_text(SCENARIO.replace("5m", "9m"))
    params = (repository / "params.yaml").read_text()
    (repository / "params.yaml").write_text(params.replace("max_depth: 3", "max_depth: 1"))
    assert set(run_real(dvc_here.status)) == {"features", "train"}
    changed = run_real(dvc_here.diff, "params")
    assert "model.candidate.params.max_depth" in str(changed)

    data = (repository / "data.csv").read_bytes()
    shutil.rmtree(repository / ".dvc" / "cache")
    (repository / "data.csv").unlink()
    shutil.rmtree(repository / "models")
    integration.pull()
    assert (repository / "data.csv").read_bytes() == data
    assert (repository / "models" / "candidate.skops").exists()


def test_credentials_of_s3_are_nowhere_but_in_a_local_file(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    url = "s3://my-ml-data-bucket/dvc-storage"
    monkeypatch.setenv("DVC_REMOTE_URL", url)
    assert DVCIntegration(repository).setup_dvc_pipeline() == url
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "-m", "all")
    local = repository / ".dvc" / "config.local"
    assert oct(local.stat().st_mode)[-3:] == "600"
    for secret in ("AKIA-very-secret-id", "very/secret+key="):
        assert secret in local.read_text()
        assert secret not in committed(repository)
    assert url in committed(repository)
    # DVC itself reads what was written; what it prints comes masked.
    said = run_real(dvc.Dvc(repository).dvc, "config", "--local", "--list")
    assert "remote.storage.region=eu-west-1" in said
    assert "secret_access_key=***" in said
    assert "very" not in said
    with pytest.raises(InputError, match="leave credentials out of it"):
        run_real(dvc.Dvc(repository).remote_add, "other", "s3://me:pw@bucket/x")
    run_real(dvc.Dvc(repository).remote_add, "storage", str(repository.parent / "store"))
    assert "secret" not in local.read_text()
    assert run_real(dvc.Dvc(repository).status) == {}
    with pytest.raises(InputError, match="it is a folder, or such as"):
        run_real(dvc.Dvc(repository).remote_add, "other", "--global")
    with pytest.raises(BackendError, match=r"dvc add failed \(\d+\): \w+"):  # in DVC's own words
        run_real(dvc.Dvc(repository).add, ".")


def test_what_is_missing_is_told_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requires.program("git")
    with pytest.raises(InputError, match="no git repository; git init first"):
        run_real(dvc.Dvc(tmp_path).init)
    with pytest.raises(InputError, match="there is no such folder"):
        DVCIntegration(tmp_path / "nowhere").setup_dvc_pipeline()
    with pytest.raises(InputError, match="lies outside of the repository"):
        DVCIntegration(tmp_path).version_data("/etc/hosts", "hosts")
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(BackendError, match=r"pip install 'rollout-harness\[dvc\]'"):
        dvc.program({"PATH": str(tmp_path)})


def slow_program(tmp_path: Path, text: str) -> dvc.Dvc:
    """A folder whose Python has a ``dvc`` beside it that does what a test needs."""
    script = tmp_path / "dvc"
    script.write_text(f"#!/bin/sh\n{text}\n")
    script.chmod(0o755)
    return dvc.Dvc(tmp_path, limit_s=0.2, variables={**os.environ, **SECRETS})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sleep 30", "took longer than 0.2 s"),
        ("echo no $AWS_SECRET_ACCESS_KEY >&2; exit 3", r"failed \(3\): no \*\*\*$"),
    ],
)
def test_a_command_ends_in_time_and_tells_no_secret(
    text: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here: Any = slow_program(tmp_path, text)
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(BackendError, match=told):
        run_real(here.dvc, "push")
