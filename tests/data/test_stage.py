"""The stage `validate`, told from its events."""

import gzip
from dataclasses import replace

import pytest

from harness.data.stage import Validate
from harness.domain.data_event import DataQualityChecked
from harness.domain.event import DataChecked
from harness.domain.fault import LabelDrift, Missing, Scale, Shift, Swap
from harness.domain.model import DataPlan, ModelPlan, TrainPlan
from harness.errors import DataError, Rejected
from harness.log import Events
from harness.protocols import Case
from tests.build import fault, scenario

TELCO = DataPlan("scenarios/data/telco_churn.csv.gz", "Churn", "Yes", "scenarios/data/telco_schema.yaml", 0.25)


def on(data, **changes):
    return scenario(
        seed=7, model=ModelPlan("churn", TrainPlan("majority", {}), TrainPlan("majority", {}), data), **changes
    )


async def validate(of):
    events = []

    def tell(event, *args, **kwargs):
        events.append(event(0, *args, **kwargs))
        return events[-1]

    stage = Validate()
    try:
        case = await stage.run(Case(of), tell)
    except Rejected as reason:
        return reason, Events(events), stage
    return case, Events(events), stage


async def test_good_data_are_read_checked_and_split():
    case, events, _ = await validate(on(TELCO))
    checked = events.only(DataChecked)
    assert (checked.source, checked.rows, checked.columns) == ("telco_churn.csv.gz", 7043, 21)
    assert (checked.train_rows, checked.test_rows) == (5282, 1761)
    assert checked.missing == {"TotalCharges": 11}
    assert checked.failures == ()
    assert case.data_digest == checked.digest
    assert case.population.target.sum() == 467
    assert case.population.classes == ("No", "Yes")
    assert "customerID" not in case.population.rows
    assert "Churn" not in case.population.rows
    assert case.population.rows.shape == (1761, 19)


async def test_without_a_schema_the_key_is_left_out_all_the_same():
    case, _, stage = await validate(on(replace(TELCO, schema=None)))
    assert case.population.rows.shape == (1761, 19)
    assert [note.split()[0] for note in stage.notes] == ["customerID"]


async def test_the_digest_is_the_same_with_and_without_compression(tmp_path):
    plain = tmp_path / "telco.csv"
    with gzip.open(TELCO.source) as packed:
        plain.write_bytes(packed.read())
    case, _, _ = await validate(on(TELCO))
    other, _, _ = await validate(on(replace(TELCO, source=str(plain))))
    assert case.data_digest == other.data_digest


async def test_data_that_break_the_schema_are_told_and_rejected(tmp_path):
    (tmp_path / "schema.yaml").write_text(
        "schema: 1\nother_columns: ignore\ncolumns:\n"
        "  tenure: {type: integer, max: 70}\n  gender: {type: category, allowed: [Female]}\n"
        "  Churn: {type: category, role: target}\n  age: {type: number}\n"
    )
    reason, events, _ = await validate(on(replace(TELCO, schema=str(tmp_path / "schema.yaml"))))
    checked = events.only(DataChecked)
    assert checked.failures == (
        "tenure: above 70 ('71') in 532 rows (18, 29, 31, 36, 60, ...)",
        "gender: none of Female ('Male') in 3,555 rows (2, 3, 4, 7, 10, ...)",
        "age: the column is missing",
    )
    assert (checked.train_rows, checked.test_rows) == (0, 0)
    assert isinstance(reason, Rejected)
    assert str(reason).startswith("telco_churn.csv.gz breaks schema.yaml in 3 ways: tenure: above 70")


async def test_a_scenario_without_data_has_nothing_to_validate():
    case, events, _ = await validate(scenario())
    assert case.population is None
    assert len(events) == 0


async def test_drifts_that_cannot_be_put_into_the_data_are_told_before_anything_is_trained():
    faults = (
        fault(Shift("MonthlyCharge", 1.0)),
        fault(Shift("Contract", 1.0)),
        fault(Scale("Contract", 2.0)),
        fault(Swap("tenure", "1", "2")),
        fault(Swap("Contract", "One year", "Three years")),
        fault(Missing("Contract", 0.5)),
        fault(LabelDrift(0.5)),
    )
    with pytest.raises(DataError) as caught:
        await validate(on(TELCO, faults=faults))
    assert [line.rpartition("`: ")[2][:40] for line in str(caught.value).splitlines()] == [
        "no feature is called 'MonthlyCharge'; th",
        "Contract holds categories; only a column",
        "Contract holds categories; only a column",
        "tenure holds numbers; only two categorie",
        "Contract never is 'Three years'; it is o",
    ]


