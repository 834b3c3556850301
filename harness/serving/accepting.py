"""Ends listening without dropping who was just let in."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

TURNS: Final = 5
"""Of the loop: from a connection that was accepted to one that its server knows of."""


async def stop_accepting(sockets: Iterable[Any]) -> None:
    """Let nobody else in on these sockets, and wait until all who were let in are known to their server.

    To be called before `asyncio.Server.close`: that one forgets a connection which is accepted, but not yet made, with
    its socket left open and no word (`Server._attach` asserts that the server still listens; CPython 3.11). Who is not
    let in waits in the kernel until the socket is closed. Where the loop is no selector loop (uvloop accepts and makes
    a connection in one step), there is only the waiting.

    Args:
        sockets: those of `asyncio.Server.sockets`.
    """
    loop = asyncio.get_running_loop()
    if isinstance(loop, asyncio.SelectorEventLoop):
        for each in sockets:
            loop.remove_reader(each.fileno())
    for _ in range(TURNS):
        await asyncio.sleep(0)
