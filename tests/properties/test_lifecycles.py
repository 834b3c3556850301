"""Generated policies and lifecycles, on backends that fail or hang at any call, cancelled at any event.

Each run is rehearsed whole, on virtual time and a simulated cluster with little traffic, and checked against every
invariant. What is generated: `policies.py`; what goes wrong: `troubles.py`; what must hold: `invariants.py`.
"""

from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.domain.event import Measured, Observed, RunEnded, TrafficStarted, Verified
from harness.domain.fault import Errors, Fault
from harness.domain.model import ARMS
from harness.log import digest, read
from harness.report import fold
from tests.properties.invariants import INVARIANTS
from tests.properties.policies import plans
from tests.properties.profile import LONG, TALLY, examples
from tests.properties.stories import Plan, Story, play

pytestmark = pytest.mark.timeout(0 if LONG else 240)


def tally(story: Story) -> None:
    plan, of = story.plan, story.plan.scenario
    TALLY["runs"] += 1
    TALLY[f"strategy {of.rollout.strategy}"] += 1
    TALLY[f"outcome {story.events.last(RunEnded).outcome}"] += 1
    TALLY["rollouts"] += len(story.machine.stories)
    TALLY["troubles planned"] += len(plan.troubles)
    TALLY["calls troubled"] += story.witness.troubled
    TALLY["runs with a troubled call"] += story.witness.troubled > 0
    TALLY["runs cancelled on the way"] += story.outcome is None
    TALLY["faults injected"] += len(of.faults) + sum(len(each.faults) for each in of.successors)
    TALLY["orders"] += len(of.orders)
    TALLY["successors"] += len(of.successors)
    TALLY["runs with aftercare"] += of.aftercare is not None
    TALLY["events"] += len(story.events)


@given(plans())
@examples(0.7, 250)
def test_every_invariant_holds_whatever_happens(plan: Plan) -> None:
    story = play(plan)
    for holds in INVARIANTS:
        holds(story)
    tally(story)


@given(plans(calm=True))
@examples(0.1, 60)
def test_an_effect_that_is_asked_for_twice_changes_nothing(plan: Plan) -> None:
    once, twice = play(plan), play(plan, twice=True)
    assert twice.digest == once.digest
    assert _shelf(twice) == _shelf(once)
    tally(twice)


def _shelf(story: Story) -> object:
    return story.world.store.kept("m")


@given(plans())
@examples(0.1, 60)
def test_a_log_that_is_read_again_is_the_same_log_and_the_same_result(plan: Plan) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "events.jsonl"
        story = play(plan, path=path)
        again = read(path)
    assert list(again) == list(story.events)
    assert digest(again) == story.digest
    assert fold(again) == fold(story.events)
    tally(story)


@given(plans(calm=True), st.data())
@examples(0.1, 60)
def test_no_verdict_rests_on_anything_at_its_own_time_or_later(plan: Plan, data: st.DataObject) -> None:
    """What is made to go wrong at the very instant of a look, or later, is in no figure of that look."""
    story = play(plan)
    looks = sorted({event.at_ns for event in story.events.of(Measured)})
    assume(looks)
    at_ns = data.draw(st.sampled_from(looks))
    since = story.events.first(TrafficStarted).at_ns
    worse = Fault("everything fails", frozenset(ARMS), Errors(1.0), at_ns=at_ns - since)
    of = replace(plan.scenario, faults=(*plan.scenario.faults, worse))
    other = play(replace(plan, scenario=of))
    assert _seen(other, at_ns) == _seen(story, at_ns)
    tally(other)


def _seen(story: Story, until_ns: int) -> list[object]:
    """Figures and verdicts up to a time; by their order alone, for a fault is an event of the log too."""
    before = takewhile(lambda event: not isinstance(event, Verified), story.events)  # probes are made at that instant
    return [event for event in before if isinstance(event, Measured | Observed) and event.at_ns <= until_ns]
