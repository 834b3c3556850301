"""Reading files: what they say, whatever their form; and errors that say what to change."""

import gzip
import hashlib
import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.digest import table_digest
from harness.data.schema import ColumnRole, ColumnType
from harness.data.source import file_source
from harness.data.table import infer, infinities, missing_counts, read_table, typed
from harness.data.validate import Held, validate_frame
from harness.domain.quality import Failure
from harness.errors import DataError

TELCO = "scenarios/data/telco_churn.csv.gz"


def write(tmp_path, text, name="data.csv"):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return str(path)


def table(tmp_path, text):
    raw = read_table(write(tmp_path, text))
    return typed(raw, infer(raw))


def test_the_shipped_data_set_is_the_one_its_readme_names():
    with gzip.open(TELCO) as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    assert digest == "16320c9c1ec72448db59aa0a26a0b95401046bef5d02fd3aeb906448e3055e91"


def test_blank_charges_of_new_customers_are_missing_values():
    raw = read_table(TELCO)
    frame, unread = typed(raw, infer(raw))
    assert frame.shape == (7043, 21)
    assert unread == {}
    assert missing_counts(frame) == {"TotalCharges": 11}
    assert frame.loc[frame["TotalCharges"].isna(), "tenure"].eq(0).all()
    assert frame["TotalCharges"].dtype == np.float64


def test_types_are_inferred(tmp_path):
    frame, _ = table(tmp_path, "id,n,x,c\na,1,1.5,NA\nb,?,2,None\nc,3,,\n")
    schema = infer(read_table(str(tmp_path / "data.csv")))
    assert [(c.name, c.type, c.role) for c in schema.columns.values()] == [
        ("id", ColumnType.CATEGORY, ColumnRole.KEY),
        ("n", ColumnType.INTEGER, ColumnRole.FEATURE),
        ("x", ColumnType.NUMBER, ColumnRole.FEATURE),
        ("c", ColumnType.CATEGORY, ColumnRole.FEATURE),
    ]
    assert missing_counts(frame) == {"n": 1, "x": 1, "c": 1}
    assert frame["c"].tolist()[:2] == ["NA", "None"]  # words are words in a category


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    assert list(read_table(write(tmp_path, "\ufeffa,b\n1,2\n")).columns) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("", "empty.csv", "the file is empty"),
        ("a,b\n", "header.csv", "no row below the header"),
        ("a,b\n1,2\n1,2,3\n", "ragged.csv", "not a table"),
        ("a,a\n1,2\n", "twice.csv", "names a column twice: a"),
        ("a\n1\n", "data.parquet", r"rollout-harness\[parquet\]|cannot be read"),
    ],
)
def test_files_that_are_no_table_are_told(tmp_path, text, name, message):
    with pytest.raises(DataError, match=message):
        read_table(write(tmp_path, text, name))


def test_a_missing_and_a_damaged_file_are_told(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_table(str(tmp_path / "absent.csv"))
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 9999)[:-20])
    with pytest.raises(DataError, match="cannot be read"):
        read_table(str(cut))
    latin = tmp_path / "latin.csv"
    latin.write_bytes("a\nfünf\n".encode("latin-1"))
    with pytest.raises(DataError, match="cannot be read"):
        read_table(str(latin))


def test_a_failure_is_told_with_its_rows():
    assert str(Failure("c", "above 5", 1, (3,))) == "c: above 5 in 1 row (3)"
    assert str(Failure("c", "above 5", 2000, (3, 4))) == "c: above 5 in 2,000 rows (3, 4, ...)"
    assert str(Failure("c", "the column is missing")) == "c: the column is missing"


# --- the digest -------------------------------------------------------------------------------------------------------


def digest_of(tmp_path, text, name="data.csv"):
    raw = read_table(write(tmp_path, text, name))
    return table_digest(typed(raw, infer(raw))[0])


def test_the_digest_is_of_what_the_table_says(tmp_path):
    text = "a,b\n1,x\n2.50,y\n,x\n"
    digest = digest_of(tmp_path, text)
    assert digest_of(tmp_path, text, "data.csv.gz") == digest
    assert digest_of(tmp_path, '"a","b"\r\n1.0,"x"\r\n2.5,y\r\n" ",x\r\n') == digest


