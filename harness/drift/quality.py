"""The quality of answers from counts: how often each row was asked, as integers, not one entry for each request.

Each figure is what scikit-learn gives for rows repeated as often as their count says. A figure that the counts do not
define is left out: precision where nothing was answered positive, recall where nothing is, auc and log_loss where only
one class was asked, r2 where all true answers are equal.
"""

import numpy as np
from numpy.typing import NDArray

from harness.drift.statistical import FloatArray

IntArray = NDArray[np.int64]


def classification(
    counts: IntArray, truth: IntArray, predicted: IntArray, scores: FloatArray, losses: FloatArray | None
) -> dict[str, float]:
    """accuracy, precision, recall, f1, auc and log_loss.

    Args:
        counts: of each row.
        truth: 0/1, 1 = positive.
        predicted: likewise.
        scores: higher means more likely positive.
        losses: log loss of each row; None where the model gives no probabilities.
    """
    total, positives = int(counts.sum()), int(counts @ truth)
    if not total:
        return {}
    answered = int(counts @ predicted)
    hits = int(counts @ (truth & predicted))
    misses = answered + positives - 2 * hits
    found = {"accuracy": (total - misses) / total}
    if answered:
        found["precision"] = hits / answered
    if positives:
        found["recall"] = hits / positives
    if hits or misses:
        found["f1"] = 2 * hits / (answered + positives)
    if 0 < positives < total:
        found["auc"] = _auc(counts, truth, scores) / (2 * positives * (total - positives))
        if losses is not None:
            found["log_loss"] = float((counts * losses).sum()) / total
    return found


def _auc(counts: IntArray, truth: IntArray, scores: FloatArray) -> int:
    """Twice the number of (positive, negative) pairs in the right order, ties counting half (Mann-Whitney)."""
    _, group = np.unique(scores, return_inverse=True)
    positive = np.bincount(group, weights=counts * truth).astype(np.int64)
    negative = np.bincount(group, weights=counts * (1 - truth)).astype(np.int64)
    below = np.cumsum(negative) - negative
    return int(positive @ (2 * below + negative))


def log_losses(truth: IntArray, chances: FloatArray) -> FloatArray:
    """The log loss of each row, chances kept off 0 and 1 by the float's resolution, as scikit-learn does."""
    resolution = np.finfo(np.float64).eps
    known = np.clip(chances, resolution, 1 - resolution)
    found: FloatArray = -np.log(np.where(truth == 1, known, 1 - known))
    return found


def regression(counts: IntArray, truth: FloatArray, predicted: FloatArray) -> dict[str, float]:
    """rmse, mae and r2."""
    total = int(counts.sum())
    if not total:
        return {}
    error = predicted - truth
    squared = float((counts * error**2).sum())
    found = {"rmse": (squared / total) ** 0.5, "mae": float((counts * np.abs(error)).sum()) / total}
    spread = float((counts * (truth - (counts * truth).sum() / total) ** 2).sum())
    if spread > 0 and total > 1:
        found["r2"] = 1 - squared / spread
    return found
