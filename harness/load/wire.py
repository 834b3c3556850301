"""Which target a request goes to and which body it has, and its bytes: all fixed before the test, by its number."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from harness.domain.load import LoadPlan, Order
from harness.load.address import Address
from harness.seeds import stream

BLOCK: Final = 4096
"""Requests whose draws are made at once."""
MOST_BLOCKS: Final = 16
"""Of those that are kept: the users of a closed loop do not all come equally far."""
MOST_PREPARED: Final = 64 * 1024 * 1024
"""Bytes of requests that are kept ready; of more, head and body are joined when they are sent."""


class Requests:
    """The bytes of each request, and whom it asks.

    Args:
        plan: the load test.
        addresses: of its targets, in their order.
    """

    def __init__(self, plan: LoadPlan, addresses: Sequence[Address]) -> None:
        self._bodies = plan.payload.bodies
        self._drawn = plan.payload.order is Order.DRAWN
        self._heads = [head(plan, address) for address in addresses]
        self._tail = _tail(plan)
        self._ids = plan.transport.request_ids
        self._weights = np.cumsum([target.weight for target in plan.targets], dtype=np.float64)
        self._weights /= self._weights[-1]
        self._stream = stream(plan.seed, "load/requests")
        self._drawn_blocks: dict[int, tuple[list[int], list[int]]] = {}
        size = sum(map(len, self._bodies)) + len(self._bodies) * len(self._tail)
        few = size * len(self._heads) <= MOST_PREPARED and not self._ids
        self._ready = [[self._join(each, body) for body in self._bodies] for each in self._heads] if few else None
        self._only = self._ready[0][0] if self._ready and len(self._heads) == len(self._bodies) == 1 else None

    def of(self, number: int) -> tuple[int, int, bytes]:
        """Target, body and bytes of a request."""
        if self._only is not None:
            return 0, 0, self._only
        block, at = divmod(number, BLOCK)
        drawn = self._drawn_blocks.get(block) or self._draw(block)
        target, body = drawn[0][at], drawn[1][at]
        if self._ready is not None:
            return target, body, self._ready[target][body]
        first = self._heads[target] + b"X-Request-Id: %d\r\n" % number if self._ids else self._heads[target]
        return target, body, self._join(first, self._bodies[body])

    def _draw(self, block: int) -> tuple[list[int], list[int]]:
        draws = self._stream.generator(block).random((2, BLOCK))
        targets = np.searchsorted(self._weights, draws[0], side="right").clip(max=self._weights.size - 1)
        n = len(self._bodies)
        bodies = (draws[1] * n).astype(np.int64) if self._drawn else (np.arange(BLOCK) + block * BLOCK) % n
        if len(self._drawn_blocks) >= MOST_BLOCKS:
            self._drawn_blocks.pop(next(iter(self._drawn_blocks)))
        made = self._drawn_blocks[block] = (targets.tolist(), bodies.tolist())
        return made

    def _join(self, first: bytes, body: bytes) -> bytes:
        return first + self._tail % len(body) + body if self._tail != _NO_BODY else first + self._tail


_NO_BODY: Final = b"\r\n"


def head(plan: LoadPlan, address: Address) -> bytes:
    """The request line and the headers that every request to a target has."""
    transport = plan.transport
    given = {name.lower() for name, _ in transport.headers}
    lines = [f"{transport.method} {address.path} HTTP/1.1", f"Host: {address.authority}"]
    lines += [f"{name}: {value}" for name, value in transport.headers]
    if "user-agent" not in given:
        lines.append("User-Agent: harness")
    if "accept" not in given:
        lines.append("Accept: text/event-stream, */*" if transport.stream else "Accept: */*")
    if not transport.keep_alive:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n").encode("latin-1")


def _tail(plan: LoadPlan) -> bytes:
    """What stands between those headers and the body: its type and its length, to be filled in."""
    if plan.transport.method in {"GET", "HEAD", "DELETE", "OPTIONS"} and not any(plan.payload.bodies):
        return _NO_BODY
    kind = plan.payload.content_type.replace("%", "%%")
    typed = (
        "" if any(name.lower() == "content-type" for name, _ in plan.transport.headers) else f"Content-Type: {kind}\r\n"
    )
    return f"{typed}Content-Length: %d\r\n\r\n".encode("latin-1")
