"""The control plane over the request plane: replicas, faults, labels, windows; cutting time changes nothing."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from harness.domain.event import ArmTotals
from harness.domain.fault import Crash, Errors, LatencyFactor, Shift
from harness.domain.model import ARMS, Role, Source, Task, TrainedModel
from harness.domain.rollout import Routing
from harness.domain.service import Exponential, Service
from harness.domain.traffic import Knots, Labels, Process, Traffic
from harness.domain.units import MINUTE, SECOND, WHOLE
from harness.protocols import ArmSample, Notice, Population
from harness.sim.cluster import Cluster, Setting
from harness.sim.population import Answers
from harness.strategies.steps import split
from tests.build import BOTH, CANDIDATE, fault

STABLE = frozenset({Role.STABLE})
BASE = Setting(
    seed=3,
    services=dict.fromkeys(ARMS, Service(3, 2, Exponential(0.05), SECOND, 10, startup_ns=20 * SECOND)),
    traffic=Traffic("poisson", Process.POISSON, Knots((0,), (60.0,))),
    labels=None,
    faults=(),
    grid_ns=MINUTE,
    keep_ns=10 * MINUTE,
)


def cluster(notices: list[Notice] | None = None, answers: Answers | None = None, **changes: object) -> Cluster:
    made = Cluster(replace(BASE, **changes), answers, (notices if notices is not None else []).append)  # type: ignore[arg-type]
    made.start()
    return made


def test_stable_serves_from_the_first_instant_and_the_candidate_when_it_has_started() -> None:
    notices: list[Notice] = []
    both = cluster(notices)
    both.scale(0, {Role.STABLE: 3, Role.CANDIDATE: 2})
    assert both.readiness(20 * SECOND - 1)[Role.CANDIDATE].ready == 0
    assert both.readiness(20 * SECOND)[Role.CANDIDATE].ready == 2
    assert [notice.kind for notice in notices] == ["replica_ready"] * 2
    both.route(30 * SECOND, Routing(split(5000)))
    sample = both.sample(30 * SECOND, 90 * SECOND)
    shares = [sample[role].arrivals for role in ARMS]
    assert sum(shares) == pytest.approx(3600, abs=4 * 60)
    assert shares[1] == pytest.approx(sum(shares) / 2, abs=4 * np.sqrt(sum(shares)) / 2)
    assert both.probe(Role.CANDIDATE, 90 * SECOND)


def test_a_drained_arm_finishes_its_work_and_gets_no_more() -> None:
    both = cluster()
    both.scale(0, dict.fromkeys(ARMS, 3))
    both.route(MINUTE, Routing(split(WHOLE)))
    both.route(2 * MINUTE, Routing(split(0)))
    both.scale(2 * MINUTE, {Role.STABLE: 3, Role.CANDIDATE: 0})
    late = both.sample(2 * MINUTE, 3 * MINUTE)[Role.CANDIDATE]
    assert late.arrivals == 0
    assert late.failed == 0
    totals = both.totals(3 * MINUTE)[Role.CANDIDATE]
    assert totals.arrived == totals.succeeded > 3000
    assert not both.probe(Role.CANDIDATE, 3 * MINUTE)


def test_traffic_to_an_arm_without_a_replica_fails() -> None:
    both = cluster()
    both.route(0, Routing(split(2500)))
    totals = both.totals(MINUTE)[Role.CANDIDATE]
    assert totals.errors == {"no_replica": totals.arrived}
    assert totals.arrived > 700


def test_a_crash_loses_what_was_in_service_and_the_replica_starts_anew() -> None:
    notices: list[Notice] = []
    busy = Traffic("poisson", Process.POISSON, Knots((0,), (100.0,)))
    both = cluster(notices, faults=(fault(Crash(3), on=STABLE, at_ns=MINUTE),), traffic=busy)
    assert both.readiness(MINUTE - 1)[Role.STABLE].ready == 3
    assert both.readiness(MINUTE)[Role.STABLE].ready == 0
    assert both.readiness(MINUTE + 30 * SECOND - 1)[Role.STABLE].ready == 0
    assert both.readiness(MINUTE + 30 * SECOND)[Role.STABLE].ready == 3  # 10 s until restart, 20 s start-up
    errors = both.totals(2 * MINUTE)[Role.STABLE].errors
    assert 1 <= errors["crash"] <= 3 * (2 + 10)
    assert errors["no_replica"] == pytest.approx(3000, abs=4 * 55)
    assert [notice.kind for notice in notices] == ["fault_began", *["replica_crashed"] * 3, *["replica_ready"] * 3]


def test_utilisation_is_the_offered_load_of_the_slots() -> None:
    sample = cluster().sample(0, 10 * MINUTE)[Role.STABLE]
    assert sample.gauges["utilisation"] == pytest.approx(60 * 0.05 / (3 * 2), rel=0.02)
    assert sample.latency.mean_s == pytest.approx(0.05, rel=0.25)
    assert sample.figures()["rate"] == pytest.approx(60, rel=0.02)


# --- the model in the loop --------------------------------------------------------------------------------------------


def answers(faults: Sequence[object] = ()) -> Answers:
    """A model that is right on all rows but every tenth, while the data do not drift."""
    rows = pd.DataFrame({"x": np.linspace(-1, 1, 200)})
    truth = (rows["x"] > 0).astype(int).to_numpy()
    estimator = LogisticRegression(C=1e6).fit(rows, truth)
    wrong = truth.copy()
    wrong[::10] = 1 - wrong[::10]
    models = {
        role: TrainedModel(
            "m", role, Source.TRAINED, "logistic_regression", {}, estimator, Task.CLASSIFICATION, ("x",), ("0", "1"), ""
        )
        for role in ARMS
    }
    return Answers.build(models, Population(rows, wrong), faults, 3, 3600 * SECOND)  # type: ignore[arg-type]


def test_labels_are_known_when_they_arrive_and_not_before() -> None:
    one = cluster(answers=answers(), labels=Labels(5 * MINUTE, 0.5))
    assert one.sample(4 * MINUTE, 5 * MINUTE)[Role.STABLE].labelled == 0
    assert one.sample(5 * MINUTE, 6 * MINUTE - 1)[Role.STABLE].labelled == 0
    first = one.sample(5 * MINUTE, 6 * MINUTE)[Role.STABLE]
    assert first.labelled == pytest.approx(60 * 60 / 2, abs=4 * 42)
    assert first.quality["accuracy"] == pytest.approx(0.9, abs=0.03)


def test_quality_falls_because_the_model_is_wrong_on_drifted_rows() -> None:
    drift = fault(Shift("x", 1.0), on=CANDIDATE, at_ns=MINUTE)
    both = cluster(answers=answers([drift]), labels=Labels(0, 1.0), faults=(drift,))
    both.scale(0, dict.fromkeys(ARMS, 3))
    both.route(30 * SECOND, Routing(split(5000)))
    before = both.sample(30 * SECOND, MINUTE)
    after = both.sample(MINUTE + SECOND, 3 * MINUTE)
    assert before[Role.CANDIDATE].quality["accuracy"] == pytest.approx(0.9, abs=0.04)
    assert after[Role.CANDIDATE].quality["accuracy"] < 0.75
    assert after[Role.STABLE].quality["accuracy"] == pytest.approx(0.9, abs=0.03)
    assert after[Role.CANDIDATE].gauges["drift_score"] > 0.3 > 0.1 > after[Role.STABLE].gauges["drift_score"]


def test_bad_answers_are_those_that_stable_would_have_given_rightly() -> None:
    """Stable is asked the row as it would see it: a drift of the candidate's own inputs is the candidate's fault."""
    drift = fault(Shift("x", 1.0), on=CANDIDATE)
    both = cluster(answers=answers([drift]), faults=(drift,))
    both.scale(0, dict.fromkeys(ARMS, 3))
    both.route(MINUTE, Routing(split(WHOLE)))
    totals = both.totals(5 * MINUTE)
    # One standard deviation is 0.58 of a half width: rows in (-0.58, 0), 29 % of all, are now taken for positive. The
    # truth of every tenth row is turned, so stable is right on nine tenths of them.
    assert totals[Role.CANDIDATE].bad == pytest.approx(0.9 * 0.29 * totals[Role.CANDIDATE].succeeded, rel=0.1)
    assert totals[Role.STABLE].bad == 0


# --- whatever happens -------------------------------------------------------------------------------------------------

FAULTS = (
    fault(LatencyFactor(3.0), on=CANDIDATE, at_ns=70 * SECOND, ramp_ns=30 * SECOND),
    fault(Errors(0.1), on=BOTH, at_ns=90 * SECOND, until_ns=150 * SECOND),
    fault(Crash(1), on=CANDIDATE, at_ns=130 * SECOND),
)


def told(cuts: Sequence[int]) -> tuple[list[dict[Role, ArmSample]], dict[Role, ArmTotals], list[Notice]]:
    """What a cluster answers at fixed times, looked at in between at other times as well."""
    notices: list[Notice] = []
    both = cluster(notices, answers=answers(), labels=Labels(30 * SECOND, 0.5), faults=FAULTS)
    both.scale(0, dict.fromkeys(ARMS, 3))
    samples = []
    pending = sorted(cuts)
    for at_ns in range(30 * SECOND, 240 * SECOND + 1, 30 * SECOND):
        while pending and pending[0] < at_ns:
            both.advance(pending.pop(0))
        if at_ns == 30 * SECOND:
            both.route(at_ns, Routing(split(4000)))
        else:
            samples.append(both.sample(at_ns - 30 * SECOND, at_ns))
    return samples, both.totals(240 * SECOND), notices


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 240 * SECOND), max_size=30))
def test_looking_in_between_changes_nothing(cuts: list[int]) -> None:
    assert told(cuts) == told([])


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.builds(
            fault,
            st.sampled_from([Errors(0.3), LatencyFactor(20.0), Crash(2)]),
            on=st.sampled_from([BOTH, CANDIDATE, STABLE]),
            at_ns=st.integers(0, 120 * SECOND),
        ),
        max_size=4,
    ),
    st.lists(st.tuples(st.integers(0, WHOLE), st.integers(0, 4), st.integers(0, 4)), max_size=6),
)
def test_every_request_is_accounted_for_whatever_fails_and_whatever_is_done(
    faults: list[object], commands: list[tuple[int, int, int]]
) -> None:
    both = cluster(faults=tuple(faults))
    for number, (weight, stable, candidate) in enumerate(commands):
        at_ns = (number + 1) * 15 * SECOND
        both.scale(at_ns, {Role.STABLE: stable, Role.CANDIDATE: candidate})
        both.route(at_ns, Routing(split(weight)))
    for arm in both.totals(120 * SECOND).values():
        assert arm.arrived == arm.succeeded + arm.failed + arm.in_flight
        assert arm.failed == sum(arm.errors.values())
        assert min(arm.arrived, arm.succeeded, arm.failed, arm.in_flight) >= 0


# --- faults that are easily lost --------------------------------------------------------------------------------------


def crashed(notices: list[Notice]) -> list[str]:
    return [notice.text for notice in notices if notice.kind == "replica_crashed"]


def test_a_crash_hits_replicas_that_are_up_whichever_they_are() -> None:
    notices: list[Notice] = []
    twice = (fault(Crash(1), on=STABLE, at_ns=MINUTE), fault(Crash(1), on=STABLE, at_ns=MINUTE + 5 * SECOND))
    both = cluster(notices, faults=twice)
    assert both.readiness(MINUTE + 5 * SECOND)[Role.STABLE].ready == 1
    assert crashed(notices) == ["replica 1 of stable crashed", "replica 2 of stable crashed"]


def test_a_crash_at_the_instant_of_their_start_or_before_hits_them_too() -> None:
    for at_s in (10, 20):
        notices: list[Notice] = []
        both = cluster(notices, faults=(fault(Crash(3), on=CANDIDATE, at_ns=at_s * SECOND),))
        both.scale(0, dict.fromkeys(ARMS, 3))
        assert both.readiness(at_s * SECOND)[Role.CANDIDATE].ready == 0
        assert len(crashed(notices)) == 3
        assert both.readiness((at_s + 30) * SECOND)[Role.CANDIDATE].ready == 3


def test_a_crash_that_finds_nothing_says_so() -> None:
    notices: list[Notice] = []
    cluster(notices, faults=(fault(Crash(1), on=CANDIDATE, at_ns=MINUTE),)).advance(2 * MINUTE)
    assert [notice.kind for notice in notices] == ["fault_began", "fault_missed"]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.builds(
            fault,
            st.floats(-2, 2).map(lambda deviations: Shift("x", deviations)),
            on=st.sampled_from([BOTH, CANDIDATE, STABLE]),
            at_ns=st.integers(0, 200 * SECOND),
            ramp_ns=st.sampled_from([0, 30 * SECOND, 100 * SECOND]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_several_drifts_that_grow_on_different_arms_stay_within_the_levels(drifts: list[Any]) -> None:
    made = answers(drifts)
    assert len(made.levels.conditions) <= 16
    both = cluster(answers=made, labels=Labels(0, 1.0), faults=tuple(drifts))
    both.scale(0, dict.fromkeys(ARMS, 3))
    both.route(20 * SECOND, Routing(split(5000)))
    sample = both.sample(0, 300 * SECOND)
    for role in ARMS:
        assert sample[role].labelled == sample[role].requests - sample[role].failed
        full = made.levels.at(role, 300 * SECOND)
        strengths = made.levels.conditions[full]
        assert strengths == tuple(1.0 if role in drift.on else 0.0 for drift in drifts)
