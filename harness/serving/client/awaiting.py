"""The door that is awaited: aiohttp."""

import asyncio
import io
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio

from harness.domain.units import SECOND
from harness.serving.client.asking import Prediction, Row
from harness.serving.client.calling import LARGEST, Answer, Attempt, Cause, Failure, Outcome, Wait
from harness.serving.client.talk import Door, Health

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")
PIECE: Final = 1 << 20
"""Bytes that are sent at once."""


class AsyncModelServingClient(Door):
    """`ModelServingClient`, awaited; of one event loop, and closed when done with (``async with``)."""

    _session: "aiohttp.ClientSession | None" = None

    async def __aenter__(self) -> "AsyncModelServingClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connections that were kept; the client can be used again."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def health_check(self) -> Health:
        """As `ModelServingClient.health_check`."""
        return await self._carry_out(self._talk.health())

    async def ready(self) -> bool:
        """As `ModelServingClient.ready`."""
        return await self._carry_out(self._talk.ready())

    async def predict(self, features: Row) -> Prediction:
        """As `ModelServingClient.predict`."""
        return (await self._carry_out(self._talk.predict([features])))[0]

    async def predict_many(self, rows: Sequence[Row]) -> list[Prediction]:
        """As `ModelServingClient.predict_many`."""
        return await self._carry_out(self._talk.predict(rows))

    async def asked(self, body: Any) -> tuple[int, Any]:
        """Status and content of the answer to one body as it stands; a refusal is an answer too.

        Raises:
            ConnectionError: no connection was made, or it broke.
            TimeoutError: there was no whole answer in time.
            EndpointError: the server is not trusted, or speaks no HTTP.
        """
        return await self._carry_out(self._talk.asked(body))

    async def metadata(self) -> dict[str, Any]:
        """As `ModelServingClient.metadata`."""
        return await self._carry_out(self._talk.metadata())

    async def _carry_out(self, steps: Generator[Attempt | Wait, Outcome | None, T]) -> T:
        came: Outcome | None = None
        while True:
            try:
                step = steps.send(came)
            except StopIteration as stop:
                found: T = stop.value
                return found
            if isinstance(step, Wait):
                await anyio.sleep(step.seconds)
                came = None
            else:
                came = await self._attempt(step)

    async def _attempt(self, attempt: Attempt) -> Outcome:
        import aiohttp

        try:
            async with asyncio.timeout(attempt.within_ns / SECOND):
                return await self._exchange(attempt)
        except (OSError, aiohttp.ClientError, ValueError) as error:
            return _failure(error)

    async def _exchange(self, attempt: Attempt) -> Answer:
        import aiohttp

        if self._session is None:
            # The time of a call is limited around it: aiohttp rounds limits above five seconds to whole ones.
            connector = aiohttp.TCPConnector(ssl=self._tls or True)
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        async with self._session.request(
            attempt.request.method,
            self._talk.target.url(attempt.request.path),
            data=_sent(attempt.request.body),
            headers=attempt.headers,
            allow_redirects=False,
        ) as response:
            body = bytearray()
            async for piece in response.content.iter_any():
                body += piece
                if len(body) > LARGEST:
                    response.close()
                    break
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, headers, bytes(body))


def _sent(body: bytes | None) -> bytes | io.BytesIO | None:
    """A body as aiohttp wants it: a large one as a file, which is sent in pieces."""
    return io.BytesIO(body) if body is not None and len(body) > PIECE else body


def _failure(error: Exception) -> Failure:
    import aiohttp

    told = str(error) or type(error).__name__
    match error:
        case TimeoutError():
            return Failure(Cause.LATE)
        case aiohttp.ClientConnectorCertificateError():
            certificate = error.certificate_error
            return Failure(Cause.UNTRUSTED, getattr(certificate, "verify_message", str(certificate)))
        case aiohttp.ClientSSLError():
            return Failure(Cause.UNTRUSTED, told)
        case aiohttp.ClientConnectorError():
            return Failure(Cause.REFUSED, error.os_error.strerror or str(error.os_error))
        case aiohttp.ServerDisconnectedError():
            return Failure(Cause.DROPPED)
        case OSError() | aiohttp.ClientPayloadError() | aiohttp.ClientConnectionError():
            return Failure(Cause.BROKEN, getattr(error, "strerror", None) or "it ended early")
        case aiohttp.ClientResponseError():
            return Failure(Cause.GARBLED, error.message)
    return Failure(Cause.GARBLED, told)
