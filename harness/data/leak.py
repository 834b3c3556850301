"""Columns that are the target in another dress: a copy, or all but one.

A column is suspected where it alone predicts the target almost perfectly on rows that it was not fitted on (AUC of a
small decision tree, or its R² for a number), and that is cross-checked by a figure of another kind: the share of the
target's entropy that the column takes away (normalised mutual information), or Spearman's rank correlation. A rare
class, or a key that is different in every row, then raises no alarm.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.chunk import Chunk
from harness.data.table import label_text

SAMPLE_ROWS: Final = 10_000
FOLDS: Final = 3
LEAVES: Final = 32
MOST_CLASSES: Final = 20
"""A column of numbers with more values is a target to regress on."""
LEAST_INFORMATION: Final = 0.5
LEAST_RANK: Final = 0.95
FEWEST_ROWS: Final = 30
SCREENED: Final = 1_000
"""Rows that a column is tried on first; what it was fitted on, a tree knows at least as well as any other rows."""


class Sample:
    """A simple random sample of rows, the same however they are cut into chunks: those of the least hashes."""

    def __init__(self, columns: tuple[str, ...], but: frozenset[str] | None = None, rows: int = SAMPLE_ROWS) -> None:
        """Keep these columns of each row; with ``but``, also any other that is not named there."""
        self._columns, self._but, self._rows = columns, but, rows
        self._held: list[pd.DataFrame] = []
        self._kept = 0
        self._below = np.uint64(2**64 - 1)

    def see(self, chunk: Chunk) -> None:
        """Take in more rows."""
        hashes = _mixed(chunk.numbers)
        taken = hashes <= self._below
        names = [name for name in chunk.frame.columns if name in self._columns or self._wants(name)]
        self._held.append(chunk.frame.loc[taken, names].assign(**{_HASH: hashes[taken]}))
        self._kept += int(taken.sum())
        if self._kept > 2 * self._rows:
            self._held = [self._trimmed()]
            self._kept = len(self._held[0])
            self._below = self._held[0][_HASH].to_numpy()[-1]

    def _wants(self, name: str) -> bool:
        return self._but is not None and name not in self._but

    def frame(self) -> pd.DataFrame:
        """The rows, in an order of chance."""
        return self._trimmed().drop(columns=_HASH)

    def _trimmed(self) -> pd.DataFrame:
        return pd.concat(self._held, ignore_index=True).sort_values(_HASH, kind="stable").head(self._rows)


_HASH: Final = "\0hash"


def _mixed(numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Whole numbers scattered over 64 bits (SplitMix64's finaliser; Steele, Lea and Flood, 2014)."""
    with np.errstate(over="ignore"):
        x = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


@dataclass(frozen=True, slots=True)
class Suspect:
    """A column that says too much of the target."""

    column: str
    text: str


def suspects(sample: pd.DataFrame, target: str, columns: tuple[str, ...], bound: float) -> Iterator[Suspect]:
    """The columns that are, or all but are, the target.

    Args:
        sample: typed rows, in an order of chance.
        target: the column to predict.
        columns: those that are suspected.
        bound: AUC (of a regression: R²) from which one is.
    """
    rows = sample[sample[target].notna()]
    numeric = pd.api.types.is_numeric_dtype(rows[target])
    if len(rows) < FEWEST_ROWS or rows[target].nunique() < 2:
        return
    regression = numeric and rows[target].nunique() > MOST_CLASSES
    judge = _Regression(rows[target], target) if regression else _Classes(rows[target], target)
    for name in columns:
        told = judge.told(rows[name], bound)
        if told:
            yield Suspect(name, told)


class _Classes:
    """A target of classes."""

    def __init__(self, target: "pd.Series[Any]", name: str) -> None:
        self.name = name
        self.codes, self.labels = pd.factorize(target.map(label_text), sort=True)

    def told(self, values: "pd.Series[Any]", bound: float) -> str:
        there, words = pd.factorize(values)
        if (there >= 0).all() and len(words) == len(self.labels) == len(np.unique(there * len(words) + self.codes)):
            return f"is a copy of the target {self.name}"
        some = np.arange(min(SCREENED, len(self.codes)))
        if self._judged(values, some, some)[0] < bound:
            return ""
        scores = [self._judged(values, *fold) for fold in _folds(len(self.codes))]
        auc, information = (float(np.mean(each)) for each in zip(*scores, strict=True))
        if auc < bound or information < LEAST_INFORMATION:
            return ""
        return f"alone predicts the target {self.name} almost perfectly (AUC {auc:.3f}, cross-validated)"

    def _judged(
        self, values: "pd.Series[Any]", fitted: NDArray[np.intp], judged: NDArray[np.intp]
    ) -> tuple[float, float]:
        """AUC of a tree on the judged rows (of several classes: mean, one against the rest), and its information."""
        from sklearn.metrics import normalized_mutual_info_score
        from sklearn.tree import DecisionTreeClassifier

        numbers = _numbers(values, self.codes, fitted)
        tree = DecisionTreeClassifier(max_leaf_nodes=LEAVES, min_samples_leaf=5, random_state=0)
        tree.fit(numbers[fitted], self.codes[fitted])
        truth = self.codes[judged]
        if len(tree.classes_) < len(self.labels) or len(np.unique(truth)) < len(self.labels):
            return (1.0, 0.0) if fitted is judged else (0.0, 0.0)
        chances = tree.predict_proba(numbers[judged])
        auc = mean_auc(truth, chances)
        if fitted is judged:
            return auc, 0.0
        answers = chances.argmax(axis=1)
        return auc, float(normalized_mutual_info_score(truth, answers, average_method="max"))


