"""One decision over all detectors, a score that agrees with it, and what is recommended."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, ks_2samp

from harness.domain.drift import USUAL, ClassifierDrift, Columns, Detector, DriftReport, Rules, RuleVerdict, score_of
from harness.drift.detect import DriftOptions, budget, detect
from harness.drift.rules import DriftRuleError, parse
from harness.errors import DataError, InputError

STATISTICAL = (Detector.STATISTICAL,)
shares = st.floats(0, 1)


def table(seed: int = 0, rows: int = 900) -> pd.DataFrame:
    drawn = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "price": drawn.lognormal(4, 0.5, rows),
            "age": drawn.normal(40, 10, rows),
            "plan": drawn.choice(["basic", "plus", "pro"], rows, p=[0.5, 0.3, 0.2]),
            "left": drawn.integers(0, 2, rows),
        }
    )


def found(current: pd.DataFrame, reference: pd.DataFrame | None = None, **options: Any) -> DriftReport:
    options.setdefault("detectors", STATISTICAL)
    return detect(table(0) if reference is None else reference, current, DriftOptions(**options))


def test_times_of_any_zone_are_compared_as_times() -> None:
    hours = pd.Series(pd.to_datetime("2024-01-01") + pd.to_timedelta(np.arange(400) % 97, unit="h"))
    plain, zoned = (pd.DataFrame({"at": each}) for each in (hours, hours.dt.tz_localize("UTC")))
    there = pd.DataFrame({"at": zoned["at"].dt.tz_convert("Asia/Tokyo")})
    for reference, current in ((plain, zoned), (zoned, there), (there, plain)):
        (at,) = found(current, reference).columns
        assert (at.kind, at.effect) == ("number", 0)
    assert found(plain + pd.Timedelta(hours=40), there).drift_detected


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (np.zeros((5, 2)), "are a ndarray; give a DataFrame"),
        (None, "are a NoneType"),
        (pd.DataFrame({"tags": [["a"], ["b"]]}), "tags holds what is neither a number nor a text"),
    ],
)
def test_what_is_no_table_of_numbers_and_texts_is_told(given: Any, told: str) -> None:
    with pytest.raises(DataError, match=told):
        found(given, given)


# --- the rate and the score ---


@given(st.sets(st.sampled_from(list(Detector)), min_size=1), st.floats(1e-6, 0.5))
def test_parts_of_the_false_alarm_rate_never_add_up_to_more_than_it(asked: set[Detector], alpha: float) -> None:
    parts = budget(alpha, asked)
    assert set(parts) == asked
    assert sum(parts.values()) <= alpha * (1 + 1e-12)
    tested = asked - {Detector.DOMAIN_SPECIFIC}
    assert all((parts[each] > 0) == (each in tested) for each in asked)
    if tested:
        assert sum(parts.values()) == pytest.approx(alpha)
    if len(tested) > 1 and Detector.STATISTICAL in tested:
        assert parts[Detector.STATISTICAL] == alpha / 2


@given(st.lists(st.tuples(st.booleans(), shares), min_size=1, max_size=5))
def test_a_score_lies_above_the_threshold_exactly_where_drift_was_detected(parts: list[tuple[bool, float]]) -> None:
    made = [
        ClassifierDrift(0.5 + effect / 2, 0.0 if drifted else 1.0, drifted=drifted, alpha=0.01)
        for drifted, effect in parts
    ]
    score = score_of(made)
    assert 0 <= score <= 1
    assert (score > 0.1) == any(drifted for drifted, _ in parts)


def test_a_broken_rule_alone_is_drift() -> None:
    report = found(table(1, 300), detectors=USUAL, rules=(parse("max(age) <= 10"), parse("rows() >= 1")))
    assert report.drift_detected
    assert not report.parts[Detector.STATISTICAL].drifted
    assert report.drift_score == pytest.approx(0.1 + 0.9 / 2)
    assert report.recommendations == (
        next(said for said in report.recommendations if said.startswith("The rule `max(age) <= 10` is broken")),
    )


# --- columns ---


def test_columns_are_tested_as_scipy_does_and_corrected() -> None:
    reference, current = table(0), table(1, 300).assign(age=lambda rows: rows.age + 3)
    report = found(current, alpha=0.05, target="left")
    columns = {column.name: column for column in report.columns}
    assert set(columns) == {"price", "age", "plan"}
    tested = ks_2samp(reference.age, current.age)
    assert columns["age"].tests["ks_test"]["statistic"] == pytest.approx(tested.statistic, abs=1e-12)
    assert columns["age"].p_value == pytest.approx(tested.pvalue, rel=1e-9)
    assert columns["age"].adjusted_p_value == pytest.approx(3 * tested.pvalue, rel=1e-9)  # Holm's first of three
    counts = pd.crosstab([0] * 900 + [1] * 300, [*reference.plan, *current.plan])
    assert columns["plan"].p_value == pytest.approx(chi2_contingency(counts).pvalue, rel=1e-9)
    assert columns["age"].effect == pytest.approx(tested.statistic)
    shares = [values.value_counts(normalize=True) for values in (reference.plan, current.plan)]
    assert columns["plan"].effect == pytest.approx((shares[0] - shares[1]).abs().sum() / 2)
    assert report.columns[0].name == "age"  # the drifted first


def test_json_has_the_shape_that_programs_rely_on() -> None:
    current = table(1, 300).assign(age=lambda rows: rows.age + 10)
    told = json.loads(json.dumps(found(current, detectors=USUAL, every_s=3600.0).as_json(), allow_nan=False))
    assert told["version"] == 1
    assert told["drift_detected"] is True
    assert told["threshold"] == 0.1
    assert (told["reference_rows"], told["current_rows"]) == (900, 300)
    column = told["individual_results"]["statistical"]["columns"]["age"]
    assert column["drifted"] is True
    assert set(column["ks_test"]) == {"statistic", "p_value"}
    assert {"psi", "jensen_shannon", "wasserstein"} <= set(column)
    classifier = told["individual_results"]["ml_based"]
    assert classifier["drifted"] is True
    assert next(iter(classifier["importance"])) == "age"
    assert told["individual_results"]["domain_specific"]["rules"] == []
    assert told["expected_false_alarms_per_month"] == pytest.approx(0.01 * 30 * 24)
    assert told["recommendations"]


def test_a_column_that_is_gone_is_drift_and_a_new_one_is_told() -> None:
    report = found(table(1, 300).drop(columns="age").assign(colour="red"))
    assert report.drift_detected
    assert report.drift_score == 1.0
    assert report.recommendations[0].startswith("age is not in the current data at all")
    assert any("colour" in note for note in report.notes)
    assert not found(table(1, 300).drop(columns="age"), ignore=("age",)).drift_detected


def test_label_and_prediction_drift_are_tested_for_themselves() -> None:
    answers = {"answer": lambda rows: rows.age / 100}
    current = table(1, 300).assign(left=1, **answers)
    report = detect(table(0).assign(**answers), current, DriftOptions(target="left", prediction="answer"))
    label, prediction = report.parts[Detector.LABEL], report.parts[Detector.PREDICTION]
    assert isinstance(label, Columns)
    assert isinstance(prediction, Columns)
    assert label.drifted
    assert label.columns[0].kind == "category"
    assert not prediction.drifted
    assert prediction.columns[0].kind == "number"
    assert not report.parts[Detector.STATISTICAL].drifted
    assert label.alpha == pytest.approx(0.01 / 2 / 3)  # classifier, labels and answers share the other half
    assert any("The labels (left) drifted" in said for said in report.recommendations)
    later = found(current.drop(columns="left"), detectors=STATISTICAL, target="left")
    assert Detector.LABEL not in later.parts
    assert any("no left" in note for note in later.notes)


def test_missing_values_texts_for_numbers_and_infinities_count_as_lost() -> None:
    current = table(1, 300).astype({"age": object})
    current.loc[:60, "age"] = "unknown"
    report = found(current)
    (age,) = (column for column in report.columns if column.name == "age")
    assert age.drifted
    assert age.test == "missing_values"
    assert age.current is not None
    assert age.current.missing == pytest.approx(61 / 300)
    assert "missing" in report.recommendations[0]
    endless = table(1, 300)
    endless.loc[:60, "age"] = np.inf
    assert found(endless).drift_detected


def test_an_empty_column_and_dates_and_truth_values_are_compared() -> None:
    def more(rows: pd.DataFrame, day: str) -> pd.DataFrame:
        return rows.assign(none=np.nan, on=rows.age > 40, day=pd.Timestamp(day) + pd.to_timedelta(rows.age, "h"))

    report = detect(more(table(0), "2024-01-01"), more(table(1, 300), "2024-06-01"), DriftOptions())
    drifted = {column.name for column in report.columns if column.drifted}
    assert drifted == {"day"}
    assert {column.name: column.kind for column in report.columns}["on"] == "category"


def test_what_cannot_be_compared_is_told() -> None:
    with pytest.raises(DataError, match="did you mean age"):
        found(table(1), target="agee")
    with pytest.raises(DataError, match="no rows"):
        found(table(1).iloc[:0])
    with pytest.raises(DataError, match="share none"):
        found(pd.DataFrame({"x": [1.0]}))
    with pytest.raises(DataError, match="twice"):
        found(pd.concat([table(1), table(1)], axis=1))
    with pytest.raises(DriftRuleError, match="did you mean price"):
        found(table(1), detectors=USUAL, rules=(parse("max(prise) < 1"),))
    with pytest.raises(InputError, match="it is one of"):
        found(table(1), correction="none")
    with pytest.raises(InputError, match="between 0 and 1"):
        found(table(1), alpha=0.0)


# --- what to do ---


@pytest.mark.parametrize(
    ("factor", "said"),
    [(100, "cents for euros"), (0.01, "the reverse of"), (1000, "milliseconds"), (2.54, "inches"), (60, "minutes")],
)
def test_a_change_of_unit_is_told_as_one(factor: float, said: str) -> None:
    report = found(table(1, 300).assign(price=lambda rows: rows.price * factor))
    first = report.recommendations[0]
    assert first.startswith("price: the median went from")
    assert said in first
    assert "Check the pipeline" in first


def test_a_shift_is_told_in_standard_deviations_with_what_the_model_leans_on() -> None:
    current = table(1, 900).assign(age=lambda rows: rows.age + 8)
    first = found(current, importance={"age": 0.4}).recommendations[0]
    assert first.startswith("age: the mean went from")
    assert "+0." in first
    assert "standard deviations" in first
    assert "importance for the model: 40%" in first


def test_a_column_that_never_varied_is_told_without_a_division_by_nothing() -> None:
    constant = table(0).assign(rate=0.3), table(1, 300).assign(rate=np.linspace(0, 1, 300))
    assert found(constant[1], constant[0]).recommendations[0].startswith("rate: it was always 0.3, now it is 0 to 1.")
    assert found(constant[0], constant[1]).recommendations[0].startswith("rate: it was 0 to 1, now it is always 0.3.")


def test_new_categories_are_named() -> None:
    current = table(1, 300)
    current.loc[:80, "plan"] = "family"
    report = found(current)
    assert "new category 'family'" in report.recommendations[0]
    (plan,) = (column for column in report.columns if column.name == "plan")
    assert plan.new == ("family",)


def test_at_most_ten_sentences_and_the_worst_first() -> None:
    drawn = np.random.default_rng(3)
    names = [f"c{number:02}" for number in range(15)]
    reference = pd.DataFrame(drawn.standard_normal((500, 15)), columns=names)
    current = pd.DataFrame(drawn.standard_normal((500, 15)), columns=names) + np.linspace(0.5, 3, 15)
    told = found(current, reference).recommendations
    assert len(told) == 10
    assert told[0].startswith("c14")
    assert told[-1].startswith("And 6 more findings")


def test_dependence_alone_is_told_as_that() -> None:
    drawn = np.random.default_rng(5)

    def pair(correlation: float, rows: int) -> pd.DataFrame:
        spread = [[1, correlation], [correlation, 1]]
        return pd.DataFrame(drawn.multivariate_normal([0, 0], spread, rows), columns=["a", "b"])

    report = found(pair(-0.8, 500), pair(0.8, 800), detectors=USUAL)
    assert not report.parts[Detector.STATISTICAL].drifted
    assert report.drift_detected
    assert "no column drifted by itself" in report.recommendations[0]


def test_no_drift_no_advice() -> None:
    report = found(table(7, 300), detectors=tuple(Detector), target="left")
    assert not report.drift_detected
    assert report.recommendations == ()
    assert report.drift_score <= 0.1


def test_rules_alone_take_nothing_of_the_rate() -> None:
    part = Rules((RuleVerdict("max(age) <= 1", "age", 2.0, 2.0, "<= 1", passed=False),))
    assert budget(0.01, [Detector.DOMAIN_SPECIFIC, Detector.STATISTICAL])[Detector.STATISTICAL] == 0.01
    assert part.drifted
    assert part.effect == 1.0


def test_a_p_value_that_more_permutations_might_lower_is_told():
    before = pd.DataFrame({"kind": np.repeat(["a", "b", "c"], [900, 60, 40])})
    now = pd.DataFrame({"kind": np.repeat(["a", "c"], [100, 40])})
    asked = {"detectors": (Detector.STATISTICAL,)}
    strict = detect(before, now, DriftOptions(alpha=1e-7, **asked))
    assert not strict.drift_detected
    assert strict.notes[0].startswith("kind: none of 999,999 permutations was as extreme")
    usual = detect(before, now, DriftOptions(**asked))
    assert usual.drift_detected
    assert not usual.notes
