"""A webhook as a channel: each message is POSTed as JSON that Slack's incoming webhooks take, and others too.

Its URL is a secret, for whoever has it can post. No error shows more of it than the server, and the event log masks the
rest wherever it stands. What fails for a while is tried again: no answer, 429 and 5xx, with exponential back-off and
jitter, and never earlier than ``Retry-After`` says. Anything else is said at once: it would fail again.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import anyio

from harness import seeds
from harness.clock import is_virtual, now_ns, utc_now
from harness.domain.secrets import SHORTEST
from harness.domain.units import SECOND
from harness.errors import BackendError, NotificationError

if TYPE_CHECKING:
    import aiohttp

VARIABLE: Final = "HARNESS_WEBHOOK_URL"
"""Holds the URL where a scenario says ``webhook`` and no more."""
TOO_MANY: Final = 429
SHOWN: Final = 200
"""Bytes of a refusal that are shown."""
ENTITIES: Final = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;"}
"""The three characters that Slack takes for its own: links, and mentions of a whole channel."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a webhook is tried."""

    attempts: int = 5
    attempt_s: float = 10.0
    """An attempt that has no answer by then has failed."""
    within_s: float = 45.0
    """No attempt begins later than this after the first."""
    base_s: float = 0.5
    """The first wait, doubled from one to the next."""
    most_s: float = 20.0

    def wait_s(self, attempt: int, drawn: float) -> float:
        """The wait after so many attempts: at least half of what doubling gives, the rest by chance (equal jitter).

        Args:
            attempt: how many have failed.
            drawn: uniform in [0, 1).

        >>> [Patience(base_s=1).wait_s(n, 0) for n in (1, 2, 3)], Patience(base_s=1).wait_s(9, 0.5)
        ([0.5, 1.0, 2.0], 15.0)
        """
        ceiling = min(self.most_s, self.base_s * 2.0 ** (attempt - 1))
        return ceiling * (1 + drawn) / 2


@dataclass(frozen=True, slots=True)
class _Answer:
    taken: bool
    again: bool = False
    """It may be taken if it is tried again."""
    said: str = ""
    after_s: float = 0.0
    """Not to be tried before that."""


