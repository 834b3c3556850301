"""``promote_model``: five checks over a registered version, before an alias may name it.

The checks look at evidence: what the registry keeps of the version (metrics, tags, its model card, its files), and what
the caller adds (held-out rows, reports). A requirement that nothing is known about has not been met, and neither has a
check that nothing is required of: a promotion says what it asks.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from harness.domain.gates import Check, Fairness, GatePlan, Measure, ModelCard, Report, Security, limit_of
from harness.errors import InputError, ModelPromotionError
from harness.gates import reports
from harness.gates.card import check as check_card
from harness.gates.scanning import Finding, scan
from harness.gates.scene import Scene
from harness.gates.security import check as check_findings
from harness.gates.table import judge
from harness.gates.words import listed

PRODUCTION: Final = "Production"
STAGING: Final = "Staging"
ARCHIVED: Final = "Archived"
STAGES: Final[Mapping[str, str]] = {PRODUCTION: "stable", STAGING: "candidate", ARCHIVED: ""}
"""The stages of the handbooks, and the alias that each is here; what is archived is marked so, and has none."""
COVERAGE: Final = ("test_coverage", "testing_coverage", "coverage")
"""Metrics or tags that tell the share of lines that tests ran; above 1 it is taken for a percentage."""
BIAS: Final = {"demographic_parity_difference": "<= 10%", "equalized_odds_difference": "<= 10%"}


@dataclass(frozen=True, slots=True)
class PromotionRequirements:
    """What a version must show to be promoted."""

    performance: Mapping[str, str] = field(default_factory=dict)
    """Bounds by metric: ``{"accuracy": ">= 80%"}``; without any the check fails."""
    bias: Mapping[str, str] = field(default_factory=lambda: dict(BIAS))
    """Bounds by metric, of figures that were logged with the version; unused where `fairness` is given."""
    fairness: Fairness | None = None
    """Measured anew, on rows that the caller gives."""
    security: Security = field(default_factory=Security)
    card_sections: tuple[str, ...] = ()
    """That a card must have beside the usual ones."""
    coverage: str = ">= 80%"
    reports: tuple[Report, ...] = ()
    """Read instead of a figure that was logged."""

    @classmethod
    def of(cls, given: "PromotionRequirements | Mapping[str, Any] | None") -> "PromotionRequirements":
        """The requirements of a configuration.

        Raises:
            InputError: it is no mapping, has a key that there is not, or bounds that are none.
        """
        if given is None or isinstance(given, PromotionRequirements):
            return given or cls()
        if not isinstance(given, Mapping):
            raise InputError(f"promotion requirements are a mapping, not a {type(given).__name__}")
        known = cls.__dataclass_fields__
        if unknown := [key for key in given if key not in known]:
            raise InputError(f"promotion requirements have no {unknown[0]!r}; there are {', '.join(known)}")
        for key in ("performance", "bias"):
            if not isinstance(given.get(key, {}), Mapping):
                raise InputError(f"{key} is {given[key]!r}; it is bounds by metric, such as {{'accuracy': '>= 80%'}}")
        return cls(**dict(given))


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a version."""

    name: str
    version: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    card: str | None = None
    """The text of its model card; None: it has none."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Its model files by name."""
    scene: Scene | None = None
    """The model and held-out rows, where the caller gave some."""


@dataclass(frozen=True)
class ModelPromotionValidation:
    """What the checks of a promotion came to."""

    passed: bool
    checks: Mapping[str, Mapping[str, Any]]
    """By name: ``passed``, ``reason``."""
    summary: str
    """``n/5 checks passed``."""

    @property
    def errors(self) -> tuple[str, ...]:
        """What failed, and why."""
        return tuple(f"{name}: {check['reason']}" for name, check in self.checks.items() if not check["passed"])


Found = dict[str, Any]


def validate(evidence: Evidence, requirements: PromotionRequirements) -> ModelPromotionValidation:
    """Make all five checks.

    Raises:
        InputError: a requirement cannot be read.
    """
    return validation_of({name: check(evidence, requirements) for name, check in CHECKS.items()})


def validation_of(checks: Mapping[str, Mapping[str, Any]]) -> ModelPromotionValidation:
    """Checks that were made, summed up."""
    passed = [bool(check["passed"]) for check in checks.values()]
    return ModelPromotionValidation(all(passed), dict(checks), f"{sum(passed)}/{len(checks)} checks passed")


def refuse(validation: ModelPromotionValidation, what: str, stage: str) -> None:
    """Let nothing take a stage that has not shown what it must.

    Raises:
        ModelPromotionError: with the summary, and each check that failed.
    """
    if not validation.passed:
        told = "; ".join(validation.errors)
        raise ModelPromotionError(
            f"Promotion validation failed: {what} may not be {stage}: {validation.summary}; {told}", validation
        )


