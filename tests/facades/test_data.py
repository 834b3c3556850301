"""`DataValidator` and `DataValidationPipeline`: the handbooks' test cases as written, and what they leave open."""

import logging

import numpy as np
import pandas as pd
import pytest

from harness import DataValidationError, DataValidationPipeline, DataValidator
from harness.errors import DataError

TELCO, SCHEMA = "scenarios/data/telco_churn.csv.gz", "scenarios/data/telco_schema.yaml"


class TestDataValidator:
    """As a handbook prints them."""

    def test_schema_validation(self):
        validator = DataValidator()
        valid_data = pd.DataFrame({"feature1": [1.0, 2.0, 3.0], "feature2": ["A", "B", "C"], "target": [0, 1, 0]})
        schema = {
            "feature1": {"type": "float", "nullable": False},
            "feature2": {"type": "string", "nullable": False},
            "target": {"type": "integer", "nullable": False},
        }
        result = validator.validate_schema(valid_data, schema)
        assert result.is_valid is True
        invalid_data = pd.DataFrame({"feature1": [1.0, None, 3.0], "feature2": ["A", "B", "C"], "target": [0, 1, 0]})
        result = validator.validate_schema(invalid_data, schema)
        assert result.is_valid is False
        assert any("feature1" in error for error in result.errors)

    def test_data_quality_checks(self):
        validator = DataValidator()
        data_with_duplicates = pd.DataFrame({"id": [1, 2, 2, 3], "value": [10, 20, 20, 30]})
        result = validator.check_duplicates(data_with_duplicates)
        assert result.has_duplicates is True
        assert result.duplicate_count == 1

    def test_outlier_detection(self):
        validator = DataValidator()
        data_with_outliers = pd.DataFrame({"feature": [1, 2, 3, 4, 5, 100]})
        result = validator.detect_outliers(data_with_outliers, "feature")
        assert result.has_outliers is True
        assert 100 in result.outlier_values


FRAME = pd.DataFrame(
    {
        "x": [1.5, 2.5, np.nan, 9.0],
        "n": [1, 2, 2, 4],
        "on": [True, False, True, True],
        "day": pd.to_datetime(["2024-01-01", "2024-01-02", None, "2031-01-01"]),
        "word": ["ab", "cd", "ab", None],
    }
)


@pytest.mark.parametrize(
    ("schema", "errors"),
    [
        ({"x": {"type": "float", "max_value": 5}}, ["x: above 5 ('9') in 1 row (4)"]),
        ({"x": {"type": "integer"}}, ["x: no whole number ('1.5') in 2 rows (1, 2)"]),
        ({"n": {"type": "integer", "unique": True}}, ["n: the value of a row before ('2') in 1 row (3)"]),
        ({"n": {"type": "integer", "allowed": [1, 2]}}, ["n: none of 1, 2 ('4') in 1 row (4)"]),
        ({"n": {"type": "string"}}, ["n: holds int64, not texts"]),
        ({"on": {"type": "boolean"}}, []),
        ({"on": {"type": "float"}}, ["on: no number ('True') in 4 rows (1, 2, 3, 4)"]),
        ({"day": {"type": "datetime", "max_value": "2025-01-01"}},
         ["day: after 2025-01-01 ('2031-01-01 00:00:00') in 1 row (4)"]),
        ({"day": {"type": "datetime", "nullable": False}}, ["day: missing in 1 row (3)"]),
        ({"word": {"type": "category", "allowed": ["ab"]}}, ["word: none of ab ('cd') in 1 row (2)"]),
        ({"word": {"type": "string", "pattern": "a."}}, ["word: not like a. ('cd') in 1 row (2)"]),
        ({"word": {"type": "float"}}, ["word: no number ('ab') in 3 rows (1, 2, 3)"]),
        ({"gone": {"type": "float"}}, ["gone: the column is missing"]),
        ({"x": "float", "n": "integer", "on": "boolean", "day": "datetime", "word": "string"}, []),
    ],
)  # fmt: skip
def test_what_a_schema_in_python_forbids(schema, errors):
    found = DataValidator().validate_schema(FRAME, schema)
    assert list(found.errors) == errors
    assert found.is_valid is (not errors)
    assert found.validated_data is FRAME


def test_numbers_that_are_texts_are_no_numbers():
    found = DataValidator().validate_schema(pd.DataFrame({"a": ["1", 2, 3]}), {"a": {"type": "integer"}})
    assert found.errors == ("a: a text, not a number ('1') in 1 row (1)",)


def test_a_schema_that_cannot_be_used_is_told_whole():
    with pytest.raises(DataError) as caught:
        DataValidator().validate_schema(
            FRAME, {"x": {"type": "flaot", "nulable": True}, "word": {"type": "string", "pattern": "("}}
        )
    told = str(caught.value).splitlines()
    assert told[0].startswith("x.nulable is not known here; did you mean nullable?")
    assert told[1].startswith("x.type is 'flaot', not one of float,")
    assert told[1].endswith("did you mean float?")
    assert told[2] == "word.pattern is no regular expression: missing ), unterminated subpattern"


def test_a_file_is_held_against_a_schema_and_rules():
    rules = [{"check": "outliers", "columns": ["tenure"], "factor": 0.1, "severity": "warning"}]
    found = DataValidator().validate(source=TELCO, schema=SCHEMA, quality_rules=rules)
    assert found.is_valid is True
    assert found.errors == ()
    assert len(found.warnings) == 1
    assert found.warnings[0].startswith("tenure: an outlier, not within")
    assert found.validated_data.shape == (7043, 21)
    assert found.validated_data["TotalCharges"].isna().sum() == 11


