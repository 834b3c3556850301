"""Which arm a request went to, where nothing in its answer says so: told from where requests were sent.

An answer says which arm gave it. A failure seldom does: a time-out, a reset connection, a router's own 502. While one
arm alone gets requests it is that arm's. While several do, it is presumed to be the one whose answers so far are most
short of its share of the requests: a candidate at 10 % that never answers is missed in every tenth answer, so what
times out is its own, and stable is not blamed for it. Such failures carry `harness.domain.lost.PRESUMED` in their kind.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from harness.clock import now_ns
from harness.domain.model import Role
from harness.domain.rollout import Routing
from harness.domain.traffic import RequestClass
from harness.domain.units import WHOLE
from harness.sim.exposure import Exposure, carries, flows

MEMORY: Final = 1000
"""Requests that a shortfall remembers, about: enough to see a share, few enough that chance does not add up."""


@dataclass(frozen=True, slots=True)
class Sent:
    """Where a request may have gone."""

    role: Role
    """The arm that it is booked on until an answer says otherwise."""
    sure: bool
    """No other arm can have got it."""
    weights: Mapping[Role, int]
    """Those in force."""


class Shares:
    """The routing in force, and how far each arm's answers fall short of it.

    Args:
        arms: those that there are.
        kinds: the classes of requests.
    """

    def __init__(self, arms: Sequence[Role], kinds: Sequence[RequestClass]) -> None:
        self._arms, self._kinds = tuple(arms), tuple(kinds)
        self.exposure = Exposure(self._arms)
        self._now = Routing({Role.STABLE: WHOLE})
        self._coming: Routing | None = None
        self._ended = False
        self._short = dict.fromkeys(self._arms, 0.0)

    @property
    def weights(self) -> Mapping[Role, int]:
        """Those in force."""
        return self._now.weights

    def begin(self, at_ns: int) -> None:
        """Users begin to ask; what was put in force before counts from here."""
        self.exposure = Exposure(self._arms)
        self._ended = False
        self.put(self._now, at_ns)

    def end(self, at_ns: int) -> None:
        """Users ask no more: no arm has traffic from now on, wherever it would go."""
        self.exposure.change(at_ns, frozenset())
        self._ended = True

    def put(self, want: Routing, at_ns: int) -> None:
        """This is in force from now on; with other weights shortfalls are counted anew."""
        if dict(want.weights) != dict(self._now.weights):
            self._short = dict.fromkeys(self._arms, 0.0)
        self._now = want
        if not self._ended:
            self.exposure.change(at_ns, flows(want, self._arms, self._kinds))

    @contextmanager
    def changing(self, want: Routing) -> Iterator[None]:
        """While it lasts, requests may go where they went, or where they will; what raises leaves it at that."""
        self._coming = want
        yield
        self.put(want, now_ns())
        self._coming = None

    def sent(self, kind: int) -> Sent:
        """Where a request of a class goes now."""
        ways = self._ways(self._now, kind)
        if self._coming is not None:
            ways |= self._ways(self._coming, kind)
        only = next(iter(ways)) if len(ways) == 1 else None
        return Sent(only or Role.STABLE, only is not None, self._now.weights)

    def _ways(self, routing: Routing, kind: int) -> set[Role]:
        headers = self._kinds[kind].headers if self._kinds else ()
        if any(carries(headers, route) for route in routing.routes):
            return {Role.CANDIDATE}
        return {role for role in self._arms if routing.weights.get(role)}

    def answered(self, sent: Sent, role: Role) -> None:
        """An arm has answered a request."""
        if not sent.sure:
            self._expect(sent.weights)
            self._short[role] -= 1.0

    def missed(self, sent: Sent) -> Role:
        """The arm that a request is booked on of which nothing else is known."""
        if sent.sure:
            return sent.role
        self._expect(sent.weights)
        flowing = [role for role in self._arms if sent.weights.get(role)] or [sent.role]
        role = max(flowing, key=lambda role: self._short[role])
        self._short[role] -= 1.0
        return role

    def _expect(self, weights: Mapping[Role, int]) -> None:
        for role in self._arms:
            self._short[role] = self._short[role] * (1 - 1 / MEMORY) + weights.get(role, 0) / WHOLE


def known(roles: Iterable[Role], text: str) -> Role | None:
    """The arm that a header names; None where it is none of these.

    >>> known((Role.STABLE, Role.CANDIDATE), " Candidate ")
    <Role.CANDIDATE: 'candidate'>
    """
    word = text.strip().lower()
    return next((role for role in roles if role.value == word), None)
