"""Runs that are cut off after any line of their log, and taken up again: whatever had happened, they end safely."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.registry import MemoryRegistry
from harness import log as event_log
from harness.domain.event import Commanded, Decided, Intended, Noticed, Promoted, Registered, RunEnded, Verified
from harness.domain.lifecycle import Aftercare, Monitor, OnAlarm, ScriptedOrder, Successor
from harness.domain.model import Role, TrainPlan
from harness.domain.resume_event import Checkpointed, Resumed
from harness.domain.rollout import Approve, Order, Outcome, Pause, SetMirror, SetWeight, Smoke
from harness.domain.scenario import Scenario
from harness.domain.units import MINUTE, SECOND, WHOLE
from harness.errors import DataError
from harness.log import Events
from harness.report import fold, html
from harness.report import json as report_json
from harness.report.why import why
from harness.strategies import STRATEGIES
from tests.build import analysis, policy, scenario
from tests.surviving import Told, World, copied, in_memory, noted, resumed, told

RULE = analysis("error_rate <= stable + 5%", every_ns=20 * SECOND, window_ns=20 * SECOND, min_requests=10)
STEPS = (SetWeight(1000), Pause(MINUTE), SetWeight(5000), Pause(MINUTE))
BAD = 0.5


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory."""
    with in_memory() as folder:
        yield folder


def canary(**changes: Any) -> Scenario:
    return policy(scenario(), **{"steps": STEPS, "analysis": RULE, **changes})


def cut(run: Told, number: int, path: Path, torn: int = 0) -> None:
    """Leave of a log what a kill after that event leaves, and some bytes of the next line."""
    after = run.lines[number + 1][:torn] if number + 1 < len(run.lines) else b""
    path.write_bytes(b"".join(run.lines[: number + 1]) + after)


