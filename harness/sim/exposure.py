"""When each arm of a simulated cluster was getting requests, or copies of them."""

from collections.abc import Iterable, Sequence
from typing import Final

from harness.domain.model import Role
from harness.domain.rollout import HeaderRoute, Routing
from harness.domain.traffic import RequestClass

OPEN: Final = 2**63 - 1


class Exposure:
    """Each arm's stretches of traffic, [from, to)."""

    def __init__(self, arms: Iterable[Role]) -> None:
        self.flowing: frozenset[Role] = frozenset()
        """Those that get requests or copies now."""
        self._stretches: dict[Role, list[tuple[int, int]]] = {role: [] for role in arms}

    @property
    def candidate(self) -> bool:
        """Whether the candidate answers anything."""
        return any(role.model is Role.CANDIDATE for role in self.flowing)

    def change(self, at_ns: int, flowing: frozenset[Role]) -> None:
        """From now on these get something, and no others."""
        self.flowing = flowing
        for role, stretches in self._stretches.items():
            is_open = bool(stretches) and stretches[-1][1] == OPEN
            if role in flowing and not is_open:
                stretches.append((at_ns, OPEN))
            elif is_open and role not in flowing:
                stretches[-1] = (stretches[-1][0], at_ns)

    def span_ns(self, roles: Iterable[Role], start_ns: int, stop_ns: int) -> int:
        """How much of ``[start, stop)`` any of the arms was getting something."""
        stretches = sorted(stretch for role in roles for stretch in self._stretches.get(role, ()))
        total, done = 0, start_ns
        for since, until in stretches:
            total += max(min(until, stop_ns) - max(since, done), 0)
            done = max(done, until)
        return total


def flows(want: Routing, arms: Iterable[Role], kinds: Sequence[RequestClass]) -> frozenset[Role]:
    """The arms that a routing gives requests, or copies."""
    found = {role for role in arms if want.weights.get(role)}
    if any(carries(kind.headers, route) for kind in kinds for route in want.routes):
        found.add(Role.CANDIDATE)
    if want.mirror:
        found.add(Role.SHADOW)
    return frozenset(found)


def carries(headers: Iterable[tuple[str, str]], route: HeaderRoute) -> bool:
    """Whether requests with these headers are meant by a route; names of headers know no case."""
    return any(name.lower() == route.header.lower() and value == route.value for name, value in headers)
