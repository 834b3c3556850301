"""A whole rehearsal of a model that is known by its predictions alone, beside the same model in the loop."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor, VotingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from harness import app, log
from harness.domain.event import (
    Evaluated,
    GateChecked,
    Measured,
    ModelReady,
    Promoted,
    Registered,
    RolledBack,
    RunEnded,
    Totalled,
)
from harness.domain.model import Role, Source

DRAWS = np.random.Generator(np.random.Philox(23))
ROWS = 1200
TABLE = pd.DataFrame({"id": [f"c{number:04}" for number in range(ROWS)], "x": DRAWS.normal(size=ROWS)})
TABLE["y"] = DRAWS.normal(size=ROWS)
TRUE = TABLE["x"] - 0.5 * TABLE["y"] ** 2 + DRAWS.normal(0, 0.6, ROWS)
SCENARIO = """\
harness: 1
name: own
seed: 5
model:
  name: m
  data: {source: rows.csv, target: target, POSITIVE}
  stable: STABLE
  candidate: CANDIDATE
  gates: [GATE]
traffic: {constant: 40/s}
labels: {delay: 1m, share: 60%}
rollout:
  strategy: canary
  steps: [{weight: 50%}, {pause: 15m}]
  analysis: {every: 1m, window: 5m, min_requests: 100, failure_limit: 2, rules: [RULES]}
"""
SOUND = {
    "POSITIVE": 'positive: "yes"',
    "STABLE": "{artifact: model.pkl}",
    "CANDIDATE": "{artifact: model.pkl}",
    "GATE": "accuracy >= 50%",
    "RULES": "accuracy >= stable - 10%, f1 >= stable - 20%, prediction_drift <= 0.5, drift_score <= 0.9",
}
LABELS = "{predictions: given.csv.gz, key: id, column: answer}"
SCORED = "{predictions: given.csv.gz, key: id, column: answer, score: chance}"


def rehearsed(folder: Path, **changes: str) -> log.Events:
    text = SCENARIO
    for word, value in {**SOUND, **changes}.items():
        text = text.replace(word, value)
    (folder / "own.yaml").write_text(text)
    scenario = app.load_scenario(folder / "own.yaml", trust_pickle=True)
    made = app.rehearse(scenario, app.Options(reports=folder / "reports", cache=False))
    return log.Events(made.log.events)


def files(folder: Path, model: Any, *, regression: bool = False) -> None:
    """The data set, the fitted model, and what it answers to every row."""
    target = TRUE if regression else np.where(TRUE > -0.3, "yes", "no")
    TABLE.assign(target=target).to_csv(folder / "rows.csv", index=False)
    model.fit(TABLE[["x", "y"]][:300], target[:300])
    joblib.dump(model, folder / "model.pkl")
    given = pd.DataFrame({"id": TABLE["id"], "answer": model.predict(TABLE[["x", "y"]])})
    if hasattr(model, "predict_proba"):
        given["chance"] = model.predict_proba(TABLE[["x", "y"]])[:, list(model.classes_).index("yes")]
    given.sample(frac=1, random_state=1).to_csv(folder / "given.csv.gz", index=False)


def told(events: log.Events) -> list[Any]:
    """Every figure of a run: on held-out rows, of each look, and of the whole."""
    return [*events.of(Evaluated), *events.of(GateChecked), *events.of(Measured), *events.of(Totalled)]


@pytest.mark.parametrize(
    ("model", "changes", "candidate"),
    [
        (
            LogisticRegression(),
            {"RULES": SOUND["RULES"] + ", auc >= stable - 10%, log_loss <= stable + 0.2"},
            SCORED,
        ),
        (RandomForestClassifier(20, random_state=2), {}, SCORED),
        # What it answers is not what is likelier by its own probabilities.
        (FixedThresholdClassifier(LogisticRegression(), threshold=0.8), {}, SCORED),
        # Hard votes: neither probabilities nor a decision function.
        (VotingClassifier([("nb", GaussianNB()), ("tree", DecisionTreeClassifier(max_depth=3))]), {}, LABELS),
        (
            RandomForestRegressor(20, random_state=2),
            {"POSITIVE": "", "GATE": "r2 >= 0", "RULES": "rmse <= stable * 1.5, r2 >= 0, prediction_drift <= 0.5"},
            LABELS,
        ),
        (Ridge(), {"POSITIVE": "", "GATE": "r2 >= -1", "RULES": "mae <= stable * 1.5"}, LABELS),
    ],
    ids=["logistic", "forest", "threshold", "hard-votes", "forest-regressor", "ridge"],
)  # fmt: skip
def test_predictions_of_a_model_give_the_figures_of_the_model_itself(
    tmp_path: Path, model: Any, changes: dict[str, str], candidate: str
) -> None:
    files(tmp_path, model, regression="POSITIVE" in changes)
    itself, by_file = rehearsed(tmp_path, **changes), rehearsed(tmp_path, **changes, CANDIDATE=candidate)
    assert by_file.of(ModelReady)[1].source is Source.RECORDED
    assert sum(each.candidate is not None for each in itself.of(Measured)) >= 10
    assert told(by_file) == told(itself)
    both = rehearsed(tmp_path, **changes, CANDIDATE=candidate, STABLE=candidate)
    assert told(both) == told(itself)
    assert [each.version for each in both.of(Registered)] == [1, 2]
    assert both.only(Promoted)


def test_worse_predictions_are_rejected_by_a_gate_or_rolled_back_by_a_rule(tmp_path: Path) -> None:
    files(tmp_path, LogisticRegression())
    given = pd.read_csv(tmp_path / "given.csv.gz")
    wrong = np.where(DRAWS.random(ROWS) < 0.35, np.where(given["answer"] == "yes", "no", "yes"), given["answer"])
    given.assign(answer=wrong).to_csv(tmp_path / "worse.csv", index=False)
    worse = "{predictions: worse.csv, key: id, column: answer}"
    rolled_back = rehearsed(tmp_path, STABLE=LABELS, CANDIDATE=worse)
    assert rolled_back.only(RolledBack)
    assert "accuracy" in rolled_back.only(RunEnded).reason
    rejected = rehearsed(tmp_path, STABLE=LABELS, CANDIDATE=worse, GATE="accuracy >= stable - 5%")
    assert not rejected.only(GateChecked).passed
    assert not rejected.of(Totalled)


def test_drift_moves_the_rows_and_not_the_recorded_answers(tmp_path: Path) -> None:
    files(tmp_path, LogisticRegression())
    drift = "inject: [{at: 0s, drift: {column: x, shift: 3sd}}]\ntraffic"
    rules = {"RULES": "accuracy >= 0%, drift_score <= 100%, prediction_drift <= 100%"}

    def totals(candidate: str, injected: str) -> tuple[log.Events, Any]:
        text = {"CANDIDATE": candidate, "traffic": injected}
        events = rehearsed(tmp_path, **rules, **text)
        return events, events.only(Totalled).arms[Role.CANDIDATE].figures

    (_, calm), (log_, moved), (_, itself) = (
        totals(SCORED, "traffic"),
        totals(SCORED, drift),
        totals("{artifact: model.pkl}", drift),
    )
    assert moved["accuracy"] == calm["accuracy"]
    assert itself["accuracy"] < calm["accuracy"] - 0.1, "the model itself is led astray"
    notes = log_.of(ModelReady)[1].notes
    assert any(note.startswith("inject `") and note.endswith("which are recorded") for note in notes)
    assert moved["prediction_drift"] == calm["prediction_drift"]
    assert moved["drift_score"] > calm["drift_score"] + 0.2
