"""What the lease is on: the same name for all who would drive the same servers."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.app.driving import rollout_of
from harness.domain.real import EndpointsPlan, KubernetesPlan
from harness.domain.scenario import Scenario
from tests.build import scenario
from tests.surviving import Surviving, World

PLATFORM = Surviving(World())


def serving(word: str, name: str = "m", **plans: Any) -> Scenario:
    of = scenario()
    backends, real = replace(of.backends, serving=word), replace(of.real, **plans)
    return replace(of, backends=backends, real=real, model=replace(of.model, name=name))


def test_two_scenarios_with_one_front_drive_the_same_whatever_their_models_are_called() -> None:
    behind = EndpointsPlan(front="http://gate:8080")
    names = [
        rollout_of(serving("http", name, http=replace(behind, front=front)), PLATFORM, "r")
        for name, front in (("churn", "http://gate:8080"), ("churn-2", "http://gate:8080/"))
    ]
    assert names == ["http/http://gate:8080"] * 2
    other = rollout_of(serving("http", http=replace(behind, front="http://door:8080")), PLATFORM, "r")
    assert other not in names


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def put(**servers: str) -> None:
        said = {
            "apiVersion": "v1", "kind": "Config", "current-context": next(iter(servers)),
            "clusters": [{"name": name, "cluster": {"server": url}} for name, url in servers.items()],
            "users": [{"name": "user", "user": {}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": "user"}} for name in servers],
        }  # fmt: skip
        (tmp_path / "kubeconfig").write_text(json.dumps(said), encoding="utf-8")
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))

    return put


def test_a_cluster_is_known_by_its_server_and_not_by_what_its_context_is_called(
    kubeconfig: Callable[..., None],
) -> None:
    def named(context: str | None) -> str:
        plan = replace(KubernetesPlan(), context=context, namespace="prod")
        return rollout_of(serving("kubernetes", kubernetes=plan), PLATFORM, "r")

    kubeconfig(one="https://a.example:6443", alias="https://a.example:6443/", two="https://b.example:6443")
    assert named(None) == named("one") == named("alias") == "kubernetes/https://a.example:6443/prod/m"
    assert named("two") != named("one")
    kubeconfig(two="https://b.example:6443", one="https://a.example:6443")  # the current context is another now
    assert named(None) == named("two") == "kubernetes/https://b.example:6443/prod/m"
