"""A machine played through on paper: replicas start in their stated time, every look passes, people answer at once.

Where there is no router, when a weight comes into force depends on replicas, and how large it really is on their
counts; so the timeline of such a rollout is played, not added up.
"""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from harness.domain.analysis import Verdict
from harness.domain.model import Role
from harness.domain.rollout import (
    Action,
    AnalysisPhase,
    Await,
    CallHook,
    Command,
    End,
    EnterStep,
    HookAnswer,
    Order,
    Ready,
    Routed,
    Seen,
    StartAnalysis,
    Tick,
    Want,
)

MOST = 10_000
"""Things seen; a policy that takes more is not foreseen to its end."""


@dataclass(slots=True)
class Paper:
    """A cluster on paper."""

    startup_ns: int
    every_ns: int
    wanted: dict[Role, int]
    ready: dict[Role, int]
    queue: list[tuple[int, int, Seen | None]] = field(default_factory=list)
    """(when, order, what is seen; None: the next look)."""
    order: Iterator[int] = field(default_factory=count)

    def at(self, at_ns: int, seen: Seen | None) -> None:
        """Something will be seen."""
        heapq.heappush(self.queue, (at_ns, next(self.order), seen))

    def want(self, at_ns: int, want: Want) -> None:
        """Start and drain what is wanted, and put its weights in force."""
        changed = dict(want.replicas) != self.wanted  # what is wanted again is not done again
        for role, wanted in want.replicas.items() if changed else ():
            more = wanted - self.wanted.get(role, 0)
            self.wanted[role] = wanted
            if more <= 0:
                self.ready[role] = min(self.ready.get(role, 0), wanted)
            self.at(at_ns, Ready(role, self.ready.get(role, 0), wanted))
            if more > 0:
                self.at(at_ns + self.startup_ns, Ready(role, more, -1))
        self.at(at_ns, Routed(want.weights))

    def seen(self, at_ns: int, seen: Seen | None) -> Seen:
        """What the machine is told."""
        if seen is None:
            self.at(at_ns + self.every_ns, None)
            return AnalysisPhase(Verdict.PASS, "every rule passed", passed_ns=at_ns)
        if isinstance(seen, Ready) and seen.wanted < 0:  # replicas that have started
            up = min(self.ready.get(seen.role, 0) + seen.ready, self.wanted[seen.role])
            self.ready[seen.role] = up
            return Ready(seen.role, up, self.wanted[seen.role])
        return seen


def played(machine: Any, sizes: Mapping[Role, int], startup_ns: int, every_ns: int) -> Iterator[tuple[int, Action]]:
    """What a machine does, and when: wants whose weights are new, steps, and the end.

    Args:
        machine: of any strategy.
        sizes: replicas that stable stands with, and the candidate's full size.
        startup_ns: from a replica's start until it is ready.
        every_ns: from look to look.
    """
    paper = Paper(startup_ns, every_ns, {Role.STABLE: sizes[Role.STABLE]}, {Role.STABLE: sizes[Role.STABLE]})
    now_ns, transition, weights = 0, machine.start(0), None
    for _ in range(MOST):
        for action in transition.actions:
            match action:
                case Want():
                    if action.weights != weights:
                        yield now_ns, action
                    weights = action.weights
                    paper.want(now_ns, action)
                case StartAnalysis():
                    paper.at(now_ns + every_ns, None)
                case Await():
                    paper.at(now_ns, Command(Order.APPROVE, "somebody"))
                case CallHook(hook, _):
                    paper.at(now_ns, HookAnswer(hook, passed=True, reason=""))
                case EnterStep():
                    yield now_ns, action
                case End():
                    yield now_ns, action
                    return
        wake_ns = transition.wake_at_ns
        if paper.queue and (wake_ns is None or paper.queue[0][0] <= wake_ns):
            now_ns, _, seen = heapq.heappop(paper.queue)
            transition = machine.next(transition.state, paper.seen(now_ns, seen), now_ns)
        elif wake_ns is not None:
            now_ns = max(wake_ns, now_ns)
            transition = machine.next(transition.state, Tick(), now_ns)
        else:
            return
