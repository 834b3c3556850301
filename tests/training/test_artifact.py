"""Model files: whole, checked, and never a pickle."""

import pickle
import zipfile

import joblib
import numpy as np
import pytest
import skops.io
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from harness.domain.model import Task
from harness.errors import ArtifactError
from harness.training import artifact
from harness.training.digest import model_digest
from harness.training.trees import forged
from harness.training.vocabulary import ALGORITHM_NAMES, ALGORITHMS

from .conftest import fitted, make_rows

X, Y = np.random.Generator(np.random.Philox(1)).normal(size=(60, 3)), np.arange(60) % 2


@pytest.mark.parametrize("word", ALGORITHM_NAMES)
def test_every_algorithm_comes_back_the_same(word, tmp_path):
    rows = make_rows(regression=ALGORITHMS[word].task is Task.REGRESSION)
    model = fitted(word, rows)
    artifact.save(model.estimator, tmp_path / "below" / "model.skops")
    notes: list[str] = []
    loaded = artifact.load(tmp_path / "below" / "model.skops", notes)
    assert model_digest(loaded) == model.digest
    assert (loaded.predict(rows.rows) == model.estimator.predict(rows.rows)).all()
    assert notes == []
    assert [file.name for file in (tmp_path / "below").iterdir()] == ["model.skops"]


def test_unknown_types_are_listed_and_not_loaded(tmp_path):
    skops.io.dump(KNeighborsClassifier(algorithm="kd_tree").fit(X, Y), tmp_path / "model.skops")
    with pytest.raises(ArtifactError, match=r"sklearn\.neighbors\._kd_tree\.KDTree; build the model of"):
        artifact.load(tmp_path / "model.skops")


def test_a_pickle_is_refused(tmp_path):
    (tmp_path / "model.skops").write_bytes(pickle.dumps(fitted("majority", make_rows()).estimator))
    with pytest.raises(ArtifactError, match="pickles are refused"):
        artifact.load(tmp_path / "model.skops")


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ArtifactError, match="there is no such file"):
        artifact.load(tmp_path / "absent.skops")


def test_damage_anywhere_is_told_and_nothing_else_happens(tmp_path):
    path, damaged = tmp_path / "model.skops", tmp_path / "damaged.skops"
    artifact.save(fitted("random_forest", make_rows(), n_estimators=2).estimator, path)
    whole = path.read_bytes()
    draws = np.random.Generator(np.random.Philox(4))
    outcomes = set()
    for _ in range(150):
        data = bytearray(whole)
        if draws.random() < 0.3:
            data = data[: draws.integers(0, len(data))]
        else:
            for place in draws.integers(0, len(data), size=draws.integers(1, 20)):
                data[place] ^= 1 << draws.integers(0, 8)
        damaged.write_bytes(data)
        try:
            artifact.load(damaged)
            outcomes.add("loaded")
        except ArtifactError:
            outcomes.add("refused")
    assert "refused" in outcomes


def test_damage_to_the_description_inside_is_told(tmp_path):
    path, damaged = tmp_path / "model.skops", tmp_path / "damaged.skops"
    artifact.save(fitted("logistic_regression", make_rows()).estimator, path)
    with zipfile.ZipFile(path) as packed:
        parts = {name: packed.read(name) for name in packed.namelist()}
    text = parts["schema.json"]
    draws = np.random.Generator(np.random.Philox(6))
    for _ in range(150):
        data = bytearray(text)
        for place in draws.integers(0, len(data), size=3):
            data[place] = draws.integers(32, 127)
        with zipfile.ZipFile(damaged, "w") as packed:
            for name, content in {**parts, "schema.json": bytes(data)}.items():
                packed.writestr(name, content)
        try:
            artifact.load(damaged)
        except ArtifactError:
            continue


# --- trees ------------------------------------------------------------------------------------------------------------


def rebuilt(tree, **changes):
    kind, arguments, state = tree.__reduce__()
    nodes = state["nodes"].copy()
    for field, (node, value) in changes.items():
        nodes[field][node] = value
    other = kind(*arguments)
    other.__setstate__({**state, "nodes": nodes})
    return other


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"left_child": (0, 9999)}, "leads nowhere or back"),
        ({"right_child": (0, 0)}, "leads nowhere or back"),
        ({"left_child": (0, -7)}, "leads nowhere or back"),
        ({"feature": (0, 3)}, "reads a feature that does not exist"),
        ({"feature": (0, -5)}, "reads a feature that does not exist"),
    ],
)
@pytest.mark.parametrize("kind", [DecisionTreeClassifier, RandomForestClassifier, GradientBoostingClassifier])
def test_forged_trees_are_found_wherever_they_hide(kind, changes, fault):
    model = kind(random_state=1).fit(X, Y)
    assert forged(model) is None
    owner = model if kind is DecisionTreeClassifier else np.ravel(model.estimators_)[0]
    owner.tree_ = rebuilt(owner.tree_, **changes)
    assert fault in str(forged([{"model": model}]))


def test_a_tree_wider_than_its_ensemble_is_found():
    model = RandomForestClassifier(2, random_state=1).fit(X, Y)
    wide = RandomForestClassifier(2, random_state=1).fit(np.tile(X, 3), Y)
    model.estimators_[1] = wide.estimators_[1]
    assert "reads 9 features of 3" in str(forged(model))


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("left", 9999, "nowhere"),
        ("right", 0, "nowhere or back"),
        ("feature_idx", 3, "feature"),
        ("feature_idx", -1, "feature"),
    ],
)
def test_forged_boosted_trees_are_found(field, value, fault):
    model = HistGradientBoostingClassifier(max_iter=2, random_state=1, min_samples_leaf=5).fit(X, Y)
    assert forged(model) is None
    nodes = model._predictors[1][0].nodes.copy()
    nodes[field][0] = value
    model._predictors[1][0].nodes = nodes
    assert fault in str(forged(model))


@pytest.mark.parametrize("dump", [lambda model, file: file.write_bytes(pickle.dumps(model)), joblib.dump])
def test_a_pickle_that_is_trusted_is_the_same_model(dump, tmp_path):
    model = fitted("random_forest", make_rows(), n_estimators=3)
    dump(model.estimator, tmp_path / "model.pkl")
    notes: list[str] = []
    assert model_digest(artifact.load(tmp_path / "model.pkl", notes, pickled=True)) == model.digest
    assert notes == ["model.pkl: loaded from a pickle, as --trust-pickle allows"]


def test_a_trusted_file_that_is_no_pickle_is_told(tmp_path):
    (tmp_path / "model.pkl").write_bytes(b"PK\x03\x04 no pickle")
    with pytest.raises(ArtifactError, match=r"the pickle cannot be loaded here \(.*skops\.io\.dump"):
        artifact.load(tmp_path / "model.pkl", pickled=True)
