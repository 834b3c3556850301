"""The replicas of a simulated cluster: how they start, crash, start anew and are drained."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import simpy

from harness.domain.model import Role
from harness.domain.service import Service
from harness.protocols import Notice, Readiness
from harness.sim.plane import RequestPlane

Process = Generator[simpy.Event, Any, None]


@dataclass(slots=True)
class Replica:
    """One replica's life: wanted or not, ready or not; ``life`` tells its present life from an earlier one."""

    wanted: bool = False
    ready: bool = False
    life: int = 0


class Fleet:
    """The replicas of all arms.

    Args:
        env: their time.
        plane: where they serve; its arms are those of ``services``, in that order.
        services: the law of each arm; a law that is put in here holds for replicas that start from then on.
        notify: is told what happens to them.
    """

    def __init__(
        self,
        env: simpy.Environment,
        plane: RequestPlane,
        services: dict[Role, Service],
        notify: Callable[[Notice], None],
    ) -> None:
        self._env, self._plane, self._notify = env, plane, notify
        self.services = services
        self._place = {role: place for place, role in enumerate(services)}
        self._replicas: dict[Role, list[Replica]] = {role: [] for role in services}

    def start(self, role: Role) -> None:
        """The arm stands ready at its full size."""
        for index in range(self.services[role].replicas):
            self._replicas[role].append(Replica(wanted=True))
            self._come_up(role, index)

    def scale(self, role: Role, count: int) -> None:
        """Start what is missing, drain what is too much: what is not ready goes first, then the highest numbers."""
        replicas, place = self._replicas[role], self._place[role]
        for index in range(len(replicas), count):
            replicas.append(Replica())
            self._plane.add_replica(place, index)
        up = sum(replica.wanted for replica in replicas)
        for replica in [each for each in replicas if not each.wanted][: max(count - up, 0)]:
            replica.wanted = True
            replica.life += 1
            self._env.process(self._starting(replica, self.services[role].startup_ns))
        last_first = [(replica.ready, -index) for index, replica in enumerate(replicas) if replica.wanted]
        for _, behind in sorted(last_first)[: max(up - count, 0)]:
            replica = replicas[-behind]
            replica.wanted, replica.ready = False, False
            replica.life += 1
            self._plane.drain(place, -behind)

    def exchange(self, one: Role, other: Role) -> None:
        """Two arms have each other's replicas from now on, and the laws that these follow."""
        self._replicas |= {one: self._replicas[other], other: self._replicas[one]}
        self.services |= {one: self.services[other], other: self.services[one]}
        self._plane.exchange(self._place[one], self._place[other])

    def readiness(self) -> Mapping[Role, Readiness]:
        """Wanted and ready replicas of each arm."""
        return {
            role: Readiness(sum(r.wanted for r in replicas), sum(r.ready for r in replicas))
            for role, replicas in self._replicas.items()
        }

    def crash(self, role: Role, count: int) -> int:
        """Kill the first replicas that are up, or on their way; answers with how many there were."""
        alive = [(index, replica) for index, replica in enumerate(self._replicas[role]) if replica.wanted]
        up_first = sorted(alive, key=lambda item: not item[1].ready)[:count]
        for index, replica in up_first:
            if replica.ready:
                self._plane.kill(self._place[role], index)
            replica.ready = False
            replica.life += 1
            self._notify(Notice("replica_crashed", (role,), f"replica {index + 1} of {role} crashed"))
            self._env.process(self._restarting(replica, self.services[role]))
        return len(up_first)

    def _come_up(self, role: Role, index: int) -> None:
        self._plane.start_replica(self._place[role], index)
        self._replicas[role][index].ready = True

    def _starting(self, replica: Replica, startup_ns: int) -> Process:
        life = replica.life
        yield self._env.timeout(startup_ns)
        if replica.life == life:
            role, index = self._found(replica)
            self._come_up(role, index)
            self._notify(Notice("replica_ready", (role,), f"replica {index + 1} of {role} is ready"))

    def _restarting(self, replica: Replica, service: Service) -> Process:
        life = replica.life
        yield self._env.timeout(service.restart_ns)
        if replica.life == life:
            yield from self._starting(replica, service.startup_ns)

    def _found(self, replica: Replica) -> tuple[Role, int]:
        """The arm that a replica belongs to now, and its number there."""
        return next((role, index) for role, some in self._replicas.items() if (index := _place(some, replica)) >= 0)


def _place(replicas: Sequence[Replica], wanted: Replica) -> int:
    """Where a replica stands among others, -1 where it does not; equal ones are not the same."""
    return next((index for index, each in enumerate(replicas) if each is wanted), -1)
