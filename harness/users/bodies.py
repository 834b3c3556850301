"""Rows as the bodies of requests: one object of JSON each, null for what is missing."""

import json
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

KEPT: Final = 3
"""Levels of drift whose rows are kept ready: the present one, the next, and one that may come back."""
EMPTY: Final = b"{}"
"""What is asked where there are no rows."""


class Bodies:
    """The bodies of requests, by level of drift and row.

    Args:
        frame: the rows as they look at a level, as a pandas DataFrame.
    """

    def __init__(self, frame: Callable[[int], Any]) -> None:
        self._frame = frame
        self._levels: OrderedDict[int, tuple[tuple[str, ...], list[list[Any]]]] = OrderedDict()

    def prepare(self, level: int) -> None:
        """Have a level's rows ready, so that `of` takes microseconds."""
        if level not in self._levels:
            frame = self._frame(level)
            self._levels[level] = (tuple(map(str, frame.columns)), [_values(frame[name]) for name in frame.columns])
        self._levels.move_to_end(level)
        while len(self._levels) > KEPT:
            self._levels.popitem(last=False)

    def of(self, level: int, row: int) -> bytes:
        """The body that asks a row."""
        if level not in self._levels:
            self.prepare(level)
        names, columns = self._levels[level]
        return json.dumps({name: values[row] for name, values in zip(names, columns, strict=True)}).encode()


def _values(column: Any) -> list[Any]:
    """A column's values as JSON has them."""
    plain = column.astype(object)
    values: list[Any] = plain.where(plain.notna(), None).tolist()
    return [value if value is None or type(value) in {str, int, bool} else _plain(value) for value in values]


def _plain(value: Any) -> Any:
    """Numbers as Python has them, infinities as missing, dates as ISO 8601, everything else as text."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str | int):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
