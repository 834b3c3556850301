"""The request plane: what all requests between two control events meet, and what their clients saw of it.

`advance` brings it up to a time, `take` gives what was seen since the last take; between the calls the control plane
changes weights, replicas, faults and data levels, and a change holds for requests that arrive from then on. However
time is cut into calls, the same requests meet the same fate to the nanosecond.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.domain.fault import Errors, Fault, LatencyAdd, LatencyFactor, Lost
from harness.domain.service import Service
from harness.domain.traffic import RequestClass
from harness.domain.units import SECOND, WHOLE
from harness.sim import kernels as k
from harness.sim.arrays import grown, initial, put_law
from harness.sim.bits import WHOLE_SHARE
from harness.sim.service import service_ns, table_of
from harness.sim.tally import ERROR_KINDS, ClassTally, Tally
from harness.stats.histogram import Histogram

IntArray = NDArray[np.int64]
T = TypeVar("T")

NEVER: Final = 2**63 - 1
LEVELS: Final = 16
"""The most data levels there may be."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """Which arm's requests are copied, by number."""

    of: int
    """Whose requests they are copies of."""
    to: int
    """Whose replicas answer them."""
    counted: int
    """The arm that stands for them: its tallies are theirs, and its weight is none."""


class RequestPlane:
    """Arms of replicas under requests; arms and replicas go by number, times are ns since traffic began."""

    def __init__(
        self, state: k.State, services: Sequence[Service], classes: Sequence[str] = (), mirror: Mirror | None = None
    ) -> None:
        self._state = state
        self._classes = tuple(classes)
        self._mirror = mirror
        self._flat = state
        self._services = list(services)
        self._rows: list[list[int]] = [[] for _ in services]
        self._routable: list[set[int]] = [set() for _ in services]
        self._backlog_ns = [0 for _ in services]
        self.now_ns = 0
        self._change()
        for arm in range(len(services)):
            self.set_level(arm, 0)

    @classmethod
    def build(
        cls,
        *,
        seed: int,
        services: Sequence[Service],
        rows: int = 0,
        label_share: float = 0.0,
        walk_ns: int | None = None,
        users: int = 0,
        classes: Sequence[RequestClass] = (),
        members: Sequence[IntArray] = (),
        mirror: Mirror | None = None,
    ) -> "RequestPlane":
        """A plane without replicas, all weight on the first arm.

        Args:
            seed: Of the run; draws come from its streams ``requests/...``, addressed by the request's number.
            services: The law of each arm; ``replicas`` and the start-up times are the control plane's affair.
            rows: Rows of the data set that requests are drawn from; 0: no model in the loop.
            label_share: Share of the answers that get a label.
            walk_ns: Requests walk through the rows in their order, and are at the last after this; None: each draws
                from all of them.
            users: Each request comes from one of so many, drawn alike; 0: from nobody in particular.
            classes: Of requests, each with the share that it has at time 0; none: all are of one kind.
            members: For each class, the rows that it asks, rising; none where there are no rows.
            mirror: What copies of requests would be; none are made before `set_mirror`.

        Raises:
            InputError: A service time is none.
        """
        state = initial(seed, services, rows, walk_ns, users, classes, members)
        state.run[k.LABEL_EDGE] = int(label_share * WHOLE_SHARE)
        if mirror:
            state.run[k.COPY] = mirror.counted
            state.arms[mirror.counted, k.OWNER] = mirror.to
        plane = cls(state, services, [kind.name for kind in classes], mirror)
        if classes:
            plane.set_classes([kind.share for kind in classes])
        return plane

    # --- time ---

    def advance(self, arrivals: IntArray, until_ns: int) -> None:
        """Serve these requests, and record every outcome seen before ``until_ns``; a time gone by changes nothing.

        Args:
            arrivals: Times in ns, rising, in ``[now_ns, until_ns)``: all that come in it.
            until_ns: The plane's new now.

        Raises:
            ValueError: An arrival is outside.
        """
        if arrivals.size and not self.now_ns <= arrivals[0] <= arrivals[-1] < until_ns:
            raise ValueError(f"arrivals from {arrivals[0]} to {arrivals[-1]} are not in [{self.now_ns}, {until_ns})")
        if until_ns <= self.now_ns:
            return
        rest = np.require(arrivals, np.int64, ["C", "W"])
        while True:
            rest = rest[k.advance(self._flat, rest, until_ns) :]
            if not rest.size:
                break
            self._change(spill=grown(self._state.spill, 0, 2 * len(self._state.spill)))
        self.now_ns = until_ns

    def take(self) -> tuple[Tally, ...]:
        """What was seen of each arm since the last take."""
        tallies = tuple(self._tally(arm) for arm in range(len(self._services)))
        state = self._state
        for array in (state.counts, state.buckets, state.cells):
            array.fill(0)
        if self._classes:
            state.class_counts.fill(0)
            state.class_buckets.fill(0)
        return tallies

    # --- what the control plane changes ---

    def set_weights(self, weights: Sequence[int]) -> None:
        """Split requests between the arms, in 1/10,000; ValueError where they do not sum to the whole."""
        if len(weights) != len(self._services) or min(weights) < 0 or sum(weights) != WHOLE:
            raise ValueError(f"weights {list(weights)}: {len(self._services)} shares that sum to {WHOLE} are wanted")
        share = 0
        for arm, weight in enumerate(weights[:-1]):
            share += weight
            self._state.edges[arm] = share * WHOLE_SHARE // WHOLE

    def set_sticky(self, sticky: bool) -> None:
        """Whether a user keeps to an arm while shares stay, and moves only if it must when they change."""
        self._state.run[k.STICKY] = sticky

    def set_mirror(self, share: int) -> None:
        """Copy this share, in 1/10,000, of the requests that are to be copied; ValueError where there are none."""
        if self._mirror is None or not 0 <= share <= WHOLE:
            raise ValueError(f"a mirror of {share}: a share of {WHOLE}, on a plane that was built with one, is wanted")
        self._state.run[k.COPIED] = self._mirror.of if share else -1
        self._state.run[k.COPY_EDGE] = share * WHOLE_SHARE // WHOLE

    def set_classes(self, shares: Sequence[float]) -> None:
        """What share of the requests is of each class from now on, in 0..1; the last has what is left."""
        edge = 0.0
        for kind, share in enumerate(shares):
            edge += share
            last = kind == len(shares) - 1
            self._state.classes[kind, k.CLASS_EDGE] = WHOLE_SHARE if last else min(int(edge * WHOLE_SHARE), WHOLE_SHARE)

    def set_route(self, kind: str, arm: int | None) -> None:
        """Send a class of requests to an arm, whatever the weights; None: by weight."""
        self._state.classes[self._classes.index(kind), k.CLASS_ARM] = -1 if arm is None else arm

    def set_worse(self, arm: int, level: int, worse: NDArray[np.bool_]) -> None:
        """Which rows the arm answers worse than stable would, at a data level: users who meet that are told apart."""
        if level < len(self._state.worse):
            self._state.worse[level, arm, : worse.size] = worse * np.uint8(k.WRONG)

    def exchange(self, one: int, other: int) -> None:
        """Two arms have each other's replicas from now on, with their queues and laws.

        What came before is counted for the arm that it came to. Faults and data levels stay with the arms.
        """
        pair, swapped = [one, other], [other, one]
        _swap(self._rows, one, other)
        _swap(self._routable, one, other)
        _swap(self._services, one, other)
        _swap(self._backlog_ns, one, other)
        state, laws = self._state, [k.QUEUE, k.TIMEOUT_NS, k.POLICY, k.NEXT]
        state.arms[np.ix_(pair, laws)] = state.arms[np.ix_(swapped, laws)]
        state.tables[pair] = state.tables[swapped]
        state.counts[pair, k.WORK] = state.counts[swapped, k.WORK]
        for arm in pair:
            self._route(arm, self._routable[arm])

    def forget_answers(self) -> None:
        """Other models answer from now on: what is in flight still comes, and is counted as an answer to no row."""
        flying = self._state.spill[: self._state.run[k.FLYING]]
        _, _, cells = self._state.cells.shape
        arm, kind = flying[:, k.TAG] & k.BYTE, flying[:, k.TAG] >> k.KIND_AT & k.BYTE
        kept = flying[:, k.TAG] & (k.BYTE | k.BYTE << k.KIND_AT | k.BYTE << k.CLASS_AT)
        nowhere = arm * cells + cells - 1
        flying[:, k.TAG] = np.where(kind == k.OK, kept | nowhere << k.CELL_AT, flying[:, k.TAG])

    def set_service(self, arm: int, service: Service) -> None:
        """Another law for an arm whose replicas are gone or will be: those that start from now on follow it.

        Raises:
            ValueError: It has more slots or a longer queue than the plane was built for.
        """
        blocks, ring = self._state.arms[arm, k.SLOTS], self._state.rings.shape[1]
        if service.slots > blocks or service.queue > ring:
            raise ValueError(f"{service.slots} slots and a queue of {service.queue}: at most {blocks} and {ring}")
        self._services[arm] = service
        put_law(self._state.arms[arm], service)
        self._state.tables[arm] = table_of(service.service_time)

    def set_faults(self, arm: int, faults: Sequence[Fault]) -> None:
        """Inject those that act on service: latency and errors, as strong as they are when a request arrives."""
        rows = []
        for fault in faults:
            match fault.effect:
                case LatencyFactor(factor):
                    effect, magnitude = k.FACTOR, factor
                case LatencyAdd(seconds):
                    effect, magnitude = k.ADD, seconds * SECOND
                case Errors(share):
                    effect, magnitude = k.SHARE, share
                case Lost(share):
                    effect, magnitude = k.LOSES, share
                case _:
                    continue
            ends_ns = NEVER if fault.until_ns is None else fault.until_ns
            rows.append([fault.at_ns, fault.ramp_ns, ends_ns, effect, magnitude])
        if len(rows) > self._state.faults.shape[1]:
            self._change(faults=grown(self._state.faults, 1, len(rows)))
        self._state.faults[arm, : len(rows)] = np.reshape(rows, (len(rows), k.FAULT_COLUMNS))
        self._state.arms[arm, k.FAULTS] = len(rows)

    def set_level(self, arm: int, level: int) -> None:
        """The data have drifted to this level; requests that arrive from now on are answered from it."""
        if not 0 <= level < LEVELS:
            raise ValueError(f"data level {level}; levels go from 0 to {LEVELS - 1}")
        if level >= len(self._state.cells):
            self._change(cells=grown(self._state.cells, 0, level + 1), worse=grown(self._state.worse, 0, level + 1))
        _, arms, cells = self._state.cells.shape
        self._state.arms[arm, k.FIRST_CELL] = (level * arms + arm) * cells

    def replicas(self, arm: int) -> int:
        """How many replicas the arm has a place for."""
        return len(self._rows[arm])

    def add_replica(self, arm: int, replica: int) -> None:
        """Make places up to that number; they get no requests before they are started."""
        while len(self._rows[arm]) <= replica:
            row = sum(map(len, self._rows))
            if row == len(self._state.replicas):
                more = max(2 * row, 8)
                self._change(replicas=grown(self._state.replicas, 0, more), rings=grown(self._state.rings, 0, more))
            self._rows[arm].append(row)
            self._empty(arm, row)

    def start_replica(self, arm: int, replica: int, dies_at_ns: int = NEVER) -> None:
        """Route requests to a replica from now on, empty as it is.

        Args:
            arm: The arm.
            replica: Its number; a place is made for it.
            dies_at_ns: When it will crash, if it will: requests that would be there any longer fail at that time. It
                is known beforehand so that each request's fate is settled when it arrives.
        """
        self.add_replica(arm, replica)
        row = self._rows[arm][replica]
        self._empty(arm, row)
        self._state.replicas[row, k.DIES] = dies_at_ns
        self._route(arm, self._routable[arm] | {row})

    def drain(self, arm: int, replica: int) -> None:
        """Send it nothing more; it finishes what it has."""
        self._route(arm, self._routable[arm] - {self._rows[arm][replica]})

    def kill(self, arm: int, replica: int) -> None:
        """It dies now: what it has in service or in its queue fails at this instant, and nothing more is sent to it.

        A request whose answer is due at this very instant has it. What was to be seen later is still in the spill, so
        nothing that was recorded has to be taken back.
        """
        row, now_ns = self._rows[arm][replica], self.now_ns
        self.drain(arm, replica)
        spill = self._state.spill[: self._state.run[k.FLYING]]
        lost = np.flatnonzero((spill[:, k.AT] == row * self._state.replicas.shape[1]) & (spill[:, k.FINISH] > now_ns))
        came_ns = spill[lost, k.FINISH] - spill[lost, k.LATENCY]
        in_service = (spill[lost, k.WAIT] >= 0) & (came_ns + spill[lost, k.WAIT] < now_ns)
        spill[lost, k.WAIT] = np.where(in_service, spill[lost, k.WAIT], k.NO_WAIT)
        spill[lost, k.FINISH], spill[lost, k.LATENCY] = now_ns, now_ns - came_ns
        kept = k.BYTE | k.BYTE << k.CLASS_AT  # whose it was, and of which class
        spill[lost, k.TAG] = spill[lost, k.TAG] & kept | k.CRASH << k.KIND_AT
        slots = self._state.replicas[row, k.FIRST_SLOT :]
        self._state.counts[arm, k.WORK] -= int(np.maximum(self._slots([row]) - now_ns, 0).sum())
        np.minimum(slots, now_ns, out=slots, where=slots < NEVER)

    # --- what it answers ---

    def first_request_ns(self, arm: int) -> int | None:
        """When the arm's first request came; None: none has."""
        first_ns = int(self._state.arms[arm, k.FIRST_NS])
        return None if first_ns < 0 else first_ns

    def probe(self, arm: int, draws: NDArray[np.uint64]) -> bool:
        """Whether a request of our own, sent to that arm now, would be answered well and in time.

        It meets what a user's would: a replica drawn at random, its queue, the service law, the faults in force, the
        time-out. It is not counted and takes nobody's slot.

        Args:
            arm: The arm.
            draws: Three random words: replica, service time, error.
        """
        routable, now_ns = sorted(self._routable[arm]), self.now_ns
        if not routable:
            return False
        row = routable[int(draws[0] % np.uint64(len(routable)))]
        start_ns = max(int(self._slots([row]).min()), now_ns)
        if start_ns > now_ns and self._queue(row, now_ns) >= self._services[arm].queue:
            return False
        factor, added_ns, errors, _ = k.in_force(self._flat, arm * k.ARM_COLUMNS, now_ns)
        end_ns = start_ns + service_ns(self._flat.tables, arm, draws[1]) * factor + added_ns
        if end_ns > min(now_ns + self._services[arm].timeout_ns, int(self._state.replicas[row, k.DIES])):
            return False
        return float(draws[2]) / 2**64 >= errors

    def users(self, arm: int) -> NDArray[np.uint8]:
        """What each user has met at the arm: bits of `kernels.MET`, `FAILED` and `WRONG`; empty without users."""
        return self._state.met[arm, : int(self._state.run[k.USERS])].copy()

    def users_from_now(self) -> None:
        """Count the users that each arm meets from now on (`kernels.LATELY`)."""
        np.bitwise_and(self._state.met, np.uint8(0xFF ^ k.LATELY), out=self._state.met)

    def forget_first(self, arm: int) -> None:
        """No request has come to the arm yet: another model answers there."""
        self._state.arms[arm, k.FIRST_NS] = -1

    def in_flight(self, arm: int) -> int:
        """Requests that came and whose outcome has not been seen."""
        flying = self._state.spill[: self._state.run[k.FLYING], k.TAG]
        return int(np.count_nonzero(flying & 0xFF == arm))

    def waiting(self, arm: int, at_ns: int) -> int:
        """Requests in the queues of the arm's replicas, of those that have come."""
        return sum(self._queue(row, at_ns) for row in self._rows[arm])

    def busy_slots(self, arm: int, at_ns: int) -> int:
        """Slots of the arm's replicas that are in service, on requests that have come."""
        return int(np.count_nonzero(self._slots(self._rows[arm]) > at_ns))

    def idle_at_ns(self, arm: int, replica: int) -> int:
        """When the replica has finished all it has taken on so far."""
        return int(self._slots([self._rows[arm][replica]]).max())

    def shortest_wait(self, arm: int, at_ns: int) -> int | None:
        """How long a request would queue where it waits least, in ns; None where no replica would take it."""
        waits = []
        for row in self._routable[arm]:
            free_ns = int(self._slots([row]).min())
            full = free_ns > at_ns and self._queue(row, at_ns) >= self._services[arm].queue
            if not full and self._state.replicas[row, k.DIES] > max(free_ns, at_ns):
                waits.append(max(free_ns - at_ns, 0))
        return min(waits, default=None)

    # --- arrays ---

    def _tally(self, arm: int) -> Tally:
        counts: list[int] = self._state.counts[arm].tolist()
        rows = self._state.cells[:, arm, :-1]
        cells = {level: cell for level, cell in enumerate(rows) if counts[k.OK] and cell.any()}
        backlog_ns = int(np.maximum(self._slots(self._rows[arm]) - self.now_ns, 0).sum())
        # What was begun, less what is still to be done of it: a slot is busy without a gap from now until it is free.
        busy_ns = counts[k.WORK] + self._backlog_ns[arm] - backlog_ns
        self._backlog_ns[arm] = backlog_ns
        return Tally(
            arrivals=counts[k.ARRIVALS],
            ok=counts[k.OK],
            errors={name: counts[kind] for name, kind in ERROR_KINDS.items() if counts[kind]},
            latency=Histogram.of_counts(self._state.buckets[arm], counts[k.SUM]),
            wait_sum_ns=counts[k.WAIT_SUM],
            wait_count=counts[k.WAIT_COUNT],
            busy_ns=busy_ns,
            answered={level: cell & ((1 << k.HALF) - 1) for level, cell in cells.items()},
            labelled={level: cell >> k.HALF for level, cell in cells.items()},
            classes={name: self._class(arm, kind) for kind, name in enumerate(self._classes)},
        )

    def _class(self, arm: int, kind: int) -> ClassTally:
        counts: list[int] = self._state.class_counts[arm, kind].tolist()
        failed = sum(counts[kind] for kind in ERROR_KINDS.values())
        latency = Histogram.of_counts(self._state.class_buckets[arm, kind], counts[k.SUM])
        return ClassTally(counts[k.ARRIVALS], counts[k.OK], failed, latency)

    def _slots(self, rows: Sequence[int]) -> IntArray:
        """When the slots of these replicas fall free; those that are not real, of which each may have others, never."""
        slots = self._state.replicas[rows, k.FIRST_SLOT :]
        return slots[slots < NEVER]

    def _queue(self, row: int, at_ns: int) -> int:
        _, head, tail = self._state.replicas[row, :3]
        ring = self._state.rings[row]
        return int(np.count_nonzero(ring[np.arange(head, tail) & (ring.size - 1)] > at_ns))

    def _empty(self, arm: int, row: int) -> None:
        self._state.replicas[row] = 0
        self._state.replicas[row, k.DIES] = NEVER
        self._state.replicas[row, k.RING] = row * self._state.rings.shape[1]
        self._state.replicas[row, k.FIRST_SLOT + self._services[arm].slots :] = NEVER

    def _route(self, arm: int, rows: set[int]) -> None:
        if len(rows) > self._state.routable.shape[1]:
            self._change(routable=grown(self._state.routable, 1, 2 * len(rows)))
        self._routable[arm] = rows
        # The kernel takes its arrays flat: a replica is where its row begins.
        width = self._state.replicas.shape[1]
        arms = [arm, self._mirror.counted] if self._mirror and arm == self._mirror.to else [arm]
        for each in arms:
            self._state.routable[each, : len(rows)] = [row * width for row in sorted(rows)]
            self._state.arms[each, k.ROUTABLE] = len(rows)

    def _change(self, **arrays: NDArray[Any]) -> None:
        """Take grown arrays into the state, and tell the arms where their parts of them begin."""
        self._state = self._state._replace(**arrays)
        self._flat = k.State._make(array.reshape(-1) for array in self._state)
        for arm, columns in enumerate(self._state.arms):
            columns[k.FIRST_ROUTABLE] = arm * self._state.routable.shape[1]
            columns[k.FIRST_FAULT] = arm * self._state.faults[arm].size


def _swap(columns: list[T], one: int, other: int) -> None:
    columns[one], columns[other] = columns[other], columns[one]
