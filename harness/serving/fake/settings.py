"""What can be set of the stand-in: its speed, its size and its faults.

Each setting has one word, the same as a flag and in the JSON of ``POST /settings``, and is written as scenarios write
such things: ``30ms``, ``5%``, ``{lognormal: {median: 30ms, p99: 120ms}}``.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Final

from harness.domain.quantity import duration_ns, share
from harness.domain.service import Exponential, Fixed, Lognormal, Profile, ServiceTime
from harness.domain.units import SECOND, duration_text
from harness.errors import InputError

AT_ONCE: Final = Fixed(0.0)
READINESS: Final = ("honest", "never", "fails", "lies")
LAWS: Final = "a law is {lognormal: {median: 30ms, p99: 120ms}}, {exponential: {mean: 40ms}} or {constant: 30ms}"
MOST_BYTES: Final = 1 << 30
MOST: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class FakeSettings:
    """How the stand-in behaves; as it comes it answers at once and never fails."""

    latency: ServiceTime = AT_ONCE
    """How long a request keeps a worker; of a streamed answer: until its first chunk."""
    workers: int = 0
    """Requests that are worked on at a time, first come, first served; 0: any number."""
    queue: int | None = None
    """Requests that may wait for a worker, one more is answered 503; None: any number."""
    error_rate: float = 0.0
    """Share of predictions answered with `error_status`, after their time."""
    error_status: int = 500
    stall_every_ns: int = 0
    """Length of a period, of which the last `stall_for_ns` are stood still; 0: it never stands still."""
    stall_for_ns: int = 0
    body_rate: int = 0
    """Bytes per second of an answer's body; 0: all at once."""
    reset_headers: float = 0.0
    """Share of predictions whose connection is reset within the headers of the answer."""
    reset_body: float = 0.0
    """Share of predictions whose connection is reset within the body of the answer."""
    wrong_content: float = 0.0
    """Share of predictions answered 200 with a page of HTML."""
    readiness: str = "honest"
    """What readiness says: the truth, ``never`` (503), ``fails`` (500), or ``lies`` (200 while predictions get 503)."""
    warmup_ns: int = 0
    """Predictions are answered 503 for so long, from the start or from when this was set."""
    payload: int = 0
    """Bytes of an answer's body, padded; 0: as long as it is by itself."""
    chunks: int = 0
    """Events of a streamed answer (server-sent, as language models answer); 0: not streamed."""
    gap: ServiceTime = AT_ONCE
    """Time between two chunks."""
    redirect: str = ""
    """Where predictions are redirected (307); empty: they are not."""
    model: str = "fake"
    version: str = "1"
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Flag:
    """A setting as a flag of the command line: ``--WORD``."""

    word: str
    help: str
    example: str
    """A value as it is written."""


class _Setting:
    """How a word is read and shown."""

    def __init__(
        self,
        reader: Callable[[Any], Any],
        flag: tuple[str, str],
        *fields: str,
        writer: Callable[..., Any] | None = None,
    ) -> None:
        self.reader = reader
        self.help, self.example = flag
        self.fields = fields
        self.writer = writer or (lambda value: value)


def read(said: Mapping[str, Any], base: FakeSettings | None = None) -> FakeSettings:
    """The settings with what was said of them changed.

    Args:
        said: any subset of the words, with values as JSON has them.
        base: what stays as it is where nothing was said; None: the settings as they come.

    Raises:
        InputError: with all that is wrong, a line each.

    >>> read({"latency": {"constant": "30ms"}, "error_rate": "5%"}).latency
    Fixed(seconds=0.03)
    """
    changes: dict[str, Any] = {}
    problems = []
    for word, value in said.items():
        setting = SETTINGS.get(word)
        if setting is None:
            near = get_close_matches(str(word), SETTINGS, 1)
            meant = f"did you mean {near[0]}?" if near else f"settings are {', '.join(SETTINGS)}"
            problems.append(f"{word} is no setting; {meant}")
            continue
        try:
            found = setting.reader(value)
        except ValueError as error:
            problems.append(f"{word} is {value!r}; {error}")
        else:
            changes |= zip(setting.fields, found if len(setting.fields) > 1 else (found,), strict=True)
    if problems:
        raise InputError("\n".join(problems))
    return replace(base or FakeSettings(), **changes)