class _Regression:
    """A target of numbers."""

    def __init__(self, target: "pd.Series[Any]", name: str) -> None:
        self.name, self.values = name, target.to_numpy(dtype=np.float64)

    def told(self, values: "pd.Series[Any]", bound: float) -> str:
        numeric = pd.api.types.is_numeric_dtype(values)
        if numeric and np.array_equal(values.to_numpy(dtype=np.float64), self.values):
            return f"is a copy of the target {self.name}"
        some = np.arange(min(SCREENED, len(self.values)))
        if self._r2(values, some, some)[0] < bound:
            return ""
        scores = [self._r2(values, *fold) for fold in _folds(len(self.values))]
        r2, rank = (float(np.mean(each)) for each in zip(*scores, strict=True))
        if r2 < bound or rank < LEAST_RANK:
            return ""
        return f"alone predicts the target {self.name} almost perfectly (R² {r2:.3f}, cross-validated)"

    def _r2(self, values: "pd.Series[Any]", fitted: NDArray[np.intp], judged: NDArray[np.intp]) -> tuple[float, float]:
        from scipy.stats import spearmanr
        from sklearn.metrics import r2_score
        from sklearn.tree import DecisionTreeRegressor

        numbers = _numbers(values, self.values, fitted)
        tree = DecisionTreeRegressor(max_leaf_nodes=8 * LEAVES, min_samples_leaf=3, random_state=0)
        answers = tree.fit(numbers[fitted], self.values[fitted]).predict(numbers[judged])
        if np.ptp(answers) == 0:
            return (1.0, 0.0) if fitted is judged else (0.0, 0.0)
        return float(r2_score(self.values[judged], answers)), float(spearmanr(self.values[judged], answers).statistic)


def mean_auc(truth: NDArray[np.intp], chances: NDArray[np.float64]) -> float:
    """The mean over the classes of AUC, one against the rest, by ranks (Mann and Whitney, 1947); ties count half.

    It is `sklearn.metrics.roc_auc_score` (``multi_class="ovr"``), whose checks cost more than the figure: of each
    column, in each run.

    >>> mean_auc(np.array([0, 0, 1, 1]), np.array([[0.9, 0.1], [0.6, 0.4], [0.65, 0.35], [0.2, 0.8]]))
    0.75
    """
    from scipy.stats import rankdata

    found = []
    for place in range(1 if chances.shape[1] == 2 else 0, chances.shape[1]):
        mine = truth == place
        count = int(mine.sum())
        above = rankdata(chances[:, place])[mine].sum() - count * (count + 1) / 2
        found.append(float(above / (count * (len(truth) - count))))
    return float(np.mean(found))


def _folds(rows: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows in an order of chance, cut into folds."""
    places = np.arange(rows)
    for fold in range(FOLDS):
        judged = places % FOLDS == fold
        yield places[~judged], places[judged]


def _numbers(values: "pd.Series[Any]", target: NDArray[Any], fitted: NDArray[np.intp]) -> NDArray[np.float64]:
    """A column as one of numbers: a word is its mean target over the fitted rows; a missing number is below all."""
    if pd.api.types.is_numeric_dtype(values):
        numbers = values.to_numpy(dtype=np.float64)
        least = np.nanmin(numbers) if not np.isnan(numbers).all() else 0.0
        return np.where(np.isnan(numbers), least - 1, numbers).reshape(-1, 1)
    codes, words = pd.factorize(values)
    codes = np.where(codes < 0, len(words), codes)
    sums = np.bincount(codes[fitted], weights=target[fitted].astype(np.float64), minlength=len(words) + 1)
    counts = np.bincount(codes[fitted], minlength=len(words) + 1)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), float(np.mean(target[fitted])))
    return means[codes].reshape(-1, 1)
