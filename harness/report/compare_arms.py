"""What the arms of two runs did, side by side: the totals of each, and how far its requests had drifted. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from harness.analysis.vocabulary import METRICS, Kind
from harness.domain.analysis import Unit
from harness.domain.event import ArmTotals
from harness.domain.model import Role
from harness.report import text as words
from harness.report.result import DRIFTED, Result
from harness.report.sections import NONE, Row, Section, difference

COUNTS: Final[Mapping[str, str]] = {
    "arrived": "arrived",
    "succeeded": "succeeded",
    "failed": "failed",
    "in_flight": "in flight at the end",
    "bad": "bad answers",
    "users": "users",
    "harmed": "users harmed",
}
SAID_ALREADY: Final = frozenset({"requests", "success_rate"})
"""Figures that the counts, or another figure, say as well."""
SEEN: Final = 0.005
"""A drift is written with two digits; smaller differences are not seen."""

Value = float | None
Drift = Mapping[Role, float] | None
"""Of each arm that was asked; None where the run has no such column."""


def sections(a: Result, b: Result) -> list[Section]:
    """The totals of each arm, and the drift of columns and predictions."""
    asked = (
        "In the last window before the decision: distance from the held-out rows, 0 to 1; of predictions, from each "
    )
    return [
        *(Section(f"Totals of {role.value}", list(_totals(role, a, b)), "Over the whole run.") for role in Role),
        Section("Drift of columns", list(_drift(a, b)), f"{asked}model's own answers to them."),
    ]


# --- totals -----------------------------------------------------------------------------------------------------------


def totals_json(a: Result, b: Result) -> list[dict[str, Any]]:
    """The totals as a program reads them: latencies in seconds, shares in 0..1; what is not known is null."""
    return [{"arm": role.value, "name": name, "a": mine, "b": theirs} for role, name, mine, theirs in _figures(a, b)]


def _figures(a: Result, b: Result) -> Iterator[tuple[Role, str, Value, Value]]:
    for role in Role:
        mine, theirs = (_flat(each.totals.get(role)) for each in (a, b))
        for name in _in_order(mine, theirs):
            yield role, name, mine.get(name), theirs.get(name)


def _flat(totals: ArmTotals | None) -> dict[str, Value]:
    """Counts, failures by kind and figures of one arm, by name."""
    if totals is None:
        return {}
    kinds = {f"failed: {kind}": number for kind, number in totals.errors.items() if number}
    figures = {
        name: totals.figures[name]
        for name, metric in METRICS.items()
        if name in totals.figures and metric.kind is not Kind.GAUGE and name not in SAID_ALREADY
    }
    return {name: getattr(totals, name) for name in COUNTS} | kinds | figures


def _in_order(a: Mapping[str, Value], b: Mapping[str, Value]) -> list[str]:
    """The names that either has: counts, kinds of failures, figures."""
    names = dict.fromkeys([*a, *b])
    kinds = [name for name in names if name not in COUNTS and name not in METRICS]
    return [*(name for name in COUNTS if name in names), *kinds, *(name for name in METRICS if name in names)]


def _totals(of: Role, a: Result, b: Result) -> Iterator[Row]:
    for role, name, mine, theirs in _figures(a, b):
        if role is not of:
            continue
        metric = METRICS.get(name)
        said = partial(words.figure, name) if metric else words.count
        drift = metric is not None and metric.kind is Kind.DRIFT
        share = metric is not None and metric.unit is Unit.SHARE and not drift
        told = difference(mine, theirs, said, share=share, factor=not drift)
        yield Row(COUNTS.get(name, name.replace("_", " ")), said(mine), said(theirs), told)


# --- drift ------------------------------------------------------------------------------------------------------------


def drift_json(a: Result, b: Result) -> dict[str, Any]:
    """The drift as a program reads it: of each arm, 0 to 1; null where a run has no such column."""

    def plain(drift: Drift) -> dict[str, float] | None:
        return None if drift is None else {role.value: value for role, value in drift.items()}

    mine, theirs = _predictions(a), _predictions(b)
    return {
        "predictions": {"a": plain(mine), "b": plain(theirs)},
        "columns": [{"column": name, "a": plain(one), "b": plain(other)} for name, one, other in _columns(a, b)],
    }


def _predictions(result: Result) -> Drift:
    return {role: answers.drift[role] for role, answers in result.predictions.items()} or None


def _columns(a: Result, b: Result) -> list[tuple[str, Drift, Drift]]:
    """The columns of either run, the farthest drifted in either first."""
    mine, theirs = ({column.name: column.drift for column in each.inputs} for each in (a, b))
    found = [(name, mine.get(name), theirs.get(name)) for name in dict.fromkeys([*mine, *theirs])]
    return sorted(found, key=lambda each: -_most(each[1:]))


def _most(drifts: Sequence[Drift]) -> float:
    return max((value for drift in drifts if drift for value in drift.values()), default=0.0)


def _drift(a: Result, b: Result) -> Iterator[Row]:
    predictions = _predictions(a), _predictions(b)
    if any(predictions):
        yield _row("predictions", *predictions)
    columns = _columns(a, b)
    moved = [column for column in columns if _most(column[1:]) >= DRIFTED]
    yield from (_row(*column) for column in moved)
    calm = columns[len(moved) :]
    if calm:
        sides = [[column[side] for column in calm] for side in (1, 2)]
        cells = [f"at most {_most(side):.2f}" if any(side) else NONE for side in sides]  # type: ignore[arg-type]
        yield Row(f"{words.plural(len(calm), 'column')} as before", cells[0], cells[1])


def _row(name: str, a: Drift, b: Drift) -> Row:
    return Row(name, _said(a), _said(b), _change(a or {}, b or {}))


def _said(drift: Drift) -> str:
    return ", ".join(f"{role.value} {value:.2f}" for role, value in drift.items()) if drift else NONE


def _change(a: Mapping[Role, float], b: Mapping[Role, float]) -> str:
    changes = {role: b[role] - a[role] for role in Role if role in a and role in b}
    seen = {role: change for role, change in changes.items() if abs(change) >= SEEN}
    return ", ".join(f"{role.value} {'+' if change > 0 else '−'}{abs(change):.2f}" for role, change in seen.items())
