"""A search: the same bytes whatever trains it, carried on where it was cut off, and never by the held-out rows."""

import dataclasses

import numpy as np
import pytest

from harness.data.split import Rows
from harness.domain.training import FoldsPlan, Sampler, Split, Trial, TrialState, TunePlan
from harness.errors import BackendError, InputError
from harness.seeds import stream
from harness.training.folds import cross_validate, folds_of
from harness.training.space import space_of
from harness.training.tuning import BATCH, best_of, tune

from .conftest import make_rows

DRAWS = stream(3, "tuning")
SPACE = space_of({"max_depth": [1, 2, 4, None], "min_samples_leaf": {"int": [1, 60], "log": True}})


@pytest.fixture
def rows():
    """Numbers alone, which are quicker to prepare."""
    return numbers(150)


def numbers(count):
    whole = make_rows(count)
    return Rows(whole.rows[["x", "n"]], whole.target, whole.classes)


def search(rows, word="decision_tree", params=(), space=SPACE, metric="f1", **changes):
    kwargs = {key: changes.pop(key) for key in ("watch", "features") if key in changes}
    return tune(word, dict(params), rows, TunePlan(space, metric, **{"trials": 10, **changes}), DRAWS, 7, **kwargs)


def test_the_result_does_not_depend_on_who_trains(rows):
    """In this process, and in two processes of their own, the result is equal to the last digit."""
    here, there = (search(rows, trials=3, folds=FoldsPlan(2), workers=workers) for workers in (1, 2))
    assert dataclasses.replace(here, took_s=()) == dataclasses.replace(there, took_s=())
    assert len(here.trials) == len(here.took_s) == 3


def test_a_trials_value_is_its_cross_validation(rows):
    found = search(rows, prune=False, trials=3, folds=FoldsPlan(3))
    folds = folds_of(rows, FoldsPlan(3), DRAWS.child("folds"))
    for trial in found.trials:
        judged = cross_validate("decision_tree", trial.params, rows, folds, 7, split=Split.STRATIFIED)
        assert trial.folds == judged.folds["f1"]
        assert trial.value == pytest.approx(judged.estimates["f1"].mean)
    assert found.value == max(trial.value for trial in found.trials)


def test_a_grid_is_gone_through_once(rows):
    space = space_of({"max_depth": [1, 2, 3], "criterion": ["gini", "entropy"]})
    found = search(rows, space=space, sampler=Sampler.GRID, trials=50, prune=False, folds=FoldsPlan(2))
    assert [trial.params for trial in found.trials] == [
        {"max_depth": depth, "criterion": criterion} for depth in (1, 2, 3) for criterion in ("gini", "entropy")
    ]
    assert len(search(rows, space=space, sampler=Sampler.GRID, trials=4, folds=FoldsPlan(2)).trials) == 4


def test_what_stands_badly_is_given_up():
    """The median pruner: after five trials, one below the median of their means so far goes no further."""
    rows = numbers(200)
    found = search(rows, metric="auc", trials=14, sampler=Sampler.RANDOM, folds=FoldsPlan(3))
    whole = search(rows, metric="auc", trials=14, sampler=Sampler.RANDOM, folds=FoldsPlan(3), prune=False)
    pruned = [trial for trial in found.trials if trial.state is TrialState.PRUNED]
    assert pruned
    assert all(trial.number >= BATCH and trial.value is None and 1 <= len(trial.folds) < 3 for trial in pruned)
    assert [trial.params for trial in found.trials] == [trial.params for trial in whole.trials]
    for trial, full in zip(found.trials, whole.trials, strict=True):
        assert trial.folds == full.folds[: len(trial.folds)]
    for trial in pruned:
        rung = len(trial.folds)
        finished = [
            np.mean(each.folds[:rung]) for each in found.trials[: trial.number - trial.number % BATCH] if each.value
        ]
        assert np.mean(trial.folds) < np.median(finished)


def test_the_search_finds_what_fits_better_than_chance_would():
    rows = make_rows()
    space = space_of({"C": {"log": [1e-6, 100]}})
    found = search(rows, "logistic_regression", space=space, metric="log_loss", trials=12, folds=FoldsPlan(2))
    assert found.value == min(trial.value for trial in found.trials if trial.value is not None)
    assert found.best["C"] > 0.05


