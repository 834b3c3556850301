"""The event log: append-only, one JSON line per event, a run's only product and only truth.

Times are integers and figures have nine significant digits, so that the same run gives the same bytes. What differs
from run to run (run id, paths, real durations) stands under the key ``host`` of its line and is left out of the digest.
"""

import dataclasses
import functools
import hashlib
import json
import math
import os
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from enum import Enum
from pathlib import Path
from typing import Any, Final, TextIO, TypeVar

from harness.domain import attempts, data_event, drift_event, evaluation_event, faster, order_event, resume_event
from harness.domain import event as vocabulary
from harness.domain import load_event as load_vocabulary
from harness.domain import training_event as training_vocabulary
from harness.domain.event import (
    LOG_VERSION,
    Decided,
    Event,
    Interrupted,
    Measured,
    Observed,
    RunEnded,
    RunStarted,
    StageFinished,
)
from harness.domain.load_event import (
    CapacityFound,
    CapacityStarted,
    LoadEnded,
    LoadProgressed,
    LoadSeries,
    LoadStarted,
)
from harness.domain.secrets import mask, secrets_in
from harness.errors import BackendError, LogError
from harness.state.files import cut_torn, sync_folder

E = TypeVar("E", bound=Event)

EVENTS: Final[Mapping[str, type[Event]]] = {
    name: kind
    for words in (
        vocabulary,
        load_vocabulary,
        training_vocabulary,
        attempts,
        evaluation_event,
        data_event,
        drift_event,
        resume_event,
        order_event,
        faster,
    )
    for name, kind in vars(words).items()
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
}
STARTS: Final = (RunStarted, LoadStarted, CapacityStarted)
"""What a log begins with: its kind of run."""
ENDS: Final = (RunEnded, LoadEnded, CapacityFound)
"""After one of these nothing comes."""


class Events(Sequence[Event]):
    """Events in order, with the questions that tests and reports ask of them."""

    def __init__(self, events: Iterable[Event]) -> None:
        self._events = list(events)

    @typing.overload
    def __getitem__(self, index: int) -> Event: ...
    @typing.overload
    def __getitem__(self, index: slice) -> "Events": ...
    def __getitem__(self, index: int | slice) -> "Event | Events":
        """The event of that sequence number."""
        return Events(self._events[index]) if isinstance(index, slice) else self._events[index]

    def __len__(self) -> int:
        return len(self._events)

    def of(self, kind: type[E]) -> list[E]:
        """All events of a kind."""
        return [event for event in self._events if isinstance(event, kind)]

    def first(self, kind: type[E]) -> E:
        """The first event of a kind; LogError where there is none."""
        return self._some(kind)[0]

    def last(self, kind: type[E]) -> E:
        """The last event of a kind; LogError where there is none."""
        return self._some(kind)[-1]

    def only(self, kind: type[E]) -> E:
        """The one event of a kind; LogError where there is none or more than one."""
        found = self._some(kind)
        if len(found) > 1:
            raise LogError(f"the log holds {len(found)} {kind.__name__} events, not one")
        return found[0]

    def _some(self, kind: type[E]) -> list[E]:
        found = self.of(kind)
        if not found:
            raise LogError(f"the log holds no {kind.__name__} event")
        return found


