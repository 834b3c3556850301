"""Recordings in every format, against what other readers make of them; what is wrong is told with its line."""

import csv
import gzip
import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness import traces
from harness.errors import InputError

TRACES = Path(__file__).parents[2] / "scenarios" / "traces"
SECONDS = [1_431_857_103, 1_431_857_103, 1_431_857_143, 1_431_860_000]

COMMON = '83.149.9.216 - frank smith [{}] "GET /a[1].png HTTP/1.1" 200 203023'
FORMS = {
    "csv": lambda at: ["id,when,path", *(f'{n},{pd.Timestamp(t, unit="s").isoformat()},"a,\nb"' for n, t in at)],
    "csv, semicolons": lambda at: ["id;ts", *(f"{n};{t}" for n, t in at)],
    "csv, no names": lambda at: [str(t) for _, t in at],
    "tsv": lambda at: ["host\ttime", *(f"h{n}\t{t}" for n, t in at)],
    "milliseconds": lambda at: ["ts", *(f"{t}000" for _, t in at)],
    "nanoseconds": lambda at: ["ts", *(f"{t}000000000" for _, t in at)],
    "a zone": lambda at: ["x,at", *(f"1,{pd.Timestamp(t, unit='s', tz='Asia/Kolkata').isoformat()}" for _, t in at)],
    "common": lambda at: [
        COMMON.format(pd.Timestamp(t, unit="s", tz="America/New_York").strftime("%d/%b/%Y:%H:%M:%S %z")) for _, t in at
    ],
    "combined": lambda at: [
        COMMON.format(pd.Timestamp(t, unit="s", tz="UTC").strftime("%d/%b/%Y:%H:%M:%S %z")) + ' "-" "Mozilla"'
        for _, t in at
    ],
    "jsonl": lambda at: [json.dumps({"id": n, "timestamp": t * 1000, "m": {"a": 1}}) for n, t in at],
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_each_format_gives_the_same_times(form: str, zipped: bool, tmp_path: Path) -> None:
    content = ("\r\n".join(FORMS[form](enumerate(SECONDS))) + "\n").encode()
    file = tmp_path / "recorded"
    file.write_bytes(gzip.compress(content) if zipped else content)
    records = traces.read(str(file))
    assert (records.at_ns // 10**9).tolist() == SECONDS
    assert records.resolution_ns == 10**9
    assert records.notes == ()


def test_the_azure_trace_is_read_to_its_last_digit() -> None:
    file = TRACES / "azure_llm_conv.csv.gz"
    with gzip.open(file, "rt", encoding="utf-8", newline="") as text:
        written = [row["TIMESTAMP"] for row in csv.DictReader(text)]
    # Python's own reader, and the digits beyond microseconds by hand.
    exact = [
        int((datetime.fromisoformat(f"{each}+00:00").replace(microsecond=0)).timestamp()) * 10**9
        + int(each.split(".")[1].ljust(9, "0"))
        for each in written
    ]
    records = traces.read(str(file))
    assert records.at_ns.tolist() == exact
    assert (records.format, records.resolution_ns, len(exact)) == ("csv", 1, 19_366)


def test_the_nasa_log_is_read_as_pandas_reads_it() -> None:
    file = TRACES / "nasa_http.tsv.gz"
    table = pd.read_csv(file, sep="\t")
    records = traces.read(str(file))
    assert np.array_equal(records.at_ns, table["time"].to_numpy() * 10**9)
    assert (records.format, records.resolution_ns, len(table)) == ("tsv", 10**9, 30_969)


def test_fractions_of_unix_seconds_lose_nothing(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("ts\n1700158546.680590123\n1.7001585466805902e9\n", encoding="utf-8")
    assert traces.read(str(tmp_path / "t.csv")).at_ns.tolist() == [1_700_158_546_680_590_123, 1_700_158_546_680_590_200]


def test_lines_out_of_order_are_sorted_and_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("ts\n30\n10\n20\n40\n", encoding="utf-8")
    records = traces.read(str(tmp_path / "t.csv"))
    assert (records.at_ns // 10**9).tolist() == [10, 20, 30, 40]
    assert records.notes == ("t.csv: 2 of 4 lines came out of order; sorted by time",)


def test_a_key_within_and_a_unit_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "t").write_text('{"a": {"at": 5}}\n{"a": {"at": 1500}}\n', encoding="utf-8")
    assert traces.read(str(tmp_path / "t"), time="a.at", unit="ms").at_ns.tolist() == [5_000_000, 1_500_000_000]


WRONG = {
    "nothing": ("", {}, ": the file is empty"),
    "names alone": ("a,time\n", {}, ": there is no record"),
    "no time": ("time,b\n2023-01-01 10:00:00,1\nyesterday,2\n", {}, ":3: column time is 'yesterday'; a time is ISO"),
    "no such day": (COMMON.format("31/Feb/2015:10:05:03 +0000"), {}, ":1: the time in brackets is '31/Feb"),
    "not a log line": (
        COMMON.format("17/May/2015:10:05:03 +0000") + "\nsegfault\n", {}, ":2: 'segfault' is no line of a web log"
    ),
    "a blank": ("time,b\n1,1\n,2\n", {}, ":3: column time is ''"),
    "a short line": ("b,time\n1,1\n2\n", {}, ":3: the line ends before its time"),
    "no such column": ("a,b\n1,2\n", {"time": "c"}, ":1: there is no column 'c' (traffic.trace.time); its columns: a"),
    "two numbers": ("a,b\nfoo,bar\n", {}, "which column holds the time? Say traffic.trace.time; its columns: a, b"),
    "broken JSON": ('{"ts": 1}\n{"ts":\n', {}, ":2: '{\"ts\":' is no JSON"),
    "no key": ('{"ts": 1}\n{"t": 1}\n', {}, ":2: there is no time at 'ts' (traffic.trace.time); its keys: t"),
    "a unit of a date": ("time\n2023-01-01 10:00:00\n", {"unit": "ms"}, "leave traffic.trace.unit out"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "options", "told"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_with_its_line(content: str, options: dict, told: str, tmp_path: Path) -> None:
    file = tmp_path / "recorded"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as refused:
        traces.read(str(file), **options)
    assert str(refused.value).startswith(str(file))
    assert told in str(refused.value)


def test_a_damaged_gzip_file_is_no_traceback(tmp_path: Path) -> None:
    file = tmp_path / "t.gz"
    file.write_bytes(gzip.compress(b"time\n1\n2\n" * 1000)[:40])
    with pytest.raises(InputError, match="the gzip file is damaged"):
        traces.read(str(file))
