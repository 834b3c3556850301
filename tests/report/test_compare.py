"""Two runs side by side: totals and drift of each arm are those that each run's own log tells."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.domain.model import ARMS
from harness.log import read
from harness.report import compare, compare_page, fold, listing
from harness.report.result import Input, Result
from harness.report.sections import Section
from tests.golden.make import HERE
from tests.report.stories import C, S, long_canary
from tests.report.test_fold import promoted, rejected, rolled_back


def golden(name: str) -> Result:
    return fold(read(HERE / f"{name}.jsonl"), log_path=Path(f"{name}.jsonl"))


def section(title: str, a: Result, b: Result) -> Section:
    (found,) = [each for each in compare.compare(a, b).sections if each.title == title]
    return found


def column(name: str, stable: float, candidate: float) -> Input:
    return Input(name, ("any",), (1.0,), {S: (1.0,), C: (1.0,)}, {S: stable, C: candidate})


def test_the_totals_of_each_arm_are_those_of_each_run() -> None:
    a, b = golden("canary_healthy"), golden("canary_regression")
    rows = {f"{role}: {row.name}": row for role in ARMS for row in section(f"Totals of {role.value}", a, b).rows}
    assert (rows["candidate: arrived"].a, rows["candidate: arrived"].b) == ("478,118", "19,165")
    assert rows["candidate: arrived"].difference == f"−{478_118 - 19_165:,} (x{19_165 / 478_118:.3g})"
    assert (rows["candidate: p95"].a, rows["candidate: p95"].b) == ("80.2 ms", "102 ms")
    assert rows["candidate: accuracy"].difference == "−0.677 points"
    assert rows["stable: drift score"].difference == "+0.213"
    told = {
        (each["arm"], each["name"]): (each["a"], each["b"]) for each in compare.as_json(compare.compare(a, b))["totals"]
    }
    for role in ARMS:
        assert told[role.value, "bad"] == (a.totals[role].bad, b.totals[role].bad)
        assert told[role.value, "p99"] == tuple(each.totals[role].figures["p99"] for each in (a, b))
    assert not any(name in ("queue_length", "requests") for _, name in told)


def test_failures_are_told_by_kind_and_an_arm_without_requests_is_unknown() -> None:
    rows = {row.name: row for row in section("Totals of candidate", fold(rolled_back()), fold(rejected())).rows}
    assert (rows["failed: timeout"].a, rows["failed: timeout"].b) == ("120", "–")
    assert rows["failed: timeout"].difference == ""


def test_the_drift_of_columns_and_predictions_is_that_of_each_run() -> None:
    a, b = golden("canary_healthy"), golden("canary_regression")
    predictions, moved, calm = section("Drift of columns", a, b).rows
    assert (predictions.a, predictions.b) == ("candidate 0.00", "stable 0.17, candidate 0.10")
    assert (moved.name, moved.b, moved.difference) == ("TotalCharges", "stable 0.64, candidate 0.64", "candidate +0.64")
    assert (calm.name, calm.a, calm.b) == ("18 columns as before", "at most 0.00", "at most 0.04")
    told = compare.as_json(compare.compare(a, b))["drift"]
    assert told["predictions"]["b"] == {role.value: b.predictions[role].drift[role] for role in ARMS}
    for side, run in (("a", a), ("b", b)):
        for each in run.inputs:
            (found,) = [row[side] for row in told["columns"] if row["column"] == each.name]
            assert found == {role.value: drift for role, drift in each.drift.items()}


def test_a_column_of_one_run_alone_has_no_difference() -> None:
    a = replace(fold(rolled_back()), inputs=(column("x", 0.2, 0.3), column("y", 0.0, 0.05)), predictions={})
    b = replace(a, inputs=(column("z", 0.0, 0.6), column("x", 0.2, 0.5)))
    rows = [(row.name, row.a, row.b, row.difference) for row in section("Drift of columns", a, b).rows]
    assert rows == [
        ("z", "–", "stable 0.00, candidate 0.60", ""),
        ("x", "stable 0.20, candidate 0.30", "stable 0.20, candidate 0.50", "candidate +0.20"),
        ("1 column as before", "at most 0.05", "–", ""),
    ]


@pytest.mark.parametrize("other", [promoted, long_canary])
def test_every_form_shows_both_sections(other: object, capsys: pytest.CaptureFixture[str]) -> None:
    compared = compare.compare(fold(rolled_back()), fold(other()))  # type: ignore[operator]
    listing.show_comparison(compared, color=False)
    out, page = capsys.readouterr().out, compare_page.render(compared, Path("two.html"))
    for text in (
        "Totals of stable",
        "Totals of candidate",
        "Drift of columns",
        "arrived",
        "TotalCharges",
        "predictions",
    ):
        assert text in out
        assert text in page
    assert json.dumps(compare.as_json(compared), allow_nan=False)


def test_runs_without_traffic_have_neither_section() -> None:
    compared = compare.compare(fold(rejected()), fold(rejected()))
    titles = {each.title for each in compared.sections}
    assert titles == {"Cost", "Gates", "Expectations", "What was run"} & titles
    told = compare.as_json(compared)
    assert told["totals"] == []
    assert told["drift"] == {"predictions": {"a": None, "b": None}, "columns": []}