def from_flags(texts: Mapping[str, str]) -> FakeSettings:
    """The settings that flags say, each with the text given for it.

    Raises:
        InputError: with all that is wrong, a line each.

    >>> from_flags({"stall": "{every: 10s, for: 1s}", "workers": "2"}).stall_every_ns
    10000000000
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    said: dict[str, Any] = {}
    problems = []
    for word, text in texts.items():
        if not text.lstrip().startswith("{"):
            said[word] = text
            continue
        try:
            said[word] = YAML(typ="safe", pure=True).load(text)
        except YAMLError:
            problems.append(f"{word} is {text!r}, which is not to be read; write it as {_example(word)}")
    try:
        settings = read(said)
    except InputError as error:
        problems.append(str(error))
    if problems:
        raise InputError("\n".join(problems))
    return settings


def _example(word: str) -> str:
    return SETTINGS[word].example if word in SETTINGS else "{constant: 30ms}"


def shown(settings: FakeSettings) -> dict[str, Any]:
    """The settings as they are written; `read` makes the same of it.

    >>> shown(FakeSettings(latency=Exponential(0.04)))["latency"]
    {'exponential': {'mean': '40ms'}}
    """
    return {
        word: setting.writer(*(getattr(settings, field) for field in setting.fields))
        for word, setting in SETTINGS.items()
    }


# --- readers ----------------------------------------------------------------------------------------------------------


def _duration_s(value: Any) -> float:
    return _duration(value) / SECOND


def _duration(value: Any) -> int:
    if value == 0 and not isinstance(value, bool):
        return 0
    if not isinstance(value, str):
        raise ValueError("a duration is a number with a unit: 250ms, 30s, 5m, 2h or 1d")  # noqa: TRY004 - as others
    return 0 if value == "0" else duration_ns(value)


def law(value: Any) -> ServiceTime:
    """A law of times, in the words of a scenario; a bare duration is a constant.

    >>> law({"lognormal": {"median": "30ms", "p99": "120ms"}}), law("30ms")
    (Lognormal(median_s=0.03, p99_s=0.12), Fixed(seconds=0.03))
    """
    if not isinstance(value, Mapping):
        return Fixed(_duration_s(value))
    match dict(value):
        case {"constant": time, **rest} if not rest:
            return Fixed(_duration_s(time))
        case {"exponential": {"mean": mean, **more}, **rest} if not rest and not more:
            return Exponential(_duration_s(mean))
        case {"lognormal": {"median": median, "p99": p99, **more}, **rest} if not rest and not more:
            found = Lognormal(_duration_s(median), _duration_s(p99))
            if not 0 < found.median_s <= found.p99_s:
                raise ValueError("the median of a lognormal is above 0, and its p99 not below the median")
            return found
    raise ValueError(LAWS)


def _law_text(found: ServiceTime) -> dict[str, Any]:
    match found:
        case Fixed(seconds):
            return {"constant": _seconds_text(seconds)}
        case Exponential(mean_s):
            return {"exponential": {"mean": _seconds_text(mean_s)}}
        case Lognormal(median_s, p99_s):
            return {"lognormal": {"median": _seconds_text(median_s), "p99": _seconds_text(p99_s)}}
        case Profile(quantiles):
            return {"profile": [[share, _seconds_text(seconds)] for share, seconds in quantiles]}


def _seconds_text(seconds: float) -> str:
    return duration_text(round(seconds * SECOND))


def _share(value: Any) -> float:
    if isinstance(value, str) and re.fullmatch(r"[0-9]*\.?[0-9]+", value, re.ASCII):
        value = float(value)  # a flag's text
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("a share is a percentage or a number from 0 to 1: 10% or 0.1")  # noqa: TRY004 - as others
    return share(value)


def _whole(least: int, most: int, what: str) -> Callable[[Any], int]:
    def reader(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,20}", value, re.ASCII):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"{what} is a whole number from {least} to {most}")
        return value

    return reader


def _queue(value: Any) -> int | None:
    if value is None or value == "none":
        return None
    return _whole(0, MOST, "a queue (none: without a limit)")(value)


def _stall(value: Any) -> tuple[int, int]:
    if value is None or value == "none":
        return 0, 0
    match value:
        case {"every": every, "for": span, **rest} if not rest:
            every_ns, for_ns = _duration(every), _duration(span)
            if 0 < for_ns < every_ns:
                return every_ns, for_ns
            raise ValueError("a stall is above 0 and shorter than its period")
    raise ValueError("a stall is {every: 10s, for: 1s}, or none")


def _stall_text(every_ns: int, for_ns: int) -> dict[str, str] | None:
    return {"every": duration_text(every_ns), "for": duration_text(for_ns)} if every_ns else None


def _readiness(value: Any) -> str:
    if value not in READINESS:
        raise ValueError(f"readiness is {', '.join(READINESS[:-1])} or {READINESS[-1]}")
    return str(value)


def _name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_. -]{0,199}", value, re.ASCII):
        raise ValueError("a name is made of letters, digits, and . _ - and spaces after the first")
    return value


def _version(value: Any) -> str:
    return _name(str(value) if isinstance(value, int) and not isinstance(value, bool) else value)


def _location(value: Any) -> str:
    if value is None or value == "none":
        return ""
    if not isinstance(value, str) or not value.isprintable() or " " in value or not value.isascii():
        raise ValueError("a redirect is a path or URL in ASCII without spaces, or none")
    return value


SETTINGS: Final[Mapping[str, _Setting]] = {
    "latency": _Setting(
        law, ("how long a request takes", "{lognormal: {median: 30ms, p99: 120ms}}"), "latency", writer=_law_text
    ),
    "workers": _Setting(
        _whole(0, MOST, "a number of workers"), ("requests worked on at a time; 0: any number", "4"), "workers"
    ),
    "queue": _Setting(_queue, ("requests that may wait for a worker, one more is answered 503", "100"), "queue"),
    "error_rate": _Setting(_share, ("share of predictions answered with an error", "5%"), "error_rate"),
    "error_status": _Setting(
        _whole(400, 599, "an error's status"), ("status of these errors; default 500", "503"), "error_status"
    ),
    "stall": _Setting(
        _stall,
        ("stand still for a while in every period, at its end", "{every: 10s, for: 1s}"),
        "stall_every_ns",
        "stall_for_ns",
        writer=_stall_text,
    ),
    "body_rate": _Setting(
        _whole(0, MOST_BYTES, "bytes per second"), ("bytes per second of a body; 0: at once", "1000"), "body_rate"
    ),
    "reset_headers": _Setting(_share, ("share of answers reset within their headers", "1%"), "reset_headers"),
    "reset_body": _Setting(_share, ("share of answers reset within their body", "1%"), "reset_body"),
    "wrong_content": _Setting(_share, ("share of predictions answered 200 with HTML", "1%"), "wrong_content"),
    "readiness": _Setting(_readiness, (f"what readiness says: {', '.join(READINESS)}", "lies"), "readiness"),
    "warmup": _Setting(
        _duration, ("answer predictions with 503 for so long at first", "5s"), "warmup_ns", writer=duration_text
    ),
    "payload": _Setting(
        _whole(0, MOST_BYTES, "a body's size"), ("bytes of an answer's body, padded", "100000"), "payload"
    ),
    "chunks": _Setting(
        _whole(0, MOST, "a number of chunks"), ("stream each answer in so many server-sent events", "20"), "chunks"
    ),
    "gap": _Setting(law, ("time between two chunks", "{exponential: {mean: 20ms}}"), "gap", writer=_law_text),
    "redirect": _Setting(_location, ("redirect predictions (307) there", "/elsewhere"), "redirect"),
    "model": _Setting(_name, ("name of the model; default fake", "churn"), "model"),
    "version": _Setting(_version, ("version of the model; default 1", "3"), "version"),
    "seed": _Setting(_whole(0, 2**63 - 1, "a seed"), ("of all that is drawn; setting it starts anew", "7"), "seed"),
}

FLAGS: Final = tuple(Flag(word.replace("_", "-"), setting.help, setting.example) for word, setting in SETTINGS.items())
"""One for each setting; `from_flags` takes the word with an underscore, as the settings have it."""
