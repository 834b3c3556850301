"""Quantities as people write them: durations, rates, shares, factors, deviations.

Each reader takes the text and answers in base units, or raises ValueError with what is allowed instead. Decimal
arithmetic keeps what was written: ``35ms`` is the float nearest to 0.035, not a neighbour of it.
"""

import re
from decimal import Decimal
from typing import Final

from harness.domain.units import HOUR, MILLISECOND, MINUTE, SECOND, WHOLE

DAY: Final = 24 * HOUR
LONGEST: Final = 1000 * DAY
HIGHEST_PER_S: Final = 10_000_000

UNITS: Final = {"d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND, "ms": MILLISECOND}
_PER: Final = {"s": 1, "m": 60, "h": 3600}
_SPELT: Final = {
    **dict.fromkeys(("day", "days"), "d"),
    **dict.fromkeys(("hour", "hours", "hr", "hrs"), "h"),
    **dict.fromkeys(("minute", "minutes", "min", "mins"), "m"),
    **dict.fromkeys(("second", "seconds", "sec", "secs"), "s"),
    **dict.fromkeys(("millisecond", "milliseconds", "msec", "millis"), "ms"),
}

NUMBER: Final = r"[0-9]{1,15}(?:\.[0-9]{1,15})?"
DURATION_PATTERN: Final = rf"^(?:{NUMBER}(?:ms|[dhms]))+$"
RATE_PATTERN: Final = rf"^{NUMBER}/[smh]$"
SHARE_PATTERN: Final = rf"^{NUMBER}%$"
FACTOR_PATTERN: Final = rf"^x{NUMBER}$"
DEVIATION_PATTERN: Final = rf"^[+-]?{NUMBER}sd$"

_PART: Final = re.compile(rf"({NUMBER})(ms|[dhms])")
_A_DURATION: Final = "a duration is a number with a unit: 250ms, 30s, 5m, 2h or 1d"
_A_RATE: Final = "a rate is a number per s, m or h: 200/s, 12000/m or 3600/h"
_A_SHARE: Final = "a share is a percentage or a number from 0 to 1: 10% or 0.1"


def duration_ns(text: str) -> int:
    """Nanoseconds of a duration.

    >>> [duration_ns(text) for text in ("250ms", "1.5s", "1h30m")]
    [250000000, 1500000000, 5400000000000]
    """
    if not re.fullmatch(DURATION_PATTERN, text, re.ASCII):
        raise ValueError(_mended_duration(text))
    total, largest = Decimal(0), LONGEST
    for number, unit in _PART.findall(text):
        if UNITS[unit] >= largest:
            raise ValueError("the units of a duration go from large to small, each once: 1h30m")
        largest = UNITS[unit]
        total += Decimal(number) * largest
    if total > LONGEST:
        raise ValueError("a duration is at most 1000d")
    return round(total)


def rate_per_s(text: str) -> float:
    """Events per second of a rate.

    >>> rate_per_s("200/s"), rate_per_s("12000/m"), rate_per_s("3600/h")
    (200.0, 200.0, 1.0)
    """
    if not re.fullmatch(RATE_PATTERN, text, re.ASCII):
        number = re.fullmatch(rf"({NUMBER})\s*(?:/\s*([smh]).*|rps|qps|hz)?", text.strip(), re.ASCII | re.IGNORECASE)
        if number:
            raise ValueError(f"{_A_RATE}; write {number[1]}/{(number[2] or 's').lower()}")
        raise ValueError(_A_RATE)
    number_text, per = text.split("/")
    rate = float(Decimal(number_text) / _PER[per])
    if rate > HIGHEST_PER_S:
        raise ValueError(f"a rate is at most {HIGHEST_PER_S}/s")
    return rate


def share(written: str | float) -> float:
    """A share in 0..1, written as a percentage or as a plain number.

    >>> share("10%"), share(0.1), share("100%")
    (0.1, 0.1, 1.0)
    """
    exact = _percentage(written) if isinstance(written, str) else written
    if not 0 <= exact <= 1:  # also NaN
        shown = f"; write {written}%" if isinstance(written, int) and 1 < written <= 100 else ""
        raise ValueError(f"a share is from 0% to 100%, or from 0 to 1{shown}")
    return float(exact)


def weight(written: str | float) -> int:
    """A share of traffic in hundredths of a percent, exactly.

    >>> weight("12.5%"), weight(1)
    (1250, 10000)
    """
    try:
        hundredths = Decimal(str(share(written))) * WHOLE
    except ValueError as error:
        told = str(error).replace("a share is from 0% to 100%, or from 0 to 1", "a weight is a share from 0% to 100%")
        raise ValueError(told) from None
    if hundredths != hundredths.to_integral_value():
        raise ValueError("weights go in steps of 0.01%")
    return int(hundredths)


def factor(text: str) -> float:
    """A factor.

    >>> factor("x1.8")
    1.8
    """
    if not re.fullmatch(FACTOR_PATTERN, text, re.ASCII):
        bare = re.fullmatch(rf"[x×*]?\s*({NUMBER})\s*[x×*]?", text.strip(), re.ASCII | re.IGNORECASE)
        raise ValueError(f"a factor is written x{bare[1] if bare else '1.8'}")
    if not Decimal(text[1:]):
        raise ValueError("a factor is above 0")
    return float(text[1:])


def deviations(text: str) -> float:
    """A number of standard deviations.

    >>> deviations("1.5sd"), deviations("-2sd")
    (1.5, -2.0)
    """
    if not re.fullmatch(DEVIATION_PATTERN, text, re.ASCII):
        bare = re.fullmatch(rf"([+-]?{NUMBER})\s*(?:sd|sigma|σ)?", text.strip(), re.ASCII | re.IGNORECASE)
        raise ValueError(f"a shift is a number of standard deviations: write {bare[1] if bare else '1.5'}sd")
    return float(text.removesuffix("sd"))


def _percentage(text: str) -> Decimal:
    if not re.fullmatch(SHARE_PATTERN, text, re.ASCII):
        spaced = re.fullmatch(rf"({NUMBER})\s+%", text.strip(), re.ASCII)
        if spaced:
            raise ValueError(f"write {spaced[1]}%, without the space")
        if re.fullmatch(rf"-{NUMBER}%?", text, re.ASCII):
            raise ValueError("a share is from 0% to 100%, or from 0 to 1")
        raise ValueError(_A_SHARE)
    return Decimal(text.removesuffix("%")) / 100


def _mended_duration(text: str) -> str:
    """What to write instead of something that is no duration."""
    bare = text.strip()
    if re.fullmatch(NUMBER, bare, re.ASCII):
        return f"a duration has a unit: write {bare}s, {bare}m or {bare}h"
    if bare.startswith("-"):
        return "a duration is never negative"
    spelt = re.fullmatch(rf"({NUMBER})\s*([A-Za-z]+)", bare, re.ASCII)
    if spelt:
        unit = spelt[2].lower()
        unit = _SPELT.get(unit, unit)
        if unit in UNITS:
            return f"write {spelt[1]}{unit}"
        return f"the units of a duration are ms, s, m, h and d: write {spelt[1]}s or {spelt[1]}m"
    return _A_DURATION
