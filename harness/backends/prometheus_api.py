"""Prometheus' HTTP API: instant queries, with an end to each, and errors that name the query.

What gives no answer (time-out, refused, cut off, 5xx, 429) is asked again; what answers wrongly (a query that is none,
no JSON, a redirect) is not, for it would again. An answer with warnings is not whole (a remote store did not answer, a
shard was missing; VictoriaMetrics says ``isPartial``), and is refused: what is judged by half of the figures is judged
wrongly. Remarks on the style of a query ("PromQL info: …", or ``infos``) are no warnings.
"""

import json
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import anyio

from harness.domain.secrets import mask
from harness.domain.units import SECOND
from harness.errors import BackendError

if TYPE_CHECKING:
    import aiohttp

SHOWN: Final = 300
"""Characters of an answer, or of a query, that an error shows."""
LARGEST: Final = 64 * 1024 * 1024
"""Bytes of an answer that are read."""
FIRST_WAIT_S: Final = 0.1
LONGEST_WAIT_S: Final = 2.0
TOO_MANY: Final = 429
REMARK: Final = "PromQL info"
"""How Prometheus 2.48 to 2.53 begins what it says of a query among its warnings; later ones have ``infos`` for it."""

Points = tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer."""

    labels: Mapping[str, str]
    """Without the metric's name."""
    points: Points
    """(milliseconds since 1970, value), rising; one of an instant vector. Values may be NaN or infinite."""


class NoAnswer(BackendError):
    """Prometheus did not answer, however often it was asked; it may later."""


class QueryError(BackendError):
    """Prometheus refused a query: it is wrong, and would be refused again."""


class _Unanswered(Exception):
    """It may be answered if it is asked again."""


class _Partial(Exception):
    """An answer with some of the figures only."""


class Api:
    """The HTTP API of one Prometheus, or of what speaks like one (Thanos, Mimir, VictoriaMetrics).

    Args:
        url: its base URL.
        timeout_ns: of one attempt.
        retries: attempts after the first.
        token: a bearer token; it goes to that URL only, and no redirect is followed.
        proxied: go by the proxy variables of the environment.
    """

    def __init__(
        self, url: str, timeout_ns: int, retries: int, token: str | None = None, *, proxied: bool = False
    ) -> None:
        self._url, self._token, self._proxied = url.rstrip("/"), token, proxied
        self._timeout_s, self._retries = timeout_ns / SECOND, retries
        self._place = mask(self._url)

    @asynccontextmanager
    async def session(self) -> AsyncIterator["aiohttp.ClientSession"]:
        """Connections for some queries."""
        import aiohttp

        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        limit = aiohttp.ClientTimeout(total=self._timeout_s)
        async with aiohttp.ClientSession(timeout=limit, headers=headers, trust_env=self._proxied) as session:
            yield session

    async def ask(self, session: "aiohttp.ClientSession", query: str, at_ms: int) -> tuple[Series, ...]:
        """The answer to an instant query, evaluated at a time (milliseconds since 1970).

        Raises:
            NoAnswer: there was no answer in any attempt.
            QueryError: the query is wrong.
            BackendError: the answer is another error, or none of Prometheus'.
        """
        form = {"query": query, "time": f"{at_ms / 1000:.3f}", "timeout": f"{max(round(self._timeout_s * 1000), 1)}ms"}
        for attempt in range(self._retries + 1):
            if attempt:
                await anyio.sleep(min(FIRST_WAIT_S * 2 ** (attempt - 1), LONGEST_WAIT_S))
            try:
                return await self._once(session, form)
            except _Unanswered as error:
                said = str(error)
        times = f" in {self._retries + 1} attempts" if self._retries else ""
        raise NoAnswer(f"Prometheus at {self._place} gave no answer{times}: {said} (query: {_short(query)})")

    async def _once(self, session: "aiohttp.ClientSession", form: Mapping[str, str]) -> tuple[Series, ...]:
        import aiohttp

        try:
            async with session.post(f"{self._url}/api/v1/query", data=form, allow_redirects=False) as response:
                body = await response.content.read(LARGEST + 1)
                while len(body) <= LARGEST and (more := await response.content.read(LARGEST)):
                    body += more
                return self._read(response.status, response.headers.get("Location", ""), body, form["query"])
        except TimeoutError:
            raise _Unanswered(f"nothing within {self._timeout_s:g} s") from None
        except aiohttp.InvalidURL:
            raise BackendError(f"{self._place} is no URL of a Prometheus") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _Unanswered(self._masked(str(error) or type(error).__name__)) from None

    def _read(self, status: int, location: str, body: bytes, query: str) -> tuple[Series, ...]:
        if len(body) > LARGEST:
            raise BackendError(f"the answer of Prometheus to {_short(query)} has more than {LARGEST} bytes; ask less")
        said = self._masked(_words(body))
        if status >= 500 or status == TOO_MANY:
            raise _Unanswered(f"HTTP {status}, {said}")
        if 300 <= status < 400:
            place = self._masked(location)
            raise BackendError(
                f"Prometheus at {self._place} redirects to {place}; no redirect is followed: give the URL it leads to"
            )
        if status in (401, 403):
            raise BackendError(
                f"Prometheus at {self._place} lets nobody in so (HTTP {status}); `token_env` names the variable that "
                "holds a token"
            )
        if status >= 400:
            kind = QueryError if status in (400, 422) else BackendError
            raise kind(f"Prometheus at {self._place} refused the query {_short(query)} (HTTP {status}): {said}")
        try:
            return parsed(body)
        except _Partial as error:
            told = self._masked(str(error))[:SHOWN]
            raise BackendError(f"the answer of Prometheus to {_short(query)} is not whole: {told}") from None
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            what = self._masked(f"{type(error).__name__}: {error}")[:SHOWN]
            raise BackendError(
                f"{self._place} did not answer as Prometheus does to {_short(query)} ({what}): {said}"
            ) from None

    def _masked(self, text: str) -> str:
        return mask(text.replace(self._token, "***") if self._token else text)


