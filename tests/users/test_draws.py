"""The same requests as in a rehearsal: rows, users, classes, labels and losses, held against the compiled kernel."""

from dataclasses import replace

import numpy as np
import pytest

from harness.arrivals import Reader
from harness.arrivals import of as arrivals_of
from harness.domain.fault import Fault, Lost
from harness.domain.model import ARMS, Role
from harness.domain.service import Fixed, Service
from harness.domain.traffic import Knots, Process, RequestClass, Shares, Traffic
from harness.domain.units import SECOND
from harness.seeds import stream
from harness.sim import kernels as k
from harness.sim.bits import GOLDEN, below, mix
from harness.sim.plane import RequestPlane
from harness.users.draws import Draws

ROWS, UNTIL_NS = 500, 40 * SECOND
PLAIN = Traffic("poisson", Process.POISSON, Knots((0,), (100.0,)), users=300)
CLASSES = (RequestClass("a", 0.2), RequestClass("b", 0.5), RequestClass("c", 0.3))
MIXED = replace(PLAIN, classes=CLASSES, schedule=(Shares(10 * SECOND, (0.6, 0.1, 0.3)),))
MEMBERS = tuple(np.arange(start, ROWS, 3) for start in range(3))


def times() -> np.ndarray:
    return Reader(arrivals_of(PLAIN), stream(7, "arrivals")).until(UNTIL_NS)


def rehearsed(traffic, walk_ns=None, faults=()):
    """What the request plane of a simulated cluster asks of servers that never fail."""
    plane = RequestPlane.build(
        seed=7, services=[Service(1, 64, Fixed(0.0001))], rows=ROWS, label_share=0.3, walk_ns=walk_ns,
        users=traffic.users, classes=traffic.classes, members=MEMBERS if traffic.classes else (),
    )  # fmt: skip
    plane.add_replica(0, 0)
    plane.start_replica(0, 0)
    plane.set_faults(0, faults)
    came = times()
    for shares in traffic.schedule:
        plane.advance(came[came < shares.at_ns], shares.at_ns)
        plane.set_classes(shares.shares)
        came = came[came >= shares.at_ns]
    plane.advance(came, UNTIL_NS + SECOND)
    return plane, plane.take()[0]


@pytest.mark.parametrize("traffic", [PLAIN, MIXED, replace(PLAIN, users=0)], ids=["plain", "classes", "no users"])
@pytest.mark.parametrize("walk_ns", [None, 30 * SECOND], ids=["any row", "walking"])
def test_rows_labels_and_classes_are_those_of_a_rehearsal(traffic, walk_ns):
    plane, tally = rehearsed(traffic, walk_ns)
    drawn = Draws(7, traffic, ROWS, MEMBERS if traffic.classes else (), 0.3, walk_ns).of(0, times())
    assert np.array_equal(np.bincount(drawn.row, minlength=ROWS), tally.answered[0])
    assert np.array_equal(np.bincount(drawn.row[drawn.labelled], minlength=ROWS), tally.labelled[0])
    for number, kind in enumerate(traffic.classes):
        assert (drawn.kind == number).sum() == tally.classes[kind.name].arrivals
    if traffic.users:
        assert set(drawn.user.tolist()) == set(np.flatnonzero(plane.users(0) & k.MET).tolist())


def test_users_are_drawn_as_the_kernel_draws_them():
    key = np.uint64(stream(7, "requests/user").key64)
    drawn = Draws(7, PLAIN, ROWS).of(0, times()).user[:50].tolist()
    with np.errstate(over="ignore"):
        kernel = [int(below(np.uint64(mix(key + np.uint64(n) * GOLDEN)), 300)) for n in range(50)]
    assert drawn == kernel


@pytest.mark.parametrize("users", [0, 300])
def test_whom_an_arm_loses_is_the_rehearsals_choice(users):
    faults = [Fault("", frozenset({Role.STABLE}), Lost(0.4), at_ns=5 * SECOND, ramp_ns=20 * SECOND)]
    traffic = replace(PLAIN, users=users)
    drawn = Draws(7, traffic, ROWS).of(0, times(), faults)
    assert set(drawn.lost) == {Role.STABLE}
    assert (~drawn.lost[Role.STABLE]).sum() == rehearsed(traffic, faults=faults)[1].arrivals
    both = Draws(7, traffic, ROWS).of(0, times(), [replace(faults[0], on=frozenset(ARMS))])
    assert np.array_equal(both.lost[Role.CANDIDATE], both.lost[Role.STABLE])


def test_requests_do_not_depend_on_how_they_are_cut():
    draws, at_ns = Draws(7, MIXED, ROWS, MEMBERS, 0.3), times()
    whole, parts = draws.of(0, at_ns), [draws.of(0, at_ns[:777]), draws.of(777, at_ns[777:])]
    for name in ("user", "kind", "row", "labelled"):
        assert np.array_equal(getattr(whole, name), np.concatenate([getattr(part, name) for part in parts]))
