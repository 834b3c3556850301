"""What a staging environment must keep."""

from collections.abc import Callable

from harness.clock import now_ns, sleep_until
from harness.contracts.checks import hold
from harness.contracts.platforms import Patience
from harness.domain.model import Revision, TrainedModel
from harness.domain.units import SECOND
from harness.errors import BackendError
from harness.protocols import Population, StagingPlatform


async def check_staging(
    make: Callable[[], StagingPlatform],
    model: TrainedModel,
    revision: Revision,
    population: Population,
    rounds: int = 2,
    load_s: float = 2.0,
) -> None:
    """Check that a staging environment keeps what the stage relies on.

    Args:
        make: gives a new environment, in which nothing runs.
        model: a fitted model; it is deployed.
        revision: which version it is said to be.
        population: rows that it can answer.
        rounds: how often it is started and stopped; two show that what was stopped can be started again.
        load_s: how long it is asked for, ten times a second.

    Raises:
        AssertionError: a promise is broken; the message says which.
    """
    from harness.staging.contract import contract, golden

    platform = make()
    await platform.stop()  # nothing is there to be stopped
    rows = golden(model, population, 3)
    for _ in range(rounds):
        endpoint = await platform.start(model, revision, population, 1)
        try:
            until_ns = now_ns() + int(Patience().ready_within_s * SECOND)
            while not await endpoint.ready():
                hold(now_ns() < until_ns, "an endpoint becomes ready in time")
                await sleep_until(now_ns() + SECOND // 10)
            for found in await contract(endpoint, model, revision, rows):
                hold(found.passed, f"{found.text}: {found.detail}")
            met = await platform.load(10.0, round(load_s * SECOND))
            due = round(10 * load_s)
            hold(abs(met.sent - due) <= 1, f"ten requests a second for {load_s:g} seconds are {due}, not {met.sent}")
            hold(met.failed == sum(met.errors.values()), "each failure is of a kind")
            hold(met.latency.count <= met.sent, "no more latencies than requests")
        finally:
            await platform.stop()
        await platform.stop()
        try:
            reply = await endpoint.predict(rows[0].row)
        except BackendError:
            continue
        hold(not reply.answered, "what was stopped answers nothing")
