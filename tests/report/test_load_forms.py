"""The forms of a load test: JSON as promised, CSV, JUnit, Markdown, Prometheus' text, a profile, and a terminal."""

import csv
import io
import json
import subprocess
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness.domain.load import SloVerdict
from harness.errors import InputError
from harness.report import (
    LoadResult,
    annotations,
    fold_capacity,
    fold_load,
    load_ci,
    load_csv,
    load_json,
    load_profile,
    load_prometheus,
    load_terminal,
)
from harness.report.load_words import capacity_headline, headline
from harness.scenario.profiles import read_profile
from harness.sim.laws import moments, quantile_of
from harness.stats.histogram import Histogram
from tests import requires
from tests.report.load_logs import URL, capacity_log, load_log, seconds_of


@pytest.fixture(scope="module")
def mixed() -> LoadResult:
    """A test with failures, requests that were not sent, targets, pieces, and an objective that was missed."""
    seconds = seconds_of(np.random.default_rng(1), 32, 500, fail=0.01, stall=12, limit=520)
    slos = (SloVerdict("p99 < 250ms", False, 0.75), SloVerdict("error_rate < 5%", True, 0.01))
    return fold_load(load_log(seconds, targets=True, stream=True, min_grade="A+", slos=slos))


# --- JSON -------------------------------------------------------------------------------------------------------------


def test_the_json_is_the_one_that_is_promised(mixed: LoadResult) -> None:
    """Every key of the interface, with its type; latencies in seconds, shares in 0..1."""
    told = json.loads(load_json.render(mixed))
    promised: dict[str, Any] = {
        "version": int, "url": str, "mode": str, "arrivals": str, "target_rate": float, "duration_s": float,
        "scheduled": int, "not_sent": int, "sent": int, "succeeded": int, "failed": int, "in_flight_at_stop": int,
        "errors": dict, "success_rate": float, "achieved_rate": float, "latency_s": dict, "service_time_s": dict,
        "send_lag_s": dict, "grade": str, "slo": list, "passed": bool,
    }  # fmt: skip
    assert {name: type(told[name]) for name in promised} == promised
    assert list(told["latency_s"]) == ["mean", "min", "p50", "p90", "p95", "p99", "p999", "max"]
    assert {"p50", "p99"} <= set(told["service_time_s"])
    assert {"p50", "p99", "max"} <= set(told["send_lag_s"])
    assert told["slo"][0] == {"text": "p99 < 250ms", "passed": False, "actual": 0.75}
    assert told["success_rate"] == pytest.approx(told["succeeded"] / told["scheduled"])
    assert told["achieved_rate"] == pytest.approx(told["succeeded"] / 30)
    assert set(told["errors"]) == {"http_503"}
    assert set(told["not_sent_kinds"]) == {"in_flight_limit"}
    assert told["next_grade"]["grade"] == "A+"
    assert "report" in told


def test_a_spoiled_grade_is_null_and_nothing_is_not_a_number() -> None:
    told = load_json.plain(fold_load(load_log(spoiled="late")))
    assert (told["grade"], told["spoiled"], told["passed"]) == (None, "late", False)
    nothing = json.loads(load_json.render(fold_load(load_log()[:1])))
    assert (nothing["success_rate"], nothing["latency_s"]["p99"], nothing["grade"]) == (None, None, None)


def test_a_closed_loop_has_users_and_no_rate() -> None:
    told = load_json.plain(
        fold_load(load_log(mode="closed", arrivals="", target_rate=None, users=64, think_ns=10**9, planned=()))
    )
    assert (told["mode"], told["arrivals"], told["target_rate"], told["users"], told["think_s"]) == (
        "closed", None, None, 64, 1.0,
    )  # fmt: skip


def test_the_json_of_a_search() -> None:
    told = json.loads(load_json.render(fold_capacity(capacity_log())))
    assert (told["low"], told["high"], told["status"], told["passed"]) == (750, 775, "found", True)
    assert [trial["held"] for trial in told["trials"]].count(None) == 1