def check(path: Path, world: World, outcome: Outcome) -> Events:
    """What must hold of every resumed run, whatever happened to it."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["seq"] for line in lines] == list(range(len(lines)))
    events = event_log.read(path)
    assert [event.at_ns for event in events] == sorted(event.at_ns for event in events)
    assert isinstance(events[-1], RunEnded)
    assert events.only(RunEnded).outcome is outcome
    assert len(events.of(Promoted)) <= 1
    assert max(Counter(event.role for event in events.of(Registered)).values(), default=0) <= 1
    kept = world.registry.kept("m") if world.registry._shelves else ()
    aliases = {alias: version.revision.version for version in kept for alias in version.aliases}
    assert len(kept) in {0, 2} or not world.down
    if not world.down:  # users were never asked
        return events
    home = events.of(Verified)[-1]
    assert home.passed
    assert world.routing is not None
    assert world.routing.weights[home.role] == WHOLE
    assert events[-1].weights[home.role] == WHOLE
    other = Role.CANDIDATE if home.role is Role.STABLE else Role.STABLE
    assert world.wanted[other] == 0
    assert world.wanted[home.role] == world.ready[home.role] == 2
    promoted = outcome is Outcome.PROMOTED
    assert home.role is (Role.CANDIDATE if promoted else Role.STABLE)
    assert aliases["stable"] == (2 if promoted else 1)
    assert aliases.get("previous") == (1 if promoted else None)
    return events


CASES: dict[str, tuple[Scenario, float, Outcome]] = {
    "a healthy canary": (canary(), 0.0, Outcome.PROMOTED),
    "a bad canary": (canary(), BAD, Outcome.ROLLED_BACK),
    "a rolling update": (
        policy(scenario(), strategy="rolling", steps=(), analysis=RULE, max_surge="1", max_unavailable="0",
               batch_pause_ns=MINUTE),
        0.0, Outcome.PROMOTED,
    ),
    "a canary by replicas": (canary(by_replicas=True, max_surge="1", max_unavailable="0"), 0.0, Outcome.PROMOTED),
    "blue-green with smoke tests": (
        policy(scenario(), strategy="blue_green", analysis=None,
               steps=(Smoke(3), SetWeight(WHOLE), Pause(MINUTE))),
        0.0, Outcome.PROMOTED,
    ),
    "a shadow": (
        policy(scenario(), strategy="shadow", analysis=None, promote=False, steps=(SetMirror(2000), Pause(MINUTE))),
        0.0, Outcome.KEPT_STABLE,
    ),
    "down step by step": (canary(stepwise_ns=30 * SECOND), BAD, Outcome.ROLLED_BACK),
    "an approval": (
        policy(scenario(orders=(ScriptedOrder(90 * SECOND, Order.APPROVE, "ops"),)), analysis=None,
               steps=(SetWeight(1000), Approve(10 * MINUTE))),
        0.0, Outcome.PROMOTED,
    ),
    "an abort": (
        policy(
            scenario(orders=(ScriptedOrder(30 * SECOND, Order.ABORT, "ops"),)), steps=STEPS, analysis=None),
        0.0, Outcome.ABORTED,
    ),
}  # fmt: skip


def machine(of: Scenario) -> Any:
    sizes = {role: service.replicas for role, service in of.service.items()}
    return STRATEGIES[of.rollout.strategy](of.rollout, sizes)


EVERY = {"a healthy canary": 1}
"""Cuts of these are made at each event; of the others at every fifth (all of them: benchmarks/crashes.py)."""


def cuts(run: Told, name: str) -> list[tuple[int, World]]:
    """Where a run is cut off, and the world then: before and after the effects that follow the event."""
    every = EVERY.get(name, 5)
    numbers = range(len(name) % every, len(run.lines) - 1, every)
    return [(number, world) for number in numbers for world in (run.worlds[number], run.late(number))]


@pytest.mark.parametrize("name", CASES)
def test_cut_off_after_any_event_the_run_ends_as_it_would_have(name: str, tmp_path: Path) -> None:
    of, errors, outcome = CASES[name]
    run = told(of, tmp_path / "whole.jsonl", errors, machine=machine(of))
    assert run.outcome is outcome
    assert any(b'"Checkpointed"' in line for line in run.lines)
    path = tmp_path / "cut.jsonl"
    for number, world in cuts(run, name):
        cut(run, number, path, torn=17)
        left = copied(world)
        ended, log = resumed(of, path, left, errors, machine=machine(of))
        assert ended is outcome, (number, run.lines[number])
        events = check(path, left, ended)
        assert events.only(Resumed).torn == 17
        assert log.digest == event_log.digest(events)


class Gone:
    """What of the world a crash of the whole machine takes along."""

    def __init__(self, router: bool, stable: bool, candidate: bool) -> None:
        self.router, self.stable, self.candidate = router, stable, candidate

    def of(self, world: World) -> World:
        lost = {Role.STABLE: self.stable, Role.CANDIDATE: self.candidate}
        ready = {role: 0 if lost[role] else count for role, count in world.ready.items()}
        return copied(world, ready=ready, routing=None if self.router else world.routing)


WHOLE_RUNS: dict[str, Told] = {}


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(CASES)), st.randoms(use_true_random=False), st.builds(Gone, *[st.booleans()] * 3))
def test_whatever_died_with_it_and_however_often_it_is_cut_off_it_ends_safely(
    name: str, draws: Any, gone: Gone
) -> None:
    with in_memory() as folder:
        cut_off_again(folder, name, draws, gone)


def cut_off_again(folder: Path, name: str, draws: Any, gone: Gone) -> None:
    of, errors, outcome = CASES[name]
    if name not in WHOLE_RUNS:
        WHOLE_RUNS[name] = told(of, folder / "whole.jsonl", errors, machine=machine(of))
    run, path, fewest = WHOLE_RUNS[name], folder / "cut.jsonl", 1
    for crash in range(draws.randint(1, 3)):
        number = draws.randrange(fewest - 1, len(run.lines) - 1)
        cut(run, number, path, torn=draws.randint(0, 30))
        left = gone.of(draws.choice((run.worlds[number], run.late(number))))
        worlds: list[World] = list(run.worlds[: number + 1])
        ended, _ = resumed(of, path, left, errors, noted(left, worlds), machine=machine(of))
        events = check(path, left, ended)
        assert ended in {outcome, Outcome.ROLLED_BACK}
        assert len(events.of(Resumed)) == crash + 1
        run, fewest = Told(path.read_bytes().splitlines(keepends=True), worlds, ended), number + 2


def stage_of(run: Told, name: bytes, place: int = -1) -> int:
    """The number of an event of that name."""
    return [number for number, line in enumerate(run.lines) if b'"event":"' + name + b'"' in line][place]


def test_a_rollback_that_is_asked_for_is_made_though_it_could_go_on(tmp_path: Path) -> None:
    run = told(canary(), tmp_path / "whole.jsonl")
    path = tmp_path / "cut.jsonl"
    cut(run, stage_of(run, b"StepEntered"), path)
    left = copied(run.late(stage_of(run, b"StepEntered")))
    ended, _ = resumed(canary(), path, left, rollback=True)
    assert ended is Outcome.ROLLED_BACK
    assert "it was to be rolled back" in check(path, left, ended).last(Decided).reason


def test_the_time_in_which_nobody_ran_it_is_no_part_of_a_pause(tmp_path: Path) -> None:
    of = canary(analysis=None)
    run = told(of, tmp_path / "whole.jsonl")
    path = tmp_path / "cut.jsonl"
    for number in range(stage_of(run, b"StepEntered", 1), len(run.lines) - 1, 4):
        cut(run, number, path)
        left = copied(run.worlds[number])
        resumed(of, path, left)
        assert event_log.read(path).last(Decided).at_ns == event_log.read(tmp_path / "whole.jsonl").last(Decided).at_ns


def test_a_machine_that_keeps_no_checkpoints_is_rolled_back(tmp_path: Path) -> None:
    class Plain:
        """A third party's machine."""

        def __init__(self) -> None:
            self.inner = machine(canary())

        rules = property(lambda self: self.inner.rules)

        def start(self, at_ns: int) -> Any:
            return self.inner.start(at_ns)

        def next(self, state: Any, seen: Any, at_ns: int) -> Any:
            return self.inner.next(state, seen, at_ns)

        def foreseen(self) -> Any:
            return self.inner.foreseen()

    run = told(canary(), tmp_path / "whole.jsonl", machine=Plain())
    assert run.outcome is Outcome.PROMOTED
    path = tmp_path / "cut.jsonl"
    cut(run, stage_of(run, b"StepEntered"), path)
    left = copied(run.worlds[stage_of(run, b"StepEntered")])
    ended, _ = resumed(canary(), path, left, machine=Plain())
    assert "keeps no checkpoints" in check(path, left, ended).last(Decided).reason
    assert not event_log.read(path).of(Checkpointed)


