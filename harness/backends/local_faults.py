"""What a scenario injects, on real servers: how strong it is at a time, and when that changes.

Faults multiply and add up as on the simulated cluster: factors multiply, latencies add, and a request is spared by all
shares of errors or fails. Copies are answered by the candidate's replicas, and so meet the candidate's faults.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from harness.domain.fault import Crash, Errors, Fault, LatencyAdd, LatencyFactor, Lost, TrainingFault
from harness.domain.model import ARMS, Role
from harness.domain.units import MILLISECOND
from harness.protocols import Notice

STEP_NS: Final = 250 * MILLISECOND
"""How often strengths are sent while they grow."""


@dataclass(frozen=True, slots=True)
class InForce:
    """What an arm's servers are to do to their answers."""

    latency_factor: float = 1.0
    latency_add_s: float = 0.0
    errors: float = 0.0


def ordered(faults: Iterable[Fault]) -> bool:
    """Whether any of them needs a server that takes orders (``harness serve --faults``)."""
    return any(isinstance(fault.effect, LatencyFactor | LatencyAdd | Errors) for fault in faults)


def in_force(faults: Iterable[Fault], role: Role, at_ns: int) -> InForce:
    """What befalls an arm at a time, counted from the start of traffic.

    >>> from harness.domain.fault import Errors, LatencyFactor
    >>> both = frozenset(ARMS)
    >>> faults = [Fault("", both, LatencyFactor(3.0), ramp_ns=10), Fault("", both, Errors(0.5))] * 2
    >>> in_force(faults, Role.STABLE, 5)
    InForce(latency_factor=4.0, latency_add_s=0.0, errors=0.75)
    """
    factor, added_s, spared = 1.0, 0.0, 1.0
    for fault in faults:
        strength = fault.strength(at_ns) if role.model in fault.on else 0.0
        match fault.effect:
            case LatencyFactor(times):
                factor *= 1.0 + (times - 1.0) * strength
            case LatencyAdd(seconds):
                added_s += seconds * strength
            case Errors(share):
                spared *= 1.0 - share * strength
    return InForce(factor, added_s, 1.0 - spared)


def next_change_ns(faults: Iterable[Fault], at_ns: int) -> int | None:
    """When to look again: a step further while something grows, else when the next fault begins or ends; None: never.

    >>> fault = Fault("", frozenset(), Errors(1.0), at_ns=10**9, ramp_ns=10**9, until_ns=5 * 10**9)
    >>> [next_change_ns([fault], t) for t in (0, 10**9, 19 * 10**8, 2 * 10**9, 5 * 10**9)]
    [1000000000, 1250000000, 2000000000, 5000000000, None]
    """
    times: list[int] = []
    for fault in faults:
        full_ns = fault.at_ns + fault.ramp_ns
        times += [fault.at_ns, full_ns, *([] if fault.until_ns is None else [fault.until_ns])]
        if fault.at_ns <= at_ns < full_ns and 0 < fault.strength(at_ns + STEP_NS) < 1:
            times.append(at_ns + STEP_NS)
    return min((time for time in times if time > at_ns), default=None)


def inherited(faults: Iterable[Fault], *, adopt: bool) -> tuple[Fault, ...]:
    """What will befall the arms once there is another candidate: what befell a model goes with it."""
    kept = [(fault, _inherited(fault.on, adopt=adopt)) for fault in faults]
    return tuple(replace(fault, on=on) for fault, on in kept if on)


def _inherited(on: frozenset[Role], *, adopt: bool) -> frozenset[Role]:
    if set(ARMS) <= on:
        return on
    if adopt:
        return frozenset({Role.STABLE}) if Role.CANDIDATE in on else frozenset()
    return on - {Role.CANDIDATE}


def begun(faults: Iterable[Fault], before_ns: int, now_ns: int) -> list[Fault]:
    """Those that began in ``(before, now]``; training faults have no time."""
    return [fault for fault in faults if before_ns < fault.at_ns <= now_ns and _timed(fault)]


def told(faults: Iterable[Fault], before_ns: int, now_ns: int) -> list[Notice]:
    """Faults that began and ended in ``(before, now]``, as the simulated cluster tells them."""
    faults, notices = tuple(faults), []
    for fault in begun(faults, before_ns, now_ns):
        if isinstance(fault.effect, Lost):
            text = f"users who are lost on the way are simulated only: {fault.text}"
            notices.append(Notice("fault_missed", arms(fault), text))
        else:
            notices.append(Notice("fault_began", arms(fault), fault.text))
    over = [each for each in faults if _timed(each) and before_ns < (each.until_ns or -1) <= now_ns]
    return [*notices, *(Notice("fault_ended", arms(fault), fault.text) for fault in over)]


def crashes(faults: Iterable[Fault], before_ns: int, now_ns: int) -> list[tuple[Fault, Role, int]]:
    """How many replicas of which arms are to be killed for what began in ``(before, now]``."""
    return [
        (fault, role, fault.effect.count)
        for fault in begun(faults, before_ns, now_ns) if isinstance(fault.effect, Crash)
        for role in arms(fault)
    ]  # fmt: skip


def arms(fault: Fault) -> tuple[Role, ...]:
    """The revisions that it befalls."""
    return tuple(role for role in ARMS if role in fault.on)


def _timed(fault: Fault) -> bool:
    return not isinstance(fault.effect, TrainingFault)
