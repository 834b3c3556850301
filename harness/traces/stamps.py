"""Times as recordings write them, to whole nanoseconds: ISO 8601, Unix time, and that of web logs."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

_NUMBER: Final = re.compile(r"\s*-?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,2})?\s*")
_DATED: Final = re.compile(r"\s*[0-9]{4}-?[0-9]{2}-?[0-9]{2}[T ][0-9]{2}:?[0-9]{2}.*")
_WEB: Final = re.compile(
    r"\s*([0-9]{2})/(\w{3})/([0-9]{4}):([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})\s*"
)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# Unix times of this century and the next, and of the last one's end, by their size: 1e11 s is the year 5138.
_SIZES: Final = ((1e11, 10**9), (1e14, 10**6), (1e17, 10**3))
_LARGEST: Final = 2**62

WHAT: Final = "a time is ISO 8601 (2023-11-16T18:15:46.68), Unix time in s, ms, us or ns, or 17/May/2015:10:05:03 +0000"


class StampError(ValueError):
    """A text that is no time."""

    def __init__(self, index: int, told: str = WHAT) -> None:
        super().__init__(told)
        self.index = index
        """Which of the texts."""


def is_stamp(text: str, *, dated: bool = False) -> bool:
    """Whether a text is a time; with ``dated``, one that a plain number is not."""
    return bool(_DATED.fullmatch(text) or _WEB.fullmatch(text) or (not dated and _NUMBER.fullmatch(text)))


def nanoseconds(texts: Sequence[str], unit_ns: int | None) -> IntArray:
    """All times of a recording, in ns since 1970 (or since whatever its numbers count from).

    The first says how all are written.

    Args:
        texts: at least one.
        unit_ns: of numbers; None: by the size of the first.

    Raises:
        StampError: with the place of the first text that is no such time.
    """
    if _NUMBER.fullmatch(texts[0]):
        return _numbers(texts, unit_ns)
    if unit_ns is not None:
        raise StampError(0, "a unit is for times that are numbers; leave traffic.trace.unit out")
    return _web(texts) if _WEB.fullmatch(texts[0]) else _iso(texts)


def _numbers(texts: Sequence[str], unit_ns: int | None) -> IntArray:
    if unit_ns is None:
        size = abs(float(texts[0]))
        unit_ns = next((unit for most, unit in _SIZES if size < most), 1)
    found = []
    for index, text in enumerate(texts):
        if not _NUMBER.fullmatch(text):
            raise StampError(index, "a number, as the times before it")
        # In decimals: a float64 of a Unix time in seconds is off by up to 120 ns.
        value = int(Decimal(text.strip()) * unit_ns)
        if abs(value) >= _LARGEST:
            raise StampError(index, "it lies more than a century from 1970; is traffic.trace.unit right?")
        found.append(value)
    return np.array(found, np.int64)


def _web(texts: Sequence[str]) -> IntArray:
    known: dict[str, int] = {}
    found = []
    for index, text in enumerate(texts):
        value = known.get(text)
        if value is None:
            value = known[text] = _web_stamp(text, index)
        found.append(value)
    return np.array(found, np.int64) * 10**9


def _web_stamp(text: str, index: int) -> int:
    """Unix seconds; English months whatever the locale."""
    parts = _WEB.fullmatch(text)
    if not parts:
        raise StampError(index)
    day, month, year, hour, minute, second, sign, off_h, off_m = parts.groups()
    offset = timedelta(hours=int(off_h), minutes=int(off_m)) * (-1 if sign == "-" else 1)
    try:
        of_year = _MONTHS.index(month.capitalize()) + 1
        at = datetime(int(year), of_year, int(day), int(hour), int(minute), int(second), tzinfo=timezone(offset))
    except ValueError:
        raise StampError(index, "there is no such day or time") from None
    return round(at.timestamp())


def _iso(texts: Sequence[str]) -> IntArray:
    import pandas as pd

    dated = [text if _DATED.fullmatch(text) else None for text in texts]
    stamps = pd.to_datetime(pd.Series(dated, dtype=object), format="ISO8601", utc=True, errors="coerce")
    wrong = np.flatnonzero(stamps.isna().to_numpy())
    if wrong.size:
        raise StampError(int(wrong[0]))
    try:
        return np.asarray(stamps.dt.tz_convert(None).to_numpy().astype("datetime64[ns]").astype(np.int64))
    except (pd.errors.OutOfBoundsDatetime, OverflowError):
        raise StampError(0, "times lie between the years 1678 and 2262") from None
