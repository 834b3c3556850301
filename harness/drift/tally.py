"""What domain rules compute of a data set, row by row or chunk by chunk, and whether they hold."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.domain.drift import Rules, RuleVerdict
from harness.drift.rules import And, Condition, DriftRule, Figure, Measure, Not, Test

if TYPE_CHECKING:
    import pandas as pd

COMPARISONS = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
SLACK = 1e-9
"""Of a comparison of a computed figure with its bound, relative: a sum of floats may be off in its last digits."""


@dataclass(slots=True)
class Tally:
    """Adds up what a figure needs, one chunk of rows after another; exact, also over chunks.

    Quantiles and the median keep the column's values (8 bytes a row); all others keep a few numbers.
    """

    figure: Figure
    rows: int = 0
    known: int = 0
    """Rows with a value; of a share: rows in which every column of the condition has one."""
    hits: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared differences from the mean."""
    least: float = math.inf
    most: float = -math.inf
    seen: set[Any] = field(default_factory=set)
    values: list[NDArray[np.float64]] = field(default_factory=list)

    def take(self, frame: "pd.DataFrame") -> None:
        """Add the rows of a table: numbers as float64, categories as text, NaN where a value is missing."""
        self.rows += len(frame)
        figure = self.figure
        if figure.where is not None:
            there = ~frame[list(figure.columns)].isna().any(axis=1).to_numpy()
            self.known += int(there.sum())
            self.hits += int((holds(figure.where, frame) & there).sum())
        elif figure.column:
            known = frame[figure.column].dropna()
            self.known += len(known)
            if figure.measure is Measure.DISTINCT:
                self.seen.update(known.unique().tolist())
            elif figure.measure.numeric and len(known):
                self._numbers(known.to_numpy(dtype=np.float64))

    def _numbers(self, numbers: NDArray[np.float64]) -> None:
        """Chan, Golub and LeVeque (1983): moments of two parts joined."""
        before, count, mean = self.known - len(numbers), len(numbers), float(numbers.mean())
        apart = mean - self.mean
        self.squares += float(((numbers - mean) ** 2).sum()) + apart**2 * before * count / self.known
        self.mean += apart * count / self.known
        self.least, self.most = min(self.least, float(numbers.min())), max(self.most, float(numbers.max()))
        if self.figure.measure in {Measure.MEDIAN, Measure.QUANTILE}:
            self.values.append(numbers)

    @property
    def value(self) -> float | None:
        """The figure; None where no row has what it is computed of. A quantile is numpy's (linear)."""
        measure = self.figure.measure
        if measure is Measure.ROWS:
            return float(self.rows)
        if measure is Measure.MISSING:
            return 1 - self.known / self.rows if self.rows else None
        if measure is Measure.DISTINCT:
            return float(len(self.seen))
        if not self.known or (measure is Measure.SD and self.known < 2):
            return None
        if measure in {Measure.MEDIAN, Measure.QUANTILE}:
            return float(np.quantile(np.concatenate(self.values), self.figure.level))
        return {
            Measure.SHARE: self.hits / self.known,
            Measure.MEAN: self.mean,
            Measure.SD: math.sqrt(self.squares / (self.known - 1)) if self.known > 1 else 0.0,
            Measure.MIN: self.least,
            Measure.MAX: self.most,
        }[measure]


def holds(condition: Condition, frame: "pd.DataFrame") -> NDArray[np.bool_]:
    """In which rows a condition holds; a comparison with a missing value never does."""
    if isinstance(condition, Test):
        return _tested(condition, frame)
    if isinstance(condition, Not):
        return ~holds(condition.term, frame)
    each = np.stack([holds(term, frame) for term in condition.terms])
    return np.asarray(each.all(axis=0) if isinstance(condition, And) else each.any(axis=0))


def _tested(test: Test, frame: "pd.DataFrame") -> NDArray[np.bool_]:
    values = frame[test.column]
    there = values.notna().to_numpy()
    found = np.zeros(len(frame), dtype=bool)
    numeric = values.dtype.kind in "iuf"
    known = values[there].to_numpy(dtype=np.float64 if numeric else object)
    hits = np.zeros(len(known), dtype=bool)
    for wanted in test.values:
        compared = _like(wanted, numeric=numeric)
        if compared is not None and len(known):
            hits |= COMPARISONS["==" if test.op == "in" else test.op](known, compared).astype(bool)
    found[there] = hits
    return found


def _like(wanted: str | float, *, numeric: bool) -> Any:
    """A rule's value as the column holds them; None where a column of numbers never is that text."""
    if not numeric:
        return f"{wanted:g}" if isinstance(wanted, float) else wanted
    try:
        return float(wanted)
    except ValueError:
        return None


def tallies(rules: Sequence[DriftRule]) -> dict[Figure, Tally]:
    """One for each figure that the rules need."""
    return {rule.figure: Tally(rule.figure) for rule in rules}


def judged(rules: Sequence[DriftRule], reference: dict[Figure, Tally], current: dict[Figure, Tally]) -> Rules:
    """Hold each rule's figure of the current data to its bound."""
    return Rules(tuple(_judged(rule, reference[rule.figure].value, current[rule.figure].value) for rule in rules))


def _judged(rule: DriftRule, reference: float | None, value: float | None) -> RuleVerdict:
    passed, bound = False, "nothing to hold it to: the reference has no such value"
    if not rule.relative or reference is not None:
        passed, bound = _compared(rule, reference or 0.0, value)
    if value is None:
        bound = f"{bound}; no row has a value to compute it of"
    return RuleVerdict(rule.text, ", ".join(rule.figure.columns), value, reference, bound, passed)


def _compared(rule: DriftRule, reference: float, value: float | None) -> tuple[bool, str]:
    write = _percent if rule.figure.measure in (Measure.SHARE, Measure.MISSING) else _number
    if rule.op == "within":
        off = abs(rule.number * reference)
        low, high = reference - off, reference + off
        room = SLACK * max(abs(low), abs(high))
        return value is not None and low - room <= value <= high + room, f"{write(low)} to {write(high)}"
    bound = rule.factor * reference + rule.number
    if value is None:
        return False, f"{rule.op} {write(bound)}"
    if math.isclose(value, bound, rel_tol=SLACK):
        return rule.op in {"<=", ">=", "=="}, f"{rule.op} {write(bound)}"
    return bool(COMPARISONS[rule.op](value, bound)), f"{rule.op} {write(bound)}"


def _percent(share: float) -> str:
    return f"{share * 100:.4g}%"


def _number(value: float) -> str:
    return f"{value:.6g}"


def of(rules: Sequence[DriftRule], reference: "pd.DataFrame", current: "pd.DataFrame") -> Rules:
    """Judge rules on two tables."""
    before, now = tallies(rules), tallies(rules)
    for made, frame in ((before, reference), (now, current)):
        for tally in made.values():
            tally.take(frame)
    return judged(rules, before, now)