def test_a_registry_in_memory_is_filled_again_as_it_was(tmp_path: Path) -> None:
    run = told(canary(), tmp_path / "whole.jsonl")
    path = tmp_path / "cut.jsonl"
    for number in range(0, len(run.lines) - 1, 3):
        cut(run, number, path)
        left = copied(run.worlds[number], registry=MemoryRegistry())
        ended, _ = resumed(canary(), path, left)
        assert ended is Outcome.PROMOTED
        events = event_log.read(path)
        assert len(events.of(Registered)) == 2
        forgotten = number >= stage_of(run, b"Registered", 0) and number < stage_of(run, b"Promoted")
        if forgotten:
            assert any(notice.kind == "registered_again" for notice in events.of(Noticed))
            check(path, left, ended)


def test_a_model_that_is_another_one_now_is_not_carried_on_with(tmp_path: Path) -> None:
    class Other:
        name = "train"

        async def run(self, case: Any, tell: Any) -> Any:
            del tell
            models = {role: replace(tests_model, role=role) for role in (Role.STABLE, Role.CANDIDATE)}
            return case.having(models=models)

    run = told(canary(), tmp_path / "whole.jsonl")
    number = stage_of(run, b"StepEntered")
    left = copied(run.worlds[number])
    tests_model = next(iter(left.registry._shelves["m"].entries)).model
    path = tmp_path / "cut.jsonl"
    cut(run, number, path)
    ended, _ = resumed(canary(), path, left, stages=[Other()])
    assert "these models are others than before: candidate (m:2)" in check(path, left, ended).last(Decided).reason
    assert left.models[Role.STABLE] == "sha256:stable"


