"""A regressor that takes as long as its row says; processes of tests load it from a pickle."""

from typing import Any

import anyio
import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin


class Slow(RegressorMixin, BaseEstimator):
    """Answers after so many seconds."""

    def fit(self, rows: Any, target: Any) -> "Slow":
        del target
        self.n_features_in_ = rows.shape[1]
        self.feature_names_in_ = np.array(rows.columns, dtype=object)
        return self

    def predict(self, rows: Any) -> Any:
        anyio.run(anyio.sleep, float(rows["seconds"].max()))
        return rows["seconds"].to_numpy(dtype=float) * 2