# --- CSV --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [None, 20])
def test_the_lines_of_the_csv_add_up(cut: int | None) -> None:
    seconds = seconds_of(np.random.default_rng(3), 32, 300, fail=0.02, limit=310)
    result = fold_load(load_log(seconds)[:cut])
    rows = list(csv.DictReader(io.StringIO(load_csv.render(result))))
    measured = [row for row in rows if row["warmup"] == "0"]
    assert len(rows) - len(measured) == 2
    for name in ("scheduled", "sent", "succeeded", "failed", "not_sent"):
        assert sum(int(row[name]) for row in measured) == getattr(result.counts, name)
    assert sum(int(row["failed_http_503"]) for row in measured) == result.counts.failed
    assert sum(int(row["not_sent_in_flight_limit"]) for row in measured) == result.counts.not_sent
    assert all(float(row["p50"]) < float(row["p95"]) < float(row["p99"]) for row in rows)
    assert float(rows[5]["rate"]) == int(rows[5]["succeeded"])


# --- JUnit, Markdown, annotations -------------------------------------------------------------------------------------


def test_the_cases_of_the_junit(mixed: LoadResult) -> None:
    (suite,) = ET.fromstring(load_ci.junit(mixed))
    found = {case.get("name"): [child.tag for child in case] for case in suite.iter("testcase")}
    assert found == {
        load_ci.TRUSTED: [],
        load_ci.ORDERLY: [],
        "p99 < 250ms": ["failure"],
        "error_rate < 5%": [],
        "grade at least A+": ["failure"],
    }
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("5", "2", "0")


def test_what_cannot_be_trusted_is_an_error_and_what_was_not_judged_is_skipped() -> None:
    spoiled = ET.fromstring(load_ci.junit(fold_load(load_log(spoiled="late"))))
    assert [case.get("name") for case in spoiled.iter("testcase") if case.find("error") is not None] == [
        load_ci.TRUSTED
    ]
    cut = ET.fromstring(load_ci.junit(fold_load(load_log()[:9])))
    assert [case.get("name") for case in cut.iter("testcase") if case.find("error") is not None] == [load_ci.ORDERLY]
    assert len(list(cut.iter("skipped"))) == 2
    missed = ET.fromstring(load_ci.junit(fold_capacity(capacity_log(status="none"))))
    assert len(list(missed.iter("failure"))) == 1


def test_the_markdown_names_what_was_missed(mixed: LoadResult) -> None:
    told = load_ci.markdown(mixed)
    assert told.startswith("## ❌ Load test: http://127.0.0.1:8080/predict")
    assert "| ✗ | p99 &#60; 250ms | 750 ms |" in told
    assert "| HTTP 503 | failed |" in told
    for block in told.split("\n\n"):
        if block.startswith("|"):  # a table: as many cells in every line
            assert len({line.count("|") for line in block.strip().splitlines()}) == 1
    assert load_ci.markdown(fold_capacity(capacity_log())).startswith("## ✅ Capacity")


def test_the_notes_for_github(mixed: LoadResult) -> None:
    told = [annotations.command(problem, title, {}) for title, problem in load_ci.problems(mixed)]
    assert [line.split("::")[1].split("title=")[1] for line in told] == [
        "load-127.0.0.1-8080%3A p99 < 250ms",
        "load-127.0.0.1-8080%3A grade at least A+",
    ]
    assert not list(load_ci.problems(fold_load(load_log())))


# --- Prometheus -------------------------------------------------------------------------------------------------------


def test_prometheus_reads_the_metrics_and_their_histograms(mixed: LoadResult) -> None:
    families = {family.name: family for family in text_string_to_metric_families(load_prometheus.render(mixed))}
    requests = {
        sample.labels["fate"]: sample.value
        for sample in families["harness_load_requests"].samples
        if sample.name.endswith("_total")
    }
    assert requests["succeeded"] == mixed.counts.succeeded
    assert sum(requests.values()) == mixed.counts.scheduled
    latency = families["harness_load_latency_seconds"]
    assert latency.type == "histogram"
    by_name: dict[str, list[Any]] = {}
    for sample in latency.samples:
        by_name.setdefault(sample.name, []).append(sample)
    buckets = [(float(each.labels["le"]), each.value) for each in by_name["harness_load_latency_seconds_bucket"]]
    assert buckets == sorted(buckets)
    assert buckets[-1] == (float("inf"), mixed.latency.count)
    histogram = Histogram.from_dict(mixed.latency.histogram)
    for bound, number in buckets[:-1]:
        share = number / histogram.count
        if 0 < share < 1:  # the least that so many do not exceed lies at the bound, within the bucket's width
            assert histogram.quantile(share) / 1e9 <= bound
            assert histogram.quantile(min(1.0, share + 1 / histogram.count)) / 1e9 > bound
    assert by_name["harness_load_latency_seconds_sum"][0].value == pytest.approx(histogram.sum_ns / 1e9)
    met = {each.labels["slo"]: each.value for each in families["harness_load_slo_met"].samples}
    assert met == {"p99 < 250ms": 0, "error_rate < 5%": 1}
    assert "harness_load_grade_info" not in load_prometheus.render(fold_load(load_log(spoiled="late")))


