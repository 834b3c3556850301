"""Which arm a request goes to. Pure: the same table gives the same point the same arm.

All traffic is a line of 10,000 points: the candidate has its beginning, stable what follows, and stable's baseline the
end. A user has one point for good, so when shares change only those move who must, and nobody between the candidate
and the baseline. Other requests take points that are spread as evenly as can be.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from harness.domain.model import Role
from harness.domain.rollout import Routing
from harness.domain.units import WHOLE

LINE: Final = (Role.CANDIDATE, Role.STABLE, Role.BASELINE)
"""The arms in the order of their points."""
GOLDEN: Final = 0x9E3779B97F4A7C15
"""2^64 over the golden ratio. Its multiples, modulo 2^64, lie as evenly as those of any number can (Knuth, The Art of
Computer Programming 3, section 6.4): of n neighbours a share of p gets n p, give or take a few, wherever one begins."""
MASK: Final = 2**64 - 1


class Headers(Protocol):
    """Headers of a request, whose names know no case."""

    def getall(self, key: str, default: Sequence[str]) -> Sequence[str]:
        """All values of that name."""
        ...


@dataclass(frozen=True, slots=True)
class Table:
    """A routing, ready for requests."""

    edges: tuple[tuple[int, Role], ...]
    """The first point beyond each arm that has any, with the arm, rising."""
    routes: tuple[tuple[str, str], ...] = ()
    """Headers, as (name, value), that lead to the candidate."""
    sticky: bool = False
    mirror: int = 0

    @classmethod
    def of(cls, want: Routing) -> "Table":
        """The table of a routing whose weights are shares of the whole."""
        edges, beyond = [], 0
        for role in LINE:
            if want.weights.get(role):
                beyond += want.weights[role]
                edges.append((beyond, role))
        return cls(tuple(edges), tuple((route.header, route.value) for route in want.routes), want.sticky, want.mirror)

    def at(self, point: int) -> Role:
        """The arm that a point in ``[0, WHOLE)`` belongs to.

        >>> table = Table.of(Routing({Role.STABLE: 9000, Role.CANDIDATE: 1000}))
        >>> [table.at(point).value for point in (0, 999, 1000, 9999)]
        ['candidate', 'candidate', 'stable', 'stable']
        """
        for beyond, role in self.edges:
            if point < beyond:
                return role
        raise ValueError(f"{point} is no point of a line of {WHOLE}")

    def leads(self, headers: Headers) -> bool:
        """Whether a header of the request leads it to the candidate."""
        return any(value in headers.getall(name, ()) for name, value in self.routes)


def point_of(user: str) -> int:
    """A user's point in ``[0, WHOLE)``: the same in every process and for good.

    >>> point_of("alice") == point_of("alice"), 0 <= point_of("bob") < WHOLE
    (True, True)
    """
    digest = hashlib.blake2b(user.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") * WHOLE >> 64


class Spread:
    """Points for requests that have none of their own, as even as can be.

    >>> spread = Spread()
    >>> sum(spread.next() < 1000 for _ in range(1000))
    100
    """

    __slots__ = ("_place",)

    def __init__(self, place: int = 0) -> None:
        self._place = place & MASK

    def next(self) -> int:
        """The next one, in ``[0, WHOLE)``."""
        self._place = (self._place + GOLDEN) & MASK
        return self._place * WHOLE >> 64
