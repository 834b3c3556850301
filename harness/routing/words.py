"""A routing and its replicas as JSON holds them, and what is wrong with one."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from harness.domain.model import SERVING, Role
from harness.domain.rollout import HeaderRoute, Routing
from harness.domain.units import WHOLE
from harness.errors import RoutingError
from harness.realtime import Behind

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)


def checked(want: Routing) -> Routing:
    """The routing, if this router can do it.

    Raises:
        RoutingError: weights are no shares of the whole, or of an arm that answers no users; the mirror is no share; a
            header cannot be one.
    """
    for role, weight in want.weights.items():
        if role not in SERVING:
            raise RoutingError(f"a router cannot give users to a {role}; mirror sends it copies")
        if not _is_share(weight):
            raise RoutingError(f"the weight of {role} is {weight}; a weight is a whole number from 0 to {WHOLE}")
    total = sum(want.weights.values())
    if total != WHOLE:
        raise RoutingError(f"weights sum to {total}, not {WHOLE}")
    if not _is_share(want.mirror):
        raise RoutingError(f"a mirror of {want.mirror} is no share: it is a whole number from 0 to {WHOLE}")
    for route in want.routes:
        if not _NAME.fullmatch(route.header):
            raise RoutingError(f"route {route.name}: {route.header!r} cannot be a header's name")
    return want


def _is_share(said: Any) -> bool:
    """Whether it is a share, as JSON may not have said it."""
    return isinstance(said, int) and not isinstance(said, bool) and 0 <= said <= WHOLE


def routing_json(want: Routing) -> dict[str, Any]:
    """For JSON."""
    return {
        "weights": {role.value: weight for role, weight in want.weights.items()},
        "routes": [[route.name, route.header, route.value] for route in want.routes],
        "mirror": want.mirror,
        "sticky": want.sticky,
    }


def routing_of(said: Any) -> Routing:
    """What `routing_json` wrote.

    Raises:
        RoutingError: it is no routing, or one that `checked` refuses.

    >>> want = Routing({Role.STABLE: 9000, Role.CANDIDATE: 1000}, (HeaderRoute("beta", "x-beta", "yes"),), sticky=True)
    >>> routing_of(routing_json(want)) == want
    True
    """
    try:
        weights = {Role(name): weight for name, weight in said["weights"].items()}
        routes = tuple(HeaderRoute(str(name), str(header), str(value)) for name, header, value in said["routes"])
        want = Routing(weights, routes, said["mirror"], bool(said["sticky"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RoutingError(f"this is no routing ({error!r}): weights, routes, mirror and sticky make one") from None
    return checked(want)


def behind_json(behind: Behind) -> dict[str, list[str]]:
    """For JSON."""
    return {role.value: list(urls) for role, urls in behind.items()}


def behind_of(said: Any) -> Behind:
    """What `behind_json` wrote; each URL without a slash at its end.

    Raises:
        RoutingError: it names no arm, or no URL of HTTP.
    """
    if not isinstance(said, Mapping):
        raise RoutingError('replicas are told by arm: {"stable": ["http://127.0.0.1:8080"]}')
    try:
        return {Role(name): tuple(_url(url) for url in urls) for name, urls in said.items()}
    except (TypeError, ValueError) as error:
        raise RoutingError(f"these are no replicas by arm: {error}") from None


def _url(text: Any) -> str:
    parts = urlsplit(text if isinstance(text, str) else "")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{text!r} is no base URL, as http://127.0.0.1:8080 is")
    return str(text).rstrip("/")
