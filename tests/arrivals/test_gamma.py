"""Gamma arrivals against renewal theory: gaps, counts, and what is expected from the first nanosecond on."""

import numpy as np
import pytest
from scipy import stats

from harness import arrivals
from harness.arrivals.paced import CELL
from harness.domain.traffic import Knots, Process, Traffic
from harness.domain.units import MINUTE, SECOND
from harness.errors import InputError
from harness.seeds import stream

RNG = stream(4, "arrivals")
RATE = 1000.0
STEADY = Knots((0,), (RATE,))
VARIATIONS = [0.3, 1.0, 2.0, 4.0]


def process(variation, shape=STEADY):
    return arrivals.of(Traffic("gamma", Process.GAMMA, shape, variation=variation))


def in_cells(variation, cells):
    """Where arrivals stand in each of the first cells, in expected arrivals."""
    source = process(variation)
    for cell in range(cells):
        times, ends = source.cell(cell, RNG)
        yield CELL - (ends - times) / SECOND * RATE


@pytest.mark.parametrize("variation", VARIATIONS)
def test_gaps_are_gamma_and_independent(variation):
    gaps = np.concatenate([np.diff(places) for places in in_cells(variation, 12)])
    law = stats.gamma(1 / variation**2, scale=variation**2)
    # Times are whole nanoseconds, a millionth of a mean gap; the law is compared where that does not matter.
    few = 1e-4
    assert np.mean(gaps > few) == pytest.approx(law.sf(few), abs=4 * np.sqrt(0.25 / gaps.size))
    longer = gaps[gaps > few]
    assert stats.kstest(longer, lambda x: (law.cdf(x) - law.cdf(few)) / law.sf(few)).pvalue > 1e-3
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 4 / np.sqrt(gaps.size)


def test_a_variation_of_one_is_poisson():
    times = process(1.0).times(0, 10 * MINUTE, RNG)
    counts = np.histogram(times, np.arange(0, 10 * MINUTE + 1, SECOND // 20))[0]
    assert counts.var() == pytest.approx(counts.mean(), rel=0.05)
    assert stats.kstest(np.diff(times) / SECOND * RATE, "expon").pvalue > 1e-3


@pytest.mark.parametrize("variation", VARIATIONS)
def test_a_long_count_varies_by_the_square_of_the_variation(variation):
    """Cox 1962, 4.5: in equilibrium ``var N(t) = v t + (1/6 + v^2/2 - m3/3)``, v the squared variation of gaps of mean
    one and m3 their third central moment: of gamma gaps 2 v^2."""
    width = CELL // 8
    counts = np.concatenate(
        [np.histogram(places, np.arange(0, CELL + 1, width))[0] for places in in_cells(variation, 250)]
    )
    v = variation**2
    expected = v * width + 1 / 6 + v * v / 2 - 2 * v * v / 3
    # Within a cell counts of neighbours hardly depend on each other; 2,000 of them give a variance to 3 %.
    assert counts.var() == pytest.approx(expected, rel=4 * np.sqrt(2 / counts.size))


@pytest.mark.parametrize("variation", VARIATIONS)
def test_any_window_of_a_cell_expects_its_width(variation):
    """An ordinary renewal process would begin with a gap that is too short (or long): here the start is as any time."""
    edges = np.array([0.0, 0.5, 1.0, 3.0, 10.0, 100.0])
    cells = 1200
    draws = arrivals.PROCESSES[Process.GAMMA](Traffic("gamma", Process.GAMMA, Knots((0,), (1.0,)), variation=variation))
    counts = np.array([np.histogram(draws(cell, RNG)[1:-1], edges)[0] for cell in range(cells)])
    error = counts.std(axis=0) / np.sqrt(cells)
    assert (np.abs(counts.mean(axis=0) - np.diff(edges)) < 4 * error).all()


def test_the_curve_stretches_it():
    ramp = Knots((0, 60 * SECOND), (0.0, 2000.0))
    source = process(2.0, ramp)
    times = source.times(0, MINUTE, RNG)
    halves = np.histogram(times, [0, 30 * SECOND, MINUTE])[0]
    expected = np.diff(source.curve.expected([0, 30 * SECOND, MINUTE]))
    assert (np.abs(halves - expected) < 4 * 2.0 * np.sqrt(expected)).all()


@pytest.mark.parametrize("variation", [0.0, -1.0, 0.001, 20.5, float("nan"), float("inf")])
def test_variations_that_are_none_are_refused(variation):
    with pytest.raises(InputError, match=r"coefficient of variation of .* between 0\.01 and 20"):
        process(variation)
