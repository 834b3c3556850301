"""Behaviour that a model must show, on models that are made to show it or not."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from harness.data.split import Rows
from harness.domain.evaluation import Cases, Directional, Invariant
from harness.domain.model import Role, Source, Task, TrainedModel
from harness.errors import DataError, InputError
from harness.training.behaviour import check, text_of


class Rule(ClassifierMixin, BaseEstimator):
    """Says yes where fees are high; more often to women, where it is told to be unfair."""

    classes_ = np.array(["No", "Yes"])

    def __init__(self, unfair=0.0, slope=1.0):
        self.unfair, self.slope = unfair, slope

    def predict_proba(self, rows):
        raised = self.slope * (rows["fee"].fillna(50) - 50) / 100 + self.unfair * (rows["gender"] == "f")
        yes = (0.5 + raised).clip(0, 1).to_numpy(float)
        return np.column_stack([1 - yes, yes])

    def predict(self, rows):
        return self.classes_[(self.predict_proba(rows)[:, 1] > 0.5).astype(int)]


class Price(RegressorMixin, BaseEstimator):
    def predict(self, rows):
        return rows["fee"].to_numpy(float) * 2 + (rows["gender"] == "f") * 0.5


def model(estimator, task=Task.CLASSIFICATION, source=Source.ARTIFACT):
    classes = ("No", "Yes") if task is Task.CLASSIFICATION else ()
    return TrainedModel(
        "m", Role.CANDIDATE, source, "rule", {}, estimator, task, ("fee", "gender"), classes, "sha256:0"
    )


FEES = [10.0, 30.0, 45.0, 52.0, 60.0, 90.0, 49.0, np.nan]
ROWS = Rows(
    pd.DataFrame({"fee": FEES, "gender": ["f", "m", "m", "f", "m", "f", "m", "f"], "other": 0.0}, index=range(10, 18)),
    np.zeros(8, np.int64),
    ("No", "Yes"),
)
PRICES = replace(ROWS, target=np.zeros(8), classes=())


def test_a_fair_rule_does_not_mind_another_gender():
    found = check(model(Rule()), ROWS, Invariant("gender"))
    assert (found.rows, found.failed, found.passed, found.first) == (8, 0, True, ())


def test_an_unfair_rule_is_caught_with_its_first_rows():
    found = check(model(Rule(unfair=0.1)), ROWS, Invariant("gender", 0.2))
    # Between 40 and 50 the gender decides; a missing fee counts as 50, where only women get a yes.
    assert (found.failed, found.share, found.first) == (3, 0.375, (12, 16, 17))
    assert not found.passed
    assert found.detail == "row 12: gender m to f changes the answer"
    assert check(model(Rule(unfair=0.1)), ROWS, Invariant("gender", 0.4)).passed


def test_numbers_of_many_values_are_changed_to_their_quartiles():
    found = check(model(Rule()), ROWS, Invariant("fee"))
    assert found.failed == 8  # some fee turns every answer
    many = replace(ROWS, rows=pd.DataFrame({"fee": np.linspace(0, 100, 50), "gender": "m"}), target=np.zeros(50))
    assert check(model(Rule()), many, Invariant("fee")).failed == 50


def test_a_regression_may_move_within_its_tolerance():
    price = model(Price(), Task.REGRESSION)
    rows = replace(PRICES, rows=PRICES.rows.fillna({"fee": 1.0}))
    assert check(price, rows, Invariant("gender")).failed == 8
    assert check(price, rows, Invariant("gender", tolerance=0.5)).passed


def test_a_rise_moves_the_prediction_the_right_way_or_is_counted():
    raised = Directional("fee", 10, "lower")
    found = check(model(Rule()), ROWS, raised)
    assert (found.rows, found.failed, found.passed) == (7, 0, True)  # a missing fee cannot be raised
    against = check(model(Rule(slope=-1.0)), ROWS, raised)
    assert (against.failed, against.first) == (7, (10, 11, 12, 13, 14))
    assert against.detail == "row 10: 0.9 becomes 0.8"
    assert check(model(Rule(slope=-1.0)), ROWS, Directional("fee", 10, "raise")).passed
    assert check(model(Rule(slope=-1.0)), ROWS, Directional("fee", -10, "lower")).passed
    assert check(model(Price(), Task.REGRESSION), PRICES, raised).passed


def test_cases_are_answered_as_anybody_would(tmp_path):
    file = tmp_path / "cases.csv"
    file.write_text("fee,gender,churn\n90,m,Yes\n5,f,No\n,m,No\n51,,No\n")
    found = check(model(Rule()), ROWS, Cases(str(file)), "churn")
    assert (found.rows, found.failed, found.first, found.passed) == (4, 1, (3,), False)
    assert found.detail == "row 3: No expected, Yes answered"
    assert check(model(Rule()), ROWS, Cases(str(file), 0.25), "churn").passed


def test_cases_of_a_regression_have_a_tolerance(tmp_path):
    file = tmp_path / "cases.csv"
    file.write_text("fee,gender,price\n10,m,20\n10,f,20\n")
    price = model(Price(), Task.REGRESSION)
    assert check(price, PRICES, Cases(str(file)), "price").detail == "row 1: 20 expected, 20.5 answered"
    assert check(price, PRICES, Cases(str(file), tolerance=0.5), "price").passed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fee,churn\n1,Yes\n", "cases.csv lacks columns: gender"),
        ("fee,gender,churn\n1,m,Maybe\n", "cases.csv: churn is No or Yes, and not 'Maybe'"),
        ("fee,gender,churn\n1,m,\n", "cases.csv: churn is No or Yes, and not missing"),
    ],
)
def test_a_file_of_cases_that_cannot_be_used_says_why(tmp_path, text, said):
    file = tmp_path / "cases.csv"
    file.write_text(text)
    with pytest.raises(DataError, match=said):
        check(model(Rule()), ROWS, Cases(str(file)), "churn")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Invariant("age"), "no such column; they are fee, gender, other"),
        (Invariant("other"), "the candidate model does not see this column"),
        (Directional("gender", 1, "lower"), "gender holds text, and only numbers can be raised"),
    ],
)
def test_what_cannot_be_changed_is_an_error(wanted, said):
    with pytest.raises(InputError, match=said):
        check(model(Rule()), ROWS, wanted)


def test_labels_have_no_direction_and_recordings_no_behaviour():
    class Bare(ClassifierMixin, BaseEstimator):
        classes_ = np.array(["No", "Yes"])

        def predict(self, rows):
            return self.classes_[np.ones(len(rows), int)]

    with pytest.raises(InputError, match="a label has no direction"):
        check(model(Bare()), ROWS, Directional("fee", 1, "lower"))
    with pytest.raises(InputError, match="only recorded answers are known"):
        check(model(Rule(), source=Source.RECORDED), ROWS, Invariant("gender"))


def test_a_check_that_met_no_row_has_shown_nothing():
    empty = replace(ROWS, rows=ROWS.rows.assign(fee=np.nan))
    found = check(model(Rule()), empty, Directional("fee", 1, "lower", 0.5))
    assert (found.rows, found.share, found.passed) == (0, 0.0, False)


def test_each_check_says_what_it_is():
    assert text_of(Invariant("gender", 0.02)) == "another gender must not change the answer in more than 2% of rows"
    assert text_of(Directional("fee", -10, "raise")) == "fee - 10 must not raise the prediction in any row"
    assert text_of(Cases("data/cases.csv")) == "cases.csv must not be answered wrong in any row"