class EventLog:
    """Appends events to a file and tells those who watch; a watcher never changes an event.

    A file that can no longer be written (a full disk) is said once, by the `append` that finds it, so that the run
    ends; from then on events are kept in memory only, for traffic must come back to stable even so. Once a run has
    begun to conclude, not even that one `append` raises: ``failure`` tells it to those who look afterwards.

    Args:
        path: where the lines go; None keeps the log in memory only.
        durable: sync each line to disk before `append` returns (for runs on real time, that may have to be resumed).
        secrets: texts that are masked, besides the values of secret variables.
        guard: inside it the run is still ours to write of (`Lease.guarded`), or LeaseLost is raised.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        durable: bool = False,
        secrets: Iterable[str] = (),
        guard: Callable[[], AbstractContextManager[None]] | None = None,
    ) -> None:
        self.events: list[Event] = []
        self._watchers: list[Callable[[int, Event], None]] = []
        self._digest = hashlib.sha256()
        self.durable = durable
        self._guard = guard or nullcontext
        self._path = path
        self._concluding = False
        self._secrets = (*secrets, *secrets_in(os.environ))
        self.failure: LogError | None = None
        """Why the file lacks what came last; None while it holds every event."""
        try:
            self._file = self._opened(path, "x") if path else None
        except OSError as error:
            raise self._lost(error) from error

    @classmethod
    def reopen(
        cls,
        path: Path,
        *,
        secrets: Iterable[str] = (),
        guard: Callable[[], AbstractContextManager[None]] | None = None,
    ) -> tuple["EventLog", int]:
        """A durable log that goes on where another process was cut off; and how many bytes of a torn line were cut off.

        Raises:
            LogError: the file cannot be read or written.
            LeaseLost: the run is another harness's.
        """
        log = cls(durable=True, secrets=secrets, guard=guard)
        log._path = path
        with log.ours():
            torn = cut_torn(path, _is_json)
            events = read(path)
            try:
                log._file = log._opened(path, "a")
            except OSError as error:
                raise log._lost(error) from error
        for number, event in enumerate(events):
            log._digest.update(_line(number, event, host=False, hide=log.masked).encode())
        log.events = list(events)
        log._concluding = any(_concludes(event) for event in events)
        return log, torn

    def _opened(self, path: Path, mode: str) -> TextIO:
        file = path.open(mode, encoding="utf-8", newline="\n", buffering=1)
        if self.durable:
            sync_folder(path.parent)  # or a power cut takes the file away, name and all
        return typing.cast(TextIO, file)

    def watch(self, watcher: Callable[[int, Event], None]) -> None:
        """Call ``watcher(sequence number, event)`` for each event from now on."""
        self._watchers.append(watcher)

    def append(self, event: Event) -> int:
        """Add an event; answers with its sequence number."""
        if self.events and isinstance(self.events[-1], ENDS):
            raise LogError(f"the run has ended; {type(event).__name__} comes too late")
        number = len(self.events)
        line = _line(number, event, host=True, hide=self.masked)
        with self.ours():
            lost = self._write(line)
        self._digest.update(_line(number, event, host=False, hide=self.masked).encode())
        # What is kept and shown is what a reader of the file will see, to the last digit.
        written = decode(line)
        self.events.append(written)
        for watcher in self._watchers:
            watcher(number, written)
        self._concluding = self._concluding or _concludes(event)
        if lost and not self._concluding:
            raise lost
        return number

    @contextmanager
    def ours(self) -> Iterator[None]:
        """A while in which nobody else takes the run over; to be asked for before an effect that has no intent.

        Where it cannot be told whose it is (a full disk), it is taken to be ours still: traffic must be made safe.

        Raises:
            LeaseLost: another harness has the run.
        """
        with ExitStack() as held:
            try:
                held.enter_context(self._guard())
            except BackendError as error:
                self.failure = self.failure or LogError(f"{self._path}: {error}")
            yield

    def masked(self, text: str) -> str:
        """A text as the log would have it: without the secrets that are known."""
        return mask(text, self._secrets)

    def _write(self, line: str) -> LogError | None:
        """Put the line into the file; why that failed, the first time it does."""
        if self._file is None:
            return None
        try:
            self._file.write(line)
            if self.durable:
                self._file.flush()
                os.fsync(self._file.fileno())
        except OSError as error:
            self.failure = self._lost(error)
            self.close()
        return self.failure

    def _lost(self, error: OSError) -> LogError:
        why = error.strerror or str(error)
        remedy = "make room there, or keep runs elsewhere with `--report DIR`"
        return LogError(f"{self._path}: the event log cannot be written: {why}; {remedy}")

    @property
    def digest(self) -> str:
        """SHA-256 of all lines so far, without what differs from run to run."""
        return f"sha256:{self._digest.hexdigest()}"

    def close(self) -> None:
        """Write out what is buffered and close the file; one that has failed is given up without a word."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            file.close()
        except OSError as error:
            self.failure = self.failure or self._lost(error)


def _concludes(event: Event) -> bool:
    """Whether a run that logs this is on its way to its end."""
    return isinstance(event, Interrupted | Decided) or (isinstance(event, StageFinished) and event.status != "ok")


def read(path: Path) -> Events:
    """The events of a log file; LogError names the line that cannot be read."""
    return Events(_decoded(path, _lines(path)))


def read_torn(path: Path) -> tuple[Events, int]:
    """The events of a log whose run may have died while it wrote, and the number of the line it died in, or 0.

    That line, the last, is left out, ended or not: a machine that lost its power may leave anything in its place.
    LogError names any other line that cannot be read.
    """
    lines = _lines(path)
    torn = bool(lines) and not _is_json(lines[-1])
    return Events(_decoded(path, lines[:-1] if torn else lines)), len(lines) if torn else 0


