"""Expectations, judged on what came of a run.

A scenario is loaded long before its report is made, perhaps by another program version: the fold has the expectations
as text and reads them again. What was never measured is unknown, and an expectation that is unknown has not been met.
"""

from collections.abc import Mapping

from harness.analysis.conditions import RuleError, evaluate, metrics_of, parse
from harness.domain.model import Role
from harness.errors import LogError
from harness.report import text as words
from harness.report.result import Actual, Expectation

Facts = Mapping[str, Actual]
"""What came of the run, by the names that expectations use."""


def judge(text: str, facts: Facts, stable: Facts) -> Expectation:
    """Hold an expectation against the facts; ``stable`` has stable's own figures, for bounds relative to it."""
    try:
        condition = parse(text).condition
    except RuleError as error:
        raise LogError(f"the log's expectation {text!r} cannot be read: {error}") from error
    found = evaluate(condition, lambda metric, role: (facts if role is Role.CANDIDATE else stable).get(metric))
    names = metrics_of(condition)
    plain = words.parts(text)
    return Expectation(
        text=text,
        passed=found.holds is True,
        actual=facts.get(names[0]) if len(names) == 1 else {name: facts.get(name) for name in names},
        expected=f"{plain[1]} {plain[2]}" if plain else text,
    )
