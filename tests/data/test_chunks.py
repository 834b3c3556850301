"""Chunks change nothing: every check finds the same, wherever a table is cut, and in bounded memory."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from ruamel.yaml import YAML

from harness.data.outliers import fences
from harness.data.rule import Method
from harness.data.schemafile import parsed
from harness.data.source import FrameSource, file_source
from harness.data.spill import Digests, Numbers, digests
from harness.data.validate import Held, validate
from harness.domain.quality import Failure, Validation
from harness.errors import DataError

SCHEMA = """\
schema: 1
columns:
  id: {type: category, role: key, pattern: "[a-c][0-9]"}
  x: {type: number, min: -2, max: 2, nullable: true, max_missing: 30%}
  n: {type: integer, unique: true}
  day: {type: date, min: 2024-01-01, nullable: true}
  on: {type: boolean, nullable: true}
  word: {type: text, min_length: 1, max_length: 2, nullable: true}
  y: {type: category, role: target, allowed: ["a", "b"]}
rows: {min: 4, max: 9}
unique: [[x, y]]
relations:
  - x <= n
  - {relation: if on == true then word is missing, severity: warning}
quality:
  - {check: duplicates}
  - {check: duplicates, columns: [x, word], severity: warning}
  - {check: outliers, columns: [n], factor: 1}
  - {check: outliers, columns: [x], method: zscore, factor: 1}
  - {check: outliers, columns: [x], method: mad, factor: 1}
  - {check: missing, max_share: 20%}
  - {check: constant}
  - {check: leakage}
  - {check: overlap, columns: [x, y]}
  - {check: balance, min_share: 40%}
  - {check: types, columns: [word]}
  - {check: spelling, columns: [word]}
