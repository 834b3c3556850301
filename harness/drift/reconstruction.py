"""Whether components that describe the reference describe the current rows as well.

Principal components are fitted on half of the reference rows; what they leave unexplained of a row is its error.
Errors of the other half and of the current rows are compared by Kolmogorov and Smirnov. Rows that leave the plane in
which the reference lies have larger errors, also where each column alone looks as ever. Drift within that plane is not
seen: that is for the other detectors.
"""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.domain.drift import ReconstructionDrift
from harness.seeds import Stream

if TYPE_CHECKING:
    import pandas as pd

VARIANCE: Final = 0.9
LEAST_ROWS: Final = 20
MOST_CATEGORIES: Final = 20
ROUNDING: Final = 1e-18

FloatArray = NDArray[np.float64]


def compare(
    reference: "pd.DataFrame",
    current: "pd.DataFrame",
    alpha: float,
    stream: Stream,
    rows_max: int,
    variance: float = VARIANCE,
) -> ReconstructionDrift:
    """Compare two tables with the same columns.

    Numbers are scaled to mean 0 and standard deviation 1 of the reference, missing ones take its median; a category is
    a column of 0 and 1 for each of its twenty most frequent values. Everything is learned from the first half of the
    reference, drawn at random. The p-value is scipy's `ks_2samp`, two-sided.

    Args:
        reference: numbers as float64, categories as text; NaN where a value is missing.
        current: likewise.
        alpha: the false-alarm rate of this test.
        stream: of the halves and samples.
        rows_max: of each table so many rows are looked at, drawn at random.
        variance: the share of the reference's variance that the components keep.
    """
    if min(len(reference) // 2, len(current)) < LEAST_ROWS:
        note = f"not tried: it takes {2 * LEAST_ROWS} rows of the reference and {LEAST_ROWS} of the current data"
        return ReconstructionDrift(0, variance, None, None, None, None, drifted=False, alpha=alpha, note=note)
    import threadpoolctl
    from scipy.stats import ks_2samp
    from sklearn.decomposition import PCA

    drawn = stream.generator()
    before = reference.iloc[drawn.permutation(len(reference))[:rows_max]]
    now = current.iloc[drawn.permutation(len(current))[:rows_max]]
    half = len(before) // 2
    coded = _Coding(before.iloc[:half])
    with threadpoolctl.threadpool_limits(limits=1):
        fitted = coded(before.iloc[:half])
        if not fitted.shape[1] or not fitted.var(axis=0).any():
            note = "not tried: no column varies"
            return ReconstructionDrift(0, variance, None, None, None, None, drifted=False, alpha=alpha, note=note)
        components = PCA(n_components=variance, svd_solver="full").fit(fitted)
        known, found = _errors(components, coded(before.iloc[half:])), _errors(components, coded(now))
    sampled = max(len(reference), len(current)) > rows_max
    tested = ks_2samp(known, found)
    p_value = float(tested.pvalue)
    return ReconstructionDrift(
        components=int(components.n_components_),
        variance=variance,
        reference_error=float(np.median(known)),
        current_error=float(np.median(found)),
        statistic=float(tested.statistic),
        p_value=p_value,
        drifted=p_value <= alpha,
        alpha=alpha,
        note=f"on a sample of at most {rows_max:,} rows of each" if sampled else "",
    )


class _Coding:
    """Rows as numbers that components can be fitted to, with all that is learned from some of them."""

    def __init__(self, rows: "pd.DataFrame") -> None:
        self.numbers: dict[Any, tuple[float, float, float]] = {}
        self.words: dict[Any, list[Any]] = {}
        for name in rows.columns:
            values = rows[name].dropna()
            if rows[name].dtype.kind not in "iuf":
                self.words[name] = list(values.value_counts().index[:MOST_CATEGORIES])
            elif len(values) and float(values.std(ddof=0)) > 0:
                self.numbers[name] = (float(values.median()), float(values.mean()), float(values.std(ddof=0)))

    def __call__(self, rows: "pd.DataFrame") -> FloatArray:
        """``[rows, features]``."""
        arrays = [
            (rows[name].fillna(median).to_numpy(dtype=np.float64) - mean) / deviation
            for name, (median, mean, deviation) in self.numbers.items()
        ]
        for name, words in self.words.items():
            values = rows[name].to_numpy(dtype=object)
            arrays += [np.array([value == word for value in values], dtype=np.float64) for word in words]
        return np.column_stack(arrays) if arrays else np.empty((len(rows), 0))


def _errors(components: Any, rows: FloatArray) -> FloatArray:
    """The mean squared error of each row; what is rounding (all components are kept) is 0."""
    again = components.inverse_transform(components.transform(rows))
    found: FloatArray = ((rows - again) ** 2).mean(axis=1)
    return np.where(found < ROUNDING, 0.0, found)
