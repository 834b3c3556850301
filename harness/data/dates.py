"""Dates in columns, as seconds since 1970 in UTC."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.clock import utc_now

DAY_S: Final = 86_400.0
TODAY: Final = "today"


def seconds_of_words(words: list[Any], form: str) -> NDArray[np.float64]:
    """Each word as seconds since 1970; NaN where it is none.

    Args:
        words: texts, and NaN for what is missing.
        form: as `datetime.strptime` takes it; empty for ISO 8601 (``2024-05-31``, ``2024-05-31T12:00:00Z``).
    """
    found = pd.to_datetime(pd.Series(words, dtype=object), format=form or "ISO8601", errors="coerce", utc=True)
    return seconds(found)


def is_format(form: str) -> bool:
    """Whether dates can be written so.

    >>> is_format("%d.%m.%Y"), is_format("%Q"), is_format("day")
    (True, False, False)
    """
    try:
        seconds_of_words(["no date"], form)
    except ValueError:
        return False
    return "%" in form


def seconds(values: Any) -> NDArray[np.float64]:
    """Seconds since 1970 of a column of pandas' own times; one without a zone is UTC."""
    times = pd.Series(values)
    times = times.dt.tz_localize(None) if times.dt.tz is None else times.dt.tz_convert(None)
    numbers = times.to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6
    return np.where(times.isna().to_numpy(), np.nan, numbers)


def bound(value: Any, *, end: bool) -> float | None:
    """A bound as seconds since 1970; None where it is no date.

    ``today`` is this day in UTC. A bare day is its first moment as a least one (``end`` false), its last as a greatest.
    """
    if value == TODAY:
        value = utc_now().date()
    if isinstance(value, str):
        value = _read(value.strip())
    if value is None or not isinstance(value, date):
        return None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    midnight = datetime(value.year, value.month, value.day, tzinfo=UTC)
    return (midnight + (timedelta(days=1, microseconds=-1) if end else timedelta())).timestamp()


def _read(text: str) -> date | None:
    for reader in (date.fromisoformat, datetime.fromisoformat):
        try:
            return reader(text)
        except ValueError:
            continue
    return None


def date_text(value: float) -> str:
    """Seconds since 1970 as a day, with its time where it is not midnight or the last moment.

    >>> date_text(0.0), date_text(86_399.999999), date_text(3600.0)
    ('1970-01-01', '1970-01-01', '1970-01-01 01:00:00')
    """
    at = datetime.fromtimestamp(value, tz=UTC)
    bare = value % DAY_S == 0.0 or value % DAY_S > DAY_S - 1
    return f"{at:%Y-%m-%d}" if bare else f"{at:%Y-%m-%d %H:%M:%S}"
