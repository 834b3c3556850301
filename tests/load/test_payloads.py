"""Payloads: the same rows whatever the file, against pandas; samples that are fair; and every wrong file told."""

import csv
import gzip
import io
import json
import sys
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.domain.load import Order, Payload, Speech
from harness.errors import InputError
from harness.load import payloads, rows
from harness.load.golden import load_golden
from harness.load.payloads import RowPayload
from harness.load.sample import Sample

ROWS: list[dict[str, Any]] = [
    {"age": 41, "fee": 1.5, "plan": "basic", "zip": "00123", "on": True, "since": "2024-01-15"},
    {"age": 20, "fee": None, "plan": 'go"ld, x', "zip": "12345", "on": False, "since": "2023-02-28"},
    {"age": -3, "fee": 2.0, "plan": None, "zip": "00000", "on": True, "since": "2020-02-29"},
]


def as_csv() -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(ROWS[0]))
    writer.writeheader()
    writer.writerows(ROWS)
    return text.getvalue().encode()


def as_parquet() -> bytes:
    frame = pd.DataFrame(ROWS)
    frame["since"] = [date.fromisoformat(row["since"]) for row in ROWS]
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


FILES = {
    "rows.json": json.dumps(ROWS, indent=2).encode(),
    "rows.jsonl": "\n".join(map(json.dumps, ROWS)).encode(),
    "lines.json": ("\n\n" + "\n".join(map(json.dumps, ROWS)) + "\n").encode(),
    "rows.csv": as_csv(),
    "bom.csv": b"\xef\xbb\xbf" + as_csv(),
    "rows.parquet": as_parquet(),
    "guessed": as_csv(),
    "guessed-too": json.dumps(ROWS).encode(),
}


def write(folder: Path, name: str, content: bytes | str) -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def sent(payload: Payload) -> list[Any]:
    return [json.loads(body) for body in payload.bodies]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("name", FILES)
def test_every_file_makes_the_same_rows(tmp_path: Path, name: str, packed: bool) -> None:
    content = gzip.compress(FILES[name]) if packed else FILES[name]
    payload = payloads.read(write(tmp_path, f"{name}.gz" if packed else name, content), Speech.JSON)
    assert sent(payload) == ROWS
    assert [[type(value) for value in row.values()] for row in sent(payload)] == [
        [type(value) for value in row.values()] for row in ROWS
    ]
    assert payload.content_type == "application/json"


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.parquet"])
def test_standard_input(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for content in (FILES[name], gzip.compress(FILES[name])):
        # A pipe cannot be sought in: a reader over something that only gives bytes behaves like one.
        class Pipe(io.RawIOBase):
            def __init__(self, content: bytes) -> None:
                self._left = io.BytesIO(content)

            def readable(self) -> bool:
                return True

            def readinto(self, buffer: Any) -> int:
                return self._left.readinto(buffer)

        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Pipe(content))))
        payload = payloads.read("-", Speech.JSON)
        assert sent(payload) == ROWS
        assert payload.source == "standard input: 3 rows"


def test_one_object_pretty_or_not(tmp_path: Path) -> None:
    for content in (json.dumps(ROWS[0], indent=4), json.dumps(ROWS[0])):
        payload = payloads.read(write(tmp_path, "one.json", content), Speech.JSON)
        assert (sent(payload), payload.source) == ([ROWS[0]], "one.json")


@given(
    st.lists(
        st.lists(
            st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=6), min_size=2, max_size=2
        ),
        min_size=1,
    )
)
@settings(deadline=None)
def test_texts_of_a_csv_survive(records: list[list[str]]) -> None:
    """Read by our reader as by pandas', where no column is one of numbers."""
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([["a", "b"], ["x", "x"], *records])
    sample: Sample[Any] = Sample(10_000, 1 << 30, 1)
    decode = rows._csv(io.BufferedReader(io.BytesIO(text.getvalue().encode())), "f", sample)(sample.taken())
    ours = [decode(item) for _, item in sample.taken()]
    theirs = pd.read_csv(io.StringIO(text.getvalue()), dtype=str, keep_default_na=False, skip_blank_lines=False)
    assert ours == [
        {str(name): value if value.strip() else None for name, value in row.items()}
        for row in theirs.to_dict(orient="records")
    ]


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1", "2", ""], [1, 2, None]),
        (["1", "2.5", "NaN"], [1.0, 2.5, None]),
        (["007", "12"], ["007", "12"]),
        (["12345678901234567890"], ["12345678901234567890"]),
        (["1e3", "-0.5"], [1000.0, -0.5]),
        (["1e999"], ["1e999"]),
        (["inf", "1"], ["inf", "1"]),
        (["true", "FALSE"], [True, False]),
        (["true", "NA"], ["true", "NA"]),
        (["NA", "null"], ["NA", "null"]),
        (["", " "], [None, None]),
        ([" 4", "5 "], [4, 5]),
        (["١", "2"], ["١", "2"]),
        (["2024-01-15"], ["2024-01-15"]),
    ],
)
def test_a_column_is_what_all_of_its_values_are(texts: list[str], values: list[Any]) -> None:
    read = rows.column_reader(texts)
    assert [(type(value), value) for value in map(read, texts)] == [(type(value), value) for value in values]


