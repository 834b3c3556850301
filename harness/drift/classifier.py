"""Whether a classifier can tell current rows from reference rows: a two-sample test on all columns together.

After Lopez-Paz and Oquab, "Revisiting classifier two-sample tests" (ICLR 2017): if both samples come from one
distribution, no classifier does better than chance on rows that it has not learned from. It sees drift in how columns
depend on each other, which no single column shows.

Rows are cut into five folds at random, each with its part of both samples. Each fold but the first is answered by a
model that learned from the folds before it (predict, then learn: Dawid 1984), so no label that a fold is judged by was
seen by the model that judges it, nor by those before. That is what makes the p-value honest: given the folds before,
the labels of a fold are a random permutation of its rows if nothing drifted, so permuting them within folds on the
scores as they stand gives their distribution. With ordinary cross-validation it would not: there each label trains the
models of all other folds, scores of different folds depend on each other, and a permutation of labels has to train
every model again (Ojala and Garriga, JMLR 11, 2010).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.domain.drift import ClassifierDrift
from harness.seeds import Stream

if TYPE_CHECKING:
    import pandas as pd

FOLDS: Final = 5
LEAST_ROWS: Final = 40
"""Of each data set: below, a fold would hold fewer than eight."""
MOST_CATEGORIES: Final = 250
"""Of a column; rarer ones are one category together (scikit-learn's trees take at most 255)."""
LEAST_COUNT: Final = 10
"""Rows of a category: trees pass over what has fewer, so that these say more together."""
IMPORTANCE_ROWS: Final = 2000
REPEATS: Final = 3
PERMUTATIONS: Final = 999
BATCH: Final = 111

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Fold:
    """What a fold's rows were answered, ready to be permuted."""

    ranks: FloatArray
    """Of the scores, ties shared."""
    labels: IntArray
    """1 = current."""

    @property
    def auc(self) -> float:
        return float(_auc(self.ranks, self.labels[:, None])[0])

    @property
    def spread(self) -> float:
        """Standard deviation of the AUC if labels are a random permutation, ties allowed for (Lehmann 1975)."""
        count, ones = len(self.labels), int(self.labels.sum())
        _, ties = np.unique(self.ranks, return_counts=True)
        shared = float((ties.astype(np.float64) ** 3 - ties).sum()) / (count * (count - 1))
        return float(np.sqrt(max(count + 1 - shared, 0.0) / (12 * ones * (count - ones))))


def compare(
    reference: "pd.DataFrame", current: "pd.DataFrame", alpha: float, stream: Stream, rows_max: int
) -> ClassifierDrift:
    """Compare two tables with the same columns.

    The model is scikit-learn's HistGradientBoostingClassifier (60 trees of at most 15 leaves, one thread), which takes
    missing values as they are. The AUC is the folds' mean, each with the weight of its rows; the statistic is the sum
    of the folds' AUCs, each divided by its standard deviation under permutation. The p-value is ``(b + 1) / (m + 1)``,
    of ``m`` permutations ``b`` being as extreme (Phipson and Smyth 2010), one-sided; there are 999 permutations, or
    ``10 / alpha`` where that is more. Importance is the AUC lost on the last fold when a column's values are shuffled,
    as a share of what all columns lose.

    Args:
        reference: numbers as float64, categories as text; NaN where a value is missing.
        current: likewise.
        alpha: the false-alarm rate of this test.
        stream: of folds, samples and permutations.
        rows_max: of each table so many rows are looked at, drawn at random.
    """
    columns = [str(name) for name in reference.columns]
    fewest = min(len(reference), len(current))
    if fewest < LEAST_ROWS or not columns:
        note = f"not tried: it takes {LEAST_ROWS} rows of each, and one column"
        return ClassifierDrift(None, None, drifted=False, alpha=alpha, note=note)
    drawn = stream.child("rows").generator()
    before, now = _sampled(reference, rows_max, drawn), _sampled(current, rows_max, drawn)
    features, categorical = _features(before, now, columns)
    labels = np.repeat(np.array([0, 1], dtype=np.int64), [len(before), len(now)])
    folds = _folds(labels, drawn)
    features = _with_values(features, folds[0])
    answered, last = _answered(features, categorical, labels, folds, stream.child("model"))
    auc = float(np.average([fold.auc for fold in answered], weights=[len(fold.labels) for fold in answered]))
    p_value = _p_value(answered, alpha, stream.child("permutations"))
    shuffled = _importance(last, features, labels, folds[-1], stream.child("importance").generator())
    lost = dict(zip(columns, shuffled, strict=True))
    told = len(before) < len(reference) or len(now) < len(current)
    return ClassifierDrift(
        auc=auc,
        p_value=p_value,
        drifted=p_value <= alpha,
        alpha=alpha,
        importance=dict(sorted(lost.items(), key=lambda item: -item[1])),
        reference_rows=len(before),
        current_rows=len(now),
        note=f"on a sample of at most {rows_max:,} rows of each" if told else "",
    )


def _sampled(frame: "pd.DataFrame", most: int, drawn: np.random.Generator) -> "pd.DataFrame":
    if len(frame) <= most:
        return frame
    return frame.iloc[np.sort(drawn.choice(len(frame), most, replace=False))]


def _features(
    before: "pd.DataFrame", now: "pd.DataFrame", columns: Sequence[str]
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Both tables as one array of numbers, and which columns hold codes of categories."""
    import pandas as pd

    both = pd.concat([before, now], ignore_index=True)
    categorical = np.array([both[name].dtype.kind not in "iuf" for name in columns])
    arrays = [
        _codes(both[name]) if coded else both[name].to_numpy(dtype=np.float64, na_value=np.nan)
        for name, coded in zip(columns, categorical, strict=True)
    ]
    return np.column_stack(arrays), categorical


def _codes(values: "pd.Series[Any]") -> FloatArray:
    """Categories by how frequent they are, the rare and the rarest of too many together; NaN where missing.

    Of one category alone, whether it is missing: scikit-learn's trees do not split what has a single one from NaN.
    """
    counts = values.value_counts()
    if len(counts) == 1:
        return np.asarray(values.isna(), dtype=np.float64)
    frequent = list(counts.index[counts >= LEAST_COUNT][:MOST_CATEGORIES])
    codes = values.map({word: place for place, word in enumerate(frequent)}).to_numpy(dtype=np.float64, na_value=np.nan)
    rare = np.isnan(codes) & values.notna().to_numpy()
    return np.where(rare, float(len(frequent)), codes)  # of a column without a value, pandas lends its own array


def _with_values(features: FloatArray, first: IntArray) -> FloatArray:
    """A column without any value in the first fold says no more than where it has one: trees want a value to learn."""
    empty = np.isnan(features[first]).all(axis=0)
    return np.where(empty, np.isnan(features), features)


def _folds(labels: IntArray, drawn: np.random.Generator) -> list[IntArray]:
    """The rows of each fold, at random, with its part of both tables."""
    parts = [np.array_split(drawn.permutation(np.flatnonzero(labels == label)), FOLDS) for label in (0, 1)]
    return [np.concatenate([zeros, ones]) for zeros, ones in zip(*parts, strict=True)]


def _answered(
    features: FloatArray, categorical: NDArray[np.bool_], labels: IntArray, folds: Sequence[IntArray], stream: Stream
) -> tuple[list[_Fold], Any]:
    """Each fold after the first, scored by a model of those before it, and the last of the models."""
    import threadpoolctl
    from scipy.stats import rankdata
    from sklearn.ensemble import HistGradientBoostingClassifier

    told, model = [], None
    with threadpoolctl.threadpool_limits(limits=1):
        for number in range(1, FOLDS):
            known = np.concatenate(folds[:number])
            model = HistGradientBoostingClassifier(
                max_iter=60,
                max_leaf_nodes=15,
                min_samples_leaf=10,
                early_stopping=False,
                categorical_features=categorical,
                random_state=stream.child(str(number)).integer(),
            ).fit(features[known], labels[known])
            scores = model.predict_proba(features[folds[number]])[:, 1]
            told.append(_Fold(rankdata(scores), labels[folds[number]]))
    return told, model


def _auc(ranks: FloatArray, labels: NDArray[Any]) -> FloatArray:
    """The AUC of each column of labels (Mann and Whitney 1947)."""
    ones = labels.sum(axis=0)
    zeros = len(ranks) - ones
    return np.asarray((ranks @ labels - ones * (ones + 1) / 2) / (ones * zeros), dtype=np.float64)


def _p_value(folds: Sequence[_Fold], alpha: float, stream: Stream) -> float:
    """How often labels permuted within folds are told apart as well as the real ones."""
    used = [fold for fold in folds if fold.spread > 0]
    if not used:
        return 1.0
    observed = sum((fold.auc - 0.5) / fold.spread for fold in used)
    wanted = max(PERMUTATIONS, int(np.ceil(10 / alpha)) - 1)
    extreme = sum(int((drawn >= observed - 1e-12).sum()) for drawn in _permuted(used, wanted, stream.generator()))
    return (extreme + 1) / (wanted + 1)


def _permuted(folds: Sequence[_Fold], wanted: int, drawn: np.random.Generator) -> Iterator[FloatArray]:
    """The statistic of permuted labels, some hundred at a time."""
    for start in range(0, wanted, BATCH):
        count = min(BATCH, wanted - start)
        total = np.zeros(count)
        for fold in folds:
            labels = drawn.permuted(np.tile(fold.labels.astype(np.float64), (count, 1)), axis=1).T
            total += (_auc(fold.ranks, labels) - 0.5) / fold.spread
        yield total


def _importance(
    model: Any, features: FloatArray, labels: IntArray, rows: IntArray, drawn: np.random.Generator
) -> list[float]:
    """What share of the AUC that is lost to shuffling is lost to each column (Breiman 2001)."""
    import threadpoolctl
    from scipy.stats import rankdata

    rows = rows if len(rows) <= IMPORTANCE_ROWS else drawn.choice(rows, IMPORTANCE_ROWS, replace=False)
    known, truth = features[rows], labels[rows].astype(np.float64)[:, None]

    def aucs(given: FloatArray) -> FloatArray:
        """Of tables laid end to end: a model asked once answers sooner than one asked often."""
        scores = model.predict_proba(given)[:, 1].reshape(-1, len(rows))
        return np.array([float(_auc(rankdata(each), truth)[0]) for each in scores])

    lost = np.zeros(features.shape[1])
    with threadpoolctl.threadpool_limits(limits=1):
        whole = aucs(known)[0]
        for column in range(features.shape[1]):
            shuffled = np.tile(known, (REPEATS, 1))
            shuffled[:, column] = np.concatenate([drawn.permutation(known[:, column]) for _ in range(REPEATS)])
            lost[column] = np.maximum(whole - aucs(shuffled), 0.0).sum()
    shares: list[float] = (lost / lost.sum()).tolist() if lost.sum() > 0 else lost.tolist()
    return shares
