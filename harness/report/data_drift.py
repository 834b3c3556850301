"""What a comparison of the newest data with the data set found before a rollout, folded from the log, as a chapter."""

from dataclasses import replace
from typing import Any, Final

from harness.domain.drift import plain
from harness.domain.drift_event import ColumnChecked, DataDriftChecked
from harness.report import text as words
from harness.report.chapter import NONE, Chapter, Line
from harness.report.drift_chapters import MISSING, TESTS, number, of_rule, p_text
from harness.report.numbers import figure

GATE: Final = "data drift"
"""The name of the gate that this is."""
SHOWN: Final = 5
"""Columns that did not drift and are shown all the same."""


def drift_chapter(event: DataDriftChecked | None) -> Chapter | None:
    """Rules that are broken, columns the drifted first, the classifier; None where nothing was compared."""
    if event is None:
        return None
    lines = [Line(("✗", name, "is not there", NONE, NONE, "", ""), passed=False) for name in event.absent]
    lines += [
        Line(
            (
                "✓" if rule.passed else "✗",
                rule.text,
                "rule",
                NONE,
                NONE,
                of_rule(rule, rule.reference),
                of_rule(rule, rule.value),
            ),
            rule.passed,
        )
        for rule in event.rules
    ]
    drifted = [column for column in event.columns if column.drifted]
    others = [column for column in event.columns if not column.drifted][:SHOWN]
    lines += [_line(column) for column in (*drifted, *others)]
    if event.auc is not None:
        lines.append(_classifier(event))
    heads = ("", "column or rule", "test", "p", "effect", "reference", "current")
    return Chapter("Data drift", heads, lines, frozenset({3, 4, 5, 6}), _note(event))


def _line(column: ColumnChecked) -> Line:
    cells = (
        "✗" if column.drifted else "✓",
        column.name,
        TESTS.get(column.test, column.test),
        p_text(column.p_value),
        number(column.effect),
        _shown(column.test, column.reference),
        _shown(column.test, column.current),
    )
    return Line(cells, not column.drifted)


def _shown(test: str, value: float | None) -> str:
    return f"{words.share(value)} missing" if test == MISSING and value is not None else number(value)


def _classifier(event: DataDriftChecked) -> Line:
    mark = "" if event.told_apart is None else "✗" if event.told_apart else "✓"
    passed = None if event.told_apart is None else not event.told_apart
    cells = (mark, "all together", f"classifier, AUC {event.auc:.3f}", p_text(event.auc_p_value), NONE, NONE, NONE)
    return Line(cells, passed)


def _note(event: DataDriftChecked) -> str:
    found = "drifted" if event.detected else "did not drift"
    left = sum(not column.drifted for column in event.columns) - SHOWN
    more = f" {left} more columns did not drift." if left > 0 else ""
    advice = f" {event.recommendations[0]}" if event.recommendations else ""
    return (
        f"{event.current} ({words.count(event.current_rows)} rows) {found} from {event.reference} "
        f"({words.count(event.reference_rows)} rows), at a false-alarm rate of {words.share(event.alpha)}; score "
        f"{event.score:.3f} (a drift lies above 0.1).{more}{advice}"
    )


def as_json(event: DataDriftChecked) -> dict[str, Any]:
    """As a program reads it."""
    told: dict[str, Any] = plain(
        {
            "reference": event.reference,
            "current": event.current,
            "reference_rows": event.reference_rows,
            "current_rows": event.current_rows,
            "alpha": event.alpha,
            "drift_detected": event.detected,
            "drift_score": event.score,
            "columns": {
                each.name: {"drifted": each.drifted, "test": each.test, "p_value": each.p_value, "effect": each.effect}
                for each in event.columns
            },
            "absent": event.absent,
            "auc": event.auc,
            "rules": [{"text": rule.text, "passed": rule.passed, "value": rule.value} for rule in event.rules],
            "recommendations": event.recommendations,
        }
    )
    return told


def sentence(event: DataDriftChecked) -> str:
    """In a line."""
    names = [*event.absent, *(column.name for column in event.columns if column.drifted)]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    told = [f"{', '.join(names[:SHOWN])}{more}"] if names else []
    told += [f"rule `{rule.text}` broken" for rule in event.rules if not rule.passed]
    why = f": {'; '.join(told)}" if told else ""
    return f"{event.current} {'drifted' if event.detected else 'did not drift'} from {event.reference}{why}"


def kept(event: DataDriftChecked) -> DataDriftChecked:
    """As the log keeps it, so that events in memory and those read from their file fold alike."""
    columns = tuple(
        replace(
            each,
            p_value=figure(each.p_value) or 0.0,
            effect=figure(each.effect) or 0.0,
            reference=figure(each.reference),
            current=figure(each.current),
        )
        for each in event.columns
    )
    rules = tuple(replace(each, value=figure(each.value), reference=figure(each.reference)) for each in event.rules)
    return replace(
        event,
        alpha=figure(event.alpha) or 0.0,
        score=figure(event.score) or 0.0,
        columns=columns,
        auc=figure(event.auc),
        auc_p_value=figure(event.auc_p_value),
        rules=rules,
    )
