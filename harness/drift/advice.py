"""What to do about drift: sentences that name columns, the worst first."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from harness.domain.drift import (
    ClassifierDrift,
    ColumnDrift,
    Columns,
    Detector,
    ReconstructionDrift,
    Rules,
    RuleVerdict,
    Summary,
    Tested,
)

MOST: Final = 10
UNITS: Final[Mapping[float, str]] = {
    1000: "thousandths instead of wholes, such as milliseconds for seconds or grams for kilograms",
    100: "hundredths instead of wholes, such as cents for euros or percent for shares",
    10: "a shifted decimal point",
    60: "minutes for hours, or seconds for minutes",
    3600: "seconds for hours",
    24: "hours for days",
    7: "days for weeks",
    12: "months for years",
    2.54: "centimetres for inches",
    2.2046: "pounds for kilograms",
    1.6093: "kilometres for miles",
}
"""Factors by which a column is multiplied when its unit changes, and what that would be."""
EXACT: Final = 0.06
"""How far a ratio may be off such a factor, relative."""
DECIMAL: Final = (1000.0, 100.0)
"""Factors so large that no drift of the world explains them: a looser fit will do."""
LOOSE: Final = 0.3
GAP: Final = 0.02
"""More missing values, as a share of the rows, that are worth a sentence."""
APART: Final = (
    "Current rows leave the directions in which the reference varies: columns no longer go together as they did. Look "
    "for swapped columns or rows joined wrongly, and retrain if the change is real."
)
NOTABLE: Final = 0.1
"""A shift of the mean, in standard deviations, that is worth a sentence of its own."""


def recommendations(parts: Mapping[Detector, Tested], importance: Mapping[str, float] | None = None) -> tuple[str, ...]:
    """At most ten sentences, the worst first; none where nothing drifted.

    Args:
        parts: what each detector found.
        importance: how much a model leans on each column, in 0..1, where that is known.
    """
    ranked = sorted(_weighted(parts, importance or {}), key=lambda each: -each[0])
    told = list(dict.fromkeys(sentence for _, sentence in ranked))
    if len(told) <= MOST:
        return tuple(told)
    left = len(told) - MOST + 1
    return (*told[: MOST - 1], f"And {left} more findings of less weight: they stand in the report.")


def _weighted(parts: Mapping[Detector, Tested], importance: Mapping[str, float]) -> Iterator[tuple[float, str]]:
    for detector, part in parts.items():
        match part:
            case Rules():
                yield from ((2.5, _rule(rule)) for rule in part.rules if not rule.passed)
            case Columns() if detector is Detector.STATISTICAL:
                yield from ((3.0, _absent(name)) for name in part.absent)
                yield from (each for column in part.columns if column.drifted for each in _column(column, importance))
            case Columns():
                yield from ((1 + each.effect, _answers(detector, each)) for each in part.columns if each.drifted)
            case ClassifierDrift() if part.drifted and not _drifted(parts):
                yield 1.5, _together(part, alone=Detector.STATISTICAL not in parts)
            case ReconstructionDrift() if part.drifted and not _drifted(parts):
                yield 1.0, APART


def _drifted(parts: Mapping[Detector, Tested]) -> bool:
    return Detector.STATISTICAL in parts and parts[Detector.STATISTICAL].drifted


def _column(column: ColumnDrift, importance: Mapping[str, float]) -> Iterator[tuple[float, str]]:
    """What is to be said of a column that drifted: its likeliest cause, or failing that what changed."""
    weight = column.effect * (1 + importance.get(column.name, 0.0))
    leans = _leans(importance.get(column.name))
    before, now = column.reference, column.current
    if before is None or now is None:
        yield weight, f"{column.name} drifted{leans}. {_what_to_do(column)}"
        return
    gaps = now.missing - before.missing > GAP
    unit = unit_change(before, now)
    if gaps:
        yield 1 + weight, _gaps(column.name, before, now)
    if column.new:
        yield 0.5 + weight, _new(column, leans)
    if unit:
        yield 2 + weight, f"{column.name}: {unit}. Check the pipeline; retraining on it would hide the mistake."
    elif before.mean is not None and now.mean is not None:
        if not gaps or _shifted(before, now):
            yield weight, f"{column.name}: {_moved(before, now)}{leans}. {_what_to_do(column)}"
    elif not gaps and not column.new:
        yield weight, f"{column.name}: {_shares(column)}{leans}. {_what_to_do(column)}"


def _gaps(name: str, before: Summary, now: Summary) -> str:
    return (
        f"{name}: {_share(now.missing)} of the values are missing, {_share(before.missing)} were. Check the pipeline "
        "that fills it before trusting any answer that uses it."
    )


def _new(column: ColumnDrift, leans: str) -> str:
    return (
        f"{column.name}: new {'categories' if len(column.new) > 1 else 'category'} {_words(column.new)}, which no "
        f"model has learned of{leans}. Check the spelling; if they are real, retrain with rows that have them."
    )


def unit_change(before: Summary, now: Summary) -> str | None:
    """A sentence where median and spread both changed by one factor that units differ by.

    >>> unit_change(Summary(9, 0, 64.8, 30.1, 70.3), Summary(9, 0, 6476, 3009, 7035))
    'the median went from 70.3 to 7,035 (x100), its spread likewise, as with hundredths instead of wholes, such as \
cents for euros or percent for shares'
    """
    if not before.median or not now.median or not before.deviation or not now.deviation or _constant(before):
        return None
    ratio, spread = now.median / before.median, now.deviation / before.deviation
    if ratio <= 0:
        return None
    for factor, what in UNITS.items():
        room = math.log(1 + (LOOSE if factor in DECIMAL else EXACT))
        for wanted in (factor, 1 / factor):
            if abs(math.log(ratio / wanted)) <= room and abs(math.log(spread / wanted)) <= 2 * room:
                told = f"x{factor:g}" if wanted > 1 else f"1/{factor:g}"
                back = "" if wanted > 1 else "the reverse of "
                return (
                    f"the median went from {_number(before.median)} to {_number(now.median)} ({told}), its spread "
                    f"likewise, as with {back}{what}"
                )
    return None


def _shifted(before: Summary, now: Summary) -> bool:
    """Whether the mean moved by more than is nothing to speak of."""
    by = abs((now.mean or 0.0) - (before.mean or 0.0))
    return by >= NOTABLE * before.deviation if before.deviation and not _constant(before) else by > 0


def _constant(side: Summary) -> bool:
    """Whether all its values are one; its deviation is then rounding, if not nought."""
    return side.least is not None and side.least == side.most


def _moved(before: Summary, now: Summary) -> str:
    mean, was = now.mean or 0.0, before.mean or 0.0
    if _constant(before) or _constant(now):
        return f"{_values(before, 'it was')}, {_values(now, 'now it is')}"
    by = (mean - was) / before.deviation if before.deviation else math.inf
    told = f"the mean went from {_number(was)} to {_number(mean)}"
    if math.isfinite(by) and abs(by) >= NOTABLE:
        return f"{told} ({by:+.2f} standard deviations)"
    if before.deviation and now.deviation is not None:
        return (
            f"the mean stayed near {_number(was)}, but the shape changed (standard deviation "
            f"{_number(before.deviation)}, now {_number(now.deviation)})"
        )
    return told


def _values(side: Summary, said: str) -> str:
    if _constant(side):
        return f"{said} always {_number(side.most or 0.0)}"
    return f"{said} {_number(side.least or 0.0)} to {_number(side.most or 0.0)}"


def _shares(column: ColumnDrift) -> str:
    drawn = column.distribution
    if drawn is None or not drawn.labels:
        return "its shares changed"
    places = range(len(drawn.labels))
    most = max(places, key=lambda place: abs(drawn.current[place] - drawn.reference[place]))
    return f"{drawn.labels[most]!r} went from {_share(drawn.reference[most])} to {_share(drawn.current[most])}"


def _what_to_do(column: ColumnDrift) -> str:
    if column.effect >= 0.2:
        return "Find out why; if it stays so, retrain on recent rows."
    return "A small change: watch it, and retrain if quality falls."


def _leans(importance: float | None) -> str:
    return "" if importance is None else f" (importance for the model: {_share(importance)})"


def _absent(name: str) -> str:
    return f"{name} is not in the current data at all. Check the pipeline that writes it before anything is predicted."


def _rule(rule: RuleVerdict) -> str:
    write = _share if rule.of_rows else _number
    told = "nothing to compute it of" if rule.value is None else write(rule.value)
    return f"The rule `{rule.text}` is broken: {told}, held to {rule.bound}. Check the source, or the rule."


def _answers(detector: Detector, column: ColumnDrift) -> str:
    before, now = column.reference, column.current
    has_means = before and now and before.mean is not None and now.mean is not None
    moved = _moved(before, now) if has_means and before and now else _shares(column)
    if detector is Detector.PREDICTION:
        return f"The model's answers ({column.name}) drifted: {moved}. Compare them with labels as these come in."
    return f"The labels ({column.name}) drifted: {moved}. What is to be learned changed: retrain, set thresholds anew."


def _together(part: ClassifierDrift, *, alone: bool) -> str:
    most = [name for name, share in part.importance.items() if share >= 0.1][:3] or list(part.importance)[:3]
    told = f"{_words(most, quoted=False)} tell current rows from the reference (AUC {part.auc:.2f})"
    if alone:
        return f"{told}. Find out what changed in them; if it stays so, retrain on recent rows."
    return (
        f"{told}, though no column drifted by itself: how they depend on each other changed. Look for swapped columns "
        "or rows joined wrongly; retrain if the change is real."
    )


def _words(names: Sequence[str], *, quoted: bool = True) -> str:
    said = [repr(name) if quoted else name for name in names]
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"


def _share(value: float) -> str:
    return f"{value * 100:.3g}%"


def _number(value: float) -> str:
    """Four digits, and thousands apart.

    >>> _number(7035.4), _number(0.12345), _number(1234567)
    ('7,035', '0.1235', '1,234,567')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
