"""Whose a failure is that names no arm: told from where requests were sent."""

import numpy as np
import pytest

from harness.clock import run_virtual
from harness.domain.model import ARMS, Role
from harness.domain.rollout import HeaderRoute, Routing
from harness.domain.traffic import RequestClass
from harness.users.shares import Shares

BETA = RequestClass("beta", 0.2, headers=(("X-Beta", "yes"),))
PLAIN = RequestClass("plain", 0.8)


def split(candidate: int, *routes: HeaderRoute) -> Routing:
    return Routing({Role.STABLE: 10_000 - candidate, Role.CANDIDATE: candidate}, routes)


def test_an_arm_that_gets_all_requests_gets_all_failures():
    shares = Shares(ARMS, ())
    for candidate, role in ((0, Role.STABLE), (10_000, Role.CANDIDATE)):
        shares.put(split(candidate), 0)
        sent = shares.sent(0)
        assert (sent.role, sent.sure, shares.missed(sent)) == (role, True, role)


def test_a_class_that_a_header_leads_is_the_candidates():
    shares = Shares(ARMS, (PLAIN, BETA))
    shares.put(split(0, HeaderRoute("r", "x-beta", "yes")), 0)
    assert [shares.sent(kind).role for kind in (0, 1)] == [Role.STABLE, Role.CANDIDATE]
    assert all(shares.sent(kind).sure for kind in (0, 1))
    shares.put(split(5000), 0)
    assert not shares.sent(1).sure


@pytest.mark.parametrize("weight", [500, 1000, 5000, 9000])
@pytest.mark.parametrize("failing", ARMS)
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_failures_are_booked_on_the_arm_that_fails(weight, failing, share):
    """Against the truth of a drawn split: most of an arm's failures are its own, and few are put on the other."""
    shares, draws = Shares(ARMS, ()), np.random.default_rng(weight)
    shares.put(split(weight), 0)
    blamed = dict.fromkeys(ARMS, 0)
    for _ in range(20_000):
        sent = shares.sent(0)
        role = Role.CANDIDATE if draws.random() < weight / 10_000 else Role.STABLE
        if role is failing and draws.random() < share:
            blamed[shares.missed(sent)] += 1
        else:
            shares.answered(sent, role)
    other = Role.STABLE if failing is Role.CANDIDATE else Role.CANDIDATE
    assert blamed[failing] > 0.85 * sum(blamed.values())
    truth = (weight if failing is Role.CANDIDATE else 10_000 - weight) / 10_000 * share * 20_000
    assert blamed[other] < 0.15 * truth


def test_while_routing_changes_either_arm_may_have_it():
    async def run() -> None:
        shares = Shares(ARMS, ())
        shares.put(split(0), 0)
        with shares.changing(split(10_000)):
            assert not shares.sent(0).sure
        assert shares.sent(0).role is Role.CANDIDATE
        with pytest.raises(RuntimeError), shares.changing(split(0)):
            raise RuntimeError  # the router has failed: who knows what it does
        assert not shares.sent(0).sure
        with shares.changing(split(0)):
            pass
        assert shares.sent(0).role is Role.STABLE
        assert shares.sent(0).sure

    run_virtual(run)
