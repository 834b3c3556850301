"""Which replica is in which of HAProxy's slots, and what it has to be told to have others there."""

import ipaddress
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

import anyio

from harness.backends.haproxy_config import REPLICAS_MAP, SLOTS
from harness.backends.haproxy_socket import Slot
from harness.domain.model import SERVING, Role
from harness.errors import RoutingError
from harness.realtime import Behind

Addresses = Mapping[str, tuple[str, int]]
"""Of each replica's URL: an IP address, and a port."""
DRAIN, MAINTENANCE, READY = "drain", "maint", "ready"


def told(name: str, state: str) -> str:
    """The command that puts a slot into a state.

    >>> told("a1", DRAIN)
    'set server a/a1 state drain'
    """
    return f"set server {name[0]}/{name} state {state}"


def changes(
    standing: tuple[Slot, ...], holds: Mapping[str, str], pools: Mapping[Role, str], urls: Behind, addresses: Addresses
) -> tuple[list[str], set[str]]:
    """Commands that put new replicas in and then drain others, and the slots of all that are to have no request more.

    Args:
        standing: all slots.
        holds: the URL in each.
        pools: of each arm.
        urls: of the replicas that each arm is to have.
        addresses: of each of them.

    Raises:
        RoutingError: an arm has no room for so many.
    """
    come: list[str] = []
    leaving: list[Slot] = []
    for role, pool in pools.items():
        mine = [slot for slot in standing if slot.name.startswith(pool)]
        come += _coming(mine, holds, urls[role], addresses)
        leaving += [slot for slot in mine if slot.taken and holds[slot.name] not in urls[role]]
    go = [told(slot.name, DRAIN) for slot in leaving if not slot.drains]
    return [*come, *go], {slot.name for slot in leaving}


def _coming(mine: list[Slot], holds: Mapping[str, str], urls: tuple[str, ...], addresses: Addresses) -> list[str]:
    there = {holds[slot.name]: slot for slot in mine if slot.taken}
    free = [slot.name for slot in mine if not slot.taken and not slot.sessions]
    missing = [url for url in dict.fromkeys(urls) if url not in there]
    if len(missing) > len(free):
        raise RoutingError(f"{len(urls)} replicas of one arm are too many: HAProxy has {SLOTS} places for each here")
    commands = [told(there[url].name, READY) for url in urls if url in there and there[url].drains]
    for url, name in zip(missing, free, strict=False):
        host, port = addresses[url]
        commands.append(f"set map {REPLICAS_MAP} {name} {url}")
        commands.append(f"set server {name[0]}/{name} addr {host} port {port}")
        commands.append(told(name, READY))
    return commands


def standing_of(standing: tuple[Slot, ...], holds: Mapping[str, str], pools: Mapping[Role, str]) -> Behind:
    """The replicas of each arm that get requests."""
    used = [slot.name for slot in standing if slot.taken and not slot.drains]
    return {role: tuple(holds[name] for name in used if name.startswith(pool)) for role, pool in pools.items()}


async def addresses_of(behind: Behind) -> tuple[Behind, Addresses]:
    """Replicas of each arm that users are answered by, and where each of them is.

    Raises:
        RoutingError: one is not plain HTTP, has a path, or its name is not known.
    """
    urls = {role: tuple(url.rstrip("/") for url in behind.get(role, ())) for role in SERVING}
    return urls, {url: await _address(url) for each in urls.values() for url in each}


async def _address(url: str) -> tuple[str, int]:
    """HAProxy is told addresses while it runs, no names."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.path or not parts.hostname:
        raise RoutingError(f"HAProxy is set up for replicas at http://HOST:PORT, not {url}; `router: builtin` takes it")
    port = parts.port or 80
    try:
        return str(ipaddress.ip_address(parts.hostname)), port
    except ValueError:
        pass  # a name
    try:
        found = await anyio.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise RoutingError(f"no address is known of {url}: {error.strerror}") from error
    return str(found[0][4][0]), port
