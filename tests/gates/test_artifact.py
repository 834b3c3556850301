"""How quick, how large and how robust the model is."""

import math
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from harness.domain.gates import Latency, Measure, Robustness, Size, limit_of
from harness.domain.model import Source
from harness.errors import InputError
from harness.gates import latency, robustness, size
from harness.gates.table import judge
from harness.training.weighed import value
from tests.gates import adult

# --- latency ----------------------------------------------------------------------------------------------------------


class Clock:
    """Nanoseconds that pass as they are told to: each model call takes the next of these."""

    def __init__(self, *took: int) -> None:
        self.took, self.now, self.asked = list(took), 0, 0

    def __call__(self) -> int:
        self.asked += 1
        if self.asked % 2 == 0:
            self.now += self.took.pop(0)
        return self.now


def test_the_quietest_round_is_judged_after_a_warm_up() -> None:
    plan = Latency({"p50": limit_of("< 20ms", Measure.DURATION)}, repeats=3, rounds=2)
    warm, slow, quick = [9_000_000_000] * 5, [40_000_000] * 3, [5_000_000, 7_000_000, 900_000_000]
    found = latency.measure(plan, adult.scene(adult.plain()), Clock(*warm, *slow, *warm, *quick))
    assert found == {"p50": 0.007}


def test_a_batch_has_its_rows_and_the_median_of_its_calls() -> None:
    asked: list[int] = []

    class Counting:
        def predict(self, rows: Any) -> Any:
            asked.append(len(rows))

    plan = Latency({"batch": limit_of("< 1s", Measure.DURATION)}, batch_rows=5000, rounds=1)
    scene = replace(adult.scene(adult.plain()), candidate=replace(adult.plain(), estimator=Counting()))
    found = latency.measure(plan, scene, Clock(10**10, 10**9, 3 * 10**9, 2 * 10**9, 5 * 10**9, 4 * 10**9))
    assert found == {"batch": 3.0}
    assert asked == [5000] * 6


@pytest.mark.parametrize(("bound", "passed"), [("< 1h", True), ("< 0s", False)])
def test_the_verdict_is_told_and_what_was_measured_is_no_part_of_it(bound: str, passed: bool) -> None:
    plan = Latency({"p95": limit_of(bound, Measure.DURATION)}, repeats=2, rounds=1)
    (check,) = latency.judge(plan, adult.scene(adult.plain()))
    assert check.passed is passed
    assert check.value is None
    assert check.measured["p95"] > 0
    assert f"{check.measured['p95']:.3g}" not in check.reason


# --- size -------------------------------------------------------------------------------------------------------------


def test_the_size_of_a_model_is_the_same_for_each_dump_and_that_of_an_archive() -> None:
    draws = np.random.default_rng(0)
    rows, target = draws.normal(size=(200, 3)), draws.integers(0, 2, 200)
    forests = [RandomForestClassifier(5, max_depth=4, random_state=0).fit(rows, target) for _ in range(3)]
    keep = [bytearray(10**6) for _ in range(3)]  # what is allocated between them moves their objects
    dumps = [size.canonical(size.dumped(forest)) for forest in forests]
    assert len({len(dump) for dump in dumps}) == 1
    assert size.artifact_bytes(forests[0]) == len(dumps[0])
    loaded = skops.io.loads(dumps[0], trusted=skops.io.get_untrusted_types(data=dumps[0]))
    assert (loaded.predict_proba(rows) == forests[0].predict_proba(rows)).all()
    assert len(keep) == 3


def test_the_size_of_a_model_is_the_same_once_it_was_read_from_a_file() -> None:
    """Which numbers and texts are one object in memory differs between a model just trained and one that was read."""
    draws = np.random.default_rng(0)
    rows = draws.normal(size=(500, 4))
    model = make_pipeline(StandardScaler(), HistGradientBoostingRegressor(max_iter=3, random_state=0))
    model.fit(rows, rows[:, 0] + rows[:, 1] ** 2)
    archive = size.dumped(model)
    read = skops.io.loads(archive, trusted=skops.io.get_untrusted_types(data=archive))
    copied = pickle.loads(pickle.dumps(model))
    assert len({size.artifact_bytes(each) for each in (model, read, copied)}) == 1


