"""What each request is, by its number: who asks, which row, of which class, with a label or without.

The draws are those of a rehearsal (`harness.sim.kernels`): the same streams of the seed, hashed with the request's
number. So the same seed asks the same rows in the same order, on virtual time and on real servers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.domain.fault import Fault, Lost
from harness.domain.model import ARMS, Role
from harness.domain.traffic import RequestClass, Traffic
from harness.seeds import stream
from harness.sim.arrays import WINDOWS
from harness.sim.bits import GOLDEN, WHOLE_SHARE

IntArray = NDArray[np.int64]
Words = NDArray[np.uint64]
BoolArray = NDArray[np.bool_]

NOBODY: Final = -1
"""In place of a user or a row, where there are none."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Requests as arrays of equal length."""

    at_ns: IntArray
    """When each is due, since traffic began."""
    user: IntArray
    kind: IntArray
    """The class, by its place; 0 where there are none."""
    row: IntArray
    labelled: BoolArray
    """Whether its answer gets a label."""
    lost: dict[Role, BoolArray]
    """Whether its user never gets to the arm; arms that lose nobody are absent."""


class Draws:
    """Draws requests.

    Args:
        seed: the scenario's.
        traffic: its users and classes.
        rows: of the population; 0: there is none.
        members: for each class, the rows that it asks.
        label_share: of the answers that get a label.
        walk_ns: requests walk through the rows in their order for so long; None: each draws from all of them.
    """

    def __init__(
        self,
        seed: int,
        traffic: Traffic,
        rows: int,
        members: Sequence[IntArray] = (),
        label_share: float = 0.0,
        walk_ns: int | None = None,
    ) -> None:
        self._traffic = traffic
        self._walk_ns = walk_ns
        everyone = [np.arange(rows, dtype=np.int64)] if rows else []
        self._members = list(members) if traffic.classes and rows else everyone
        self._label_edge = int(label_share * WHOLE_SHARE)
        purposes = ("row", "label", "user", "class")
        self._keys = {word: np.uint64(stream(seed, f"requests/{word}").key64) for word in purposes}

    def of(self, first: int, times: IntArray, faults: Sequence[Fault] = ()) -> Drawn:
        """The requests that are due at these times.

        Args:
            first: the number of the first of them, counted from 0.
            times: in ns since traffic began, rising.
            faults: those that lose users act here; others are passed over.
        """
        salt = (np.uint64(first) + np.arange(len(times), dtype=np.uint64)) * GOLDEN
        user = np.full(len(times), NOBODY, np.int64)
        if self._traffic.users:
            user = _below(_mix(self._keys["user"] + salt), self._traffic.users)
        kind = self._kinds(times, salt)
        labelled = _share(_mix(self._keys["label"] + salt)) < self._label_edge
        whose = user.astype(np.uint64) * GOLDEN if self._traffic.users else salt
        draw = _share(_mix(~self._keys["user"] + whose))
        lost = {role: draw < _loss(faults, role, times) * WHOLE_SHARE for role in ARMS if _loses(faults, role)}
        return Drawn(times, user, kind, self._rows(times, kind, salt), labelled, lost)

    def _kinds(self, times: IntArray, salt: Words) -> IntArray:
        kinds = self._traffic.classes
        if not kinds:
            return np.zeros(len(times), np.int64)
        draw = _share(_mix(self._keys["class"] + salt))
        found = np.searchsorted(_edges([kind.share for kind in kinds]), draw, side="right")
        for shares in self._traffic.schedule:
            late = times >= shares.at_ns
            found[late] = np.searchsorted(_edges(shares.shares), draw[late], side="right")
        return found.astype(np.int64)

    def _rows(self, times: IntArray, kind: IntArray, salt: Words) -> IntArray:
        row = np.full(len(times), NOBODY, np.int64)
        draw = _mix(self._keys["row"] + salt)
        for number, rows in enumerate(self._members):
            mine = kind == number
            row[mine] = rows[self._places(len(rows), times[mine], draw[mine])]
        return row

    def _places(self, count: int, times: IntArray, draw: Words) -> IntArray:
        """Which of a class's rows: any, or any of those that the time is in."""
        if not self._walk_ns:
            return _below(draw, count)
        window = max(count // WINDOWS, 1)
        rest = count - window
        walked = (times.astype(np.float64) / float(self._walk_ns) * float(rest)).astype(np.int64)
        return np.where(times >= self._walk_ns, rest, walked) + _below(draw, window)


def names(kinds: Sequence[RequestClass]) -> tuple[str, ...]:
    """What the classes are called; one without a name where there are none."""
    return tuple(kind.name for kind in kinds) or ("",)


def _edges(shares: Sequence[float]) -> IntArray:
    """Where the share of each class ends; the last one's is the whole (as `sim.plane.RequestPlane.set_classes`)."""
    edges, edge = [], 0.0
    for share in shares:
        edge += share
        edges.append(min(int(edge * WHOLE_SHARE), WHOLE_SHARE))
    return np.array([*edges[:-1], WHOLE_SHARE], np.int64)


def _loses(faults: Sequence[Fault], role: Role) -> bool:
    return any(isinstance(fault.effect, Lost) and role in fault.on for fault in faults)


def _loss(faults: Sequence[Fault], role: Role, times: IntArray) -> NDArray[np.float64]:
    """The share of the users that an arm loses at each time."""
    kept = np.ones(len(times))
    for fault in faults:
        if isinstance(fault.effect, Lost) and role in fault.on:
            strength = np.array([fault.strength(at_ns) for at_ns in times.tolist()])
            kept *= 1.0 - fault.effect.share * strength
    return 1.0 - kept


# The kernels' own hash and ranges (`harness.sim.bits`), for arrays instead of compiled code.


def _mix(counter: Words) -> Words:
    counter = (counter ^ (counter >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    counter = (counter ^ (counter >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return counter ^ (counter >> np.uint64(31))


def _share(draw: Words) -> IntArray:
    return (draw >> np.uint64(2)).astype(np.int64)


def _below(draw: Words, count: int) -> IntArray:
    return (((draw >> np.uint64(32)) * np.uint64(count)) >> np.uint64(32)).astype(np.int64)
