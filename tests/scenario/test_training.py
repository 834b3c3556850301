"""Searches, folds and experiments in a scenario file: what they mean, and what is wrong with them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness import scenario
from harness.domain.model import ExperimentsPlan, TrainPlan
from harness.domain.scenario import Scenario
from harness.domain.training import Choice, FoldsPlan, Real, Sampler, Split, TunePlan, Whole
from harness.domain.units import MINUTE
from harness.errors import Problem

Load = Callable[..., Scenario]
Problems = Callable[..., Sequence[Problem]]

WAS = "{algorithm: random_forest, params: {n_estimators: 100}, duration: 20m}"
SPACE = "{max_depth: [3, null], min_samples_leaf: {int: [1, 9]}, max_features: {log: [0.1, 1]}}"


def with_candidate(valid: str, said: str) -> str:
    assert WAS in valid
    return valid.replace(WAS, said)


def candidate(load: Load, valid: str, said: str) -> Any:
    return load(with_candidate(valid, said)).model.candidate


def test_a_search_is_read_whole(load: Load, valid: str, folder: Path) -> None:
    said = (
        f"{{algorithm: random_forest, cross_validation: 4, tune: {{space: {SPACE}, metric: f1, trials: 30, folds: 3, "
        "split: time, gap: 24, sampler: random, prune: false, workers: 2, trial_limit: 2m, storage: tuning.db}}"
    )
    assert candidate(load, valid, said) == TrainPlan(
        "random_forest",
        {},
        tune=TunePlan(
            {
                "max_depth": Choice((3, None)),
                "min_samples_leaf": Whole(1, 9),
                "max_features": Real(0.1, 1.0, log=True),
            },
            "f1", 30, FoldsPlan(3, Split.TIME, "", 24), Sampler.RANDOM, False, 2, 2 * MINUTE, str(folder / "tuning.db"),
        ),
        cross_validation=FoldsPlan(4),
    )  # fmt: skip


def test_little_needs_to_be_said(load: Load, valid: str) -> None:
    plan = candidate(load, valid, f"{{algorithm: random_forest, tune: {{space: {SPACE}, metric: f1}}}}")
    assert plan.tune == TunePlan(plan.tune.space, "f1", 20, FoldsPlan(5), Sampler.TPE, prune=True)


def test_experiments_keep_their_order_and_the_groups_are_read_with_the_data(load: Load, valid: str) -> None:
    said = (
        "{choose: accuracy, duration: 1h, cross_validation: {folds: 3, split: group, group: plan}, experiments: "
        f"{{plain: {{algorithm: logistic_regression}}, deep: {{algorithm: random_forest, params: {{n_estimators: 5}}, "
        f"tune: {{space: {SPACE}, metric: f1, split: group, group: age}}}}}}}}"
    )
    made = load(with_candidate(valid, said))
    plan = made.model.candidate
    assert isinstance(plan, ExperimentsPlan)
    assert [each.name for each in plan.experiments] == ["plain", "deep"]
    assert (plan.choose, plan.folds, plan.duration_ns) == ("accuracy", FoldsPlan(3, Split.GROUP, "plan"), 60 * MINUTE)
    assert plan.experiments[1].tune is not None
    assert made.model.data is not None
    assert made.model.data.keys == ("age", "plan")


def test_a_later_candidate_may_group_by_a_column_that_is_no_feature(load: Load, valid: str) -> None:
    later = "{algorithm: random_forest, cross_validation: {folds: 3, split: group, group: plan}}"
    made = load(f"{valid}\nsuccessors:\n  - {{at: 1h, candidate: {later}}}\n")
    assert made.model.data is not None
    assert made.model.data.keys == ("plan",)


WRONG = [
    ("{algorithm: random_forest, tune: {metric: f1}}", "space is missing"),
    ("{algorithm: random_forest, tune: {space: {}, metric: f1}}", "names no parameter"),
    ("{algorithm: random_forest, tune: {space: {a: 5}, metric: f1}}", "tune.space.a is 5; a range is [3, 5, null]"),
    ("{algorithm: random_forest, tune: {space: {a: {log: [0, 1]}}, metric: f1}}", "by magnitude it begins above 0"),
    ("{algorithm: random_forest, tune: {space: {a: [1]}, metric: f2}}", "no metric is called f2"),
    ("{algorithm: random_forest, tune: {space: {a: [1]}, metric: rmse}}", "rmse is measured of a regression"),
    ("{algorithm: random_forest, tune: {space: {a: [1]}, metric: f1, sampler: tpa}}", 'is tpa; nearest: tpe'),
    ("{algorithm: random_forest, tune: {space: {a: [1]}, metric: f1, gap: 3}}", "gap belongs to split: time"),
    ("{algorithm: random_forest, tune: {space: {a: [1]}, metric: f1, split: group}}", "add group: COLUMN"),
    ("{algorithm: random_forest, tune: {space: {a: [1]}, metric: f1, group: agee, split: group}}", "no such column"),
    ("{algorithm: random_forest, tune: {space: {a: {float: [0, 1]}}, metric: f1, sampler: grid}}", "a grid takes"),
    ("{algorithm: random_forest, params: {a: 1}, tune: {space: {a: [1]}, metric: f1}}", "params fixes it to 1"),
    ("{algorithm: random_forest, tune: {space: {a: [1]}, metric: f1, folds: 1}}", "a whole number from 2 to 100"),
    ("{algorithm: random_forest, tune: {space: {a: [1]}, metric: f1, storage: a.csv}}", "ends in .db"),
    ("{algorithm: random_forest, cross_validation: 1}", "a whole number from 2 to 100"),
    ("{algorithm: random_forest, choose: f1}", "choose belongs to experiments"),
    ("{registered: stable, cross_validation: 5}", "is not trained"),
    ("{registered: stable, tune: {space: {a: [1]}, metric: f1}}", "a model that is brought has none"),
    ("{experiments: {a: {algorithm: random_forest}}}", "are chosen from by a metric; add choose: f1"),
    ("{experiments: {}, choose: f1}", "names none; add at least one"),
    ("{experiments: {a: {algorithm: random_forrest}}, choose: f1}", "nearest: random_forest"),
    (
        "{experiments: {a: {algorithm: random_forest}}, choose: f1, tune: {space: {a: [1]}, metric: f1}}",
        "an experiment has one of its own",
    ),
    ("{algorithm: random_forest, experiments: {a: {algorithm: random_forest}}, choose: f1}", "exactly one of algo"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "message"), WRONG, ids=[message for _, message in WRONG])
def test_what_is_wrong_is_told_where_it_stands(problems: Problems, valid: str, said: str, message: str) -> None:
    text = with_candidate(valid, said)
    line = next(number for number, each in enumerate(text.splitlines(), start=1) if each.startswith("  candidate:"))
    (only,) = problems(text)
    assert message in only.message
    assert only.line == line
    assert only.message.startswith("model.candidate")


def test_parameters_are_those_of_the_algorithm(valid: str, folder: Path) -> None:
    from harness.app.installed import catalog
    from harness.errors import ScenarioError

    said = "{experiments: {a: {algorithm: random_forest, tune: {space: {max_dept: [1]}, metric: f1}}}, choose: f1}"
    with pytest.raises(ScenarioError, match=r"tune\.space\.max_dept is no parameter of .*; nearest: max_depth"):
        scenario.load(folder / "canary.yaml", catalog(), (), text=with_candidate(valid, said))
