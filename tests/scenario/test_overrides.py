"""``--set PATH=VALUE``: sets, adds, appends; a wrong one is told as its own place."""

import pytest

from harness.domain.model import Role
from harness.domain.rollout import Pause, SetWeight
from harness.domain.traffic import Labels
from harness.domain.units import HOUR, MINUTE


def test_an_override_sets_what_is_there(load, valid):
    read = load(valid, "rollout.steps.0.weight=20%", "seed=9", "expect.0=outcome == promoted", "clock=real")
    assert read.rollout.steps[0] == SetWeight(2000)
    assert read.seed == 9
    assert read.expect[0].text == "outcome == promoted"
    assert read.clock == "real"
    assert read.text == valid
    assert read.overrides == (
        "rollout.steps.0.weight=20%",
        "seed=9",
        "expect.0=outcome == promoted",
        "clock=real",
    )


def test_an_override_adds_what_is_not(load, valid):
    read = load(
        valid,
        "service.candidate.replicas=2",
        "rollout.steps.4.pause=5m",
        "expect.2=bad_responses < 100",
        "model.candidate.params.max_depth=3",
        "rollout.analysis.window=5m",
    )
    assert (read.service[Role.STABLE].replicas, read.service[Role.CANDIDATE].replicas) == (4, 2)
    assert read.rollout.steps[4] == Pause(5 * MINUTE)
    assert len(read.expect) == 3
    assert read.model.candidate.params == {"n_estimators": 100, "max_depth": 3}
    assert read.rollout.analysis.window_ns == 5 * MINUTE


def test_an_override_may_be_a_list_or_a_mapping(load, valid):
    read = load(valid, "labels={delay: 1m, share: 50%}", "rollout.steps=[{weight: 5%}, {pause: 1h}]", "inject=[]")
    assert read.labels == Labels(MINUTE, 0.5)
    assert read.rollout.steps == (SetWeight(500), Pause(HOUR))
    assert read.faults == ()


def test_an_override_creates_the_sections_on_its_way(load, valid):
    start, end = valid.index("inject:"), valid.index("expect:")
    read = load(valid[:start] + valid[end:], "inject.0={on: candidate, errors: 5%}", "inject.0.at=1m")
    assert (read.faults[0].text, read.faults[0].at_ns) == ("on: candidate, errors: 5%, at: 1m", MINUTE)


def test_the_last_override_of_a_path_counts(load, valid):
    assert load(valid, "seed=1", "seed=2").seed == 2


def test_brackets_are_as_good_as_dots(load, valid):
    assert load(valid, "rollout.steps[2].weight=30%").rollout.steps[2] == SetWeight(3000)


def test_an_override_mends_what_is_wrong_in_the_file(load, valid):
    assert load(valid.replace("seed: 7", "seed: x"), "seed=8").seed == 8


def test_what_an_alias_names_is_set_only_where_it_is_asked_for(load, valid):
    twice = valid.replace("{alg", "&m {alg", 1).replace(
        "candidate: {algorithm: random_forest, params: {n_estimators: 100}, duration: 20m}", "candidate: *m"
    )
    read = load(twice, "model.candidate.params.C=2.0")
    assert (read.model.stable.params, read.model.candidate.params) == ({"C": 1.0}, {"C": 2.0})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "rollout.stepz.0.weight=20%",
            "rollout.stepz: no such key; nearest: steps; allowed: strategy, steps, ready_wit",
        ),
        ("rollout.steps.9.weight=20%", "rollout.steps is a list of 4; its items are 0 to 3, and 4 appends one"),
        ("rollout.steps.x.weight=20%", "rollout.steps is a list of 4; its items are 0 to 3, and 4 appends one"),
        ("rollout.steps.-1.weight=20%", "rollout.steps is a list of 4; its items are 0 to 3, and 4 appends one"),
        ("seed.deeper=1", "seed is 7, which has nothing below it"),
        ("seed", "an override is PATH=VALUE, such as rollout.steps.0.weight=20%"),
        ("=7", "an override is PATH=VALUE, such as rollout.steps.0.weight=20%"),
        ("rollout..steps=7", "an override is PATH=VALUE, such as rollout.steps.0.weight=20%"),
        ("seed=[7", "its value: not YAML: "),
        ("seed={a: 1, a: 2}", "its value: the key a stands here twice; first on line 1"),
        ("seed=", "seed is empty; a seed is a whole number from 0 to "),
        ("seed=-1", "seed is -1; a seed is a whole number from 0 to "),
        ("rollout.steps.0.weight=120%", "rollout.steps[0].weight is 120%; a weight is a share from 0% to 100%"),
        ("rollout.steps.0={weigt: 5%}", "rollout.steps[0].weigt: no such key; nearest: weight; allowed: weight, pause"),
        ("rollout.steps.0={}", "rollout.steps[0] lacks one of weight, pause"),
        (
            "expect.0=outcom == promoted",
            'expect[0] is "outcom == promoted"; no metric is called outcom; nearest: outcome',
        ),
        ("horizon=1m", "rollout.steps takes 1h after 20m for the models, longer than the horizon 1m"),
        ("harness=2", "harness is 2; this program reads version 1: harness: 1"),
    ],
)
def test_a_wrong_override_is_told_as_its_own_place(override, message, problems, valid):
    found = problems(valid, override)[0]
    assert found.message.startswith(message)
    if not override.startswith("horizon"):
        assert (found.file, found.line) == (f"--set {override}", 0)
        assert str(found).startswith(f"--set {override}: {message}")


def test_problems_of_the_file_come_before_those_of_overrides(problems, valid):
    found = problems(valid.replace("clock: virtual", "clock: virtul"), "seed=-1", "nme=x")
    assert [each.message.split()[0] for each in found] == ["clock", "seed", "nme:"]
    assert [each.line for each in found] == [5, 0, 0]
