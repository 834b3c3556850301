"""The router refuses, is not there, or dies.

Real: the program and its users; in the tests of a death the router's own process too (the built-in one, HAProxy), which
is killed with SIGKILL. The servers, and the user's own router with its webhook, are stand-ins on loopback. Of the times
between tries only the waits are shortened.
"""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.backends import outside, processes
from harness.domain.event import Escalated
from harness.domain.lost import LOST
from harness.domain.model import Role
from harness.domain.rollout import Order
from harness.engine import settle
from tests.outages.runs import APPROVED, LOOKS, Begin, Run, drawn_s, later, order
from tests.outages.stage import Service, Stage
from tests.requires import program

ON_STABLE, AT_20 = {"stable": 1.0, "candidate": 0.0}, {"stable": 0.8, "candidate": 0.2}
STEPS = "[{weight: 20%}, {pause: 400ms}, {weight: 50%}, {pause: 90s}]"
TOLERANT = f"{{{LOOKS}, rules: [error_rate <= 100%]}}"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settle, "STABLE_S", (0.0, 0.05))
    quick = replace(outside.PATIENCE, attempts=2, base_s=0.01)
    monkeypatch.setattr(outside.WebhookRouter.__init__, "__defaults__", (quick,))


def told(stage: Stage, begin: Begin, service: Service, hook: str | None = None) -> Run:
    """A run whose weights go to a webhook."""
    front = stage.site(service.app).url
    real = (
        f"http: {{stable: {front}/stable, candidate: {front}/candidate, front: {front}}}, "
        f"router: {{webhook: {hook or front}/weights}}"
    )
    return begin(backends="serving: http, router: webhook", real=real, steps=STEPS)


@pytest.mark.parametrize(("status", "said"), [(403, "refused the routing: HTTP 403"), (503, "in 2 attempts: HTTP 503")])
def test_one_that_refuses_more_for_the_candidate_leaves_traffic_on_stable(
    status: int, said: str, stage: Stage, begin: Begin
) -> None:
    service = Service()
    service.refuses = lambda wanted: status if wanted["candidate"] > 0.2 else 0
    run = told(stage, begin, service)
    assert (run.outcome, run.code) == ("error", 3)
    assert service.weights == run.weights == ON_STABLE
    assert (run.verified, run.failed) == (Role.STABLE, {})
    run.tells(said)


def refusing(stage: Stage, begin: Begin) -> tuple[Run, Service]:
    service = Service()

    def refuse() -> None:
        service.refuses = lambda _: 403

    service.at_20 = later(drawn_s("refuses", 0.2), refuse)
    return told(stage, begin, service), service


def unreachable(stage: Stage, begin: Begin) -> tuple[Run, Service]:
    service = Service()
    hook = stage.site(service.app)
    service.at_20 = later(drawn_s("gone", 0.2), lambda: stage.down(hook))
    return told(stage, begin, service, hook.url), service


@pytest.mark.parametrize(
    ("fails", "said"), [(refusing, "refused the routing: HTTP 403"), (unreachable, "in 2 attempts: Cannot connect")]
)
def test_one_that_can_be_told_nothing_more_leaves_traffic_as_it_stands_and_calls_a_person(
    fails: Callable[[Stage, Begin], tuple[Run, Service]], said: str, stage: Stage, begin: Begin
) -> None:
    run, service = fails(stage, begin)
    assert (run.outcome, run.code) == ("failed", 3)
    assert service.weights == run.weights == AT_20
    assert (run.verified, run.failed) == (None, {})
    assert said in run.events.only(Escalated).reason
    run.tells(said, "a person must look")


@pytest.mark.parametrize(("word", "name"), [("builtin", "router"), ("haproxy", "haproxy")])
def test_one_that_is_killed_is_back_with_what_it_had_and_the_rollout_goes_on(
    word: str, name: str, stage: Stage, begin: Begin, tmp_path: Path
) -> None:
    if word == "haproxy":
        program("haproxy")
    service = Service()
    sites = {arm: stage.site(service.replica) for arm in ("stable", "candidate")}
    service.met = later(drawn_s(word), lambda: killed(tmp_path, name))
    looks_after = ['"event":"Measured"'] * 12  # of 400 ms, every 50
    order(tmp_path, Order.APPROVE, after=["router_back", *looks_after])
    run = begin(
        backends=f"serving: http, router: {word}", steps=APPROVED, analysis=TOLERANT,
        real=", ".join(["http: {stable: " + sites["stable"].url, "candidate: " + sites["candidate"].url + "}"]),
    )  # fmt: skip
    assert (run.outcome, run.code) == ("promoted", 0)
    assert run.verified is Role.CANDIDATE
    assert {kind.removeprefix("presumed_") for kind in run.failed} <= {*LOST, "timeout"}  # what it takes to be away
    assert run.last_failed == 0
    assert len(run.noticed("router_died")) == len(run.noticed("router_back")) == 1
    run.tells("has died, and is started anew", "with the routing that it had")


def killed(folder: Path, name: str) -> None:
    """SIGKILL to the router's process, once it has a pid."""
    note = next(note for note in processes.notes(folder / "reports" / ".state") if note.name == name)
    while note.pid is None:
        time.sleep(0.01)
    os.kill(note.pid, signal.SIGKILL)
