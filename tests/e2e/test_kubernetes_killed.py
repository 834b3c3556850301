"""`harness run` in a cluster that stands in, killed in mid-canary, and `harness resume`: two programs, and a third."""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness import log as event_log
from harness.domain.event import Promoted, Routed, RunEnded, Totalled, Verified
from harness.domain.lost import lost_in
from harness.domain.model import Role
from harness.domain.resume_event import Resumed
from harness.domain.rollout import Outcome
from harness.realtime import MODEL_HEADER
from tests import forked
from tests.backends.kubernetes_bench import free_port
from tests.shipped import SCENARIOS

LONGEST_S = 100
CHANGES = (
    "inject=[]",
    "expect=[outcome == promoted, failed_requests == 0]",
    "labels.delay=0s",
    "service.replicas=1",
    "real.local.drain=1s",
    "rollout.steps=[{weight: 50%}, {pause: 2s}, {weight: 100%}, {pause: 500ms}]",
    "rollout.analysis={every: 500ms, window: 1s, min_requests: 10, rules: [error_rate <= stable + 5%]}",
)


@contextmanager
def cluster(kubeconfig: Path) -> Iterator[str]:
    """A stand-in in a process of its own; where users ask."""
    command = [
        sys.executable,
        "-m",
        "fakes.kube_serve",
        str(kubeconfig),
        "-n",
        "ml",
        "--servers",
        "--gateway",
        "models",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=forked.ROOT) as process:
        assert process.stdout is not None
        said = [process.stdout.readline().split()[-1] for _ in range(2)]
        try:
            yield said[1]
        finally:
            process.send_signal(signal.SIGTERM)


def shares(kubeconfig: Path) -> dict[str, int]:
    """By the HTTPRoute, as the API server has it."""
    config = json.loads(kubeconfig.read_text())
    url = f"{config['clusters'][0]['cluster']['server']}/apis/gateway.networking.k8s.io/v1/namespaces/ml/httproutes"
    asked = urllib.request.Request(url, headers={"authorization": f"Bearer {config['users'][0]['user']['token']}"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        (route,) = json.load(answer)["items"]
    return {each["name"]: each["weight"] for each in route["spec"]["rules"][-1]["backendRefs"]}


def answered_by(front: str) -> str:
    """Which model a user meets."""
    asked = urllib.request.Request(f"{front}/predict", data=b"{}", headers={"content-type": "application/json"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return str(answer.headers[MODEL_HEADER])


def killed_in_mid_canary(command: Sequence[str], folder: Path, environment: dict[str, str]) -> Path:
    """Its log."""
    run = forked.harness(command, folder / "run.txt", environment)
    try:
        while True:
            assert run.poll() is None, (folder / "run.txt").read_text()
            log = next((each for each in folder.glob("reports/*/2*/events.jsonl")), None)
            if log and any(event.weights.get(Role.CANDIDATE) for event in event_log.read(log).of(Routed)):
                return log
            time.sleep(0.05)
    finally:
        run.kill()
        run.wait(LONGEST_S)


def test_a_canary_in_a_cluster_is_killed_and_taken_up_where_its_route_stands(tmp_path: Path) -> None:
    config, port = tmp_path / "kubeconfig.json", free_port()
    environment = {"KUBECONFIG": str(config)}
    with cluster(config) as front:
        changes = (*CHANGES, f"real.kubernetes.front={front}", f"real.kubernetes.port={port}")
        command = ["run", str(SCENARIOS / "kubernetes_canary.yaml"), "--registry", f"sqlite:///{tmp_path}/registry.db"]
        command += [word for change in changes for word in ("--set", change)]
        ours = ["--report", str(tmp_path / "reports"), "--no-color"]
        log = killed_in_mid_canary([*command, *ours], tmp_path, environment)
        half = {"churn-prediction-stable": 5000, "churn-prediction-candidate": 5000}
        assert shares(config) == half  # the cluster goes on as it was told last
        assert {answered_by(front) for _ in range(4)} == {"churn-prediction:1", "churn-prediction:2"}

        resumed = forked.harness(["resume", log.parent.name, *ours], tmp_path / "resume.txt", environment)
        assert resumed.wait(LONGEST_S) == 0, (tmp_path / "resume.txt").read_text()
        assert shares(config) == {"churn-prediction-stable": 10_000, "churn-prediction-candidate": 0}
        assert {answered_by(front) for _ in range(4)} == {"churn-prediction:2"}

    events: Any = event_log.read(log)
    assert len(events.of(Resumed)) == len(events.of(Promoted)) == 1
    assert events.last(RunEnded).outcome is Outcome.PROMOTED
    last = events.last(Verified)
    assert (last.role, last.passed) == (Role.CANDIDATE, True)
    assert not any(lost_in(arm.errors) for arm in events.last(Totalled).arms.values())
