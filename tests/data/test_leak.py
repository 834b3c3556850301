"""Columns that are the target in another dress, and columns that merely say much of it."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from harness.data.chunk import Chunk
from harness.data.leak import Sample, mean_auc, suspects
from harness.data.schema import Column, ColumnType, Schema

DRAWS = np.random.default_rng(4)
N = 1200
Y = DRAWS.random(N) < 0.25
PRICE = DRAWS.lognormal(5, 1, N)


def told(target, bound: float = 0.95, **columns) -> list[tuple[str, str]]:
    frame = pd.DataFrame({"y": target, **columns})
    return [(each.column, each.text.split("(")[0].strip()) for each in suspects(frame, "y", tuple(columns), bound)]


def noisy(share: float):
    return (Y ^ (DRAWS.random(N) < share)).astype(float)


def test_copies_and_noisy_copies_of_classes() -> None:
    almost = "alone predicts the target y almost perfectly"
    assert told(
        np.where(Y, "yes", "no"),
        copy=np.where(Y, "yes", "no"),
        words=np.where(Y, "left", "stayed"),
        code=Y.astype(float),
        noise=noisy(0.02),
        score=Y + DRAWS.normal(0, 0.2, N),
        gone=np.where(Y, 1.0, np.nan),
    ) == [
        ("copy", "is a copy of the target y"),
        ("words", "is a copy of the target y"),
        ("code", "is a copy of the target y"),
        ("noise", almost),
        ("score", almost),
        ("gone", almost),  # that it is missing says it
    ]


def test_what_only_says_much_is_no_leak() -> None:
    assert (
        told(
            np.where(Y, "yes", "no"),
            strong=Y + DRAWS.normal(0, 0.8, N),
            noise=noisy(0.15),
            name=[f"row {n}" for n in range(N)],
            number=np.arange(N, dtype=float),
            chance=DRAWS.normal(size=N),
            constant=np.zeros(N),
            empty=np.full(N, np.nan),
        )
        == []
    )


def test_a_rare_class_raises_no_alarm_by_its_rank_alone() -> None:
    rare = np.arange(N) < 24
    strong = np.where(rare, 3.0, 0.0) + DRAWS.normal(0, 1.2, N)  # AUC 0.96: much, and far from the target
    assert told(np.where(rare, "yes", "no"), 0.9, strong=strong) == []


def test_several_classes_and_numbers() -> None:
    classes = DRAWS.choice(["a", "b", "c"], N)
    rank = np.array([{"a": 0, "b": 5, "c": 9}[word] for word in classes]) + DRAWS.normal(0, 0.3, N)
    assert [name for name, _ in told(classes, rank=rank, chance=DRAWS.normal(size=N))] == ["rank"]
    assert [name for name, _ in told(PRICE, same=PRICE, cents=PRICE * 100 + DRAWS.normal(0, 1, N), log=np.log(PRICE),
                                     half=PRICE + DRAWS.normal(0, 60, N), number=np.arange(N) * 1.0)] == [
        "same", "cents", "log"]  # fmt: skip


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_auc_is_that_of_scikit_learn(classes: int) -> None:
    truth = DRAWS.integers(0, classes, 200)
    chances = DRAWS.dirichlet(np.ones(classes), 12)[DRAWS.integers(0, 12, 200)]  # a tree has few leaves: many ties
    theirs = roc_auc_score(truth, chances[:, 1] if classes == 2 else chances, multi_class="ovr")
    assert mean_auc(truth, chances) == pytest.approx(theirs, abs=1e-12)


def test_too_few_rows_suspect_nothing() -> None:
    assert list(suspects(pd.DataFrame({"y": [0.0, 1.0] * 5, "x": [0.0, 1.0] * 5}), "y", ("x",), 0.9)) == []


@pytest.mark.parametrize("size", [7, 100, 997])
def test_a_sample_is_the_same_by_any_chunks_and_fair(size: int) -> None:
    schema = Schema({"x": Column("x", ColumnType.NUMBER)})
    frame = pd.DataFrame({"x": np.arange(5000.0)})

    def drawn(step: int) -> pd.Series:
        sample = Sample(("x",), rows=400)
        for start in range(0, len(frame), step):
            sample.see(Chunk.of(frame.iloc[start : start + step], schema, start))
        return sample.frame()["x"]

    whole = drawn(5000)
    assert len(whole) == 400
    assert drawn(size).tolist() == whole.tolist()
    # Uniform over the file: the mean of 400 of 0..4999 lies within four of its standard deviations.
    assert abs(whole.mean() - 2499.5) < 4 * 5000 / np.sqrt(12 * 400)
