"""Small data sets and models for the tests of training."""

import numpy as np
import pandas as pd
import pytest

from harness.data.split import Rows
from harness.training.algorithms import effective
from harness.training.fit import fit, unfitted


def make_rows(count=200, *, regression=False, seed=5):
    """Numbers (some missing), categories (some missing), and an answer that depends on them."""
    draws = np.random.Generator(np.random.Philox(seed))
    frame = pd.DataFrame(
        {
            "x": draws.normal(size=count),
            "n": draws.integers(0, 5, size=count).astype(np.float64),
            "c": draws.choice(["a", "b", "c"], size=count),
        }
    )
    score = frame["x"] + (frame["c"] == "a") + draws.normal(0, 0.3, size=count)
    frame.loc[draws.random(count) < 0.1, "x"] = np.nan
    frame.loc[draws.random(count) < 0.1, "c"] = np.nan
    if regression:
        return Rows(frame, score.to_numpy(), ())
    return Rows(frame, (score > 0.3).to_numpy().astype(np.int64), ("No", "Yes"))


def fitted(word, rows, random_state=1, **params):
    """A fitted model."""
    given = effective(word, params, random_state)
    return fit(word, unfitted(word, given, rows), rows)


@pytest.fixture
def rows():
    return make_rows()
