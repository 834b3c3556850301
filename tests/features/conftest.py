"""Small tables with all that a feature set treats."""

import numpy as np
import pandas as pd
import pytest

from harness.data.split import Rows
from harness.data.unix_time import unix_seconds

WHEN = pd.Timestamp("1968-02-28T23:00", tz="UTC")


def table(count: int = 240, seed: int = 3) -> pd.DataFrame:
    """Numbers (some missing), categories (some missing), dates from before 1970 to after 2030."""
    draws = np.random.Generator(np.random.Philox(seed))
    when = pd.Series(WHEN + pd.to_timedelta(draws.integers(0, 2 * 10**9, count), unit="s"))
    frame = pd.DataFrame(
        {
            "x": draws.normal(size=count),
            "y": draws.integers(0, 4, count).astype(float),
            "z": draws.exponential(10, count),
            "plan": draws.choice(["basic", "plus", "max"], count),
            "city": draws.choice(list("abcdefgh"), count, p=[0.4, 0.3, 0.1, 0.1, 0.04, 0.03, 0.02, 0.01]),
            "signup": unix_seconds(when),
        }
    )
    frame.loc[draws.random(count) < 0.1, "x"] = np.nan
    frame.loc[draws.random(count) < 0.1, "plan"] = np.nan
    return frame


@pytest.fixture
def frame() -> pd.DataFrame:
    return table()


@pytest.fixture
def rows(frame: pd.DataFrame) -> Rows:
    draws = np.random.Generator(np.random.Philox(9))
    score = frame["x"].fillna(0) + (frame["plan"] == "plus") + draws.normal(0, 0.5, len(frame))
    return Rows(frame, (score > 0.3).to_numpy().astype(np.int64), ("No", "Yes"))
