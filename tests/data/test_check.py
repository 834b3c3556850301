"""A table against its schema: everything that is wrong, at once."""

import pandas as pd
import pytest

from harness.data import dataset
from harness.data.drifting import pair
from harness.data.schema import Column, ColumnRole, ColumnType, Schema
from harness.data.table import infer
from harness.data.validate import Held, validate_frame
from harness.domain.model import DataPlan
from harness.errors import DataError

SCHEMA = """\
schema: 1
columns:
  id: {type: category, role: key}
  age: {type: integer, min: 18, max: 99}
  paid: {type: number, nullable: true, max_missing: 25%}
  plan: {type: category, allowed: [basic, full]}
  left: {type: category, role: target, allowed: ["Yes", "No"]}
"""
ROWS = "id,age,paid,plan,left\na,20,1.5,basic,Yes\nb,30,,full,No\nc,40,3,basic,No\nd,50,4,full,Yes\n"


@pytest.fixture
def load(tmp_path):
    def _load(rows=ROWS, schema=SCHEMA, **plan):
        (tmp_path / "rows.csv").write_text(rows)
        given = {"source": str(tmp_path / "rows.csv"), "target": "left", "positive": "Yes", "test_share": 0.5, **plan}
        if schema is not None:
            (tmp_path / "schema.yaml").write_text(schema)
            given["schema"] = str(tmp_path / "schema.yaml")
        return dataset.load(DataPlan(**given))

    return _load


def told(data):
    return [str(failure) for failure in data.failures]


def test_good_rows_pass(load):
    data = load()
    assert told(data) == []
    assert data.missing() == {"paid": 1}
    assert data.features == ("age", "paid", "plan")


def test_everything_wrong_is_told_with_its_rows(load):
    rows = """\
id,age,paid,plan,left,extra
a,17,1.5,basic,Yes,1
a,30.5,,basik,No,1
c,many,,basic,,1
d,120,inf,,Yes,1
"""
    assert told(load(rows)) == [
        "id: the key of a row before ('a') in 1 row (2)",
        "age: no number ('many') in 1 row (3)",
        "age: below 18 ('17') in 1 row (1)",
        "age: above 99 ('120') in 1 row (4)",
        "age: no whole number ('30.5') in 1 row (2)",
        "paid: no number ('inf') in 1 row (4)",
        "paid: missing (at most 25% of the rows may be) in 2 rows (2, 3)",
        "plan: missing in 1 row (4)",
        "plan: none of basic, full ('basik') in 1 row (2)",
        "left: missing in 1 row (3)",
        "extra: the schema does not list this column",
    ]


def test_missing_and_unlisted_columns_are_told(load):
    data = load(ROWS.replace("plan", "plann"))
    assert told(data) == ["plan: the column is missing", "plann: the schema does not list this column"]
    assert told(load(ROWS.replace("plan", "plann"), SCHEMA + "other_columns: ignore\n")) == [
        "plan: the column is missing"
    ]


def test_words_for_missing_values_are_the_schemas(load):
    rows = ROWS.replace("full,No", "unknown,No").replace("basic,Yes", "?,Yes")
    data = load(rows, SCHEMA.replace("plan: {", "plan: {nullable: true, ") + "missing: [unknown, '?']\n")
    assert told(data) == []
    assert data.missing() == {"paid": 1, "plan": 2}


def test_the_target_must_be_there_and_be_the_schemas(load):
    with pytest.raises(DataError, match=r"no column 'Left' \(model.data.target\); did you mean left\?"):
        load(target="Left")
    with pytest.raises(DataError, match=r"the target is left, but model\.data\.target is plan"):
        load(target="plan")


def test_a_column_that_infinite_numbers_make_text_is_told_where_there_is_no_schema(load):
    rows = ROWS.replace("c,40,3,", "c,40,-inf,")
    assert load(rows, None).notes[1:] == (
        "paid is read as text for its infinite numbers (1, such as '-inf'); leave them empty, or name its type in a "
        "schema",
    )
    assert told(load(rows)) == ["paid: no number ('-inf') in 1 row (3)"]
    assert load(rows).notes == ()


def test_a_comparison_tells_of_infinite_numbers_too():
    before, now = pd.DataFrame({"paid": ["1", "2", "inf"]}), pd.DataFrame({"paid": ["1", "2", "3"]})
    assert any("paid is read as text" in note for note in pair(before, now, infer(before), inferred=True).notes)
    assert pair(now, before, infer(now), inferred=True).notes == (
        "paid: 1 values of the current data are no numbers ('inf'): counted as missing",
    )


def test_without_a_schema_keys_are_left_out_and_told(load):
    data = load(schema=None)
    assert data.features == ("age", "paid", "plan")
    assert data.notes == ("id names the rows (all its values differ) and is no feature; a schema can say otherwise",)


def test_the_schema_says_what_is_a_feature(load):
    data = load(schema=SCHEMA.replace("plan: {", "plan: {role: ignored, "))
    assert data.features == ("age", "paid")
    with pytest.raises(DataError, match="no column is left to learn from"):
        load("left,k\nYes,a\nNo,b\n", schema=None).split(1)


def test_keys_of_more_digits_than_a_float_has_are_told_apart():
    ids = [str(2**60 + n) for n in range(40)]
    frame = pd.DataFrame({"id": ids, "x": ["1", "2"] * 20})
    columns = {"id": Column("id", ColumnType.INTEGER, ColumnRole.KEY), "x": Column("x", ColumnType.INTEGER)}
    assert validate_frame(frame, Held(Schema(columns))).failures == ()
    (again,) = validate_frame(frame.assign(id=[*ids[:-1], ids[3]]), Held(Schema(columns))).failures
    assert (again.kind, again.rows) == ("key", (40,))
    assert infer(frame).columns["id"].role is ColumnRole.KEY
