"""Point-in-time joins: what was known of an entity at a time, and nothing that came later."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.errors import InputError
from harness.features.storing import utc

PLACE = "__place"
AT = "__at"


def as_of(
    asked: pd.DataFrame, table: pd.DataFrame, entity: Sequence[str], at: str, timestamp: str, ttl_s: float | None
) -> pd.DataFrame:
    """For each row that is asked, the newest row of the table at or before its time, no older than the TTL.

    Of rows of one entity with the same time the last one counts. A row without a time or a key gets nothing. The newest
    row counts whole: a value that is missing in it is missing, whatever an older row had.

    Args:
        asked: rows with the keys and a time; in any order.
        table: rows with the keys, times and values; in any order.
        entity: the keys.
        at: the column of ``asked`` with the time.
        timestamp: that of ``table``.
        ttl_s: the greatest age, in seconds, itself included; None: any.

    Returns:
        The values, a row for each that was asked, in its order and with its index.

    Raises:
        InputError: a key is missing, or holds numbers on one side and texts on the other.
    """
    keys = list(entity)
    for name in (*keys, at):
        if name not in asked.columns:
            raise InputError(f"the entities lack the column {name}; there are {', '.join(map(str, asked.columns))}")
    values = [name for name in table.columns if name not in {*keys, timestamp}]
    left = pd.DataFrame({name: asked[name].to_numpy() for name in keys})
    left[AT], left[PLACE] = utc(asked[at]).to_numpy(), np.arange(len(asked))
    left = left.dropna(subset=[*keys, AT]).sort_values(AT, kind="stable")
    right = table.rename(columns={timestamp: AT}).dropna(subset=keys).sort_values(AT, kind="stable")
    for name in keys:
        if pd.api.types.is_numeric_dtype(left[name]) != pd.api.types.is_numeric_dtype(right[name]) and len(left):
            raise InputError(f"the key {name} holds numbers on one side and texts on the other")
        if left[name].dtype != right[name].dtype:
            common: Any = "float64" if pd.api.types.is_numeric_dtype(right[name]) else object
            left[name], right[name] = left[name].astype(common), right[name].astype(common)
    tolerance = None if ttl_s is None else pd.Timedelta(seconds=ttl_s)
    found = pd.merge_asof(left, right, on=AT, by=keys, direction="backward", tolerance=tolerance)
    whole = found.set_index(PLACE)[values].reindex(range(len(asked)))
    return whole.set_axis(asked.index, axis=0)
