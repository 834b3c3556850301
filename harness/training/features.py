"""What models see of a table: numbers imputed and scaled, categories one-hot."""

from typing import Any, Final

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

MAX_CATEGORIES: Final = 50
"""Of a column with more, the rarest share one place."""


def numeric_columns(rows: pd.DataFrame) -> list[str]:
    """The columns that hold numbers."""
    return [str(name) for name in rows.columns if pd.api.types.is_numeric_dtype(rows[name])]


def pipeline(rows: pd.DataFrame, estimator: Any) -> Pipeline:
    """An unfitted pipeline for these columns: features, then the estimator.

    Made of scikit-learn's own parts only, so that its file can be loaded where harness is not installed. A category
    that training never saw, a missing one included, is all zeros; missing is a category of its own where training saw
    it. A number that is missing is the training rows' median, also where a whole column is missing.
    """
    numbers = numeric_columns(rows)
    categories = [str(name) for name in rows.columns if name not in numbers]
    features = ColumnTransformer(
        [
            (
                "numbers",
                Pipeline(
                    [
                        ("impute", SimpleImputer(strategy="median", keep_empty_features=True)),
                        ("scale", StandardScaler()),
                    ]
                ),
                numbers,
            ),
            (
                "categories",
                OneHotEncoder(
                    handle_unknown="infrequent_if_exist",
                    max_categories=MAX_CATEGORIES,
                    sparse_output=False,
                    dtype=np.float64,
                ),
                categories,
            ),
        ],
        verbose_feature_names_out=False,
    )
    return Pipeline([("features", features), ("model", estimator)])


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
