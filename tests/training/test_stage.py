"""The stages `train` and `evaluate` on the shipped data set, told from their events."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from fakes.registry import MemoryRegistry
from harness.clock import now_ns, run_real, run_virtual
from harness.data.split import Rows
from harness.data.stage import Validate
from harness.domain.event import DataChecked, Evaluated, ModelReady
from harness.domain.fault import CorruptTraining, StaleTraining
from harness.domain.model import ARMS, ArtifactPlan, DataPlan, ModelPlan, RegisteredPlan, Role, Source, Task, TrainPlan
from harness.domain.units import MINUTE, SECOND
from harness.errors import ArtifactError, DataError, InputError, RegistryError
from harness.log import EventLog, Events
from harness.protocols import Case
from harness.training import artifact
from harness.training.brought import brought, check_fits
from harness.training.cache import ModelCache
from harness.training.evaluate import evaluate
from harness.training.faults import training_rows
from harness.training.stage import Evaluate, Train
from tests.build import BOTH, CANDIDATE, fault, scenario

from .conftest import fitted, make_rows

TELCO = DataPlan("scenarios/data/telco_churn.csv.gz", "Churn", "Yes", "scenarios/data/telco_schema.yaml", 0.25)
LOGISTIC = TrainPlan("logistic_regression", {"C": 1.0})
TREE = TrainPlan("decision_tree", {"max_depth": 4}, 20 * MINUTE)


def on(stable=LOGISTIC, candidate=TREE, data=TELCO, **changes):
    return scenario(**{"seed": 7, "model": ModelPlan("churn", stable, candidate, data), **changes})


def run(of, *, registry=None, cache=None, start=run_virtual):
    """The stages in order; the case and the events, with their times."""
    log = EventLog()

    def tell(event, *args, **kwargs):
        made = event(now_ns(), *args, **kwargs)
        log.append(made)
        return made

    async def main():
        case = Case(of)
        for stage in (Validate(), Train(registry, cache or ModelCache()), Evaluate()):
            case = await stage.run(case, tell)
        return case

    return start(main), Events(log.events), log.digest


def test_both_models_are_trained_one_after_the_other_and_measured():
    case, events, _ = run(on())
    ready = events.of(ModelReady)
    assert [(model.role, model.at_ns, model.takes_ns) for model in ready] == [
        (Role.STABLE, 0, 0),
        (Role.CANDIDATE, 20 * MINUTE, 20 * MINUTE),
    ]
    assert [model.source for model in ready] == [Source.TRAINED] * 2
    assert ready[0].data_digest == events.only(DataChecked).digest
    for measured in events.of(Evaluated):
        assert measured.rows == 1761
        assert measured.metrics == pytest.approx(evaluate(case.models[measured.role], case.population), abs=1e-8)
        assert list(measured.metrics) == ["accuracy", "precision", "recall", "f1", "auc", "log_loss"]
    stable = case.models[Role.STABLE]
    assert (stable.task, stable.classes, len(stable.features)) == (Task.CLASSIFICATION, ("No", "Yes"), 19)
    assert stable.metrics["accuracy"] > 0.78
    assert stable.metrics["auc"] > 0.82


def test_real_time_adds_no_sleep():
    _, events, _ = run(on(candidate=replace(TREE, duration_ns=3600 * SECOND)), start=run_real)
    assert events.last(ModelReady).takes_ns == 3600 * SECOND


def test_a_seed_gives_the_same_log_and_reuse_changes_nothing_of_it(tmp_path):
    forest = TrainPlan("random_forest", {"n_estimators": 100})
    found = [run(on(candidate=forest), cache=ModelCache(tmp_path)) for _ in range(2)]
    assert [events.last(ModelReady).reused for _, events, _ in found] == [False, True]
    assert found[0][2] == found[1][2]
    assert run(on(candidate=forest, seed=8))[2] != found[0][2]


def test_roles_draw_from_streams_of_their_own():
    forest = TrainPlan("random_forest", {"n_estimators": 3})
    case, _, _ = run(on(forest, forest))
    assert case.models[Role.STABLE].params["random_state"] != case.models[Role.CANDIDATE].params["random_state"]
    alone, _, _ = run(on(LOGISTIC, forest))
    assert alone.models[Role.CANDIDATE].artifact_digest == case.models[Role.CANDIDATE].artifact_digest


# --- faults of training -----------------------------------------------------------------------------------------------


def test_a_stale_model_has_not_seen_the_newest_rows(rows):
    fresh = training_rows(rows, [fault(StaleTraining(0.25))], Role.CANDIDATE, 1)
    pd.testing.assert_frame_equal(fresh.rows, rows.rows[:150])
    assert training_rows(rows, [fault(StaleTraining(0.25))], Role.STABLE, 1) is rows


def test_corrupt_labels_are_another_rows_and_nest(rows):
    known = Rows(rows.rows, np.arange(200), ())
    changed = {}
    for share in (0.1, 0.3):
        found = training_rows(known, [fault(CorruptTraining(share))], Role.CANDIDATE, 1)
        changed[share] = {place: found.target[place] for place in range(200) if found.target[place] != place}
        assert len(changed[share]) == 200 * share
    assert changed[0.1].items() <= changed[0.3].items()


def test_a_fault_of_training_makes_another_and_a_worse_model():
    plain, _, _ = run(on())
    broken, _, _ = run(on(faults=(fault(CorruptTraining(0.9), BOTH), fault(StaleTraining(0.2), CANDIDATE))))
    for role in ARMS:
        assert broken.models[role].artifact_digest != plain.models[role].artifact_digest
        assert broken.models[role].metrics["auc"] < plain.models[role].metrics["auc"]


def test_a_fault_that_leaves_nothing_is_told(rows):
    with pytest.raises(InputError, match="what is left does not suffice to train candidate on"):
        training_rows(rows, [fault(StaleTraining(0.99))], Role.CANDIDATE, 1)


# --- models that are brought ------------------------------------------------------------------------------------------


def test_a_model_file_takes_the_place_of_training(tmp_path):
    case, _, _ = run(on())
    path = tmp_path / "model.skops"
    artifact.save(case.models[Role.STABLE].estimator, path)
    other, events, _ = run(on(ArtifactPlan(str(path)), ArtifactPlan(str(path), MINUTE)))
    model = other.models[Role.STABLE]
    assert model.artifact_digest == case.models[Role.STABLE].artifact_digest
    assert model.metrics == case.models[Role.STABLE].metrics
    assert (model.features, model.classes) == (case.models[Role.STABLE].features, ("No", "Yes"))
    assert (model.source, model.algorithm, model.data_digest) == (Source.ARTIFACT, "LogisticRegression", None)
    assert events.last(ModelReady).at_ns == MINUTE


async def test_a_registered_model_takes_the_place_of_training():
    case, _, _ = await _in_thread(run, on())
    registry = MemoryRegistry()
    revision = await registry.register(replace(case.models[Role.STABLE], name="churn"), "intent-1")
    await registry.set_alias(revision, "stable")
    other, events, _ = await _in_thread(lambda: run(on(RegisteredPlan("stable")), registry=registry))
    assert other.models[Role.STABLE].source is Source.REGISTERED
    assert other.models[Role.STABLE].role is Role.STABLE
    assert events.first(ModelReady).artifact_digest == revision.digest


async def _in_thread(work, *args):
    import anyio

    return await anyio.to_thread.run_sync(work, *args)


@pytest.mark.parametrize(
    ("of", "error", "message"),
    [
        (on(RegisteredPlan("stable")), RegistryError, "no model 'churn'"),
        (on(ArtifactPlan("absent.skops")), ArtifactError, "absent.skops: there is no such file"),
        (on(TrainPlan("ridge", {})), InputError, "ridge is an algorithm for regression"),
        (on(TrainPlan("ridges", {})), InputError, "no algorithm 'ridges'; did you mean ridge"),
        (on(data=None), InputError, "model.stable is to be trained, but the scenario has no model.data"),
    ],
)
def test_what_cannot_be_had_is_told(of, error, message):
    with pytest.raises(error, match=message):
        run(of, registry=MemoryRegistry())


FRAME = pd.DataFrame({"x": np.arange(20.0), "n": np.arange(20) % 3})
LABELS = np.array(["No", "Yes"] * 10)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (LogisticRegression(), "is not fitted; fit it before"),
        (DecisionTreeClassifier().fit(FRAME, FRAME["n"]), "tells 3 classes apart"),
        (FRAME, "a DataFrame is neither a classifier nor a regressor"),
    ],
)
def test_files_that_hold_no_usable_model_are_told(estimator, message):
    with pytest.raises(ArtifactError, match=message):
        brought(estimator, "m", Role.STABLE, "model.skops")


@pytest.mark.parametrize(
    ("estimator", "classes", "message"),
    [
        (LogisticRegression().fit(FRAME, LABELS), (), "a model for classification, but the target holds numbers"),
        (
            LinearRegression().fit(FRAME, FRAME["n"]),
            ("No", "Yes"),
            "a model for regression, but the target holds labels",
        ),
        (LogisticRegression().fit(FRAME, LABELS), ("stays", "leaves"), "answers 'No' or 'Yes', but the target holds"),
        (LogisticRegression().fit(FRAME.assign(z=1.0), LABELS), ("No", "Yes"), "data's features lack: z; the features"),
        (LogisticRegression().fit(FRAME.to_numpy(), LABELS), ("No", "Yes"), "fitted to 2 unnamed columns"),
    ],
)
def test_models_that_do_not_fit_the_data_are_told(estimator, classes, message):
    population = Rows(FRAME, np.arange(20) % 2, classes)
    with pytest.raises(DataError, match=message):
        check_fits(brought(estimator, "m", Role.STABLE, "model.skops"), population, "model.skops")


@pytest.mark.parametrize(
    ("labels", "classes", "positive"),
    [
        (LABELS, ("No", "Yes"), "Yes"),
        (LABELS, ("Yes", "No"), "No"),
        (np.arange(20) % 2, ("No", "Yes"), "1"),
        (np.arange(20) % 2 == 1, ("No", "Yes"), "True"),
        (np.arange(20.0) % 2, ("0", "1"), "1.0"),
    ],
)
def test_the_positive_class_is_that_of_the_data(labels, classes, positive):
    truth = np.arange(20) % 2 if classes[1] != "No" else 1 - np.arange(20) % 2
    population = Rows(FRAME.assign(x=np.arange(20) % 2), truth, classes)
    estimator = DecisionTreeClassifier().fit(population.rows, labels)
    model = check_fits(brought(estimator, "m", Role.STABLE, "model.skops"), population, "model.skops")
    assert model.classes[-1] == positive
    assert evaluate(model, population)["accuracy"] == evaluate(model, population)["auc"] == 1.0


def test_a_model_without_probabilities_is_measured_by_its_decisions():
    population = Rows(FRAME.assign(x=np.arange(20) % 2), np.arange(20) % 2, ("No", "Yes"))
    model = brought(LinearSVC().fit(population.rows, LABELS), "m", Role.STABLE, "model.skops")
    metrics = evaluate(model, population)
    assert metrics["auc"] == metrics["accuracy"] == 1.0
    assert "log_loss" not in metrics


def test_regression_is_measured_by_its_errors():
    rows = make_rows(regression=True)
    model = brought(fitted("ridge", rows).estimator, "m", Role.STABLE, "model.skops")
    metrics = evaluate(check_fits(model, rows, "model.skops"), rows)
    assert list(metrics) == ["rmse", "mae", "r2"]
    assert metrics["r2"] > 0.5


def test_a_model_that_cannot_answer_is_told():
    population = Rows(FRAME.assign(x=np.nan), np.arange(20) % 2, ("No", "Yes"))
    model = brought(LogisticRegression().fit(FRAME, LABELS), "m", Role.STABLE, "model.skops")
    with pytest.raises(ArtifactError, match=r"the stable model m cannot answer the held-out rows.*NaN"):
        evaluate(model, population)


def test_metrics_that_rows_do_not_define_are_left_out():
    model = brought(LogisticRegression().fit(FRAME, LABELS), "m", Role.STABLE, "model.skops")
    nothing = replace(
        model, estimator=fitted("majority", Rows(FRAME, np.array([0] * 15 + [1] * 5), ("No", "Yes"))).estimator
    )
    assert list(evaluate(nothing, Rows(FRAME, np.arange(20) % 2, ("No", "Yes")))) == [
        "accuracy", "recall", "f1", "auc", "log_loss",
    ]  # fmt: skip
    assert list(evaluate(nothing, Rows(FRAME, np.zeros(20, dtype=np.int64), ("No", "Yes")))) == ["accuracy"]
