"""One call with its retries: a generator that asks for attempts and waits, and is told what came of them.

What is tried again: a connection that could not be made, 502, 503 and 504; 429 where the server says when; and, since a
prediction changes nothing and may be asked for twice, a connection that broke before the answer was whole. Never what
the server refused for the request's own sake, and nothing beyond the time there is.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Final

from harness import seeds
from harness.clock import utc_now, wall_ns
from harness.domain.units import SECOND
from harness.errors import EndpointError
from harness.serving.client.asking import Request

AGAIN: Final = frozenset({502, 503, 504})
TOO_MANY: Final = 429
LARGEST: Final = 64 << 20
"""Bytes of an answer that are read."""


SHOWN: Final = 200
"""Letters of what came that are shown."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Asked of a door: send this once, and tell the answer or the failure."""

    request: Request
    headers: Mapping[str, str]
    within_ns: int
    """All of it: connecting, sending, and the answer to its last byte."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Asked of a door: wait so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    """Their names in lower case."""
    body: bytes = field(repr=False)


class Cause(Enum):
    """Why there is no answer."""

    REFUSED = "no connection was made"
    DROPPED = "the connection was closed before any answer"
    BROKEN = "the connection broke before the answer was whole"
    LATE = "there was no whole answer in time"
    UNTRUSTED = "the server's certificate is not trusted"
    GARBLED = "what came was no HTTP"


@dataclass(frozen=True, slots=True)
class Failure:
    """There was no answer."""

    cause: Cause
    told: str = ""


Outcome = Answer | Failure
Steps = Generator[Attempt | Wait, Outcome | None]
"""What a door carries out."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often an endpoint is tried."""

    within_ns: int
    """A call ends by then, its retries and waits included."""
    retries: int
    base_s: float = 0.1
    """The first wait, doubled from one to the next."""
    most_s: float = 5.0

    def wait_s(self, attempt: int, drawn: float) -> float:
        """The wait after so many attempts: at least half of what doubling gives, the rest by chance (equal jitter).

        Args:
            attempt: how many have failed.
            drawn: uniform in [0, 1).

        >>> patience = Patience(within_ns=30 * SECOND, retries=3, base_s=1.0)
        >>> [patience.wait_s(n, 0) for n in (1, 2, 3, 4)], patience.wait_s(4, 0.5)
        ([0.5, 1.0, 2.0, 2.5], 3.75)
        """
        return min(self.most_s, self.base_s * 2.0 ** (attempt - 1)) * (1 + drawn) / 2


class Calls:
    """Calls to one endpoint.

    Args:
        place: of the endpoint, for errors.
        patience: how long and how often it is tried.
        jitter: the stream that waits are drawn from.
    """

    def __init__(self, place: str, patience: Patience, jitter: seeds.Stream) -> None:
        self._place = place
        self._patience = patience
        self._jitter = jitter
        self._draws = 0

    def call(
        self, request: Request, headers: Mapping[str, str], retries: int | None = None
    ) -> Generator[Attempt | Wait, Outcome | None, Answer]:
        """Send a request until it is answered, or to no more purpose.

        Args:
            request: may be sent twice without harm.
            headers: that go with it.
            retries: fewer than patience has; None: as many.

        Raises:
            ConnectionError: no connection was made, or it broke.
            TimeoutError: there was no whole answer in time.
            EndpointError: the server is not trusted, or speaks no HTTP.
        """
        most = self._patience.retries if retries is None else retries
        last_ns = wall_ns() + self._patience.within_ns
        attempt, dropped = 0, False
        while True:
            attempt += 1
            outcome = yield Attempt(request, headers, max(1, last_ns - wall_ns()))
            if isinstance(outcome, Failure) and outcome.cause is Cause.DROPPED and not dropped and most:
                # Most often a connection that was kept, and that the server had closed meanwhile: no sign of trouble.
                dropped, attempt = True, attempt - 1
                continue
            wait_s = self._wait_s(outcome, attempt) if attempt <= most else None
            if wait_s is None or wall_ns() + wait_s * SECOND >= last_ns:
                if isinstance(outcome, Answer):
                    return outcome
                raise self._error(outcome, attempt)
            yield Wait(wait_s)

    def _wait_s(self, outcome: Outcome | None, attempt: int) -> float | None:
        """How long to wait before the next attempt; None: there is to be none."""
        if isinstance(outcome, Failure):
            again = outcome.cause in {Cause.REFUSED, Cause.DROPPED, Cause.BROKEN}
            return self._patience.wait_s(attempt, self._drawn()) if again else None
        if outcome is None or outcome.status not in {*AGAIN, TOO_MANY}:
            return None
        asked_s = retry_after_s(outcome.headers.get("retry-after", ""))
        if outcome.status == TOO_MANY and asked_s is None:
            return None
        return max(asked_s or 0.0, self._patience.wait_s(attempt, self._drawn()))

    def _drawn(self) -> float:
        self._draws += 1
        return self._jitter.child(str(self._draws)).integer() / 2**31

    def _error(self, failure: Failure | None, attempts: int) -> Exception:
        cause = failure.cause if failure else Cause.LATE
        told = f" ({_clean(failure.told)})" if failure and failure.told else ""
        tried = f", tried {attempts} times" if attempts > 1 else ""
        match cause:
            case Cause.REFUSED:
                return ConnectionRefusedError(
                    f"{self._place}: {cause.value}{told}{tried}; is the server up, and the endpoint right?"
                )
            case Cause.DROPPED | Cause.BROKEN:
                return ConnectionResetError(f"{self._place}: {cause.value}{told}{tried}; the server's log may say why")
            case Cause.LATE:
                within_s = self._patience.within_ns / SECOND
                return TimeoutError(
                    f"{self._place}: {cause.value}, within {within_s:g} s{tried}; timeout sets the time"
                )
            case Cause.UNTRUSTED:
                return EndpointError(
                    f"{self._place}: {cause.value}{told}; ca_file names a file of authorities to trust"
                )
            case Cause.GARBLED:
                return EndpointError(f"{self._place}: {cause.value}{told}; does a model server listen there?")


def _clean(told: str) -> str:
    """One line of what can be printed: servers that speak no HTTP send anything."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(told.split()))[:SHOWN]


def retry_after_s(text: str) -> float | None:
    """How long a server asks to be left alone: seconds, or a date (RFC 9110, 10.2.3); None where it does not say.

    >>> retry_after_s("120"), retry_after_s(""), retry_after_s("soon"), retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT")
    (120.0, None, None, 0.0)
    """
    if text.strip().isascii() and text.strip().isdecimal():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    now = utc_now()
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=now.tzinfo)) - now).total_seconds())
