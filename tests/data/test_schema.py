"""The schema file: every problem at once, each with its place."""

import pytest

from harness.data.schema import ColumnRole, ColumnType, Others, read_schema
from harness.errors import DataError

GOOD = """\
schema: 1
other_columns: ignore
missing: ["?"]
columns:
  id: {type: category, role: key}
  age: {type: integer, min: 18, max: 99}
  paid: {type: number, nullable: true, max_missing: 2.5%}
  plan: {type: category, allowed: [basic, "Yes"]}
  left: {type: category, role: target}
"""


def read(tmp_path, text):
    path = tmp_path / "schema.yaml"
    path.write_text(text)
    return read_schema(str(path))


def problems(tmp_path, text):
    with pytest.raises(DataError) as caught:
        read(tmp_path, text)
    return [line.rpartition("schema.yaml:")[2] for line in str(caught.value).splitlines()]


def test_a_schema_is_read(tmp_path):
    schema = read(tmp_path, GOOD)
    assert list(schema.columns) == ["id", "age", "paid", "plan", "left"]
    assert schema.others is Others.IGNORE
    assert schema.missing == ("?",)
    assert schema.of(ColumnRole.TARGET) == ("left",)
    age, paid, plan = (schema.columns[name] for name in ("age", "paid", "plan"))
    assert (age.type, age.least, age.most, age.nullable) == (ColumnType.INTEGER, 18.0, 99.0, False)
    assert (paid.nullable, paid.max_missing) == (True, 0.025)
    assert plan.allowed == ("basic", "Yes")


def test_the_shipped_schema_lists_every_column():
    schema = read_schema("scenarios/data/telco_schema.yaml")
    assert len(schema.columns) == 21
    assert schema.of(ColumnRole.KEY) == ("customerID",)
    assert schema.of(ColumnRole.TARGET) == ("Churn",)
    assert schema.columns["TotalCharges"].max_missing == 0.01


def test_all_problems_are_told_with_their_places(tmp_path):
    text = """\
schema: 2
colums: {}
columns:
  a: {type: nmber, min: low}
  b: {type: category, min: 1, rolle: key}
  c: {type: number, max: 1, min: 2, max_missing: 1%}
  d: number
  e: {role: target, type: category, nullable: true}
  f: {type: category, role: target, allowed: [1, yes]}
  g: {type: number, nullable: true, max_missing: 120%}
  h: {min: 1}
other_columns: drop
"""
    assert problems(tmp_path, text) == [
        "1:9: schema (2) is not a version this program reads; it reads 1",
        "2:1: colums is not known here; did you mean columns? "
        "(known: schema, columns, missing, other_columns, rows, unique, relations, quality)",
        "4:13: columns.a.type (nmber) is not one of number, integer, category, boolean, date, text"
        "; did you mean number?",
        "4:25: columns.a.min (low) must be a number",
        "5:28: columns.b.min (1) stands with a number, integer or date column only",
        "5:31: columns.b.rolle is not known here; did you mean role? "
        "(known: type, role, allowed, min, max, nullable, max_missing, "
        "unique, pattern, min_length, max_length, format)",
        "6:26: columns.c.max (1) is below min (2)",
        "6:50: columns.c.max_missing (1%) needs `nullable: true`",
        "7:6: columns.d (number) must be a mapping such as {type: number, min: 0}",
        "8:47: columns.e.nullable (true) must be false: a row without its target can neither train nor test",
        "9:3: columns.f is a second target; e is one already",
        '9:46: columns.f.allowed ([1, yes]) must be a list of texts; write numbers and true/false in quotes ("1")',
        "10:50: columns.g.max_missing (120%) must be a share from 0% to 100%",
        "11:3: columns.h lacks `type`: number, integer, category, boolean, date, text",
        "12:16: other_columns (drop) is not one of refuse, ignore",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1:1: a schema is a mapping with the keys `schema` and `columns`"),
        ("- a\n", "1:1: a schema is a mapping with the keys `schema` and `columns`"),
        ("columns: {a: {type: number}}\n", "1:1: `schema: 1` is missing"),
        ("schema: 1\n", "1:1: columns must map each column's name to what it may hold"),
        ("schema: 1\ncolumns: []\n", "2:10: columns ([]) must map each column's name to what it may hold"),
        ("schema: 1\ncolumns: {a: {type: number}\n", "not YAML"),
        ("schema: 1\nschema: 1\n", "not YAML"),
    ],
)
def test_what_is_no_schema_is_told(tmp_path, text, problem):
    assert any(problem in line for line in problems(tmp_path, text))


def test_a_schema_that_is_not_there_is_told(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_schema(str(tmp_path / "absent.yaml"))