def test_parquet_types_that_json_lacks(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "at": [pd.Timestamp("2024-01-15T12:30")],
            "price": [Decimal("1.50")],
            "wait": [pd.Timedelta("90s")],
            "gap": [float("nan")],
            "scores": [[1.0, 2.0]],
            "plan": pd.Categorical(["gold"]),
            "raw": [b"abc"],
        },
        index=[5],
    )
    frame.to_parquet(tmp_path / "t.parquet")
    payload = payloads.read(str(tmp_path / "t.parquet"), Speech.JSON)
    assert sent(payload) == [
        {
            "at": "2024-01-15T12:30:00",
            "price": 1.5,
            "wait": 90.0,
            "gap": None,
            "scores": [1.0, 2.0],
            "plan": "gold",
            "raw": "abc",
        }
    ]


def test_columns_are_chosen_and_dropped(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.csv", FILES["rows.csv"])
    assert list(sent(payloads.read(path, Speech.JSON, drop=["plan", "zip"]))[0]) == ["age", "fee", "on", "since"]
    chosen = payloads.read(path, Speech.MLFLOW, columns=["plan", "age"], drop=["plan"], order=Order.IN_TURN)
    assert sent(chosen)[0] == {"dataframe_split": {"columns": ["age"], "data": [[41]]}}
    assert chosen.order is Order.IN_TURN
    v2 = payloads.read(path, Speech.V2, columns=["age", "zip"])
    assert sent(v2)[1]["inputs"] == [
        {"name": "age", "shape": [1], "datatype": "INT64", "data": [20]},
        {"name": "zip", "shape": [1], "datatype": "BYTES", "data": ["12345"]},
    ]


def test_several_rows_make_a_request_and_what_is_left_over_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.csv", FILES["rows.csv"])
    payload = payloads.read(path, Speech.JSON, rows_per_request=2, columns=["age"])
    assert sent(payload) == [[{"age": 41}, {"age": 20}]]
    assert isinstance(payload, RowPayload)
    assert (payload.rows, payload.source) == (((0, 1),), "rows.csv: 2 of 3 rows, 2 in each request")


def test_whole_requests_are_sent_as_they_stand(tmp_path: Path) -> None:
    request = {"dataframe_split": {"columns": ["a"], "data": [[1]]}, "params": {"x": 1}}
    path = write(tmp_path, "request.json", json.dumps(request, indent=1))
    assert sent(payloads.read(path, Speech.MLFLOW)) == [request]
    with pytest.raises(InputError, match="holds whole requests of mlflow"):
        payloads.read(path, Speech.MLFLOW, drop=["params"])
    mixed = write(tmp_path, "mixed.jsonl", json.dumps(request) + '\n{"a": 1}\n')
    with pytest.raises(InputError, match=r"mixed\.jsonl: row 2 is no request of mlflow, and others are"):
        payloads.read(mixed, Speech.MLFLOW)


def test_raw_takes_a_file_as_it_stands(tmp_path: Path) -> None:
    payload = payloads.read(write(tmp_path, "a.json", b" [\xff"), Speech.RAW)
    assert (payload.bodies, payload.content_type) == ((b" [\xff",), "application/json")
    with pytest.raises(InputError, match="no rows and no columns"):
        payloads.read(write(tmp_path, "a.csv", b"a\n1\n"), Speech.RAW, drop=["a"])


# --- samples ---


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_large_file_is_sampled_by_its_seed_alone(tmp_path: Path, form: str) -> None:
    frame = pd.DataFrame({"n": range(20_000)})
    path = tmp_path / f"big.{form}"
    match form:
        case "csv":
            frame.to_csv(path, index=False)
        case "jsonl":
            frame.to_json(path, orient="records", lines=True)
        case _:
            frame.to_parquet(path)
    payload = payloads.read(str(path), Speech.JSON, limit=500, seed=3)
    numbers = [row["n"] for row in sent(payload)]
    assert isinstance(payload, RowPayload)
    assert payload.source == f"big.{form}: 500 of 20,000 rows, drawn with seed 3"
    assert [row for (row,) in payload.rows] == numbers == sorted(set(numbers))
    reference: Sample[int] = Sample(500, 1 << 30, 3)
    for row in range(20_000):
        reference.offer(row, row, 1)
    assert numbers == [row for row, _ in reference.taken()]
    assert numbers != [row["n"] for row in sent(payloads.read(str(path), Speech.JSON, limit=500, seed=4))]


def test_each_row_is_as_likely_as_any_other() -> None:
    taken: Counter[int] = Counter()
    for seed in range(2000):
        sample: Sample[int] = Sample(3, 1000, seed)
        for row in range(12):
            sample.offer(row, row, 1)
        taken.update(row for row, _ in sample.taken())
    # Of 2,000 draws each row has a quarter; five deviations of a binomial.
    assert all(abs(taken[row] - 500) < 5 * (2000 * 0.25 * 0.75) ** 0.5 for row in range(12))


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 30), st.integers(60, 400), st.integers(0, 9)
)
def test_a_sample_is_the_beginning_of_one_random_order(sizes: list[int], most: int, most_bytes: int, seed: int) -> None:
    sample: Sample[int] = Sample(most, most_bytes, seed)
    for row, size in enumerate(sizes):
        wanted = sample.wants(row)
        sample.offer(row, row, size)
        assert wanted or row not in [kept for kept, _ in sample.taken()]
    kept = [row for row, _ in sample.taken()]
    order = sorted(range(len(sizes)), key=Sample(1, 1, seed)._priority)
    assert kept == sorted(order[: len(kept)])
    assert 1 <= len(kept) <= most
    assert sum(sizes[row] for row in kept) <= most_bytes
    assert sample.seen == len(sizes)


