"""Figures of a stream against their definitions, and detectors against what their papers say of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.drift.online import Decay, PageHinkley, fading, windowed

STREAMS = st.lists(st.floats(-10, 10), min_size=1, max_size=60)
ERRORS = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=120)


@given(STREAMS, st.floats(0.05, 1.0))
def test_fading_is_the_weighted_mean_of_its_definition(values, factor):
    found = fading(values, factor)
    for place in range(len(values)):
        weights = factor ** np.arange(place, -1, -1.0)
        assert found[place] == pytest.approx(np.average(values[: place + 1], weights=weights), abs=1e-9)


@given(STREAMS, st.integers(1, 70))
def test_a_window_is_the_mean_of_its_last_values(values, length):
    found = windowed(values, length)
    for place in range(len(values)):
        assert found[place] == pytest.approx(np.mean(values[max(place + 1 - length, 0) : place + 1]), abs=1e-9)


def test_both_tell_of_a_change_sooner_than_the_mean_of_all():
    """A fading factor forgets like a window: after a change both come to the new figure, the mean of all does not."""
    errors = np.r_[np.zeros(5000), np.ones(5000)]
    assert fading(errors, 0.99)[5499] > 0.99
    assert windowed(errors, 500)[5499] == 1.0
    assert fading(errors, 1.0)[5499] == pytest.approx(500 / 5500)


def first_by_definition(values, threshold, tolerance):
    """The first alarm, each m(t) summed anew from Page's definition."""
    sums, total = [0.0], 0.0
    for place, value in enumerate(values):
        total += value - np.mean(values[: place + 1]) - tolerance
        sums.append(total)
        if sums[-1] - min(sums) > threshold + 1e-9:
            return place
    return None


@given(ERRORS, st.sampled_from([0.51, 2.03, 5.07]), st.sampled_from([0.0, 0.0053, 0.1037]))
def test_page_hinkley_alarms_where_its_definition_says(errors, threshold, tolerance):
    detector = PageHinkley(threshold, tolerance)
    found = next((place for place, error in enumerate(errors) if detector.update(error)), None)
    assert found == first_by_definition(errors, threshold, tolerance)


def test_page_hinkley_starts_anew_after_an_alarm():
    detector, fresh = PageHinkley(5), PageHinkley(5)
    assert [detector.update(error) for error in [0.0] * 50 + [1.0] * 6][-1]
    later = [0.0] * 30 + [1.0] * 20
    assert [detector.update(error) for error in later] == [fresh.update(error) for error in later]


@given(ERRORS, st.integers(1, 30), st.sampled_from([0.0, 0.1001, 0.2503]))
def test_decay_alarms_where_a_window_is_worse_than_the_best_by_the_margin(errors, window, margin):
    detector = Decay(window, margin)
    found = next((place for place, error in enumerate(errors) if detector.update(error)), None)
    means = windowed(errors, window)[window - 1 :]
    worse = [
        place + window - 1 for place in range(len(means)) if means[place] - min(means[: place + 1]) > margin + 1e-9
    ]
    assert found == (worse[0] if worse else None)


def alarms(detector, errors):
    return [place for place, error in enumerate(errors) if detector.update(float(error))]


@pytest.mark.parametrize("make", [lambda: PageHinkley(50), lambda: Decay(1344, 0.1)], ids=["page-hinkley", "decay"])
def test_a_rise_from_20_to_40_percent_is_found_and_none_where_there_is_none(make):
    draws = np.random.default_rng(3)
    still = [alarms(make(), draws.random(5000) < 0.2) for _ in range(20)]
    assert sum(map(len, still)) <= 1
    for _ in range(20):
        rising = np.r_[draws.random(5000) < 0.2, draws.random(1500) < 0.4]
        found = alarms(make(), rising)
        assert found
        assert found[-1] > 5000


def test_decay_remembers_how_good_a_model_was_and_alarms_again_a_window_later():
    assert alarms(Decay(10, 0.25), [0.0] * 20 + [1.0] * 25) == [22, 32, 42]