def test_a_model_that_is_too_large_is_refused() -> None:
    scene = adult.scene(adult.plain())
    bytes_ = size.artifact_bytes(adult.plain().estimator)
    for bound, passed in ((f"<= {bytes_}B", True), (f"< {bytes_}B", False), ("< 1kB", False), ("< 1GB", True)):
        (check,) = size.judge(Size(limit_of(bound, Measure.SIZE)), scene)
        assert (check.passed, check.value) == (passed, bytes_)


def test_what_only_answers_has_no_artifact() -> None:
    recorded = replace(adult.plain(), source=Source.RECORDED)
    with pytest.raises(InputError, match="only its answers are known"):
        size.judge(Size(limit_of("< 1GB", Measure.SIZE)), adult.scene(recorded))
    (check,) = judge(Size(limit_of("< 1GB", Measure.SIZE)), adult.scene(recorded))
    assert not check.passed
    assert "could not be judged: of the candidate only its answers are known" in check.reason


# --- robustness -------------------------------------------------------------------------------------------------------

NOTHING = Robustness("accuracy", 0.05, noise_sd=0, missing=0, unknown=0, extreme=0)


def test_each_perturbation_does_what_it_says() -> None:
    rows, draws = adult.rows()[1].rows, np.random.default_rng(0)
    noisy = robustness.noise(rows, replace(NOTHING, noise_sd=0.5), draws)
    moved = (noisy["age"] - rows["age"]).std() / rows["age"].std()
    assert moved == pytest.approx(0.5, rel=0.05)
    assert noisy["sex"].equals(rows["sex"])
    emptied = robustness.missing(rows, replace(NOTHING, missing=0.2), draws)
    assert emptied.isna().mean().to_numpy() == pytest.approx(np.full(rows.shape[1], 0.2), abs=0.03)
    strange = robustness.unknown(rows, replace(NOTHING, unknown=0.3), draws)
    assert (strange["race"] == robustness.UNSEEN).mean() == pytest.approx(0.3, abs=0.03)
    assert strange["age"].equals(rows["age"])
    far = robustness.extreme(rows, replace(NOTHING, extreme=0.1), draws)
    out = np.abs(far["age"] - rows["age"].mean()) / rows["age"].std() > 9.9
    assert out.mean() == pytest.approx(0.1, abs=0.02)
    assert rows.equals(adult.rows()[1].rows)


def test_the_loss_is_that_of_the_metric_on_the_rows_that_were_changed() -> None:
    scene = adult.scene(adult.plain(), seed=3)
    plan = Robustness("f1", 0.2)
    checks = robustness.judge(plan, scene)
    assert [check.name for check in checks] == [f"robustness.{word}" for word in robustness.PERTURBATIONS]
    assert all(check.passed for check in checks)
    assert [check.value for check in robustness.judge(plan, scene)] == [check.value for check in checks]
    worst = max(check.value or 0 for check in checks)
    assert worst > 0
    strict = robustness.judge(replace(plan, drop=worst / 2), scene)
    assert [check.passed for check in strict] == [(check.value or 0) <= worst / 2 for check in checks]
    assert value("f1", scene.answers) - worst > 0


class Fragile:
    """Answers clean rows, and breaks over the rest."""

    classes_ = np.array(["<=50K", ">50K"])

    def __init__(self, how: str) -> None:
        self.how = how

    def predict(self, rows: Any) -> Any:
        return self.classes_[(self.predict_proba(rows)[:, 1] > 0.5).astype(int)]

    def predict_proba(self, rows: Any) -> Any:
        chance = np.full(len(rows), 0.3)
        if rows["age"].isna().any():
            if self.how == "error":
                raise ValueError("Input contains NaN")
            chance[rows["age"].isna()] = math.nan
        return np.column_stack([1 - chance, chance])


@pytest.mark.parametrize(("how", "told"), [("error", "Input contains NaN"), ("nan", "answers are no number")])
def test_errors_and_answers_that_are_no_number_are_failures(how: str, told: str) -> None:
    scene = adult.scene(adult.model(Fragile(how)))
    (check,) = robustness.judge(replace(NOTHING, missing=0.1, drop=1.0), scene)
    assert not check.passed
    assert told in check.reason
