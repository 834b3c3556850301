"""A router of the user's own before endpoints that exist: told what is wanted by a webhook, or by a command.

What is told, as JSON (version 1):

    {"version": 1, "run": "canary-20260102-1", "token": 3, "intent": "canary-20260102-1/9c0e41d2/7",
     "weights": {"stable": 0.9, "candidate": 0.1},
     "routes": [{"name": "beta", "header": "x-beta", "value": "yes"}],
     "mirror": 0.0, "sticky": false, "adopt": false,
     "revisions": {"stable": "churn:3", "candidate": "churn:4"}}

``weights`` are shares that sum to 1, of the endpoints that the scenario lists under ``real.http``; what is told is all
that is wanted, and telling it twice changes nothing. ``routes``: requests with that header go to the candidate.
``adopt``: what was the candidate is stable from now on, so that its endpoints have the share of ``stable``, and
``revisions`` says what stable is then; told again, it is the same change. ``token`` only rises for a run: refuse one
that is lower than you have seen. ``intent`` is the same in each try of one change.

An answer may say what is in force, where it is not what was asked for: ``{"weights": {"stable": 0.9, …}}``, as the body
of the webhook's answer or on the command's standard output. Anything else there is no answer of that kind, and what was
asked for is taken to be in force.

Nothing is known of the routing that a user's router has in force, so `attach` says None: whoever resumes a run puts
what it wants in force again.
"""

import json
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import anyio
from anyio.abc import ByteReceiveStream

from harness import seeds
from harness.backends.webhook import TOO_MANY, Patience, place, retry_after_s, secrets_of
from harness.clock import is_virtual, now_ns
from harness.domain.model import Revision, Role
from harness.domain.rollout import Routing, Weights
from harness.domain.scenario import Scenario
from harness.domain.secrets import mask
from harness.domain.units import SECOND, WHOLE
from harness.errors import BackendError, RoutingError
from harness.realtime import Behind, Place
from harness.routing.words import checked

if TYPE_CHECKING:
    import aiohttp

VERSION: Final = 1
VARIABLE: Final = "HARNESS_ROUTER_TOKEN"
"""The variable that holds a bearer token for the webhook, where it asks for one."""
PATIENCE: Final = Patience(attempts=5, attempt_s=10.0, within_s=30.0, base_s=0.25, most_s=5.0)
"""All of it within the minute that a backend has to answer."""
COMMAND_S: Final = 30.0
PIPES_S: Final = 1.0
SHOWN: Final = 300
SENT_AT_MOST: Final = 64 * 1024
"""Bytes of an answer that are read."""
ALL_STABLE: Final = Routing({Role.STABLE: WHOLE, Role.CANDIDATE: 0})


class OutsideRouter(ABC):
    """A gateway whose router is somebody else's; how it is told is left to the two below.

    Args:
        scenario: where users ask (``real.http.front``), and how the router is told (``real.router``).

    Raises:
        BackendError: the scenario does not say where users ask.
    """

    realtime = True

    def __init__(self, scenario: Scenario) -> None:
        front = scenario.real.http.front
        if front is None:
            raise BackendError("with a router of your own, real.http.front says where users ask")
        self.url = front
        self._at: Place | None = None
        self._told, self._self = 0, os.urandom(4).hex()
        self._revisions: Mapping[str, str] = {}
        self._adopting = ""
        """The intent of the last change, where that was to adopt."""

    def place(self, where: Place) -> None:
        """Names the run, and has its token."""
        self._at = where

    def inform(self, revisions: Mapping[Role, Revision]) -> None:
        """What the models are called: it is told so."""
        self._revisions = {role.value: str(revision) for role, revision in revisions.items()}

    async def start(self) -> None:
        """It listens already; what it can be asked is seen with the first routing.

        Raises:
            BackendError: it cannot be told anything from here.
        """
        if is_virtual():
            raise BackendError("a router of your own is real, and is not told on virtual time; run with `--clock real`")

    async def attach(self) -> Routing | None:
        """None: what is in force there is not known; whoever asks puts what is wanted in force again."""
        await self.start()
        return None

    async def apply(self, want: Routing) -> Weights:
        """Tell it; answers with the weights that it says are in force, or else with those that were asked for.

        Raises:
            RoutingError: it refused, or could not be told; or weights are no shares of the whole.
        """
        checked(want)
        return await self._tell_all(want, adopt=False)

    async def adopt(self) -> None:
        """Tell it that the candidate's endpoints are stable's from now on, with all traffic.

        Asked again before anything else is, it is told the same change, under the same intent.

        Raises:
            RoutingError: it refused, or could not be told.
        """
        await self._tell_all(ALL_STABLE, adopt=True)

    async def point(self, behind: Behind) -> None:
        """Nothing: its endpoints are its own affair, and none of them is stopped by us."""
        del behind

    async def stop(self) -> None:  # noqa: B027 - there is nothing to do, in either of them
        """Nothing of it is ours: it goes on as it was told last."""

    def scraped(self) -> Mapping[str, Mapping[str, str]]:
        """Its metrics are its own affair."""
        return {}

    async def _tell_all(self, want: Routing, *, adopt: bool) -> Weights:
        if self._at is None:
            raise BackendError("the router has not been told which run this is: call place() first")
        if not (adopt and self._adopting):
            self._told += 1
        intent = f"{self._at.run}/{self._self}/{self._told}"  # another process of the run counts from one again
        self._adopting = intent if adopt else ""
        body = message(want, self._at, intent, self._revisions, adopt=adopt)
        return weights_said(await self._tell(body), want.weights)

    def _still_ours(self) -> None:
        """Before each try: one that waited in between may have been overtaken. LeaseLost where it was."""
        if self._at is not None:
            with self._at.ours():
                pass  # not around the request, which may take long: others wait for what is held here

    @abstractmethod
    async def _tell(self, body: Mapping[str, Any]) -> str:
        """Have the router take it; answers with what it says.

        Raises:
            RoutingError: it did not.
        """


