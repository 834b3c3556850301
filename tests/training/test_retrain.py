"""What a challenger learns from and is judged on, apart from any run."""

from dataclasses import replace

import anyio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.conditions import parse
from harness.clock import run_virtual
from harness.data.split import Rows
from harness.domain.event import Evaluated, GateChecked, ModelReady, Retrained
from harness.domain.lifecycle import Aftercare, RetrainPlan, Window
from harness.domain.model import ArtifactPlan, DataPlan, Role, Task, TrainPlan
from harness.domain.service import Fixed, Service
from harness.domain.traffic import Labels
from harness.domain.units import HOUR, SECOND
from harness.errors import InputError
from harness.protocols import Case
from harness.sim.plane import RequestPlane
from harness.training.cache import ModelCache
from harness.training.retrain import Retrain, _known_rows, cut, gates_of
from harness.training.train import train
from tests.build import scenario
from tests.training.conftest import make_rows

TREE = TrainPlan("decision_tree", {"max_depth": 3})


def in_order(rows, first):
    """Training rows, and held-out ones after them."""
    count = len(rows.rows)
    return rows.take(np.arange(first)), rows.take(np.arange(first, count))


def flipped(rows, from_row):
    """From a row on, the world is the other way round."""
    target = np.where(np.arange(len(rows.target)) < from_row, rows.target, 1 - rows.target)
    return replace(rows, target=target)


def planned(plan, **data):
    known = DataPlan("table.csv", "y", "Yes", test_share=0.5, walk_ns=HOUR, **data)
    base = scenario(aftercare=Aftercare(retrain=plan), labels=Labels(0, 1.0))
    return replace(base, model=replace(base.model, data=known))


def challenged(plan, rows, first, known=(1.0,), retrainer=None, champion=None):
    """The cases that challenges at several times come to, and what was told."""
    of = planned(plan)
    training, held = in_order(rows, first)
    told = []
    retrainer = retrainer or Retrain(of, ModelCache())
    if champion is None:
        champion, _, _ = train(TREE, training, 1, ModelCache(), "m", Role.STABLE, None)

    async def run():
        cases, case = [], Case(of, training, held, models={Role.STABLE: champion})
        for share in known:
            found = await retrainer.challenge(case, share, lambda event, *a, **k: told.append(event(0, *a, **k)))
            cases.append(found)
            if found:
                case = case.having(models={Role.STABLE: replace(found.models[Role.CANDIDATE], role=Role.STABLE)})
        return cases

    return run_virtual(run), told


@given(
    window=st.sampled_from(list(Window)),
    size=st.none() | st.integers(1, 5000),
    first=st.integers(1, 2000),
    more=st.integers(0, 3000),
    learned=st.floats(0, 1),
)
def test_what_is_judged_on_is_known_newer_than_what_is_learned_and_new_to_the_champion(
    window, size, first, more, learned
):
    known = first + more
    seen = first + round(learned * more)
    found = cut(RetrainPlan(TREE, window, size), first, known, seen)
    assert 0 <= found.start <= found.judged <= found.stop == known
    assert found.judged >= seen
    if window is Window.EXPANDING:
        assert found.start == 0
    else:
        assert known - found.start == min(size or first, known)
    if seen <= known - (known - found.start) / 5 - 1:
        assert (found.stop - found.judged) == pytest.approx((known - found.start) / 5, abs=0.51)


