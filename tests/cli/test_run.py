"""``harness run``: its results, exit codes and files, and that nothing but the seed changes an event."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import SCENARIOS, Called

Call = Callable[..., Called]
SMALL = """\
harness: 1
name: small
seed: 4
horizon: 30m
model:
  name: churn
  data: {{source: {data}/telco_churn.csv.gz, target: Churn, positive: "Yes", schema: {data}/telco_schema.yaml}}
  stable: {{algorithm: logistic_regression}}
  candidate: {{algorithm: logistic_regression, params: {{C: 0.5}}}}
  gates: [f1 >= {gate}]
traffic: {{poisson: 40/s}}
labels: {{delay: 1m, share: 50%}}
rollout:
  strategy: canary
  steps: [{{weight: 20%}}, {{pause: 3m}}, {{weight: 60%}}, {{pause: 3m}}]
  analysis: {{every: 30s, min_requests: 50, failure_limit: 1, rules: [error_rate <= stable + 2%]}}
inject: [{{at: 1m, on: candidate, errors: {errors}}}]
expect: [outcome == {expect}]
"""


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., Path]:
    """A small scenario, healthy unless told otherwise."""

    def write(errors: str = "0.1%", expect: str = "promoted", gate: str = "0.1") -> Path:
        path = tmp_path / "small.yaml"
        text = SMALL.format(data=(SCENARIOS / "data").as_posix(), errors=errors, expect=expect, gate=gate)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def digest(call: Call, path: Path, *words: str) -> str:
    called = call("run", path, "--json", "-", *words)
    assert called.code == 0, called.err
    found = json.loads(called.out)["scenarios"][0]["event_digest"]
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", found)
    return str(found)


def test_the_main_job(call: Call) -> None:
    called = call("run", SCENARIOS / "canary_regression.yaml", "--json", "-")
    assert called.code == 0
    suite = json.loads(called.out)
    assert (suite["version"], suite["passed"], suite["skipped"]) == (1, True, [])
    run = suite["scenarios"][0]
    assert run["outcome"] == "rolled_back"
    assert run["detected_after_s"] < 45 * 60
    assert run["candidate_share_max"] <= 0.25
    assert run["stable"] == "churn-prediction:1"
    assert run["candidate"] == "churn-prediction:2"
    assert all(gate["passed"] for gate in run["gates"])
    assert all(expectation["passed"] for expectation in run["expectations"])
    assert Path(run["event_log"]).is_file()
    assert "<html" in Path(run["report"]).read_text(encoding="utf-8")
    assert Path("reports/latest/events.jsonl").samefile(run["event_log"])


def test_an_expectation_that_is_not_met_is_exit_code_1_and_told(call: Call) -> None:
    called = call("run", SCENARIOS / "canary_regression.yaml", "--set", "expect.0=outcome == promoted")
    assert called.code == 1
    assert "outcome == promoted" in called.out
    assert "rolled_back" in called.out


def test_same_seed_same_digest_whatever_watches_or_cuts_it_and_another_for_another(
    call: Call, small: Callable[..., Path]
) -> None:
    path = small()
    first = digest(call, path)
    for words in ([], ["--live"], ["--no-live"], ["--window", "7s"], ["--window", "1m"], ["--no-cache"], ["--quiet"]):
        assert digest(call, path, *words) == first, words
    assert digest(call, path, "--seed", "5") != first


def test_several_scenarios_are_a_suite_and_workers_change_nothing(call: Call, small: Callable[..., Path]) -> None:
    paths = [small(), SCENARIOS / "gate_rejected.yaml"]

    def digests(*words: str) -> list[str]:
        called = call("run", *paths, "--json", "-", *words)
        assert called.code == 0, called.err
        return [run["event_digest"] for run in json.loads(called.out)["scenarios"]]

    assert digests() == digests("--workers", "2")


def test_a_report_made_anew_from_the_log_is_the_same_report(call: Call, small: Callable[..., Path]) -> None:
    made = json.loads(call("run", small("20%", "rolled_back"), "--json", "-").out)["scenarios"][0]
    page = Path(made["report"]).read_bytes()
    again = json.loads(call("report", "latest", "--json", "-").out)["scenarios"][0]
    assert Path(again["report"]).read_bytes() == page
    for place in ("event_log", "report"):
        assert Path(again.pop(place)).samefile(made.pop(place))
    assert again == made


def test_json_on_standard_output_stands_alone(call: Call, small: Callable[..., Path]) -> None:
    called = call("run", small(), "--json", "-")
    json.loads(called.out)
    assert "small" in called.err or not called.err


def test_a_refused_candidate_is_rejected_with_the_gate_that_said_no(call: Call, small: Callable[..., Path]) -> None:
    called = call("run", small(expect="rejected", gate="0.95"), "--json", "-")
    assert called.code == 0
    run = json.loads(called.out)["scenarios"][0]
    assert run["outcome"] == "rejected"
    assert run["requests"] == run["candidate_requests"] == 0
    assert [gate["passed"] for gate in run["gates"]] == [False]
    assert "f1" in run["reason"]


def test_wrong_input_is_exit_code_2_with_its_place(call: Call, small: Callable[..., Path]) -> None:
    path = small()
    path.write_text(path.read_text().replace("weight: 60%", "weight: 160%"))
    called = call("run", path)
    assert called.code == 2
    assert f"{path}:15:48: rollout.steps[2].weight" in called.err
    assert "160%" in called.err
    assert not Path("reports").exists()


def test_no_trace_of_a_secret_or_a_path_in_what_is_digested(call: Call, small: Callable[..., Path]) -> None:
    made = json.loads(call("run", small(), "--json", "-").out)["scenarios"][0]
    for line in Path(made["event_log"]).read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        event.pop("host", None)
        if event["event"] != "RunStarted":  # which carries the file's own text
            assert str(Path.cwd()) not in json.dumps(event)


def test_what_changes_nothing_changes_no_digest(call: Call, small: Callable[..., Path]) -> None:
    """Its own seed said again, a comment more: the same run."""
    path = small()
    found = [digest(call, path, "-q"), digest(call, path, "-q", "--seed", "4")]
    path.write_text(path.read_text() + "\n# a comment\n")
    assert {*found, digest(call, path, "-q")} == {found[0]}
