"""The classifier two-sample test: its level over seeds, its power where single columns show nothing, its importance."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, ks_2samp, mannwhitneyu

from harness import seeds
from harness.domain.drift import ClassifierDrift
from harness.drift import classifier, reconstruction


def correlated(seed: int, rows: int, correlation: float) -> pd.DataFrame:
    drawn = np.random.default_rng(seed).multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], rows)
    return pd.DataFrame(drawn, columns=["a", "b"])


def tried(reference: pd.DataFrame, current: pd.DataFrame, seed: int = 0, alpha: float = 0.01) -> ClassifierDrift:
    return classifier.compare(reference, current, alpha, seeds.stream(seed, "test"), 5000)


def test_a_rotation_that_no_column_shows_is_found() -> None:
    reference, current = correlated(1, 1000, 0.7), correlated(2, 500, -0.7)
    for name in ("a", "b"):
        assert ks_2samp(reference[name], current[name]).pvalue > 0.01
    found = tried(reference, current)
    assert found.drifted
    assert found.auc is not None
    assert found.auc > 0.75
    assert min(found.importance.values()) > 0.3  # neither says anything without the other
    assert sum(found.importance.values()) == pytest.approx(1)


def test_its_level_holds() -> None:
    # Dependent columns, categories, missing values, ties: 40 pairs of one distribution, at 10 %.
    alarms = 0
    for seed in range(40):
        drawn = np.random.default_rng(seed)
        data = correlated(1000 + seed, 240, 0.6)
        data["c"] = drawn.choice(["x", "y", "z"], len(data))
        data["d"] = drawn.integers(0, 3, len(data)).astype(float)
        data.loc[drawn.random(len(data)) < 0.2, "a"] = np.nan
        alarms += tried(data.iloc[:160], data.iloc[160:], seed, 0.1).drifted
    assert binom.ppf(0.0005, 40, 0.1) <= alarms <= binom.ppf(0.9995, 40, 0.1)


def test_the_auc_of_a_fold_is_that_of_mann_and_whitney() -> None:
    drawn = np.random.default_rng(3)
    scores, labels = drawn.integers(0, 20, 200).astype(float), drawn.integers(0, 2, 200)
    from scipy.stats import rankdata

    expected = mannwhitneyu(scores[labels == 1], scores[labels == 0]).statistic / (labels.sum() * (labels == 0).sum())
    assert classifier._auc(rankdata(scores), labels[:, None].astype(float))[0] == pytest.approx(expected)


def test_the_column_that_moved_is_named_and_a_seed_repeats_itself() -> None:
    drawn = np.random.default_rng(4)
    reference = pd.DataFrame(drawn.standard_normal((400, 4)), columns=list("wxyz"))
    current = pd.DataFrame(drawn.standard_normal((200, 4)), columns=list("wxyz")).assign(y=lambda rows: rows.y + 1)
    found = tried(reference, current)
    assert found.drifted
    assert next(iter(found.importance)) == "y"
    assert found == tried(reference, current)


@pytest.mark.parametrize("kind", [object, float])
def test_a_column_without_any_value_says_nothing(kind: type) -> None:
    reference, current = (correlated(seed, 100, 0.5).assign(c=pd.Series(np.nan, range(100), kind)) for seed in (1, 2))
    assert tried(reference, current).importance["c"] == 0


def test_categories_are_told_from_nothing_and_from_many_others() -> None:
    reference, current = (correlated(seed, 200, 0.5).assign(c=pd.Series(np.nan, range(200), object)) for seed in (1, 2))
    assert tried(reference, current.assign(c="x")).importance["c"] > 0.9
    words = [f"word {place}" for place in range(200)]
    some = ["common" if place % 3 == 0 else word for place, word in enumerate(words)]
    found = tried(reference.assign(c=pd.Series(some, dtype=object)), current.assign(c=pd.Series(words, dtype=object)))
    assert found.drifted
    assert found.importance["c"] > 0.7


def test_few_rows_are_not_tried_and_many_are_sampled() -> None:
    data = correlated(5, 400, 0.5)
    few = tried(data, data.iloc[:30])
    assert few.auc is None
    assert not few.drifted
    assert "40 rows" in few.note
    sampled = classifier.compare(data.iloc[:250], data.iloc[250:], 0.01, seeds.stream(0, "test"), 100)
    assert (sampled.reference_rows, sampled.current_rows) == (100, 100)
    assert "sample of at most 100" in sampled.note


def test_components_see_rows_that_leave_their_plane() -> None:
    drawn = np.random.default_rng(6)

    def plane(rows: int, slope: float) -> pd.DataFrame:
        x = drawn.standard_normal(rows)
        return pd.DataFrame({"x": x, "y": slope * x + 0.1 * drawn.standard_normal(rows), "kind": "k"})

    reference = plane(600, 1.0)
    same = reconstruction.compare(reference, plane(300, 1.0), 0.01, seeds.stream(0, "pca"), 5000)
    assert not same.drifted
    assert same.components == 1
    turned = reconstruction.compare(reference, plane(300, -1.0), 0.01, seeds.stream(0, "pca"), 5000)
    assert turned.drifted
    assert turned.current_error is not None
    assert turned.reference_error is not None
    assert turned.current_error > 10 * turned.reference_error


def test_components_that_describe_everything_see_nothing() -> None:
    # All variance in three columns of one category: errors are rounding, and no drift may come of them.
    drawn = np.random.default_rng(7)
    reference = pd.DataFrame({"kind": drawn.choice(["a", "b", "c"], 400)})
    current = pd.DataFrame({"kind": drawn.choice(["a", "b", "c"], 200, p=[0.8, 0.1, 0.1])})
    assert not reconstruction.compare(reference, current, 0.01, seeds.stream(0, "pca"), 5000).drifted
    constant = pd.DataFrame({"x": np.ones(100)})
    assert reconstruction.compare(constant, constant, 0.01, seeds.stream(0, "pca"), 5000).note == (
        "not tried: no column varies"
    )
