"""From checked gates of a scenario file to their plans."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

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
from harness.scenario.gating import (
    FairnessInput,
    GateInput,
    HistoryInput,
    LatencyInput,
    NoRegressionInput,
    ReportInput,
    RobustnessInput,
    SecurityInput,
)


def plans_of(gates: Iterable[Any]) -> tuple[GatePlan, ...]:
    """The gates that are no rules, in their order."""
    return tuple(_plan(gate) for gate in gates if isinstance(gate, GateInput))


def _plan(gate: GateInput) -> GatePlan:
    word, given = next((word, getattr(gate, word)) for word in PLANS if getattr(gate, word) is not None)
    return PLANS[word](given)


def _limits(given: Any, names: Iterable[str]) -> Mapping[str, Limit]:
    return {name: limit for name in names if (limit := getattr(given, name)) is not None}


def _fairness(given: FairnessInput) -> Fairness:
    columns = (given.column,) if given.column is not None else tuple(given.columns or ())
    limits = _limits(given, (*given.FIGURES, *given.ERRORS))
    return Fairness(columns, limits, Judge(given.judge), given.level, given.min_rows, given.resamples)


def _no_regression(given: NoRegressionInput) -> NoRegression:
    return NoRegression(given.metric, given.level, given.margin, Undecided(given.undecided), given.resamples)


def _history(given: HistoryInput) -> History:
    return History(given.metric, Against(given.against), given.last, given.margin, given.same_data)


def _latency(given: LatencyInput) -> Latency:
    return Latency(_limits(given, given.LIMITS), given.batch_rows, given.repeats, given.rounds)


def _robustness(given: RobustnessInput) -> Robustness:
    return Robustness(given.metric, given.drop, given.noise, given.missing, given.unknown, given.extreme)


def _security(given: SecurityInput) -> Security:
    return Security(allow=tuple(given.allow), max_bytes=given.max_size, pickles=given.pickles)


def _report(given: ReportInput) -> Report:
    return Report(given.file, given.reader, given.limit(), given.value or "", given.max_age)


PLANS: Final[Mapping[str, Callable[[Any], GatePlan]]] = {
    "fairness": _fairness,
    "history": _history,
    "latency": _latency,
    "model_card": ModelCard,
    "no_regression": _no_regression,
    "report": _report,
    "robustness": _robustness,
    "security": _security,
    "size": Size,
}
"""By the word of a gate: its plan."""
