"""What must be found out before a load test: that its targets are ready, and what they take."""

import asyncio
from typing import Any, Final

from harness import clock
from harness.app.loadwanted import Wanted, span
from harness.domain.load import Payload, Speech, Transport
from harness.errors import BackendError
from harness.load import consent

WAIT_STEP_S: Final = 0.25


async def found_out(wanted: Wanted, speech: Speech, transport: Transport) -> Payload:
    """Wait for the targets, and make the payload, of the first one's own description if none is given.

    Raises:
        InputError: no payload can be made, or it cannot be read; the message says what to change.
        BackendError: a target was not ready in time, or gave no answer.
    """
    import aiohttp

    from harness.load import describe, payloads
    from harness.load.address import tls_context

    tls: Any = True
    if any(url.startswith("https:") for url in wanted.urls):
        tls = tls_context(wanted.ca_file, insecure=wanted.insecure)
    headers = dict(transport.headers)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls), headers=headers) as direct:
        session: Any = Through(direct, wanted.proxy) if wanted.proxy else direct
        if wanted.wait_ready:
            within = span(wanted.wait_ready, "--wait-ready")
            await asyncio.gather(*(_ready(session, url, wanted, speech, within) for url in wanted.urls))
        if wanted.payload is None and transport.method in {"GET", "DELETE", "OPTIONS", "HEAD"}:
            return Payload((b"",), source="no body")
        if wanted.payload is None:
            return await describe.describe(session, wanted.urls[0], speech, wanted.model)
    return payloads.read(
        wanted.payload, speech, order=wanted.order, rows_per_request=wanted.rows, drop=wanted.drop, seed=wanted.seed
    )


class Through:
    """A session whose questions go through a proxy, as those of the test do.

    Args:
        session: an `aiohttp.ClientSession`.
        proxy: its URL.
    """

    def __init__(self, session: Any, proxy: str) -> None:
        self._session, self._proxy = session, proxy

    def get(self, url: str, **how: Any) -> Any:
        """Ask; as the session's own method."""
        return self._session.get(url, proxy=self._proxy, **how)


async def _ready(session: Any, url: str, wanted: Wanted, speech: Speech, within_ns: int) -> None:
    from harness.load.speech import health_url, ready_urls

    until_ns = clock.monotonic_ns() + within_ns
    asked = ready_urls(url, speech, wanted.model) or (url,)
    while True:
        told = [await _status(session, each) for each in asked]
        if 404 in [status for status, _ in told]:  # a server without a word for it is ready when it is alive
            told = [await _status(session, health_url(url, speech) or url)]
        if all(status is not None and 200 <= status < 300 for status, _ in told):
            return
        if speech is Speech.RAW and all(status is not None for status, _ in told):
            return  # it answers, and that is all that can be known of it
        if clock.monotonic_ns() > until_ns:
            raise BackendError(
                f"--wait-ready {wanted.wait_ready}: {'; '.join(words for _, words in told)}; is it the right protocol?"
            )
        await asyncio.sleep(WAIT_STEP_S)


async def _status(session: Any, url: str) -> tuple[int | None, str]:
    """What a URL answers with, and the same in words."""
    import aiohttp

    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=2.0)) as answer:
            return answer.status, f"{consent.shown(url)} answered {answer.status}"
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return None, f"{consent.shown(url)}: {str(error) or type(error).__name__}"
