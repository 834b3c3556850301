"""A built-in router in this process, and users who speak to it in bytes."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.domain.model import Role
from harness.domain.real import RouterPlan
from harness.routing.changes import Mark
from harness.routing.process import Router
from harness.routing.settings import Settings

MARK = Mark(1, 1)
PATIENCE_S = 30.0


@asynccontextmanager
async def routing(folder: Path, *stable: str, **plan: Any) -> AsyncIterator[tuple[Router, int]]:
    """A router before these replicas of stable; with its port."""
    router = Router(Settings(str(folder), RouterPlan(**plan)))
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(router.run(ready.set_result))
    url = await ready
    router.control.point({Role.STABLE: stable}, MARK)
    try:
        yield router, int(url.rpartition(":")[2])
    finally:
        router.stop()
        await running


@dataclass(frozen=True)
class Got:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool
    """False: the connection ended before the body did."""

    @property
    def said(self) -> Any:
        return json.loads(self.body)


class Talk:
    """One connection of a user's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, head: str, *headers: str, body: bytes = b"") -> None:
        lines = (f"{head} HTTP/1.1", "Host: models.example", *headers, "", "")
        self.writer.write("\r\n".join(lines).encode() + body)

    async def head(self) -> tuple[int, dict[str, str]]:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.partition(": ") for line in lines[1:] if line)
        return int(lines[0].split()[1]), {name.lower(): value for name, _, value in pairs}

    async def got(self, *, bodiless: bool = False) -> Got:
        """The next answer."""
        async with asyncio.timeout(PATIENCE_S):
            status, headers = await self.head()
            if bodiless:
                return Got(status, headers, b"", whole=True)
            try:
                return Got(status, headers, await self._body(headers), whole=True)
            except asyncio.IncompleteReadError as error:
                return Got(status, headers, error.partial, whole=False)

    async def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return await self.reader.readexactly(int(headers["content-length"]))
        body = b""
        while chunk := await self.chunk():
            body += chunk
        return body

    async def chunk(self) -> bytes:
        size = int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16)
        return (await self.reader.readexactly(size + 2))[:-2]

    async def ended(self) -> bool:
        """Whether the router has closed the connection, with nothing more to say."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True


@asynccontextmanager
async def talk(port: int) -> AsyncIterator[Talk]:
    """A connection to the router."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
    try:
        yield Talk(reader, writer)
    finally:
        writer.transport.abort()


async def ask(port: int, head: str = "POST /predict", *headers: str, body: bytes = b"{}") -> Got:
    """One request over a connection of its own."""
    async with talk(port) as user:
        user.send(head, f"Content-Length: {len(body)}", *headers, body=body)
        return await user.got(bodiless=head.startswith("HEAD"))
