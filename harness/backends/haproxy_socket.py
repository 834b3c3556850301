"""HAProxy's runtime socket: one line of commands, one answer.

A path of a Unix socket has at most 107 bytes, and a run's folder may have more. So HAProxy binds it by a path relative
to its folder, and it is connected to by way of the folder's descriptor (``/proc/self/fd/N/admin.sock``, proc(5)).
"""

import csv
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio

from harness.backends.haproxy_config import SOCKET
from harness.errors import RoutingError

CALL_S: Final = 5.0
"""HAProxy answers in less than a millisecond; one that has not by then is stuck."""
MAINTENANCE: Final = 0x01 | 0x02 | 0x20 | 0x40
"""Bits of ``srv_admin_state`` that take a server away (management guide, ``show servers state``)."""
DRAINING: Final = 0x08 | 0x10
_DONE: Final = re.compile("no need to change|IP changed|port changed")
"""How an answer begins that is neither empty nor a refusal, but for those that show something."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for a replica."""

    name: str
    taken: bool
    """A replica may have requests through it; else it is out of use."""
    drains: bool
    """It gets no more of them."""
    sessions: int
    """Requests that it is answering."""


async def ask(folder: Path, command: str) -> str:
    """What HAProxy answers to a line of commands (parted by ``;``), or to a command with a payload.

    Raises:
        RoutingError: it is gone, or does not answer.
    """
    try:
        with anyio.fail_after(CALL_S):
            return await _asked(folder, command)
    except TimeoutError:
        raise RoutingError(f"HAProxy has not answered on its runtime socket within {CALL_S:g} s") from None
    except OSError as error:
        raise RoutingError(
            f"HAProxy does not answer on its runtime socket: {error.strerror or type(error).__name__}"
        ) from error


async def _asked(folder: Path, command: str) -> str:
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        stream = await anyio.connect_unix(f"/proc/self/fd/{descriptor}/{SOCKET}")
    finally:
        os.close(descriptor)
    said = b""
    async with stream:
        await stream.send(command.encode() + b"\n")
        try:
            while True:
                said += await stream.receive()
        except anyio.EndOfStream:
            return said.decode(errors="replace")
        except anyio.BrokenResourceError as error:
            raise ConnectionResetError from error


async def do(folder: Path, *commands: str) -> None:
    """Have it do all of them, in one go.

    Raises:
        RoutingError: it refused one, in its own words; or it is gone.
    """
    if not commands:
        return
    answers = (await ask(folder, "; ".join(commands))).splitlines()
    refused = [line for line in answers if line.strip() and not _DONE.match(line)]
    if refused:
        raise RoutingError(f"HAProxy refused a change: {refused[0]}")


async def entries(folder: Path, name: str) -> dict[str, str]:
    """A map that it holds, by key."""
    found = {}
    for line in (await ask(folder, f"show map {name}")).splitlines():
        if not line.strip():
            continue
        reference, _, entry = line.partition(" ")
        if not reference.startswith("0x"):
            raise RoutingError(f"HAProxy refused to show {name}: {line}")
        key, _, value = entry.partition(" ")
        found[key] = value
    return found


async def exchange(folder: Path, name: str, wanted: Mapping[str, str]) -> None:
    """Have a map hold these entries and no others, all at one moment (``prepare map``, ``commit map``).

    Raises:
        RoutingError: it refused; then the map is as it was.
    """
    version = (await ask(folder, f"prepare map {name}")).strip().removeprefix("New version created: ")
    if not version.isdecimal():
        raise RoutingError(f"HAProxy refused to change {name}: {version}")
    if wanted:
        lines = "".join(f"{key} {value}\n" for key, value in wanted.items())
        if said := (await ask(folder, f"add map @{version} {name} <<\n{lines}")).strip():
            raise RoutingError(f"HAProxy refused a change of {name}: {said.splitlines()[0]}")
    await do(folder, f"commit map @{version} {name}")


async def slots(folder: Path) -> tuple[Slot, ...]:
    """Where each slot stands, in their order."""
    shown = await ask(folder, "show servers state; show stat")
    states, _, stat = shown.partition("\n\n")
    head, *lines = (line.split() for line in states.splitlines()[1:])
    places = {name: place for place, name in enumerate(head[1:])}
    sessions = {row["svname"]: int(row["scur"] or 0) for row in csv.DictReader(stat.removeprefix("# ").splitlines())}
    found = []
    for line in lines:
        name, admin = line[places["srv_name"]], int(line[places["srv_admin_state"]])
        found.append(Slot(name, not admin & MAINTENANCE, bool(admin & DRAINING), sessions.get(name, 0)))
    return tuple(found)