async def test_good_data_have_nothing_told_of_their_quality():
    _, events, _ = await validate(on(TELCO))
    assert events.of(DataQualityChecked) == []


async def test_rules_that_warn_are_told_and_reject_nothing(tmp_path):
    rules = "quality:\n  - {check: outliers, columns: [tenure], factor: 0.1, severity: warning}\n"
    (tmp_path / "quality.yaml").write_text(rules)
    case, events, _ = await validate(on(replace(TELCO, quality=str(tmp_path / "quality.yaml"))))
    told = events.only(DataQualityChecked)
    assert [(each.column, each.kind, each.severity.value) for each in told.found] == [("tenure", "outliers", "warning")]
    assert events.only(DataChecked).failures == ()
    assert case.population is not None


async def test_rules_that_are_critical_reject(tmp_path):
    (tmp_path / "quality.yaml").write_text("quality:\n  - {check: balance, min_share: 30%}\n")
    reason, events, _ = await validate(on(replace(TELCO, quality=str(tmp_path / "quality.yaml"))))
    assert isinstance(reason, Rejected)
    assert str(reason).startswith(
        "telco_churn.csv.gz breaks quality.yaml in 1 way: "
        "Churn: the class 'Yes' has 27% of the rows (at least 30% is asked for) in 1,869 rows"
    )
    assert len(events.only(DataChecked).failures) == len(events.only(DataQualityChecked).found) == 1


async def test_each_file_that_is_broken_is_named(tmp_path):
    (tmp_path / "quality.yaml").write_text("quality:\n  - {check: balance, min_share: 30%}\n")
    columns = "  tenure: {type: integer, max: 70}\n  Churn: {type: category, role: target}\n"
    (tmp_path / "schema.yaml").write_text(f"schema: 1\nother_columns: ignore\ncolumns:\n{columns}")
    files = {name: str(tmp_path / f"{name}.yaml") for name in ("schema", "quality")}
    reason, _, _ = await validate(on(replace(TELCO, **files)))
    assert str(reason).startswith("telco_churn.csv.gz breaks schema.yaml and quality.yaml in 2 ways: tenure: above 70")


async def test_held_out_rows_that_stand_in_training_too_reject(tmp_path):
    """Rows that stand twice fall on both sides of the split."""
    rows = "".join(f"{n % 40},{'yes' if n % 2 else 'no'}\n" for n in range(80))
    (tmp_path / "rows.csv").write_text(f"a,y\n{rows}")
    text = "schema: 1\ncolumns:\n  a: {type: integer}\n  y: {type: category, role: target}\nquality:\n"
    (tmp_path / "schema.yaml").write_text(f"{text}  - {{check: overlap, max_share: 10%}}\n")
    plan = DataPlan(str(tmp_path / "rows.csv"), "y", "yes", str(tmp_path / "schema.yaml"), 0.25)
    reason, events, _ = await validate(on(plan))
    assert isinstance(reason, Rejected)
    assert "breaks schema.yaml in 1 way" in str(reason)
    (found,) = events.only(DataQualityChecked).found
    assert (found.kind, found.column) == ("overlap", "")
    assert 0.1 < found.share <= 1
    assert found.values[0].startswith("a=")


async def test_dates_and_words_are_no_features_as_they_are(tmp_path):
    rows = "".join(f"{n},2024-01-{n % 28 + 1:02d},word {n},{'yes' if n % 2 else 'no'}\n" for n in range(40))
    (tmp_path / "rows.csv").write_text(f"a,day,note,y\n{rows}")
    (tmp_path / "schema.yaml").write_text(
        "schema: 1\ncolumns:\n  a: {type: integer}\n  day: {type: date}\n  note: {type: text}\n"
        "  y: {type: category, role: target}\n"
    )
    plan = DataPlan(str(tmp_path / "rows.csv"), "y", "yes", str(tmp_path / "schema.yaml"), 0.25)
    case, _, stage = await validate(on(plan))
    assert list(case.population.rows) == ["a"]
    assert stage.notes == (
        "day holds dates, and is no feature as it is",
        "note holds texts, and is no feature as it is",
    )