def message(
    want: Routing, at: Place, intent: str, revisions: Mapping[str, str] = MappingProxyType({}), *, adopt: bool = False
) -> dict[str, Any]:
    """What a router is told.

    >>> from pathlib import Path
    >>> told = message(Routing({Role.STABLE: 9000, Role.CANDIDATE: 1000}), Place(Path(), Path(), "r", 3), "r/3/1")
    >>> told["weights"], told["token"]
    ({'stable': 0.9, 'candidate': 0.1}, 3)
    """
    return {
        "version": VERSION,
        "run": at.run,
        "token": at.token,
        "intent": intent,
        "weights": {role.value: share / WHOLE for role, share in want.weights.items()},
        "routes": [{"name": each.name, "header": each.header, "value": each.value} for each in want.routes],
        "mirror": want.mirror / WHOLE,
        "sticky": want.sticky,
        "adopt": adopt,
        "revisions": dict(revisions),
    }


def weights_said(answer: str, asked: Weights) -> Weights:
    """The weights that an answer says are in force; those that were asked for, where it does not say.

    Raises:
        RoutingError: what it says is no weights: shares of arms that sum to 1, to a hundredth of a percent.

    >>> weights_said('{"weights": {"stable": 0.95, "candidate": 0.05}}', {Role.STABLE: WHOLE})[Role.CANDIDATE]
    500
    >>> weights_said("done", {Role.STABLE: WHOLE})
    {<Role.STABLE: 'stable'>: 10000}
    """
    try:
        said = json.loads(answer)
    except ValueError:
        return dict(asked)
    if not isinstance(said, dict) or said.get("weights") is None:
        return dict(asked)
    try:
        weights = {Role(name): round(float(share) * WHOLE) for name, share in said["weights"].items()}
        return checked(Routing({**dict.fromkeys(asked, 0), **weights})).weights
    except (ValueError, TypeError, AttributeError, OverflowError, RoutingError) as error:
        raise RoutingError(f"the router says that {said['weights']!r} are the weights in force: {error}") from None


