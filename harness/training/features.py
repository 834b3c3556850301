"""What models see of a table: numbers imputed and scaled, categories one-hot, or what a feature set says."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from harness.domain.features import FeatureSet
from harness.domain.model import TrainedModel
from harness.features.building import numeric_columns, transformer, usual
from harness.features.naming import names_out


def pipeline(
    rows: pd.DataFrame,
    estimator: Any,
    features: FeatureSet | None = None,
    *,
    classifies: bool = True,
    random_state: int = 0,
) -> Pipeline:
    """An unfitted pipeline for these columns: features, then the estimator.

    Made of scikit-learn's own parts only, so that its file can be loaded where harness is not installed. Without a
    feature set, columns are treated as `harness.features.building.usual` says.

    Raises:
        InputError: the feature set does not fit the columns.
    """
    if features is not None:
        made = transformer(features, rows, classifies=classifies, random_state=random_state)
        return Pipeline([("features", made), ("model", estimator)])
    numbers = numeric_columns(rows)
    categories = [str(name) for name in rows.columns if name not in numbers]
    made = ColumnTransformer(usual(numbers, categories), verbose_feature_names_out=False)
    return Pipeline([("features", made), ("model", estimator)])


def built(model: TrainedModel, features: FeatureSet, rows: int) -> dict[str, Any]:
    """What a `FeaturesBuilt` event says of a model that was trained with a feature set, but for its role."""
    fitted = model.estimator[0]
    read = {str(name) for _, part, columns in fitted.transformers_ if part != "drop" for name in columns}
    return {
        "name": features.name,
        "digest": features.digest,
        "columns_in": tuple(name for name in model.features if name in read),
        "columns_out": names_out(fitted),
        "rows": rows,
    }


def conform(rows: pd.DataFrame, like: pd.DataFrame) -> pd.DataFrame:
    """Rows from elsewhere with the columns and types of known rows; what is no number becomes missing.

    A live column may be missing altogether, and then has the type of nothing.
    """
    columns = {}
    for name in like.columns:
        values = rows[name] if name in rows.columns else pd.Series(np.nan, index=rows.index)
        if pd.api.types.is_numeric_dtype(like[name]):
            columns[name] = pd.to_numeric(values, errors="coerce").astype("float64")
        else:
            texts = values.astype(object)
            columns[name] = texts.where(texts.notna(), np.nan).astype(like[name].dtype)
    return pd.DataFrame(columns, index=rows.index)
