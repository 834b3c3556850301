"""The digest of a table: what it says, not how its file was written."""

import hashlib
import json

import numpy as np
import pandas as pd


def table_digest(frame: pd.DataFrame) -> str:
    """SHA-256 over column names, types and values in their order; the same for a CSV, its ``.gz`` and its Parquet.

    Numbers count as float64 (every NaN alike, -0 as 0), everything else as text; a missing value differs from any text.
    """
    sha = hashlib.sha256(b"table 1\n")
    sha.update(json.dumps([len(frame), len(frame.columns)]).encode())
    for name in frame.columns:
        values = frame[name]
        if pd.api.types.is_numeric_dtype(values):
            numbers = values.to_numpy(dtype="<f8", copy=True, na_value=np.nan) + 0.0
            numbers[np.isnan(numbers)] = np.nan
            sha.update(json.dumps([str(name), "number"]).encode())
            sha.update(numbers.tobytes())
        else:
            codes, words = pd.factorize(values.astype(object), sort=True)
            sha.update(json.dumps([str(name), "text", [str(word) for word in words]]).encode())
            sha.update(codes.astype("<i4").tobytes())
    return f"sha256:{sha.hexdigest()}"
