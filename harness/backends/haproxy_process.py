"""HAProxy's process: laid out in a folder of the run, started in a session of its own, and ended softly.

Its sockets are made here and handed over (``bind fd@N``): so the port is known before it runs, and taken from nobody.
"""

import os
import shutil
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import anyio

from harness.backends import haproxy_socket as runtime
from harness.backends import processes, procfs
from harness.backends.haproxy_config import (
    KEY,
    NOBODY,
    REPLICAS_MAP,
    ROUTES_MAP,
    ROUTING_MAP,
    SOCKET,
    InForce,
    configuration,
    pattern_of,
    slots,
    value_of,
)
from harness.backends.processes import Note
from harness.clock import is_virtual
from harness.domain.model import Role
from harness.domain.real import RealPlan
from harness.domain.units import SECOND
from harness.errors import BackendError, RoutingError
from harness.realtime import Place

NAME: Final = "haproxy"
ELSEWHERE: Final = "/usr/sbin:/usr/local/sbin"
"""Where Debian has it, and the path of a plain user often not."""
BACKLOG: Final = 2048
START_S: Final = 20.0
LOOK_S: Final = 0.02


async def launch(place: Place, plan: RealPlan, now: InForce, port: int) -> Note:
    """Start it with a routing and without replicas; answers once it does.

    Args:
        place: of the run.
        plan: what the scenario says.
        now: what is in force from its first request on.
        port: where users ask; 0: any that is free.

    Raises:
        BackendError: it is not installed, cannot listen there, or does not start.
    """
    if is_virtual():
        raise BackendError("HAProxy is a real process, and does not run on virtual time; run with `--clock real`")
    program = shutil.which("haproxy", path=f"{os.environ.get('PATH', os.defpath)}:{ELSEWHERE}")
    if program is None:
        raise BackendError("haproxy is not installed: `apt install haproxy` (2.6 or later), or say `router: builtin`")
    if any(note.name == NAME and processes.alive(note) for note in processes.notes(place.state, place.run)):
        raise BackendError(f"a HAProxy of run {place.run} lives already; it is taken up again by `attach`")
    folder = place.folder / NAME
    with listening(plan.router.host, port) as users, listening("127.0.0.1", 0) as metrics:
        lay_out(folder, configuration(plan, users.fileno(), metrics.fileno()), now)
        for each in (users, metrics):
            each.set_inheritable(True)
        note = processes.start(
            place,
            NAME,
            kind="router",
            command=(program, "-db", "-C", str(folder), "-f", "haproxy.cfg"),
            url=_url_of(users),
            extra={"metrics": f"{_url_of(metrics)}/metrics", "token": place.token},
        )
    try:
        await _answering(folder, note)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await processes.stop(note, grace_s=1)
        raise
    return note


async def launch_near(place: Place, plan: RealPlan, now: InForce, before: Note) -> Note:
    """Start it where it listened before, or, where that is taken meanwhile, where the scenario says."""
    port = urlsplit(before.url or "").port
    if port and port != plan.router.port:
        with suppress(BackendError):
            return await launch(place, plan, now, port)
    return await launch(place, plan, now, plan.router.port)


async def end(note: Note, drain_ns: int) -> None:
    """Listen no more, answer what is in flight for as long as draining may take, and end.

    SIGUSR1 is HAProxy's soft stop; SIGTERM cuts off.
    """
    if note.process is not None and procfs.send(note.process, signal.SIGUSR1):
        with anyio.move_on_after(drain_ns / SECOND):
            await processes.ended(note)
    await processes.stop(note, grace_s=1)


def lay_out(folder: Path, config: str, now: InForce) -> None:
    """Write its configuration, and maps that hold what is in force and no replica."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SOCKET).unlink(missing_ok=True)
    files = {
        "haproxy.cfg": config,
        ROUTING_MAP: f"{KEY} {value_of(now)}\n",
        ROUTES_MAP: "".join(f"{pattern_of(route)} {Role.CANDIDATE}\n" for route in now.routing.routes),
        REPLICAS_MAP: "".join(f"{slot} {NOBODY}\n" for slot in slots()),
    }
    for name, text in files.items():
        (folder / name).write_text(text)


async def _answering(folder: Path, note: Note) -> None:
    with anyio.move_on_after(START_S):
        while processes.alive(note):
            with suppress(RoutingError):
                if await runtime.ask(folder, "show version"):
                    return
            await anyio.sleep(LOOK_S)
        raise BackendError(f"HAProxy ended as it was started; {processes.told(note)}")
    raise BackendError(f"HAProxy did not answer within {START_S:g} s; {processes.told(note)}")


def listening(host: str, port: int) -> socket.socket:
    """A socket there; for HAProxy, not for us.

    Raises:
        BackendError: the address is none of this machine's, or is taken.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        why = (error.strerror or str(error)).partition(" (while")[0]  # the address follows, which is said already
        told = f"HAProxy cannot listen on {host}:{port}: {why}; give another real.router.port, or 0 for any"
        raise BackendError(told) from error


def _url_of(listening: socket.socket) -> str:
    """Where it is reached from this machine."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - asked for by the user
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
