"""Golden logs: yesterday's log gives yesterday's result, and the same scenario gives the same log."""

import json
from pathlib import Path

import pytest

from harness import app, log
from harness.domain.event import Decided, Measured
from harness.report import fold, html
from harness.report import json as report_json
from tests.golden.make import EXAMPLE, EXAMPLES, HERE, NAMES, environment

KNOWN = json.loads((HERE / "known.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_a_log_folds_to_the_result_it_folded_to(name: str) -> None:
    result = fold(log.read(HERE / f"{name}.jsonl"), log_path=Path(f"{name}.jsonl"))
    assert report_json.dumps(report_json.plain(result)) == (HERE / f"{name}.json").read_text(encoding="utf-8")
    assert result.event_digest == KNOWN["digests"][name]


def test_the_example_report_is_the_one_its_log_gives() -> None:
    result = fold(log.read(HERE / f"{EXAMPLE}.jsonl"), log_path=Path(f"{EXAMPLE}.jsonl"))
    assert html.render(result) == (EXAMPLES / f"{EXAMPLE}.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_a_run_gives_the_log_it_gave(name: str, tmp_path: Path) -> None:
    """Byte for byte where operating system, processor family and versions are those of the golden log.

    Elsewhere the last digit of a figure may differ, and the outcome and the verdicts may not.
    """
    scenario = app.load_scenario(HERE.parents[1] / "scenarios" / f"{name}.yaml")
    made = app.rehearse(scenario, app.Options(reports=tmp_path))
    golden = log.read(HERE / f"{name}.jsonl")
    events = log.Events(made.log.events)
    assert events.only(Decided).outcome is golden.only(Decided).outcome
    verdicts = [[(m.rule, m.verdict) for m in each.of(Measured)] for each in (events, golden)]
    assert verdicts[0] == verdicts[1]
    if environment() == KNOWN["environment"]:
        assert made.log.digest == KNOWN["digests"][name]
