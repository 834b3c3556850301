"""The MLflow server is stopped: before a run, and between the registration and the promotion.

Real: the program and its users, MLflow's client and a real MLflow server, for whom a TCP forwarder goes away (the
server itself is the other tests' too). The user's servers and router are stand-ins on loopback. MLflow's own
retries are off.
"""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from harness.domain.event import Promoted, RolledBack, TrafficStarted
from harness.domain.model import Role
from harness.domain.rollout import Order
from harness.engine import settle
from tests.mlflow_server import client
from tests.outages.forwarder import Forwarder
from tests.outages.runs import APPROVED, Begin, drawn_s, later, order
from tests.outages.stage import Service, Stage

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.xdist_group("mlflow"), pytest.mark.timeout(180)]
ON_STABLE = {"stable": 1.0, "candidate": 0.0}


@pytest.fixture
def forwarder(mlflow_server: str, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Forwarder]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    made = Forwarder(urlsplit(mlflow_server).port or 0)
    stage.do(made.up())
    yield made
    stage.do(made.down())


def parts(service: Service, forwarder: Forwarder, stage: Stage) -> dict[str, str]:
    front = stage.site(service.app).url
    real = (
        f"http: {{stable: {front}/stable, candidate: {front}/candidate, front: {front}}}, "
        f"router: {{webhook: {front}/weights}}"
    )
    store = f"'mlflow+http://127.0.0.1:{forwarder.port}'"
    return {"backends": f"serving: http, router: webhook, registry: {store}, tracker: {store}", "real": real}


def test_one_that_is_not_there_keeps_the_run_from_touching_traffic(
    forwarder: Forwarder, stage: Stage, begin: Begin
) -> None:
    service = Service()
    stage.do(forwarder.down())
    run = begin(**parts(service, forwarder, stage))
    assert (run.outcome, run.code) == ("error", 3)
    assert not run.events.of(TrafficStarted)
    assert (service.told, service.asked) == ([], [])
    run.tells("check that an MLflow server answers at")
    assert "before any traffic" in run.out


def test_one_that_goes_before_the_promotion_leaves_traffic_and_the_name_on_stable(
    forwarder: Forwarder,
    mlflow_server: str,
    stage: Stage,
    begin: Begin,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settle, "AGAIN_S", (0.0, 0.05))
    service = Service()

    def go() -> None:
        stage.do(forwarder.down())
        order(tmp_path, Order.APPROVE, after=["Awaited"])

    service.began = later(drawn_s("mlflow"), go)
    run = begin(**parts(service, forwarder, stage), steps=APPROVED)
    assert (run.outcome, run.code) == ("error", 3)
    assert (service.weights, run.weights) == (ON_STABLE, ON_STABLE)
    assert (run.verified, run.failed) == (Role.STABLE, {})
    assert run.events.of(RolledBack)
    assert not run.events.of(Promoted)
    assert "View run" not in run.out  # standard output is the program's
    named = client(mlflow_server).get_model_version_by_alias("outage", "stable")
    assert int(named.version) == 1
    run.tells("the registry could not name outage:2 stable", "check that an MLflow server answers at", "left undone")
