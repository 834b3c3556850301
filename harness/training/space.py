"""What a search may try, as users write it: ``{C: {log: [0.01, 10]}, max_depth: [3, 5, null]}``."""

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from harness.domain.training import Choice, Range, Real, Whole
from harness.errors import InputError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

KINDS: Final = ("int", "float", "log", "choice")
FORMS: Final = (
    "[3, 5, null], {int: [50, 300], step: 50}, {int: [1, 1000], log: true}, {float: [0, 1]}, "
    "{float: [0, 1], step: 0.1} or {log: [0.01, 10]}"
)
MOST: Final = 100_000
"""Combinations of a grid; more are a mistake."""
FARTHEST: Final = 2**53
"""Beyond it floats tell whole numbers apart no longer."""


def space_of(given: Any) -> dict[str, Range]:
    """Read a search space.

    Args:
        given: by parameter, one of the forms.

    Raises:
        InputError: naming the parameter.

    >>> space_of({"C": {"log": [0.01, 10]}, "max_depth": [3, None]})
    {'C': Real(low=0.01, high=10.0, step=None, log=True), 'max_depth': Choice(values=(3, None))}
    """
    if not isinstance(given, Mapping) or not given:
        raise InputError(f"a search space has at least one parameter, such as C: {{log: [0.01, 10]}}; it is {given!r}")
    found = {}
    for name, said in given.items():
        try:
            found[str(name)] = range_of(said)
        except ValueError as error:
            raise InputError(f"{name} is {json.dumps(said, default=str)}; {error}") from None
    return found


def range_of(said: Any) -> Range:
    """Read what one parameter may be.

    Raises:
        ValueError: with what is allowed.
    """
    if isinstance(said, Choice | Whole | Real):
        return said
    if isinstance(said, list | tuple):
        return _choice(said)
    if not isinstance(said, Mapping):
        raise ValueError(f"a range is {FORMS}; a fixed value belongs to params")  # noqa: TRY004 - the user's text
    beside = "int" in said or "float" in said  # where log is true or false
    kinds = [kind for kind in KINDS if kind in said and not (kind == "log" and beside)]
    if len(kinds) != 1:
        raise ValueError(f"a range has exactly one of {', '.join(KINDS)}: {FORMS}")
    (kind,) = kinds
    allowed = {"int": {"int", "step", "log"}, "float": {"float", "step", "log"}}.get(kind, {kind})
    unknown = sorted(set(said) - allowed)
    if unknown:
        raise ValueError(f"{kind} takes no {unknown[0]}; it takes {', '.join(sorted(allowed))}")
    if kind == "choice":
        return _choice(said[kind])
    low, high = _ends(said[kind], kind)
    return _whole(low, high, said) if kind == "int" else _real(low, high, said, log=kind == "log")


def words(given: Range) -> str:
    """A range in words, for reports.

    >>> words(Whole(50, 300, step=50)), words(Real(0.01, 10, log=True)), words(Choice((3, None)))
    ('50 to 300, in steps of 50', '0.01 to 10, by magnitude', '3, null')
    """
    if isinstance(given, Choice):
        return ", ".join(json.dumps(value) for value in given.values)
    ends = f"{given.low:g} to {given.high:g}"
    if given.log:
        return f"{ends}, by magnitude"
    step = given.step if isinstance(given, Real) or given.step != 1 else None
    return ends if step is None else f"{ends}, in steps of {step:g}"


# --- for those who draw from it ---------------------------------------------------------------------------------------


