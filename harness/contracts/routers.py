"""What a gateway must keep: a router with an address, before real servers.

    async def test_my_router():
        for ran in await check_gateway(lambda: MyRouter(scenario)):
            print(ran)

The simulated router has no address: `check_platform` holds it to the same promises (docs/routers.md: which is which).
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.contracts.behind import Replica, users_of
from harness.contracts.router_checks import BOTH, GATEWAY_CHECKS, Bench, CannotError
from harness.domain.model import Role
from harness.errors import BackendError
from harness.realtime import Gateway, Place, Placed


@dataclass(frozen=True, slots=True)
class Ran:
    """One check of one gateway."""

    name: str
    broken: str = ""
    """The promise that was; empty: all were kept."""
    refused: str = ""
    """What the gateway says that it cannot do; then nothing more was checked."""

    def __str__(self) -> str:
        """A line of a report."""
        return f"{self.name}: {self.broken or (f'refused ({self.refused})' if self.refused else 'kept')}"


def passed_of(ran: Iterable[Ran]) -> str:
    """The sum of it.

    >>> passed_of([Ran("a"), Ran("b", refused="no mirror"), Ran("c", broken="lost 2")])
    '2 of 3 passed, 1 of them as refused'
    """
    ran = tuple(ran)
    passed = [each for each in ran if not each.broken]
    refused = sum(bool(each.refused) for each in passed)
    return f"{len(passed)} of {len(ran)} passed" + (f", {refused} of them as refused" if refused else "")


async def check_gateway(
    make: Callable[[], Gateway],
    *,
    requests: int = 1000,
    user_header: str = "x-user-id",
    settle_s: float = 0.0,
    only: Iterable[str] | None = None,
    at_once: int = 1,
) -> tuple[Ran, ...]:
    """Run every check of a gateway, each on a new one.

    Args:
        make: gives a new gateway each time, not started. One that is `Placed` is told a folder of its own.
        requests: how many a check of shares sends.
        user_header: what the gateway tells users apart by.
        settle_s: how long after a change requests may still go by what was before.
        only: names of checks; None: all.
        at_once: so many of them side by side.

    Returns:
        What ran; what the gateway refused with RoutingError is passed, and says so.

    Raises:
        AssertionError: promises are broken; the message says how many of how many, and which.
    """
    few = asyncio.Semaphore(at_once)

    async def run(name: str) -> Ran:
        async with few:
            return await _run(name, make, requests, user_header, settle_s)

    ran = await asyncio.gather(*map(run, only or GATEWAY_CHECKS))
    broken = [str(each) for each in ran if each.broken]
    if broken:
        raise AssertionError("\n".join((passed_of(ran), *broken)))
    return tuple(ran)


async def _run(name: str, make: Callable[[], Gateway], requests: int, user_header: str, settle_s: float) -> Ran:
    try:
        async with _bench(make, requests, user_header, settle_s) as bench:
            await GATEWAY_CHECKS[name](bench)
    except CannotError as error:
        return Ran(name, refused=str(error))
    except AssertionError as error:
        return Ran(name, broken=str(error))
    except BackendError as error:
        return Ran(name, broken=f"it failed: {error}")
    return Ran(name)


@asynccontextmanager
async def _bench(make: Callable[[], Gateway], requests: int, user_header: str, settle_s: float) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-")))

        def placed(more: int) -> Gateway:
            gateway = make()
            if isinstance(gateway, Placed):
                gateway.place(Place(folder / "run", folder / "state", "checked", token=1 + more))
            return gateway

        arms: dict[Role, tuple[Replica, ...]] = {}
        for role in BOTH:
            arms[role] = (Replica(role), Replica(role))
            for each in arms[role]:
                await each.start()
                stack.push_async_callback(each.die)
        gateway = placed(0)
        stack.push_async_callback(gateway.stop)  # stopping what is stopped changes nothing
        await gateway.start()
        users = await stack.enter_async_context(users_of(gateway.url))
        yield Bench(gateway, arms, users, placed, requests, user_header, settle_s)