class WebhookRouter(OutsideRouter):
    """POSTs what is wanted to ``real.router.webhook``.

    No answer, 429 and 5xx are tried again with exponential back-off and jitter, and never earlier than ``Retry-After``
    says; anything else that is not 2xx is a refusal, and told at once. All tries of one change carry the same
    ``Idempotency-Key``. The variable HARNESS_ROUTER_TOKEN, if it is set, is sent as a bearer token.

    Args:
        scenario: where it is.
        patience: how long it is tried.

    Raises:
        BackendError: the scenario lacks the webhook's URL, or where users ask.
    """

    def __init__(self, scenario: Scenario, patience: Patience = PATIENCE) -> None:
        super().__init__(scenario)
        if scenario.real.router.webhook is None:
            raise BackendError("`router: webhook` needs real.router.webhook: where the wanted weights are sent")
        self._hook, self._patience = scenario.real.router.webhook, patience
        self._jitter, self._draws = seeds.stream(scenario.seed, "router/webhook"), 0

    async def _tell(self, body: Mapping[str, Any]) -> str:
        headers = {"Idempotency-Key": body["intent"]}
        if token := os.environ.get(VARIABLE, ""):
            headers["Authorization"] = f"Bearer {token}"
        last_ns, said, server = now_ns() + round(self._patience.within_s * SECOND), "", place(self._hook)
        for attempt in range(1, self._patience.attempts + 1):
            self._still_ours()
            answer, said, wait_s = await self._post(body, headers)
            if answer is not None:
                return answer
            wait_s = max(wait_s, self._patience.wait_s(attempt, self._drawn()))
            if attempt == self._patience.attempts or now_ns() + wait_s * SECOND > last_ns:
                break
            await anyio.sleep(wait_s)
        raise RoutingError(f"{server} did not take the routing in {attempt} attempts: {said}")

    def _drawn(self) -> float:
        self._draws += 1
        return float(self._jitter.generator(self._draws).random())

    async def _post(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[str | None, str, float]:
        """One try: the answer; else what there was instead, and how long to wait at least."""
        import aiohttp

        limit = aiohttp.ClientTimeout(total=self._patience.attempt_s)
        try:
            async with (
                aiohttp.ClientSession(timeout=limit, trust_env=True) as session,
                session.post(self._hook, json=body, headers=headers, allow_redirects=False) as response,
            ):
                return await self._read(response)
        except TimeoutError:
            return None, f"no answer within {self._patience.attempt_s:g} s", 0.0
        except (aiohttp.ClientError, OSError) as error:
            return None, self._masked(str(error) or type(error).__name__), 0.0

    async def _read(self, response: "aiohttp.ClientResponse") -> tuple[str | None, str, float]:
        text = (await response.content.read(SENT_AT_MOST)).decode("utf-8", "replace")
        if 200 <= response.status < 300:
            return text, "", 0.0
        words = " ".join(text[:SHOWN].split())
        said = self._masked(f"HTTP {response.status}{f', {words}' if words else ''}")
        if response.status != TOO_MANY and response.status < 500:
            raise RoutingError(f"{place(self._hook)} refused the routing: {said}")
        return None, said, retry_after_s(response.headers.get("Retry-After", ""))

    def _masked(self, text: str) -> str:
        for secret in (*secrets_of(self._hook), os.environ.get(VARIABLE, "")):
            text = text.replace(secret, "***") if secret else text
        return text


class CommandRouter(OutsideRouter):
    """Runs ``real.router.command`` with what is wanted on its standard input.

    It has 30 s, and is killed then. An exit code other than 0 is a refusal, with the last line of its standard error.

    Args:
        scenario: what is run; not by a shell.
        within_s: how long it may take.

    Raises:
        BackendError: the scenario lacks the command, or where users ask.
    """

    def __init__(self, scenario: Scenario, within_s: float = COMMAND_S) -> None:
        super().__init__(scenario)
        if not scenario.real.router.command:
            raise BackendError("`router: command` needs real.router.command: what is run with the wanted weights")
        self._command, self._within_s = scenario.real.router.command, within_s

    async def _tell(self, body: Mapping[str, Any]) -> str:
        name = self._command[0]
        self._still_ours()
        try:
            with anyio.fail_after(self._within_s):
                code, said, complaint = await _ran(self._command, json.dumps(body).encode())
        except TimeoutError:
            raise RoutingError(f"{name} did not end within {self._within_s:g} s, and was killed") from None
        except OSError as error:
            raise RoutingError(f"{name} cannot be run: {error.strerror or type(error).__name__}") from error
        if code:
            lines = complaint.strip().splitlines()
            last = mask(lines[-1].strip())[:SHOWN] if lines else "it said nothing on standard error"
            raise RoutingError(f"{name} refused the routing (exit code {code}): {last}")
        return said


async def _ran(command: tuple[str, ...], told: bytes) -> tuple[int, str, str]:
    """Run it to its end; exit code, standard output and error. Cut off, it is killed with all that it has started."""
    async with await anyio.open_process(command, start_new_session=True) as process:
        said: dict[str, bytes] = {}

        async def read(name: str, stream: ByteReceiveStream | None) -> None:
            said[name] = b"".join([part async for part in stream]) if stream else b""

        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read, "out", process.stdout)
                tasks.start_soon(read, "err", process.stderr)
                if process.stdin:
                    with suppress(anyio.BrokenResourceError, ConnectionError):  # it does not want to know
                        await process.stdin.send(told)
                        await process.stdin.aclose()
                code = await process.wait()
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with anyio.move_on_after(PIPES_S, shield=True):  # a pipe is closed once its end has been read
                await read("out", process.stdout)
                await read("err", process.stderr)
            raise
        return code, said["out"].decode("utf-8", "replace"), said["err"].decode("utf-8", "replace")