def test_without_its_data_it_is_rolled_back_by_what_runs(tmp_path: Path) -> None:
    """The file that its models were trained on is gone, and so is what was kept of them."""

    class Gone:
        name = "validate"

        async def run(self, case: Any, tell: Any) -> Any:
            del case, tell
            raise DataError("churn.csv: there is no such file")

    run = told(canary(), tmp_path / "whole.jsonl")
    number, path = stage_of(run, b"StepEntered"), tmp_path / "cut.jsonl"
    cut(run, number, path)
    left = copied(run.worlds[number])
    ended, _ = resumed(canary(), path, left, stages=[Gone()])
    assert ended is Outcome.ROLLED_BACK
    reason = check(path, left, ended).last(Decided).reason
    assert "its models could not be made again: churn.csv: there is no such file" in reason


class Retraining:
    """A stage that has lost its cache: it takes for ever, and says where traffic was when it began."""

    name = "train"

    def __init__(self, world: World) -> None:
        self.world = world
        self.weights: list[int] = []

    async def run(self, case: Any, tell: Any) -> Any:
        del case, tell
        assert self.world.routing is not None
        self.weights.append(self.world.routing.weights[Role.CANDIDATE])
        await anyio.sleep_forever()


@pytest.mark.parametrize(
    ("name", "event", "rollback"),
    [
        ("a healthy canary", b"StepEntered", True),
        ("a bad canary", b"Decided", False),
        ("a healthy canary", b"Decided", True),
        ("a healthy canary", b"Promoted", False),
    ],
)
def test_traffic_goes_home_before_anything_is_trained_again(
    name: str, event: bytes, rollback: bool, tmp_path: Path
) -> None:
    of, errors, outcome = CASES[name]
    run = told(of, tmp_path / "whole.jsonl", errors)
    number, path = stage_of(run, event), tmp_path / "cut.jsonl"
    cut(run, number, path)
    left = copied(run.worlds[number])
    stage = Retraining(left)
    ended, _ = resumed(of, path, left, errors, rollback=rollback, stages=[stage])
    assert stage.weights == []
    check(path, left, ended)
    assert ended is (Outcome.ROLLED_BACK if rollback else outcome)


def test_a_promoted_version_with_an_alarm_gives_its_traffic_back_before_anything_is_trained_again(
    tmp_path: Path,
) -> None:
    care = Aftercare((Monitor("more", MORE, OnAlarm.ROLLBACK),), for_ns=5 * MINUTE)
    of = policy(scenario(aftercare=care), steps=(SetWeight(5000), Pause(MINUTE)), analysis=None)
    run = told(of, tmp_path / "whole.jsonl")
    number, path = stage_of(run, b"Decided"), tmp_path / "cut.jsonl"
    assert number > stage_of(run, b"Alarmed")
    cut(run, number, path)
    for world in (run.worlds[number], copied(run.worlds[number], registry=MemoryRegistry())):
        cut(run, number, path)
        left = copied(world)
        stage = Retraining(left)
        ended, _ = resumed(of, path, left, stages=[stage])
        assert (stage.weights, ended) == ([], Outcome.ROLLED_BACK)
        assert left.routing is not None
        assert left.routing.weights[Role.STABLE] == WHOLE


def test_models_that_are_not_made_again_in_time_end_the_rollout(tmp_path: Path) -> None:
    run = told(canary(), tmp_path / "whole.jsonl")
    number, path = stage_of(run, b"StepEntered"), tmp_path / "cut.jsonl"
    cut(run, number, path)
    left = copied(run.worlds[number])
    stage = Retraining(left)
    ended, _ = resumed(canary(), path, left, stages=[stage])
    assert (len(stage.weights), ended) == (1, Outcome.ROLLED_BACK)
    assert "the horizon came while stage train was under way" in check(path, left, ended).last(Decided).reason


def test_what_people_said_before_the_crash_is_heard_after_it(tmp_path: Path) -> None:
    of, errors, _ = CASES["an abort"]
    run = told(of, tmp_path / "whole.jsonl", errors)
    number = stage_of(run, b"Commanded")
    path = tmp_path / "cut.jsonl"
    cut(run, number, path)
    left = copied(run.worlds[number])
    ended, _ = resumed(of, path, left)
    assert ended is Outcome.ABORTED
    assert len(check(path, left, ended).of(Commanded)) == 2  # heard, and fed to the machine once more


