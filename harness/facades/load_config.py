"""What a load test from Python asks for: the words of its config, read, and its payloads as they are sent."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from harness.analysis.vocabulary import suggestion
from harness.domain.load import ClosedLoop, OpenLoop, Order, Speech
from harness.domain.quantity import rate_per_s
from harness.domain.traffic import Knots, Process, Traffic
from harness.errors import InputError
from harness.load import consent, speech


def url_of(endpoint: str, protocol: Speech, model: Any) -> str:
    """Where predictions are asked for."""
    if not isinstance(endpoint, str):
        raise InputError(f"the endpoint is {endpoint!r}; it is http(s)://HOST[:PORT][/PATH]")
    consent.check_url(endpoint)
    if protocol is not Speech.JSON:
        return speech.predict_url(endpoint, protocol, model)
    parts = urlsplit(endpoint)
    path = parts.path.rstrip("/")
    return urlunsplit(parts._replace(path=path if path.endswith("/predict") else f"{path}/predict"))


def speech_of(config: Mapping[str, Any]) -> Speech:
    """The protocol that a config names."""
    word = config.get("protocol", "json")
    words = [each.value for each in Speech if each is not Speech.RAW]
    if word not in words:
        raise InputError(f"protocol is {word!r}; {suggestion(str(word), words)}")
    return Speech(word)


def whole(config: Mapping[str, Any], key: str, default: int | None) -> int | None:
    """A whole number of a config, from 1 on."""
    value = config.get(key, default)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise InputError(f"{key} is {value!r}; it is a whole number from 1 on")
    return value


def seconds(config: Mapping[str, Any], key: str, default: float) -> float:
    """A number of seconds of a config."""
    value = config.get(key, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 10**7:
        raise InputError(f"{key} is {value!r}; it is a number of seconds above 0")
    return float(value)


def order_of(pace: ClosedLoop | OpenLoop) -> Order:
    """Which payload a request has: each once, in turn, or drawn."""
    return Order.IN_TURN if isinstance(pace, ClosedLoop) else Order.DRAWN


def bodies_of(payloads: Sequence[Any], protocol: Speech) -> tuple[bytes, ...]:
    """Payloads as they are sent."""
    if not len(payloads):
        raise InputError("there is no payload to send; generate_test_payloads(test_config) makes some")
    made = []
    for number, payload in enumerate(payloads):
        try:
            value = speech.json_value(payload)
            whole = protocol is Speech.JSON or not isinstance(value, dict) or speech.is_request(value, protocol)
            made.append(speech.encode(value) if whole else speech.body([value], protocol))
        except ValueError as error:
            raise InputError(f"payload {number + 1} cannot be sent: {error}") from None
    return tuple(made)


def open_loop(rate: str | float, arrivals: str) -> OpenLoop:
    """Due times at that rate."""
    try:
        per_s = rate_per_s(rate) if isinstance(rate, str) else float(rate)
    except (TypeError, ValueError) as error:
        raise InputError(f"rate is {rate!r}; {error}") from None
    if not 0 < per_s < float("inf"):
        raise InputError(f"rate is {rate!r}; it is above 0/s, such as 200/s")
    word, colon, detail = arrivals.partition(":")
    if word not in tuple(Process) or bool(colon) is not (word == Process.GAMMA):
        raise InputError(f"arrivals is {arrivals!r}; it is constant, poisson, or gamma:CV, such as gamma:2")
    try:
        variation = float(detail) if detail else 1.0
    except ValueError:
        raise InputError(f"arrivals is {arrivals!r}; gamma takes its gaps' variation, such as gamma:2") from None
    traffic = Traffic(word, Process(word), Knots((0,), (per_s,)), users=0, variation=variation)
    return OpenLoop(traffic, arrivals, per_s)
