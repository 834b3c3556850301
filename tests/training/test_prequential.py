"""Test, then train: no row is learned from before it was answered, and only a better challenger takes over."""

import runpy
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.domain.lifecycle import RetrainPlan, Window
from harness.domain.model import TrainPlan
from harness.drift.online import Decay
from harness.training.prequential import course, persistence

ROOT = Path(__file__).parents[2]
PLAN = RetrainPlan(TrainPlan("majority", {}), rows=500)


class Majority:
    """Learns which of two answers is the usual one; every call is written down."""

    def __init__(self, target):
        self.target = target
        self.calls = []

    def __call__(self, start, stop):
        usual = int(np.mean(self.target[start:stop]) >= 0.5)
        number = sum(call[0] == "learn" for call in self.calls)
        self.calls.append(("learn", start, stop))

        def right(a, b):
            self.calls.append((number, a, b))
            return self.target[a:b] == usual

        return right


def turning(count, at):
    """Nine of ten answers are 1, and from a row on one of ten."""
    draws = np.random.default_rng(1).random(count)
    return (draws < np.where(np.arange(count) < at, 0.9, 0.1)).astype(int)


@given(
    first=st.integers(50, 500),
    chunk=st.integers(1, 400),
    window=st.sampled_from(list(Window)),
    size=st.integers(50, 800),
    at=st.integers(100, 1900),
)
def test_each_row_is_answered_once_by_a_model_that_learned_from_earlier_ones_only(first, chunk, window, size, at):
    target = turning(2000, at)
    learn = Majority(target)
    plan = RetrainPlan(PLAN.source, window, rows=size)
    found = course(2000, first, chunk, learn, plan, lambda: Decay(60, 0.2))
    learned, answered, known = [], first, first
    for who, start, stop in learn.calls:
        if who == "learn":
            assert stop <= known
            learned.append(stop)
        elif start == answered and stop == min(answered + chunk, 2000):
            assert learned[who] <= start
            answered = known = stop
        else:  # challenger or champion, judged on rows that neither has learned from
            assert learned[who] <= start < stop == known
    assert answered == 2000
    assert len(found.right) == 2000 - first
    assert len(found.challenges) <= len(found.alarms)


def test_a_change_is_heard_and_the_challenger_wins_back_what_was_lost():
    target = turning(4000, 1500)
    without = course(4000, 500, 100, Majority(target))
    found = course(4000, 500, 100, Majority(target), PLAN, lambda: Decay(100, 0.3))
    before_turn, after = slice(0, 1000), slice(2000, 3500)
    assert without.alarms == without.challenges == ()
    assert np.array_equal(without.right, target[500:] == 1)
    assert np.array_equal(found.right[before_turn], without.right[before_turn])
    assert found.alarms[0] == 1600
    # The first challenger knows little but the old world. The champion is heard on until one knows the new.
    assert [each.better for each in found.challenges] == [False] * (len(found.challenges) - 1) + [True]
    assert without.right[after].mean() == pytest.approx(0.1, abs=0.03)
    assert found.right[after].mean() == pytest.approx(0.9, abs=0.03)


def test_a_challenger_that_is_not_better_changes_no_answer():
    target = np.random.default_rng(2).integers(0, 2, 3000) | 1  # always the same answer: a tie
    noise = course(3000, 500, 100, Majority(target), PLAN, lambda: Decay(10, -0.5))
    assert len(noise.challenges) == len(noise.alarms) > 5
    assert not any(each.better for each in noise.challenges)
    assert noise.accuracy == 1.0


def test_persistence_answers_what_the_row_before_was():
    target = np.array([0, 0, 1, 1, 0, 1])
    assert persistence(target, 1).right.tolist() == [True, False, True, False, False]
    assert persistence(target, 2, delay=2).right.tolist() == [False, False, False, True]


@pytest.fixture(scope="module")
def benchmark():
    before = list(sys.path)
    found = runpy.run_path(str(ROOT / "benchmarks" / "elec2_loop.py"), run_name="elec2_loop")
    sys.path[:] = before
    return found


def test_persistence_on_elec2_is_what_is_published(benchmark):
    """85.3 %: Žliobaitė (2013), of the classifier that predicts the next label to be the last."""
    assert persistence(benchmark["elec2"]().target, 1).accuracy == pytest.approx(0.853, abs=0.0005)


def test_on_a_slice_of_elec2_retraining_wins_and_the_plot_shows_it(benchmark, tmp_path, monkeypatch, capsys):
    plot = tmp_path / "loop.svg"
    options = ["--limit", "18000", "--algorithm", "logistic_regression", "--plot", str(plot)]
    monkeypatch.setattr(sys, "argv", ["elec2_loop.py", *options])
    benchmark["main"]()
    lines = [line.rsplit(maxsplit=4) for line in capsys.readouterr().out.splitlines() if "retraining" in line]
    told = {name.strip(): (float(accuracy.rstrip("%")), *map(int, rest)) for name, accuracy, *rest in lines}
    without, decay, page = (
        told[name] for name in ("without retraining", "retraining on decay", "retraining on page-hinkley")
    )
    assert without[1:] == (0, 0, 0)
    for accuracy, alarms, retrained, won in (decay, page):
        assert accuracy > without[0] + 5
        assert alarms >= retrained >= won > 0
    tree = ET.parse(plot)
    named = [element.tag.rsplit("}")[-1] for element in tree.iter()]
    assert named.count("polyline") == 3
    assert named.count("path") == decay[2]
    dotted = [element for element in tree.iter() if element.get("stroke-dasharray") == "3 4"]
    assert len(dotted) == decay[1]
