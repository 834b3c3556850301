"""Experiments side by side, and what a scenario's stage tells of them: by training rows alone, once for each digest."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from harness.domain.event import ModelReady
from harness.domain.features import ColumnPlan, FeatureSet, Others
from harness.domain.model import ExperimentsPlan, Role, TrainPlan
from harness.domain.training import ExperimentPlan, FoldsPlan, Split, TunePlan
from harness.domain.training_event import CrossValidated, ExperimentChosen, ExperimentTried, Tuned
from harness.errors import InputError
from harness.seeds import stream
from harness.training import results
from harness.training.experiments import Bench, compare
from harness.training.results import kept, key_of
from harness.training.searching import prepared
from harness.training.space import space_of

from .conftest import make_rows

ONE = FeatureSet("noise", (ColumnPlan("n"),), others=Others.DROP)
DULL = ExperimentPlan("dull", "majority")
SHARP = ExperimentPlan("sharp", "logistic_regression")
TUNED = ExperimentPlan(
    "tuned", "decision_tree", tune=TunePlan(space_of({"max_depth": [1, 2, 3]}), "accuracy", 3, FoldsPlan(2))
)
THREE = FoldsPlan(3)


def bench(rows):
    return Bench(rows, stream(1, "search"), 5)


def test_the_best_is_chosen_and_held_against_the_second(rows):
    found = compare([DULL, SHARP, TUNED], "accuracy", THREE, bench(rows))
    means = {each.plan.name: each.mean("accuracy") for each in found.tried}
    assert found.best.plan.name == max(means, key=means.get)
    assert found.runner_up.plan.name == sorted(means, key=means.get)[-2]
    assert found.tried[2].plan.params == dict(found.tried[2].search.best)
    pairs = [each.result.folds["accuracy"] for each in (found.best, found.runner_up)]
    differences = np.subtract(*pairs)
    assert found.difference.mean == pytest.approx(differences.mean())
    error = differences.std(ddof=1) * (1 / 3 + 1 / 2) ** 0.5
    assert found.difference.high - found.difference.mean == pytest.approx(stats.t.ppf(0.975, 2) * error, rel=0.02)
    assert f"{found.best.plan.name} differs from {found.runner_up.plan.name} by +" in found.detail


def test_of_equal_ones_the_first_is_taken(rows):
    twins = [replace(SHARP, name="simple"), replace(SHARP, name="same")]
    found = compare(twins, "f1", THREE, bench(rows))
    assert (found.best.plan.name, found.runner_up.plan.name) == ("simple", "same")
    assert found.detail == "simple and same are equal, and the first is taken"
    assert compare(twins[::-1], "f1", THREE, bench(rows)).best.plan.name == "same"


def test_less_is_better_where_it_is():
    rows = make_rows(regression=True)
    plans = [ExperimentPlan("mean", "mean"), ExperimentPlan("ridge", "ridge")]
    assert compare(plans, "rmse", THREE, bench(rows)).best.plan.name == "ridge"
    assert compare(plans, "r2", THREE, bench(rows)).best.plan.name == "ridge"


def test_each_sees_its_own_features(rows):
    blind = replace(SHARP, name="blind", features=ONE)
    found = compare([blind, SHARP], "auc", THREE, bench(rows))
    assert found.best.plan.name == "sharp"
    assert found.tried[0].mean("auc") < 0.65 < found.tried[1].mean("auc")


def test_what_cannot_be_trained_is_no_obstacle_unless_nothing_can(rows):
    bad = ExperimentPlan("bad", "logistic_regression", {"C": -1.0})
    found = compare([bad, SHARP], "f1", THREE, bench(rows))
    assert found.best.plan.name == "sharp"
    assert "'C' parameter" in found.tried[0].refused
    assert found.detail == "sharp: there was no other that could be trained"
    with pytest.raises(InputError, match=r"none of the experiments could be trained and judged: bad: .*'C' parameter"):
        compare([bad], "f1", THREE, bench(rows))
    with pytest.raises(InputError, match="rmse cannot be chosen by"):
        compare([SHARP], "rmse", THREE, bench(rows))
    with pytest.raises(InputError, match="different names"):
        compare([SHARP, SHARP], "f1", THREE, bench(rows))


# --- before a model is trained ----------------------------------------------------------------------------------------


def told(plan, rows, models=None):
    done = prepared(plan, rows, 3, Role.CANDIDATE, 5, models)
    return done.plan, [event(0, **fields) for event, fields in done.told]


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch):
    monkeypatch.setattr(results, "_KNOWN", type(results._KNOWN)())


def test_a_plain_plan_tells_nothing(rows):
    plain = TrainPlan("decision_tree", {"max_depth": 2}, 5, ONE)
    assert told(plain, rows) == (plain, [])


def test_a_search_and_folds_come_before_the_model(rows):
    asked = TrainPlan("decision_tree", {"criterion": "entropy"}, 7, tune=TUNED.tune, cross_validation=THREE)
    plan, (search, folds) = told(asked, rows)
    assert isinstance(search, Tuned)
    assert isinstance(folds, CrossValidated)
    assert plan == TrainPlan("decision_tree", {"criterion": "entropy", **search.best}, 7)
    assert folds.params == plan.params
    assert (search.space, search.split, len(search.trials)) == ({"max_depth": "1, 2, 3"}, "stratified", 3)
    assert folds.train_rows == (133, 133, 134)


def test_the_chosen_experiment_becomes_the_plan(rows):
    asked = ExperimentsPlan((DULL, TUNED, replace(SHARP, features=ONE)), "accuracy", THREE, 9)
    plan, events = told(asked, rows)
    assert [type(event) for event in events] == [Tuned, *[ExperimentTried] * 3, ExperimentChosen]
    chosen = events[-1]
    assert chosen.experiment == "tuned"
    assert plan == TrainPlan("decision_tree", dict(events[0].best), 9)
    assert events[3].features == "noise"
    means = {each.experiment: each.estimates["accuracy"].mean for each in events[1:-1]}
    assert chosen.value == means["tuned"] == max(means.values())
    assert chosen.difference.mean == pytest.approx(chosen.value - means[chosen.runner_up])


def test_what_is_found_is_kept_and_recalled_to_the_last_digit(rows, tmp_path, monkeypatch):
    asked = ExperimentsPlan((SHARP, TUNED), "f1", THREE)
    models = tmp_path / "models"
    first = told(asked, rows, models)
    monkeypatch.setattr(results, "_KNOWN", type(results._KNOWN)())  # as in another process
    monkeypatch.setattr("harness.training.experiments.tune", None)
    monkeypatch.setattr("harness.training.experiments.cross_validate", None)
    plan, events = told(asked, rows, models)
    assert plan == first[0]
    assert all(event.reused for event in events[:-1])
    assert [replace(event, reused=False) for event in events[:-1]] == first[1][:-1]
    for file in (tmp_path / "searches").iterdir():
        file.write_text("{")
    monkeypatch.undo()
    assert told(asked, rows, models)[0] == plan


def test_another_row_another_seed_or_another_plan_is_another_result(rows):
    plan = TrainPlan("majority", {}, cross_validation=THREE)
    seen = []

    def watched(models, key, kind, make):
        seen.append(key)
        return kept(models, key, kind, make)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("harness.training.searching.kept", watched)
        prepared(plan, rows, 3, Role.CANDIDATE, 5, None)
        prepared(plan, rows, 3, Role.CANDIDATE, 5, None)
        prepared(plan, rows, 4, Role.CANDIDATE, 5, None)
        prepared(plan, rows, 3, Role.STABLE, 5, None)
        prepared(plan, make_rows(199), 3, Role.CANDIDATE, 5, None)
        prepared(replace(plan, cross_validation=FoldsPlan(3, Split.RANDOM)), rows, 3, Role.CANDIDATE, 5, None)
        prepared(replace(plan, features=ONE), rows, 3, Role.CANDIDATE, 5, None)
    assert len(set(seen)) == 6
    assert seen[0] == seen[1]


def test_a_result_that_cannot_be_kept_is_made_all_the_same(tmp_path):
    (tmp_path / "searches").write_text("a file where a folder should be")
    plan = FoldsPlan(7)
    assert kept(tmp_path / "models", key_of("x", plan), FoldsPlan, lambda: plan) == (plan, False)
    assert kept(tmp_path / "models", key_of("x", plan), FoldsPlan, lambda: FoldsPlan(8)) == (plan, True)
    assert key_of("x", plan) != key_of("x", FoldsPlan(8))
    assert json.dumps(key_of("x", None))


def test_the_stage_trains_what_was_chosen_and_tells_it_when_its_time_is_over():
    from .test_stage import on, run

    asked = ExperimentsPlan((DULL, ExperimentPlan("tree", "decision_tree", {"max_depth": 3})), "f1", FoldsPlan(2), 20)
    case, events, digest = run(on(candidate=asked))
    tried, chosen = events.of(ExperimentTried), events.only(ExperimentChosen)
    assert [each.experiment for each in tried] == ["dull", "tree"]
    assert chosen.experiment == "tree"
    ready = events.last(ModelReady)
    assert (ready.role, ready.algorithm, ready.params["max_depth"]) == (Role.CANDIDATE, "decision_tree", 3)
    assert (chosen.at_ns, ready.at_ns, ready.takes_ns) == (20, 20, 20)
    assert case.models[Role.CANDIDATE].algorithm == "decision_tree"
    assert run(on(candidate=asked))[2] == digest
