"""The tail of the Kolmogorov-Smirnov law is scipy's, to 1e-12 of itself however small it is."""

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstwo

from harness.drift.smirnov import smirnov, tail


@given(st.integers(100, 30_000), st.floats(0.1, 380))
def test_tail_is_scipys(rows, squared):
    statistic = min(np.sqrt(squared / rows), 0.9)
    assert tail(statistic, rows) == pytest.approx(kstwo.sf(statistic, rows), rel=1e-12, abs=1e-300)


@pytest.mark.parametrize(("statistic", "rows"), [(0.011, 50_000), (0.0024, 999_999), (0.001, 5_000_000), (0.49, 1500)])
def test_tail_is_scipys_where_there_are_many_rows(statistic, rows):
    assert tail(statistic, rows) == pytest.approx(kstwo.sf(statistic, rows), rel=1e-12, abs=1e-300)


@pytest.mark.parametrize(("rows", "statistic"), [(3, 0.4), (10, 0.21), (30, 0.3)])
def test_smirnov_is_its_sum(rows, statistic):
    """In whole numbers and powers, as Birnbaum and Tingey write it."""
    terms = [
        comb(rows, j) * (statistic + j / rows) ** (j - 1) * (1 - statistic - j / rows) ** (rows - j)
        for j in range(int(rows * (1 - statistic)) + 1)
    ]
    assert smirnov(rows, statistic) == pytest.approx(statistic * sum(terms), rel=1e-12)


def test_what_cannot_be_and_what_must_be():
    assert (tail(0.0, 5000), tail(1.0, 5000)) == (1.0, 0.0)
