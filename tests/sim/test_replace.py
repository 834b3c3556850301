"""A second and a third candidate: what is kept, what goes along, and whom it is counted for."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from harness.domain.fault import Crash, Errors, Lost, Shift
from harness.domain.model import ARMS, Role, Source, Task, TrainedModel
from harness.domain.rollout import HeaderRoute, Routing
from harness.domain.service import Exponential, Fixed, Service
from harness.domain.traffic import Knots, Labels, Process, RequestClass, Shares, Traffic
from harness.domain.units import MINUTE, SECOND, WHOLE
from harness.protocols import Notice, Population
from harness.seeds import stream
from harness.sim.cluster import ORDER, Cluster, Setting
from harness.sim.population import Answers
from harness.strategies.steps import split
from tests.build import BOTH, CANDIDATE, fault
from tests.sim.test_kernels_reference import mix

STABLE = frozenset({Role.STABLE})
EVERYONE = (Role.STABLE, Role.CANDIDATE, Role.BASELINE, Role.SHADOW)
LAWS = {
    Role.STABLE: Service(3, 2, Exponential(0.05), SECOND, 10, startup_ns=SECOND),
    Role.CANDIDATE: Service(2, 5, Exponential(0.08), 2 * SECOND, 4, startup_ns=SECOND),
}
KINDS = (
    RequestClass("plain", 0.8),
    RequestClass("beta", 0.2, factor=1.5, headers=(("X-Beta", "yes"),)),
)
TRAFFIC = Traffic("poisson", Process.POISSON, Knots((0,), (80.0,)), 200, KINDS, (Shares(100 * SECOND, (0.4, 0.6)),))
BASE = Setting(3, LAWS, TRAFFIC, Labels(30 * SECOND, 0.5), (), 10 * SECOND, 10 * MINUTE, arms=EVERYONE)
ROWS = pd.DataFrame({"x": np.linspace(-1, 1, 200)})
TRUTH = (ROWS["x"] > 0).astype(int).to_numpy()
BETA = HeaderRoute("beta", "x-beta", "yes")


def model(role: Role, estimator: object) -> TrainedModel:
    return TrainedModel("m", role, Source.TRAINED, "any", {}, estimator, Task.CLASSIFICATION, ("x",), ("0", "1"), "")


GOOD = LogisticRegression(C=1e6).fit(ROWS, TRUTH)
MIXED = DecisionTreeClassifier(max_depth=2, random_state=0).fit(ROWS, (np.arange(200) // 40) % 2)
OPPOSITE = LogisticRegression(C=1e6).fit(ROWS, 1 - TRUTH)


def answers(stable: object, candidate: object, faults: tuple = ()) -> Answers:
    models = {Role.STABLE: model(Role.STABLE, stable), Role.CANDIDATE: model(Role.CANDIDATE, candidate)}
    return Answers.build(models, Population(ROWS, TRUTH), faults, 3, 3600 * SECOND, shadow=True)


def cluster(found: Answers | None = None, notices: list[Notice] | None = None, **changes: object) -> Cluster:
    members = (np.arange(200), np.arange(0, 200, 2)) if found else ()
    setting = replace(BASE, **{"members": members, **changes})  # type: ignore[arg-type]
    made = Cluster(setting, found, (notices if notices is not None else []).append)
    made.start()
    return made


def promoted(made: Cluster, at_ns: int) -> None:
    """The candidate has all the traffic from then on."""
    made.scale(at_ns - 10 * SECOND, {Role.CANDIDATE: 2})
    made.route(at_ns, Routing(split(WHOLE)))


def in_flight_at(made: Cluster, at_ns: int) -> dict[Role, int]:
    return {role: arm.in_flight for role, arm in made.totals(at_ns).items()}


# --- adopt ------------------------------------------------------------------------------------------------------------


def test_who_is_adopted_serves_on_without_a_gap_and_by_its_own_law() -> None:
    made = cluster()
    promoted(made, 20 * SECOND)
    before = made.totals(60 * SECOND)
    made.replace_candidate(60 * SECOND, None, LAWS[Role.CANDIDATE], (), adopt=True)
    ready = made.readiness(60 * SECOND)
    assert {role: (state.wanted, state.ready) for role, state in ready.items() if state.wanted} == {Role.STABLE: (2, 2)}
    sample = made.sample(60 * SECOND, 160 * SECOND)[Role.STABLE]
    assert sample.errors.keys() <= {"rejected", "timeout"}  # as its own queue has it: none for want of a replica
    assert sample.arrivals == pytest.approx(80 * 100, rel=0.05)
    work_s = 40 * 0.08 * (0.8 + 0.2 * 1.5) + 60 * 0.08 * (0.4 + 0.6 * 1.5)
    assert sample.gauges["utilisation"] == pytest.approx(80 * work_s / (2 * 5 * 100), rel=0.15)
    after = made.totals(160 * SECOND)
    assert after[Role.CANDIDATE].arrived == before[Role.CANDIDATE].arrived  # of the old candidate, and no more
    assert after[Role.CANDIDATE].in_flight == 0
    assert before[Role.CANDIDATE].first_ns == pytest.approx(20 * SECOND, abs=SECOND)
    assert after[Role.CANDIDATE].first_ns is None  # of the new one
    assert after[Role.STABLE].first_ns == before[Role.STABLE].first_ns


def test_what_is_in_flight_is_counted_for_the_arm_that_it_came_to() -> None:
    slow = {role: Service(3, 8, Fixed(0.6), 5 * SECOND, 50, startup_ns=SECOND) for role in ARMS}
    made = cluster(services=slow)
    promoted(made, 20 * SECOND)
    before = made.totals(60 * SECOND)
    assert before[Role.CANDIDATE].in_flight > 10
    made.replace_candidate(60 * SECOND, None, slow[Role.CANDIDATE], (), adopt=True)
    assert in_flight_at(made, 60 * SECOND) == {role: arm.in_flight for role, arm in before.items()}
    after = made.totals(70 * SECOND)[Role.CANDIDATE]
    assert (after.arrived, after.in_flight) == (before[Role.CANDIDATE].arrived, 0)


def test_arms_with_other_slots_stay_within_what_they_have() -> None:
    made = cluster()
    for number, at_s in enumerate((60, 120, 180), start=1):
        promoted(made, (at_s - 30) * SECOND)
        laws = replace(LAWS[Role.CANDIDATE], slots=1 + 2 * (number % 3))
        made.replace_candidate(at_s * SECOND, None, laws, (), adopt=True)
        for arm in made.sample((at_s - 30) * SECOND, at_s * SECOND).values():
            assert 0 <= arm.gauges.get("utilisation", 0) <= 1
    assert 0 < made.sample(180 * SECOND, 240 * SECOND)[Role.STABLE].gauges["utilisation"] <= 1


def test_a_fault_follows_the_model_that_it_was_meant_for() -> None:
    notices: list[Notice] = []
    injected = (
        fault(Errors(0.3), on=CANDIDATE),
        fault(Errors(0.9), on=STABLE, at_ns=90 * SECOND),
        fault(Crash(1), on=CANDIDATE, at_ns=120 * SECOND),
    )
    made = cluster(notices=notices, faults=injected)
    promoted(made, 20 * SECOND)
    fresh = (fault(Errors(0.05), on=CANDIDATE, at_ns=60 * SECOND),)
    made.replace_candidate(60 * SECOND, None, LAWS[Role.STABLE], fresh, adopt=True)
    made.scale(60 * SECOND, {Role.CANDIDATE: 3})
    made.route(70 * SECOND, Routing(split(5000)))
    sample = made.sample(70 * SECOND, 130 * SECOND)
    shares = {role: sample[role].errors["error"] / sample[role].requests for role in ARMS}
    assert shares[Role.STABLE] == pytest.approx(0.3, abs=0.05)  # what was the candidate's; stable's own went with it
    assert shares[Role.CANDIDATE] == pytest.approx(0.05, abs=0.03)
    assert [notice.on for notice in notices if notice.kind == "replica_crashed"] == [(Role.STABLE,)]


def test_a_fault_of_a_candidate_that_was_given_up_befalls_nobody() -> None:
    made = cluster(faults=(fault(Errors(0.5), on=CANDIDATE), fault(Errors(0.1), on=BOTH)))
    made.replace_candidate(10 * SECOND, None, LAWS[Role.STABLE], (), adopt=False)
    made.scale(10 * SECOND, {Role.CANDIDATE: 3})
    made.route(20 * SECOND, Routing(split(5000)))
    sample = made.sample(20 * SECOND, 140 * SECOND)
    for role in ARMS:
        assert sample[role].errors["error"] / sample[role].requests == pytest.approx(0.1, abs=0.03)


# --- users and labels -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adopt", [True, False])
def test_exposure_adds_up_over_candidates(adopt: bool) -> None:
    """Sticky halves: who met the first candidate meets the second too, so the same users are counted once."""
    made = cluster()
    made.scale(0, {Role.CANDIDATE: 2})
    half = Routing(split(5000), sticky=True)
    made.route(10 * SECOND, half)
    first = made.totals(70 * SECOND)[Role.CANDIDATE]
    made.route(70 * SECOND, Routing(split(WHOLE if adopt else 0)))
    everyone = made.totals(130 * SECOND)[Role.CANDIDATE]
    made.replace_candidate(130 * SECOND, None, LAWS[Role.CANDIDATE], (), adopt=adopt)
    made.scale(130 * SECOND, {Role.CANDIDATE: 2})
    assert made.totals(140 * SECOND)[Role.CANDIDATE].users == everyone.users
    made.route(140 * SECOND, half)
    after = made.totals(240 * SECOND)
    assert first.users == pytest.approx(100, abs=30)
    assert everyone.users == (200 if adopt else first.users)
    assert after[Role.CANDIDATE].users == everyone.users
    assert after[Role.CANDIDATE].arrived > everyone.arrived
    for arm in (after[role] for role in ARMS):
        assert arm.users is not None
        assert arm.harmed is not None
        assert arm.harmed <= arm.users <= 200


@pytest.mark.parametrize("adopt", [True, False])
def test_labels_and_answers_of_the_old_models_are_not_judged_as_the_new_ones(adopt: bool) -> None:
    """The old candidate answers all wrongly, with answers in flight and labels due when the new one comes."""
    slow = {role: Service(3, 30, Fixed(0.5), 5 * SECOND, 50, startup_ns=SECOND) for role in ARMS}
    made = cluster(answers(GOOD, OPPOSITE), services=slow, labels=Labels(30 * SECOND, 1.0))
    made.scale(0, {Role.CANDIDATE: 3})
    made.route(10 * SECOND, Routing(split(WHOLE)))
    assert made.sample(50 * SECOND, 60 * SECOND)[Role.CANDIDATE].quality["accuracy"] == 0.0
    bad = made.totals(60 * SECOND)[Role.CANDIDATE]
    assert bad.in_flight > 10
    made.replace_candidate(60 * SECOND, answers(OPPOSITE if adopt else GOOD, GOOD), slow[Role.STABLE], (), adopt=adopt)
    made.scale(60 * SECOND, {Role.CANDIDATE: 3})
    early = made.sample(60 * SECOND, 90 * SECOND)  # labels due now are of answers from before
    assert [arm.labelled for arm in early.values()] == [0] * len(ORDER)
    made.route(90 * SECOND, Routing(split(WHOLE)))
    late = made.sample(120 * SECOND, 150 * SECOND)
    assert late[Role.CANDIDATE].labelled > 500
    assert late[Role.CANDIDATE].quality["accuracy"] == 1.0
    totals = made.totals(150 * SECOND)[Role.CANDIDATE]
    assert totals.figures["accuracy"] == 1.0
    assert totals.bad == bad.bad  # the new candidate is no worse than any stable, and the old one's are not forgotten


# --- copies through the cluster ---------------------------------------------------------------------------------------


def test_agreement_and_score_distance_are_those_of_the_copied_rows() -> None:
    """Drawn again here from the same hashes, request by request, and asked of both models directly."""
    instant = {role: Service(3, 4, Fixed(1e-6), SECOND, 10, startup_ns=0) for role in ARMS}
    shifted = (fault(Shift("x", 0.3), on=CANDIDATE),)
    traffic = replace(TRAFFIC, classes=(), schedule=())
    made = cluster(
        answers(GOOD, MIXED, shifted), services=instant, traffic=traffic, faults=shifted, members=(), labels=None
    )
    made.scale(0, {Role.CANDIDATE: 3})
    made.route(0, Routing(split(0), mirror=3000))
    sample = made.sample(0, 60 * SECOND)
    shadow = sample[Role.SHADOW]

    def drawn(purpose: str, number: int) -> int:
        return mix((stream(3, f"requests/{purpose}").key64 + number * 0x9E3779B97F4A7C15) % 2**64)

    requests = range(sample[Role.STABLE].arrivals)
    copied = [number for number in requests if drawn("mirror", number) >> 2 < 3000 * 2**62 // WHOLE]
    asked = ROWS.iloc[[(drawn("row", number) >> 32) * len(ROWS) >> 32 for number in copied]]
    seen_by_candidate = asked + 0.3 * ROWS["x"].std(ddof=0)
    assert shadow.arrivals == shadow.requests == len(copied) > 1000
    agreement = (GOOD.predict(asked) == MIXED.predict(seen_by_candidate)).mean()
    apart = np.abs(GOOD.predict_proba(asked)[:, 1] - MIXED.predict_proba(seen_by_candidate)[:, 1]).mean()
    assert 0.2 < agreement < 0.9
    assert shadow.gauges["agreement"] == pytest.approx(agreement)
    assert shadow.gauges["score_distance"] == pytest.approx(apart)


def test_the_candidates_utilisation_includes_copies_even_where_there_is_nothing_else() -> None:
    laws = {role: Service(3, 4, Exponential(0.05), 10 * SECOND, 100, startup_ns=SECOND) for role in ARMS}
    traffic = replace(TRAFFIC, classes=(), schedule=())
    made = cluster(services=laws, traffic=traffic)
    made.scale(0, {Role.CANDIDATE: 3})
    made.route(10 * SECOND, Routing(split(0), mirror=5000))
    sample = made.sample(10 * SECOND, 310 * SECOND)
    for role in (Role.CANDIDATE, Role.SHADOW):
        assert sample[role].gauges["utilisation"] == pytest.approx(80 * 0.5 * 0.05 / 12, rel=0.05)
    assert sample[Role.CANDIDATE].arrivals == 0
    assert sample[Role.SHADOW].users is None


def test_replicas_that_are_not_ready_are_drained_first() -> None:
    made = cluster()
    made.scale(0, {Role.CANDIDATE: 2})
    made.scale(10 * SECOND, {Role.CANDIDATE: 4})
    made.scale(10 * SECOND + 1, {Role.CANDIDATE: 2})
    ready = made.readiness(10 * SECOND + 1)[Role.CANDIDATE]
    assert (ready.wanted, ready.ready) == (2, 2)
    assert made.readiness(20 * SECOND)[Role.CANDIDATE].ready == 2  # those that were starting do not come up late


def test_classes_follow_their_schedule() -> None:
    notices: list[Notice] = []
    made = cluster(notices=notices)
    before = made.totals(100 * SECOND)[Role.STABLE].classes
    after = made.totals(200 * SECOND)[Role.STABLE].classes
    shares = [before["beta"].arrived / sum(each.arrived for each in before.values())]
    later = {name: after[name].arrived - before[name].arrived for name in after}
    shares.append(later["beta"] / sum(later.values()))
    assert shares == [pytest.approx(0.2, abs=0.025), pytest.approx(0.6, abs=0.025)]
    assert [notice.text for notice in notices] == ["classes of requests: plain 0.4, beta 0.6"]


# --- whatever happens -------------------------------------------------------------------------------------------------

FAULTS = (
    fault(Errors(0.1), on=BOTH, at_ns=50 * SECOND, ramp_ns=30 * SECOND),
    fault(Lost(0.2), on=CANDIDATE, at_ns=30 * SECOND),
    fault(Crash(1), on=CANDIDATE, at_ns=70 * SECOND),
    fault(Shift("x", 0.5), on=CANDIDATE, at_ns=60 * SECOND, ramp_ns=40 * SECOND),
)
COMMANDS = st.tuples(
    st.sampled_from(["route", "route", "scale", "adopt", "give up"]),
    st.integers(0, 4000),
    st.integers(0, 4000),
    st.integers(0, WHOLE),
    st.booleans(),
    st.integers(0, 4),
)


def play(commands: list[tuple], cuts: list[int]) -> tuple[list[object], dict[Role, object], list[Notice]]:
    """A cluster with everything on, told something every fifteen seconds; all that it answers."""
    notices: list[Notice] = []
    found = answers(GOOD, MIXED, FAULTS)
    made = cluster(found, notices, faults=FAULTS)
    made.scale(0, {Role.CANDIDATE: 2, Role.BASELINE: 1})
    seen: list[object] = []
    pending = sorted(cuts)
    for number, (what, baseline, candidate, mirror, on, count) in enumerate(commands, start=1):
        at_ns = number * 15 * SECOND
        while pending and pending[0] < at_ns:
            made.advance(pending.pop(0))
        seen.append(made.sample(at_ns - 15 * SECOND, at_ns))
        if what == "route":
            weights = {
                Role.BASELINE: baseline,
                Role.CANDIDATE: candidate,
                Role.STABLE: WHOLE - baseline - candidate,
            }
            made.route(at_ns, Routing(weights, (BETA,) if on else (), mirror, sticky=count > 1))
        elif what == "scale":
            made.scale(at_ns, {Role.CANDIDATE: count, Role.BASELINE: int(on), Role.STABLE: max(count, 1)})
        else:
            adopt = what == "adopt"
            kept = made.inherited(adopt=adopt)
            fresh = (fault(Errors(0.2), on=CANDIDATE, at_ns=at_ns),)
            models = answers(MIXED if adopt else GOOD, OPPOSITE, (*kept, *fresh))
            made.replace_candidate(at_ns, models, LAWS[Role.CANDIDATE], fresh, adopt=adopt)
            made.scale(at_ns, {Role.CANDIDATE: count})
        for arm in made.totals(at_ns).values():
            assert arm.arrived == arm.succeeded + arm.failed + arm.in_flight
            assert sum(each.arrived for each in arm.classes.values()) == arm.arrived
            assert sum(each.succeeded for each in arm.classes.values()) == arm.succeeded
            assert arm.harmed is None or arm.harmed <= (arm.users or 0) <= 200
    end_ns = (len(commands) + 1) * 15 * SECOND
    for at_ns in pending:
        made.advance(min(at_ns, end_ns))
    return seen, made.totals(end_ns), notices


@settings(max_examples=40, deadline=None)
@given(st.lists(COMMANDS, max_size=9), st.lists(st.integers(0, 150 * SECOND), max_size=20))
def test_all_at_once_is_conserved_and_looking_in_between_changes_nothing(
    commands: list[tuple], cuts: list[int]
) -> None:
    assert play(commands, cuts) == play(commands, [])
