# ruff: noqa: N806 - the usual names
"""Training under the handbook's names: its own cases as written there, and against scikit-learn and MLflow."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.model_selection import cross_validate as sklearns
from sklearn.naive_bayes import GaussianNB

import harness
from harness import (
    ExperimentTracker,
    HyperparameterTuner,
    MLflowExperimentTracker,
    ModelEvaluator,
    ModelTrainer,
    TrainingPipeline,
)
from harness.clock import run_real
from harness.errors import InputError
from harness.training import artifact
from harness.training.features import pipeline as features_and

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow", "ignore::DeprecationWarning:sqlalchemy")


def frame(rows: int = 200, seed: int = 3) -> pd.DataFrame:
    drawn = np.random.default_rng(seed)
    x = drawn.standard_normal(rows)
    return pd.DataFrame(
        {
            "x": x,
            "noise": drawn.standard_normal(rows),
            "kind": drawn.choice(["a", "b"], rows),
            "target": (x + 0.3 * drawn.standard_normal(rows) > 0).astype(int),
        }
    )


class TestModelTrainer:
    """The cases of the handbook."""

    @patch("sklearn.ensemble.RandomForestClassifier")
    def test_model_training(self, mock_model_class: Mock) -> None:
        mock_model = Mock()
        mock_model_class.return_value = mock_model
        trainer = ModelTrainer()
        X_train = pd.DataFrame({"feature1": [1, 2, 3, 4, 5], "feature2": [10, 20, 30, 40, 50]})
        y_train = pd.Series([0, 1, 0, 1, 0])
        result = trainer.train_model(
            X_train=X_train, y_train=y_train, algorithm="random_forest", hyperparameters={"n_estimators": 100}
        )
        mock_model.fit.assert_called_once_with(X_train, y_train)
        assert result.model is mock_model
        assert result.training_successful is True
        mock_model_class.assert_called_once_with(n_estimators=100)

    def test_cross_validation(self) -> None:
        trainer = ModelTrainer()
        drawn = np.random.default_rng(1)
        X = pd.DataFrame({"feature1": drawn.random(100), "feature2": drawn.random(100)})
        y = pd.Series(drawn.integers(0, 2, 100))
        cv_results = trainer.cross_validate(
            X=X, y=y, algorithm="random_forest", cv_folds=5, hyperparameters={"n_estimators": 5}
        )
        assert set(cv_results) == {"accuracy", "precision", "recall", "f1"}
        assert all(len(values) == 5 for values in cv_results.values())

    def test_end_to_end(self) -> None:
        data = frame(400)
        X = pd.get_dummies(data.drop(columns="target"), columns=["kind"])
        X_train, X_test, y_train, y_test = train_test_split(X, data["target"], test_size=0.2, random_state=42)
        result = ModelTrainer().train_model(
            X_train=X_train,
            y_train=y_train,
            algorithm="random_forest",
            hyperparameters={"n_estimators": 10, "random_state": 42},
        )
        assert result.training_successful is True
        evaluated = ModelEvaluator().evaluate_model(
            model=result.model, X_test=X_test, y_test=y_test, metrics=["accuracy", "precision", "recall", "f1"]
        )
        assert evaluated.metrics["accuracy"] > 0.5
        mine = RandomForestClassifier(n_estimators=10, random_state=42).fit(X_train, y_train)
        assert (result.model.predict(X_test) == mine.predict(X_test)).all()


# --- training ---------------------------------------------------------------------------------------------------------


def test_cross_validation_is_scikit_learns_on_the_same_folds() -> None:
    data = frame()
    X, y = data[["x", "noise"]], data["target"]
    found = ModelTrainer(random_state=5).cross_validate(X, y, "naive_bayes", cv_folds=4)
    made = features_and(X, GaussianNB())
    folds = StratifiedKFold(4, shuffle=True, random_state=5)
    theirs = sklearns(made, X, y, cv=folds, scoring=["accuracy", "precision", "recall", "f1"])
    for name, values in found.items():
        assert values == pytest.approx(theirs[f"test_{name}"].tolist(), abs=1e-12)


def test_answers_of_three_labels_and_numbers_are_cross_validated_too() -> None:
    data = frame()
    three = pd.cut(data["x"], 3, labels=["low", "mid", "high"]).astype(str)
    assert np.mean(ModelTrainer().cross_validate(data[["x"]], three, "knn", 3)["f1"]) > 0.9
    found = ModelTrainer().cross_validate(data[["x"]], 2 * data["x"] + 1, "linear_regression", 3)
    assert found["rmse"] == pytest.approx([0, 0, 0], abs=1e-9)
    assert list(found) == ["rmse", "mae", "r2"]


def test_a_frame_with_texts_is_trained_with_its_features() -> None:
    data = frame()
    result = ModelTrainer().train(data, {"C": 1.0}, "e1", "logistic_regression")
    assert (result.experiment_id, result.training_successful) == ("e1", True)
    assert result.duration > 0
    assert result.hyperparameters == {"C": 1.0, "max_iter": 1000, "random_state": 0}
    assert (result.model.predict(data.drop(columns="target")) == data["target"]).mean() > 0.8
    same = ModelTrainer().train(
        (data.drop(columns="target"), data["target"]), {"C": 1.0}, algorithm="logistic_regression"
    )
    assert (same.model[-1].coef_ == result.model[-1].coef_).all()


def test_what_scikit_learn_refuses_is_a_training_that_failed() -> None:
    result = ModelTrainer().train_model(frame()[["x"]], [1, 0], "logistic_regression")
    assert result.training_successful is False
    assert result.model is None
    assert "inconsistent numbers of samples" in result.error


def test_what_cannot_be_read_is_told() -> None:
    with pytest.raises(InputError, match=r"no algorithm 'forest'.*random_forest"):
        ModelTrainer().train_model([[1]], [1], "forest")
    with pytest.raises(InputError, match="cannot be made with"):
        ModelTrainer().train_model([[1]], [1], "ridge", {"alpa": 1})
    with pytest.raises(InputError, match=r"no column 'target' to predict; name it with target= \(columns: x"):
        ModelTrainer().train(frame()[["x", "noise"]])


def test_a_search_finds_what_fits_and_is_the_same_each_time() -> None:
    tuner = HyperparameterTuner(trials=6, cv_folds=3, metric="accuracy")
    space = {"max_depth": [1, 3, None], "min_samples_leaf": {"int": [1, 40]}}
    found = tuner.tune(frame(), "decision_tree", space, {"criterion": "entropy"})
    assert set(found.best_parameters) == {"criterion", "max_depth", "min_samples_leaf"}
    assert found == tuner.tune(frame(), "decision_tree", space, {"criterion": "entropy"})
    best = max(trial.value for trial in found.trials if trial.value is not None)
    assert found.best_value == best
    with pytest.raises(InputError, match="sampler is 'grit'; it is one of tpe, random, grid"):
        HyperparameterTuner(sampler="grit")


# --- the pipeline -----------------------------------------------------------------------------------------------------


def config(**changes: Any) -> dict[str, Any]:
    data = frame(300)
    return {
        "experiment_name": "churn",
        "parameters": {"max_depth": 3},
        "algorithm": "decision_tree",
        "training_data": data[:200],
        "test_data": data[200:],
        "metrics": {"accuracy": 0.7},
    } | changes


def test_a_model_that_is_good_enough_is_registered(options: harness.Options) -> None:
    pipeline = TrainingPipeline(options)
    done = pipeline.run_training_pipeline(config())
    assert done["status"] == "success"
    assert str(done["model"]) == "churn:1"
    assert done["experiment"].metrics == done["evaluation"].metrics
    assert done["experiment"].status == "FINISHED"
    (kept,) = run_real(options.registry.versions, "churn")
    assert kept.metrics == done["evaluation"].metrics


def test_one_that_is_not_is_told_so(options: harness.Options) -> None:
    done = TrainingPipeline(options).run_training_pipeline(config(metrics={"accuracy": 0.999}))
    assert (done["status"], done["reason"], done["model"]) == ("failed", "performance_below_threshold", None)
    assert done["experiment"].status == "FAILED"


def test_a_search_goes_before_where_it_is_wanted(options: harness.Options) -> None:
    tuner = HyperparameterTuner(trials=3, cv_folds=2)
    pipeline = TrainingPipeline(options, hyperparameter_tuner=tuner)
    space = {"max_depth": [1, 2, 4]}
    done = pipeline.run_training_pipeline(config(hyperparameter_tuning=True, search_space=space))
    assert done["status"] == "success"
    assert pipeline.model_trainer.train(config()["training_data"], {"max_depth": 1}).training_successful
    with pytest.raises(InputError, match="needs a search_space"):
        pipeline.run_training_pipeline(config(hyperparameter_tuning=True))


def test_a_training_that_fails_and_one_that_lacks_something(options: harness.Options) -> None:
    pipeline = TrainingPipeline(options)
    done = pipeline.run_training_pipeline(config(parameters={"max_depth": -1}))
    assert done["status"] == "failed"
    assert done["reason"].startswith("training_failed: The 'max_depth' parameter")
    with pytest.raises(InputError, match="metrics is missing"):
        pipeline.run_training_pipeline({key: value for key, value in config().items() if key != "metrics"})


# --- trackers ---------------------------------------------------------------------------------------------------------


def test_experiments_stay_in_their_folder(tmp_path: Path) -> None:
    tracker = ExperimentTracker(tmp_path)
    first = tracker.start_experiment("churn", {"C": 1.0})
    second = tracker.start_experiment(name="churn", parameters={"C": 2.0})
    assert first.id != second.id
    tracker.log_metrics(first.id, {"f1": 0.6})
    tracker.log_parameters(first.id, {"solver": "lbfgs"})
    tracker.end_experiment(first.id)
    rows = ExperimentTracker(tmp_path).compare_experiments([second.id, first.id])
    assert [row["parameters"] for row in rows] == [{"C": 2.0}, {"C": 1.0, "solver": "lbfgs"}]
    assert (rows[1]["metrics"], rows[1]["status"], rows[0]["status"]) == ({"f1": 0.6}, "FINISHED", "RUNNING")
    with pytest.raises(InputError, match="no experiment 'x'"):
        tracker.get("x")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(InputError, match="not an experiment, or damaged"):
        ExperimentTracker(tmp_path)


@pytest.fixture
def store(mlflow_template: Path, tmp_path: Path) -> Callable[[], str]:
    path = tmp_path / "runs.db"
    shutil.copy(mlflow_template, path)
    return lambda: f"sqlite:///{path}"


def test_runs_of_mlflow_leave_its_own_state_alone(store: Callable[[], str], tmp_path: Path) -> None:
    import mlflow

    before = mlflow.get_tracking_uri()
    tracker = MLflowExperimentTracker(store(), "churn")
    one = tracker.start_run("first", {"who": "me"})
    tracker.log_parameters({"C": 1.0, "solver": "lbfgs"})
    tracker.log_metrics({"f1": 0.5}, step=1)
    tracker.log_metrics({"f1": 0.6}, step=2)
    (tmp_path / "note.txt").write_text("hello")
    tracker.log_artifact(tmp_path / "note.txt", "notes")
    two = tracker.start_run()
    tracker.log_metrics({"f1": 0.7})
    tracker.end_run(run_id=one)
    assert tracker.run_id == two

    first, second = MLflowExperimentTracker(store(), "churn").compare_experiments([one, two])
    assert (first["run_id"], first["params"], first["metrics"]) == (one, {"C": "1.0", "solver": "lbfgs"}, {"f1": 0.6})
    assert (first["status"], second["status"], first["tags"]["who"]) == ("FINISHED", "RUNNING", "me")
    assert first["experiment_id"] == second["experiment_id"] == tracker.experiment_id
    kept = tracker._mlflow.client.list_artifacts(one, "notes")
    assert [each.path for each in kept] == ["notes/note.txt"]
    assert mlflow.get_tracking_uri() == before
    assert mlflow.active_run() is None


def test_a_model_is_kept_without_code_and_registered(store: Callable[[], str]) -> None:
    tracker = MLflowExperimentTracker(store(), "churn")
    data = frame()
    model = LogisticRegression().fit(data[["x"]], data["target"])
    run = tracker.start_run()
    assert int(tracker.log_model(model, "churn-model", {"team": "growth"}).version) == 1
    assert int(tracker.log_model(model, "churn-model").version) == 2
    folder = Path(tracker._mlflow.client.download_artifacts(run, "churn-model"))
    loaded = artifact.load(next(folder.glob("*.skops")))
    assert (loaded.coef_ == model.coef_).all()
    with pytest.raises(InputError, match="there is no such file"):
        tracker.log_artifact("nowhere.txt")
    tracker.end_run()
    with pytest.raises(InputError, match="call start_run first"):
        tracker.log_metrics({"f1": 1.0})
    assert json.dumps(tracker.compare_experiments([run]))


def test_a_place_that_is_none_is_told() -> None:
    with pytest.raises(InputError, match="mlruns"):
        MLflowExperimentTracker("file:./mlruns", "churn")


def test_labels_of_two_kinds_have_an_order_too() -> None:
    rows = pd.DataFrame({"a": np.arange(40.0)})
    found = HyperparameterTuner(trials=1, cv_folds=2).tune(
        (rows, pd.Series([1, "b"] * 20, dtype=object)), "decision_tree", {"max_depth": [1]}
    )
    assert 0 <= found.best_value <= 1
