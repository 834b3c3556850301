"""What befalls the arms of a simulated cluster: faults that begin, end, and go where their model goes."""

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from typing import Any

import simpy

from harness.domain.fault import Crash, Fault, Lost, TrainingFault
from harness.domain.model import ARMS, Role
from harness.protocols import Notice

Process = Generator[simpy.Event, Any, None]


@dataclass(slots=True)
class Injected:
    """A fault, and the arms that it befalls now."""

    fault: Fault
    on: frozenset[Role]


class Faults:
    """All that was injected.

    Args:
        env: their time.
        crash: kills so many replicas of an arm; answers with how many there were.
        notify: is told when one begins and ends.
    """

    def __init__(
        self, env: simpy.Environment, crash: Callable[[Role, int], int], notify: Callable[[Notice], None]
    ) -> None:
        self._env, self._crash, self._notify = env, crash, notify
        self._injected: list[Injected] = []

    def inject(self, faults: Iterable[Fault]) -> None:
        """Let these happen, each in its time."""
        for fault in faults:
            injected = Injected(fault, fault.on)
            self._injected.append(injected)
            if not isinstance(fault.effect, TrainingFault):
                self._env.process(self._course(injected))

    def on(self, role: Role) -> list[Fault]:
        """What an arm is or will be under; a copy has no user who could be lost on the way."""
        mine = [injected.fault for injected in self._injected if role.model in injected.on]
        return [fault for fault in mine if role is not Role.SHADOW or not isinstance(fault.effect, Lost)]

    def inherited(self, *, adopt: bool) -> tuple[Fault, ...]:
        """What will befall the arms once there is another candidate."""
        kept = [(injected.fault, inherited(injected.on, adopt=adopt)) for injected in self._injected]
        return tuple(replace(fault, on=on) for fault, on in kept if on)

    def move(self, *, adopt: bool) -> None:
        """There is another candidate: what befell a model goes with it."""
        for injected in self._injected:
            injected.on = inherited(injected.on, adopt=adopt)

    def _course(self, injected: Injected) -> Process:
        fault = injected.fault
        if fault.at_ns > self._env.now:
            yield self._env.timeout(fault.at_ns - self._env.now)
        if began := _arms(injected.on):
            self._notify(Notice("fault_began", began, fault.text))
        if isinstance(fault.effect, Crash):
            for role in began:
                if not self._crash(role, fault.effect.count):
                    self._notify(Notice("fault_missed", (role,), f"{role} has no replica to crash: {fault.text}"))
        if fault.until_ns is not None:
            yield self._env.timeout(max(fault.until_ns - self._env.now, 0))
            if ended := _arms(injected.on):
                self._notify(Notice("fault_ended", ended, fault.text))


def inherited(on: frozenset[Role], *, adopt: bool) -> frozenset[Role]:
    """Whom a fault befalls once there is another candidate: what was the candidate's goes where it goes.

    >>> sorted(inherited(frozenset({Role.CANDIDATE}), adopt=True))
    [<Role.STABLE: 'stable'>]
    """
    if set(ARMS) <= on:
        return on
    if adopt:
        return frozenset({Role.STABLE}) if Role.CANDIDATE in on else frozenset()
    return on - {Role.CANDIDATE}


def _arms(on: frozenset[Role]) -> tuple[Role, ...]:
    return tuple(role for role in ARMS if role in on)