def test_promtool_has_nothing_to_say(mixed: LoadResult) -> None:
    checked = subprocess.run(
        [requires.program("promtool"), "check", "metrics"],
        input=load_prometheus.render(mixed), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_a_name_that_prometheus_must_be_told_with_care() -> None:
    result = fold_load(load_log(name='a"b\\c\nd'))
    families = list(text_string_to_metric_families(load_prometheus.render(result)))
    assert families[0].samples[0].labels["test"] == 'a"b\\c\nd'


# --- profile ----------------------------------------------------------------------------------------------------------


def test_a_profile_gives_the_simulator_the_times_that_were_measured(tmp_path: Any) -> None:
    seconds = seconds_of(np.random.default_rng(4), 40, 1000, sigma=0.8)
    result = fold_load(load_log(seconds))
    file = tmp_path / "service.yaml"
    file.write_text(load_profile.profile_of(result), encoding="utf-8")
    law = read_profile(str(file))
    measured = np.concatenate([second.service_ns for second in seconds[2:]]) / 1e9
    assert moments(law)[0] == pytest.approx(measured.mean(), rel=0.005)
    assert moments(law)[1] == pytest.approx((measured**2).mean(), rel=0.03)
    drawn = quantile_of(law)(np.array([0.5, 0.1, 0.05, 0.01, 0.001]))
    assert drawn == pytest.approx(np.quantile(measured, [0.5, 0.9, 0.95, 0.99, 0.999]), rel=0.02)
    assert load_profile.profile_of(fold_load(load_log(seconds))) == file.read_text(encoding="utf-8")
    assert "2026" not in file.read_text(encoding="utf-8")


def test_without_answers_there_is_no_profile() -> None:
    with pytest.raises(InputError, match="no service times were measured"):
        load_profile.profile_of(fold_load(load_log()[:9]))


# --- words ------------------------------------------------------------------------------------------------------------


def shown(result: Any, **options: Any) -> str:
    out = io.StringIO()
    load_terminal.show(result, file=out, **options)
    return out.getvalue()


def test_the_terminal_tells_what_decides(mixed: LoadResult) -> None:
    lines = shown(mixed, color=False)
    told = " ".join(lines.split())
    decides = (
        URL,
        "✗ not passed",
        "A, and not A+: success rate",
        "1 of 2 objectives met",
        "At least A+",
        "p99 < 250ms",
    )
    for part in (*decides, "HTTP 503", "in flight limit", "blue", "95 %", "service time"):
        assert part in told
    assert "Plan and limits" not in told
    assert "max connections" in shown(mixed, verbose=True)
    assert max(map(len, lines.splitlines())) <= 100
    assert "\x1b" not in told


@pytest.mark.parametrize(
    ("events", "sentence"),
    [
        (load_log(spoiled="too busy"), "Not graded, for the figures cannot be trusted: too busy."),
        (load_log()[:9], "Cut off after 6 s of 30 s."),
        (load_log()[:1], "Nothing was measured."),
        (load_log(status="interrupted"), "Interrupted after 30 s of 30 s."),
        (load_log(), "Grade A+."),
    ],
)  # fmt: skip
def test_the_headline_begins_with_what_matters_most(events: Any, sentence: str) -> None:
    result = fold_load(events)
    assert sentence in headline(result)
    assert sentence.split(".", maxsplit=1)[0] in " ".join(shown(result, color=False).split())


@pytest.mark.parametrize(
    ("status", "begins"),
    [("found", "Capacity found"), ("generator", "The generator gave out"), ("none", "Not even the lowest rate held")],
)
def test_a_search_in_words(status: str, begins: str) -> None:
    result = fold_capacity(capacity_log(status=status))
    assert capacity_headline(result).startswith(begins)
    told = " ".join(shown(result, color=False).split())
    assert "750/s to 775/s" in told
    assert "6 held, 3 did not, 1 spoiled" in told
