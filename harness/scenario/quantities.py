"""The numbers of a scenario file: each kind reads what was written, or says what may be written instead."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import PlainValidator, ValidationInfo, WithJsonSchema

from harness.domain import quantity
from harness.domain.attempts import MOST_RETRIES
from harness.domain.evaluation import MOST_RESAMPLES
from harness.domain.fault import LatencyAdd, LatencyFactor
from harness.domain.quantity import (
    DEVIATION_PATTERN,
    DURATION_PATTERN,
    FACTOR_PATTERN,
    NUMBER,
    RATE_PATTERN,
    SHARE_PATTERN,
)
from harness.domain.traffic import LEAST_VARIATION, MOST_VARIATION, RateFactor
from harness.domain.units import HOUR, SECOND, WHOLE, duration_text
from harness.scenario.context import UNTIL_APPROVED, Context
from harness.scenario.inputs import WrongValueError

Validator = Callable[[Any], Any]


def written(value: Any) -> str:
    """A number as text, so that a reader can propose its unit; nothing for what is no single value."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def context_in(info: ValidationInfo) -> Context:
    """The facts of the scenario that is being read."""
    return info.context if isinstance(info.context, Context) else Context()


def _whole(least: int, most: int, what: str) -> Validator:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise WrongValueError(f"{what} is a whole number from {least} to {most}")
        return value

    return read


def _schema_whole(least: int, most: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "integer", "minimum": least, "maximum": most})


MOST_REPLICAS: Final = 1000
LONGEST_HORIZON_NS: Final = 30 * 24 * HOUR
MOST: Final = 1_000_000_000
MOST_SEED: Final = 2**63 - 1

Seed = Annotated[int, PlainValidator(_whole(0, MOST_SEED, "a seed")), _schema_whole(0, MOST_SEED)]
Count = Annotated[int, PlainValidator(_whole(0, MOST, "this")), _schema_whole(0, MOST)]
PositiveCount = Annotated[int, PlainValidator(_whole(1, MOST, "this")), _schema_whole(1, MOST)]
Times = Annotated[int, PlainValidator(_whole(0, MOST_RESAMPLES, "this")), _schema_whole(0, MOST_RESAMPLES)]
"""How often something is drawn or asked again; it may be none."""
PositiveTimes = Annotated[int, PlainValidator(_whole(1, MOST_RESAMPLES, "this")), _schema_whole(1, MOST_RESAMPLES)]
Retries = Annotated[int, PlainValidator(_whole(0, MOST_RETRIES, "this")), _schema_whole(0, MOST_RETRIES)]
MOST_USERS: Final = 50_000_000
Users = Annotated[int, PlainValidator(_whole(1, MOST_USERS, "this")), _schema_whole(1, MOST_USERS)]
Servers = Annotated[int, PlainValidator(_whole(1, MOST_REPLICAS, "this")), _schema_whole(1, MOST_REPLICAS)]


def _duration(value: Any) -> int:
    return quantity.duration_ns(written(value))


def _long(value: Any) -> int:
    duration = _duration(value)
    if not duration:
        raise WrongValueError("this duration is longer than 0s")
    return duration


_DURATION_SCHEMA: Final = WithJsonSchema(
    {"type": "string", "pattern": DURATION_PATTERN, "examples": ["250ms", "30s", "5m", "2h", "1h30m", "1d"]}
)
Duration = Annotated[int, PlainValidator(_duration), _DURATION_SCHEMA]
LongDuration = Annotated[int, PlainValidator(_long), _DURATION_SCHEMA]


def _horizon(value: Any) -> int:
    horizon = _long(value)
    if horizon > LONGEST_HORIZON_NS:
        raise WrongValueError(f"a run lasts at most {LONGEST_HORIZON_NS // (24 * HOUR)}d")
    return horizon


HorizonDuration = Annotated[int, PlainValidator(_horizon), _DURATION_SCHEMA]


def _instant(value: Any, info: ValidationInfo) -> int:
    at, horizon = _duration(value), context_in(info).horizon_ns
    if at >= horizon:
        raise WrongValueError(f"it would never come: the horizon is {duration_text(horizon)}")
    return at


Instant = Annotated[int, PlainValidator(_instant), _DURATION_SCHEMA]


def _rate(value: Any) -> float:
    return quantity.rate_per_s(written(value))


def _busy_rate(value: Any) -> float:
    rate = _rate(value)
    if not rate:
        raise WrongValueError("this rate is above 0/s")
    return rate


_RATE_SCHEMA: Final = WithJsonSchema(
    {"type": "string", "pattern": RATE_PATTERN, "examples": ["200/s", "12000/m", "3600/h"]}
)
Rate = Annotated[float, PlainValidator(_rate), _RATE_SCHEMA]
BusyRate = Annotated[float, PlainValidator(_busy_rate), _RATE_SCHEMA]


def _scaled_rate(value: Any) -> float | RateFactor:
    text = written(value)
    if re.match(r"[x×*]", text.strip(), re.IGNORECASE):
        return RateFactor(quantity.factor(text))
    try:
        return _busy_rate(value)
    except ValueError as error:
        number = re.fullmatch(rf"({NUMBER})\s*[x×*]?", text.strip(), re.ASCII | re.IGNORECASE)
        raise WrongValueError(f"{error}; or, in terms of the recorded rate, x{number[1] if number else '3'}") from None


ScaledRate = Annotated[
    float | RateFactor,
    PlainValidator(_scaled_rate),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "pattern": RATE_PATTERN}, {"type": "string", "pattern": FACTOR_PATTERN}],
            "examples": ["200/s", "x3"],
        }
    ),
]


