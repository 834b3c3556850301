"""Holding rows against a relation, all at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.relation import Among, Compare, Constant, IsMissing, Kind, Logic, Node, Ref, Sum
from harness.domain.quality import Severity

Truths = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Relation:
    """What must hold in each row."""

    text: str
    tree: Node
    tolerance: float = 0.0
    """Numbers that differ by no more are alike, in the unit of the columns; of dates, in days."""
    severity: Severity = Severity.CRITICAL
    max_share: float = 0.0
    """Of the rows, that may break it."""


@dataclass(frozen=True, slots=True)
class Values:
    """A part of a relation in each row: its value, and whether it is known."""

    value: Any
    known: Truths


def broken(relation: Relation, columns: Mapping[str, Any], rows: int) -> Truths:
    """Which rows break the relation.

    As in SQL, what depends on a missing value is unknown, and an unknown relation is not broken (Kleene's logic).

    Args:
        relation: what must hold.
        columns: by name: float64 for numbers, days for dates, objects for texts and truths; NaN where missing.
        rows: how many there are.
    """
    held = _Rows(columns, rows, relation.tolerance).of(relation.tree)
    return np.asarray(held.known & ~held.value.astype(bool), dtype=bool)


@dataclass(frozen=True, slots=True)
class _Rows:
    columns: Mapping[str, Any]
    rows: int
    tolerance: float

    def of(self, node: Node) -> Values:
        match node:
            case Constant(value):
                return Values(np.full(self.rows, value, dtype=object if isinstance(value, str) else None), self._all())
            case Ref(name):
                values = self.columns[name]
                return Values(values, ~_missing(values))
            case IsMissing(of):
                return Values(_missing(self.columns[of.name]), self._all())
            case Among(of, values):
                left = self.of(of)
                alike = [self._alike(left.value, each.value, each.kind) for each in values]
                return Values(np.logical_or.reduce(alike), left.known)
            case Sum():
                return self._sum(node)
            case Compare():
                return self._compare(node)
            case Logic():
                return self._logic(node)

    def _all(self) -> Truths:
        return np.ones(self.rows, dtype=bool)

    def _sum(self, node: Sum) -> Values:
        left, right = self.of(node.left), self.of(node.right)
        a, b = left.value.astype(np.float64), right.value.astype(np.float64)
        with np.errstate(all="ignore"):
            value = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}[node.op](a, b)
        return Values(value, left.known & right.known & np.isfinite(value))

    def _compare(self, node: Compare) -> Values:
        left, right = self.of(node.left), self.of(node.right)
        known = left.known & right.known
        if node.op in ("==", "!="):
            alike = self._alike(left.value, right.value, node.left.kind)
            return Values(alike if node.op == "==" else ~alike, known)
        a, b, slack = left.value.astype(np.float64), right.value.astype(np.float64), self.tolerance
        with np.errstate(invalid="ignore"):
            held = {">=": a >= b - slack, "<=": a <= b + slack, ">": a > b - slack, "<": a < b + slack}[node.op]
        return Values(held, known)

    def _alike(self, left: Any, right: Any, kind: Kind) -> Truths:
        if kind in (Kind.NUMBER, Kind.DATE):
            with np.errstate(invalid="ignore"):
                return np.asarray(np.abs(left.astype(np.float64) - right) <= self.tolerance, dtype=bool)
        return np.asarray(left == right, dtype=bool)

    def _logic(self, node: Logic) -> Values:
        left = self.of(node.left)
        a = left.value.astype(bool)
        if node.op == "not":
            return Values(~a, left.known)
        if node.op == "if":
            a = ~a
        right = self.of(node.right)
        b = right.value.astype(bool)
        if node.op == "and":
            false = (left.known & ~a) | (right.known & ~b)
            return Values(a & b & left.known & right.known, false | (left.known & right.known))
        true = (left.known & a) | (right.known & b)
        return Values(true, true | (left.known & right.known))


def _missing(values: Any) -> Truths:
    if values.dtype == object:
        return np.asarray(values != values, dtype=bool)  # noqa: PLR0124 - only NaN differs from itself
    if values.dtype == bool:
        return np.zeros(len(values), dtype=bool)
    return np.asarray(np.isnan(values), dtype=bool)
