"""Gates that are no rules: what is read, and what is wrong told with place, value and remedy."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness.domain.analysis import Op
from harness.domain.gates import (
    Against,
    Fairness,
    GatePlan,
    History,
    Judge,
    Latency,
    Limit,
    ModelCard,
    NoRegression,
    Report,
    Robustness,
    Security,
    Size,
    Undecided,
)
from harness.errors import Problem
from harness.gates.reports import READERS
from harness.gates.table import GATES
from harness.scenario import json_schema
from harness.scenario.gateplans import PLANS
from harness.scenario.gating import BOUNDED, SHARES, GateInput
from harness.scenario.gating import READERS as WORDS

Problems = Callable[..., Sequence[Problem]]
RULES = "    - f1 >= 0.55\n"


def gated(valid: str, gate: str) -> str:
    return valid.replace(RULES, f"{RULES}    - {gate}\n")


def le(value: float, text: str) -> Limit:
    return Limit(Op.LE, value, text)


def lt(value: float, text: str) -> Limit:
    return Limit(Op.LT, value, text)


READ: list[tuple[str, GatePlan]] = [
    (
        '{fairness: {column: plan, demographic_parity: "<= 10%", equalised_odds: "<= 0.15", judge: interval}}',
        Fairness(
            ("plan",),
            {"demographic_parity": le(0.1, "<= 10%"), "equalised_odds": le(0.15, "<= 0.15")},
            Judge.INTERVAL,
        ),
    ),
    (
        '{fairness: {columns: [plan, age], equal_opportunity: "<= 5%", min_rows: 9, level: 10%, resamples: 50}}',
        Fairness(("plan", "age"), {"equal_opportunity": le(0.05, "<= 5%")}, Judge.POINT, 0.1, 9, 50),
    ),
    ("{no_regression: {metric: accuracy}}", NoRegression("accuracy")),
    (
        "{no_regression: {metric: auc, level: 1%, margin: 1%, undecided: fail, resamples: 10}}",
        NoRegression("auc", 0.01, 0.01, Undecided.FAIL, 10),
    ),
    (
        "{history: {metric: log_loss, against: median, last: 3, margin: 0.02, same_data: true}}",
        History("log_loss", Against.MEDIAN, 3, 0.02, same_data=True),
    ),
    (
        '{latency: {p50: "< 20ms", batch: "<= 1s", batch_rows: 10, repeats: 5, rounds: 1}}',
        Latency({"p50": lt(0.02, "< 20ms"), "batch": le(1.0, "<= 1s")}, 10, 5, 1),
    ),
    ('{size: "< 5MB"}', Size(lt(5e6, "< 5MB"))),
    ("{robustness: {metric: f1, drop: 2%}}", Robustness("f1", 0.02)),
    (
        "{robustness: {metric: f1, drop: 0.1, noise: 0.5sd, missing: 0%, unknown: 1%, extreme: 2%}}",
        Robustness("f1", 0.1, 0.5, 0.0, 0.01, 0.02),
    ),
    ("{security: {}}", Security()),
    (
        "{security: {allow: [mine.Type], max_size: 10MB, pickles: true}}",
        Security(("mine.Type",), 10_000_000, pickles=True),
    ),
]


@pytest.mark.parametrize(("text", "plan"), READ, ids=[text for text, _ in READ])
def test_a_gate_is_read(valid: str, load: Any, text: str, plan: GatePlan) -> None:
    model = load(gated(valid, text)).model
    assert model.checks == (plan,)
    assert [rule.text for rule in model.gates] == ["f1 >= 0.55", "accuracy >= stable - 1%"]


def test_files_are_relative_to_the_scenario_and_need_not_be_there(valid: str, load: Any) -> None:
    text = "{model_card: docs/CARD.md}\n    - {report: {file: c.json, reader: json, value: $.a, bound: '>= 80'}}"
    scenario = load(gated(valid, text + "\n    - {report: {file: j.xml, reader: junit, max_age: 1d}}"))
    folder = Path(scenario.path).parent
    card, figure, tests = scenario.model.checks
    assert card == ModelCard(str(folder / "docs" / "CARD.md"))
    assert figure == Report(str(folder / "c.json"), "json", Limit(Op.GE, 80.0, ">= 80"), "$.a")
    assert tests == Report(str(folder / "j.xml"), "junit", Limit(Op.EQ, 0.0, "== 0"), "", 86_400 * 10**9)


WRONG = [
    ('{fairness: {column: plna, equalised_odds: "<= 1%"}}', "nearest: plan"),
    ('{fairness: {column: churn, equalised_odds: "<= 1%"}}', "column names the target"),
    ('{fairness: {equalised_odds: "<= 1%"}}', "fairness names one of column and columns"),
    ('{fairness: {column: plan, columns: [plan], equalised_odds: "<= 1%"}}', "names one of column and columns"),
    ("{fairness: {column: plan}}", "fairness asks for nothing; bound one of demographic_parity, "),
    ('{fairness: {column: plan, mean_error: "<= 1"}}', "mean_error is no figure of a classification"),
    ("{fairness: {column: plan, equalised_odds: 10%}}", 'a bound is a comparison and a figure, in quotes: "<= 10%"'),
    ('{fairness: {column: plan, equalised_odds: "<= 10"}}', "a share is from 0% to 100%"),
    ('{fairness: {column: plan, equalized_odds: "<= 1%"}}', "no such key; nearest: equalised_odds"),
    ('{fairness: {column: plan, equalised_odds: "<= 1%", judge: both}}', "allowed: point, interval"),
    ("{no_regression: {}}", "metric is missing; such as metric: accuracy"),
    ("{no_regression: {metric: p95}}", "p95 is not measured there"),
    ("{no_regression: {metric: rmse}}", "rmse is measured of a regression"),
    ("{no_regression: {metric: f1, margin: 5}}", "f1 is a share, so this is at most 100%"),
    ("{no_regression: {metric: f1, margin: -1%}}", "this is a percentage, or a number in the metric's unit"),
    ("{no_regression: {metric: f1, level: 60%}}", "a test has a level below 50%"),
    ("{history: {metric: f1, against: worst}}", "allowed: best, median"),
    ("{latency: {}}", "latency asks for nothing; bound one of p50, "),
    ('{latency: {p50: "< 20"}}', "a duration has a unit: write 20s"),
    ('{size: "< 5"}', "a size is a number with a unit: 800kB, 5MB or 1GiB"),
    ("{robustness: {metric: f1}}", "drop is missing; such as drop: 2%"),
    ("{robustness: {metric: f1, drop: 1%, noise: 0sd, missing: 0%, unknown: 0%, extreme: 0%}}", "does nothing"),
    ("{robustness: {metric: f1, drop: 1%, noise: -1sd}}", "noise is 0sd or more"),
    ("{security: {max_size: big}}", "a size is a number with a unit"),
    ("{model_card: 3}", "this is the path of a file"),
    ("{report: {file: a, reader: html}}", "allowed: bandit, cobertura, coverage, json, junit, safety"),
    ("{report: {file: a, reader: coverage}}", 'report lacks bound; such as bound: ">= 80%"'),
    ("{report: {file: a, reader: json, bound: '>= 80'}}", "report lacks value: where in the JSON"),
    ("{report: {file: a, reader: junit, value: $.a}}", "value belongs with reader: json"),
    ("{report: {file: a, reader: coverage, bound: '>= 80'}}", "a share is from 0% to 100%"),
    ("{securty: {}}", "no such key; nearest: security"),
    ("{security: {}, size: '< 1MB'}", "size stands beside security; exactly one of"),
    ("{}", "lacks one of fairness, no_regression"),
    ("{security: }", "give it a value, or leave the key out"),
    ("[f1 >= 0.5]", "a rule is a text, METRIC OP BOUND"),
]


@pytest.mark.parametrize(("gate", "told"), WRONG, ids=[gate for gate, _ in WRONG])
def test_what_is_wrong_is_told_with_its_place(valid: str, problems: Problems, gate: str, told: str) -> None:
    text = gated(valid, gate)
    found = problems(text)
    assert any(told in problem.message for problem in found), [problem.message for problem in found]
    line = text.splitlines().index(f"    - {gate}") + 1
    assert all((problem.line, problem.message[:14]) == (line, "model.gates[1]"[:14]) for problem in found)


def test_what_is_judged_on_rows_needs_a_data_set(valid: str, problems: Problems) -> None:
    without = "".join(line for line in valid.splitlines(keepends=True) if "  data:" not in line)
    found = problems(gated(without, '{latency: {p50: "< 1s"}}'))
    assert any(each.message == "model.gates[1].latency is judged on held-out rows; add model.data" for each in found)


def test_editors_know_every_gate() -> None:
    known = json_schema()["$defs"]
    document = {"$defs": known, **known["ModelInput"]["properties"]["gates"]}
    good = ["f1 >= 0.5", {"size": "< 5MB"}, {"fairness": {"column": "sex", "equalised_odds": "<= 10%"}}]
    jsonschema.validate(good, document)
    for bad in ({"sise": "< 5MB"}, {"size": "< 5MB", "security": {}}, {"fairness": {"colum": "sex"}}, 3):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate([bad], document)


def test_words_plans_and_judges_are_the_same() -> None:
    assert sorted(PLANS) == sorted(GateInput.ONE_OF) == sorted(name for name, _ in GATES.values())
    assert set(WORDS) == set(READERS)
    assert {name: reader.bound for name, reader in READERS.items() if reader.bound} == BOUNDED
    assert {name for name, reader in READERS.items() if reader.measure == "share"} == set(SHARES)


@pytest.mark.parametrize(
    "gate",
    [
        "{no_regression: {metric: accuracy, resamples: 100001}}",
        '{fairness: {column: plan, demographic_parity: "<= 10%", resamples: 100001}}',
        '{latency: {p50: "< 20ms", repeats: 100001}}',
        '{latency: {p50: "< 20ms", rounds: 100001}}',
        '{latency: {batch: "< 20ms", batch_rows: 100001}}',
    ],
)
def test_more_times_than_tell_anything_are_refused(valid: str, problems: Problems, gate: str) -> None:
    (found,) = problems(gated(valid, gate))
    assert " is 100001; this is a whole number from 1 to 100000" in str(found)
