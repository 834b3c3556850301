"""Requests that a server must survive: made from its OpenAPI document by Schemathesis, and made of chance."""

import asyncio
import contextlib
import json
import warnings
from dataclasses import dataclass
from typing import Any

import aiohttp
import numpy as np


@dataclass(frozen=True)
class Made:
    """A request that was made up."""

    method: str
    path: str
    headers: dict[str, str]
    query: dict[str, Any]
    body: bytes
    statuses: tuple[str, ...]
    """What the document says that it may be answered with; 405 and 404 always."""


def generated(document: dict[str, Any], count: int, seed: int) -> list[Made]:
    """So many requests from a document, good ones and bad ones in turn, evenly over what can be asked."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from schemathesis import GenerationMode

    schema = schemathesis.openapi.from_dict(document)
    operations = [each.ok() for each in schema.get_all_operations()]
    posts = [each for each in operations if each.method.upper() == "POST"]
    found: list[Made] = []
    cases: list[Any] = []
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        for operation in posts:
            wanted = -(-count // (2 * len(posts)))
            said = document["paths"][operation.path]["post"]
            statuses = (*said["responses"], "405", "404")

            @seeded(seed)
            @settings(
                max_examples=wanted,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def collect(case: Any) -> None:
                cases.append(case)

            cases.clear()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                collect()
            found += [_made(case, statuses) for case in cases[:wanted]]
    return found


def _made(case: Any, statuses: tuple[str, ...]) -> Made:
    body = case.body
    if isinstance(body, bytes):
        sent = body
    elif isinstance(body, str) and case.media_type != "application/json":
        sent = body.encode("utf-8", "surrogatepass")
    else:
        try:
            sent = json.dumps(body).encode()
        except (TypeError, ValueError):  # Schemathesis's own mark for no body at all
            sent = b""
    headers = {str(key): str(value) for key, value in dict(case.headers or {}).items()}
    if case.media_type:
        headers["Content-Type"] = case.media_type
    return Made(case.method, case.formatted_path, headers, dict(case.query or {}), sent, statuses)


async def spoken(session: aiohttp.ClientSession, made: Made) -> tuple[int, str]:
    """What a server answers: status and text."""
    headers = {}
    for key, value in made.headers.items():
        with contextlib.suppress(UnicodeEncodeError):
            value.encode("ascii")
            if value.isprintable():
                headers[key] = value
    async with session.request(made.method, made.path, data=made.body, headers=headers) as response:
        return response.status, (await response.read()).decode("utf-8", "replace")


START = (
    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\na,b\r\n0\r\n\r\n",
    b"GET /v2/models/x HTTP/1.1\r\nHost: a\r\n\r\n",
)


def broken(draws: np.random.Generator) -> bytes:
    """Bytes of chance, or a request of which some are changed, missing or too many."""
    sent = bytearray(START[draws.integers(len(START))])
    kind = draws.integers(4)
    if kind == 0:
        return draws.bytes(int(draws.integers(1, 400))) + b"\r\n\r\n"
    if kind == 1:
        for _ in range(int(draws.integers(1, 6))):
            sent[int(draws.integers(len(sent)))] = int(draws.integers(256))
    elif kind == 2:
        del sent[int(draws.integers(1, len(sent))) :]
    else:
        place = int(draws.integers(len(sent)))
        sent[place:place] = draws.bytes(int(draws.integers(1, 40)))
    return bytes(sent)


async def thrown(port: int, sent: bytes, patience_s: float = 0.5) -> int:
    """Send bytes and hang up; the status, 0 where none came: the server waits for the rest of a request, or hung up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        line = await asyncio.wait_for(reader.readline(), patience_s)
    except (ConnectionError, TimeoutError):
        return 0
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    parts = line.split()
    return int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0
