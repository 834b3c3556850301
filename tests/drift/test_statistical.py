"""The Jensen-Shannon distance against scipy, recorded values and its own laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from harness.drift.statistical import expected_divergence, jensen_shannon

COUNTS = st.lists(st.integers(0, 1000), min_size=4, max_size=4).filter(any)


@given(COUNTS, COUNTS)
def test_it_is_scipys_distance_in_base_two(first, second):
    assert jensen_shannon(first, second) == pytest.approx(jensenshannon(first, second, base=2), abs=1e-7)


@given(COUNTS, COUNTS, COUNTS)
def test_it_is_a_metric_from_zero_to_one(first, second, third):
    there, back = jensen_shannon(first, second), jensen_shannon(second, first)
    assert 0 <= there <= 1
    assert there == back
    assert jensen_shannon(first, first) == 0
    assert there <= jensen_shannon(first, third) + jensen_shannon(third, second) + 1e-9


def test_counts_of_a_recorded_case():
    # scipy 1.17.1 on the counts of two seeded samples of four categories, base 2.
    assert jensen_shannon([1991, 1476, 1047, 486], [1359, 1220, 817, 604]) == pytest.approx(
        0.077408087975726, abs=1e-12
    )


@pytest.mark.parametrize(("first", "second"), [([0, 0], [1, 1]), ([1, 1], [1]), ([[1, 1]], [[1, 1]])])
def test_what_cannot_be_compared_is_told(first, second):
    with pytest.raises(ValueError, match="histogram"):
        jensen_shannon(first, second)


def test_chance_alone_gives_the_expected_divergence():
    draws = np.random.Generator(np.random.Philox(1))
    shares = np.array([0.3, 0.25, 0.2, 0.15, 0.1])
    found = [jensen_shannon(draws.multinomial(500, shares), shares) ** 2 for _ in range(2000)]
    assert np.mean(found) == pytest.approx(expected_divergence(np.array([5]), 500)[0], rel=0.05)
