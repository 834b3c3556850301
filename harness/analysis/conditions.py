"""Judging a condition on figures, in three values: it holds, it does not, or nothing was measured to tell."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from harness.analysis.figures import exact_text, figure_text
from harness.analysis.grammar import RuleError, parse
from harness.analysis.vocabulary import METRICS
from harness.domain.analysis import Absolute, And, Bound, Comparison, Condition, Not, Op, Or, Relative, Unit
from harness.domain.model import Role

__all__ = [
    "Evaluation",
    "Figure",
    "Read",
    "RuleError",
    "bound_text",
    "comparisons",
    "condition_text",
    "describe",
    "evaluate",
    "figure_text",
    "metrics_of",
    "parse",
]

Figure = float | str | None
Read = Callable[[str, Role], Figure]
"""The figure of a metric for a role; None where there is nothing to measure."""

_CLOSE: Final = 1e-9
"""Figures that differ by less, relatively, are equal: ``stable - 5%`` of 90 % must be met by 85 %, whatever the last
bit says, and an expectation is judged on figures of which the log keeps nine digits."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a condition came to, and the comparison that decided it."""

    holds: bool | None
    """Of the whole condition; None: nothing was measured to tell."""
    comparison: Comparison
    """The first one that the answer rests on."""
    met: bool | None
    """Whether that comparison held."""
    candidate: Figure
    stable: Figure
    """None where the bound does not speak of stable."""
    bound: Figure

    def __str__(self) -> str:
        """As the report tells it."""
        return describe(self)


def evaluate(condition: Condition, read: Read) -> Evaluation:
    """Judge a condition; a figure that is None or NaN leaves undecided what depends on it (Kleene's logic).

    >>> evaluate(parse("p95 <= 250ms").condition, lambda metric, role: 0.2).holds
    True
    """
    match condition:
        case Comparison():
            return _compare(condition, read)
        case Not(inner):
            found = evaluate(inner, read)
            return replace(found, holds=None if found.holds is None else not found.holds)
        case And(parts):
            return _first((evaluate(part, read) for part in parts), decisive=False)
        case Or(parts):
            return _first((evaluate(part, read) for part in parts), decisive=True)


def describe(found: Evaluation) -> str:
    """Say what was found and what was wanted.

    >>> describe(evaluate(parse("p95 <= stable * 1.5").condition, lambda m, role: 0.18 if role == "candidate" else 0.1))
    'p95 is 180ms, not <= 150ms (stable * 1.5, stable is 100ms)'
    """
    metric, op, bound = found.comparison.metric, found.comparison.op, found.comparison.bound
    if found.met is None:
        whose = "the candidate" if found.candidate is None else "stable"
        return f"{metric} has no figure for {whose}"
    wanted = f"{op} {figure_text(metric, found.bound)}"
    if isinstance(bound, Relative):
        exactly_stable = bound == Relative()
        told = "stable's" if exactly_stable else f"{bound_text(metric, bound)}, stable is"
        wanted += f" ({told})" if exactly_stable else f" ({told} {figure_text(metric, found.stable)})"
    return f"{metric} is {figure_text(metric, found.candidate)}, {'' if found.met else 'not '}{wanted}"


def condition_text(condition: Condition) -> str:
    """Write a condition so that reading it gives the same again.

    >>> condition_text(parse("not (p95<=250ms   or error_rate > .5)").condition)
    'not (p95 <= 250ms or error_rate > 50%)'
    """
    match condition:
        case Comparison(metric, op, bound):
            return f"{metric} {op} {bound_text(metric, bound)}"
        case Not(inner):
            return f"not {_wrapped(inner)}"
        case And(parts):
            return " and ".join(_wrapped(part) for part in parts)
        case Or(parts):
            return " or ".join(_wrapped(part) for part in parts)


def bound_text(metric: str, bound: Bound) -> str:
    """Write a bound as a rule would.

    >>> bound_text("p95", Relative(factor=1.5)), bound_text("p95", Absolute(0.25))
    ('stable * 1.5', '250ms')
    """
    unit = METRICS[metric].unit
    if isinstance(bound, Absolute):
        return exact_text(bound.value, unit) if isinstance(bound.value, float | int) else _word_text(bound.value)
    if bound.factor != 1:
        return f"stable * {exact_text(bound.factor, Unit.NONE)}"
    if bound.offset:
        return f"stable {'+' if bound.offset > 0 else '-'} {exact_text(abs(bound.offset), unit)}"
    return "stable"


def metrics_of(condition: Condition) -> tuple[str, ...]:
    """The metrics of a condition, in the order of their first mention.

    >>> metrics_of(parse("p95 < 1s and (p99 < 2s or p95 < 100ms)").condition)
    ('p95', 'p99')
    """
    return tuple(dict.fromkeys(comparison.metric for comparison in comparisons(condition)))


def comparisons(condition: Condition) -> Iterator[Comparison]:
    """Every comparison of a condition, in order."""
    match condition:
        case Comparison():
            yield condition
        case Not(inner):
            yield from comparisons(inner)
        case And(parts) | Or(parts):
            for part in parts:
                yield from comparisons(part)


def _compare(comparison: Comparison, read: Read) -> Evaluation:
    candidate = _measured(read(comparison.metric, Role.CANDIDATE))
    bound, stable = comparison.bound, None
    wanted: Figure
    if isinstance(bound, Absolute):
        wanted = bound.value
    else:
        stable = _measured(read(comparison.metric, Role.STABLE))
        wanted = None if stable is None or isinstance(stable, str) else stable * bound.factor + bound.offset
    met = None if candidate is None or wanted is None else _holds(comparison.op, candidate, wanted)
    return Evaluation(met, comparison, met, candidate, stable, wanted)


def _holds(op: Op, left: float | str, right: float | str) -> bool | None:
    if isinstance(left, str) or isinstance(right, str):
        return (left == right) is (op is Op.EQ)
    equal = math.isclose(left, right, rel_tol=_CLOSE, abs_tol=1e-12)
    match op:
        case Op.LT:
            return left < right and not equal
        case Op.LE:
            return left < right or equal
        case Op.GT:
            return left > right and not equal
        case Op.GE:
            return left > right or equal
        case Op.EQ:
            return equal
        case Op.NE:
            return not equal


def _first(found: Iterable[Evaluation], *, decisive: bool) -> Evaluation:
    """The part that settles a conjunction (one that fails) or a disjunction (one that holds); else an undecided one."""
    parts = list(found)
    by_answer = {part.holds: part for part in reversed(parts)}
    for answer in (decisive, None, not decisive):
        if answer in by_answer:
            return by_answer[answer]
    raise ValueError("a conjunction or disjunction of nothing")


def _measured(figure: Figure) -> Figure:
    return None if isinstance(figure, float) and math.isnan(figure) else figure


def _wrapped(condition: Condition) -> str:
    text = condition_text(condition)
    return f"({text})" if isinstance(condition, And | Or) else text


def _word_text(word: str) -> str:
    if word.isidentifier() and word.isascii():
        return word
    return f"'{word}'" if '"' in word else f'"{word}"'
