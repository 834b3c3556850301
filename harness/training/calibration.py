"""Whether probabilities mean what they say: of rows that are given 70 %, 70 % should be positive."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.domain.evaluation import CalibrationBin
from harness.errors import InputError
from harness.stats.intervals import wilson
from harness.training.answered import Answered, FloatArray

BINS: Final = 10
Z95: Final = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Calibration:
    """A model's probabilities against what was true.

    ``brier`` = ``reliability`` - ``resolution`` + ``uncertainty`` + ``within``: Murphy's decomposition (1973) over the
    bins of equal width, and what bins leave of it because the probabilities in one differ (Stephenson, Coelho and
    Jolliffe, 2008). Where every probability has a bin of its own, ``within`` is nought.
    """

    rows: int
    ece: float
    """Mean of |seen - predicted| over ten bins of equal width, weighted by rows (Naeini et al., 2015)."""
    ece_equal_mass: float
    """The same over bins whose edges are quantiles of the probabilities."""
    brier: float
    """Mean squared distance of probability and truth (Brier, 1950): 0 is best; always saying the base rate gives
    ``uncertainty``."""
    reliability: float
    resolution: float
    uncertainty: float
    within: float
    bins: tuple[CalibrationBin, ...]
    """Of equal width, those that have rows."""
    equal_mass: tuple[CalibrationBin, ...]


def calibration(answers: Answered, bins: int = BINS) -> Calibration:
    """The reliability curve, as `sklearn.calibration.calibration_curve` bins it, and what it sums up to.

    Raises:
        InputError: the model gives no probabilities, or there is no row.
    """
    if answers.score is None or not answers.probable:
        raise InputError("calibration is of probabilities, and the model gives none")
    if not len(answers):
        raise InputError("there is no row to hold probabilities against")
    chance, truth = answers.score, answers.target.astype(np.float64)
    width = _curve(chance, truth, np.linspace(0, 1, bins + 1))
    mass = _curve(chance, truth, np.quantile(chance, np.linspace(0, 1, bins + 1)))
    share, base = np.array([one.rows for one in width]) / len(truth), float(truth.mean())
    seen, predicted = (np.array([getattr(one, name) for one in width]) for name in ("seen", "predicted"))
    brier = float(((chance - truth) ** 2).mean())
    reliability = float((share * (predicted - seen) ** 2).sum())
    resolution = float((share * (seen - base) ** 2).sum())
    uncertainty = base * (1 - base)
    return Calibration(
        rows=len(truth),
        ece=_error(width),
        ece_equal_mass=_error(mass),
        brier=brier,
        reliability=reliability,
        resolution=resolution,
        uncertainty=uncertainty,
        within=brier - (reliability - resolution + uncertainty),
        bins=width,
        equal_mass=mass,
    )


def _curve(chance: FloatArray, truth: FloatArray, edges: FloatArray) -> tuple[CalibrationBin, ...]:
    place = np.searchsorted(edges[1:-1], chance)
    counts = np.bincount(place, minlength=len(edges) - 1)
    predicted = np.bincount(place, chance, minlength=len(counts))
    seen = np.bincount(place, truth, minlength=len(counts))
    return tuple(_bin(int(counts[i]), predicted[i] / counts[i], seen[i] / counts[i]) for i in np.flatnonzero(counts))


def _bin(rows: int, predicted: float, seen: float) -> CalibrationBin:
    lower, upper = wilson(float(seen), rows, Z95)
    return CalibrationBin(rows, float(predicted), float(seen), lower, upper)


def _error(bins: tuple[CalibrationBin, ...]) -> float:
    rows: NDArray[np.float64] = np.array([one.rows for one in bins], np.float64)
    apart = np.array([abs(one.seen - one.predicted) for one in bins])
    return float((rows * apart).sum() / rows.sum())
