"""Whether an arm answers where users ask: at the router's own address, and not at a replica's behind it.

What is answered there says which arm gave it, by a header (`realtime.ARM_HEADER`, `realtime.MODEL_HEADER`) or by the
version in its body. An arm that has no share of the traffic cannot be asked so.
"""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, Protocol, runtime_checkable

from harness.domain.model import SERVING, Revision, Role, TrainedModel
from harness.domain.rollout import Routing, Weights
from harness.domain.scenario import Scenario
from harness.domain.units import SECOND, WHOLE
from harness.errors import ServingError
from harness.protocols import Notice, Readiness
from harness.realtime import COPY_HEADER, MODEL_HEADER, Fleet, Gateway
from harness.users import Users, Watched
from harness.users.scope import arm_headers
from harness.users.understanding import Reader

log = logging.getLogger("harness.backends.front")
ASKED: Final = 3
"""Requests of one probe: several proxies may stand behind one address."""
REFUSALS: Final = (400, 415, 422)
"""A server that says so of a request has read it."""


async def asked(
    url: str, within_s: float, role: Role, revisions: Mapping[Role, Revision], row: Any,
    headers: Sequence[str] = (MODEL_HEADER,),
) -> frozenset[Role]:  # fmt: skip
    """Ask the gateway for a prediction, a few times; which arms answered, or none.

    A refusal as wrong input (400, 415, 422) is an answer too.

    Args:
        url: of the gateway.
        within_s: how long an answer may take.
        role: the arm in question, whose is the answer of a server that does not say who it is.
        revisions: of all arms.
        row: that is asked.
        headers: of an answer that name its arm, the first that is there counts.
    """
    import aiohttp

    reader = Reader(SERVING, headers)
    reader.inform(revisions)
    seen: set[Role] = set()
    limit = aiohttp.ClientTimeout(total=within_s)
    async with aiohttp.ClientSession(timeout=limit, headers={"connection": "close"}) as session:
        for _ in range(ASKED):
            try:
                async with session.post(f"{url}/predict", json=row, headers={COPY_HEADER: "probe"}) as answer:
                    named = {name.lower(): text for name, text in answer.headers.items()}
                    body, status = await answer.read(), answer.status
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                log.warning("%s gives no answer: %s", url, str(error) or type(error).__name__)
                continue
            if 200 <= status < 300 or status in REFUSALS:
                seen.add(reader.arm(named, _parsed(body)) or role)
            else:
                log.warning("%s answers %d where %s was expected to", url, status, role)
    return frozenset(seen)


def _parsed(body: bytes) -> Any:
    import json

    try:
        return json.loads(body)
    except ValueError:
        return None


def no_values(model: TrainedModel | None) -> dict[str, None]:
    """A row of a model's columns without values."""
    return dict.fromkeys(model.features if model else ())


@runtime_checkable
class Exemplary(Protocol):
    """A fleet that knows a row which an arm's model takes."""

    async def example(self, role: Role) -> Any:
        """Such a row; None: none is known."""
        ...


class Front(Watched):
    """A router whose users are told where it sends them, and which shares are in force."""

    def __init__(self, gateway: Gateway, users: Users) -> None:
        super().__init__(gateway, users)
        self.gateway = gateway
        self.weights: Weights = {}
        """Empty where nobody knows."""

    async def apply(self, want: Routing) -> Weights:
        """Put it in force, and tell the users."""
        self.weights = {}
        found = await super().apply(want)
        self.weights = want.weights
        return found


class AskedInFront:
    """A fleet's replicas as `Serving`; an arm with all traffic is well only if users' requests are answered by it too.

    Args:
        scenario: how long an answer may take, and which headers name an arm.
        fleet: runs the replicas.
        front: has the shares that are in force.
    """

    def __init__(self, scenario: Scenario, fleet: Fleet, front: Front) -> None:
        self._scenario, self._fleet, self._front = scenario, fleet, front
        self._revisions: Mapping[Role, Revision] = {}
        self.models: Mapping[Role, TrainedModel] = {}

    def inform(self, revisions: Mapping[Role, Revision]) -> None:
        """What the models are called: answers that carry no header say it."""
        self._revisions = dict(revisions)

    async def apply(self, replicas: Mapping[Role, int]) -> None:
        """Want so many."""
        await self._fleet.apply(replicas)

    async def observe(self) -> Mapping[Role, Readiness]:
        """Wanted, and ready."""
        return await self._fleet.observe()

    def notices(self) -> AsyncIterator[Notice]:
        """What befalls the replicas."""
        return self._fleet.notices()

    async def probe(self, role: Role) -> bool:
        """Whether a replica answers, and the router leads there where the arm has all traffic.

        Raises:
            ServingError: it has all traffic, and the router's address answers from another arm.
        """
        if not await self._fleet.probe(role):
            return False
        if self._front.weights.get(role) != WHOLE:
            return True
        services = self._scenario.service
        within_s = services.get(role, services[role.model]).timeout_ns / SECOND
        row = await self._fleet.example(role) if isinstance(self._fleet, Exemplary) else None
        row = row if row is not None else no_values(self.models.get(role.model))
        url = self._front.gateway.url
        found = await asked(url, within_s, role, self._revisions, row, arm_headers(self._scenario))
        if others := ", ".join(sorted(found - {role})):
            raise ServingError(f"{role} has all traffic by the router, and {url} is answered by {others}")
        return bool(found)
