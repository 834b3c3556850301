"""What becomes known of answers: a proxy column, or a file of outcomes that is joined; counted once more by pandas."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from harness import app, log
from harness.data import dataset
from harness.domain.event import Totalled
from harness.domain.model import DataPlan, KnownPlan, Role
from harness.errors import DataError, ScenarioError

DRAWS = np.random.Generator(np.random.Philox(5))
ROWS = 600
TABLE = pd.DataFrame({"id": [f"c{number:04}" for number in range(ROWS)], "x": DRAWS.normal(size=ROWS)})
TABLE["bought"] = np.where(TABLE["x"] + DRAWS.normal(0, 0.5, ROWS) > 0, "yes", "no")
TABLE["clicked"] = np.where(DRAWS.random(ROWS) < 0.2, None, np.where(TABLE["x"] > 0.9, "1", "0"))
SCENARIO = """\
harness: 1
name: proxied
model:
  name: m
  data: {source: rows.csv, target: bought, positive: "yes"}
  stable: {algorithm: logistic_regression}
  candidate: {algorithm: decision_tree, params: {max_depth: 3}}
traffic: {constant: 50/s}
labels: LABELS
rollout:
  strategy: canary
  steps: [{weight: 50%}, {pause: 10m}]
  analysis: {every: 1m, rules: [accuracy >= stable - 20%]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    TABLE.to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path


def plan(folder: Path, **known: str | None) -> DataPlan:
    return DataPlan(str(folder / "rows.csv"), "bought", "yes", known=KnownPlan(**known))


def written(folder: Path, labels: str) -> Path:
    path = folder / "own.yaml"
    path.write_text(SCENARIO.replace("LABELS", labels))
    return path


def test_a_proxy_is_known_where_it_has_a_value_and_is_no_feature(folder: Path) -> None:
    data = dataset.load(plan(folder, column="clicked", positive="1"))
    known = data.known()
    assert known is not None
    expected = TABLE["clicked"].map({"1": 1.0, "0": 0.0}).astype(float)
    np.testing.assert_array_equal(known, expected)
    assert data.features == ("x",)
    assert any("clicked is known only after the answer" in note for note in data.notes)
    training, held = data.split(1)
    both = np.concatenate([training.known, held.known])
    assert np.isnan(both).sum() == expected.isna().sum()
    where = held.rows["x"].round(9).map(dict(zip(TABLE["x"].round(9), expected, strict=True)))
    np.testing.assert_array_equal(held.known, where)


def test_outcomes_of_a_file_are_joined_by_their_key(folder: Path) -> None:
    some = TABLE.sample(frac=0.5, random_state=1)[["id", "bought"]].rename(columns={"bought": "outcome"})
    some.to_csv(folder / "outcomes.csv", index=False)
    given = plan(folder, column="outcome", positive="yes", file=str(folder / "outcomes.csv"), key="id")
    known = dataset.load(given).known()
    joined = TABLE.merge(some, on="id", how="left")["outcome"].map({"yes": 1.0, "no": 0.0})
    np.testing.assert_array_equal(known, joined)


@pytest.mark.parametrize(
    ("column", "positive", "content", "told"),
    [
        ("outcom", "yes", "id,outcome\nc0001,yes\n", "did you mean outcome"),
        ("outcome", "yes", "name,outcome\nc0001,yes\n", "has no column 'id'"),
        ("outcome", "yes", "id,outcome\nc0001,yes\nc0001,no\n", "'c0001' stands in several rows"),
        ("outcome", "yes", "id,outcome\nz1,yes\nz2,no\n", "no id of the data set stands there"),
        ("outcome", "yes", "id,outcome\nc0001,ja\nc0002,nein\n", "it holds 'ja', 'nein'"),
        ("outcome", None, "id,outcome\nc0001,ja\nc0002,nein\n", "holds text"),
    ],
)
def test_a_file_that_cannot_be_joined_is_told(
    folder: Path, column: str, positive: str | None, content: str, told: str
) -> None:
    (folder / "outcomes.csv").write_text(content)
    given = plan(folder, column=column, positive=positive, file=str(folder / "outcomes.csv"), key="id")
    with pytest.raises(DataError, match=told):
        dataset.load(given).known()


def test_quality_is_measured_on_what_becomes_known(folder: Path) -> None:
    """The candidate's accuracy over a run is that of its model on the rows that were asked, against the proxy."""
    scenario = app.load_scenario(written(folder, "{delay: 0s, column: clicked, positive: 1}"))
    made = app.rehearse(scenario, app.Options(reports=folder / "reports", cache=False))
    events = log.Events(made.log.events)
    found = events.only(Totalled).arms[Role.CANDIDATE].figures["accuracy"]
    data = dataset.load(scenario.model.data)  # type: ignore[arg-type]
    _, held = data.split(scenario.seed)
    from harness.training.fit import fit, unfitted

    training, _ = data.split(scenario.seed)
    from harness.seeds import stream
    from harness.training.algorithms import effective

    given = effective("decision_tree", {"max_depth": 3}, stream(scenario.seed, "training/candidate").integer())
    model = fit("decision_tree", unfitted("decision_tree", given, training), training).estimator
    there = ~np.isnan(held.known)
    predicted = (model.predict(held.rows) == "yes")[there]
    on_all = metrics.accuracy_score(held.known[there], predicted)
    # 15,000 draws of 120 rows: the share of each row scatters by a tenth, that of all by a hundredth.
    assert found == pytest.approx(on_all, abs=0.02)
    against_target = metrics.accuracy_score(held.target, model.predict(held.rows) == "yes")
    assert abs(on_all - against_target) > 0.03, "the two differ enough to be told apart"


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ("{delay: 1m, file: rows.csv}", "labels.file belongs with key"),
        ("{delay: 1m, key: id}", "labels.key belongs with file"),
        ("{delay: 1m, positive: yes}", "labels.positive belongs with column or file"),
        ("{delay: 1m, column: clickd}", "nearest: clicked"),
        ("{delay: 1m, column: clicked}", "it holds '0', '1'; labels.positive says which"),
    ],
)
def test_wrong_words_are_told_at_their_place(folder: Path, labels: str, told: str) -> None:
    path = written(folder, labels)
    with pytest.raises(ScenarioError) as refused:
        app.check_references(app.load_scenario(path))
    (problem,) = refused.value.problems
    assert told in problem.message
    assert problem.line == 9