@pytest.mark.parametrize(
    "other",
    [
        "a,b\n1,x\n2.5,y\n,y\n",  # a value
        "a,b\n1,x\n2.5,y\n0,x\n",  # a number where one was missing
        "a,b\n2.5,y\n1,x\n,x\n",  # the order of rows
        "b,a\nx,1\ny,2.5\nx,\n",  # the order of columns
        "a,c\n1,x\n2.5,y\n,x\n",  # a name
        "a,b\n1,x\n2.5,y\n,x\n,x\n",  # a row more
    ],
)
def test_the_digest_tells_tables_apart(tmp_path, other):
    assert digest_of(tmp_path, other) != digest_of(tmp_path, "a,b\n1,x\n2.5,y\n,x\n")


def test_zero_has_no_sign_and_missing_is_missing():
    nan = np.array([0x7FF8000000000001], dtype=np.uint64).view(np.float64)[0]
    assert table_digest(pd.DataFrame({"a": [-0.0, nan]})) == table_digest(pd.DataFrame({"a": [0.0, np.nan]}))


@given(st.lists(st.one_of(st.none(), st.text(max_size=4)), min_size=2, max_size=6), st.data())
def test_texts_do_not_run_into_each_other(values, data):
    other = data.draw(st.permutations(values))
    same = table_digest(pd.DataFrame({"a": values}, dtype=object)) == table_digest(
        pd.DataFrame({"a": other}, dtype=object)
    )
    assert same == (values == other)


# --- what is no table -------------------------------------------------------------------------------------------------


def both(path, message):
    """However it is read: at once, or in chunks."""
    with pytest.raises(DataError, match=message):
        read_table(path)
    with pytest.raises(DataError, match=message):
        list(file_source(path).chunks())


def test_a_parquet_file_of_lists_or_of_one_name_twice_is_told(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = str(tmp_path / "rows.parquet")
    parquet.write_table(arrow.table({"a": [1, 2], "tags": [["x"], []], "at": [{"x": 1}, None]}), path)
    both(path, r"holds one value a row, and not tags \(list<.*\), at \(struct<.*\); take them apart first")
    parquet.write_table(arrow.table([[1], [2]], names=["a", "a"]), path)
    both(path, r"rows\.parquet: the file has a column twice: a")


def test_a_frame_of_lists_or_of_one_name_twice_is_told():
    for frame, message in (
        (pd.DataFrame({"tags": [["x"], []]}), "the column tags holds no single values: unhashable type: 'list'"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "the data: there is a column twice: a"),
    ):
        with pytest.raises(DataError, match=message):
            validate_frame(frame, Held())


def test_a_pipe_is_refused_before_it_is_emptied(tmp_path):
    path = str(tmp_path / "rows.csv")
    os.mkfifo(path)
    both(path, "this is a pipe, and a table is read more than once; save it as a file first")


@pytest.mark.parametrize("word", ["inf", "-inf", "Infinity", "+INF"])
def test_numbers_with_infinite_ones_among_them_are_text_and_that_is_told(word):
    frame = pd.DataFrame(
        {"paid": ["1.5", "", word, "2", "NA"], "kind": ["a", "inf", "b", "a", "a"], "x": list("12345")}
    )
    schema = infer(frame)
    assert schema.columns["paid"].type is ColumnType.CATEGORY
    assert infinities(frame, schema) == (
        f"paid is read as text for its infinite numbers (1, such as {word!r}); leave them empty, or name its type in a "
        "schema",
    )


def test_infinite_floats_are_told_also_far_down():
    values = np.arange(500.0)
    values[[300, 400]] = np.inf, -np.inf
    frame = pd.DataFrame({"paid": values, "flag": values > 3, "word": ["inf"] * 499 + ["x"]})
    (told,) = infinities(frame, infer(frame))
    assert told.startswith("paid is read as text for its infinite numbers (2, such as 'inf')")
    assert infinities(frame.head(200), infer(frame.head(200))) == ()
