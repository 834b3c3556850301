"""Units that every layer shares: nanoseconds for time, hundredths of a percent for weights."""

from typing import Final

MICROSECOND: Final = 1_000
MILLISECOND: Final = 1_000_000
SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE

WHOLE: Final = 10_000
"""All traffic. A weight is an integer share of it, so that sums are exact."""


def duration_text(duration_ns: int) -> str:
    """Write a duration as a scenario file would.

    >>> [duration_text(d) for d in (0, 250 * MILLISECOND, 90 * SECOND, 2 * HOUR, 2731 * SECOND, 7230 * SECOND)]
    ['0s', '250ms', '1m30s', '2h', '45m31s', '2h0m30s']
    """
    if duration_ns < 0:
        return "-" + duration_text(-duration_ns)
    parts: list[str] = []
    rest = duration_ns
    for unit, size in (("h", HOUR), ("m", MINUTE)):
        count, rest = divmod(rest, size)
        if count or (parts and rest):  # 2h0m30s: nobody reads 2h30s right
            parts.append(f"{count}{unit}")
    if rest and rest < SECOND and not parts:
        return f"{rest / MILLISECOND:g}ms"
    if rest or not parts:
        parts.append(f"{rest / SECOND:.6g}s")
    return "".join(parts)


def share_text(weight: int) -> str:
    """Write a weight as a percentage.

    >>> share_text(1000), share_text(1250), share_text(WHOLE)
    ('10%', '12.5%', '100%')
    """
    return f"{weight / 100:g}%"
