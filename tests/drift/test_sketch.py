"""What a sketch tells is within its stated error of the truth, whatever the order of chunks and merges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import seeds
from harness.drift.decide import decided
from harness.drift.figures import numeric
from harness.drift.sketch import Sketch, compare

CHUNKS = st.lists(st.lists(st.integers(-40, 40).map(float) | st.floats(-1e6, 1e6), max_size=60), min_size=1, max_size=8)
SEEDS = st.integers(0, 2**31)


def sketched(chunks, seed=1, capacity=10):
    sketch = Sketch(seeds.stream(seed, "sketch"), capacity)
    for chunk in chunks:
        sketch.update(chunk)
    return sketch


def holds(sketch, values):
    values = np.sort(values)
    assert sketch.rows == len(values)
    assert sketch.rank(values) == pytest.approx(np.searchsorted(values, values, side="right"), abs=sketch.error_rows)
    assert sketch.rank(values, below=True) == pytest.approx(np.searchsorted(values, values), abs=sketch.error_rows)
    assert sketch.error <= sketch.error_bound()
    assert sketch.nbytes <= 8 * sketch.capacity * (np.log2(max(len(values) / sketch.capacity, 1)) + 2)


@given(CHUNKS, SEEDS)
def test_no_rank_is_wrong_by_more_than_is_stated(chunks, seed):
    holds(sketched(chunks, seed), np.concatenate(chunks))


@given(st.lists(CHUNKS, min_size=2, max_size=5), st.data())
def test_merged_in_any_order_the_error_is_within_the_bound(parts, data):
    sketches = [sketched(chunks, seed) for seed, chunks in enumerate(parts)]
    while len(sketches) > 1:
        first = sketches.pop(data.draw(st.integers(0, len(sketches) - 1)))
        second = sketches.pop(data.draw(st.integers(0, len(sketches) - 1)))
        sketches.append(first.merged(second))
    holds(sketches[0], np.concatenate([value for chunks in parts for value in chunks]))


def test_few_rows_are_kept_as_they_are():
    stream = seeds.stream(2, "few").generator()
    reference, current = stream.normal(size=9), np.append(stream.normal(1, size=8), np.nan)
    found, truth = compare(sketched([reference]), sketched([current])), numeric(reference, current, method="asymptotic")
    assert found.ks_error == found.share_error == found.wasserstein_error == 0
    for figure in ("rows", "ks_statistic", "ks_p_value", "wasserstein", "wasserstein_scaled", "missing"):
        assert getattr(found.figures, figure) == pytest.approx(getattr(truth, figure)), figure


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.5])
def test_figures_of_many_rows_are_within_their_errors(shift):
    stream = seeds.stream(3, f"many {shift}").generator()
    reference, current = stream.normal(size=200_000), stream.normal(shift, size=150_000)
    kept = [sketched(np.array_split(values, 40), capacity=2048) for values in (reference, current)]
    found, truth = compare(*kept), numeric(reference, current, cvm=False)
    assert 0 < found.ks_error < 0.01
    assert found.figures.ks_statistic == pytest.approx(truth.ks_statistic, abs=found.ks_error)
    assert found.figures.ks_p_value >= truth.ks_p_value
    assert found.figures.wasserstein == pytest.approx(truth.wasserstein, abs=found.wasserstein_error)
    assert found.figures.psi == pytest.approx(truth.psi, abs=0.02)
    assert found.figures.jensen_shannon == pytest.approx(truth.jensen_shannon, abs=0.01)
    assert found.figures.wasserstein_scaled == pytest.approx(found.figures.wasserstein, rel=0.02)
    assert bool(decided({"x": found.figures}).drifted) == (shift > 0)


def test_a_stream_in_order_is_no_worse():
    """Sorted rows, small chunks: the case in which sampling would fail."""
    sketch = sketched(np.arange(50_000.0).reshape(-1, 50), capacity=500)
    holds(sketch, np.arange(50_000.0))
    assert sketch.error < 0.016
    assert sketch.quantile([0.0, 0.5, 1.0]) == pytest.approx([0, 25_000, 50_000], abs=sketch.error_rows + 1)


def test_a_sketch_is_the_same_for_the_same_seed():
    chunks = np.arange(1000.0).reshape(10, -1)
    assert all(
        (one == other).all() for one, other in zip(sketched(chunks).items(), sketched(chunks).items(), strict=True)
    )


def test_what_cannot_be_compared_is_told():
    with pytest.raises(ValueError, match="two values or more"):
        Sketch(seeds.stream(1, "s"), capacity=1)
    with pytest.raises(ValueError, match="capacity 10 and 20"):
        sketched([[1.0]]).merged(sketched([[1.0]], capacity=20))
    with pytest.raises(ValueError, match="needs known values; there are 1 and 0"):
        compare(sketched([[1.0]]), sketched([[np.nan]]))
    with pytest.raises(ValueError, match="without rows"):
        sketched([]).quantile([0.5])
