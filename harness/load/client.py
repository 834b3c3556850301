"""What a loop needs of a client, and which client a plan asks for."""

from collections.abc import Callable
from typing import Protocol

from harness.domain.load import LoadPlan, Target
from harness.load.address import Address
from harness.load.exchange import Exchange
from harness.load.fast import Done, FastClient


class Client(Protocol):
    """Asks one target, and tells what became of each request; lives in one event loop.

    ``send`` never waits and never raises: whatever becomes of a request is told to ``done``, once, from the loop, with
    ``done_ns`` set and, unless an answer came, a fault. A connection that was refused counts as sent.
    """

    counts: dict[str, int]
    """Connections: opened, failed, stale, unasked, most."""

    @property
    def pending(self) -> int:
        """Requests that have not come to their end."""

    def send(self, exchange: Exchange) -> None:
        """Send it now, or as soon as the limits allow."""

    def sweep(self) -> None:
        """Give up what has waited for too long; called every few milliseconds."""

    def stop(self, unsent: str, sent: str) -> None:
        """Give up all that has not come to its end: what was not sent under one name, what was sent under the other."""

    async def close(self) -> None:
        """Free everything."""


MakeClient = Callable[[LoadPlan, Target, Address, int, Done, Callable[[], int]], Client]


def make_client(
    plan: LoadPlan, target: Target, address: Address, most: int, done: Done, now: Callable[[], int]
) -> Client:
    """The client that a plan asks for.

    Args:
        plan: the load test.
        target: whom it asks.
        address: where that is.
        most: connections at once.
        done: told each exchange at its end.
        now: reads the loop's time, ns.
    """
    transport, keep = plan.transport, plan.checks.reads_body
    if transport.client == "aiohttp":
        from harness.load.slow import AiohttpClient

        return AiohttpClient(target.url, address, transport, plan.limits, done, now, most=most, keep_answers=keep)
    return FastClient(
        address,
        plan.limits,
        done,
        now,
        most=most,
        keep_answers=keep,
        stream=transport.stream,
        keep_alive=transport.keep_alive,
        bodiless=transport.method == "HEAD",
    )