"""
HELD = Held(parsed("schema.yaml", YAML(typ="rt").load(SCHEMA), SCHEMA))
ROW = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["a1", "b2", "c3", "d4", "a"]),
        "x": st.sampled_from(["0", "1", "1.0", "-3", "2.5", "", "?", "inf"]),
        "n": st.sampled_from(["0", "1", "2", "3", "7", "1.5", "many"]),
        "day": st.sampled_from(["2024-05-01", "2023-12-31", "yesterday", ""]),
        "on": st.sampled_from(["true", "No", "maybe", ""]),
        "word": st.sampled_from(["ab", "AB", " ab", "7", "abc", ""]),
        "y": st.sampled_from(["a", "b", "c", ""]),
    }
)
TABLES = st.lists(ROW, min_size=1, max_size=9).map(pd.DataFrame)


def of(found: Validation) -> Validation:
    return dataclasses.replace(found, file="")


@settings(max_examples=10, deadline=None)
@given(TABLES, TABLES, st.integers(2, 5))
def test_any_chunks_find_what_the_whole_finds(frame: pd.DataFrame, training: pd.DataFrame, size: int) -> None:
    whole = validate(FrameSource(frame), HELD, FrameSource(training))
    assert validate(FrameSource(frame, chunk_rows=size), HELD, FrameSource(training, chunk_rows=size)) == whole


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.parquet"])
def test_files_of_any_kind_find_the_same_by_chunks(tmp_path: Path, name: str) -> None:
    draws = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "id": [f"a{n % 7}" for n in range(40)],
            "x": draws.choice([0.0, 1.5, -3.0, np.nan], 40),
            "n": draws.integers(0, 30, 40),
            "day": ["2024-05-01", "2023-12-31"] * 20,
            "on": ["true", "maybe"] * 20,
            "word": draws.choice(["ab", "AB", "abc"], 40),
            "y": draws.choice(["a", "b"], 40),
        }
    )
    path = str(tmp_path / name)
    if name.endswith("parquet"):
        frame.to_parquet(path, row_group_size=11)
    else:
        frame.to_csv(path, index=False)
    found = [of(validate(file_source(path, size), HELD)) for size in (1000, 9, 40)]
    assert found[0] == found[1] == found[2]
    assert sorted(map(_plainly, validate(FrameSource(frame), HELD).failures)) == sorted(
        map(_plainly, found[0].failures)
    )
    assert {failure.kind for failure in found[0].failures} >= {"key", "min", "unique", "type", "rows", "duplicates"}


def _plainly(failure: Failure) -> tuple[object, ...]:
    """A finding without values: a CSV has its numbers as they were written."""
    return (failure.column, failure.kind, failure.count, failure.rows)


@settings(max_examples=60)
@given(arrays(np.float64, st.integers(1, 60), elements=st.floats(-1e300, 1e300) | st.just(np.nan)), st.integers(1, 9))
def test_quantiles_are_numpys_in_any_chunks_and_from_disk(values: np.ndarray, size: int) -> None:
    kept = Numbers(in_memory=64)
    for start in range(0, len(values), size):
        kept.add(values[start : start + size])
    there = values[~np.isnan(values)]
    assert kept.count == len(there)
    found = kept.quantiles((0.0, 0.25, 0.5, 0.75, 1.0))
    if not len(there):
        assert np.isnan(found).all()
        return
    with np.errstate(over="ignore", invalid="ignore"):
        expected = np.quantile(there / 4, [0.0, 0.25, 0.5, 0.75, 1.0]) * 4  # their difference may be beyond float64
    np.testing.assert_allclose(np.array(found) / 1e300, expected / 1e300, rtol=1e-12, atol=1e-12)


def test_fences_are_those_of_their_formulas() -> None:
    values = np.random.default_rng(1).normal(10, 3, 501)
    kept = Numbers()
    kept.add(values)
    low, high = np.quantile(values, [0.25, 0.75])
    by_iqr, by_z, by_mad = (fences(kept, method) for method in Method)
    assert by_iqr is not None
    assert by_z is not None
    assert by_mad is not None
    assert (by_iqr.low, by_iqr.high) == pytest.approx((low - 1.5 * (high - low), high + 1.5 * (high - low)), rel=1e-12)
    spread = 3 * values.std(ddof=1)
    assert (by_z.low, by_z.high) == pytest.approx((values.mean() - spread, values.mean() + spread), rel=1e-12)
    middle = np.median(values)
    mad = np.median(np.abs(values - middle))
    assert by_mad.high == pytest.approx(middle + 3.5 * mad / 0.6745, rel=1e-12)


def test_a_column_without_spread_has_no_fences_by_deviation() -> None:
    kept = Numbers()
    kept.add(np.full(20, 5.0))
    assert fences(kept, Method.ZSCORE) is None
    assert fences(kept, Method.MAD) is None
    kept.add(np.array([50.0]))
    found = fences(kept, Method.MAD)  # more than half are alike: by the mean deviation, as Iglewicz and Hoaglin say
    assert found is not None
    assert found.high < 50


@settings(max_examples=40)
@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=40), st.lists(st.sampled_from("defghi"), max_size=20))
def test_rows_that_stand_twice_are_pandas_in_memory_and_from_disk(here: list[str], training: list[str]) -> None:
    frame = pd.DataFrame({"w": here, "one": 1.0})
    kept, both = Digests(in_memory=48), Digests(in_memory=48)
    for start in range(0, len(frame), 7):
        part = frame.iloc[start : start + 7]
        kept.add(digests(part, ["w", "one"]), part.index.to_numpy() + 1)
    expected = np.flatnonzero(frame.duplicated()) + 1
    count, rows = kept.again(5)
    assert (count, rows.tolist()) == (len(expected), expected[:5].tolist())
    both.add(digests(pd.DataFrame({"w": training}), ["w"]), -np.arange(1, len(training) + 1))
    both.add(digests(frame, ["w"]), frame.index.to_numpy() + 1)
    expected = np.flatnonzero(frame["w"].isin(training)) + 1
    count, rows = both.common(5)
    assert (count, rows.tolist()) == (len(expected), expected[:5].tolist())


def test_a_digest_knows_columns_and_kinds_of_values_apart() -> None:
    frame = pd.DataFrame({"a": ["1", None, "x"], "b": ["x", "1", "1"]}, dtype=object)
    same = digests(frame, ["a", "b"])
    assert (same == digests(frame[["b", "a"]], ["b", "a"])).all()
    assert len(np.unique(same, axis=1).T) == 3
    numbers = pd.DataFrame({"a": [1.0, -0.0, 0.0], "b": ["x", "x", "x"]})
    found = digests(numbers, ["a", "b"])
    assert (found[:, 1] == found[:, 2]).all()
    assert (found[:, 0] != same[:, 0]).all()


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "empty.csv", "the file is empty"),
        (b"a,b\n", "header.csv", "no row below the header"),
        (b"a,b\n1,2\n1,2,3\n", "ragged.csv", "not a table"),
        (b"a,a\n1,1\n", "twice.csv", "names a column twice: a"),
        (b"a,b\n1,2,3\n4,5,6\n", "wide.csv", "not a table"),
        (b"no gzip", "plain.csv.gz", "cannot be read"),
        (b"no parquet", "no.parquet", "cannot be read"),
    ],
)
def test_what_is_no_table_is_told_by_chunks_too(tmp_path: Path, content: bytes, name: str, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(file_source(str(tmp_path / name), 2).chunks())


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    for name in ("absent.csv", "absent.parquet"):
        with pytest.raises(DataError, match="no such file"):
            list(file_source(str(tmp_path / name)).chunks())


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("a,b,c\n1,2,3\n4,5", "is cut off: its last row ends after 2 of 3 values"),
        ("a,b,c\n1,2,3\n4,5,\n", ""),
        ('a,b,c\n1,2,"x\ny"\n', ""),  # the last line is the rest of a cell
        ("a\nx\ny", ""),
    ],
)
def test_a_file_that_is_cut_off_is_known_by_its_last_row(tmp_path: Path, text: str, cut: str) -> None:
    (tmp_path / "rows.csv").write_text(text)
    source = file_source(str(tmp_path / "rows.csv"), 1)
    rows = sum(map(len, source.chunks()))
    assert source.cut() == cut
    assert rows == len(pd.read_csv(tmp_path / "rows.csv")) - bool(cut)
