"""The curve of latency against the rate, and where it bends."""

import math

import numpy as np
import pytest

from harness.stats.knee import curve, knee


@pytest.mark.parametrize("most", [0.75, 0.9, 0.96, 0.99])
def test_the_knee_of_a_queue_is_where_its_curve_is_farthest_below_the_chord(most):
    """Of ``1 / (1 - load)`` on 0..r: ``load / r - (latency - 1) (1 - r) / r`` is greatest at ``1 - sqrt(1 - r)``."""
    loads = np.linspace(0, most, 400)
    assert knee([(load * 500, 1 / (500 - load * 500)) for load in loads]) == pytest.approx(
        500 * (1 - math.sqrt(1 - most)), rel=0.01
    )


def test_two_straight_lines_bend_where_they_meet():
    rates = np.arange(10, 210, 5.0)
    assert knee([(rate, 0.01 + max(rate - 150, 0) * 0.01) for rate in rates]) == pytest.approx(150, abs=3)


@pytest.mark.parametrize(
    "points", [[], [(5.0, 0.1)], [(5.0, 0.1), (9.0, 0.1)], [(r, 0.1 + r / 1e3) for r in (1.0, 5, 9)]]
)
def test_what_does_not_bend_has_no_knee(points):
    assert knee(points) is None


def test_a_curve_never_falls_and_stays_among_what_was_measured():
    draw = np.random.default_rng(8)
    rates = np.sort(draw.uniform(10, 450, 40))
    points = [(float(rate), float(0.01 / (1 - rate / 500) * draw.lognormal(0, 0.15))) for rate in rates]
    drawn = curve(points[::-1], 50)
    assert len(drawn) == 50
    assert [rate for rate, _ in drawn] == pytest.approx(np.linspace(rates[0], rates[-1], 50).tolist())
    latency = [latency for _, latency in drawn]
    assert all(np.diff(latency) >= -1e-15)
    assert latency[0] >= min(each for _, each in points) * (1 - 1e-12)
    assert latency[-1] <= max(each for _, each in points) * (1 + 1e-12)
    exact = [0.01 / (1 - rate / 500) for rate, _ in drawn]
    assert np.median(np.abs(np.log(np.divide(latency, exact)))) < 0.1


def test_trials_of_one_rate_count_together_and_those_without_latency_not_at_all():
    assert curve([(10.0, 0.1), (10.0, 0.4), (20.0, 0.0)]) == ((10.0, pytest.approx(0.2)),)
