"""Classes of requests: the rows that each of them asks, and what it met."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.domain.event import ClassTotals
from harness.domain.traffic import RequestClass
from harness.domain.units import SECOND
from harness.errors import InputError
from harness.sim.tally import ClassTally

MOST_SHOWN = 10


def rows_of(kind: RequestClass, rows: Any) -> NDArray[np.int64]:
    """The numbers of the rows that requests of a class ask, rising.

    Args:
        kind: the class.
        rows: pandas DataFrame of all rows that can be asked.

    Raises:
        InputError: there is no such column, or no row has one of the values.
    """
    if kind.column is None:
        return np.arange(len(rows), dtype=np.int64)
    if kind.column not in rows.columns:
        raise InputError(
            f"traffic.classes: {kind.name} asks rows by {kind.column!r}, and the features have no such column; "
            f"they are {', '.join(map(str, rows.columns))}"
        )
    written = rows[kind.column].map(_text)
    found = np.flatnonzero(written.isin(kind.values).to_numpy())
    if not found.size:
        known = sorted(written.unique())
        shown = ", ".join(known[:MOST_SHOWN]) + (", ..." if len(known) > MOST_SHOWN else "")
        raise InputError(
            f"traffic.classes: no held-out row has {kind.column} = {' or '.join(kind.values)}, which {kind.name} asks; "
            f"they have {shown}"
        )
    return found.astype(np.int64)


def class_totals(tally: ClassTally) -> ClassTotals:
    """What a class met, as a report tells it."""
    known = tally.latency.count > 0
    p50, p95 = (tally.latency.quantile(q) / SECOND if known else None for q in (0.5, 0.95))
    return ClassTotals(tally.arrivals, tally.ok, tally.failed, p50, p95)


def _text(value: Any) -> str:
    """A value as people write it: whole numbers without a point."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
