"""Replica counts against the published test cases of Argo Rollouts (argo_replicas.json beside this file names them)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.domain.model import Role
from harness.domain.rollout import Pause, SetScale, SetWeight
from harness.domain.units import WHOLE
from harness.errors import InputError
from harness.strategies.counts import Counts, Fleet, Limits, counted, fenceposts, step, target
from harness.strategies.sizes import (
    Scale,
    Threshold,
    asked,
    before_start,
    dynamic,
    enough,
    needed,
    preview,
    routed,
    way_back,
)
from harness.strategies.state import Count

Case = Mapping[str, Any]

ORACLE = json.loads((Path(__file__).parent / "argo_replicas.json").read_text())
GROUPS = {group["test"]: group for group in ORACLE["groups"]}
PERCENT = 100
"""Argo's weights are percent unless maxTrafficWeight says otherwise."""
HELD: list[str] = []
"""Groups that a test below takes all its cases from."""


def cases(test: str) -> pytest.MarkDecorator:
    """Every case of a group, with the group's defaults filled in."""
    group = GROUPS[test]
    HELD.append(test)
    filled = [{**group["defaults"], **case} for case in group["cases"]]
    return pytest.mark.parametrize("case", filled, ids=lambda case: case.get("name"))


def both(expected: Case) -> Counts:
    return Counts(stable=expected["stable"], candidate=expected["canary"])


def fleet(case: Case) -> Fleet:
    older = case["olderRS"] or {"specReplicas": 0}
    return Fleet(
        stable=Count(case["stableAvailableReplica"], case["stableSpecReplica"]),
        candidate=Count(case["canaryAvailableReplica"], case["canarySpecReplica"]),
        older=older["specReplicas"],
    )


def scale(case: Case) -> Scale:
    """The step's own scale, where there is a router; after an abort none."""
    explicit = case["setCanaryScale"]
    if case["statusAbort"]:
        return Scale()
    if not explicit or explicit["matchTrafficWeight"]:
        return Scale(case["setWeight"])
    return Scale(explicit["weight"] or 0, explicit["replicas"])


@cases("TestCalculateReplicaCountsForCanary")
def test_canary(case: Case) -> None:
    replicas, expected = case["rolloutSpecReplicas"], both(case["expected"])
    if case["mode"] == "traffic_routed":
        assert routed(replicas, scale(case), least=case.get("minPodsPerReplicaSet", 1), whole=PERCENT) == expected
        return
    limits = Limits.of(replicas, case["maxSurge"], case["maxUnavailable"])
    goal = limits.whole if case["promoteFull"] else target(limits, case["setWeight"], PERCENT)
    assert step(limits, goal, fleet(case)) == expected


@cases("TestApproximateWeightedNewStableReplicaCounts")
def test_weight_in_whole_replicas(case: Case) -> None:
    limits = Limits(case["replicas"], case["maxSurge"], unavailable=1)
    assert target(limits, case["weight"], case["maxWeight"]) == Counts(case["expStable"], case["expCanary"])


@cases("TestCalculateReplicaCountsForCanaryTrafficRoutingDynamicScale")
def test_dynamic_stable(case: Case) -> None:
    replicas, steps = case["rolloutReplicas"], [each["setWeight"] for each in case["steps"]]
    available = Counts(case.get("availableStableReplicas", 0), case.get("availableCanaryReplicas", 0))
    weight = 0 if case["rolloutAbort"] else steps[0]
    if case["rolloutAbort"] and case["stableRSReplicas"] and case["canaryRSReplicas"]:
        weight = way_back(replicas, steps, available, whole=PERCENT)
    in_force = {Role.STABLE: case["stableWeight"], Role.CANDIDATE: case["canaryWeight"]}
    counts = dynamic(replicas, Scale(weight), in_force, aborted=case["rolloutAbort"], whole=PERCENT)
    assert counts == Counts(case["expectedStableReplicas"], case["expectedCanaryReplicas"])


@cases("TestTrafficWeightToReplicas")
def test_replicas_that_a_weight_needs(case: Case) -> None:
    assert needed(case["replicas"], case["weight"], case["maxWeight"]) == case["expected"]


