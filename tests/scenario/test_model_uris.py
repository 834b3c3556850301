"""A model by its URI: what may be written, and what must stand in the scenario for it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import scenario
from harness.domain.model import UriPlan
from harness.domain.scenario import Scenario
from harness.domain.units import MINUTE
from harness.errors import Problem, ScenarioError
from harness.scenario import Catalog

IN_MLFLOW = "backends.registry=mlflow+sqlite:///m.db"
FORMS = "models:/NAME@ALIAS, models:/NAME/VERSION or runs:/RUN_ID/PATH"


Read = Callable[..., Scenario]


@pytest.fixture
def read(valid: str, catalog: Catalog, folder: Path) -> Read:
    """Read the valid scenario with this candidate, given certain words of what is installed."""

    def read(uri: str, *overrides: str, **changes: Any) -> Scenario:
        candidate = f'model.candidate={{artifact: "{uri}", duration: 2m}}'
        words = replace(catalog, **changes)
        return scenario.load(folder / "canary.yaml", words, [candidate, *overrides], text=valid)

    return read


@pytest.mark.parametrize(
    "uri", ["models:/a b@champion", "models:/churn-2.x/12", "runs:/0a1b2c/model", "runs:/r_1/a/b.pkl"]
)
def test_the_forms_that_there_are(read: Read, uri: str) -> None:
    assert read(uri, IN_MLFLOW).model.candidate == UriPlan(uri, 2 * MINUTE)


@pytest.mark.parametrize(
    "uri",
    ["models:/churn", "models:/churn/latest", "models:/churn/Production", "models:/churn/0", "models:/churn@",
     "models:/@a",
     "models:churn@a", "models:/m/1/x", "runs:/0a1b", "runs:/0a1b/", "runs:/0a1b/../x", "s3://bucket/m.skops",
     "file:///m.skops", "mlflow-artifacts:/1/2/artifacts/model", "model:/churn@stable", "runs:/0a/m?x=1"],
)  # fmt: skip
def test_another_form_is_told_those_at_its_place(read: Read, uri: str) -> None:
    with pytest.raises(ScenarioError) as told:
        read(uri, IN_MLFLOW)
    (only,) = told.value.problems
    assert uri in only.message
    assert FORMS in only.message
    assert ".skops" in only.message


def test_without_mlflow_the_remedy_is_named(valid: str, problems: Callable[..., Sequence[Problem]]) -> None:
    lines = valid.splitlines()
    at = next(number for number, line in enumerate(lines) if line.strip().startswith("candidate:"))
    lines[at] = "  candidate: {artifact: models:/churn/3}"
    (only,) = problems("\n".join(lines))
    assert (only.line, only.column) == (at + 1, lines[at].index("models") + 1)
    assert "--registry sqlite:///PATH, mlflow+sqlite:///PATH, or mlflow+http" in only.message


def test_a_tracker_suffices(read: Read, catalog: Catalog) -> None:
    backends = {**catalog.backends, "tracker": ("memory", "mlflow")}
    found = read("models:/churn/3", "backends.tracker=mlflow+sqlite:///m.db", backends=backends)
    assert found.model.candidate == UriPlan("models:/churn/3", 2 * MINUTE)


def test_a_backend_of_another_vendor_may_keep_models_too(read: Read) -> None:
    found = read("models:/churn/3", keeps_models=lambda kind, word: (kind, word) == ("registry", "memory"))
    assert found.model.candidate == UriPlan("models:/churn/3", 2 * MINUTE)


@pytest.mark.parametrize("trusted", [True, False])
def test_trust_is_a_part_of_what_is_read(read: Read, trusted: bool) -> None:
    assert read("models:/a/1", IN_MLFLOW, trust_pickle=trusted).model.trust_pickle is trusted
