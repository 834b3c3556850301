"""Against stable on the same rows, and against what the registry remembers."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, binomtest

from harness.domain.gates import Against, Check, History, NoRegression, Undecided
from harness.domain.model import Revision, Role, Source, Task, TrainedModel
from harness.errors import InputError
from harness.gates import history, regression
from harness.gates.scene import Scene
from harness.protocols import Population, Version

ROWS = 1000


class Column:
    """Answers what a column says."""

    classes_ = np.array([0, 1])

    def __init__(self, name: str) -> None:
        self.name = name

    def predict(self, rows: Any) -> Any:
        return rows[self.name].to_numpy()


def answering(name: str, task: Task = Task.CLASSIFICATION, **more: Any) -> TrainedModel:
    classes = ("0", "1") if task is Task.CLASSIFICATION else ()
    role = Role.STABLE if name == "stable" else Role.CANDIDATE
    return TrainedModel("m", role, Source.GIVEN, "column", {}, Column(name), task, (name,), classes, "d", **more)


def pair(only_stable: int, only_candidate: int) -> Scene:
    """Two classifiers of 1,000 rows, right and wrong on as many as is said."""
    target = np.arange(ROWS) % 2
    stable, candidate = target.copy(), target.copy()
    candidate[:only_stable] ^= 1
    stable[only_stable : only_stable + only_candidate] ^= 1
    rows = pd.DataFrame({"stable": stable, "candidate": candidate})
    return Scene(answering("candidate"), answering("stable"), Population(rows, target))


def only(plan: NoRegression, scene: Scene) -> Check:
    (check,) = regression.judge(plan, scene)
    return check


def told(check: Check) -> dict[str, Any]:
    assert check.details is not None
    return dict(check.details.rows)  # type: ignore[arg-type]


# --- no_regression ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("only_stable", "only_candidate", "undecided", "passed"),
    [
        (40, 10, Undecided.PASS, False),
        (10, 40, Undecided.FAIL, True),
        (20, 18, Undecided.PASS, True),
        (20, 18, Undecided.FAIL, False),
        (0, 0, Undecided.FAIL, True),
    ],
)
def test_accuracy_is_judged_by_mcnemars_test(
    only_stable: int, only_candidate: int, undecided: Undecided, passed: bool
) -> None:
    check = only(NoRegression(undecided=undecided), pair(only_stable, only_candidate))
    assert check.passed is passed
    assert told(check)["rows that stable alone answers right"] == only_stable
    if only_stable + only_candidate:
        n = only_stable + only_candidate
        worse = binomtest(only_candidate, n, alternative="less").pvalue
        assert told(check)["p-value of being worse"] == pytest.approx(worse)
        assert check.reason.endswith(": worse than stable") == (worse < 0.05)


@pytest.mark.parametrize(
    ("margin", "undecided", "passed"),
    [
        (0.05, Undecided.FAIL, True),
        (0.03, Undecided.PASS, True),
        (0.03, Undecided.FAIL, False),
        (0.005, Undecided.PASS, False),
    ],
)
def test_a_margin_is_what_the_interval_is_held_against(margin: float, undecided: Undecided, passed: bool) -> None:
    """40 rows lost and 10 won of 1,000: a difference of -3 points, its standard error 0.7."""
    check = only(NoRegression(margin=margin, undecided=undecided), pair(40, 10))
    spread = np.sqrt((50 / ROWS - 0.03**2) / ROWS)
    assert check.interval == pytest.approx((-0.03 - 1.645 * spread, -0.03 + 1.645 * spread), abs=0.002)
    assert check.passed is passed


def test_where_less_is_better_more_is_worse() -> None:
    draws = np.random.default_rng(0)
    target = draws.normal(size=400)
    rows = pd.DataFrame({"stable": target + draws.normal(size=400), "candidate": target + 2 * draws.normal(size=400)})
    worse = Scene(
        answering("candidate", Task.REGRESSION), answering("stable", Task.REGRESSION), Population(rows, target)
    )
    better = replace(worse, candidate=worse.stable, stable=worse.candidate)
    assert not only(NoRegression("rmse"), worse).passed
    assert only(NoRegression("rmse", undecided=Undecided.FAIL), better).passed
    assert only(NoRegression("rmse", margin=3.0, undecided=Undecided.FAIL), worse).passed
    assert only(NoRegression("rmse", margin=0.5), worse).bound == "<= stable + 0.5"


def test_without_a_stable_model_there_is_nothing_to_hold_it_against() -> None:
    with pytest.raises(InputError, match="nothing is known of stable's model"):
        only(NoRegression(), replace(pair(1, 1), stable=None))


def test_false_alarms_keep_their_level() -> None:
    """Exactly: under no difference 25 disagreements are tosses of a coin, and each way they fall is judged."""
    verdicts = [regression._by_test(NoRegression(), pair(lost, 25 - lost))[0] for lost in range(26)]
    alarms = sum(binom.pmf(lost, 25, 0.5) for lost, verdict in enumerate(verdicts) if verdict is False)
    praise = sum(binom.pmf(lost, 25, 0.5) for lost, verdict in enumerate(verdicts) if verdict is True)
    assert alarms == pytest.approx(praise)
    assert 0.01 < alarms <= 0.05


# --- history ----------------------------------------------------------------------------------------------------------


def version(number: int, auc: float | None, status: str = "", data: str = "sha256:a") -> Version:
    metrics = {} if auc is None else {"auc": auc, "log_loss": 1 - auc}
    return Version(Revision("m", number, f"sha256:{number}"), (), status, data, metrics)


PAST = (version(1, 0.9), version(2, 0.8), version(3, 0.7, status="bad"), version(4, 0.6), version(5, None))


def past(auc: float, plan: History, versions: tuple[Version, ...] = PAST) -> Check:
    metrics = {"auc": auc, "log_loss": 1 - auc}
    candidate = answering("candidate", metrics=metrics, data_digest="sha256:a")
    (check,) = history.judge(plan, Scene(candidate, versions=versions))
    return check


@pytest.mark.parametrize(
    ("plan", "least"),
    [
        (History("auc"), 0.9),
        (History("auc", last=2), 0.8),
        (History("auc", against=Against.MEDIAN), 0.8),
        (History("auc", against=Against.MEDIAN, last=2), 0.7),
        (History("auc", margin=0.05), 0.85),
        (History("log_loss"), 0.9),
        (History("log_loss", against=Against.MEDIAN, margin=0.1), 0.7),
    ],
)
def test_a_candidate_keeps_up_with_its_forerunners(plan: History, least: float) -> None:
    assert past(least + 1e-6, plan).passed
    assert not past(least - 1e-6, plan).passed


def test_bad_versions_and_those_of_other_data_set_no_standard() -> None:
    versions = (version(1, 0.9, data="sha256:b"), version(2, 0.8), version(3, 0.99, status="bad"))
    assert not past(0.85, History("auc"), versions).passed
    assert past(0.85, History("auc", same_data=True), versions).passed


def test_the_first_version_has_nothing_to_keep_up_with_and_one_that_was_not_measured_fails() -> None:
    first = past(0.1, History("auc"), ())
    assert first.passed
    assert "no earlier version" in first.reason
    (check,) = history.judge(History("auc"), Scene(answering("candidate"), versions=PAST))
    assert not check.passed
