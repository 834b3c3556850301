"""Requests held against a model's features: every fault at once, each with its field, its value and what is allowed."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from harness.serving.features import MISSING, Feature, Kind

Row = list[Any]
"""A value for each feature, in order: floats for numbers (NaN where missing), else as in JSON (None where missing)."""

TOLD: Final = 20
"""Faults of one request that are told; of more their number."""
SHOWN: Final = 60
"""Characters of a value that are shown."""
ALLOWED_SHOWN: Final = 20
HUGE: Final = 1e100
"""Limits beyond it are not told: nobody's data come near."""
UNPROCESSABLE: Final = 422
WHAT: Final = {
    Kind.NUMBER: "a number",
    Kind.TEXT: "a text",
    Kind.BOOLEAN: "true or false",
    Kind.ANY: "a number, a text, true or false",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in a request."""

    field: str
    text: str
    """A sentence: field, value, what is allowed."""
    value: str | None = None
    """As JSON, cut; None where there is none."""
    allowed: str = ""

    def as_json(self) -> dict[str, Any]:
        """As an answer tells it."""
        return {"field": self.field, "value": self.value, "allowed": self.allowed}


class Refused(Exception):
    """A request is refused; the message is what its sender is told.

    Args:
        status: as in HTTP.
        message: what is wrong, and what to send instead.
        faults: by field, where there are any.
        code: what MLflow calls this kind of error.
    """

    def __init__(
        self, status: int, message: str, faults: Sequence[Fault] = (), code: str = "BAD_REQUEST", retry_after_s: int = 0
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.faults = tuple(faults)
        self.code = code
        self.retry_after_s = retry_after_s


class Wrong(ValueError):
    """A value is none that the feature takes."""


def of_faults(faults: Sequence[Fault]) -> Refused:
    """A refusal that tells of them all, or of the first and how many more there are."""
    told = faults[:TOLD]
    more = f"; and {len(faults) - TOLD} more" if len(faults) > TOLD else ""
    return Refused(UNPROCESSABLE, "; ".join(fault.text for fault in told) + more, told)


def shown(value: Any) -> str:
    r"""A value as JSON, cut; only ASCII, so that any answer can hold it.

    >>> shown("é"), shown([1, None]), shown("x" * 100)[-4:]
    ('"\\u00e9"', '[1, null]', 'x...')
    """
    try:
        text = json.dumps(value)
    except (ValueError, RecursionError):
        text = f"<{type(value).__name__}>"
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


class Checker:
    """Turns values by name into rows.

    Args:
        features: of the model, in order.
    """

    def __init__(self, features: Sequence[Feature]) -> None:
        self.features = tuple(features)
        self.names = tuple(feature.name for feature in features)
        self._takes = tuple((feature.name, _take(feature)) for feature in features)

    def row(self, body: Mapping[str, Any]) -> Row:
        """The row of an object; names that the model does not know are ignored.

        Raises:
            Refused: it lacks features, or has values that these do not take; all are told.
        """
        try:
            return [take(body[name]) for name, take in self._takes]
        except (KeyError, Wrong):
            raise of_faults(self._faults(body, "")) from None

    def rows(self, bodies: Iterable[Any]) -> list[Row]:
        """The rows of several objects; faults say in which, counted from 0.

        Raises:
            Refused: as `row`.
        """
        found: list[Row] = []
        faults: list[Fault] = []
        for number, body in enumerate(bodies):
            if not isinstance(body, Mapping):
                faults.append(Fault(f"{number}", f"row {number} is {shown(body)}; a row is an object", shown(body)))
                continue
            try:
                found.append([take(body[name]) for name, take in self._takes])
            except (KeyError, Wrong):
                faults += self._faults(body, f"row {number}: ")
        if faults:
            raise of_faults(faults)
        return found

    def _faults(self, body: Mapping[str, Any], where: str) -> list[Fault]:
        found = []
        for feature, (name, take) in zip(self.features, self._takes, strict=True):
            if name not in body:
                found.append(_lacking(feature, body, where))
                continue
            try:
                take(body[name])
            except Wrong:
                what, value = takes(feature), shown(body[name])
                found.append(Fault(name, f"{where}{name} is {value}; it takes {what}", value, what))
        return found


def takes(feature: Feature) -> str:
    """What values a feature takes, in words.

    >>> takes(Feature("age", Kind.NUMBER, limit=1e6)), takes(Feature("plan", Kind.TEXT, nullable=False))
    ('a number from -1e+06 to 1e+06, or null', 'a text')
    """
    what = WHAT[feature.kind]
    if feature.closed:
        some = ", ".join(json.dumps(value) for value in feature.known[:ALLOWED_SHOWN])
        rest = len(feature.known) - ALLOWED_SHOWN
        what = f"one of {some}" + (f" and {rest} more" if rest > 0 else "")
    elif feature.kind is Kind.NUMBER and feature.limit < HUGE:
        what = f"a number from {-feature.limit:g} to {feature.limit:g}"
    return what + (", or null" if feature.nullable else "")


def _lacking(feature: Feature, body: Mapping[str, Any], where: str) -> Fault:
    import difflib

    near = difflib.get_close_matches(feature.name, [name for name in body if len(name) < 100], 1, 0.8)
    remedy = f"; is {shown(near[0])} meant?" if near else "; send null where it is not known" * feature.nullable
    return Fault(feature.name, f"{where}{feature.name} is missing{remedy}", None, takes(feature))


def _take(feature: Feature) -> Callable[[Any], Any]:
    """What turns a value of JSON into one of a row; `Wrong` where it is none."""
    make = {Kind.NUMBER: _number, Kind.TEXT: _text, Kind.BOOLEAN: _boolean, Kind.ANY: _any}[feature.kind]
    return make(feature)


def _number(feature: Feature) -> Callable[[Any], Any]:
    limit, nullable = min(feature.limit, 1.7976931348623157e308), feature.nullable
    allowed = frozenset(feature.known) if feature.closed else None

    def take(value: Any) -> float:
        # bool is an int to Python; the comparison refuses NaN, infinities, and integers that no float can hold.
        kind = type(value)
        if (kind is float or kind is int) and -limit <= value <= limit and (allowed is None or value in allowed):
            return float(value)
        if value is None and nullable:
            return MISSING
        raise Wrong

    return take


def _text(feature: Feature) -> Callable[[Any], Any]:
    nullable = feature.nullable
    allowed = frozenset(feature.known) if feature.closed else None
    known = frozenset(feature.known)

    def take(value: Any) -> str | None:
        if type(value) is str:
            if value in known or (allowed is None and _encodes(value)):
                return value
        elif value is None and nullable:
            return None
        raise Wrong

    return take


def _boolean(feature: Feature) -> Callable[[Any], Any]:
    def take(value: Any) -> bool | None:
        if type(value) is bool and (not feature.closed or value in feature.known):
            return value
        if value is None and feature.nullable:
            return None
        raise Wrong

    return take


def _any(feature: Feature) -> Callable[[Any], Any]:
    number, text = _number(feature), _text(feature)

    def take(value: Any) -> Any:
        if isinstance(value, bool):
            return value
        if value is None:
            if feature.nullable:
                return None
            raise Wrong
        return text(value) if isinstance(value, str) else number(value)

    return take


def _encodes(text: str) -> bool:
    """Whether a text is Unicode: JSON can write half of a surrogate pair, which nothing else can."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
