"""What HAProxy is told: its configuration once, and the routing in force as one entry of a map, changed as it runs.

Each arm has a backend of its own (a *pool* of prepared slots for replicas), and the frontend chooses the pool by a draw
in 0..9,999 against two thresholds. So shares are exact to 1/10,000 whatever the number of replicas in each arm, which
weights of servers (0..256 each, relative to the others) are not.

    candidate          stable            baseline
    0 ........... low ........... high ........... 10,000

Stable lies in between: when shares change, only those users move who must, and none between candidate and baseline. The
draw is by chance, or, where users keep to their arm, the xxh32 of the user's header modulo 10,000.

All of the routing is one value of the map ``routing.map``, so that a request meets either all of it or nothing:

    low:high:sticky:routes:pool of stable:pool of candidate:pool of baseline:token:the routing as JSON in base64

Facts are those of HAProxy 2.6: configuration manual 4.2 (``retry-on``, ``option redispatch``), 7.3 (``rand``,
``req.hdrs``), 7.3.1 (``map_reg``); management guide 9.3.
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from harness.domain.model import SERVING, Role
from harness.domain.real import RealPlan
from harness.domain.rollout import HeaderRoute, Routing
from harness.domain.units import MILLISECOND, SECOND, WHOLE
from harness.errors import BackendError, RoutingError
from harness.realtime import ARM_HEADER, COPY_HEADER, REPLICA_HEADER
from harness.routing.headers import NAMED, SCHEME
from harness.routing.words import checked, routing_json, routing_of

SLOTS: Final = 64
"""Replicas that each arm may have at a time, those that are being drained among them."""
POOLS: Final = ("a", "b", "c")
SOCKET: Final = "admin.sock"
ROUTING_MAP, ROUTES_MAP, REPLICAS_MAP = "routing.map", "routes.map", "replicas.map"
KEY: Final = "now"
NOBODY: Final = "-"
"""What the map of replicas says of a slot that none is in."""
BUFFER: Final = 64 * 1024
"""Bytes of a request, its head included, that are kept to send it again. HAProxy copies the whole buffer for each
request that it may have to repeat, however short that is: with 256 kB it answers an eighth as many."""
CONNECT_MS: Final = 2000
_PLAIN_HEADER: Final = re.compile("[A-Za-z0-9._-]+")
ALL_STABLE: Final = Routing(MappingProxyType({Role.STABLE: WHOLE, Role.CANDIDATE: 0}))


@dataclass(frozen=True, slots=True)
class InForce:
    """The routing that HAProxy goes by, which pool is whose, and who said so."""

    routing: Routing = ALL_STABLE
    pools: Mapping[Role, str] = field(default_factory=lambda: dict(zip(SERVING, POOLS, strict=True)))
    token: int = 0
    """The highest fencing token that was seen."""
    has_adopted: bool = False
    """What was the candidate is stable, and nobody has said since which replicas are whose."""

    def adopted(self) -> "InForce":
        """The candidate's pool is stable's, with all traffic; the other way round for what was stable.

        Asked again, for want of an answer or after a crash, it stays so: until replicas are pointed at anew.
        """
        if self.has_adopted:
            return replace(self, routing=ALL_STABLE)
        pools = {**self.pools, Role.STABLE: self.pools[Role.CANDIDATE], Role.CANDIDATE: self.pools[Role.STABLE]}
        return replace(self, routing=ALL_STABLE, pools=pools, has_adopted=True)


# --- the routing as a value of the map --------------------------------------------------------------------------------


def check(want: Routing) -> None:
    """Refuse what HAProxy cannot do.

    Raises:
        RoutingError: weights are no shares of the whole, a header cannot be one, or requests are to be copied.
    """
    checked(want)
    if want.mirror:
        raise RoutingError("HAProxy copies no requests (mirror); the built-in router does: `router: builtin`")


def value_of(now: InForce) -> str:
    """The value that stands for it.

    >>> value_of(InForce(Routing({Role.STABLE: 9000, Role.CANDIDATE: 1000}), token=3)).rpartition(":")[0]
    '1000:10000:0:0:a:b:c:3'
    """
    want = now.routing
    low, high = want.weights.get(Role.CANDIDATE, 0), WHOLE - want.weights.get(Role.BASELINE, 0)
    said = routing_json(want) | ({"adopted": True} if now.has_adopted else {})
    text = base64.urlsafe_b64encode(json.dumps(said).encode()).decode()
    pools = ":".join(now.pools[role] for role in SERVING)
    return f"{low}:{high}:{int(want.sticky)}:{len(want.routes)}:{pools}:{now.token}:{text}"


def in_force(value: str) -> InForce:
    """What a value stands for; the inverse of `value_of`.

    Raises:
        RoutingError: it is none of ours.
    """
    try:
        *_, stable, candidate, baseline, token, text = value.split(":")
        said = json.loads(base64.urlsafe_b64decode(text))
        pools = dict(zip(SERVING, (stable, candidate, baseline), strict=True))
        return InForce(routing_of(said), pools, int(token), bool(said.get("adopted")))
    except (ValueError, RoutingError) as error:
        raise RoutingError(f"the routing that HAProxy holds ({value!r}) is none of ours: {error}") from error


def pattern_of(route: HeaderRoute) -> str:
    r"""A regular expression that finds the route's header among all of a request's, names in small letters.

    What is neither a letter nor a digit is written by its code, so that nothing in it means anything to anybody.

    >>> print(pattern_of(HeaderRoute("beta", "X-Beta", "yes")))
    (?m)^x\x2dbeta:\x20yes\r?$
    """
    return f"(?m)^{_coded(route.header.lower())}:\\x20{_coded(route.value)}\\r?$"


def _coded(text: str) -> str:
    return "".join(chr(each) if chr(each).isalnum() and each < 128 else f"\\x{each:02x}" for each in text.encode())


# --- the configuration ------------------------------------------------------------------------------------------------


def configuration(plan: RealPlan, users: int, metrics: int) -> str:
    """The configuration; maps and the socket are relative to the folder it runs in.

    Args:
        plan: what the scenario says of the router, and of draining.
        users: descriptor of the socket that users' requests come to.
        metrics: descriptor of the one that Prometheus asks.

    Raises:
        BackendError: the header that tells users apart cannot be named in it.
    """
    router = plan.router
    if not _PLAIN_HEADER.fullmatch(router.user_header):
        raise BackendError(f"HAProxy takes letters, digits, - _ and . in a user_header, not {router.user_header!r}")
    timeout_ms = max(1, router.timeout_ns // MILLISECOND)
    hard_stop_s = plan.local.drain_ns // SECOND + 5
    return "\n".join(
        (
            *_common(timeout_ms, hard_stop_s, router.retries),
            *_frontend(users, router.user_header, router.max_body),
            *(line for pool in POOLS for line in _pool(pool)),
            "frontend metrics",
            f"    bind fd@{metrics}",
            "    http-request use-service prometheus-exporter",
            "",
        )
    )


def _common(timeout_ms: int, hard_stop_s: int, retries: int) -> tuple[str, ...]:
    return (
        "global",
        f"    stats socket unix@{SOCKET} mode 600 level admin",
        "    log stdout format raw daemon err",
        "    nbthread 1",
        "    fd-hard-limit 16384",
        f"    hard-stop-after {hard_stop_s}s",
        f"    tune.bufsize {BUFFER}",
        "defaults",
        "    mode http",
        "    log global",
        "    option httplog",
        "    option log-separate-errors  # failures are errors, and only those are logged",
        "    option http-buffer-request",
        "    option abortonclose  # a user who has gone keeps no replica busy",
        f"    timeout connect {min(CONNECT_MS, timeout_ms)}ms",
        f"    timeout server {timeout_ms}ms",
        f"    timeout client {max(60_000, timeout_ms)}ms",
        "    timeout http-request 60s",
        "    timeout http-keep-alive 1h  # a client that finds its idle connection closed loses a request",
        f"    retries {retries}",
        "    option redispatch 1",
        "    retry-on conn-failure empty-response  # nobody has begun to answer; a slow replica may have",
    )


def _frontend(users: int, header: str, max_body: int) -> tuple[str, ...]:
    sticky = f"{{ var(txn.now),field(3,:) -m str 1 }} {{ req.fhdr({header}) -m found }}"
    return (
        "frontend users",
        f"    bind fd@{users}",
        f"    http-request deny deny_status 413 if {{ req.body_size gt {max_body} }}",
        "    option forwardfor",
        f"    http-request set-header {SCHEME} http unless {{ req.hdr({SCHEME}) -m found }}",
        f"    http-request set-header {NAMED} %[req.hdr(host)]"
        f" if !{{ req.hdr({NAMED}) -m found }} {{ req.hdr(host) -m found }}",
        f"    http-request del-header {COPY_HEADER}  # only a copy says that it is one",
        f"    http-request set-var(txn.now) str({KEY}),map({ROUTING_MAP})",
        "    http-request set-var(txn.low) var(txn.now),field(1,:)",
        "    http-request set-var(txn.high) var(txn.now),field(2,:)",
        f"    http-request set-var(txn.draw) rand({WHOLE})",
        f"    http-request set-var(txn.draw) req.fhdr({header}),xxh32,mod({WHOLE}) if {sticky}",
        "    http-request set-var(txn.arm) str(stable)",
        "    http-request set-var(txn.arm) str(candidate) if { var(txn.draw),sub(txn.low) lt 0 }",
        "    http-request set-var(txn.arm) str(baseline) if { var(txn.draw),sub(txn.high) ge 0 }",
        "    http-request set-var(txn.arm) str(candidate) if { var(txn.now),field(4,:) -m int gt 0 }"
        f" {{ req.hdrs,map_reg({ROUTES_MAP}) -m found }}",
        *(
            f"    http-request set-var(txn.pool) var(txn.now),field({place},:) if {{ var(txn.arm) -m str {role} }}"
            for place, role in enumerate(SERVING, start=5)
        ),
        f"    http-response set-header {ARM_HEADER} %[var(txn.arm)]",
        f"    http-response set-header {REPLICA_HEADER} %[srv_name,map({REPLICAS_MAP})]",
        "    use_backend %[var(txn.pool)]",
    )


def _pool(pool: str) -> tuple[str, ...]:
    """A failed connection marks a replica down at once, so that no second try goes there; a look brings it back."""
    return (
        f"backend {pool}",
        "    balance roundrobin",
        "    default-server check inter 1s fastinter 200ms downinter 200ms fall 3 rise 1"
        " observe layer4 error-limit 1 on-error mark-down",
        f"    server-template {pool} 1-{SLOTS} 127.0.0.1:1 disabled",
    )


def slots() -> tuple[str, ...]:
    """The names of all slots; the first letter is the pool's."""
    return tuple(f"{pool}{number}" for pool in POOLS for number in range(1, SLOTS + 1))
