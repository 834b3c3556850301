"""Answers that come slowly, in chunks, or not to their end."""

import asyncio
import socket
import struct
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from harness.clock import wall_ns
from harness.domain.units import SECOND
from harness.serving.fake.alarm import Alarm
from harness.serving.fake.still import Stillness

PER_SECOND: Final = 50
"""Pieces of a slow body in a second, as long as each has a byte."""
LINGER: Final = struct.pack("ii", 1, 0)
"""Close with a reset (RST), and drop what was not sent."""
SENDING_S: Final = 0.001
HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"


async def trickle(
    request: web.Request, response: web.StreamResponse, body: bytes, rate: int, alarm: Alarm, still: Stillness
) -> web.StreamResponse:
    """Answer with a body at so many bytes a second, its length told beforehand."""
    response.content_length = len(body)
    await response.prepare(request)
    size = max(1, rate // PER_SECOND)
    due_ns = wall_ns()
    try:
        for start in range(0, len(body), size):
            piece = body[start : start + size]
            due_ns = still.advance(due_ns, len(piece) * SECOND // rate)
            await alarm.until(due_ns)
            await response.write(piece)
        await response.write_eof()
    except ConnectionError:
        return response  # the client has gone: nobody is left to answer
    return response


async def stream(
    request: web.Request, response: web.StreamResponse, pieces: Sequence[tuple[int, bytes]], alarm: Alarm
) -> web.StreamResponse:
    """Answer in chunks, each at its time."""
    response.enable_chunked_encoding()
    try:
        for number, (due_ns, piece) in enumerate(pieces):
            await alarm.until(due_ns)
            if number == 0:  # not before: time to first byte is that of the answer, headers included
                await response.prepare(request)
            await response.write(piece)
        await response.write_eof()
    except ConnectionError:
        return response
    return response


async def cut_off(request: web.Request, body: bytes, *, headers_only: bool) -> None:
    """Send the first part of an answer, then reset the connection."""
    transport = request.transport
    if transport is None or transport.is_closing():
        return
    head = HEAD % len(body)
    part = head[: len(head) // 2] if headers_only else head + b"\r\n" + body[: len(body) // 2]
    transport.write(part)
    while not transport.is_closing():  # what the loop or the kernel holds back would be lost with the connection
        await asyncio.sleep(SENDING_S)
        if not transport.get_write_buffer_size():
            break
    connection = transport.get_extra_info("socket")
    if connection is not None and not transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
    transport.abort()
