"""A candidate's environment: brought up until it takes requests, and torn down whatever happened."""

from collections.abc import Sequence
from typing import Final

import anyio

from harness.domain.event import Checked, StagingEnded
from harness.domain.model import Role
from harness.domain.units import SECOND, duration_text
from harness.protocols import Case, Endpoint, StagingPlatform, Tell
from harness.staging.contract import Finding

POLL_S: Final = 1.0
"""From one look at an endpoint that is coming up to the next."""
STOP_S: Final = 20.0
"""Each attempt to tear the environment down is given so long."""
AGAIN_S: Final = (0.0, 1.0, 4.0)
"""Waits before each of them."""


async def bring_up(
    platform: StagingPlatform, case: Case, replicas: int, within_ns: int
) -> tuple[Endpoint | None, Finding]:
    """Deploy the candidate and wait until it takes requests: the endpoint, None where it never did, and the check."""
    endpoint = None
    with anyio.move_on_after(within_ns / SECOND):
        endpoint = await _ready(platform, case, replicas)
    within = duration_text(within_ns)
    detail = f"the endpoint is {'' if endpoint else 'not '}ready within {within}"
    return endpoint, Finding("staging_ready", "the endpoint becomes ready", endpoint is not None, None, within, detail)


async def _ready(platform: StagingPlatform, case: Case, replicas: int) -> Endpoint:
    model, revision = case.models[Role.CANDIDATE], case.revisions[Role.CANDIDATE]
    endpoint = await platform.start(model, revision, case.population, replicas)
    while not await endpoint.ready():  # noqa: ASYNC110 - only asking tells
        await anyio.sleep(POLL_S)
    return endpoint


async def tear_down(platform: StagingPlatform, tell: Tell) -> None:
    """Shielded and bounded: a cancelled run cleans up too, and one whose environment hangs ends all the same."""
    said = ""
    with anyio.CancelScope(shield=True):
        for wait_s in AGAIN_S:
            await anyio.sleep(wait_s)
            try:
                with anyio.fail_after(STOP_S):
                    await platform.stop()
            except TimeoutError:
                said = f"stopping took more than {STOP_S:g} s"
            except Exception as error:  # noqa: BLE001 - whatever a backend raises: it is told, and tried again
                said = str(error) or repr(error)
            else:
                tell(StagingEnded, True, "")  # noqa: FBT003 - an event's field
                return
    tell(StagingEnded, False, f"something may be left of it: {said}")  # noqa: FBT003


def tell_all(tell: Tell, found: Sequence[Finding]) -> None:
    """Each finding as an event."""
    for check in found:
        tell(Checked, check.name, check.text, check.passed, check.value, check.bound, check.detail)