def distribution(given: Range) -> "BaseDistribution":
    """The same for optuna."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match given:
        case Choice():
            return CategoricalDistribution(tuple(_plain(value) for value in given.values))
        case Whole():
            return IntDistribution(given.low, given.high, log=given.log, step=given.step)
        case Real():
            return FloatDistribution(given.low, given.high, log=given.log, step=given.step)


def drawn(space: Mapping[str, Range], params: Mapping[str, Any]) -> dict[str, Any]:
    """What optuna drew, as it is given to an estimator, in the order of the space."""
    found = {}
    for name, given in space.items():
        value = params[name]
        if isinstance(given, Choice):
            value = next(each for each in given.values if _same(_plain(each), value))
        found[name] = value
    return found


def grid(space: Mapping[str, Range]) -> list[dict[str, Any]]:
    """Every combination, the last parameter running fastest, as optuna takes it.

    Raises:
        InputError: a range without steps has no end of values, or there are too many combinations.
    """
    count = math.prod(_count(name, given) for name, given in space.items())
    if count > MOST:
        raise InputError(f"the grid has {count} combinations; at most {MOST}: leave some out, or take tpe or random")
    values = {name: list(_values(given)) for name, given in space.items()}
    return [dict(zip(values, each, strict=True)) for each in itertools.product(*values.values())]


def _count(name: str, given: Range) -> int:
    """How many values a grid takes of a range."""
    match given:
        case Choice():
            return len(given.values)
        case Whole(log=False):
            return (given.high - given.low) // given.step + 1
        case Real(step=float() as step, log=False):
            return math.floor((given.high - given.low) / step + 1e-9) + 1
    raise InputError(f"{name}: a grid takes values or steps, not {words(given)}; list them, or add a step")


def _values(given: Range) -> Iterator[Any]:
    match given:
        case Choice():
            yield from (_plain(value) for value in given.values)
        case Whole():
            yield from range(given.low, given.high + 1, given.step)
        case Real():
            step = given.step or 1.0
            yield from (given.low + place * step for place in range(_count("", given)))


def _plain(value: Any) -> Any:
    """A value as optuna keeps it: lists, which it has no place for, as JSON."""
    return json.dumps(value) if isinstance(value, list | tuple | dict) else value


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other


# --- reading ----------------------------------------------------------------------------------------------------------


def _choice(values: Any) -> Choice:
    if not isinstance(values, list | tuple) or not values:
        raise ValueError("a choice lists at least one value: [3, 5, null]")
    texts = [json.dumps(value, default=str) for value in values]
    twice = next((text for place, text in enumerate(texts) if text in texts[:place]), None)
    if twice is not None:
        raise ValueError(f"it lists {twice} twice")
    if any(isinstance(value, float) and math.isnan(value) for value in values):
        raise ValueError("it lists a NaN, which equals nothing; null stands for no value")
    return Choice(tuple(values))


def _ends(said: Any, kind: str) -> tuple[Any, Any]:
    good = isinstance(said, list | tuple) and len(said) == 2
    if not good or not all(isinstance(end, int | float) and not isinstance(end, bool) for end in said):
        raise ValueError(f"{kind} takes two numbers: {kind}: [low, high]")
    low, high = said
    if any(isinstance(end, int) and abs(end) > FARTHEST for end in said):
        raise ValueError(f"{kind} goes from {low} to {high}; whole numbers lie within 2^53")
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"{kind} goes from {low} to {high}; the first is to be the smaller")
    return low, high


def _whole(low: Any, high: Any, said: Mapping[str, Any]) -> Whole:
    step, log = said.get("step", 1), said.get("log", False)
    if any(isinstance(each, bool) or int(each) != each for each in (low, high)):
        raise ValueError(f"int goes from {low} to {high}; both are to be whole numbers")
    if isinstance(step, bool) or not isinstance(step, int) or step < 1:
        raise ValueError(f"step is {step}; it is a whole number above 0")
    _check_log(log, low, "step" in said)
    return Whole(int(low), int(high), step, log)


def _real(low: Any, high: Any, said: Mapping[str, Any], *, log: bool) -> Real:
    step, log = said.get("step"), log or said.get("log", False)
    if step is not None and (isinstance(step, bool) or not isinstance(step, int | float) or not 0 < step <= FARTHEST):
        raise ValueError(f"step is {step}; it is a number above 0")
    _check_log(log, low, "step" in said)
    return Real(float(low), float(high), None if step is None else float(step), log)


def _check_log(log: Any, low: Any, stepped: bool) -> None:
    if not isinstance(log, bool):
        raise ValueError("log beside int and float is true or false")  # noqa: TRY004 - the user's text
    if log and low <= 0:
        raise ValueError(f"by magnitude it begins above 0, not at {low}")
    if log and stepped:
        raise ValueError("by magnitude it has no step")
