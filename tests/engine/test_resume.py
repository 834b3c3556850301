"""Runs that are cut off after any line of their log, and taken up again: whatever had happened, they end safely."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

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
from harness.log import Events
from harness.strategies import STRATEGIES
from tests.build import analysis, policy, scenario
from tests.surviving import Told, World, copied, resumed, told

RULE = analysis("error_rate <= stable + 5%", every_ns=20 * SECOND, window_ns=20 * SECOND, min_requests=10)
STEPS = (SetWeight(1000), Pause(MINUTE), SetWeight(5000), Pause(MINUTE))
BAD = 0.5


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
        canary(analysis=None) if False else policy(
            scenario(orders=(ScriptedOrder(30 * SECOND, Order.ABORT, "ops"),)), steps=STEPS, analysis=None),
        0.0, Outcome.ABORTED,
    ),
}  # fmt: skip


def machine(of: Scenario) -> Any:
    sizes = {role: service.replicas for role, service in of.service.items()}
    return STRATEGIES[of.rollout.strategy](of.rollout, sizes)


@pytest.mark.parametrize("name", CASES)
def test_cut_off_after_any_event_the_run_ends_as_it_would_have(name: str, tmp_path: Path) -> None:
    of, errors, outcome = CASES[name]
    run = told(of, tmp_path / "whole.jsonl", errors, machine=machine(of))
    assert run.outcome is outcome
    assert any(b'"Checkpointed"' in line for line in run.lines)
    path = tmp_path / "cut.jsonl"
    for number in range(len(run.lines) - 1):
        for world in (run.worlds[number], run.late(number)):
            cut(run, number, path, torn=17)
            left = copied(world)
            ended, log = resumed(of, path, left, errors, machine=machine(of))
            try:
                assert ended is outcome
                events = check(path, left, ended)
                assert len(events.of(Resumed)) == 1
                assert events.only(Resumed).torn == 17
                assert log.digest == event_log.digest(events)
            except AssertionError as error:
                raise AssertionError(
                    f"{name}, cut after {number} ({run.lines[number][:60]!r}): {error}\n"
                    + "".join(path.read_text().splitlines(keepends=True)[number - 3 :])
                ) from error
