"""Where connections go: a URL's host resolved once, its TLS, and the names that failures to connect go by."""

import asyncio
import errno
import socket
import ssl
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from harness.errors import InputError

_ERRNO: Final = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.ETIMEDOUT: "connect_timeout",
    errno.EMFILE: "out_of_sockets",
    errno.ENFILE: "out_of_sockets",
    errno.EADDRNOTAVAIL: "out_of_sockets",
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where connections to a target go."""

    name: str
    """The host as the URL has it: certificates are held against it."""
    host: str
    """An IP address of it."""
    port: int
    tls: ssl.SSLContext | None
    path: str
    """With the query; what requests ask for."""

    @property
    def authority(self) -> str:
        """For the Host header: without the port where it is the scheme's own."""
        name = f"[{self.name}]" if ":" in self.name else self.name
        return name if self.port == (443 if self.tls else 80) else f"{name}:{self.port}"


async def resolve(url: str, ca_file: str | None = None, *, insecure: bool = False) -> Address:
    """Look the host up, and take the first of its addresses that answers; the first of all where none does.

    Raises:
        InputError: it has no address, or the CA file cannot be read.
    """
    parts = urlsplit(url)
    name = parts.hostname or ""
    tls = tls_context(ca_file, insecure=insecure) if parts.scheme == "https" else None
    port = parts.port or (443 if tls else 80)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise InputError(f"{url}: the host {name!r} cannot be resolved: {error.strerror}; check its spelling") from None
    hosts = list(dict.fromkeys(str(each[4][0]) for each in found))
    for host in hosts if len(hosts) > 1 else ():
        if await _answers(host, port):
            return Address(name, host, port, tls, path)
    return Address(name, hosts[0], port, tls, path)


async def _answers(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(1.0):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def tls_context(ca_file: str | None, *, insecure: bool) -> ssl.SSLContext:
    """What a target's certificate is held against: the system's authorities, or those of a file, or nothing."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"--ca {ca_file}: no certificates can be read from it: {error}") from None
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def kind_of(error: BaseException) -> tuple[str, str]:
    """The name that a failure to connect goes by, and what was found."""
    told = str(error) or type(error).__name__
    if isinstance(error, ssl.SSLCertVerificationError):
        return "bad_certificate", f"{error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return "tls", told
    if isinstance(error, TimeoutError) and not error.errno:
        return "connect_timeout", "no connection within --connect-timeout"
    if isinstance(error, socket.gaierror):
        return "dns", told
    number = error.errno if isinstance(error, OSError) else None
    return _ERRNO.get(number or 0, "connect_failed"), told
