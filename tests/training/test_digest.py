"""The digest of a model: equal where models are, in every process; another where anything differs."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier

from harness.training.digest import model_digest
from harness.training.vocabulary import ALGORITHM_NAMES, ALGORITHMS

from .conftest import fitted, make_rows

PROGRAM = """
import sys
sys.path.insert(0, ".")
from tests.training.conftest import fitted, make_rows
print(fitted("random_forest", make_rows(), random_state=3, n_estimators=20).digest)
print(fitted("gradient_boosting", make_rows(), random_state=3, max_iter=5).digest)
"""


def test_two_processes_agree():
    there = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={"PYTHONHASHSEED": "1"}, check=True, capture_output=True, text=True
    ).stdout.split()
    assert there == [
        fitted("random_forest", make_rows(), random_state=3, n_estimators=20).digest,
        fitted("gradient_boosting", make_rows(), random_state=3, max_iter=5).digest,
    ]


@pytest.mark.parametrize("word", ALGORITHM_NAMES)
def test_a_seeded_model_is_the_same_each_time_and_each_setting_counts(word):
    rows = make_rows(regression=ALGORITHMS[word].task.value == "regression")
    model = fitted(word, rows)
    assert model.digest.startswith("sha256:")
    assert fitted(word, rows).digest == model.digest
    if word not in ("majority", "mean"):
        assert fitted(word, make_rows(regression=not rows.classes, seed=6)).digest != model.digest


def test_seed_parameters_and_data_each_make_another_model(rows):
    digests = {
        fitted("random_forest", rows, random_state=1, n_estimators=5).digest,
        fitted("random_forest", rows, random_state=2, n_estimators=5).digest,
        fitted("random_forest", rows, random_state=1, n_estimators=6).digest,
        fitted("random_forest", make_rows(199), random_state=1, n_estimators=5).digest,
    }
    assert len(digests) == 4


def test_what_padding_holds_does_not_count(rows):
    """Nodes of a tree are records of 57 bytes in 64: the rest is chance."""
    tree = DecisionTreeClassifier(random_state=1).fit(np.arange(40).reshape(-1, 1), np.arange(40) % 3)
    digest = model_digest(tree)
    kind, arguments, state = tree.tree_.__reduce__()
    nodes = state["nodes"].copy()
    noise = nodes.view(np.uint8).reshape(len(nodes), nodes.dtype.itemsize)
    noise[:, 57:] = 170
    other = kind(*arguments)
    other.__setstate__({**state, "nodes": nodes})
    assert other.__getstate__()["nodes"].tobytes() != state["nodes"].tobytes()
    tree.tree_ = other
    assert model_digest(tree) == digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (1, "1"),
        (None, "None"),
        ((1, 2), [1, 2]),
        ([1, [2]], [[1], 2]),
        (["ab"], ["a", "b"]),
        ({"a": 1}, {"a": 2}),
        (np.array([1, 2]), np.array([1.0, 2.0])),
        (np.array([[1, 2]]), np.array([[1], [2]])),
        (np.array(["a"], dtype=object), np.array(["a"])),
        (b"a", "a"),
    ],
)
def test_values_are_told_apart(one, other):
    assert model_digest(one) != model_digest(other)


def test_order_and_memory_layout_do_not_count():
    assert model_digest({"a": 1, "b": 2}) == model_digest({"b": 2, "a": 1})
    assert model_digest({"x", "y", "z"}) == model_digest({"z", "y", "x"})
    array = np.arange(6.0).reshape(2, 3)
    assert model_digest(array) == model_digest(np.asfortranarray(array))
    assert model_digest(array) == model_digest(array.astype(">f8"))


def test_functions_of_numpy_are_told_apart():
    assert model_digest(FunctionTransformer(np.log1p)) == model_digest(FunctionTransformer(np.log1p))
    assert model_digest(FunctionTransformer(np.log1p)) != model_digest(FunctionTransformer(np.exp))


def test_an_object_that_holds_itself_has_a_digest():
    loop: dict[str, object] = {}
    holder = DecisionTreeClassifier()
    loop["me"] = holder
    holder.extra = loop
    assert model_digest(holder).startswith("sha256:")
