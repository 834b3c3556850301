"""What of a message's head is passed on: all but what is between two neighbours only (RFC 9110, section 7.6.1)."""

from collections.abc import Iterable
from typing import Final

from multidict import CIMultiDict

from harness.realtime import ARM_HEADER, COPY_HEADER, REPLICA_HEADER

HOP_BY_HOP: Final = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade",
    }
)  # fmt: skip
NOT_ASKED: Final = HOP_BY_HOP | {"content-length", "expect", COPY_HEADER}
"""Of a request. The length is told anew; `Expect` is ours to answer; only a copy says that it is one."""
NOT_ANSWERED: Final = HOP_BY_HOP | {"content-length", ARM_HEADER, REPLICA_HEADER}
"""Of an answer: which arm gave it is the router's to say."""
FORWARDED, SCHEME, NAMED = "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"

Pairs = Iterable[tuple[str, str]]


def request_head(pairs: Pairs, remote: str | None) -> CIMultiDict[str]:
    """The headers of a request as a replica gets them.

    `Host` is passed on as it came. Who asks is added to `X-Forwarded-For`; how, and at which host, is told where nobody
    before us has told it. All three are only as true as whoever may ask us: a replica takes its decisions without them.

    >>> sorted(request_head([("Connection", "x-own"), ("X-Own", "1"), ("Host", "us")], "10.0.0.9").values())
    ['10.0.0.9', 'http', 'us', 'us']
    """
    head = _without(pairs, NOT_ASKED)
    if remote:
        before = head.popall(FORWARDED, [])
        head[FORWARDED] = ", ".join((*before, remote))
        head.setdefault(SCHEME, "http")
        if "Host" in head:
            head.setdefault(NAMED, head["Host"])
    return head


def answer_head(pairs: Pairs, arm: str, replica: str) -> CIMultiDict[str]:
    """The headers of an answer as a user gets them."""
    head = _without(pairs, NOT_ANSWERED)
    head[ARM_HEADER] = arm
    head[REPLICA_HEADER] = replica
    return head


def _without(pairs: Pairs, dropped: frozenset[str]) -> CIMultiDict[str]:
    """Those that go further; what `Connection` names does not."""
    kept: list[tuple[str, str]] = []
    named: set[str] = set()
    for pair in pairs:
        name = pair[0].lower()
        if name not in dropped:
            kept.append(pair)
        elif name == "connection":
            named.update(word.strip().lower() for word in pair[1].split(","))
    if named - {"keep-alive", "close", ""}:
        kept = [pair for pair in kept if pair[0].lower() not in named]
    return CIMultiDict(kept)