def parsed(body: bytes) -> tuple[Series, ...]:
    """The series of an answer of ``/api/v1/query``.

    Raises:
        _Partial: the answer is not whole.
        ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError: it is none.

    >>> parsed(b'{"status": "success", "data": {"resultType": "scalar", "result": [1.5, "7"]}}')
    (Series(labels={}, points=((1500, 7.0),)),)
    """
    answer = json.loads(body)
    if answer["status"] != "success":
        raise ValueError(f"status {answer['status']}")
    if warnings := [str(said) for said in answer.get("warnings") or () if not str(said).startswith(REMARK)]:
        raise _Partial("; ".join(warnings))
    if answer.get("isPartial"):
        raise _Partial("isPartial")
    kind, result = answer["data"]["resultType"], answer["data"]["result"]
    if kind == "scalar":
        return (Series({}, (_point(result),)),)
    if kind == "vector":
        return tuple(Series(_labels(each), (_point(each["value"]),)) for each in result)
    if kind == "matrix":
        return tuple(Series(_labels(each), tuple(map(_point, each["values"]))) for each in result)
    raise ValueError(f"a result of type {kind}")


def _labels(each: Mapping[str, Any]) -> Mapping[str, str]:
    return {str(name): str(value) for name, value in each["metric"].items() if name != "__name__"}


def _point(pair: Any) -> tuple[int, float]:
    at_s, value = pair
    if not isinstance(value, str) or not math.isfinite(at_s):
        raise TypeError(f"{pair!r} is no sample")
    return round(at_s * 1000), float(value)


def _words(body: bytes) -> str:
    """What an answer says, for a message: its own error where it has one."""
    try:
        said = str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        said = body[: 4 * SHOWN].decode("utf-8", "replace")
    return " ".join(said.split())[:SHOWN] or "with no words"


def _short(query: str) -> str:
    return query if len(query) <= SHOWN else f"{query[:SHOWN]}…"
