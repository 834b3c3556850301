"""A valid scenario with every section, and what it refers to."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness import scenario
from harness.domain.scenario import Scenario
from harness.errors import Problem, ScenarioError

VALID = """\
harness: 1
name: canary-regression
description: Slower and wronger under drift.
seed: 7
clock: virtual
horizon: 4h

model:
  name: churn
  data: {source: data/churn.csv, target: churn, positive: "Yes", schema: data/schema.yaml, test_share: 25%}
  stable: {algorithm: logistic_regression, params: {C: 1.0}}
  candidate: {algorithm: random_forest, params: {n_estimators: 100}, duration: 20m}
  gates:
    - f1 >= 0.55
    - accuracy >= stable - 1%

backends: {registry: memory, tracker: memory, serving: simulated, metrics: inprocess}

service:
  replicas: 4
  slots: 4
  service_time: {lognormal: {median: 30ms, p99: 120ms}}
  timeout: 1s
  queue: 100
  startup: 30s

traffic: {poisson: 100/s}
labels: {delay: 15m, share: 30%}

rollout:
  strategy: canary
  steps: [{weight: 10%}, {pause: 30m}, {weight: 50%}, {pause: 30m}]
  analysis:
    every: 1m
    min_requests: 200
    failure_limit: 2
    rules:
      - error_rate <= stable + 2%
      - p95 <= stable * 1.5
      - accuracy >= stable - 5%

inject:
  - {at: 10m, on: candidate, latency: x1.8, ramp: 5m}
  - {at: 10m, on: all, drift: {column: charges, shift: 1.5sd}}

expect:
  - outcome == rolled_back
  - detected_after < 45m
"""

CATALOG = scenario.Catalog(
    algorithms=("linear_regression", "logistic_regression", "random_forest"),
    strategies=("ab_test", "blue_green", "canary", "rolling", "shadow"),
    backends={
        "registry": ("memory", "mlflow"),
        "tracker": ("memory",),
        "serving": ("simulated",),
        "metrics": ("inprocess",),
        "notifier": ("log", "memory", "webhook"),
    },
    stages=("fairness",),
)

Load = Callable[..., Scenario]


@pytest.fixture
def valid() -> str:
    return VALID


@pytest.fixture
def catalog() -> scenario.Catalog:
    return CATALOG


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the valid scenario refers to."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "churn.csv").write_text("age,charges,plan,churn\n30,9.5,DSL,No\n", encoding="utf-8")
    (tmp_path / "data" / "schema.yaml").write_text("columns: {}\n", encoding="utf-8")
    (tmp_path / "model.skops").write_bytes(b"")
    return tmp_path


@pytest.fixture
def load(folder: Path) -> Load:
    """Read a scenario's text as if it stood in that folder."""

    def load(text: str, *overrides: str) -> Scenario:
        return scenario.load(folder / "canary.yaml", CATALOG, overrides, text=text)

    return load


@pytest.fixture
def problems(load: Load, folder: Path) -> Callable[..., Sequence[Problem]]:
    """What is wrong with a scenario's text."""

    def problems(text: str, *overrides: str) -> Sequence[Problem]:
        with pytest.raises(ScenarioError) as raised:
            load(text, *overrides)
        return raised.value.problems

    return problems
