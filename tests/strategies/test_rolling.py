"""A rolling update driven by hand: batches, minimum ready time, deadline, and an undo that is itself rolling."""

from typing import Any

from harness.domain.analysis import AnalysisPolicy, Verdict
from harness.domain.model import Role
from harness.domain.rollout import (
    AnalysisPhase,
    Command,
    End,
    EnterStep,
    Hold,
    Order,
    Outcome,
    Ready,
    RolloutPolicy,
    StartAnalysis,
    Tick,
    Want,
)
from harness.domain.units import MINUTE, SECOND
from harness.strategies.rolling import rolling
from tests.strategies.test_steps import RULE, Driver

SIZE = 4


class Replicas:
    """Shows a rolling update replicas that do what is asked of them, after so long, and keeps what there was."""

    def __init__(self, startup_s: int = 10, size: int = SIZE, **policy: Any) -> None:
        given = RolloutPolicy("rolling", (), policy.pop("analysis", None), by_replicas=True, **policy)
        self.driver = Driver(rolling(given, {Role.STABLE: size, Role.CANDIDATE: size}))
        self.ready = {Role.STABLE: size, Role.CANDIDATE: 0}
        self.startup_ns = startup_s * SECOND
        self.coming: list[tuple[int, Role]] = []
        self.told: dict[Role, tuple[int, int]] = {}
        self.stood: list[tuple[int, int]] = []
        """(ready in all, wanted in all) after each change."""
        self.obey()

    @property
    def wanted(self) -> dict[Role, int]:
        return dict(next(want.replicas for want in reversed(self.driver.asked) if isinstance(want, Want)))

    def obey(self) -> "Replicas":
        """Do what is asked for, and tell what came of it at once."""
        for role, count in self.wanted.items():
            starting = sum(which is role for _, which in self.coming)
            self.coming += [(self.driver.now + self.startup_ns, role)] * (count - self.ready[role] - starting)
            self.ready[role] = min(self.ready[role], count)
            if self.told.get(role) != (told := (self.ready[role], count)):
                self.told[role] = told
                self.stood.append((sum(self.ready.values()), sum(self.wanted.values())))
                self.driver.see(Ready(role, *told))
                return self.obey()
        self.stood.append((sum(self.ready.values()), sum(self.wanted.values())))
        return self

    def until(self, at_ns: int) -> "Replicas":
        """Let time pass."""
        while self.driver.end is None:
            due = [at for at, _ in self.coming] + ([self.driver.wake] if self.driver.wake is not None else [])
            if not due or min(due) > at_ns:
                break
            now = min(due)
            up = [role for at, role in self.coming if at == now]
            self.coming = [(at, role) for at, role in self.coming if at != now]
            for role in up:
                self.ready[role] += 1
                self.driver.see(Ready(role, self.ready[role], self.wanted[role]), now)
            if not up:
                self.driver.see(Tick(), now)
            self.obey()
        self.driver.now = at_ns
        return self

    @property
    def batches(self) -> list[str]:
        return [str(action.step) for action in self.driver.asked if isinstance(action, EnterStep)]


def test_batch_after_batch_is_judged_and_capacity_stays_within_its_bounds() -> None:
    update = Replicas(max_surge="1", max_unavailable="1", batch_pause_ns=MINUTE).until(60 * MINUTE)
    assert update.driver.end == End(Outcome.PROMOTED, "every batch was passed")
    assert update.batches == ["weight 50%", "weight 100%"]
    assert min(ready for ready, _ in update.stood) >= SIZE - 1
    assert max(wanted for _, wanted in update.stood) <= SIZE + 1
    assert update.wanted == {Role.STABLE: 0, Role.CANDIDATE: SIZE}


def test_without_a_pause_it_is_one_batch_and_one_replica_at_a_time_never_lacks() -> None:
    update = Replicas(max_surge="1", max_unavailable="0").until(60 * MINUTE)
    assert update.driver.end is not None
    assert update.batches == ["weight 100%"]
    assert min(ready for ready, _ in update.stood) == SIZE
    assert update.driver.end.outcome is Outcome.PROMOTED


def test_a_replica_counts_once_it_has_been_ready_for_long_enough() -> None:
    update = Replicas(max_surge="1", max_unavailable="0", min_ready_ns=20 * SECOND)
    update.until(29 * SECOND)
    assert update.wanted == {Role.STABLE: 4, Role.CANDIDATE: 1}
    update.until(30 * SECOND)
    assert update.wanted == {Role.STABLE: 3, Role.CANDIDATE: 2}


