"""A run for a cluster that is not there ends before it has done anything."""

import json
import socket
from pathlib import Path

import pytest

from fakes.kube_api import KubeApi
from harness import app
from harness.backends.kubernetes_reach import reach
from harness.cli import main
from harness.domain.real import KubernetesPlan
from harness.errors import BackendError
from tests.shipped import SCENARIOS

FILE = SCENARIOS / "kubernetes_canary.yaml"


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a server that is gone, which the kubeconfig names."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    names = {"cluster": "there", "user": "user"}
    said = {
        "apiVersion": "v1", "kind": "Config", "current-context": "there",
        "clusters": [{"name": "there", "cluster": {"server": url}}],
        "users": [{"name": "user", "user": {}}],
        "contexts": [{"name": "there", "context": names}],
    }  # fmt: skip
    (tmp_path / "kubeconfig").write_text(json.dumps(said), encoding="utf-8")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.chdir(tmp_path)
    return url


def test_a_run_ends_with_3_and_has_left_nothing(
    nowhere: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["harness", "run", str(FILE)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    told = " ".join(capsys.readouterr().err.split())
    assert f"no cluster answers at {nowhere}: Connection refused" in told
    assert "KUBECONFIG, or real.kubernetes.context, names another one" in told
    assert {each.name for each in tmp_path.iterdir()} == {"kubeconfig"}


def test_it_is_checked_without_a_cluster(nowhere: str) -> None:
    assert "canary, 6 steps" in str(app.check_references(app.load_scenario(FILE)))


@pytest.mark.usefixtures("nowhere")
def test_a_context_that_the_kubeconfig_lacks_is_named() -> None:
    with pytest.raises(BackendError, match=r"no cluster is known: Context 'other' not found; .*cluster-info"):
        reach(KubernetesPlan(context="other"))


def test_no_kubeconfig_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(BackendError, match="no cluster is known"):
        reach(KubernetesPlan())


async def test_one_that_answers_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with KubeApi() as api:
        monkeypatch.setenv("KUBECONFIG", str(api.write_kubeconfig(tmp_path / "kubeconfig")))
        reach(KubernetesPlan())
        assert not api.audit.asked()


@pytest.mark.usefixtures("nowhere")
def test_behind_a_proxy_no_connection_of_its_own_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    reach(KubernetesPlan())
