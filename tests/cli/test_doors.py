"""The commands that run nothing: help, check, plan, schema; and how the program answers what is wrong."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli import COMMANDS
from tests.cli.conftest import SCENARIOS, Called

Call = Callable[..., Called]
MAIN = SCENARIOS / "canary_regression.yaml"
SHIPPED = sorted(path.name for path in SCENARIOS.glob("*.yaml"))


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help_with_an_example(call: Call, command: str) -> None:
    called = call(command, "--help")
    assert called.code == 0
    assert f"harness {command}" in called.out
    assert "Example" in called.out


def test_a_misspelt_word_is_answered_with_the_nearest(call: Call) -> None:
    assert (called := call("rnu")).code == 2
    assert "'run'" in called.err
    assert (called := call("run", "--sed", "3")).code == 2
    assert "--seed" in called.err


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_scenarios_pass_the_check(call: Call, name: str) -> None:
    called = call("check", SCENARIOS / name)
    assert called.code == 0, called.err
    rows = {"drift": "45312 rows", "fairness": "32561 rows"}.get(name.partition("_")[0], "7043 rows")
    assert rows in called.out


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_scenarios_begin_with_what_they_teach(name: str) -> None:
    assert (SCENARIOS / name).read_text().startswith("# Teaches: ")


def test_check_tells_the_problems_of_all_files_at_once(call: Call, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text("harness: 1\nname: x\nseeed: 3\n")
    called = call("check", tmp_path)
    assert called.code == 2
    for name in ("one", "two"):
        assert f"{name}.yaml:3:1: " in called.err
    assert "seed" in called.err


def test_check_tells_programs_too(call: Call) -> None:
    called = call(
        "check", SCENARIOS / "gate_rejected.yaml", MAIN, "--set", "rollout.steps.0.weight=120%", "--json", "-"
    )
    assert called.code == 2
    told = json.loads(called.out)
    assert (told["valid"], len(told["scenarios"])) == (False, 2)
    problem = told["scenarios"][0]["problems"][0]
    assert problem["file"] == "--set rollout.steps.0.weight=120%"
    fine = json.loads(call("check", MAIN, "--json", "-", "--set", "traffic.poisson=500/s").out)
    assert fine["valid"] is True
    assert any("requests fail" in note for note in fine["scenarios"][0]["notes"])


def test_plan_foresees_the_timeline(call: Call) -> None:
    called = call("plan", MAIN)
    assert called.code == 0
    assert "promoted 2h0m30s after traffic began" in called.out
    assert "weight 25%" in called.out


def test_plan_says_which_looks_will_find_too_little(call: Call) -> None:
    called = call("plan", SCENARIOS / "canary_low_traffic.yaml")
    assert "too few to judge by" in called.out
    called = call("plan", SCENARIOS / "canary_low_traffic.yaml", "--json", "-")
    plan = json.loads(called.out)
    first = next(row for row in plan["rows"] if row["looks"])
    assert first["answers"] == pytest.approx(0.1 * 0.5 * 300, rel=0.01)


def test_schema_is_a_json_schema(call: Call) -> None:
    schema = json.loads(call("schema").out)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert {"harness", "model", "rollout", "inject", "expect"} <= set(schema["properties"])


@pytest.mark.parametrize("run", ["nothing", "latest"])
def test_a_run_that_is_not_there_is_said_so(call: Call, run: str) -> None:
    called = call("report", run)
    assert called.code == 2
    assert "no run" in called.err


def test_a_folder_without_scenarios_is_said_so(call: Call, tmp_path: Path) -> None:
    called = call("run", tmp_path)
    assert called.code == 2
    assert "no scenario below" in called.err