def test_without_progress_it_is_undone_as_it_came() -> None:
    update = Replicas(max_surge="1", max_unavailable="1", ready_within_ns=5 * MINUTE)
    update.until(10 * SECOND)
    update.startup_ns = 1000 * MINUTE  # no replica of the candidate comes up any more
    update.coming = [(at + 1000 * MINUTE, role) for at, role in update.coming]
    update.until(5 * MINUTE + 10 * SECOND - 1)
    assert not any(isinstance(action, Hold) for action in update.driver.asked)
    before = len(update.stood)
    update.until(5 * MINUTE + 10 * SECOND)
    update.startup_ns, update.coming = 10 * SECOND, []
    update.obey().until(30 * MINUTE)
    assert update.driver.end == End(Outcome.ROLLED_BACK, "there was no progress for 5m")
    assert update.wanted == {Role.STABLE: SIZE, Role.CANDIDATE: 0}
    assert max(wanted for _, wanted in update.stood[before:]) <= SIZE + 1


def test_a_failed_look_undoes_it_batch_by_batch_and_names_the_look() -> None:
    update = Replicas(max_surge="1", max_unavailable="0", batch_pause_ns=5 * MINUTE, analysis=AnalysisPolicy((RULE,)))
    update.until(MINUTE)
    assert StartAnalysis() in update.driver.asked
    judged = AnalysisPhase(Verdict.PASS, "", passed_ns=4 * MINUTE)
    update.driver.see(judged, 4 * MINUTE)
    update.until(10 * MINUTE)
    assert update.wanted[Role.CANDIDATE] == 2
    update.driver.see(AnalysisPhase(Verdict.FAIL, "too slow", because=(11,)), 11 * MINUTE)
    update.obey()
    assert update.driver.end is None
    stood = len(update.stood)
    update.until(30 * MINUTE)
    assert update.driver.end == End(Outcome.ROLLED_BACK, "too slow", (11,))
    assert min(ready for ready, _ in update.stood[stood:]) >= SIZE
    assert max(wanted for _, wanted in update.stood[stood:]) <= SIZE + 1


def test_a_batch_that_nobody_could_judge_is_held_and_a_person_lets_it_go_on() -> None:
    update = Replicas(max_surge="2", max_unavailable="0", batch_pause_ns=MINUTE, analysis=AnalysisPolicy((RULE,)))
    update.until(10 * MINUTE)
    assert isinstance(update.driver.asked[-1], Hold)
    update.driver.see(Command(Order.APPROVE, "ann"), 10 * MINUTE)
    assert update.batches == ["weight 50%", "weight 100%"]


def test_an_approval_shortens_no_pause_and_an_order_to_promote_leaves_them_out() -> None:
    def begun() -> Replicas:
        return Replicas(max_surge="1", max_unavailable="0", batch_pause_ns=10 * MINUTE).until(MINUTE)

    approved = begun()
    approved.driver.see(Command(Order.APPROVE, "ann"))
    assert approved.batches == ["weight 25%"]
    promoted = begun()
    promoted.driver.see(Command(Order.PROMOTE, "ann"))
    promoted.obey()
    promoted.until(5 * MINUTE)
    assert promoted.driver.end == End(Outcome.PROMOTED, "promoted by ann")
    assert min(ready for ready, _ in promoted.stood) >= SIZE


def test_an_inconclusive_analysis_stops_the_batches_until_a_person_has_it_looked_at_anew() -> None:
    update = Replicas(max_surge="1", max_unavailable="0", batch_pause_ns=MINUTE, analysis=AnalysisPolicy((RULE,)))
    update.until(30 * SECOND)
    update.driver.see(AnalysisPhase(Verdict.INCONCLUSIVE, "too few"), 40 * SECOND)
    update.until(60 * MINUTE)
    assert update.batches == ["weight 25%"]
    update.driver.see(Command(Order.APPROVE, "ann"), 60 * MINUTE)
    assert update.driver.asked[-1] == StartAnalysis()
    update.driver.see(AnalysisPhase(Verdict.PASS, "", passed_ns=61 * MINUTE), 61 * MINUTE)
    update.until(61 * MINUTE)
    assert update.batches == ["weight 25%", "weight 50%"]
