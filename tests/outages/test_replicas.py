"""Replicas die under a rollout: one of stable's, one of the candidate's, all of either.

Real: the program, its users, the built-in router's process. The replicas are stand-ins that go from one moment to the
next: their connections are cut and nobody listens there any more. `benchmarks/outages.py` kills real processes.
"""

from pathlib import Path

import pytest

from harness.domain.event import Totalled
from harness.domain.lost import LOST
from harness.domain.model import Role
from harness.domain.rollout import Order
from harness.engine import settle
from tests.outages.runs import APPROVED, LOOKS, UNENDING, Begin, Run, drawn_s, later, order
from tests.outages.stage import ARMS, Service, Stage

ON_STABLE, ON_CANDIDATE = {"stable": 1.0, "candidate": 0.0}, {"stable": 0.0, "candidate": 1.0}
CRASHED = '"kind":"replica_crashed"'
TOLERANT = f"{{{LOOKS}, rules: [error_rate <= 100%]}}"
STRICT = f"{{{LOOKS}, rules: [error_rate <= stable + 20%]}}"


def losing(arm: str, count: int, stage: Stage, begin: Begin, **parts: str) -> tuple[Run, list[str]]:
    """A run of two replicas for each arm, of which so many of one arm go; and the URLs of those."""
    services = {each: Service() for each in ARMS}
    sites = {each: [stage.site(services[each].replica) for _ in range(2)] for each in ARMS}
    gone = sites[arm][:count]

    def go() -> None:
        for site in gone:
            stage.down(site)

    services["candidate"].met = later(drawn_s(f"{arm} {count}"), go)
    urls = [f"{each}: [{', '.join(site.url for site in sites[each])}]" for each in ARMS]
    run = begin(
        backends="serving: http, router: builtin", replicas="2", real=f"http: {{{', '.join(urls)}}}", **parts
    )  # fmt: skip
    return run, [site.url for site in gone]


def told(run: Run, urls: list[str]) -> None:
    """Each that went is named in every form of the report."""
    run.tells(*(f"{url} cannot be reached" for url in urls))
    assert [each["what"] for each in run.result["outages"][: len(urls)]] == ["replica"] * len(urls)


def test_one_of_stable_costs_nothing_and_the_rollout_goes_on(stage: Stage, begin: Begin, tmp_path: Path) -> None:
    order(tmp_path, Order.APPROVE, after=[CRASHED, '"event":"Measured"'])
    run, urls = losing("stable", 1, stage, begin, steps=APPROVED, analysis=TOLERANT)
    assert (run.outcome, run.code) == ("promoted", 0)
    assert (run.weights, run.verified, run.lost) == (ON_CANDIDATE, Role.CANDIDATE, 0)
    told(run, urls)


def test_a_candidate_at_half_its_strength_is_not_promoted(
    stage: Stage, begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settle, "CANDIDATE_S", (0.0, 0.05))
    order(tmp_path, Order.APPROVE, after=[CRASHED, '"event":"Measured"'])
    run, urls = losing("candidate", 1, stage, begin, steps=APPROVED, analysis=TOLERANT)
    assert (run.outcome, run.code) == ("rolled_back", 1)
    assert (run.weights, run.verified, run.lost) == (ON_STABLE, Role.STABLE, 0)
    told(run, urls)
    run.tells("could not be verified for promotion: 1 of 2 replicas ready")


def test_all_of_the_candidate_cost_its_own_share_until_it_is_rolled_back(stage: Stage, begin: Begin) -> None:
    run, urls = losing("candidate", 2, stage, begin, steps=UNENDING, analysis=STRICT)
    assert (run.outcome, run.code) == ("rolled_back", 1)
    assert (run.weights, run.verified) == (ON_STABLE, Role.STABLE)
    arms = run.events.last(Totalled).arms
    assert {kind.removeprefix("presumed_") for kind in run.failed} <= {*LOST, "timeout"}
    assert 0 < run.lost <= arms[Role.CANDIDATE].arrived + len(urls)
    noticed = [url for url in urls if any(url in text for text in run.noticed("replica_crashed"))]
    assert noticed  # the rollout may be over before the other one was looked at
    told(run, noticed)
    run.tells("error_rate was")


def test_with_all_of_stable_gone_traffic_goes_to_a_candidate_that_is_verified(
    stage: Stage, begin: Begin, tmp_path: Path
) -> None:
    order(tmp_path, Order.PROMOTE, after=[CRASHED, CRASHED])
    run, urls = losing("stable", 2, stage, begin, steps=UNENDING, analysis=TOLERANT)
    assert (run.outcome, run.code) == ("promoted", 0)
    assert (run.weights, run.verified) == (ON_CANDIDATE, Role.CANDIDATE)
    assert {kind.removeprefix("presumed_") for kind in run.failed} <= {*LOST, "timeout"}
    assert run.lost <= run.events.last(Totalled).arms[Role.STABLE].arrived
    told(run, urls)
