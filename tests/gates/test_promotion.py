"""Five checks before a version may take a stage."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import skops.io

from harness import ModelPromotionError, ModelPromotionValidation, PromotionRequirements
from harness.domain.gates import Fairness, Measure, Report, limit_of
from harness.errors import InputError
from harness.gates import promotion
from harness.gates.promotion import Evidence, validate
from tests.gates import adult
from tests.gates.test_documents import COMPLETE, COVERAGE

NEEDS = PromotionRequirements(performance={"accuracy": ">= 80%"})
FAIR = {"demographic_parity_difference": 0.05, "equalized_odds_difference": 0.04}
GOOD = Evidence(
    name="income",
    version="3",
    metrics={"accuracy": 0.85, "test_coverage": 0.91, **FAIR},
    card=COMPLETE,
    files={"model.skops": skops.io.dumps(adult.plain().estimator)},
)


def failing(evidence: Evidence, requirements: PromotionRequirements = NEEDS) -> tuple[str, ...]:
    found = validate(evidence, requirements)
    assert found.summary == f"{5 - len(found.errors)}/5 checks passed"
    assert found.passed is (not found.errors)
    return found.errors


def test_a_version_that_shows_all_passes_all_five() -> None:
    found = validate(GOOD, NEEDS)
    assert found.summary == "5/5 checks passed"
    assert list(found.checks) == [
        "performance_requirements", "bias_requirements", "security_scan", "documentation", "testing_coverage",
    ]  # fmt: skip
    assert all(check["passed"] for check in found.checks.values())
    promotion.refuse(found, "income:3", "Production")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"metrics": {**GOOD.metrics, "accuracy": 0.7}}, "performance_requirements: accuracy is 0.7 (bound: >= 80%)"),
        ({"metrics": {**FAIR, "test_coverage": 0.9}}, "performance_requirements: accuracy is not logged with it"),
        (
            {"metrics": {**GOOD.metrics, "equalized_odds_difference": 0.3}},
            "bias_requirements: equalized_odds_difference is 0.3 (bound: <= 10%)",
        ),
        ({"metrics": {"accuracy": 0.9, "coverage": 85}}, "bias_requirements: demographic_parity_difference is not"),
        ({"files": {}}, "security_scan: no model file was found"),
        ({"files": {"model.pkl": b"\x80\x04cos\nsystem\n."}}, "security_scan: security scan: model.pkl: a pickle"),
        ({"card": None}, "documentation: it has no model card"),
        ({"card": COMPLETE.replace("Thirty years old.", "TODO")}, "documentation: model card: Limitations is a place"),
        ({"metrics": {**GOOD.metrics, "test_coverage": 0.5}}, "testing_coverage: tests ran 50.0% of the code"),
        ({"metrics": {"accuracy": 0.9, **FAIR}}, "testing_coverage: no coverage is logged with it"),
    ],
)
def test_each_check_fails_by_itself(change: dict[str, Any], told: str) -> None:
    (error,) = failing(replace(GOOD, **change))
    assert error.startswith(told)


def test_tags_that_are_numbers_count_as_figures() -> None:
    tags = {"test_coverage": "88%", "demographic_parity_difference": "0.01", "equalized_odds_difference": "2%"}
    assert failing(replace(GOOD, metrics={"accuracy": 0.9}, tags=tags)) == ()


def test_without_requirements_nothing_is_promoted() -> None:
    """Fails closed: a promotion says what it asks."""
    (error,) = failing(GOOD, PromotionRequirements())
    assert "nothing is required of its metrics; give performance" in error


def test_fairness_is_measured_anew_where_rows_are_given() -> None:
    plan = Fairness(("sex",), {"equalised_odds": limit_of("<= 15%", Measure.SHARE)})
    needs = replace(NEEDS, fairness=plan)
    assert failing(replace(GOOD, scene=adult.scene(adult.plain())), needs) == ()
    (biased,) = failing(replace(GOOD, scene=adult.scene(adult.flipped())), needs)
    assert biased.startswith("bias_requirements: equalised_odds of sex was 62.3%")
    (blind,) = failing(GOOD, needs)
    assert "there are no rows to measure on" in blind


def test_reports_stand_in_for_what_was_logged(tmp_path: Path) -> None:
    file = tmp_path / "coverage.json"
    file.write_text(COVERAGE)
    plan = Report(str(file), "coverage", limit_of(">= 90%", Measure.SHARE))
    needs = replace(NEEDS, reports=(plan,))
    assert failing(replace(GOOD, metrics={"accuracy": 0.9, **FAIR}), needs) == ()
    (error,) = failing(GOOD, replace(needs, reports=(replace(plan, path=str(tmp_path / "none")),)))
    assert error.startswith("testing_coverage: lines covered by tests of none: there is no such file")


def test_what_failed_and_how_much_stands_in_the_error() -> None:
    found = validate(replace(GOOD, card=None, metrics={}), NEEDS)
    with pytest.raises(ModelPromotionError, match="income:3 may not be Production: 1/5 checks passed; perf") as caught:
        promotion.refuse(found, "income:3", "Production")
    assert isinstance(caught.value.validation, ModelPromotionValidation)
    assert all(error in str(caught.value) for error in found.errors)


def test_requirements_come_from_a_configuration() -> None:
    found = PromotionRequirements.of({"performance": {"auc": ">= 0.9"}, "coverage": ">= 50%"})
    assert found == PromotionRequirements(performance={"auc": ">= 0.9"}, coverage=">= 50%")
    assert PromotionRequirements.of(found) is found
    with pytest.raises(InputError, match="no 'metrics'; there are performance, bias"):
        PromotionRequirements.of({"metrics": {}})
    with pytest.raises(InputError, match="the bound of accuracy is 'high'"):
        validate(GOOD, PromotionRequirements(performance={"accuracy": "high"}))
    with pytest.raises(InputError, match="no stage 'Canary'; there are Production, Staging, Archived"):
        promotion.known_stage("Canary")


@pytest.mark.parametrize("value", [float("inf"), 5000.0, -0.5, float("nan")])
def test_a_coverage_that_is_no_share_is_none(value: float) -> None:
    evidence = promotion.Evidence("income", "1", metrics={"test_coverage": value})
    assert not promotion.check_testing(evidence, promotion.PromotionRequirements(coverage="!= 3%"))["passed"]


@pytest.mark.parametrize("given", [{"performance": 5}, {"bias": ["x"]}, ["performance"], {"speed": 1}])
def test_requirements_of_another_kind_are_told(given: Any) -> None:
    with pytest.raises(InputError):
        promotion.PromotionRequirements.of(given)


def test_what_is_no_number_keeps_no_bound() -> None:
    for text in ("!= 3", ">= 3", "<= 3"):
        assert not limit_of(text).holds(float("nan"))
