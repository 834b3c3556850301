"""`harness check` refuses what a run would refuse, before it runs, and tells all of it at its place."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness import app
from harness.app.notifiers import secrets
from harness.domain.real import RealPlan, RouterPlan
from harness.errors import HarnessError, ScenarioError
from tests.build import scenario as made_in_python

SCENARIOS = Path(__file__).parents[2] / "scenarios"
MAIN = SCENARIOS / "canary_regression.yaml"

WRONG = {
    "a parameter of the wrong type": (
        ["model.candidate.params={n_estimators: ten}"],
        "parameter of RandomForestClassifier must be an int",
    ),
    "a parameter out of range": (["model.candidate.params={n_estimators: -3}"], "Got -3 instead"),
    "a positive label that does not occur": (["model.data.positive=Yep"], "it holds 'No', 'Yes'"),
    "another target than the schema's": (["model.data.target=Contract"], "the target is Churn"),
    "a shift of categories": (
        ["inject.1.drift={column: Contract, shift: 1sd}"],
        "only a column of numbers can be shifted",
    ),
    "a swap of numbers": (["inject.1.drift={column: tenure, swap: [a, b]}"], "only two categories can be swapped"),
    "a category that does not occur": (
        ["inject.1.drift={column: Contract, swap: [Yearly, One year]}"],
        "it is one of Month-to-month, One year, Two year",
    ),
}
SUCCESSOR = "successors=[{{at: 35m, candidate: {{algorithm: random_forest{0}}}, inject: [{1}]}}]"
LATER = {
    "a successor that cannot be trained": (
        [SUCCESSOR.format(", params: {n_estimators: -3}", "")],
        "Got -3 instead",
    ),
    "a drift that befalls a successor": (
        [SUCCESSOR.format("", "{at: 40m, on: candidate, drift: {column: Contract, shift: 1sd}}")],
        "only a column of numbers can be shifted",
    ),
    "a class that asks rows that there are none of": (
        ["traffic.classes=[{name: web, share: 100%, rows: {Contract: Yearly}}]"],
        "no held-out row has Contract = Yearly, which web asks; they have Month-to-month, One year, Two year",
    ),
}


@pytest.mark.parametrize(("overrides", "told"), LATER.values(), ids=LATER)
def test_what_would_only_be_met_later_is_refused_beforehand_too(overrides: list[str], told: str) -> None:
    (only,) = problems(app.load_scenario(MAIN, overrides))
    assert told in only
    assert f"--set {overrides[0].partition('=')[0]}=" in only


def problems(scenario: object) -> list[str]:
    with pytest.raises(ScenarioError) as refused:
        app.check_references(scenario)  # type: ignore[arg-type]
    return [str(problem) for problem in refused.value.problems]


@pytest.mark.parametrize(("overrides", "told"), WRONG.values(), ids=WRONG)
def test_what_a_run_refuses_is_refused_beforehand(overrides: list[str], told: str, tmp_path: Path) -> None:
    scenario = app.load_scenario(MAIN, overrides)
    (only,) = problems(scenario)
    assert told in only
    with pytest.raises(HarnessError) as refused:
        app.rehearse(scenario, app.Options(reports=tmp_path, cache=False))
    assert told in str(refused.value)


def test_all_of_it_is_told_at_its_place() -> None:
    text = MAIN.read_text(encoding="utf-8").splitlines()
    wrong = app.load_scenario(
        MAIN,
        ["model.stable.params={C: -1}", "inject.0={at: 1m, on: all, drift: {column: Contract, shift: 1sd}}"],
    )
    told = problems(wrong)
    assert len(told) == 2
    assert any("--set inject.0=" in each and "Contract" in each for each in told)
    at = next(each for each in told if "logistic_regression" in each)
    line = int(at.split(":")[1])
    assert text[line - 1].strip().startswith("stable:")


def table(folder: Path, target: list[object]) -> Path:
    rows = pd.DataFrame({"x": np.arange(len(target)) / 7, "y": target})
    rows.to_csv(folder / "rows.csv", index=False)
    scenario = folder / "own.yaml"
    scenario.write_text(
        "harness: 1\nname: own\n"
        "model:\n"
        "  name: own\n"
        "  data: {source: rows.csv, target: y, positive: a}\n"
        "  stable: {algorithm: logistic_regression}\n"
        "  candidate: {algorithm: nearest_neighbours, params: {n_neighbors: 500}}\n"
        "traffic: {poisson: 10/s}\n"
        "rollout: {strategy: canary, steps: [{weight: 10%}, {pause: 1m}]}\n"
    )
    return scenario


def test_three_labels_are_not_two(tmp_path: Path) -> None:
    scenario = app.load_scenario(table(tmp_path, ["a", "b", "c"] * 50))
    assert any("must hold two labels, but holds 3: 'a', 'b', 'c'" in each for each in problems(scenario))


def test_text_without_a_positive_label_is_no_number(tmp_path: Path) -> None:
    path = table(tmp_path, ["a", "b"] * 50)
    overrides = ["model.stable.algorithm=ridge", "model.candidate={algorithm: ridge}"]
    path.write_text(path.read_text().replace(", positive: a", ""))
    told = problems(app.load_scenario(path, overrides))
    assert any("holds text; set model.data.positive" in each for each in told)


def test_what_only_some_rows_refuse_is_not_refused(tmp_path: Path) -> None:
    """Five hundred neighbours are more than the rows that are tried first, and fewer than there are."""
    scenario = app.load_scenario(table(tmp_path, ["a", "b"] * 500))
    found = app.check_references(scenario)
    assert "candidate can be trained: nearest_neighbours with n_neighbors" in str(found)


@pytest.mark.parametrize(("rate", "told"), [("100/s", 0), ("410/s", 2), ("500/s", 2)])
def test_servers_that_cannot_keep_up_are_told_beforehand(rate: str, told: int) -> None:
    """Sixteen slots of 35.8 ms (the lognormal's mean) serve 447/s: 500/s are too many, 410/s leave 8 % idle."""
    notes = app.check_references(app.load_scenario(MAIN, [f"traffic={{poisson: {rate}}}"])).notes
    assert len(notes) == told
    if told:
        assert "4 replicas of 4 slots serve 447/s" in notes[0]
        assert ("requests fail" in notes[0]) == (rate == "500/s")


def test_a_peak_counts_where_the_arm_has_its_traffic() -> None:
    """A burst that comes when the candidate has a tenth asks too much of stable alone."""
    steps = "traffic={steps: [{at: 0s, rate: 100/s}, {at: 5m, rate: 480/s}, {at: 6m, rate: 100/s}]}"
    notes = app.check_references(app.load_scenario(MAIN, [steps])).notes
    assert len(notes) == 1
    assert notes[0].startswith("stable is asked up to 432/s")


def test_an_alias_that_no_registry_can_know_is_refused() -> None:
    told = problems(app.load_scenario(MAIN, ["model.stable={registered: stable}"]))
    assert any("begins every run empty" in each for each in told)


def test_what_users_of_real_servers_cannot_meet_is_said_before_a_run() -> None:
    drift = ["inject=[{at: 5s, on: candidate, drift: {column: tenure, shift: 1sd}}]"]
    (only,) = problems(app.load_scenario(SCENARIOS / "local_canary.yaml", drift))
    assert "the rows of candidate alone cannot drift on real servers" in only
    app.check_references(app.load_scenario(SCENARIOS / "local_canary.yaml", [drift[0].replace("candidate", "all")]))


def test_who_reads_a_log_cannot_write_to_the_routers_webhook() -> None:
    hook, chat = "https://router.example/hooks/9f2c41", "https://chat.example/b7"
    told = replace(made_in_python(), notify=("log", chat), real=RealPlan(router=RouterPlan(webhook=hook)))
    assert secrets(told) == (chat, hook)
