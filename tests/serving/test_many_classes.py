"""Classifiers of any number of classes, held against the estimator's own answers and MLflow's scoring server."""

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from jsonschema import Draft202012Validator
from prometheus_client.parser import text_string_to_metric_families
from sklearn.datasets import load_digits, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from harness.app import serving as app_serving
from harness.app.serving import Options
from harness.clock import run_real
from harness.domain.model import Role
from harness.errors import ArtifactError, BackendError
from harness.serving.server import Settings
from harness.training import artifact
from harness.training.brought import brought
from tests import requires
from tests.serving.trained import post, running, serving

INFER = "/v2/models/churn/infer"
KINDS = ("alkaline", "blend", "claret")


@cache
def wine() -> pd.DataFrame:
    """178 wines of three growers, 13 columns of numbers (Forina et al., 1991); shuffled, the grower last."""
    frame = load_wine(as_frame=True).frame
    return frame.sample(frac=1.0, random_state=7, ignore_index=True)


FRAME = wine().drop(columns="target")
NUMBERS = wine()["target"].to_numpy()
TEXTS = np.array(KINDS, dtype=object)[NUMBERS]
ROWS = [json.loads(line) for line in FRAME.iloc[:40].to_json(orient="records", lines=True, double_precision=15).split()]

MODELS: dict[str, Any] = {
    "texts, logistic regression": (make_pipeline(StandardScaler(), LogisticRegression()), TEXTS),
    "whole numbers, logistic regression": (make_pipeline(StandardScaler(), LogisticRegression()), NUMBERS * 10 - 10),
    "texts, forest": (RandomForestClassifier(12, max_depth=2, random_state=1), TEXTS),
    "whole numbers, forest": (RandomForestClassifier(12, max_depth=2, random_state=1), NUMBERS),
    "boosted trees": (HistGradientBoostingClassifier(max_iter=5), NUMBERS),
    "neighbours": (KNeighborsClassifier(7), TEXTS),
    "says no probabilities": (make_pipeline(StandardScaler(), LinearSVC()), TEXTS),
    "one class": (RandomForestClassifier(3), np.full(len(FRAME), "all")),
}


@cache
def fitted(word: str) -> Any:
    estimator, target = MODELS[word]
    return estimator.fit(FRAME, target)


def tensors(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "inputs": [
            {"name": name, "shape": [len(rows)], "datatype": "FP64", "data": [row[name] for row in rows]}
            for name in FRAME.columns
        ]
    }


@pytest.mark.parametrize("word", MODELS)
async def test_all_protocols_say_what_the_estimator_says(word: str) -> None:
    model = fitted(word)
    labels = model.predict(FRAME.iloc[:40]).tolist()
    sure = model.predict_proba(FRAME.iloc[:40]).max(axis=1) if hasattr(model, "predict_proba") else [None] * 40
    async with running(serving(model)) as (_, session):
        plain = [(await post(session, "/predict", row))[1] for row in ROWS]
        _, mlflow = await post(session, "/invocations", {"dataframe_records": ROWS})
        _, v2 = await post(session, INFER, tensors(ROWS))
        async with session.get("/metrics") as response:
            families = {each.name: each for each in text_string_to_metric_families(await response.text())}
    assert [each["prediction"] for each in plain] == [str(label) for label in labels]
    assert [each["confidence"] for each in plain] == [one and pytest.approx(one, rel=1e-12) for one in sure]
    assert mlflow == {"predictions": labels}
    outputs = {each["name"]: each for each in v2["outputs"]}
    assert outputs["prediction"]["data"] == labels
    assert outputs["prediction"]["datatype"] == ("BYTES" if isinstance(labels[0], str) else "INT64")
    assert ("confidence" in outputs) is hasattr(model, "predict_proba")
    if "confidence" in outputs:
        assert outputs["confidence"]["data"] == pytest.approx(sure, rel=1e-12)
    counted = {
        each.labels["label"]: each.value for each in families["model_predictions"].samples if "_total" in each.name
    }
    assert counted == {str(label): 3.0 * labels.count(label) for label in set(labels)}


def test_ten_classes_are_answered_alike_by_arrays_and_by_tables() -> None:
    digits = load_digits(as_frame=True)
    forest = RandomForestClassifier(8, random_state=1).fit(digits.data, digits.target)
    one = serving(forest)
    from harness.serving.answering import Answerer

    answerer = Answerer(forest, one.features, one.task)
    rows = digits.data.to_numpy().tolist()
    assert answerer.quick
    assert answerer.answer(rows) == answerer.slow(rows)
    assert answerer.answer(rows).values == forest.predict(digits.data).tolist()
    assert one.labels == tuple(range(10))


async def test_the_document_and_labels_know_every_class(tmp_path: Path) -> None:
    one = serving(fitted("texts, forest"))
    async with running(one, Settings(prediction_log=str(tmp_path / "p.jsonl"))) as (_, session):
        async with session.get("/openapi.json") as response:
            document = await response.json()
        answer = Draft202012Validator({"$ref": "#/components/schemas/Answer", "components": document["components"]})
        _, said = await post(session, "/predict", ROWS[0])
        answer.validate(said)
        assert not answer.is_valid(said | {"prediction": "other"})
        assert document["x-harness"]["labels"] == list(KINDS)
        assert (await post(session, "/labels", {"id": said["id"], "label": "claret"}))[0] == 200
        status, told = await post(session, "/labels", {"id": said["id"], "label": "other"})
        assert (status, "one of alkaline, blend, claret" in told["error"]) == (422, True)


