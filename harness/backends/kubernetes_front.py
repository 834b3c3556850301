"""Whether an arm answers, as far as that can be seen from outside a cluster.

Pods are reached from within the cluster alone; users reach the gateway. What the gateway answers says which revision
gave it (`realtime.MODEL_HEADER`, or the version in its body). An arm that has no share of the traffic cannot be asked
so: of it the kubelet's own probes, by which pods are ready or not, are all that is known.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from harness.domain.model import Revision, Role, TrainedModel
from harness.realtime import COPY_HEADER, MODEL_HEADER
from harness.users.understanding import Reader

ASKED: Final = 3
"""Requests of one probe, where others than the arm in question answer."""
REFUSALS: Final = (400, 415, 422)
"""A server that says so of a request has read it."""


class Answered(Enum):
    """Who answered a probe through the gateway."""

    ARM = "the arm"
    OTHERS = "other arms"
    NOBODY = "nobody"


async def asked(
    url: str, within_s: float, role: Role, revisions: Mapping[Role, Revision], model: TrainedModel | None
) -> Answered:
    """Ask the gateway for a prediction, a few times; which arm answered.

    What is asked is a row without values: a refusal as wrong input (400, 415, 422) is an answer too.

    Args:
        url: of the gateway.
        within_s: how long an answer may take.
        role: the arm in question.
        revisions: of all arms.
        model: whose columns the row has.
    """
    import aiohttp

    reader = Reader(tuple(revisions), (MODEL_HEADER,))
    reader.inform(revisions)
    row = dict.fromkeys(model.features if model else ())
    found = Answered.NOBODY
    limit = aiohttp.ClientTimeout(total=within_s)
    async with aiohttp.ClientSession(timeout=limit, headers={"connection": "close"}) as session:
        for _ in range(ASKED):
            try:
                async with session.post(f"{url}/predict", json=row, headers={COPY_HEADER: "probe"}) as answer:
                    headers = {name.lower(): text for name, text in answer.headers.items()}
                    body, status = await answer.read(), answer.status
            except (aiohttp.ClientError, TimeoutError, OSError):
                continue
            if not (200 <= status < 300 or status in REFUSALS):
                continue
            said = reader.arm(headers, _parsed(body))
            if said in {role, None}:  # None: a model server that does not say who it is
                return Answered.ARM
            found = Answered.OTHERS
    return found


def _parsed(body: bytes) -> Any:
    import json

    try:
        return json.loads(body)
    except ValueError:
        return None
