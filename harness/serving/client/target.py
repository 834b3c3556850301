"""Where an endpoint is, what is said with each request, and the token for it, which is in no message."""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from harness.errors import InputError

PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint."""

    scheme: str
    host: str
    port: int
    prefix: str
    """Path before those of the protocol, without a slash at its end."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    token_env: str | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    """Whom to trust, PEM; None: whom the system trusts."""

    @property
    def origin(self) -> str:
        """Scheme, host and port as URLs have them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == PORTS[self.scheme] else f":{self.port}")

    def url(self, path: str) -> str:
        """The whole URL of a path."""
        return self.origin + self.prefix + path

    def token(self) -> str:
        """The token as it is now (files of tokens are renewed under a running client); empty where there is none.

        Raises:
            InputError: its variable is not set, or its file cannot be read.
        """
        if self.token_env is not None:
            found, place = os.environ.get(self.token_env, ""), f"the variable {self.token_env}"
        elif self.token_file is not None:
            place = f"the file {self.token_file}"
            try:
                found = self.token_file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "it is no text"
                raise InputError(f"{place} holds no token: {reason}; give a file that holds it and no more") from None
        else:
            return ""
        token = found.strip()
        if not token:
            raise InputError(f"{place} holds no token; set it, or leave it out where the endpoint wants none")
        if not token.isascii() or not token.isprintable():
            raise InputError(f"{place} holds no token but more than one line, or letters beyond ASCII")
        return token

    def tls(self) -> ssl.SSLContext | None:
        """What certificates are held against; None without TLS.

        Raises:
            InputError: the file of authorities cannot be used.
        """
        if self.scheme == "http":
            return None
        try:
            return ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
        except (OSError, ssl.SSLError) as error:
            raise InputError(f"ca_file {self.ca_file} cannot be used: {error}; it holds certificates as PEM") from None


def target(
    endpoint: str,
    *,
    headers: Mapping[str, str] | None = None,
    token_env: str | None = None,
    token_file: str | Path | None = None,
    ca_file: str | Path | None = None,
) -> Target:
    """Read where an endpoint is.

    Raises:
        InputError: it is no URL of one, or what goes with it cannot be used.

    >>> target("http://localhost:8080/models/").url("/predict")
    'http://localhost:8080/models/predict'
    """
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        raise InputError("the endpoint's port is no number from 1 to 65535; write http://HOST:PORT") from None
    if parts.username is not None or parts.password is not None:
        raise InputError("the endpoint holds a user, which would be in logs; leave it out, and give a token_env")
    if parts.scheme not in PORTS or not parts.hostname or port == 0 or not endpoint.isprintable() or " " in endpoint:
        raise InputError(f"the endpoint is {endpoint!r}; it is a URL: http://HOST:PORT or https://HOST")
    if parts.query or parts.fragment:
        raise InputError("the endpoint has a query or a fragment; paths are added to it, so it ends before them")
    if token_env is not None and token_file is not None:
        raise InputError("both token_env and token_file are given; a token stands in one of them")
    for name, value in (headers or {}).items():
        if not name.isascii() or not name.isprintable() or not name or ":" in name or not value.isprintable():
            raise InputError(f"the header {name!r} cannot be sent: names and values are one line, names ASCII")
    return Target(
        parts.scheme,
        parts.hostname,
        port or PORTS[parts.scheme],
        parts.path.rstrip("/"),
        dict(headers or {}),
        token_env,
        Path(token_file) if token_file is not None else None,
        Path(ca_file) if ca_file is not None else None,
    )
