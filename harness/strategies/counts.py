"""The arithmetic of replica counts: how many of each revision there are to be, and how many there may be next.

Where no router splits the traffic, every ready replica gets the same share of it, and counts of replicas stand for
weights. `target` is what a weight comes to in whole replicas; `step` is the next move towards it that keeps within
`Limits`. Argo Rollouts realises a basic canary so, and a rolling update is the same moves towards no stable replica at
all (`Limits.whole`). Moves are repeated whenever replicas have become ready; a goal once reached is not left again.

All of it is integers in, integers out, and follows utils/replicaset of Argo Rollouts (commit 9f8d111d8f8e), whose
published test cases are held in tests/oracle. Where it differs is said where it does.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from harness.domain.model import Role
from harness.domain.rollout import Weights
from harness.domain.units import WHOLE
from harness.errors import InputError
from harness.strategies.state import Count

SHARE = re.compile(r"(\d+(?:\.\d+)?)(%?)", re.ASCII)
NONE = Count(ready=0, wanted=0)


@dataclass(frozen=True, slots=True)
class Counts:
    """Replicas of the two revisions."""

    stable: int
    candidate: int

    @property
    def total(self) -> int:
        """Of both."""
        return self.stable + self.candidate


@dataclass(frozen=True, slots=True)
class Fleet:
    """The replicas that there are."""

    stable: Count
    candidate: Count = NONE
    older: int = 0
    """Wanted of revisions before stable. They take up room, and go first: until then nothing else is given up."""

    @property
    def wanted(self) -> Counts:
        """As last asked for."""
        return Counts(self.stable.wanted, self.candidate.wanted)


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a change of revision may go beyond, and fall below, the size of the service.

    >>> Limits.of(10, "25%", "25%")
    Limits(replicas=10, surge=3, unavailable=2)
    """

    replicas: int
    """The size of the service."""
    surge: int
    """So many replicas more may be wanted, of all revisions together."""
    unavailable: int
    """So many replicas fewer may be ready."""

    def __post_init__(self) -> None:
        if min(self.replicas, self.surge, self.unavailable) < 0:
            raise ValueError(f"{self}: none of them may be negative")
        if self.replicas and not self.surge and not self.unavailable:
            raise ValueError(f"{self}: nothing could ever change; allow 1 of surge or of unavailable")

    @classmethod
    def of(cls, replicas: int, max_surge: int | str | None, max_unavailable: int | str | None) -> "Limits":
        """From counts, or shares of the size; never more unavailable than there are.

        Raises:
            InputError: one of them is neither a count nor a share.
        """
        surge, unavailable = fenceposts(replicas, max_surge, max_unavailable)
        return cls(replicas, surge, min(unavailable, replicas))

    @property
    def most(self) -> int:
        """Replicas that may be wanted in all."""
        return self.replicas + self.surge

    @property
    def least(self) -> int:
        """Ready replicas that are never given up."""
        return self.replicas - self.unavailable

    @property
    def whole(self) -> Counts:
        """The goal of a promotion, of a rolling update, and of a first revision that has no stable beside it."""
        return Counts(0, self.replicas)


def fenceposts(replicas: int, max_surge: int | str | None, max_unavailable: int | str | None) -> tuple[int, int]:
    """Surge, rounded up, and unavailable, rounded down; if both come to nothing, 1 may be unavailable. None is 0.

    Raises:
        InputError: one of them is neither a count nor a share.

    >>> fenceposts(10, "39%", "39%"), fenceposts(10, "0%", None)
    ((4, 3), (0, 1))
    """
    surge = ceil(_counted("max_surge", max_surge, replicas))
    unavailable = floor(_counted("max_unavailable", max_unavailable, replicas))
    return (surge, unavailable) if surge or unavailable else (0, 1)


def _counted(name: str, value: int | str | None, replicas: int) -> Fraction:
    # Kubernetes takes a *string* without a percent sign for percent: who reads its manifests must add the sign.
    found = SHARE.fullmatch("0" if value is None else str(value).strip())
    if not found or not (found[2] or found[1].isdigit()):
        raise InputError(f"{name} is {value!r}; give a count of replicas such as 2, or a share of them such as 25%")
    return Fraction(found[1]) * replicas / 100 if found[2] else Fraction(found[1])


# --- a weight in whole replicas ---------------------------------------------------------------------------------------


def target(limits: Limits, weight: int, whole: int = WHOLE) -> Counts:
    """The counts whose shares come closest to the candidate's weight; at a tie the candidate gets more.

    The total is the size of the service, or one more where a surge is allowed and comes closer. Strictly between
    nothing and all each revision keeps a replica, unless there is room for one replica only.

    One case differs from Argo Rollouts. Without surge, where the weight lies midway between n - 1 and n of n replicas
    (95 % of 10), no choice is left there, and it takes the candidate down to 0; here it gets n - 1.

    Args:
        limits: The size of the service, and whether there may be more.
        weight: The candidate's share of traffic, in parts of `whole`.
        whole: All traffic.

    >>> target(Limits(10, surge=1, unavailable=0), 1900), target(Limits(10, surge=0, unavailable=1), 9500)
    (Counts(stable=9, candidate=2), Counts(stable=1, candidate=9))
    """
    if not 0 <= weight <= whole:
        raise ValueError(f"weight is {weight}; it is a share from 0 to {whole}")
    replicas = limits.replicas
    if not replicas:
        return Counts(0, 0)
    low, high = replicas * weight // whole, -(-replicas * weight // whole)
    may_be_none = weight in {0, whole} or (replicas == 1 and not limits.surge)
    choices: list[Counts] = []
    for total in (replicas, replicas + 1) if limits.surge else (replicas,):
        if high < total or may_be_none:
            choices.append(Counts(total - high, high))
        if low or may_be_none:
            choices.append(Counts(total - low, low))
    return min(choices, key=lambda each: _off(each, weight, whole))  # of equals the first


