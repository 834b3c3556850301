"""Sizes of the revisions where a router splits the traffic: a weight needs no replicas of its own.

Stable keeps its full size, so that the way back is instant, and the candidate has what its weight needs or what a step
asks for. With a dynamic stable, stable shrinks as it loses traffic, and what goes back goes back by the steps.

The rules are those of Argo Rollouts (utils/replicaset, commit 9f8d111d8f8e), whose published test cases are held in
tests/oracle.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.domain.model import Role
from harness.domain.rollout import SetScale, SetWeight, Step, Weights
from harness.domain.units import WHOLE
from harness.strategies.counts import Counts
from harness.strategies.state import Count


@dataclass(frozen=True, slots=True)
class Scale:
    """The size that the candidate is to have: what a share of traffic needs, or a count."""

    weight: int = 0
    """Of the traffic that it is sized for; more than all is allowed."""
    replicas: int | None = None
    """Where it is given, the weight has no say."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """How many replicas are enough to go on (Argo's replicaProgressThreshold)."""

    value: int
    """Below 0: all of them, as without a threshold."""
    percent: bool
    """Of those asked for; else a count."""


# --- what the steps ask for -------------------------------------------------------------------------------------------


def asked(steps: Sequence[Step], index: int, *, aborted: bool = False) -> Scale:
    """The candidate's scale while the step of that index is on: its weight's, or the last that a step has set.

    >>> asked((SetWeight(1000), SetScale(5), SetWeight(2000)), 2)
    Scale(weight=0, replicas=5)
    """
    if aborted:
        return Scale()
    if index >= len(steps):
        return Scale(WHOLE)
    scale = Scale()
    sized = False
    for each in steps[: index + 1]:
        match each:
            case SetScale(replicas):
                scale, sized = Scale(WHOLE) if replicas is None else Scale(replicas=replicas), True
            case SetWeight(weight) if not sized:
                scale = Scale(weight)
    return scale


def before_start(steps: Sequence[Step], index: int, start: int) -> bool:
    """Whether an analysis that begins with the step of index `start` has to wait; beyond the last step none does."""
    return index < len(steps) and index < start


def way_back(
    replicas: int, weights: Sequence[int], available: Counts, *, keep_candidate: bool = False, whole: int = WHOLE
) -> int:
    """The weight to fall to next after an abort, with a dynamic stable: the last of the steps' that stable can bear.

    Args:
        replicas: The size of the service.
        weights: Those of the steps, in their order.
        available: Ready replicas of both.
        keep_candidate: The candidate keeps its size for a while, so it must not hold up the weight.
        whole: All traffic.
    """
    missing = replicas - available.stable
    held = missing if keep_candidate else max(missing, available.candidate)
    return next((weight for weight in reversed(weights) if needed(replicas, weight, whole) < held), 0)


# --- sizes ------------------------------------------------------------------------------------------------------------


def needed(replicas: int, weight: int, whole: int = WHOLE) -> int:
    """Replicas that a share of the traffic needs, where all of it needs `replicas`; rounded up.

    >>> needed(10, 2500)
    3
    """
    return -(-weight * replicas // whole)


def routed(replicas: int, scale: Scale, *, least: int = 1, whole: int = WHOLE) -> Counts:
    """Counts of a canary behind a router; stable keeps its full size.

    Args:
        replicas: The size of the service.
        scale: What the candidate is to have.
        least: A revision sized by weight that has any replica has so many (minPodsPerReplicaSet), up to the full size.
        whole: All traffic.

    >>> routed(10, Scale(weight=500), least=2), routed(1, Scale(replicas=9))
    (Counts(stable=10, candidate=2), Counts(stable=1, candidate=9))
    """
    if scale.replicas is not None:
        return Counts(replicas, scale.replicas)
    return Counts(replicas, _at_least(needed(replicas, scale.weight, whole), least, replicas))


def dynamic(
    replicas: int, scale: Scale, in_force: Weights, *, aborted: bool = False, least: int = 1, whole: int = WHOLE
) -> Counts:
    """Counts of a canary behind a router whose stable shrinks as it loses traffic (dynamicStableScale).

    No revision shrinks before its traffic has: stable is sized for the greater of what it has and what it is to get,
    and so is the candidate on the way back.

    Args:
        replicas: The size of the service.
        scale: What the candidate is to have.
        in_force: The weights that the router now gives; an arm that is not named has none.
        aborted: It is on the way back.
        least: A revision that has any replica has so many, up to the full size.
        whole: All traffic.

    >>> dynamic(10, Scale(weight=2000), {Role.STABLE: 9000, Role.CANDIDATE: 1000})
    Counts(stable=9, candidate=2)
    """
    candidate = routed(replicas, scale, least=least, whole=whole).candidate
    if aborted:
        candidate = max(candidate, needed(replicas, in_force.get(Role.CANDIDATE, 0), whole))
    stable_weight = max(whole - scale.weight, in_force.get(Role.STABLE, 0))
    stable = needed(replicas, stable_weight, whole)
    return Counts(_at_least(stable, least, replicas), _at_least(candidate, least, replicas))


def _at_least(count: int, least: int, replicas: int) -> int:
    return max(count, min(least, replicas)) if count else 0


def preview(replicas: int, size: int | None, *, checked: bool = False, promoted: bool = False) -> int:
    """The candidate's size in a blue-green rollout: a preview's, until it was checked or is promoted.

    Args:
        replicas: The size of the service.
        size: Of the preview; None: the full size from the start.
        checked: This very candidate has passed its preview.
        promoted: A person has promoted it, or it has the traffic already.
    """
    return replicas if size is None or checked or promoted else size


def enough(count: Count, asked_for: int, threshold: Threshold | None = None) -> bool:
    """Whether a revision has replicas enough to go on.

    >>> enough(Count(ready=8, wanted=10), 10, Threshold(90, percent=True))
    False
    """
    if threshold is None or threshold.value < 0:
        return count.wanted == asked_for == count.ready
    if not threshold.percent:
        return count.ready >= threshold.value
    return count.ready * 100 >= threshold.value * asked_for