def test_bytes_cut_a_sample_short_and_the_source_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MOST_BYTES", 10_000)
    path = write(tmp_path, "wide.jsonl", "\n".join(json.dumps({"n": n, "text": "x" * 980}) for n in range(50)))
    payload = payloads.read(path, Speech.JSON)
    assert 5 <= len(payload.bodies) <= 10
    assert ", as many as" in payload.source


# --- golden predictions ---


def test_golden_predictions_follow_the_rows_that_are_sent(tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": range(1000), "prediction": [f"p{n}" for n in range(1000)]})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame[["prediction"]].to_parquet(tmp_path / "golden.parquet")
    payload = payloads.read(str(tmp_path / "rows.csv"), Speech.JSON, drop=["prediction"], limit=40, rows_per_request=3)
    for path in ("rows.csv", "golden.parquet"):
        golden = load_golden(str(tmp_path / path), payload)
        assert [json.loads(text) for text in golden] == [[f"p{row['n']}" for row in body] for body in sent(payload)]
    assert len(payload.bodies) == 13


def test_golden_predictions_of_another_number_are_refused(tmp_path: Path) -> None:
    payload = payloads.read(write(tmp_path, "rows.csv", "a\n1\n2\n3\n"), Speech.JSON)
    with pytest.raises(InputError, match="2 golden predictions for the payload's 3 rows"):
        load_golden(write(tmp_path, "golden.jsonl", '{"prediction": 1}\n{"prediction": 0}\n'), payload)
    with pytest.raises(InputError, match=r"row 1 has no 'prediction'; nearest: predicton; it has: a, predicton"):
        load_golden(write(tmp_path, "golden.csv", "a,predicton\n1,1\n2,1\n3,1\n"), payload)
    assert load_golden(write(tmp_path, "one.csv", "anything\n1\n0\n1\n"), payload) == ("1", "0", "1")
    assert load_golden(write(tmp_path, "raw.csv", "a,b\n1,yes\n"), payloads.raw(b"{}"), "b") == ('"yes"',)


# --- wrong files ---


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("no.csv", None, r"no\.csv: there is no such file"),
        ("empty.csv", b"", r"empty\.csv: the file is empty; the first line must name the columns"),
        ("head.csv", b"a,b\n", r"head\.csv: there is no row in it"),
        ("short.csv", b'a,b\n"x\ny",2\n1\n', r"short\.csv:4: 1 values, but the first line names 2 columns"),
        ("twice.csv", b"a,a\n1,2\n", r"twice\.csv:1: the first line names a column twice: 'a'"),
        ("semi.csv", b"a;b\n1;2\n", r"semi\.csv:1: the columns are parted by ';'; write commas"),
        ("quote.csv", b'a,b\n"x"y,2\n', r"quote\.csv:2: not a table"),
        ("latin.csv", b"a,b\n1,2\n\xe4,2\n", r"latin\.csv:3: the byte b'\\xe4' is no UTF-8"),
        ("empty.json", b"\n", r"empty\.json: there is no row in it"),
        ("none.json", b"[]", r"none\.json: there is no row in it"),
        ("comma.json", b'{\n "a": 1,\n}', r"comma\.json:3:1: not JSON: .*, found '\}'"),
        ("item.json", b'[{"a": 1}, 5]', r"item\.json: item 2 of its array is 5; a row is an object"),
        ("text.json", b'"yes"', r'text\.json: it is "yes"; a row is an object'),
        ("line.jsonl", b'{"a": 1}\n\n{"a": }\n', r"line\.jsonl:3:7: not JSON: Expecting value, found '\}'"),
        ("list.jsonl", b"[1]\n", r"list\.jsonl:1: the line is \[1\]; a row is an object"),
        ("inf.jsonl", b'{"a": 1}\n{"a": Infinity}\n', r"inf\.jsonl:2: Infinity is no number in JSON"),
        ("huge.jsonl", b'{"a": 1e999}\n', r"huge\.jsonl:1: 1e999 is beyond what a float holds"),
        ("latin.jsonl", b'{"a": "\xe4"}\n', r"latin\.jsonl:1: the byte b'\\xe4' is no UTF-8"),
        ("half.jsonl", b'{"a": "\\ud800"}\n', r"half\.jsonl:1: .*surrogates not allowed"),
        ("deep.jsonl", b'{"a": ' + b"[" * 100_000 + b"\n", r"deep\.jsonl:1: the JSON nests too deep"),
        ("cut.csv.gz", gzip.compress(b"a\n" + b"1\n" * 9999, mtime=0)[:-9], r"cut\.csv\.gz: the gzip file is damaged"),
        ("bad.parquet", b"PAR1 and no more", r"bad\.parquet: not a Parquet file that can be read"),
    ],
)
def test_a_wrong_file_is_told_with_its_place(tmp_path: Path, name: str, content: bytes | None, told: str) -> None:
    path = str(tmp_path / name) if content is None else write(tmp_path, name, content)
    with pytest.raises(InputError, match=told):
        payloads.read(path, Speech.JSON)