@pytest.mark.parametrize("part", range(21))
def test_no_user_asks_later_what_a_challenger_has_learned_from(part):
    """Against the simulator's own walk: whatever is asked from a time on is none of what was known at it."""
    count, walk = 1000, HOUR
    at_ns = walk * part // 20
    plane = RequestPlane.build(seed=3, services=[Service(1, 4, Fixed(0.001), SECOND, 10, 0)], rows=count, walk_ns=walk)
    plane.start_replica(0, 0)
    times = np.arange(0, walk + 60 * SECOND, SECOND // 5)
    plane.advance(times[times < at_ns], at_ns)
    plane.take()
    plane.advance(times[times >= at_ns], walk + 61 * SECOND)
    (tally,) = plane.take()
    later = np.flatnonzero(tally.answered[0])
    rows = make_rows(count + 10)
    training, held = in_order(rows, 10)
    known = _known_rows(training, held, part / 20)
    assert later.min() >= len(known.rows) - 10
    # Nor is anything left out without need: the very next row may be asked.
    assert later.min() <= len(known.rows) - 10 + 5


def test_rows_stand_in_the_order_of_the_data_set():
    rows = make_rows(300)
    known = _known_rows(*in_order(rows, 100), 0.5)
    assert known.rows.index.tolist() == list(range(len(known.rows)))
    assert np.array_equal(known.target, rows.target[: len(known.rows)])


def test_of_a_proxy_only_what_becomes_known_is_learned():
    rows = make_rows(300)
    told = np.where(np.arange(300) % 2, np.nan, 1.0 - rows.target)
    rows = replace(rows, known=told)
    known = _known_rows(*in_order(rows, 100), 1.0)
    later = known.rows.index.to_numpy()[100:]
    assert np.all(later % 2 == 0)
    assert np.array_equal(known.target[100:], 1 - rows.target[later])
    assert known.target.dtype == rows.target.dtype


def test_a_challenger_that_learned_of_a_change_takes_the_champions_place():
    rows = flipped(make_rows(2000), 800)
    (case,), told = challenged(RetrainPlan(TREE, rows=1000), rows, 600)
    assert case
    assert [type(event) for event in told] == [ModelReady, Evaluated, Evaluated, GateChecked, Retrained]
    retrained = told[-1]
    known = 600 + 1400 - 1400 // 50
    assert retrained == Retrained(0, 800, known - 201, True, retrained.detail)
    figures = {event.role: event.metrics["accuracy"] for event in told if isinstance(event, Evaluated)}
    assert figures[Role.STABLE] < 0.3 < 0.7 < figures[Role.CANDIDATE]
    challenger = case.models[Role.CANDIDATE]
    # The figures are scikit-learn's on exactly the newest fifth.
    newest = rows.take(np.arange(known - 200, known))
    answered = challenger.estimator.predict(newest.rows) == "Yes"
    assert figures[Role.CANDIDATE] == np.mean(answered == newest.target)
    assert case.models[Role.STABLE].role is Role.STABLE


def test_where_nothing_changed_a_challenger_of_the_same_kind_is_no_better():
    (case,), told = challenged(RetrainPlan(TrainPlan("majority", {}), rows=1000), make_rows(2000), 600)
    assert case is None
    assert told[-1].better is False
    assert "accuracy" in told[-1].detail


def test_a_second_challenger_is_not_judged_on_what_the_first_has_learned():
    rows = flipped(make_rows(3000), 800)
    plan = RetrainPlan(TREE, Window.EXPANDING, gates=(parse("accuracy >= stable - 100%"),))
    (first, second, third), told = challenged(plan, rows, 600, known=(0.5, 0.55, 0.551))
    assert first
    assert second
    assert third
    judged = [event.rows for event in told if isinstance(event, Evaluated) and event.role is Role.STABLE]
    learned = [event.newest for event in told if isinstance(event, Retrained)]
    room = 2400 - 2400 // 50
    known = [600 + int(share * room) for share in (0.5, 0.55, 0.551)]
    assert judged[0] == round(known[0] / 5)
    assert [k - n - 1 for k, n in zip(known, learned, strict=True)] == judged
    assert learned == sorted(learned)


def test_too_few_new_rows_make_no_challenger_and_that_is_told():
    (case,), told = challenged(RetrainPlan(TREE), make_rows(2000), 1000, known=(0.05,))
    assert case is None
    (only,) = told
    assert (only.rows, only.better) == (0, False)
    assert "49 rows are known" in only.detail


def test_a_window_of_one_class_makes_no_challenger():
    rows = make_rows(2000)
    rows = replace(rows, target=np.where(np.arange(2000) < 900, rows.target, 1))
    (case,), told = challenged(RetrainPlan(TREE, rows=600), rows, 800)
    assert case is None
    assert "do not suffice" in told[-1].detail


def test_what_cannot_be_trained_leaves_the_champion():
    plan = RetrainPlan(TrainPlan("logistic_regression", {"C": -1.0}), rows=1000)
    (case,), told = challenged(plan, make_rows(2000), 600)
    assert case is None
    assert told[-1].detail.startswith("it could not be trained: ")


def test_every_gate_is_judged_and_one_that_fails_keeps_the_champion():
    rows = flipped(make_rows(2000), 800)
    gates = (parse("accuracy > stable"), parse("auc >= 99.9%"))
    (case,), told = challenged(RetrainPlan(TREE, rows=1000, gates=gates), rows, 600)
    assert case is None
    judged = [(event.text, event.passed) for event in told if isinstance(event, GateChecked)]
    assert judged == [("accuracy > stable", True), ("auc >= 99.9%", False)]
    assert "auc" in told[-1].detail


@pytest.mark.parametrize(
    ("gates", "task", "texts"),
    [
        ((), Task.REGRESSION, ["rmse < stable"]),
        (("accuracy >= 60%",), Task.CLASSIFICATION, ["accuracy >= 60%", "accuracy > stable"]),
        (("auc >= stable + 1%",), Task.CLASSIFICATION, ["auc >= stable + 1%"]),
    ],
)
def test_a_challenger_must_be_better_unless_a_gate_says_what_better_is(gates, task, texts):
    plan = RetrainPlan(TREE, gates=tuple(parse(gate) for gate in gates))
    assert [rule.text for rule in gates_of(plan, task)] == texts


def test_training_takes_its_stated_duration():
    rows, plan = make_rows(2000), RetrainPlan(replace(TREE, duration_ns=90 * SECOND), rows=1000)
    of = planned(plan)
    training, held = in_order(rows, 600)
    champion, _, _ = train(TREE, training, 1, ModelCache(), "m", Role.STABLE, None)

    async def run():
        began = anyio.current_time()
        case = Case(of, training, held, models={Role.STABLE: champion})
        await Retrain(of, ModelCache()).challenge(case, 1.0, lambda event, *a, **k: event(0, *a, **k))
        return anyio.current_time() - began

    assert run_virtual(run) == 90


def test_two_runs_train_the_same_challenger():
    rows = flipped(make_rows(2000), 800)
    plan = RetrainPlan(TrainPlan("random_forest", {"n_estimators": 5}), rows=1000)
    found = [challenged(plan, rows, 600)[0][0].models[Role.CANDIDATE].artifact_digest for _ in range(2)]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda of: replace(of, aftercare=None), "no plan of retraining"),
        (lambda of: replace(of, labels=None), "labels"),
        (lambda of: replace(of, model=replace(of.model, data=None)), "walk"),
        (lambda of: _with_source(of, ArtifactPlan("m.skops")), "must be an algorithm"),
        (lambda of: _with_source(of, TrainPlan("ridge", {})), "ridge is no algorithm for classification"),
        (lambda of: _with_source(of, TrainPlan("ridgge", {})), "did you mean ridge"),
        (lambda of: _with_source(of, TrainPlan("decision_tree", {"depth": 3})), "has no parameter 'depth'"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(change, told):
    with pytest.raises(InputError, match=told):
        Retrain(change(planned(RetrainPlan(TREE))))


def _with_source(of, source):
    return replace(of, aftercare=Aftercare(retrain=RetrainPlan(source)))


def test_without_data_there_is_nothing_to_learn_from():
    of = planned(RetrainPlan(TREE))

    async def run():
        await Retrain(of).challenge(Case(of), 1.0, lambda event, *a, **k: event(0, *a, **k))

    with pytest.raises(InputError, match="no data set"):
        run_virtual(run)


def test_rows_of_plain_numbers_keep_their_task():
    rows = make_rows(300, regression=True)
    known = _known_rows(*in_order(rows, 100), 1.0)
    assert isinstance(known, Rows)
    assert known.classes == ()
    assert known.target.dtype == np.float64
