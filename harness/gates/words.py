"""How gates write figures."""

from collections.abc import Callable, Sequence

from harness.analysis.vocabulary import METRICS
from harness.domain.analysis import Unit
from harness.domain.gates import Limit


def figure(metric: str, value: float) -> str:
    """A metric's value; a share as a percentage.

    >>> figure("accuracy", 0.8123), figure("rmse", 2.5)
    ('81.2%', '2.5')
    """
    known = METRICS.get(metric)
    return share(value) if known and known.unit is Unit.SHARE else f"{value:.4g}"


def difference(metric: str, value: float) -> str:
    """A difference of a metric; of shares, in percentage points.

    >>> difference("accuracy", -0.0123), difference("rmse", 0.5)
    ('-1.23 points', '+0.5')
    """
    known = METRICS.get(metric)
    if known and known.unit is Unit.SHARE:
        return f"{value * 100:+.3g} points"
    return f"{value:+.3g}"


def amount(metric: str, value: float) -> str:
    """A difference that a plan allows.

    >>> amount("accuracy", 0.01), amount("accuracy", 0.025), amount("rmse", 0.5)
    ('1 point', '2.5 points', '0.5')
    """
    text = difference(metric, value).removeprefix("+")
    return text.removesuffix("s") if text == "1 points" else text


def share(value: float) -> str:
    """A share as a percentage.

    >>> share(0.1931)
    '19.3%'
    """
    return f"{value * 100:.3g}%"


def span(interval: tuple[float, float], write: Callable[[float], str] = share) -> str:
    """An interval.

    >>> span((0.1, 0.25))
    '10% to 25%'
    """
    return f"{write(interval[0])} to {write(interval[1])}"


def listed(names: Sequence[str], most: int = 5) -> str:
    """Names in a line, the first of them.

    >>> listed(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def against(limit: Limit) -> str:
    """A bound as a reason names it.

    >>> from harness.domain.gates import limit_of, Measure
    >>> against(limit_of("<= 10%", Measure.SHARE))
    '(bound: <= 10%)'
    """
    return f"(bound: {limit.text})"
