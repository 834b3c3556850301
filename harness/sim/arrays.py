"""The request plane's arrays as they are at first, before there is any replica; see `harness.sim.kernels.State`."""

from collections.abc import Sequence
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.domain.service import Balancing, Service
from harness.domain.traffic import RequestClass
from harness.seeds import stream
from harness.sim import kernels as k
from harness.sim.bits import WHOLE_SHARE
from harness.sim.service import table_of
from harness.stats.histogram import BUCKETS

IntArray = NDArray[np.int64]
A = TypeVar("A", bound=np.generic)

WINDOWS: Final = 50
"""Where requests walk through the rows, each draws from this part of them: few enough to be of one time, and more than
the handful that all requests of a minute would otherwise ask."""

_POLICIES: Final = {
    Balancing.RANDOM: k.RANDOM,
    Balancing.ROUND_ROBIN: k.ROUND_ROBIN,
    Balancing.TWO_CHOICES: k.TWO_CHOICES,
    Balancing.LEAST_OUTSTANDING: k.LEAST_OUTSTANDING,
}
# No time-out is longer (146 years): arrival + time-out must fit into an int64.
_LONGEST_NS: Final = 2**62


def initial(
    seed: int,
    services: Sequence[Service],
    rows: int,
    walk_ns: int | None,
    users: int,
    classes: Sequence[RequestClass],
    members: Sequence[IntArray],
) -> k.State:
    """All arms without replicas, all weight on the first; the arguments are those of `RequestPlane.build`.

    Raises:
        InputError: A service time is none.
    """
    count = len(services)
    blocks = -(-max(service.slots for service in services) // k.BLOCK)
    ring = 1 << max(max(service.queue for service in services) - 1, 0).bit_length()
    arms = np.zeros((count, k.ARM_COLUMNS), np.int64)
    arms[:, k.SLOTS] = blocks * k.BLOCK
    arms[:, k.FIRST_NS] = -1
    arms[:, k.OWNER] = range(count)
    for arm, service in zip(arms, services, strict=True):
        put_law(arm, service)
    run = np.zeros(k.RUN_COLUMNS, np.int64)
    run[k.ROWS] = rows
    run[k.WINDOW] = max(rows // WINDOWS, 1) if walk_ns and rows else rows
    run[k.WALK_NS] = walk_ns or 0
    run[k.RING_MASK] = ring - 1
    run[k.USERS] = users
    run[k.CLASSES] = len(classes)
    run[k.COPIED] = -1
    keys = [stream(seed, f"requests/{purpose}").key64 for purpose in k.PURPOSES]
    return k.State(
        run=run,
        keys=np.array(keys, np.uint64),
        edges=np.full(max(count - 1, 1), WHOLE_SHARE, np.int64),
        arms=arms,
        tables=np.stack([table_of(service.service_time) for service in services]),
        faults=np.zeros((count, 1, k.FAULT_COLUMNS)),
        routable=np.zeros((count, 1), np.int64),
        replicas=np.zeros((0, k.FIRST_SLOT + blocks * k.BLOCK), np.int64),
        rings=np.zeros((0, ring), np.int64),
        counts=np.zeros((count, k.COUNTS), np.int64),
        buckets=np.zeros((count, BUCKETS), np.int64),
        cells=np.zeros((1, count, rows + 1), np.int64),
        worse=np.zeros((1, count, rows + 1), np.uint8),
        met=np.zeros((count, max(users, 1)), np.uint8),
        classes=_classes(classes, members, walking=bool(walk_ns)),
        factors=np.array([kind.factor for kind in classes] or [1.0]),
        members=np.concatenate([np.zeros(1, np.int64), *members]),
        class_counts=np.zeros((count, max(len(classes), 1), k.COUNTS), np.int64),
        class_buckets=np.zeros((count, max(len(classes), 1), BUCKETS), np.int64),
        spill=np.zeros((256, k.SPILL_COLUMNS), np.int64),
    )


def put_law(arm: IntArray, service: Service) -> None:
    """Let an arm (its columns) follow the law of a service."""
    arm[k.QUEUE] = service.queue
    arm[k.TIMEOUT_NS] = min(service.timeout_ns, _LONGEST_NS)
    arm[k.POLICY] = _POLICIES[service.balancing]


def grown(array: NDArray[A], axis: int, length: int) -> NDArray[A]:
    """A copy that is longer along an axis, with zeros in the new part."""
    pad = [(0, length - array.shape[axis] if axis == here else 0) for here in range(array.ndim)]
    return np.pad(array, pad)


def _classes(classes: Sequence[RequestClass], members: Sequence[IntArray], *, walking: bool) -> IntArray:
    """What the kernel knows of classes; each draws from all its rows, or from those that its time is in."""
    table = np.zeros((max(len(classes), 1), k.CLASS_COLUMNS), np.int64)
    table[:, k.CLASS_ARM] = -1
    first = 1
    for columns, rows in zip(table, members, strict=False):
        columns[k.CLASS_FIRST], columns[k.CLASS_ROWS] = first, len(rows)
        columns[k.CLASS_WINDOW] = max(len(rows) // WINDOWS, 1) if walking else len(rows)
        first += len(rows)
    return table