def read_gist(path: Path) -> list[tuple[int, Event]]:
    """Events with their numbers, without what each look saw and without looks that decided nothing: many lines fewer.

    Of a load test, without its series, and of what was told while it ran only the last.

    A last line that its run died in is left out.

    Raises:
        LogError: the file or a line of it cannot be read.
    """
    lines = _lines(path)
    if lines and not _is_json(lines[-1]):
        lines = lines[:-1]
    decided = next((line for line in reversed(lines) if _is(Decided, line)), None)
    because = set(json.loads(decided)["because"]) if decided else set()
    told = next((number for number in reversed(range(len(lines))) if _is(LoadProgressed, lines[number])), None)

    def matters(number: int, line: bytes) -> bool:
        if _is(Observed, line) or _is(LoadSeries, line):
            return False
        return number == told if _is(LoadProgressed, line) else number in because or not _is(Measured, line)

    chosen = [
        (number, line)
        for number, line in enumerate(lines)
        if number == len(lines) - 1 or matters(number, line)  # the last says how far a run came that was cut off
    ]
    numbers = [number for number, _ in chosen]
    return list(zip(numbers, _decoded(path, [line for _, line in chosen], numbers), strict=True))


def _is(kind: type[Event], line: bytes) -> bool:
    """Whether a line, as this module writes them, holds an event of that kind."""
    return f'"event":"{kind.__name__}"'.encode() in line[:80]


def digest(events: Iterable[Event]) -> str:
    """The digest that an `EventLog` with these events has."""
    sha = hashlib.sha256()
    for number, event in enumerate(events):
        sha.update(_line(number, event, host=False).encode())
    return f"sha256:{sha.hexdigest()}"


def _lines(path: Path) -> list[bytes]:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error}") from error
    return lines if lines[-1] else lines[:-1]


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line.decode("utf-8"))
    except ValueError:
        return False
    return True


def _decoded(path: Path, lines: Sequence[bytes], numbers: Sequence[int] | None = None) -> Iterator[Event]:
    for number, line in zip(numbers or range(len(lines)), lines, strict=True):
        try:
            yield decode(line.decode("utf-8"))
        except (ValueError, TypeError, KeyError, AttributeError, LogError) as error:
            raise LogError(f"{path}:{number + 1}: not an event of a log of version {LOG_VERSION}: {error}") from error


# --- one line ---------------------------------------------------------------------------------------------------------


@functools.cache
def _fields(kind: Any) -> tuple[tuple[str, bool], ...]:
    return tuple((field.name, bool(field.metadata.get("volatile"))) for field in dataclasses.fields(kind))


def _same(text: str) -> str:
    return text


def _line(number: int, event: Event, *, host: bool, hide: Callable[[str], str] = _same) -> str:
    kind: Any = type(event)
    line: dict[str, Any] = {"seq": number, "event": kind.__name__}
    apart: dict[str, Any] = {}
    for name, is_volatile in _fields(kind):
        (apart if is_volatile else line)[name] = _plain(getattr(event, name), hide)
    if host and apart:
        line["host"] = apart
    return json.dumps(line, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n"


def _plain(value: Any, hide: Callable[[str], str]) -> Any:
    """The JSON form: enums by value, floats to nine digits, nothing that JSON lacks.

    Texts alone are hidden: a password that is a number, or one of the log's own words, must not make it unreadable.
    """
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, bool | int) or value is None:
        return value
    if isinstance(value, float):
        return float(f"{value:.9g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(_plain(key, hide)): _plain(item, hide) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item, hide) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(getattr(value, name), hide) for name, _ in _fields(type(value))}
    if hasattr(value, "item"):  # a numpy scalar
        return _plain(value.item(), hide)
    raise LogError(f"{type(value).__name__} cannot stand in an event log")


def decode(line: str) -> Event:
    """The event of one line."""
    data = json.loads(line)
    name = data.pop("event")
    data.pop("seq")
    kind = EVENTS.get(name)
    if kind is None:
        raise LogError(f"unknown event {name!r}")
    if kind in STARTS and data.get("version") != LOG_VERSION:
        raise LogError(f"log version {data.get('version')}; this program reads version {LOG_VERSION}")
    data |= data.pop("host", {})
    return typing.cast(Event, _typed(kind, data))


@functools.cache
def _hints(kind: Any) -> Mapping[str, Any]:
    return typing.get_type_hints(kind)


def _typed(hint: Any, value: Any) -> Any:
    """The value as its annotation says: enums, tuples, mappings with typed keys and nested records."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if value is None or hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _typed(next(part for part in inner if part is not type(None)), value)
    if origin is tuple:
        parts = [inner[0]] * len(value) if inner[1:] == (...,) else inner
        return tuple(_typed(part, item) for part, item in zip(parts, value, strict=True))
    if origin is not None and issubclass(origin, Mapping):
        return {_typed(inner[0], key): _typed(inner[1], item) for key, item in value.items()}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    if dataclasses.is_dataclass(hint):
        make: Any = hint
        hints = _hints(make)
        return make(**{name: _typed(hints[name], item) for name, item in value.items()})
    return value
