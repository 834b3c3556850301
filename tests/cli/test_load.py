"""``harness load`` and ``harness capacity`` as a user calls them, against the stand-in."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event

import click
import pytest

from harness.cli.capacity import capacity
from harness.cli.load import load
from harness.cli.loadflags import SECTIONS
from harness.domain.load_event import LoadEnded, LoadProgressed, LoadStarted
from harness.log import read
from harness.serving.fake import stand_in
from tests import faulty_servers as faulty


@pytest.fixture
def url():
    with stand_in({"latency": {"constant": "1ms"}}) as at:
        yield at


def told(called):
    """What it wrote as JSON; its sums hold, whatever came of it."""
    found = json.loads(called.out)
    assert found["scheduled"] == found["sent"] + found["not_sent"]
    assert found["sent"] == found["succeeded"] + found["failed"] + found["in_flight_at_stop"]
    assert found["failed"] == sum(found["errors"].values())
    return found


def test_the_result_as_json(call, url):
    called = call(
        "load", url, "--rate", "100/s", "--duration", "1s", "--warmup", "500ms", "--slo", "p99 < 5s", "--json", "-"
    )
    found = told(called)
    assert called.code == (0 if found["passed"] else 1)
    assert (found["version"], found["url"], found["mode"], found["arrivals"]) == (
        1,
        f"{url}/predict",
        "open",
        "poisson",
    )
    assert (found["target_rate"], found["duration_s"]) == (100.0, 1.0)
    assert found["succeeded"] == found["scheduled"] > 50
    assert [(slo["text"], slo["passed"]) for slo in found["slo"]] == [("p99 < 5s", True)]
    assert set(found["latency_s"]) >= {"mean", "min", "p50", "p90", "p95", "p99", "p999", "max"}
    # The machine may be too busy for a grade; then it says why.
    assert (found["grade"] is None) == bool(found["spoiled"])
    assert Path(found["report"]).is_file()
    events = read(Path(found["report"]).with_name("events.jsonl"))
    assert events.only(LoadStarted).seed == 1
    assert events.of(LoadProgressed)
    assert events.only(LoadEnded).status == "done"


def test_the_files_that_were_asked_for(call, url, tmp_path):
    called = call(
        "load", url, "--users", "2", "--think", "10ms", "--duration", "1s",
        "--json", "load.json", "--csv", "load.csv", "--junit", "load.xml", "--markdown", "load.md",
        "--prometheus", "load.prom", "--save-profile", "profile.yaml",
    )  # fmt: skip
    found = json.loads((tmp_path / "load.json").read_text())
    rows = list(csv.DictReader(io.StringIO((tmp_path / "load.csv").read_text())))
    assert sum(int(row["scheduled"]) for row in rows) == found["scheduled"]
    assert "<testcase" in (tmp_path / "load.xml").read_text()
    assert url in (tmp_path / "load.md").read_text()
    assert "harness_load_" in (tmp_path / "load.prom").read_text()
    assert "quantiles:" in (tmp_path / "profile.yaml").read_text()
    assert "report  " in called.out


def test_an_slo_that_is_missed_is_exit_code_1(call, url):
    called = call("load", url, "--rate", "50/s", "--duration", "500ms", "--slo", "p50 < 1ms", "--quiet")
    assert called.code == 1


def test_nothing_listens(call, tmp_path):
    (tmp_path / "row.json").write_text("{}")
    with faulty.refused() as port:
        called = call(
            "load",
            f"http://127.0.0.1:{port}",
            "--rate",
            "50/s",
            "--duration",
            "500ms",
            "--payload",
            "row.json",
            "--json",
            "-",
        )
    found = told(called)
    assert (called.code, found["succeeded"], set(found["errors"])) == (1, 0, {"refused"})


def test_no_profile_of_nothing_keeps_nothing_else_back(call, tmp_path):
    (tmp_path / "row.json").write_text("{}")
    words = ("--rate", "50/s", "--duration", "300ms", "--payload", "row.json", "--save-profile", "profile.yaml")
    with faulty.refused() as port:
        called = call("load", f"http://127.0.0.1:{port}", *words, "--json", "load.json", "--prometheus", "load.prom")
        as_json = call("load", f"http://127.0.0.1:{port}", *words, "--json", "-")
    assert called.code == as_json.code == 1
    assert "report  " in called.out
    assert told(as_json)["succeeded"] == json.loads((tmp_path / "load.json").read_text())["succeeded"] == 0
    assert (tmp_path / "load.prom").read_text()
    assert not (tmp_path / "profile.yaml").exists()
    assert "--save-profile: no service times were measured" in called.err


@pytest.mark.parametrize("words", [(), ("--wait-ready", "300ms", "--payload", "row.json")])
def test_an_endpoint_that_does_not_answer_before_the_test_is_exit_code_3(call, tmp_path, words):
    (tmp_path / "row.json").write_text("{}")
    with faulty.refused() as port:
        called = call("load", f"http://127.0.0.1:{port}", "--rate", "50/s", *words)
    assert called.code == 3
    assert f"127.0.0.1:{port}" in called.err
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize("command", [("load", "--rate", "5/s"), ("capacity", "--slo", "p99 < 1s")])
def test_more_generators_than_a_machine_has_room_for_are_refused(call, command):
    called = call(*command, "http://127.0.0.1:1", "--workers", "100000")
    assert called.code == 2
    assert "--workers is 100000; on this machine of" in called.err


@pytest.mark.parametrize("command", [load, capacity])
def test_its_help_has_every_flag_once_in_the_section_it_belongs_to(call, command):
    text = call(command.name, "--help").out
    titles = re.findall(r"^([A-Z][A-Za-z ]+):$", text, re.MULTILINE)
    order = list(SECTIONS) if command is load else [title for title in SECTIONS if title in titles]
    assert titles[: len(order)] == order
    assert "Other" not in titles
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert len(re.findall(rf"^  (-\w, )?{parameter.opts[0]}\b(?!-)", text, re.MULTILINE)) == 1, parameter.opts


def test_several_targets_are_compared(call, url):
    with stand_in({"latency": {"constant": "20ms"}}) as slow:
        called = call("load", url, slow, "--weights", "3,1", "--rate", "200/s", "--duration", "1s", "--json", "-")
    found = told(called)
    fast, other = found["targets"]
    assert fast["sent"] + other["sent"] == found["sent"]
    assert other["latency_s"]["p50"] > 0.015 > fast["latency_s"]["p50"] or found["spoiled"]
    assert fast["ci95"]["p50"]


def test_a_test_that_is_going_badly_is_aborted(call, url):
    with stand_in({"error_rate": 1.0}) as bad:
        called = call(
            "load", bad, "--rate", "100/s", "--duration", "60s", "--abort-when", "error_rate > 50%", "--json", "-"
        )
    found = told(called)
    assert (called.code, found["status"]) == (1, "aborted")
    assert found["duration_s"] < 30
    assert found["errors"] == {"http_500": found["failed"]}


def test_a_ladder_of_one_s_own(call, url, tmp_path):
    ladder = tmp_path / "grades.yaml"
    ladder.write_text("grades:\n  - {grade: gold, success_rate: 50%, mean: 10s, p95: 10s, p99: 10s}\n")
    words = ("load", url, "--rate", "50/s", "--duration", "500ms", "--grades", "grades.yaml")
    found = told(call(*words, "--json", "-"))
    assert found["grade"] in {"gold", None}
    wrong = call(*words, "--min-grade", "A+")
    assert (wrong.code, wrong.err.strip()) == (2, "--min-grade is 'A+'; there are gold")
    ladder.write_text("grades:\n  - {grade: gold, success_rate: 50%, mean: 10, p95: 10s, p99: 10s}\n")
    assert "grades[0]: a duration has a unit: write 10s" in call(*words).err
    ladder.write_text("gold")
    assert "it is a list, best first, such as" in call(*words).err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "Missing argument"),
        (("http://127.0.0.1:1", "--rate", "5"), "--rate is '5'; a rate is a number per s"),
        (("ftp://127.0.0.1:1", "--rate", "5/s"), "ftp"),
        (("127.0.0.1:8080", "--rate", "5/s"), "127.0.0.1:8080 has no scheme; write http://127.0.0.1:8080"),
        (("http://127.0.0.1:1", "--rate", "5/s", "--method", "GET /"), "--method is 'GET /'; it is a word of letters"),
        (("http://192.0.2.1", "--rate", "5/s"), "--yes"),
        (("http://127.0.0.1:1", "--rate", "5/s", "--json", "-", "--csv", "-"), "cannot both be standard output"),
        (("http://127.0.0.1:1", "--rate", "5/s", "--json", "no/such.json"), "there is no folder no"),
        (("http://127.0.0.1:1", "--rate", "5/s", "--weights", "a,b"), "--weights is 'a,b'"),
        (("http://127.0.0.1:1", "--rate", "5/s", "--mlperf", "single-stream", "--payload", "row.json"), "--users 1"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2_with_the_remedy(call, tmp_path, words, message):
    (tmp_path / "row.json").write_text("{}")
    called = call("load", *words)
    assert called.code == 2
    assert message in called.err
    assert not (tmp_path / "reports").exists()


def test_targets_may_be_allowed_by_a_file_of_settings(call, tmp_path):
    (tmp_path / "row.json").write_text("{}")
    (tmp_path / "harness.toml").write_text('allow_targets = ["192.0.2.1"]\n')
    called = call("load", "http://192.0.2.1", "--rate", "500/s", "--payload", "row.json")
    assert "at most 100/s" in called.err


def test_a_token_never_stands_in_what_is_kept(call, url, tmp_path, monkeypatch):
    monkeypatch.setenv("MODEL_TOKEN", "s3cret-token")
    call(
        "load", url, "--rate", "50/s", "--duration", "300ms", "--token-env", "MODEL_TOKEN",
        "--header", "X-Key: an0ther-secret", "--json", "load.json",
    )  # fmt: skip
    kept = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(kept) >= 3
    for file in kept:
        assert b"s3cret" not in file.read_bytes(), file
        assert b"an0ther" not in file.read_bytes(), file


def test_interrupted_it_reports_what_there_is(url, tmp_path):
    program = [sys.executable, "-m", "harness", "load", url, "--rate", "50/s", "--duration", "60s", "--verbose"]
    running = subprocess.Popen(program, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    for line in running.stderr:
        if re.search(r"\d", line):
            break
    os.kill(running.pid, signal.SIGINT)
    out, _ = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Interrupted" in out
    events = read(next(tmp_path.glob("reports/load-*/2*/events.jsonl")))
    assert events.only(LoadEnded).status == "interrupted"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_whole_group_interrupted_while_generators_start(number, tmp_path):
    (tmp_path / "row.json").write_text("{}")
    with faulty.refused() as port:
        running = subprocess.Popen(
            [
                sys.executable, "-m", "harness", "load", f"http://127.0.0.1:{port}", "--rate", "50/s",
                "--duration", "60s", "--payload", "row.json", "--workers", "2", "--json", "load.json",
            ],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        while not (logs := list(tmp_path.glob("reports/load-*/2*/events.jsonl"))) or not logs[0].read_text():
            assert running.poll() is None
            Event().wait(0.01)
        os.killpg(running.pid, number)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in out + err
    ended = read(logs[0]).only(LoadEnded)
    assert (ended.status, ended.reason) == ("interrupted", f"stopped by {number.name}"), err
    assert json.loads((tmp_path / "load.json").read_text())["scheduled"] < 60 * 50


def test_mlperf_s_single_stream(call, url):
    called = call("load", url, "--users", "1", "--duration", "500ms", "--mlperf", "single-stream", "--json", "-")
    found = told(called)
    assert called.code == 1
    assert "it lasts 10m at least" in found["reason"]


def test_a_reader_that_goes_early_costs_no_file_and_hides_no_exit_code(url, tmp_path):
    (tmp_path / "row.json").write_text("{}")
    program = (
        f"{sys.executable} -m harness load {url}/nothing --rate 50/s --duration 500ms --payload row.json --csv load.csv"
    )
    shell = f"({program}; echo $? > code) | head -0"
    subprocess.run(["bash", "-c", shell], cwd=tmp_path, check=True, timeout=60, stderr=subprocess.DEVNULL)
    assert (tmp_path / "code").read_text().strip() == "1"
    assert (tmp_path / "load.csv").is_file()


def test_flags_of_the_other_loop_are_refused(call, tmp_path):
    (tmp_path / "row.json").write_text("{}")
    for words, told in (
        (("--rate", "5/s", "--think", "1s"), "--think is of a closed loop"),
        (("--users", "2", "--arrivals", "constant"), "--arrivals is of an open loop"),
        (("--rate", "5/s", "--stages", "0s:1/s,3s:2/s"), "--rate is one rate for the whole test"),
    ):
        called = call("load", "http://127.0.0.1:1", "--payload", "row.json", *words)
        assert called.code == 2
        assert told in called.err


def test_a_load_test_is_not_compared_with_itself(call, url):
    call("load", url, "--rate", "50/s", "--duration", "300ms", "--quiet")
    called = call("compare", "latest", "latest")
    assert called.code == 2
    assert "are the same run" in called.err


def test_a_short_search_for_capacity_says_what_it_knows(call, url, tmp_path):
    called = call(
        "capacity", url, "--slo", "p99 < 5s", "--most-rate", "20/s", "--trial", "4s", "--within", "1s", "--json", "-"
    )
    found = json.loads(called.out)
    assert called.code in {0, 1}
    assert found["status"] in {"wide", "unbounded", "generator"}
    assert found["knee"] is None
    assert Path(found["report"]).is_file()
    assert call("capacity", url, "--slo", "rate > 5/s").code == 2