def test_rules_alone_and_training_data():
    frame = pd.DataFrame({"a": [1, 1, 3], "b": ["x", "x", "y"]})
    found = DataValidator().validate(frame, None, {"duplicates": True}, against=frame.tail(1))
    assert found.errors == (
        "the table: the same as a row before in 1 row (2)",
        "the table: stands in the training data too (at most 1% of the rows may be) in 1 row (3)",
    )


def test_checks_one_by_one():
    validator = DataValidator()
    draws = np.random.default_rng(2)
    label = draws.random(400) < 0.05
    frame = pd.DataFrame(
        {"same": 1, "gone": np.where(label, np.nan, 1.0), "copy": label * 2, "label": label.astype(int)}
    )
    assert validator.check_constant_columns(frame).columns == ("same", "gone")
    missing = validator.check_missing_values(frame, max_share=0.01)
    assert (missing.passed, missing.columns, missing.failures[0].count) == (False, ("gone",), int(label.sum()))
    assert validator.check_missing_values(frame, max_share=0.5).passed is True
    assert set(validator.check_leakage(frame, "label").columns) == {"gone", "copy"}
    assert validator.check_leakage(frame[["same", "label"]], "label").passed is True
    balance = validator.check_label_balance(frame, "label", min_share=0.2)
    assert "the class '1' has" in balance.errors[0]
    assert validator.check_label_balance(frame, "label", min_share=0.01).passed is True
    rows = pd.DataFrame({"id": range(100), "x": draws.random(100)})
    leaked = validator.check_train_test_leakage(rows.head(80), rows.tail(30))
    assert leaked.failures[0].count == 10
    assert validator.check_train_test_leakage(rows.head(70), rows.tail(30)).passed is True


@pytest.mark.parametrize("method", ["iqr", "mad"])
def test_an_outlier_is_named_with_its_row(method):
    frame = pd.DataFrame({"f": [1, 2, 3, 4, 5, 100]}, index=list("abcdef"))
    found = DataValidator().detect_outliers(frame, "f", method=method)
    assert (found.outlier_values, found.outlier_rows) == ((100,), ("f",))


def test_outliers_by_deviation_need_more_than_a_few_values():
    few = pd.DataFrame({"f": [1.0, 2, 3, 4, 5, 100]})
    many = pd.DataFrame({"f": [*np.random.default_rng(1).normal(0, 1, 100), 100.0]})
    assert DataValidator().detect_outliers(few, "f", method="zscore").has_outliers is False  # (n - 1) / sqrt(n) = 2.04
    assert 100.0 in DataValidator().detect_outliers(many, "f", method="zscore").outlier_values
    with pytest.raises(DataError, match=r"method is 'iqrr'.*did you mean iqr"):
        DataValidator().detect_outliers(few, "f", method="iqrr")
    with pytest.raises(DataError, match="there is no column 'g'"):
        DataValidator().detect_outliers(few, "g")


# --- the pipeline -----------------------------------------------------------------------------------------------------

CONFIG = {
    "columns": {
        "tenure": {"data_type": "integer", "nullable": False, "min_value": 0, "max_value": 120},
        "customerID": {"data_type": "string", "unique": True},
        "TotalCharges": {"data_type": "float", "nullable": True, "min_value": 0},
    },
    "row_count": {"min": 1000, "max": 10_000},
}


def test_training_data_that_hold_pass():
    result = DataValidationPipeline().validate_training_data(TELCO, CONFIG)
    assert result.success is True
    assert all(each.success for each in result.results)


def test_a_suite_lists_what_is_expected_under_the_usual_names():
    suite = DataValidationPipeline().create_expectation_suite(CONFIG)
    assert suite.expectation_suite_name == "training_data_suite"
    assert [(each.name, each.column) for each in suite.expectations] == [
        ("expect_column_to_exist", "tenure"),
        ("expect_column_values_to_be_of_type", "tenure"),
        ("expect_column_values_to_not_be_null", "tenure"),
        ("expect_column_values_to_be_greater_than", "tenure"),
        ("expect_column_values_to_be_less_than", "tenure"),
        ("expect_column_to_exist", "customerID"),
        ("expect_column_values_to_be_of_type", "customerID"),
        ("expect_column_values_to_be_unique", "customerID"),
        ("expect_column_to_exist", "TotalCharges"),
        ("expect_column_values_to_be_of_type", "TotalCharges"),
        ("expect_column_values_to_be_greater_than", "TotalCharges"),
        ("expect_table_row_count_to_be_between", None),
    ]


def test_critical_failures_are_logged_and_raised(caplog):
    config = {**CONFIG, "columns": {**CONFIG["columns"], "tenure": {"data_type": "integer", "max_value": 70}}}
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(
            DataValidationError, match=r"Critical validation failures: tenure: above 70 \('71'\) in 532 rows"
        ),
    ):
        DataValidationPipeline().validate_training_data(TELCO, config)
    assert "tenure: above 70" in caplog.text


def test_what_only_warns_is_told_and_raises_nothing(caplog):
    config = {"columns": {"tenure": {"data_type": "integer", "max_value": 70, "severity": "warning"}}}
    pipeline = DataValidationPipeline()
    with caplog.at_level(logging.WARNING):
        result = pipeline.validate_training_data(TELCO, config)
    assert result.success is False
    assert pipeline.get_critical_failures(result) == []
    assert [each.expectation.name for each in result.results if not each.success] == [
        "expect_column_values_to_be_less_than"
    ]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    with pytest.raises(DataError, match="lacks `columns`"):
        pipeline.create_expectation_suite({})
