"""Whether an arm answers, as far as that can be seen from outside a cluster.

Pods are reached from within the cluster alone; users reach the gateway. What the gateway answers says which revision
gave it (`realtime.MODEL_HEADER`, or the version in its body). An arm that has no share of the traffic cannot be asked
so: of it the kubelet's own probes, by which pods are ready or not, are all that is known.
"""

from collections.abc import Mapping
from typing import Any, Final

from harness.domain.model import Revision, Role, TrainedModel
from harness.realtime import COPY_HEADER, MODEL_HEADER
from harness.users.understanding import Reader

ASKED: Final = 3
"""Requests of one probe: several proxies may stand behind one address."""
REFUSALS: Final = (400, 415, 422)
"""A server that says so of a request has read it."""


async def asked(
    url: str, within_s: float, role: Role, revisions: Mapping[Role, Revision], model: TrainedModel | None
) -> frozenset[Role]:
    """Ask the gateway for a prediction, a few times; which arms answered, or none.

    What is asked is a row without values: a refusal as wrong input (400, 415, 422) is an answer too.

    Args:
        url: of the gateway.
        within_s: how long an answer may take.
        role: the arm in question, whose is the answer of a server that does not say who it is.
        revisions: of all arms.
        model: whose columns the row has.
    """
    import aiohttp

    reader = Reader(tuple(revisions), (MODEL_HEADER,))
    reader.inform(revisions)
    row = dict.fromkeys(model.features if model else ())
    seen: set[Role] = set()
    limit = aiohttp.ClientTimeout(total=within_s)
    async with aiohttp.ClientSession(timeout=limit, headers={"connection": "close"}) as session:
        for _ in range(ASKED):
            try:
                async with session.post(f"{url}/predict", json=row, headers={COPY_HEADER: "probe"}) as answer:
                    headers = {name.lower(): text for name, text in answer.headers.items()}
                    body, status = await answer.read(), answer.status
            except (aiohttp.ClientError, TimeoutError, OSError):
                continue
            if 200 <= status < 300 or status in REFUSALS:
                seen.add(reader.arm(headers, _parsed(body)) or role)
    return frozenset(seen)


def _parsed(body: bytes) -> Any:
    import json

    try:
        return json.loads(body)
    except ValueError:
        return None
