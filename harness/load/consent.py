"""Whom a load test may ask: this machine, and otherwise only whom the user said so of. And what URLs may look like."""

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from harness.errors import InputError

PORTS: Final = {"http": 80, "https": 443}
LONGEST_URL: Final = 8192

_NO_URL: Final = "(not a URL)"
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_HOST: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_PATTERN: Final = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|(?:\*\.)?[^:*\[\]/@\s]+)(?::(?P<port>[0-9]{1,5}))?")

Resolve = Callable[[str], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Place:
    """A server, as patterns are held against it."""

    host: str
    """Lower case, of an IPv6 address without brackets."""
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def addresses_of(host: str) -> tuple[str, ...]:
    """All addresses of a name, as this machine resolves it; none where it does not."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def is_loopback(host: str, resolve: Resolve = addresses_of) -> bool:
    """Whether all of a name's addresses are this machine's own; a name with any other is not, nor one with none.

    >>> is_loopback("127.8.0.1"), is_loopback("two.example", lambda _: ("127.0.0.1", "192.0.2.1"))
    (True, False)
    """
    found = resolve(host)
    return bool(found) and all(_own(address) for address in found)


def _own(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        return parsed.ipv4_mapped.is_loopback
    return parsed.is_loopback


def check_target(url: str, allowed: Sequence[str] = (), yes: bool = False, resolve: Resolve = addresses_of) -> bool:
    """Refuse a target that is not on this machine, unless the user consents.

    Args:
        url: of the target.
        allowed: ``HOST``, ``HOST:PORT``, ``*.DOMAIN`` or ``*.DOMAIN:PORT``; without a port any is meant. ``*.DOMAIN``
            is every host below the domain, and not the domain.
        yes: any target is fine.
        resolve: a name to its addresses.

    Returns:
        Whether it is on this machine.

    Raises:
        InputError: it is not a URL that can be asked, a pattern is none, or nobody consented; tells how to.
    """
    place = check_url(url)
    fits = [matches(pattern, place) for pattern in allowed]  # all are read, so that a wrong one is told
    if is_loopback(place.host, resolve):
        return True
    if yes or any(fits):
        return False
    if not resolve(place.host):
        raise InputError(f"{shown(url)}: no address is known of {place.host}; check its name")
    raise InputError(
        f"{shown(url)} is not on this machine, and a load test can bring down what it asks: if it is yours to test, add"
        f' --yes, or allow it for good with allow_targets = ["{place}"] in harness.toml'
        " (or under [tool.harness] in pyproject.toml)"
    )


def matches(pattern: str, place: Place) -> bool:
    """Whether a pattern of ``allow_targets`` means a server.

    Raises:
        InputError: it is no pattern.

    >>> [matches("*.example.org:443", Place(host, 443)) for host in ("api.example.org", "example.org")]
    [True, False]
    """
    found = _PATTERN.fullmatch(pattern.strip().lower())
    host = found["host"] if found else ""
    if not found or (found["port"] and not 0 < int(found["port"]) < 65536):
        hint = "; to allow every target of one test, use --yes" if pattern.strip() == "*" else ""
        raise InputError(
            f"allow_targets holds {pattern!r}; an entry is HOST, HOST:PORT, *.DOMAIN or *.DOMAIN:PORT{hint}"
        )
    if found["port"] and int(found["port"]) != place.port:
        return False
    if host.startswith("*."):
        return place.host.endswith(f".{_ascii(host[2:], pattern)}")
    return place.host == _ascii(host, pattern)


def check_url(url: str) -> Place:
    """The server of a URL that can be asked.

    Raises:
        InputError: it cannot; tells what is wrong, without its secrets.
    """
    seen = shown(url)
    if len(url) > LONGEST_URL:
        raise InputError(f"a URL has at most {LONGEST_URL} characters, this one {len(url)}")
    if odd := next((letter for letter in url if not "!" <= letter <= "~" or letter in '\\"<>^`{|}'), None):
        written = "".join(f"%{byte:02X}" for byte in odd.encode("utf-8", "replace"))
        of_host = "" if odd <= "~" else " (of a host: its ASCII form, xn--…)"
        raise InputError(f"{seen}: a URL cannot hold {odd!r}; write {written}{of_host}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InputError(f"{seen}: not a URL: {error}; it is http(s)://HOST[:PORT][/PATH]") from None
    if parts.scheme not in PORTS:
        found = f"its scheme is {parts.scheme}" if "://" in url else "it has no scheme"
        raise InputError(f"{seen}: {found}; a target is http(s)://HOST[:PORT][/PATH], such as http://localhost:8080")
    if "@" in parts.netloc:
        raise InputError(
            f"{seen}: the URL holds a user or a password, which would be seen in many places; give them with"
            " --header 'Authorization: Basic ${NAME}', or a token with --token-env NAME"
        )
    if "#" in url:
        raise InputError(f"{seen}: a fragment (#…) is never sent; leave it out, or write the sign as %23")
    if not parts.hostname:
        raise InputError(f"{seen}: there is no host in it; a target is http(s)://HOST[:PORT][/PATH]")
    if port == 0 or (port is None and parts.netloc.endswith(":")):
        raise InputError(f"{seen}: the port is missing or 0; it is from 1 to 65535")
    return Place(_host(parts, seen), port or PORTS[parts.scheme])


def _host(parts: SplitResult, seen: str) -> str:
    host = parts.hostname or ""
    if "[" in parts.netloc:
        try:
            return str(ipaddress.ip_address(host))
        except ValueError:
            raise InputError(f"{seen}: {host} is no IPv6 address") from None
    plain = _ascii(host, seen)
    if not _HOST.fullmatch(plain):
        raise InputError(f"{seen}: {host!r} cannot be a host; a name has letters, digits, - and dots")
    return plain


def _ascii(host: str, seen: str) -> str:
    """A host as it is resolved: lower case, without a final dot, names beyond ASCII encoded."""
    if host.startswith("["):
        try:
            return str(ipaddress.ip_address(host[1:-1]))
        except ValueError:
            raise InputError(f"{seen}: {host} is no IPv6 address") from None
    try:
        return host.encode("ascii" if host.isascii() else "idna").decode().lower().removesuffix(".")
    except UnicodeError:
        raise InputError(f"{seen}: {host!r} cannot be a host's name; write it in its ASCII form (xn--…)") from None


def shown(url: str) -> str:
    """A URL for reports: without user, password, query and fragment.

    >>> shown("https://ann:pw@Example.org:8443/predict?key=secret")
    'https://example.org:8443/predict'
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return _NO_URL
    if not parts.scheme or not host:
        return _NO_URL
    name = f"[{host}]" if ":" in host else host
    text = f"{parts.scheme}://{name}{f':{port}' if port is not None else ''}{parts.path}"
    return "".join(letter if "!" <= letter <= "~" else "?" for letter in text)
