"""Scenarios made in Python: the defaults of the file, and errors before anything runs."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import harness
from fakes.registry import MemoryRegistry
from harness.domain.analysis import NoData
from harness.domain.lifecycle import Aftercare, Monitor
from harness.domain.model import DataPlan, GivenPlan, Role, TrainPlan
from harness.domain.service import Fixed, Service
from harness.domain.units import HOUR, MINUTE

STEPS = harness.canary_steps([1000], 30 * MINUTE)
CANARY = harness.RolloutPolicy("canary", STEPS, None)
DATA = DataPlan("rows.csv", "y", "yes")
FILE = """\
harness: 1
name: rehearsal
model: {name: model, stable: {artifact: m.skops}, candidate: {artifact: m.skops}}
traffic: {poisson: 100/s}
rollout:
  strategy: canary
  steps: [{weight: 10%}, {pause: 30m}]
  analysis: {rules: [error_rate <= stable + 2%]}
"""


def test_what_is_left_out_is_as_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "m.skops").write_bytes(b"")
    (tmp_path / "same.yaml").write_text(FILE)
    read = harness.load_scenario(tmp_path / "same.yaml")
    watched = harness.analysis_policy("error_rate <= stable + 2%")
    made = harness.rehearsal(harness.RolloutPolicy("canary", STEPS, watched))
    names = {each.name for each in fields(read)} - {"model", "path", "text"}
    assert {name: getattr(made, name) for name in names} == {name: getattr(read, name) for name in names}


def test_a_horizon_that_nobody_gave_is_far_enough() -> None:
    assert harness.rehearsal(CANARY).horizon_ns == 4 * HOUR
    long = harness.RolloutPolicy("canary", harness.canary_steps([1000, 5000], 6 * HOUR), None)
    assert harness.rehearsal(long, aftercare=Aftercare(for_ns=24 * HOUR)).horizon_ns == 37 * HOUR


def test_sources_and_services_may_be_given_in_short() -> None:
    plan = TrainPlan("logistic_regression", {})
    slow = Service(service_time=Fixed(0.5))
    made = harness.rehearsal(CANARY, stable=plan, service={Role.STABLE: Service(), Role.CANDIDATE: slow})
    assert made.model.stable is plan
    assert isinstance(made.model.candidate, GivenPlan)
    assert made.service[Role.CANDIDATE] is slow


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"traffic": "100"}, r"traffic is '100': a rate is a number per s, m or h: .*; write 100/s"),
        ({"horizon": "90"}, "horizon is '90': a duration has a unit: write 90s, 90m or 90h"),
        ({"horizon": "10m"}, "the rollout takes 30m, longer than the horizon 10m"),
        ({"labels": ("15m", "300%")}, "labels are .*: a share is from 0% to 100%"),
        ({"clock": "wall"}, "clock is 'wall'; it is one of virtual, real"),
        ({"name": "a/b"}, "name is 'a/b'; it names a folder"),
        ({"gates": ["f1 >= 0.5"]}, "f1 is measured on a data set; add model.data"),
        ({"gates": ["p95 <= 1s"], "data": DATA}, "a gate judges held-out rows"),
        ({"expect": ["outcome == promotet"]}, "promoted"),
    ],
)
def test_what_cannot_be_read_is_told_at_once(given: dict[str, Any], message: str) -> None:
    with pytest.raises(harness.InputError, match=message):
        harness.rehearsal(CANARY, **given)


@pytest.mark.parametrize("where", ["background", "step", "monitor"])
def test_a_rule_that_nothing_measures_is_told_wherever_it_stands(where: str) -> None:
    judged = harness.analysis_policy("accuracy >= stable - 5%")
    policy = harness.RolloutPolicy("canary", STEPS, judged if where == "background" else None)
    if where == "step":
        policy = harness.RolloutPolicy("blue_green", harness.blue_green_steps(after=(judged, 3)), None)
    care = Aftercare((Monitor("decay", judged),)) if where == "monitor" else None
    with pytest.raises(harness.InputError, match="accuracy needs true answers"):
        harness.rehearsal(policy, data=DATA, aftercare=care)
    assert harness.rehearsal(policy, data=DATA, aftercare=care, labels=("5m", 0.5)).labels


def test_an_analysis_is_read_as_in_the_file() -> None:
    made = harness.analysis_policy("p95 <= 1s", every="5m", window="10m", no_data="fail")
    assert (made.every_ns, made.window_ns, made.no_data) == (5 * MINUTE, 10 * MINUTE, NoData.FAIL)
    for wrong, message in (
        ({"no_data": "skip"}, "one of hold, ignore, fail"),
        ({"every": "often"}, "every is 'often'"),
    ):
        with pytest.raises(harness.InputError, match=message):
            harness.analysis_policy("p95 <= 1s", **wrong)
    with pytest.raises(harness.InputError, match="at least one rule"):
        harness.analysis_policy()


def test_rows_want_answers(tmp_path: Path) -> None:
    data = DataPlan(str(Path(__file__).parents[2] / "scenarios/data/telco_churn.csv.gz"), "Churn", "Yes")
    with pytest.raises(harness.InputError, match=r"model.stable is not given, and the data's rows are to be answered"):
        harness.run_sync(harness.rehearsal(CANARY, data=data), harness.Options(reports=tmp_path))


def test_nothing_is_registered_as_a_model_where_others_would_load_it(tmp_path: Path) -> None:
    class Store(MemoryRegistry):
        async def fetch(self, uri: str) -> Any:
            raise harness.BackendError(uri)

    registry = Store()
    with pytest.raises(harness.InputError, match=r"model.stable is not given, and Store keeps models that others load"):
        harness.run_sync(harness.rehearsal(CANARY), harness.Options(reports=tmp_path, registry=registry))
    assert registry.kept("model") == ()


def test_a_strategy_that_nobody_has_is_told(tmp_path: Path) -> None:
    made = harness.rehearsal(harness.RolloutPolicy("canari", STEPS, None))
    with pytest.raises(harness.BackendError, match="no strategy called 'canari' is installed; there are ab_test"):
        harness.run_sync(made, harness.Options(reports=tmp_path))
