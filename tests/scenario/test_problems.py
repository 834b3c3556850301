"""Every kind of wrong scenario file: its exact place, the value that is wrong, and what to write instead.

In what replaces a part of the valid scenario, `^` marks the place where the problem is to be told.
"""

import dataclasses

import pytest

from harness import scenario
from harness.domain.model import Task
from harness.errors import ScenarioError

KINDS = {
    # --- YAML ---
    "not YAML": ("seed: 7", "seed: a^: 7", "not YAML: mapping values are not allowed here"),
    "a tab": ("  replicas: 4", "^\treplicas: 4", "a tab stands here; YAML is indented with spaces"),
    "a key twice": ("clock: virtual", "clock: virtual\n^seed: 8", "the key seed stands here twice; first on line 4"),
    "a second document": ("expect:", "^---\nexpect:", "a second document begins here; a scenario is one document"),
    "an alias of nothing": ("seed: 7", "seed: ^*lucky", "the alias *lucky names nothing; &lucky comes first"),
    "an odd tag": ("seed: 7", "seed: ^!lucky 7", "the tag !lucky means nothing in a scenario; leave it out"),
    "a key that is a list": ("seed: 7", "? ^[a]\n: 7", "a list or mapping stands where a key should; a key is a word"),
    "a control character": ("seed: 7", "seed: ^\x07", "the character U+0007 may not stand in YAML"),
    # --- keys ---
    "an unknown key": ("horizon: 4h", "^hoizon: 4h", "hoizon: no such key; nearest: horizon; allowed: harness, name, "),
    "an unknown key further in": (
        "    failure_limit: 2",
        "    ^failures: 2",
        "rollout.analysis.failures: no such key; nearest: failure_limit; allowed: every, window, min_requests, ",
    ),
    "a key that YAML 1.1 reads as true": (
        "ramp: 5m}",
        "^yes: 5m}",
        "inject[0].yes: no such key; allowed: at, until, ramp, on, ",
    ),
    "a missing key": ("  strategy: canary\n", "", "rollout.strategy is missing; such as strategy: canary"),
    "a missing key of a flow mapping": (
        "{delay: 15m, share: 30%}",
        "{share: 30%}",
        "labels.delay is missing; such as delay: 15m",
    ),
    "a number in quotes": ("queue: 100", "queue: ^'100'", 'service.queue is "100"; this is a whole number from 0 to '),
    "a text that would steer a terminal": (
        "description: Slower",
        'description: ^"\\e[31m" #',
        "a text has no control characters",
    ),
    "an empty value": ("timeout: 1s", "^timeout:", "service.timeout is empty; give it a value, or leave the key out"),
    "an empty word": ("clock: virtual", "^clock:", "clock is empty; allowed: virtual, real"),
    "an empty section": (
        "labels: {delay: 15m, share: 30%}",
        "^labels: # later",
        "labels is empty; give it a value, or leave the key out",
    ),
    # --- shapes ---
    "a list for a mapping": (
        "labels: {delay: 15m, share: 30%}",
        "labels: ^[15m, 30%]",
        "labels is [15m, 30%]; a mapping belongs here, with the keys delay, share",
    ),
    "a word for a mapping": (
        "traffic: {poisson: 100/s}",
        "traffic: ^fast",
        "traffic is fast; a mapping belongs here, ",
    ),
    "a mapping for a list": (
        "steps: [{weight: 10%}, {pause: 30m}, {weight: 50%}, {pause: 30m}]",
        "steps: ^{weight: 10%}",
        "rollout.steps is a mapping of weight; a list belongs here",
    ),
    "a list for a word": ("name: canary-regression", "name: ^[a]", "name is [a]; a name has letters, digits, - and _"),
    # --- numbers ---
    "a share above the whole": (
        "{weight: 50%}",
        "{weight: ^120%}",
        "rollout.steps[2].weight is 120%; a weight is a share from 0% to 100%",
    ),
    "a share without its sign": (
        "{weight: 50%}",
        "{weight: ^50}",
        "rollout.steps[2].weight is 50; a weight is a share from 0% to 100%; write 50%",
    ),
    "a share with a space": ("share: 30%", "share: ^30 %", 'labels.share is "30 %"; write 30%, without the space'),
    "a share too fine": (
        "{weight: 50%}",
        "{weight: ^0.001%}",
        "rollout.steps[2].weight is 0.001%; weights go in steps",
    ),
    "a share of nothing": ("share: 30%", "share: ^0%", "labels.share is 0%; this share is above 0%"),
    "all rows held out": (
        "test_share: 25%",
        "test_share: ^1.0",
        "model.data.test_share is 1.0; this share is below 100%",
    ),
    "a duration without a unit": (
        "timeout: 1s",
        "timeout: ^1",
        "service.timeout is 1; a duration has a unit: write 1s, 1m or 1h",
    ),
    "a duration with a space": ("timeout: 1s", "timeout: ^5 m", 'service.timeout is "5 m"; write 5m'),
    "a duration spelt out": ("timeout: 1s", "timeout: ^5min", "service.timeout is 5min; write 5m"),
    "a duration below zero": ("timeout: 1s", "timeout: ^-1s", "service.timeout is -1s; a duration is never negative"),
    "a duration of nothing": ("timeout: 1s", "timeout: ^0s", "service.timeout is 0s; this duration is longer than 0s"),
    "a duration in wrong order": (
        "timeout: 1s",
        "timeout: ^1s1m",
        "service.timeout is 1s1m; the units of a duration go",
    ),
    "a horizon of months": ("horizon: 4h", "horizon: ^31d", "horizon is 31d; a run lasts at most 30d"),
    "a duration of ages": ("horizon: 4h", "horizon: ^1001d", "horizon is 1001d; a duration is at most 1000d"),
    "a rate without its unit": (
        "{poisson: 100/s}",
        "{poisson: ^100}",
        "traffic.poisson is 100; a rate is a number per s, m or h: 200/s, 12000/m or 3600/h; write 100/s",
    ),
    "gaps that vary too much": (
        "{poisson: 100/s}",
        "{gamma: {rate: 100/s, cv: ^21}}",
        "traffic.gamma.cv is 21; this is a number from 0.01 to 20; 1 is Poisson",
    ),
    "gaps that vary as text": (
        "{poisson: 100/s}",
        "{gamma: {rate: 100/s, cv: ^x2}}",
        "traffic.gamma.cv is x2; this is a number from 0.01 to 20",
    ),
    "a rate of nothing": ("{poisson: 100/s}", "{poisson: ^0/s}", "traffic.poisson is 0/s; this rate is above 0/s"),
    "a negative seed": ("seed: 7", "seed: ^-7", "seed is -7; a seed is a whole number from 0 to "),
    "a seed with a fraction": ("seed: 7", "seed: ^7.5", "seed is 7.5; a seed is a whole number from 0 to "),
    "a number beyond measure": ("seed: 7", "seed: ^1e400", "seed is 1e400; a seed is a whole number from 0 to "),
    "no replicas": ("replicas: 4", "replicas: ^0", "service.replicas is 0; this is a whole number from 1 to 1000"),
    "a truth for a number": ("queue: 100", "queue: ^true", "service.queue is true; this is a whole number from 0 to "),
    "a factor without x": (
        "latency: x1.8",
        "latency: ^1.8",
        "inject[0].latency is 1.8; latency is multiplied or added",
    ),
    "a shift without sd": (
        "1.5sd",
        "^1.5",
        "inject[1].drift.shift is 1.5; a shift is a number of standard deviations: ",
    ),
    "a parameter that is no number": ("C: 1.0", "C: ^.nan", "model.stable.params.C is .nan; a parameter is a finite"),
    # --- words ---
    "a name for no folder": ("canary-regression", "^../x", "name is ../x; a name has letters, digits, - and _"),
    "an unknown word": (
        "clock: virtual",
        "clock: ^virtul",
        "clock is virtul; nearest: virtual; allowed: virtual, real",
    ),
    "an unknown strategy": (
        "canary\n  steps",
        "^canry\n  steps",
        "rollout.strategy is canry; nearest: canary; allowed: ",
    ),
    "an unknown algorithm": (
        "random_forest",
        "^random_forrest",
        "model.candidate.algorithm is random_forrest; nearest: random_forest; allowed: linear_regression, logistic_",
    ),
    "a backend that is not installed": (
        "registry: memory",
        "registry: ^mlfow",
        "backends.registry is mlfow; nearest: mlflow; installed: memory, mlflow",
    ),
    "a text that is none": (
        "description: Slower",
        "description: ^5 #",
        "description is 5; this is a text; put quotes ",
    ),
    "a label that is a truth": (
        '"Yes"',
        "^true",
        "model.data.positive is true; this is a word of the data set; put quotes",
    ),
    # --- versions ---
    "an older version": ("harness: 1", "harness: ^0", "harness is 0; this program reads version 1: harness: 1"),
    "a newer version": ("harness: 1", "harness: ^2", "harness is 2; this program reads version 1: install a newer one"),
    "no scenario at all": (
        "harness: 1\nname",
        "^name",
        "harness is missing; only a file with the key harness: 1 is a ",
    ),
    # --- files ---
    "a missing data file": (
        "data/churn.csv",
        "^data/chrn.csv",
        "model.data.source is data/chrn.csv; no such file; paths are relative to the scenario file",
    ),
    "a data file of no kind": (
        "data/churn.csv",
        "^data/schema.yaml",
        "model.data.source is data/schema.yaml; this file ends",
    ),
    "a missing schema": (
        "data/schema.yaml",
        "^data/s.yaml",
        "model.data.schema is data/s.yaml; no such file; paths are",
    ),
    "a model of no kind": (
        "{algorithm: logistic_regression, params: {C: 1.0}}",
        "{artifact: ^data/churn.csv}",
        "model.stable.artifact is data/churn.csv; this file ends in .skops",
    ),
    "a target that is no column": (
        "target: churn",
        "target: ^chrn",
        "model.data.target is chrn; the data set has no such column; nearest: churn; its columns: age, ",
    ),
    "a drift of no column": (
        "column: charges",
        "column: ^chrges",
        "inject[1].drift.column is chrges; the data set has no",
    ),
    "a drift of the target": (
        "column: charges",
        "column: ^churn",
        "inject[1].drift.column is churn; it is the target; ",
    ),
    # --- rules ---
    "a rule about nothing": (
        "- accuracy >= stable - 5%",
        "- ^accuray >= stable - 5%",
        'rollout.analysis.rules[2] is "accuray >= stable - 5%"; no metric is called accuray; nearest: accuracy; ',
    ),
    "a rule, further in": (
        "- p95 <= stable * 1.5",
        "- p95 <= stable * 1.5 and ^latency < 1s",
        "rollout.analysis.rules[1] is",
    ),
    "a rule in quotes": (
        "- p95 <= stable * 1.5",
        '- "p95 <= ^20%"',
        'rollout.analysis.rules[1] is "p95 <= 20%"; p95 is a time; write 250ms, or a multiple ',
    ),
    "a rule over two lines": ("- p95 <= stable * 1.5", "- ^p95 <=\n          20%", "rollout.analysis.rules[1] is"),
    "a rule that is a mapping": (
        "- f1 >= 0.55",
        "- ^f1: 0.55",
        "model.gates[0].f1: no such key; allowed: fairness, no_regression, history",
    ),
    "a rule that is a number": (
        "- f1 >= 0.55",
        "- ^0.55",
        "model.gates[0] is 0.55; a rule is a text, METRIC OP BOUND, ",
    ),
    "an empty rule": ("- f1 >= 0.55", "- ^''", 'model.gates[0] is ""; a rule is METRIC OP BOUND, such as '),
    "a rule twice": ("- p95 <= stable * 1.5", "- ^error_rate <= stable + 2%", "rollout.analysis.rules[1] is"),
    "a gate about traffic": (
        "- f1 >= 0.55",
        "- ^p95 <= 1s",
        'model.gates[0] is "p95 <= 1s"; a gate judges held-out rows',
    ),
    "a rule for the end": ("- p95 <= stable * 1.5", "- ^outcome == promoted", "rollout.analysis.rules[1] is"),
    "a metric of a shadow": ("- p95 <= stable * 1.5", "- ^agreement > 99%", "rollout.analysis.rules[1] is"),
    "a metric of a load test": (
        "- detected_after < 45m",
        "- ^grade >= B",
        'expect[1] is "grade >= B"; grade is only given',
    ),
    "an outcome misspelt": (
        "outcome == rolled_back",
        "outcome == ^roled_back",
        'expect[0] is "outcome == roled_back"; roled_back is no outcome; nearest: rolled_back; allowed: promoted, ',
    ),
    "a metric of another task": (
        "- f1 >= 0.55",
        "- ^rmse <= 3",
        'model.gates[0] is "rmse <= 3"; rmse is measured of a re',
    ),
    "no rule at all": (
        "    rules:\n      - error_rate <= stable + 2%\n      - p95 <= stable * 1.5\n      - accuracy >= stable - 5%\n",
        "    rules: ^[]\n",
        "rollout.analysis.rules is an empty list; at least one rule, such as error_rate <= stable + 2%",
    ),
    # --- what does not fit together ---
    "two of what is one": (
        "{poisson: 100/s}",
        "{poisson: 100/s, ^constant: 100/s}",
        "traffic.constant stands beside poisson; exactly one of constant, poisson, gamma, ramp, steps, daily",
    ),
    "none of what is one": (
        "{pause: 30m}, {weight: 50%}",
        "^{}, {weight: 50%}",
        "rollout.steps[1] lacks one of weight, pause",
    ),
    "two kinds of source": (
        "algorithm: random_forest",
        "algorithm: random_forest, ^registered: stable",
        "model.candidate.registered stands beside algorithm; exactly one of algorithm, experiments",
    ),
    "a key without predictions": (
        "algorithm: random_forest",
        "algorithm: random_forest, ^key: charges",
        "model.candidate.key belongs with predictions; add that, or leave this out",
    ),
    "predictions without a key": (
        "{algorithm: logistic_regression, params: {C: 1.0}}",
        "{^predictions: data/churn.csv, column: churn}",
        "model.stable.predictions belongs with key and column; add key",
    ),
    "predictions with parameters": (
        "{algorithm: logistic_regression, params: {C: 1.0}}",
        "{predictions: data/churn.csv, key: charges, column: churn, ^params: {C: 1.0}}",
        "model.stable.params belongs to algorithm; a model that is brought takes none",
    ),
    "a score that the predictions lack": (
        "{algorithm: logistic_regression, params: {C: 1.0}}",
        "{predictions: data/churn.csv, key: charges, column: churn, score: ^charge}",
        "model.stable.score is charge; the predictions have no such column; ",
    ),
    "parameters of what is brought": (
        "{algorithm: logistic_regression, params: {C: 1.0}}",
        "{registered: stable, ^params: {C: 1.0}}",
        "model.stable.params belongs to algorithm; a model that is brought takes none",
    ),
    "two effects": (
        "latency: x1.8",
        "latency: x1.8, ^errors: 5%",
        "inject[0].errors stands beside latency; exactly one of",
    ),
    "a weight that falls": (
        "{weight: 50%}",
        "{weight: ^5%}",
        "rollout.steps[2].weight is 5%; after 10%, weights never fall in a rollout",
    ),
    "a weight twice": (
        "{weight: 50%}",
        "{weight: ^0.1}",
        "rollout.steps[2].weight is 0.1; after 10%, as it was before; ",
    ),
    "no weight": (
        "steps: [{weight: 10%}, {pause: 30m}, {weight: 50%}, {pause: 30m}]",
        "^steps: [{pause: 1h}]",
        "rollout.steps has no weight; the candidate would get no traffic: {weight: 10%}",
    ),
    "a policy beyond the horizon": (
        "  steps: [{weight: 10%}, {pause: 30m}",
        "  ^steps: [{weight: 10%}, {pause: 4h}",
        "rollout.steps takes 4h30m after 20m for the models, longer than the horizon 4h",
    ),
    "a median above the p99": (
        "median: 30ms, p99: 120ms",
        "median: 30ms, p99: ^20ms",
        "service.service_time.lognormal.p99 is",
    ),
    "a fault that never comes": (
        "{at: 10m, on: all",
        "{at: ^5h, on: all",
        "inject[1].at is 5h; it would never come: the horizon",
    ),
    "a fault that ends before": ("ramp: 5m", "until: ^5m", "inject[0].until is 5m; it ends after it begins, at 10m"),
    "a ramp longer than its fault": (
        "ramp: 5m",
        "until: 12m, ramp: ^5m",
        "inject[0].ramp is 5m; it would never reach full",
    ),
    "a fault on nobody": (
        "{at: 10m, on: candidate, ",
        "^{at: 10m, ",
        "inject[0] lacks on; say on: candidate, on: stable or",
    ),
    "a crash that grows": (
        "latency: x1.8, ramp",
        "crash: 1, ^ramp",
        "inject[0].ramp means nothing for a crash, which is over",
    ),
    "a crash of more than there are": (
        "latency: x1.8, ramp: 5m",
        "crash: ^5",
        "inject[0].crash is 5; candidate has only 4 replicas",
    ),
    "true answers of one arm": (
        "on: candidate, latency: x1.8",
        "on: ^candidate, label_drift: 10%",
        "inject[0].on is candidate; the true answers are the same for both arms; label_drift is on: all",
    ),
    "training in time": (
        "{at: 10m, on: candidate, latency: x1.8, ramp: 5m}",
        "{^at: 10m, on: candidate, training: {stale: 30%}}",
        "inject[0].at means nothing for training, which is over when traffic starts; leave it out",
    ),
    "a swap of one": (
        "shift: 1.5sd",
        "swap: ^[DSL]",
        "inject[1].drift.swap is [DSL]; swap takes two different categories",
    ),
    "labels too late": (
        "delay: 15m",
        "delay: ^1h",
        "labels.delay is 1h; the policy takes 1h, so no true answer would come in time for rollout.analysis.rules[2]; "
        "make the delay shorter or the pauses longer, or leave that rule out",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_wrong_file_is_told_with_place_value_and_remedy(kind, valid, problems):
    old, new, message = KINDS[kind]
    assert valid.count(old) >= 1, "the case does not fit the valid scenario"
    marked = valid.replace(old, new, 1)
    place = _marked_place(marked) if "^" in new else None
    found = problems(marked.replace("^", "", 1))
    assert len(found) == 1, [str(each) for each in found]
    assert message in found[0].message
    if place:
        assert (found[0].line, found[0].column) == place
    assert found[0].line > 0


def _marked_place(text: str) -> tuple[int, int]:
    before = text[: text.index("^")]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def test_all_problems_of_a_file_are_told_at_once_in_its_order(valid, problems):
    wrong = (
        valid.replace("seed: 7", "seed: -7")
        .replace("horizon: 4h", "hoizon: 4h")
        .replace("target: churn", "target: chrn")
        .replace("f1 >= 0.55", "f1 >= 55")
        .replace("registry: memory", "registry: mlfow")
        .replace("{poisson: 100/s}", "{poisson: 100}")
        .replace("  strategy: canary\n", "")
        .replace("weight: 50%", "weight: 120%")
        .replace("p95 <= stable * 1.5", "p95 <= stable + 50%")
        .replace("on: candidate, ", "")
        .replace("outcome == rolled_back", "outcome == roled_back")
    )
    told = [str(each).partition("canary.yaml:")[2].split(";")[0] for each in problems(wrong)]
    assert told == [
        "4:7: seed is -7",
        "6:1: hoizon: no such key",
        "10:42: model.data.target is chrn",
        '14:13: model.gates[0] is "f1 >= 55"',
        "17:22: backends.registry is mlfow",
        "27:20: traffic.poisson is 100",
        "30:1: rollout.strategy is missing",
        "31:49: rollout.steps[2].weight is 120%",
        '38:25: rollout.analysis.rules[1] is "p95 <= stable + 50%"',
        "42:5: inject[0] lacks on",
        '46:16: expect[0] is "outcome == roled_back"',
    ]


def test_a_misspelt_key_is_one_problem_and_not_two(valid, problems):
    (found,) = problems(valid.replace("  strategy:", "  stratgy:"))
    assert found.message.startswith("rollout.stratgy: no such key; nearest: strategy; ")


def test_labels_are_asked_for_where_a_rule_needs_them(valid, problems):
    (found,) = problems(valid.replace("labels: {delay: 15m, share: 30%}\n", ""))
    assert found.message.endswith("accuracy needs true answers; add labels: {delay: 15m, share: 30%}")


def test_without_a_data_set_nothing_can_be_trained_gated_drifted_or_judged(valid, problems):
    data = next(line for line in valid.splitlines(keepends=True) if line.startswith("  data:"))
    assert [each.message.split("; ")[-1] for each in problems(valid.replace(data, ""))] == ["add model.data"] * 6


def test_a_regression_has_no_f1_and_its_algorithm_no_classes(valid, problems, catalog, folder):
    regression = valid.replace(', positive: "Yes"', "")
    told = [each.message for each in problems(regression)]
    assert told[0].endswith("f1 is measured of a classification; add model.data.positive, or use rmse, mae or r2")
    assert len(told) == 3
    knowing = dataclasses.replace(catalog, tasks={"linear_regression": Task.REGRESSION})
    with pytest.raises(ScenarioError, match="linear_regression; it is for regression, and this data set is for class"):
        scenario.load(folder / "c.yaml", knowing, text=valid.replace("logistic", "linear"))


def test_parameters_are_checked_where_the_catalog_knows_them(valid, catalog, folder):
    knowing = dataclasses.replace(catalog, parameters=lambda algorithm: ("C", "max_depth", "n_estimators"))
    assert scenario.load(folder / "c.yaml", knowing, text=valid)
    with pytest.raises(ScenarioError) as raised:
        scenario.load(folder / "c.yaml", knowing, text=valid.replace("n_estimators", "n_estimator"))
    (found,) = raised.value.problems
    assert (found.line, found.column) == (12, 50)
    assert found.message.startswith(
        "model.candidate.params.n_estimator is no parameter of random_forest; nearest: n_esti"
    )


def test_what_is_brought_is_not_trained_here(valid, problems):
    brought = valid.replace("{algorithm: logistic_regression, params: {C: 1.0}}", "{registered: stable}")
    brought = brought.replace("{at: 10m, on: candidate, latency: x1.8, ramp: 5m}", "{on: all, training: {stale: 30%}}")
    (found,) = problems(brought)
    assert (found.line, found.column) == (43, 10)
    assert found.message == "inject[0].on is all; the model of stable is brought, not trained here"


def test_a_lone_newer_version_is_not_judged_by_the_rules_of_this_one(valid, problems):
    (found,) = problems(valid.replace("harness: 1", "harness: 3").replace("seed: 7", "seeds: [7, 8]"))
    assert found.message == "harness is 3; this program reads version 1: install a newer one"


def test_a_policy_that_waits_for_a_person_may_last_until_labels_come(valid, load):
    """Nobody knows how long the person takes: labels that come after all pauses are no mistake then."""
    late = valid.replace("delay: 15m", "delay: 1h", 1).replace("{pause: 30m}", "{pause: until approved}", 1)
    assert late.count("until approved") == 1
    assert load(late).labels.delay_ns == 3_600_000_000_000
