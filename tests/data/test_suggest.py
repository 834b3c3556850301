"""A first schema that a table suggests: what it says, that its file says the same, and that the table passes it."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.first import schema_text
from harness.data.rule import Check
from harness.data.schema import ColumnRole, ColumnType, read_schema
from harness.data.suggest import shape, suggested
from harness.data.table import read_table
from harness.data.validate import Held, validate_frame

N = 60


def orders() -> pd.DataFrame:
    draws = np.random.default_rng(8)
    start = pd.Timestamp("2024-01-01") + pd.to_timedelta(draws.integers(0, 300, N), unit="D")
    end = start + pd.to_timedelta(draws.integers(0, 400, N), unit="D")
    net = draws.uniform(10, 500, N).round(2)
    return pd.DataFrame(
        {
            "order": [f"AB-{n:04d}" for n in draws.permutation(N)],
            "user_id": draws.choice(9000, N, replace=False).astype(str),
            "started": start.strftime("%d.%m.%Y"),
            "ended": end.strftime("%Y-%m-%d"),
            "price_net": net.astype(str),
            "price_gross": (net * 1.19).round(2).astype(str),
            "paid": draws.choice(["true", "false"], N),
            "state": (state := draws.choice(["open", "done"], N)),
            "closed_by": np.where(state == "open", "", draws.choice(["x-1", "x-2"], N)),
            "note": [f"a sentence of some length about order number {n}" for n in range(N)],
            "bought": draws.choice(["yes", "no"], N),
        }
    )


def test_what_is_plain_is_suggested() -> None:
    schema = suggested(orders(), "bought")
    columns = schema.columns
    assert (columns["order"].role, columns["order"].pattern) == (ColumnRole.KEY, "[A-Z]{2}-[0-9]{4}")
    assert columns["user_id"].role is ColumnRole.KEY
    assert (columns["started"].type, columns["started"].format) == (ColumnType.DATE, "%d.%m.%Y")
    assert (columns["ended"].type, columns["ended"].role) == (ColumnType.DATE, ColumnRole.FEATURE)
    assert columns["paid"].type is ColumnType.BOOLEAN
    assert columns["note"].type is ColumnType.TEXT
    assert (schema.least_rows, schema.most_rows) == (30, 600)
    assert [relation.text for relation in schema.relations] == [
        "if state == 'open' then closed_by is missing",
        "ended >= started",
        "price_gross >= price_net",
    ]
    assert {rule.check for rule in schema.quality} == {Check.DUPLICATES, Check.CONSTANT, Check.LEAKAGE, Check.BALANCE}


def test_its_file_says_the_same_and_the_table_passes(tmp_path) -> None:
    schema = suggested(orders().rename(columns={"ended": "has ended"}), "bought")
    (tmp_path / "first.yaml").write_text(schema_text(schema, "orders"))
    read = read_schema(str(tmp_path / "first.yaml"))
    assert (read.columns, read.relations, read.quality) == (schema.columns, schema.relations, schema.quality)
    assert (read.least_rows, read.most_rows) == (schema.least_rows, schema.most_rows)
    assert validate_frame(orders().rename(columns={"ended": "has ended"}), Held(read)).failures == ()


@pytest.mark.parametrize(
    ("file", "target", "relations"),
    [
        ("telco_churn", "Churn", ["if tenure == 0 then TotalCharges is missing", "TotalCharges >= MonthlyCharges"]),
        ("adult", "income-per-year", []),
    ],
)
def test_the_shipped_data_pass_what_they_suggest(tmp_path, file, target, relations) -> None:
    frame = read_table(f"scenarios/data/{file}.csv.gz")
    schema = suggested(frame, target)
    assert [relation.text for relation in schema.relations] == relations
    (tmp_path / "first.yaml").write_text(schema_text(schema, file))
    assert validate_frame(frame, Held(read_schema(str(tmp_path / "first.yaml")))).failures == ()


CELLS = st.sampled_from(["1", "2.5", "", "?", "NA", "x", "Yes", "2024-01-01", "'", "#: ", "`", "true"])


@settings(max_examples=8, deadline=None)
@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=30))
def test_any_table_passes_what_it_suggests(tmp_path_factory, rows) -> None:
    frame = pd.DataFrame(rows, columns=["a", "b c", "#d"])
    schema = suggested(frame)
    path = tmp_path_factory.mktemp("first") / "first.yaml"
    path.write_text(schema_text(schema, "any"))
    assert validate_frame(frame, Held(read_schema(str(path)))).failures == ()


def test_a_target_of_several_numbers_is_no_class_and_whole_numbers_keep_whole_bounds() -> None:
    frame = pd.DataFrame({"size": range(0, 60, 2), "mark": [3, 4, 9] * 10, "left": [0, 1, 1] * 10})
    schema = suggested(frame, "mark")
    assert Check.BALANCE not in {rule.check for rule in schema.quality}
    assert (schema.columns["mark"].least, schema.columns["mark"].most) == (1, 11)  # 3 to 9, and 1.5 at each end
    assert Check.BALANCE in {rule.check for rule in suggested(frame, "left").quality}


def test_shapes() -> None:
    assert shape(["a1", "bc23"]) == "[a-z]{1,2}[0-9]{1,2}"
    assert shape(["a.1", "b.2"]) == r"[a-z]\.[0-9]"
    assert shape(["a1", "1a"]) == ""
    assert shape(["abc", "d"]) == ""  # one piece: any word would match
