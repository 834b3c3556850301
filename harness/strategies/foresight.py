"""A policy's steps in time, if all goes well: nothing fails, nothing is held, and people answer at once."""

from collections.abc import Iterator
from dataclasses import dataclass

from harness.domain.rollout import Analyze, Decide, Pause, RolloutPolicy, SetMirror, SetWeight, Step
from harness.domain.units import WHOLE


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A step, when it would begin, and how long it would take."""

    at_ns: int
    """After the first step."""
    step: Step
    takes_ns: int
    weight: int
    """Of the candidate, while it lasts."""
    copied: int
    """Share of requests that are copied to the candidate while it lasts, in 1/10,000."""


def takes_ns(step: Step) -> int:
    """How long a step takes by the clock; those that wait for replicas, checks or people take no time of their own."""
    match step:
        case Pause(int(duration_ns)):
            return duration_ns
        case Analyze():
            return step.takes_ns
        case Decide(_, _, at_most_ns):
            return at_most_ns
        case _:
            return 0


def walk(policy: RolloutPolicy) -> Iterator[Foreseen]:
    """Each step in its turn."""
    at_ns, weight, copied = 0, 0, 0
    for step in policy.steps:
        if isinstance(step, SetWeight):
            weight = step.weight
        if isinstance(step, SetMirror):
            copied = step.share
        yield Foreseen(at_ns, step, takes_ns(step), weight, copied)
        at_ns += takes_ns(step)


def foreseen(policy: RolloutPolicy) -> tuple[tuple[int, int], ...]:
    """The candidate's weights: (nanoseconds after the first step, weight), and the promotion if there is to be one."""
    walked = list(walk(policy))
    points = [(each.at_ns, each.weight) for each in walked if isinstance(each.step, SetWeight)]
    end_ns = walked[-1].at_ns + walked[-1].takes_ns if walked else 0
    return (*points, (end_ns, WHOLE)) if policy.promote else (*points, (end_ns, 0))