@cases("TestCalculateReplicaCountsForNewDeployment")
def test_first_revision(case: Case) -> None:
    limits = Limits.of(case["replicas"], case["maxSurge"], case["maxUnavailable"])
    alone = Fleet(Count(0, 0), Count(case["rsAvailable"], case["rsSpec"]))
    assert step(limits, limits.whole, alone) == both(case["expected"])


@cases("TestCalculateReplicaCountsForCanaryTrafficRouting")
def test_router(case: Case) -> None:
    assert routed(case["replicas"], Scale(case["setWeight"]), whole=PERCENT) == both(case["expected"])


@cases("TestCalculateReplicaCountsForCanaryStableRSdEdgeCases")
def test_no_stable(case: Case) -> None:
    limits = Limits.of(case["replicas"], case["maxSurge"], case["maxUnavailable"])
    alone = Fleet(Count(0, 0), Count(case["newRS"]["available"], case["newRS"]["spec"]))
    assert step(limits, limits.whole, alone) == both(case["expected"])


@cases("TestBeforeStartingStep")
def test_before_the_starting_step(case: Case) -> None:
    steps = (SetWeight(100), Pause(None))[: case["steps"]]
    assert before_start(steps, case["currentStepIndex"] or 0, case["startingStep"]) is case["expected"]


@cases("TestGetCurrentSetWeight")
def test_weight_of_a_step(case: Case) -> None:
    at_step = asked((SetWeight(1000),), case["currentStepIndex"], aborted=case["abort"])
    assert at_step == Scale(weight=case["expected"])


@cases("TestGetReplicasForScaleDown")
def test_what_counts_when_scaling_down(case: Case) -> None:
    count = Count(ready=case.get("available", 0), wanted=case.get("spec", 0))
    assert counted(count, draining=case["ignoreAvailability"]) == case["expected"]


@cases("TestGetCanaryReplicasOrWeight")
def test_scale_of_a_step(case: Case) -> None:
    steps = [
        SetScale(each["setCanaryScale"]["replicas"])
        if "setCanaryScale" in each
        else SetWeight(each["setWeight"] * WHOLE // PERCENT)
        for each in case["steps"]
    ]
    assert asked(steps, case["currentStepIndex"]) == Scale(case["expected"]["weight"], case["expected"]["replicas"])


@cases("TestAllReplicaProgressThresholdMet")
def test_enough_replicas(case: Case) -> None:
    count = Count(ready=case["available"], wanted=case["specReplicas"] or 0)
    threshold = Threshold(case["value"], percent=case["type"] == "Percentage")
    assert enough(count, case["desired"], threshold) is case["expected"]


@cases("TestResolveFenceposts")
def test_fenceposts(case: Case) -> None:
    given = case["desired"], case["maxSurge"], case["maxUnavailable"]
    if case["expectError"]:
        with pytest.raises(InputError, match=r"max_\w+ is '(oops|urg)'; give"):
            fenceposts(*given)
        return
    assert fenceposts(*given) == (case["expectSurge"], case["expectUnavailable"])


@cases("TestMaxSurge")
def test_surge(case: Case) -> None:
    # A blue-green rollout has no surge to set: it is not given, and none.
    assert Limits.of(case["replicas"], case.get("maxSurge"), case.get("maxUnavailable")).surge == case["expected"]


@cases("TestMaxUnavailable")
def test_unavailable(case: Case) -> None:
    limits = Limits.of(case["replicas"], case["maxSurge"], case["maxUnavailable"])
    assert limits.unavailable == case["expected"]


@cases("TestNewRSNewReplicasWitPreviewReplicaCount")
def test_preview(case: Case) -> None:
    checked = case["scaleUpPreviewCheckpoint"] and case["currentPodHash"] == "foo"  # the new revision's hash
    promoted = case["promoteFull"] or case["activeSelector"] == "foo"
    assert preview(10, 1, checked=checked, promoted=promoted) == case["expected"]


def test_no_case_is_left_out() -> None:
    assert sorted(HELD) == sorted(GROUPS)
    assert sum(len(GROUPS[test]["cases"]) for test in HELD) == ORACLE["total"] == 110