def test_an_intent_that_was_not_known_to_be_done_is_begun_again_under_its_own_number(tmp_path: Path) -> None:
    run = told(canary(), tmp_path / "whole.jsonl")
    path = tmp_path / "cut.jsonl"
    number = next(n for n, line in enumerate(run.lines) if b'"register"' in line and b"Intended" in line)
    for world in (run.worlds[number], run.late(number)):
        cut(run, number, path)
        left = copied(world)
        resumed(canary(), path, left)
        events = event_log.read(path)
        begun = [each.intent for each in events.of(Intended) if each.action == "register"]
        assert begun[0] == begun[1] == events.of(Registered)[0].intent
        assert len(left.registry.kept("m")) == 2


MORE = analysis("requests <= stable * 1.5", every_ns=20 * SECOND, window_ns=20 * SECOND, min_requests=10)
LATER: dict[str, tuple[dict[str, Any], float, set[Outcome]]] = {
    "in aftercare": ({"aftercare": Aftercare((), for_ns=5 * MINUTE)}, 0.0, {Outcome.PROMOTED}),
    "an alarm after the promotion": (
        {"aftercare": Aftercare(
            (Monitor("more", MORE, OnAlarm.ROLLBACK),), for_ns=5 * MINUTE)},
        0.0, {Outcome.ROLLED_BACK, Outcome.PROMOTED},
    ),
    "a newer candidate": (
        {"successors": (Successor(4 * MINUTE, TrainPlan("none", {}), name="newer"),)},
        0.0, {Outcome.PROMOTED, Outcome.ROLLED_BACK},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LATER)
def test_after_the_first_rollout_a_run_is_brought_to_a_verified_home(name: str, tmp_path: Path) -> None:
    changes, errors, outcomes = LATER[name]
    of = policy(scenario(**changes), steps=(SetWeight(5000), Pause(MINUTE)), analysis=None)
    run = told(of, tmp_path / "whole.jsonl", errors)
    path = tmp_path / "cut.jsonl"
    assert run.outcome is (Outcome.ROLLED_BACK if "alarm" in name else Outcome.PROMOTED)
    begins = stage_of(run, b"Promoted", 0)
    for number in range(begins, len(run.lines) - 1, 3):
        for world in (run.worlds[number], run.late(number)):
            cut(run, number, path)
            left = copied(world)
            ended, _ = resumed(of, path, left, errors)
            assert left.replaced == world.replaced  # what was adopted is not adopted once more
            events = event_log.read(path)
            assert ended in outcomes, (number, run.lines[number], events.last(RunEnded).reason)
            home = events.of(Verified)[-1]
            assert home.passed
            assert left.routing is not None
            assert left.routing.weights[home.role] == WHOLE
            versions = {
                version
                for each in left.registry.kept("m")
                if "stable" in each.aliases
                for version in [each.revision.digest]
            }
            assert versions == {left.models[home.role]}, (number, run.lines[number])


def test_the_report_of_a_resumed_run_tells_all_once_and_that_it_was_cut_off(tmp_path: Path) -> None:
    run = told(canary(), tmp_path / "whole.jsonl")
    whole = fold(event_log.read(tmp_path / "whole.jsonl"))
    path = tmp_path / "cut.jsonl"
    for number in range(1, len(run.lines) - 1, 7):
        cut(run, number, path)
        resumed(canary(), path, copied(run.worlds[number]))
        result = fold(event_log.read(path))
        assert (result.outcome, result.stable, result.candidate) == (whole.outcome, whole.stable, whole.candidate)
        assert [gate.name for gate in result.gates] == [gate.name for gate in whole.gates]
        assert all(stage.simulated_s is not None for stage in result.stages)
        assert "The harness was cut off once" in why(result)
        assert any("taken up again" in moment.text for moment in result.moments)
        assert json.loads(report_json.dumps(report_json.plain(result)))["resumed"][0]["torn"] == 0
        assert "cut off" in html.render(result)
