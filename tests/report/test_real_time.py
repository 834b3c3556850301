"""A run on real time says how long it took, and a short one draws seconds."""

from dataclasses import replace

import pytest

from harness.report import html, plots
from harness.report.result import Result
from harness.report.terminal import cost
from tests.report.test_compare import golden


@pytest.fixture
def driven() -> Result:
    """A golden run, as if it had been driven."""
    return replace(golden("canary_regression"), clock="real")


def test_real_time_is_not_called_simulated(driven: Result) -> None:
    rehearsed = golden("canary_regression")
    assert {"simulated"} == {name for name, *_ in cost(rehearsed)} - {name for name, *_ in cost(driven)}
    assert "took (simulated)" in html.render(rehearsed)
    assert "simulated)" not in html.render(driven)


def test_a_run_of_less_than_three_minutes_has_seconds_on_its_axis(driven: Result) -> None:
    from_s = driven.traffic_from_s or 0.0
    short = replace(driven, simulated_s=from_s + 179)
    assert (plots.document(driven)["short"], plots.document(short)["short"]) == (False, True)
    assert "Minutes since users' traffic began" in html.render(driven)
    assert "Seconds since users' traffic began" in html.render(short)
