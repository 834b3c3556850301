"""Figures as text: numbers of a rule read in the unit of their metric, and figures written for people."""

import math
from decimal import Decimal, InvalidOperation
from typing import Final

from harness.analysis.vocabulary import METRICS
from harness.domain.analysis import Unit
from harness.domain.quantity import duration_ns, rate_per_s, share
from harness.domain.units import SECOND, duration_text

_MOST_DIGITS: Final = 30


def read_number(text: str, unit: Unit) -> float:
    """A number in base units; ValueError, worded to follow the metric's name, where its unit is another.

    >>> read_number("250ms", Unit.SECONDS), read_number("10%", Unit.SHARE), read_number("12000/m", Unit.RATE)
    (0.25, 0.1, 200.0)
    """
    plain = _plain(text)
    match unit:
        case Unit.SECONDS:
            return _seconds(text, plain)
        case Unit.SHARE:
            return _share(text, plain)
        case Unit.RATE:
            return _rate(text)
        case _ if plain is None:
            raise ValueError("is a plain number; write its bound without a unit")
        case _:
            return float(plain)


def read_factor(text: str) -> float:
    """The N of ``stable * N``; ValueError where it has a unit or is not above 0."""
    value = _plain(text)
    if value is None:
        meant = _plain(text.strip("%x"))
        if meant is not None and text.endswith("%"):
            meant /= 100
        raise ValueError(f"a factor has no unit; write stable * {_digits(meant) if meant else '1.5'}")
    if not value:
        raise ValueError("a factor is above 0")
    return float(value)


def exact_text(value: float, unit: Unit) -> str:
    """Write a number so that reading it gives the same float again.

    >>> [exact_text(0.035, Unit.SECONDS), exact_text(0.02, Unit.SHARE), exact_text(1.5, Unit.NONE)]
    ['35ms', '2%', '1.5']
    """
    exact = Decimal(repr(value))
    match unit:
        case Unit.SECONDS if abs(value) >= 1 or not value:
            return f"{_digits(exact)}s"
        case Unit.SECONDS:
            return f"{_digits(exact * 1000)}ms"
        case Unit.SHARE:
            return f"{_digits(exact * 100)}%"
        case Unit.RATE:
            return f"{_digits(exact)}/s"
        case _:
            return _digits(exact)


def figure_text(metric: str, value: float | str | None) -> str:
    """Write a figure for people, in the unit of its metric.

    >>> figure_text("p95", 0.1812), figure_text("error_rate", 0.0312), figure_text("rate", 99.7)
    ('181ms', '3.12%', '99.7/s')
    """
    if value is None or isinstance(value, str):
        return "no figure" if value is None else value
    if not math.isfinite(value):
        return str(value)
    match METRICS[metric].unit:
        case Unit.SECONDS if 0 < abs(value) < 1:
            return f"{value * 1000:.3g}ms"
        case Unit.SECONDS:
            return duration_text(round(value * 1000) * (SECOND // 1000))
        case Unit.SHARE:
            return f"{value * 100:.4g}%"
        case Unit.RATE:
            return f"{value:.4g}/s"
        case _:
            return f"{value:.0f}" if value.is_integer() else f"{value:.4g}"


def _seconds(text: str, plain: Decimal | None) -> float:
    if plain is not None:
        first, second = (("s", plain), ("ms", plain * 1000)) if plain < 10 else (("ms", plain), ("s", plain))
        meant = " or ".join(f"{_digits(number)}{unit}" for unit, number in (first, second))
        raise ValueError(f"is a time, and a time has a unit; write {meant}")
    if text.endswith("%"):
        raise ValueError("is a time; write 250ms, or a multiple of stable's own: stable * 1.5")
    try:
        return duration_ns(text) / SECOND
    except ValueError as error:
        raise ValueError(f"is a time; {error}") from None


def _share(text: str, plain: Decimal | None) -> float:
    if plain is not None and plain > 1:
        raise ValueError(f"is a share, from 0% to 100% or from 0 to 1; write {_digits(plain)}%")
    if plain is None and not text.endswith("%"):
        raise ValueError("is a share; write 10% or 0.1")
    try:
        return float(plain) if plain is not None else share(text)
    except ValueError:
        raise ValueError("is a share, from 0% to 100%") from None


def _rate(text: str) -> float:
    try:
        return rate_per_s(text)
    except ValueError as error:
        raise ValueError(f"is a rate; {error}") from None


def _plain(text: str) -> Decimal | None:
    """The number without a unit; None where there is one. Absurd magnitudes are no numbers."""
    try:
        value = Decimal(text) if len(text) <= _MOST_DIGITS and text.isascii() and "_" not in text else None
    except InvalidOperation:
        return None
    if value is None or not math.isfinite(float(value)) or (value and not float(value)):
        return None
    return value


def _digits(value: Decimal) -> str:
    """All digits of a number and no more."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
