"""The schema's further keys: read, told of with their places, and held against rows."""

import pandas as pd
import pytest

from harness.data import dates, pattern
from harness.data.rulefile import read_rules, rules_of
from harness.data.schema import ColumnType, Schema, read_schema
from harness.data.source import FrameSource
from harness.data.validate import Held, validate
from harness.domain.quality import Severity
from harness.errors import DataError

GOOD = """\
schema: 1
columns:
  id: {type: category, pattern: "[A-Z]{2}[0-9]+", unique: true}
  on: {type: boolean}
  day: {type: date, format: "%d.%m.%Y", min: 2024-01-01, max: today}
  note: {type: text, min_length: 2, max_length: 5}
  a: {type: number}
  b: {type: number}
rows: {min: 2, max: 4}
unique: [[a, b]]
relations:
  - a >= b
  - {relation: a <= b * 10, tolerance: 0.5, severity: warning, max_share: 50%}
quality:
  - {check: duplicates, columns: [a], severity: warning, max_share: 10%}
"""


def read(tmp_path, text: str) -> Schema:
    (tmp_path / "schema.yaml").write_text(text, encoding="utf-8")
    return read_schema(str(tmp_path / "schema.yaml"))


def problems(tmp_path, text: str) -> list[str]:
    with pytest.raises(DataError) as caught:
        read(tmp_path, text)
    return [line.rpartition("schema.yaml:")[2] for line in str(caught.value).splitlines()]


def test_the_further_keys_are_read(tmp_path) -> None:
    schema = read(tmp_path, GOOD)
    assert schema.columns["id"].pattern == "[A-Z]{2}[0-9]+"
    assert schema.columns["id"].unique
    assert (schema.columns["on"].type, schema.columns["note"].type) == (ColumnType.BOOLEAN, ColumnType.TEXT)
    day = schema.columns["day"]
    assert (day.format, day.least) == ("%d.%m.%Y", pd.Timestamp("2024-01-01").timestamp())
    assert day.most == dates.bound("today", end=True)
    assert (schema.columns["note"].min_length, schema.columns["note"].max_length) == (2, 5)
    assert (schema.least_rows, schema.most_rows, schema.unique) == (2, 4, (("a", "b"),))
    second = schema.relations[1]
    assert (second.tolerance, second.severity, second.max_share) == (0.5, Severity.WARNING, 0.5)
    (rule,) = schema.quality
    assert (rule.check, rule.columns, rule.max_share) == ("duplicates", ("a",), 0.1)


def test_what_breaks_them_is_told_with_its_rows(tmp_path) -> None:
    frame = pd.DataFrame(
        {
            "id": ["AB1", "AB1", "ab2", "CD3", "EF4"],
            "on": ["true", "NO", "1", "perhaps", ""],
            "day": ["01.02.2024", "2024-02-01", "31.12.2023", "01.01.2024", "29.02.2024"],
            "note": ["ab", "a", "abcdef", "abc", "abcd"],
            "a": ["1", "1", "50", "2", "3"],
            "b": ["1", "1", "2", "3", "1"],
        }
    )
    found = validate(FrameSource(frame), Held(read(tmp_path, GOOD)))
    assert [str(each) for each in found.failures] == [
        "id: not like [A-Z]{2}[0-9]+ ('ab2') in 1 row (3)",
        "id: the value of a row before ('AB1') in 1 row (2)",
        "on: no truth value ('perhaps') in 1 row (4)",
        "on: missing in 1 row (5)",
        "day: no date (%d.%m.%Y) ('2024-02-01') in 1 row (2)",
        "day: before 2024-01-01 ('31.12.2023') in 1 row (3)",
        "note: not 2 to 5 letters long ('a') in 2 rows (2, 3)",
        "a, b: together those of a row before ('a=1, b=1') in 1 row (2)",
        "the table: 5 rows, more than 4",
        "a, b: breaks `a >= b` in 1 row (4)",
        "a: the same as a row before (at most 10% of the rows may be) in 1 row (2)",
    ]
    assert [each.kind for each in found.warnings] == ["duplicates"]
    assert found.failures[0].values == ("ab2",)
    assert found.failures[0].share == 0.2