def test_an_infinity_in_parquet_is_told_by_row_and_column(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1.0, float("inf")]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(
        InputError, match=r"row 2, column a: inf is no number in JSON; mend it, or leave it out \(--drop a\)"
    ):
        payloads.read(str(tmp_path / "t.parquet"), Speech.JSON)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"drop": ["agee"]}, "there is no column 'agee'; nearest: age"),
        ({"columns": ["age"], "drop": ["age"]}, "no column is left to send"),
        ({"rows_per_request": 0}, "0 rows make no request"),
        ({"rows_per_request": 4}, "3 rows are fewer than the 4 of a request"),
        ({"limit": 0}, "keep at least 1"),
        ({"form": "spilt"}, "MLflow is not sent 'spilt'; nearest: split"),
    ],
)
def test_a_wrong_option_is_told(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        payloads.read(write(tmp_path, "rows.csv", FILES["rows.csv"]), Speech.JSON, **options)


@given(
    st.sampled_from(["x.json", "x.jsonl", "x.csv", "x.tsv", "x.parquet", "x"]),
    st.binary(max_size=80) | st.text(max_size=80).map(str.encode),
)
@settings(deadline=None, max_examples=300)
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes) -> None:
    path = write(tmp_path_factory.getbasetemp(), name, content)
    for speech in (Speech.JSON, Speech.MLFLOW, Speech.V2):
        try:
            payload = payloads.read(path, speech)
        except InputError as error:
            assert name in str(error) or "column" in str(error)  # noqa: PT017
        else:
            assert payload.bodies
            assert sent(payload)


def test_parquet_without_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs the extra `parquet`"):
        payloads.read(write(tmp_path, "t.parquet", FILES["rows.parquet"]), Speech.JSON)