def _variation(value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not LEAST_VARIATION <= value <= MOST_VARIATION:
        raise WrongValueError(f"this is a number from {LEAST_VARIATION:g} to {MOST_VARIATION:g}; 1 is Poisson")
    return float(value)


Variation = Annotated[
    float,
    PlainValidator(_variation),
    WithJsonSchema({"type": "number", "minimum": LEAST_VARIATION, "maximum": MOST_VARIATION}),
]

_SHARE_SCHEMA: Final = WithJsonSchema(
    {
        "anyOf": [{"type": "string", "pattern": SHARE_PATTERN}, {"type": "number", "minimum": 0, "maximum": 1}],
        "examples": ["10%", 0.1],
    }
)


def _number_or_text(value: Any) -> str | float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else written(value)


def _share(value: Any) -> float:
    return quantity.share(_number_or_text(value))


def _some_share(value: Any) -> float:
    share = _share(value)
    if not share:
        raise WrongValueError("this share is above 0%")
    return share


def _inner_share(value: Any) -> float:
    share = _some_share(value)
    if share == 1:
        raise WrongValueError("this share is below 100%: something must be left")
    return share


def _weight(value: Any) -> int:
    return quantity.weight(_number_or_text(value))


Share = Annotated[float, PlainValidator(_some_share), _SHARE_SCHEMA]
NoShare = Annotated[float, PlainValidator(_share), _SHARE_SCHEMA]
"""A share that may be none."""
InnerShare = Annotated[float, PlainValidator(_inner_share), _SHARE_SCHEMA]
Weight = Annotated[int, PlainValidator(_weight), _SHARE_SCHEMA]


def _no_weight(value: Any) -> int:
    """A weight that may be none."""
    return round(_share(value) * WHOLE)


def _inner_weight(value: Any) -> int:
    weight = quantity.weight(_number_or_text(value))
    if weight >= WHOLE:
        raise WrongValueError("this share is below 100%: something must be left")
    return weight


NoWeight = Annotated[int, PlainValidator(_no_weight), _SHARE_SCHEMA]
InnerWeight = Annotated[int, PlainValidator(_inner_weight), _SHARE_SCHEMA]

FULL: Final = "full"


def _pause(value: Any) -> int | str:
    if value == UNTIL_APPROVED:
        return UNTIL_APPROVED
    try:
        return _long(value)
    except ValueError as error:
        raise WrongValueError(f"{error}; or: {UNTIL_APPROVED}") from None


def _scale(value: Any) -> int | str:
    if value == FULL:
        return FULL
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_REPLICAS:
        raise WrongValueError(f"this is a whole number from 1 to {MOST_REPLICAS}, or: {FULL}")
    return value


def _replica_limit(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_REPLICAS:
        return str(value)
    if isinstance(value, str) and re.fullmatch(SHARE_PATTERN, value) and quantity.share(value) <= 1:
        return value
    raise WrongValueError("this is a number of replicas, such as 2, or a share of them, such as 25%")


PauseLength = Annotated[
    int | str,
    PlainValidator(_pause),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": DURATION_PATTERN}, {"const": UNTIL_APPROVED}]}),
]
Scale = Annotated[
    int | str,
    PlainValidator(_scale),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": MOST_REPLICAS}, {"const": FULL}]}),
]
ReplicaLimit = Annotated[
    str,
    PlainValidator(_replica_limit),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": MOST_REPLICAS},
                {"type": "string", "pattern": SHARE_PATTERN},
            ]
        }
    ),
]


@dataclass(frozen=True, slots=True)
class Difference:
    """The smallest difference worth finding, as it was written."""

    value: float
    """A share, or seconds."""
    timed: bool


def _effect(value: Any) -> Difference:
    text = written(value)
    if re.fullmatch(DURATION_PATTERN, text):
        return Difference(_long(value) / SECOND, timed=True)
    share = _some_share(value)
    return Difference(share, timed=False)


Effect = Annotated[
    Difference,
    PlainValidator(_effect),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": SHARE_PATTERN},
                {"type": "string", "pattern": DURATION_PATTERN},
                {"type": "number", "minimum": 0, "maximum": 1},
            ]
        }
    ),
]


def _factor(value: Any) -> float:
    return quantity.factor(written(value))


def _deviations(value: Any) -> float:
    return quantity.deviations(written(value))


def _latency(value: Any) -> LatencyFactor | LatencyAdd:
    text = written(value)
    if text.startswith("+"):
        return LatencyAdd(quantity.duration_ns(text[1:]) / SECOND)
    if re.fullmatch(FACTOR_PATTERN, text):
        return LatencyFactor(quantity.factor(text))
    bare = re.fullmatch(r"[0-9.]+", text)
    meant = f"x{text} or +{text}ms" if bare else f"+{text}" if re.fullmatch(DURATION_PATTERN, text) else "x1.8 or +50ms"
    raise WrongValueError(f"latency is multiplied or added to; write {meant}")


Factor = Annotated[
    float, PlainValidator(_factor), WithJsonSchema({"type": "string", "pattern": FACTOR_PATTERN, "examples": ["x1.8"]})
]
Deviations = Annotated[
    float,
    PlainValidator(_deviations),
    WithJsonSchema({"type": "string", "pattern": DEVIATION_PATTERN, "examples": ["1.5sd", "-2sd"]}),
]
Latency = Annotated[
    LatencyFactor | LatencyAdd,
    PlainValidator(_latency),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": FACTOR_PATTERN},
                {"type": "string", "pattern": DURATION_PATTERN.replace("^", r"^\+", 1)},
            ],
            "examples": ["x1.8", "+50ms"],
        }
    ),
]