# --- cut off, and carried on ------------------------------------------------------------------------------------------


class Cut(Exception):
    """Somebody pulled the plug."""


def test_a_search_that_was_cut_off_goes_on(rows, tmp_path):
    after = 5
    whole = search(rows, folds=FoldsPlan(2))
    given = {"folds": FoldsPlan(2), "storage": str(tmp_path / "below" / "tuning.db")}
    seen: list[Trial] = []

    def pull(trial):
        seen.append(trial)
        if len(seen) == after:
            raise Cut

    with pytest.raises(Cut):
        search(rows, watch=pull, **given)
    on = search(rows, **given)
    batches = -(-after // BATCH) * BATCH  # what was told is kept, and batches are told whole
    assert on.known == batches
    assert (on.trials, on.best, on.value) == (whole.trials, whole.best, whole.value)
    again = search(rows, **given)
    assert (again.known, again.trials, again.took_s) == (10, whole.trials, on.took_s)
    longer = search(rows, trials=12, **given)
    assert (longer.known, longer.trials[:10]) == (10, whole.trials)


def test_one_file_holds_many_searches_and_optuna_reads_it(rows, tmp_path):
    import optuna

    file = tmp_path / "tuning.db"
    given = {"folds": FoldsPlan(2), "trials": 2, "storage": str(file)}
    found = search(rows, **given)
    assert search(rows, metric="accuracy", **given).known == 0
    assert search(make_rows(seed=6), **given).known == 0
    storage = optuna.storages.RDBStorage(f"sqlite:///{file}")
    try:
        names = optuna.get_all_study_names(storage)
        assert len(names) == 3
        best = [optuna.load_study(study_name=name, storage=storage).best_value for name in names]
        assert found.value in best
    finally:
        storage.remove_session()
        storage.engine.dispose()


def test_a_storage_that_cannot_be_used_is_told(rows, tmp_path):
    (tmp_path / "tuning.db").write_text("this is no database, and long enough to be seen as one that is not")
    with pytest.raises(BackendError, match="trials cannot be kept there"):
        search(rows, storage=str(tmp_path / "tuning.db"))


# --- limits and failures ----------------------------------------------------------------------------------------------


def test_what_takes_too_long_is_ended(rows):
    """A nanosecond is over before any fold is trained: every trial has failed, and the search with them."""
    with pytest.raises(InputError, match="none of 1 trials could be trained and judged: took longer than 1e-09 s"):
        search(rows, trials=1, limit_ns=1, folds=FoldsPlan(2))


def test_parameters_that_cannot_be_trained_with_fail_alone(rows):
    space = space_of({"C": [-1.0, 1.0]})
    found = search(rows, "logistic_regression", space=space, sampler=Sampler.GRID, folds=FoldsPlan(2))
    bad, good = found.trials
    assert (bad.state, bad.value, bad.folds) == (TrialState.FAILED, None, ())
    assert "'C' parameter" in bad.detail
    assert good.state is TrialState.COMPLETE
    assert found.best == {"C": 1.0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"params": {"max_depth": 3}}, "max_depth is fixed by params and searched for too"),
        ({"space": space_of({"C": [1.0]})}, "decision_tree has no parameter 'C'"),
        ({"metric": "rmse"}, "rmse cannot be sought; on these rows there are accuracy, precision"),
        ({"trials": 0}, "trials is 0; it is at least 1"),
        ({"workers": 0}, "workers is 0; it is at least 1"),
        ({"sampler": Sampler.GRID, "space": space_of({"max_depth": {"int": [1, 9], "log": True}})}, "a grid takes"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_told(rows, changes, message):
    with pytest.raises(InputError, match=message):
        search(rows, **changes)


def test_of_equal_trials_the_first_is_best():
    trials = [Trial(n, {}, value, (), TrialState.COMPLETE) for n, value in enumerate([0.5, 0.7, 0.7 + 1e-15, 0.6])]
    assert best_of(trials, "f1").number == 1
    assert best_of(trials, "log_loss").number == 0
    assert best_of([], "f1") is None