def known_stage(stage: str) -> str:
    """A stage by its name, however it is spelt.

    Raises:
        InputError: there is none of that name.
    """
    found = next((each for each in STAGES if each.lower() == str(stage).lower()), None)
    if found is None:
        raise InputError(f"there is no stage {stage!r}; there are {', '.join(STAGES)}")
    return found


# --- the checks -------------------------------------------------------------------------------------------------------


def check_performance(evidence: Evidence, requirements: PromotionRequirements) -> Found:
    """The metrics that were logged with the version keep their bounds."""
    if not requirements.performance:
        return _failed("nothing is required of its metrics; give performance, such as {'accuracy': '>= 80%'}")
    return _bounded(evidence, requirements.performance)


def check_bias(evidence: Evidence, requirements: PromotionRequirements) -> Found:
    """Groups are treated alike: measured anew on rows where that is asked, else by what was logged."""
    if requirements.fairness is not None:
        if evidence.scene is None:
            return _failed("fairness is to be measured, and there are no rows to measure on; give rows")
        return _judged(requirements.fairness, evidence.scene)
    if not requirements.bias:
        return _failed("nothing is required; give bias or fairness")
    return _bounded(evidence, requirements.bias)


def check_security(evidence: Evidence, requirements: PromotionRequirements) -> Found:
    """Nothing is in the version's files that must not be; none of them is loaded."""
    if not evidence.files:
        return _failed("no model file was found to be scanned")
    found: list[Finding] = []
    for name, data in evidence.files.items():
        found += scan(data, name, requirements.security)
    return _of([check_findings(tuple(found))])


def check_documentation(evidence: Evidence, requirements: PromotionRequirements) -> Found:
    """The version has a model card, and it is complete."""
    if evidence.card is None:
        return _failed("it has no model card: neither a description nor a file MODEL_CARD.md beside the model")
    return _of([check_card(evidence.card, ModelCard("MODEL_CARD.md", requirements.card_sections))])


def check_testing(evidence: Evidence, requirements: PromotionRequirements) -> Found:
    """Tests ran enough of the code, by reports or by what was logged."""
    if requirements.reports:
        return _of([check for plan in requirements.reports for check in reports.judge(plan)])
    limit = limit_of(requirements.coverage, Measure.SHARE)
    value = next((figure for name in COVERAGE if (figure := _figure(evidence, name)) is not None), None)
    if value is None:
        return _failed(f"no coverage is logged with it; log the metric or tag {COVERAGE[0]}, or give reports")
    value = value / 100 if value > 1 else value
    if not 0 <= value <= 1:
        return _failed(f"the coverage that is logged with it, {value:.1%}, is no share of the code")
    return _found(limit.holds(value), f"tests ran {value:.1%} of the code (bound: {limit.text})")


CHECKS: Final[Mapping[str, Callable[[Evidence, PromotionRequirements], Found]]] = {
    "performance_requirements": check_performance,
    "bias_requirements": check_bias,
    "security_scan": check_security,
    "documentation": check_documentation,
    "testing_coverage": check_testing,
}


def _found(passed: bool, reason: str) -> Found:
    return {"passed": passed, "reason": reason}


def _failed(reason: str) -> Found:
    return _found(passed=False, reason=reason)


def _of(checks: Sequence[Check]) -> Found:
    failed = [check.reason for check in checks if not check.passed]
    reasons = failed or [check.reason for check in checks]
    return _found(not failed, listed(reasons)) | {"checks": tuple(checks)}


def _judged(plan: GatePlan, scene: Scene) -> Found:
    return _of(judge(plan, scene))


def _bounded(evidence: Evidence, bounds: Mapping[str, str]) -> Found:
    told = list(_told(evidence, bounds))
    failed = [reason for holds, reason in told if not holds]
    return _found(not failed, listed(failed or [reason for _, reason in told]))


def _told(evidence: Evidence, bounds: Mapping[str, str]) -> Iterator[tuple[bool, str]]:
    for metric, text in bounds.items():
        try:
            limit = limit_of(text, Measure.SHARE if "%" in str(text) else Measure.NUMBER)
        except ValueError as error:
            raise InputError(f"the bound of {metric} is {text!r}; {error}") from None
        value = _figure(evidence, metric)
        if value is None:
            yield False, f"{metric} is not logged with it (bound: {limit.text})"
        else:
            yield limit.holds(value), f"{metric} is {value:.4g} (bound: {limit.text})"


def _figure(evidence: Evidence, name: str) -> float | None:
    """A metric, or a tag that is a number."""
    if name in evidence.metrics:
        return float(evidence.metrics[name])
    text = str(evidence.tags.get(name, ""))
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        return None
