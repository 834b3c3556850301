"""A platform of real parts: in which order it speaks to them, so that no request is without a replica."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.backends.real import RealPlatform
from harness.clock import run_virtual
from harness.domain.model import Role
from harness.domain.rollout import Routing, Weights
from harness.domain.units import WHOLE
from harness.protocols import Readiness
from harness.realtime import Behind, Point
from tests.build import scenario

ON_STABLE = {Role.STABLE: WHOLE, Role.CANDIDATE: 0}
ON_CANDIDATE = {Role.STABLE: 0, Role.CANDIDATE: WHOLE}
OURS = ("http://ours:1", "http://ours:2")


@dataclass
class Gateway:
    """What users meet at a router, after each change of it."""

    weights: Weights
    behind: Behind
    url: str = "http://front"
    met: list[bool] = field(default_factory=list)
    """Whether each request had a replica."""
    left: bool = False

    async def attach(self) -> Routing:
        self._look()
        return Routing(self.weights)

    async def apply(self, want: Routing) -> Weights:
        self.weights = want.weights
        self._look()
        return want.weights

    async def point(self, behind: Behind) -> None:
        self.behind = behind
        self._look()

    async def leave(self) -> None:
        self.left = True

    def _look(self) -> None:
        self.met.append(all(self.behind.get(role) for role, share in self.weights.items() if share))


@dataclass
class Fleet:
    """Replicas that live, of the arm that is wanted."""

    arm: Role
    urls: tuple[str, ...] = OURS
    left: bool = False
    stopped: bool = False

    async def attach(self, models: object, wanted: Mapping[Role, int], point: Point) -> None:
        del models
        self.point = point
        await point({role: self.urls if role is self.arm else () for role in wanted})

    async def observe(self) -> Mapping[Role, Readiness]:
        return {self.arm: Readiness(len(self.urls), len(self.urls))}

    async def leave(self) -> None:
        self.left = True

    async def stop(self) -> None:
        self.stopped = True


@dataclass
class Users:
    weights: Weights = field(default_factory=dict)
    asking: bool = False

    def routed(self, want: Routing) -> None:
        self.weights = want.weights

    async def start(self, *_: object) -> None:
        self.asking = True

    async def stop(self) -> None:
        self.asking = False


def platform(fleet: Fleet, gateway: Gateway) -> tuple[Any, Users]:
    users: Any = Users()
    parts: Any = (fleet, gateway, users)
    return RealPlatform(scenario(), *parts), users


@pytest.mark.parametrize("adopted", [True, False])
def test_killed_while_its_candidate_was_adopted_no_request_is_without_a_replica(adopted: bool) -> None:
    """By the log the candidate has all traffic; the router may have called it stable already."""
    gateway = (
        Gateway(ON_STABLE, {Role.STABLE: OURS, Role.CANDIDATE: ()})
        if adopted
        else Gateway(ON_CANDIDATE, {Role.STABLE: (), Role.CANDIDATE: OURS})
    )
    fleet = Fleet(Role.CANDIDATE)
    made, users = platform(fleet, gateway)
    standing = run_virtual(made.attach, {}, None, {Role.STABLE: 0, Role.CANDIDATE: 2})
    assert gateway.met == [True] * len(gateway.met)
    assert standing.routing.weights == gateway.weights == users.weights == ON_CANDIDATE
    assert gateway.behind == {Role.STABLE: (), Role.CANDIDATE: OURS}
    run_virtual(fleet.point, {Role.STABLE: (), Role.CANDIDATE: OURS[:1]})
    assert gateway.behind == {Role.STABLE: (), Role.CANDIDATE: OURS[:1]}


def test_as_long_as_nothing_answers_the_router_stays_as_it_was_found() -> None:
    gateway = Gateway(ON_STABLE, {Role.STABLE: OURS})
    fleet = Fleet(Role.CANDIDATE, urls=())
    made, _ = platform(fleet, gateway)
    standing = run_virtual(made.attach, {}, None, {Role.STABLE: 0, Role.CANDIDATE: 2})
    assert standing.routing.weights == gateway.weights == ON_STABLE
    run_virtual(fleet.point, {Role.STABLE: (), Role.CANDIDATE: OURS})
    assert gateway.behind == {Role.STABLE: (), Role.CANDIDATE: OURS}  # who asks for stable gets no candidate unasked


def test_what_is_let_go_of_is_neither_stopped_nor_changed() -> None:
    gateway, fleet = Gateway(ON_CANDIDATE, {Role.CANDIDATE: OURS}), Fleet(Role.CANDIDATE)
    made, users = platform(fleet, gateway)
    run_virtual(made.attach, {}, None, {Role.CANDIDATE: 2})
    before = (gateway.weights, gateway.behind, len(gateway.met))
    run_virtual(made.leave)
    assert (gateway.left, fleet.left, fleet.stopped, users.asking) == (True, True, False, False)
    assert (gateway.weights, gateway.behind, len(gateway.met)) == before