# --- from where they come ---------------------------------------------------------------------------------------------


def test_a_file_is_served_though_a_rollout_refuses_it(tmp_path: Path) -> None:
    path = tmp_path / "wine.skops"
    artifact.save(fitted("texts, forest"), path)
    found = app_serving.find(Options(str(path)))
    assert found.labels == KINDS
    with pytest.raises(
        ArtifactError, match=r"tells 3 classes apart; only binary .* \(harness serve takes any number\)"
    ):
        brought(fitted("texts, forest"), "wine", Role.CANDIDATE, "wine.skops")


@pytest.mark.xdist_group("mlflow")
@pytest.mark.filterwarnings("ignore")
def test_a_version_in_mlflow_is_served_though_a_rollout_refuses_it(mlflow_template: Path, tmp_path: Path) -> None:
    from harness.backends.mlflow import MlflowRegistry

    database = tmp_path / "registry.db"
    shutil.copy(mlflow_template, database)
    from tests.mlflow_server import client

    theirs = client(f"sqlite:///{database}")
    theirs.create_registered_model("wine")
    theirs.create_model_version("wine", saved_by_mlflow("whole numbers, forest", tmp_path / "model").as_uri())
    found = app_serving.find(Options("wine:1", f"mlflow+sqlite:///{database}"))
    assert (found.labels, found.version) == ((0, 1, 2), "1")

    async def of_a_run() -> None:
        await MlflowRegistry(f"sqlite:///{database}").fetch("models:/wine/1")

    with pytest.raises(BackendError, match="tells 3 classes apart; only binary"):
        run_real(of_a_run)


def saved_by_mlflow(word: str, folder: Path) -> Path:
    requires.module("mlflow")
    import mlflow

    mlflow.sklearn.save_model(
        fitted(word), folder, serialization_format="skops", pip_requirements=["scikit-learn"],
        skops_trusted_types=["numpy.dtype", "sklearn.tree._tree.Tree"],
    )  # fmt: skip
    return folder


@pytest.mark.parametrize("word", ["texts, forest", "whole numbers, forest", "texts, logistic regression"])
@pytest.mark.xdist_group("mlflow")
@pytest.mark.filterwarnings("ignore")
async def test_invocations_are_answered_as_mlflow_answers_them(word: str, tmp_path: Path) -> None:
    folder = saved_by_mlflow(word, tmp_path / "model")
    import mlflow
    from mlflow.pyfunc import scoring_server

    body = json.dumps({"dataframe_records": ROWS}).encode()
    theirs = scoring_server.invocations(body.decode(), "application/json", mlflow.pyfunc.load_model(str(folder)), None)
    assert theirs.status == 200
    async with running(serving(fitted(word))) as (_, session):
        assert await post(session, "/invocations", body) == (200, json.loads(theirs.response))


# --- what is still refused --------------------------------------------------------------------------------------------

TWO = np.column_stack([NUMBERS, NUMBERS > 0]).astype(int)


@pytest.mark.parametrize(
    ("estimator", "target"),
    [
        (Ridge(), TWO),
        (RandomForestRegressor(3), TWO),
        (MultiOutputClassifier(LogisticRegression(max_iter=5000)), TWO),
        (RandomForestClassifier(3), TWO),
        (MLPClassifier((3,), max_iter=1000, tol=1.0, random_state=1), np.minimum(TWO, 1)),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_model_of_several_targets_is_refused(estimator: Any, target: Any) -> None:
    with pytest.raises(
        ArtifactError, match=r"(answers 2 targets at once|each row with 2 values); save a model for each"
    ):
        serving(estimator.fit(FRAME, target))


async def test_a_regressor_of_one_column_is_one_of_one_target() -> None:
    model = Ridge().fit(FRAME, NUMBERS.reshape(-1, 1).astype(float))
    async with running(serving(model)) as (_, session):
        _, said = await post(session, "/invocations", {"dataframe_records": ROWS})
    assert said["predictions"] == pytest.approx(np.ravel(model.predict(FRAME.iloc[:40])).tolist(), rel=1e-12)


@pytest.mark.filterwarnings("ignore:The `probability` parameter:FutureWarning")
async def test_where_the_likeliest_is_not_the_answer_the_answer_counts() -> None:
    """An SVM's probabilities come of a model of their own, and disagree with its answer now and then."""
    model = make_pipeline(StandardScaler(), SVC(C=0.01, probability=True, random_state=1)).fit(FRAME, TEXTS)
    labels, chances = model.predict(FRAME.iloc[:40]), model.predict_proba(FRAME.iloc[:40])
    assert (labels != model.classes_[chances.argmax(axis=1)]).any()
    async with running(serving(model)) as (_, session):
        _, said = await post(session, INFER, tensors(ROWS))
    prediction, confidence = said["outputs"]
    assert prediction["data"] == labels.tolist()
    of_them = chances[np.arange(40), np.searchsorted(model.classes_, labels)]
    assert confidence["data"] == pytest.approx(of_them.tolist(), rel=1e-12)