class WebhookNotifier:
    """POSTs each message as ``{"text": …}`` with what else it says beside it.

    A message may arrive twice, where an answer was lost: its ``number`` tells.

    Args:
        url: of the webhook, http or https; None: of the variable HARNESS_WEBHOOK_URL.
        jitter: the stream that waits are drawn from.
        patience: how long it is tried.

    Raises:
        BackendError: there is no URL, it is none, or aiohttp is not installed.
    """

    realtime = True

    def __init__(
        self, url: str | None = None, jitter: seeds.Stream | None = None, patience: Patience = Patience()
    ) -> None:
        self._url = _checked(os.environ.get(VARIABLE, "") if url is None else url)
        self._jitter = jitter or seeds.stream(0, "notifier/webhook")
        self._draws = 0
        self._patience = patience
        self.place = place(self._url)
        """The server, and no more of the URL."""
        try:
            import aiohttp  # noqa: F401 - here, so that it falls into no message's time
        except ImportError as error:
            raise BackendError(
                f"a webhook needs aiohttp, which cannot be imported ({error}): pip install aiohttp"
            ) from None

    def __repr__(self) -> str:
        return f"WebhookNotifier({self.place!r})"

    async def notify(self, message: Mapping[str, Any]) -> None:
        """Deliver a message.

        Raises:
            NotificationError: it was refused, or not taken within the time there is; or time is virtual, and there are
                no sockets.
        """
        if is_virtual():
            raise NotificationError(f"{self.place} is not asked on virtual time; run with `--clock real`")
        body = {**message, "text": str(message["text"]).translate(ENTITIES), "mrkdwn": False}
        last_ns = now_ns() + round(self._patience.within_s * SECOND)
        for attempt in range(1, self._patience.attempts + 1):
            answer = await self._post(body)
            if answer.taken:
                return
            if not answer.again:
                raise NotificationError(
                    f"{self.place} refused it: {answer.said}; check the webhook's URL and its rights"
                )
            wait_s = max(answer.after_s, self._patience.wait_s(attempt, self._drawn()))
            if attempt == self._patience.attempts or now_ns() + wait_s * SECOND > last_ns:
                break
            await anyio.sleep(wait_s)
        raise NotificationError(f"{self.place} did not take it in {attempt} attempts: {answer.said}")

    def _drawn(self) -> float:
        self._draws += 1
        return float(self._jitter.generator(self._draws).random())

    async def _post(self, body: Mapping[str, Any]) -> _Answer:
        import aiohttp

        limit = aiohttp.ClientTimeout(total=self._patience.attempt_s)
        try:
            # A redirect would turn the POST into a GET. Proxies stand in the usual variables.
            async with (
                aiohttp.ClientSession(timeout=limit, trust_env=True) as session,
                session.post(self._url, json=body, allow_redirects=False) as response,
            ):
                return await self._read(response)
        except TimeoutError:
            return _Answer(taken=False, again=True, said=f"no answer within {self._patience.attempt_s:g} s")
        except aiohttp.InvalidURL:
            return _Answer(taken=False, said="its URL is none")
        except (aiohttp.ClientError, OSError) as error:
            return _Answer(taken=False, again=True, said=self._masked(str(error) or type(error).__name__))

    async def _read(self, response: "aiohttp.ClientResponse") -> _Answer:
        status = response.status
        if 200 <= status < 300:
            return _Answer(taken=True)
        words = " ".join((await response.content.read(SHOWN)).decode("utf-8", "replace").split())
        said = self._masked(f"HTTP {status}{f', {words}' if words else ''}")
        again = status == TOO_MANY or status >= 500
        return _Answer(
            taken=False, again=again, said=said, after_s=retry_after_s(response.headers.get("Retry-After", ""))
        )

    def _masked(self, text: str) -> str:
        for secret in secrets_of(self._url):
            text = text.replace(secret, "***")
        return text


def place(url: str) -> str:
    """The server of a URL, and nothing of what makes it secret.

    >>> place("https://ann:pw@hooks.example.org:8443/services/T0/B0/secret?token=x")
    'https://hooks.example.org:8443/***'
    """
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}/***"


def secrets_of(url: str) -> tuple[str, ...]:
    """What must not be seen of a webhook's URL, the longest first: its path with the query, and its user.

    What is shorter than secrets are stays: it would be found in words that have nothing to do with it.

    >>> secrets_of("https://hooks.example.org/services/T0/B0/secret?thread=1")
    ('services/T0/B0/secret?thread=1', 'services/T0/B0/secret')
    """
    parts = urlsplit(url)
    path = parts.path.strip("/")
    found = {f"{path}?{parts.query}" if parts.query else path, path, parts.netloc.rpartition("@")[0]}
    return tuple(sorted((each for each in found if len(each) >= SHORTEST), key=lambda each: (-len(each), each)))


def retry_after_s(text: str) -> float:
    """How long a server asks to be left alone: seconds, or a date (RFC 9110, 10.2.3); 0 where it does not say.

    >>> retry_after_s("120"), retry_after_s(""), retry_after_s("soon"), retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT")
    (120.0, 0.0, 0.0, 0.0)
    """
    from datetime import UTC
    from email.utils import parsedate_to_datetime

    if text.strip().isdecimal():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - utc_now()).total_seconds())


def _checked(url: str) -> str:
    if not url:
        raise BackendError(f"a webhook has a URL: give it in the scenario (`notify: [https://…]`), or in {VARIABLE}")
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        fine = False
    if not fine or any(letter.isspace() for letter in url):
        raise BackendError("the URL of a webhook is http(s)://HOST/PATH; what was given is not (it is not shown here)")
    return url