def test_what_is_wrong_in_the_further_keys_is_told_with_its_place(tmp_path) -> None:
    text = """\
schema: 1
columns:
  a: {type: number, pattern: "x", unique: 1, format: "%d"}
  b: {type: category, pattern: "[a-", min_length: 5, max_length: 2}
  c: {type: text, pattern: "(a+)+", min: 1}
  d: {type: date, min: soon, allowed: [1]}
  e: {type: date, min: 2024-02-01, max: 2024-01-01}
rows: {min: 10, max: 5, least: 1}
unique: [[a, bb], a]
relations:
  - a >= z
  - "a >> 1"
  - {relation: d > 'x', tolerance: -1, severity: bad}
  - {rel: x}
quality:
  - {check: duplicate}
  - {check: outliers, method: iqrr, factor: 0, columns: [q]}
  - {check: balance}
  - {check: constant, max_share: 1%}
  - constant
"""
    assert problems(tmp_path, text) == [
        "3:30: columns.a.pattern (x) stands with a category or text column only",
        "3:43: columns.a.unique (1) must be true or false",
        "3:54: columns.a.format (%d) stands with a date column only",
        "4:33: columns.b.pattern ([a-) is no regular expression: unterminated character set",
        "4:66: columns.b.max_length (2) is below min_length (5)",
        "5:29: columns.c.pattern ((a+)+) has a repeat in a repeat, which may take for ever; "
        "write it without the inner one",
        "5:42: columns.c.min (1) stands with a number, integer or date column only",
        "6:24: columns.d.min (soon) must be a date such as 2024-05-31, or today",
        "6:39: columns.d.allowed ([1]) stands with numbers and words only",
        "7:41: columns.e.max (2024-01-01) is below min (2024-02-01)",
        "8:22: rows.max (5) is below min (10)",
        "8:25: rows.least is not known here (known: min, max)",
        "9:14: unique[1] (bb) is not a column of the schema; did you mean b?",
        "9:19: unique[1] (a) must be a list of columns, such as [a, b]",
        "11:10: relations[0] (a >= z): there is no column 'z'",
        "12:9: relations[1] (a >> 1): a value is expected here, not '>'",
        "13:18: relations[2].relation (d > 'x'): a date cannot be compared with a text",
        "13:36: relations[2].tolerance (-1) must be a number from 0",
        "13:50: relations[2].severity (bad) is not one of critical, warning",
        "14:5: relations[3] must be a text such as `end >= start`, or {relation: ..., ...}",
        "14:6: relations[3].rel is not known here (known: relation, tolerance, severity, max_share)",
        "16:13: quality[0].check (duplicate) is not one of duplicates, outliers, missing, constant, leakage, overlap, "
        "balance, types, spelling; did you mean duplicates?",
        "17:31: quality[1].method (iqrr) is not one of iqr, zscore, mad; did you mean iqr?",
        "17:45: quality[1].factor (0) must be a number above 0",
        "17:58: quality[1].columns[0] (q) is not a column of the schema",
        "18:5: quality[2] lacks `min_share`: the least share that each class should have",
        "19:23: quality[3].max_share is not known here (known: check, severity, columns)",
        "20:5: quality[4] (constant) must be a mapping such as {check: duplicates, severity: warning}; checks: "
        "duplicates, outliers, missing, constant, leakage, overlap, balance, types, spelling",
    ]


def test_a_type_that_is_none_is_told_once(tmp_path) -> None:
    text = """schema: 1
columns:
  a: {type: numbr}
  b: {type: number}
relations: [a >= b, b >= c]
"""
    kind, unknown = problems(tmp_path, text)
    assert "did you mean number?" in kind
    assert unknown.startswith("5:")
    assert "relations[1]" in unknown