def _off(counts: Counts, weight: int, whole: int) -> Fraction:
    """How far the candidate's share of replicas is from its weight."""
    return abs(Fraction(counts.candidate, counts.total) - Fraction(weight, whole))


# --- the next move ----------------------------------------------------------------------------------------------------


def step(limits: Limits, goal: Counts, fleet: Fleet) -> Counts:
    """The counts to ask for next on the way to a goal.

    First grow into the room that the surge leaves, stable before the candidate. Then give up, of the revision that has
    to shrink, what is beyond the least that must be ready. What is not ready of that revision counts as if it were: it
    serves nobody, and if it held replicas back a rollout would never get past a revision that crashes. Where there are
    more than there may be (the service was made smaller on the way), they are brought back to that, and nothing that is
    ready and needed is given up for it.

    Args:
        limits: How many there may be, and must be ready.
        goal: Where it goes to; within the limits.
        fleet: What there is.

    >>> step(Limits(10, surge=2, unavailable=1), Counts(5, 5), Fleet(Count(ready=10, wanted=10)))
    Counts(stable=9, candidate=2)
    """
    if goal.total > limits.most:
        raise ValueError(f"the goal is {goal.total} replicas; there may be {limits.most}")
    wanted = fleet.wanted
    room = limits.most - wanted.total - fleet.older
    stable = _grown(wanted.stable, goal.stable, room)
    candidate = _grown(wanted.candidate, goal.candidate, room - (stable - wanted.stable))
    if fleet.older:
        return Counts(stable, candidate)
    rising = goal.candidate >= wanted.candidate
    spare = counted(fleet.stable, draining=rising) + counted(fleet.candidate, draining=not rising) - limits.least
    if spare <= 0:
        return Counts(stable, candidate)
    if rising:
        stable = _shrunk(stable, goal.stable, spare)
        stable, candidate = _within(limits, Count(fleet.stable.ready, stable), Count(fleet.candidate.ready, candidate))
    else:
        candidate = _shrunk(candidate, goal.candidate, spare)
        candidate, stable = _within(limits, Count(fleet.candidate.ready, candidate), Count(fleet.stable.ready, stable))
    return Counts(stable, candidate)


def counted(count: Count, *, draining: bool) -> int:
    """Replicas that are taken to be ready: never more than are wanted, for the others are already on their way out.

    >>> counted(Count(ready=5, wanted=3), draining=False), counted(Count(ready=1, wanted=3), draining=True)
    (3, 3)
    """
    return count.wanted if draining else min(count.ready, count.wanted)


def _grown(wanted: int, goal: int, room: int) -> int:
    return wanted + max(0, min(goal - wanted, room))


def _shrunk(wanted: int, goal: int, spare: int) -> int:
    return min(wanted, max(goal, wanted - spare))


def _within(limits: Limits, draining: Count, other: Count) -> tuple[int, int]:
    """Both counts, brought back to the most that there may be, where there were more of both than the goal has.

    The revision that is not drained gives way, but not what it has ready and is needed for the least; for that part the
    drained one gives way after all.
    """
    kept = other.wanted - max(0, other.wanted + draining.wanted - limits.most)
    lacking = max(0, limits.least - min(draining.ready, draining.wanted) - min(other.ready, kept))
    kept += min(lacking, max(0, other.ready - kept))
    return draining.wanted - max(0, kept + draining.wanted - limits.most), kept


# --- what comes of it -------------------------------------------------------------------------------------------------


def weights_by_ready(ready: Mapping[Role, int]) -> Weights:
    """The shares that a plain load balancer gives, which has all ready replicas take turns.

    Rounded to the whole by largest remainder, ties in the order given. All is on stable if no replica is ready: that is
    where requests would fail.

    >>> weights_by_ready({Role.STABLE: 2, Role.CANDIDATE: 1})
    {<Role.STABLE: 'stable'>: 6667, <Role.CANDIDATE: 'candidate'>: 3333}
    """
    if any(count < 0 for count in ready.values()):
        raise ValueError(f"ready replicas are {dict(ready)}: none may be negative")
    total = sum(ready.values())
    if not total:
        return {**dict.fromkeys(ready, 0), Role.STABLE: WHOLE}
    shares = {role: WHOLE * count // total for role, count in ready.items()}
    by_remainder = sorted(ready, key=lambda role: -(WHOLE * ready[role] % total))  # stable: ties keep their order
    for role in by_remainder[: WHOLE - sum(shares.values())]:
        shares[role] += 1
    return shares
