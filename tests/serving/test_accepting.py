"""Connections that come just as a server ends: each is answered or refused, and none is left open."""

import asyncio
import gc
import socket
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

from harness.serving.accepting import stop_accepting
from harness.serving.process import Place, bound

Close = Callable[[asyncio.Server], Coroutine[Any, Any, None]]


class Answering(asyncio.Protocol):
    made: list[asyncio.BaseTransport]

    def __init__(self, made: list[asyncio.BaseTransport]) -> None:
        self.made = made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.made.append(transport)


async def _close_at_once(server: asyncio.Server) -> None:
    server.close()


async def _close_after(server: asyncio.Server) -> None:
    await stop_accepting(server.sockets)
    server.close()


async def _known(close: Close) -> int:
    """How many of three connections the server knew of when it closed as soon as they were accepted."""
    made: list[asyncio.BaseTransport] = []
    listening = bound(Place())
    server = await asyncio.get_running_loop().create_server(lambda: Answering(made), sock=listening)
    clients = [socket.create_connection(listening.getsockname()) for _ in range(3)]
    for _ in range(2):
        await asyncio.sleep(0)  # first the loop sees them, then it accepts them
    await close(server)
    for _ in range(5):
        await asyncio.sleep(0)
    for each in made:
        each.close()
    for client in clients:
        client.close()
    await asyncio.sleep(0)
    return len(made)


def _left_open(close: Close) -> tuple[int, int]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        loop = asyncio.SelectorEventLoop()
        known = loop.run_until_complete(_known(close))
        loop.close()
        gc.collect()
    return known, sum(issubclass(each.category, ResourceWarning) for each in said)


def test_all_who_were_let_in_are_known_and_none_is_left_open() -> None:
    assert _left_open(_close_after) == (3, 0)


def test_without_it_they_are_forgotten_or_made_but_never_both() -> None:
    """Why it is there: CPython 3.11 forgets all three, with their sockets open; one that makes them leaves none."""
    known, warned = _left_open(_close_at_once)
    assert (known, warned > 0) in {(0, True), (3, False)}