def test_rules_stand_in_a_file_of_their_own_or_come_from_python(tmp_path) -> None:
    path = tmp_path / "quality.yaml"
    path.write_text("version: 1\nquality:\n  - {check: missing, columns: [a], max_share: 5%}\n")
    (rule,) = read_rules(str(path), ["a"])
    assert rules_of(str(path)) == rules_of([{"check": "missing", "columns": ("a",), "max_share": 0.05}]) == (rule,)
    assert rules_of({"missing": {"columns": ["a"], "max_share": "5%"}, "constant": False}) == (rule,)
    assert rules_of(None) == ()
    assert rules_of([rule]) == rules_of(rule) == (rule,)
    with pytest.raises(DataError, match=r"quality\.yaml:3:32: quality\[0\]\.columns\[0\] \(a\) is not a column"):
        read_rules(str(path), ["b"])
    with pytest.raises(DataError, match="did you mean missing"):
        rules_of({"mising": {}})
    path.write_text("rules: []\n")
    with pytest.raises(DataError, match="stand in a list below the key `quality`"):
        read_rules(str(path))


def test_rules_need_what_they_are_about() -> None:
    frame = FrameSource(pd.DataFrame({"a": ["1", "2"]}))
    with pytest.raises(DataError, match="leakage needs to know the target"):
        validate(frame, Held(None, rules_of({"leakage": True})))
    with pytest.raises(DataError, match="names the column b, which is not there"):
        validate(frame, Held(None, rules_of({"missing": {"columns": ["b"]}})))
    with pytest.raises(DataError, match="there is no column 'A' to be the target"):
        validate(frame, Held(None, (), "A"))
    with pytest.raises(DataError, match="spelling looks at columns of type category or text, and a is of type integer"):
        validate(frame, Held(None, rules_of({"spelling": {"columns": ["a"]}})))
    words = FrameSource(pd.DataFrame({"a": ["x", "y"]}))
    with pytest.raises(DataError, match="outliers looks at columns of type number or integer, and a is of type categ"):
        validate(words, Held(None, rules_of({"outliers": {"columns": ["a"]}})))


def test_numbers_and_formats_that_are_none_are_told(tmp_path) -> None:
    text = f"""\
schema: true
columns:
  a: {{type: number, min: .nan, max: {"9" * 400}}}
  d: {{type: date, format: "%Q"}}
"""
    told = problems(tmp_path, text)
    assert [each.partition(": ")[2].partition(" (")[0] for each in told] == [
        "schema", "columns.a.min", "columns.a.max", "columns.d.format"
    ]  # fmt: skip
    assert told[1].endswith("(nan) must be a number")
    assert told[3].endswith('(%Q) must be a format of dates such as "%d.%m.%Y"')


# --- patterns ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["(a+)+", "(a*)*b", "((ab)+c)*", "(a|b+)*", "(a{1,200})+", "(?:x+y?)*"])
def test_a_repeat_in_a_repeat_is_refused(text: str) -> None:
    with pytest.raises(pattern.PatternError, match="may take for ever"):
        pattern.checked(text)


@pytest.mark.parametrize("text", ["[^@]+@[^@]+", "(ab){2,5}c*", "[A-Z]{2}[0-9]+", "(a|b)+", r"\d{4}-\d\d"])
def test_what_takes_no_time_is_a_pattern(text: str) -> None:
    assert pattern.checked(text) == text


def test_patterns_and_values_have_an_end() -> None:
    with pytest.raises(pattern.PatternError, match="at most 200"):
        pattern.checked("a" * 201)
    with pytest.raises(pattern.PatternError, match="more than 4 times"):
        pattern.checked("a*b*a*b*a*")
    assert pattern.matches("a*", "a" * 1000)
    assert not pattern.matches("a*", "a" * 1001)
    assert not pattern.matches("a", "ab")  # the whole value
