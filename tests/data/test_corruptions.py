"""The gate names what is wrong, and nothing else: the shipped data as they are, and corrupted in known ways."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from harness.data.schema import Schema, read_schema
from harness.data.source import FrameSource, file_source
from harness.data.table import read_table
from harness.data.validate import Held, validate, validate_frame
from harness.domain.quality import Failure
from harness.seeds import stream
from tests.data.corruptions import ALL, Corruption

FILES = {"telco": "scenarios/data/telco_churn.csv.gz", "adult": "scenarios/data/adult.csv.gz"}
ROWS = 1600


@cache
def schema(name: str) -> Schema:
    return read_schema(f"scenarios/data/{name}_schema.yaml")


@cache
def rows(name: str) -> pd.DataFrame:
    frame = read_table(FILES[name])
    chosen = stream(5, f"rows/{name}").generator().permutation(len(frame))[:ROWS]
    # Each customer who has not been billed yet is rare, and must be among the rows for the relations on them.
    return pd.concat([frame.iloc[np.sort(chosen)], _unbilled(frame)]).drop_duplicates().reset_index(drop=True)


def _unbilled(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["TotalCharges"].str.strip() == ""] if "TotalCharges" in frame else frame.head(0)


def named(failures: tuple[Failure, ...]) -> set[tuple[str, str]]:
    return {(failure.column, failure.kind) for failure in failures}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("chunk_rows", [100_000, 5_000])
def test_the_shipped_data_raise_no_alarm(name: str, chunk_rows: int) -> None:
    found = validate(file_source(FILES[name], chunk_rows), Held(schema(name)))
    assert found.failures == ()
    assert found.valid


@pytest.mark.parametrize("name", FILES)
def test_a_part_of_the_shipped_data_raises_no_alarm(name: str) -> None:
    assert validate_frame(rows(name), Held(schema(name))).failures == ()


@pytest.mark.parametrize("corruption", ALL, ids=[f"{each.data}: {each.name}" for each in ALL])
def test_a_corruption_is_named_and_nothing_else(corruption: Corruption) -> None:
    clean = rows(corruption.data)
    bad = corruption.apply(clean.copy(), stream(11, corruption.name).generator()).reset_index(drop=True)
    found = validate_frame(bad, Held(schema(corruption.data)))
    assert named(found.failures) == corruption.named
    for failure in found.failures:
        assert failure.count == 0 or (failure.rows and len(failure.values) == len(failure.rows))


@pytest.mark.parametrize("name", FILES)
def test_rows_of_the_test_file_that_stand_in_the_training_file_are_named(name: str) -> None:
    frame = rows(name)
    train, test = frame[frame.index % 3 == 0], frame[frame.index % 3 != 0]
    assert validate_frame(test, Held(schema(name)), train).failures == ()
    leaked = pd.concat([test, train.head(60)], ignore_index=True)
    (failure,) = validate_frame(leaked, Held(schema(name)), train).failures
    key = "customerID" if name == "telco" else ""
    assert (failure.column, failure.kind, failure.rows[0]) == (key, "overlap", len(test) + 1)
    assert failure.count >= 60


def test_a_file_that_is_cut_off_is_named(tmp_path) -> None:
    text = rows("telco").to_csv(index=False)
    (tmp_path / "cut.csv").write_text(text[: text.rindex("Month-to-month")])
    source = file_source(str(tmp_path / "cut.csv"))
    found = validate(source, Held(schema("telco")))
    assert named(found.failures) == {("", "truncated")}
    assert "its last row ends after 16 of 21 values" in str(found.failures[0])


def test_bytes_that_are_no_utf_8_are_named(tmp_path) -> None:
    rows("telco").head(1200).to_csv(tmp_path / "latin.csv", index=False)
    text = (tmp_path / "latin.csv").read_bytes().replace(b"Mailed check", "Chèque".encode("latin-1"), 1)
    (tmp_path / "latin.csv").write_bytes(text)
    (failure,) = validate(file_source(str(tmp_path / "latin.csv")), Held(schema("telco"))).failures
    assert (failure.column, failure.kind, failure.count) == ("PaymentMethod", "allowed", 1)
    (tmp_path / "free.csv").write_bytes("name,n\nBœuf,1\n".encode() + "Köln,2\n".encode("latin-1") + b"a\x01b,3\n")
    held = Held(_read("schema: 1\ncolumns:\n  name: {type: text}\n  n: {type: integer}\n"))
    (failure,) = validate(file_source(str(tmp_path / "free.csv")), held).failures
    assert (failure.column, failure.kind, failure.rows) == ("name", "encoding", (2, 3))


def test_dates_of_the_future_and_kinds_that_are_mixed_are_named() -> None:
    days = pd.date_range("2024-01-01", periods=200).strftime("%Y-%m-%d").tolist()
    city = ["Bern", "Basel", "Genf", "Chur"] * 50
    frame = pd.DataFrame({"day": days, "city": city})
    text = "schema: 1\ncolumns:\n  day: {type: date, max: 2024-12-31}\n  city: {type: category}\n"
    held = Held(_read(text + "quality:\n  - {check: types}\n  - {check: spelling}\n"))
    assert validate(FrameSource(frame), held).failures == ()
    bad = frame.copy()
    bad.loc[3, "day"], bad.loc[7, "day"] = "2031-05-01", "31.12.2024"
    bad.loc[[5, 9], "city"], bad.loc[11, "city"] = "3000", " bern"
    found = validate(FrameSource(bad), held).failures
    assert [str(each) for each in found] == [
        "day: no date ('31.12.2024') in 1 row (8)",
        "day: after 2024-12-31 ('2031-05-01') in 1 row (4)",
        "city: a number among words ('3000') in 2 rows (6, 10)",
        "city: another spelling of 'Bern' (' bern') in 1 row (12)",
    ]


def _read(text: str) -> Schema:
    from ruamel.yaml import YAML

    from harness.data.schemafile import parsed

    return parsed("schema.yaml", YAML(typ="rt").load(text), text)
