"""What the models were asked beyond their figures on all held-out rows: kept from the log, and told as chapters."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, TypeVar

from harness.domain.evaluation import Bounds, SliceFound
from harness.domain.evaluation_event import (
    BehaviourFound,
    CalibrationFound,
    ImportanceFound,
    IntervalsFound,
    SlicesFound,
)
from harness.domain.event import Event
from harness.domain.model import Role
from harness.report import text as words
from harness.report.chapter import NONE, Chapter, Line
from harness.report.numbers import figure

STAGE: Final = "examine"
LOWER_IS_BETTER: Final = frozenset({"log_loss", "brier", "rmse", "mae"})
COLUMNS: Final = 10
"""The most important; JSON has all."""
E = TypeVar("E", bound=Event)


@dataclass(slots=True)
class Examined:
    """What was found of the last candidate, and of stable where the two can be compared."""

    events: list[Event] = field(default_factory=list)

    def begin(self) -> None:
        """The next candidate is examined."""
        self.events.clear()

    def see(self, event: Event) -> None:
        """Keep what was found."""
        self.events.append(event)


def of(events: Sequence[Event], kind: type[E], role: Role | None = None) -> list[E]:
    """Events of a kind, in order, of one role or all."""
    found = [event for event in events if isinstance(event, kind)]
    return [event for event in found if role is None or getattr(event, "role", None) is role]


def chapters(events: Sequence[Event]) -> Iterator[Chapter]:
    """What decided first: behaviour; then how sure the figures are, slices, calibration and importance."""
    if not events:
        return
    yield _behaviour(of(events, BehaviourFound))
    yield _intervals(of(events, IntervalsFound))
    stable = {each.by: each for each in of(events, SlicesFound, Role.STABLE)}
    for each in of(events, SlicesFound, Role.CANDIDATE):
        yield _slices(each, stable.get(each.by))
    yield _calibration(of(events, CalibrationFound))
    for found in of(events, ImportanceFound):
        yield _importance(found)


def _behaviour(found: Sequence[BehaviourFound]) -> Chapter:
    lines = [
        Line(
            (
                each.text,
                words.count(each.rows),
                words.count(each.failed),
                words.share(each.share),
                words.share(each.at_most),
                "✓" if each.passed else "✗",
                each.detail or NONE,
            ),
            each.passed,
        )
        for each in found
    ]
    columns = ("the candidate's behaviour", "rows", "failed", "share", "at most", "", "the first that failed")
    return Chapter("Behaviour", columns, lines, frozenset({1, 2, 3, 4}))


def _intervals(found: Sequence[IntervalsFound]) -> Chapter:
    by_role = {each.role: each for each in found}
    candidate, stable = by_role.get(Role.CANDIDATE), by_role.get(Role.STABLE)
    if candidate is None:
        return Chapter("How sure the figures are", (), [])
    lines = []
    for name, bounds in candidate.intervals.items():
        apart = candidate.difference.get(name)
        other = stable.intervals.get(name) if stable else None
        lines.append(Line((name, _bounds(name, bounds), _bounds(name, other), _apart(name, apart)), _news(name, apart)))
    note = (
        f"{words.share(candidate.level)} intervals of {candidate.resamples:,} bootstrap resamples of "
        f"{candidate.rows:,} held-out rows; differences are paired by rows."
    )
    columns = ("metric", "candidate", "stable", "candidate - stable")
    return Chapter("How sure the figures are", columns, lines, frozenset({1, 2, 3}), note)


def _bounds(metric: str, bounds: Bounds | None) -> str:
    if bounds is None:
        return NONE
    value, lower, upper = (words.figure(metric, each) for each in (bounds.value, bounds.lower, bounds.upper))
    return f"{value} ({lower} to {upper})"


def _apart(metric: str, bounds: Bounds | None) -> str:
    if bounds is None:
        return NONE
    scale = 100 if words.figure(metric, 0.5).endswith("%") else 1
    value, lower, upper = (each * scale for each in (bounds.value, bounds.lower, bounds.upper))
    digits = 1 if scale == 100 else 3
    unit = " points" if scale == 100 else ""
    return f"{value:+.{digits}f}{unit} ({lower:+.{digits}f} to {upper:+.{digits}f})"


def _news(metric: str, apart: Bounds | None) -> bool | None:
    """Good or bad where the whole interval is on one side of nought."""
    if apart is None or apart.lower <= 0 <= apart.upper:
        return None
    return (apart.lower > 0) != (metric in LOWER_IS_BETTER)


def _slices(found: SlicesFound, stable: SlicesFound | None) -> Chapter:
    theirs = {each.name: each for each in stable.slices} if stable else {}
    lines = [_slice(each, found, theirs.get(each.name)) for each in found.slices]
    worst = f"the worst is {found.worst}; " if found.worst else ""
    few = f"; slices of fewer than {found.min_rows} rows are not compared" if _any_few(found) else ""
    overall = words.figure(found.metric, found.overall)
    note = f"By {found.metric}, {overall} on all rows: {worst}red where its whole interval is worse than that{few}."
    columns = (found.by, "rows", found.metric, "interval", "of stable", "")
    return Chapter(f"Slices by {found.by}", columns, lines, frozenset({1, 2, 3, 4}), note)


def _any_few(found: SlicesFound) -> bool:
    return any(not each.compared for each in found.slices)


def _slice(each: SliceFound, found: SlicesFound, stable: SliceFound | None) -> Line:
    metric, interval = found.metric, each.interval
    bounds = f"{words.figure(metric, interval.lower)} to {words.figure(metric, interval.upper)}" if interval else NONE
    told = "few rows" if not each.compared else "the worst" if each.name == found.worst else ""
    cells = (
        each.name,
        words.count(each.rows),
        words.figure(metric, each.metrics.get(metric)),
        bounds,
        words.figure(metric, stable.metrics.get(metric) if stable else None),
        told,
    )
    return Line(cells, False if interval and _worse(interval, found) else None)


def _worse(interval: Bounds, found: SlicesFound) -> bool:
    if found.metric in LOWER_IS_BETTER:
        return interval.lower > found.overall
    return interval.upper < found.overall


def _calibration(found: Sequence[CalibrationFound]) -> Chapter:
    names = (
        ("ece", "expected calibration error, bins of equal width"),
        ("ece_equal_mass", "the same, bins of equally many rows"),
        ("brier", "Brier score"),
        ("reliability", "of it: reliability (less is better)"),
        ("resolution", "resolution (more is better)"),
        ("uncertainty", "uncertainty (of the rows)"),
    )
    roles = [each.role for each in found]
    lines = [Line((told, *(f"{getattr(each, name):.4f}" for each in found))) for name, told in names]
    note = "Brier score = reliability - resolution + uncertainty, but for what bins leave out."
    columns = ("", *(role.value for role in roles))
    return Chapter("Calibration", columns, lines if found else [], frozenset(range(1, len(columns))), note)


def _importance(found: ImportanceFound) -> Chapter:
    shown = found.columns[:COLUMNS]
    lines = [Line((each.column, f"{each.drop:+.4f}", f"{each.sd:.4f}")) for each in shown]
    more = f" {len(found.columns) - len(shown)} more are worth less." if len(found.columns) > len(shown) else ""
    note = (
        f"How much worse {found.metric} ({words.figure(found.metric, found.baseline)}) gets where the column is "
        f"shuffled, over {words.plural(found.repeats, 'shuffle')} of {found.rows:,} held-out rows.{more}"
    )
    return Chapter("Importance of columns", ("column", "drop", "sd"), lines, frozenset({1, 2}), note)


def as_json(events: Sequence[Event]) -> dict[str, Any]:
    """The same as a program reads it: by kind, each with its role; figures as the log keeps them."""
    named: dict[str, type[Event]] = {
        "intervals": IntervalsFound,
        "slices": SlicesFound,
        "calibration": CalibrationFound,
        "importance": ImportanceFound,
        "behaviour": BehaviourFound,
    }
    return {name: [_plain(event) for event in of(events, kind)] for name, kind in named.items()}


def _plain(event: Any) -> dict[str, Any]:
    made: dict[str, Any] = _kept(asdict(event))
    made.pop("at_ns")
    return made


def _kept(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _kept(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_kept(each) for each in value]
    if isinstance(value, Role):
        return value.value
    return figure(value) if isinstance(value, float) else value
