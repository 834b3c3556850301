"""Faults of an API server, on order: the n-th request of a kind meets one, or a seeded share of them does."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from harness.clock import now_ns
from harness.domain.units import SECOND
from harness.seeds import stream

EVER: Final = 1 << 62


class Wrong(StrEnum):
    """What a request meets."""

    CONFLICT = "conflict"
    """409: the object has been modified."""
    GONE = "gone"
    """410: the resource version is too old; a watch is told so in its stream."""
    BUSY = "busy"
    """429 with Retry-After, as the server's own limit on requests in flight answers: a line of text, no Status."""
    ERROR = "error"
    """500."""
    UNAVAILABLE = "unavailable"
    """503."""
    SLOW = "slow"
    """The answer comes late."""
    RESET = "reset"
    """The connection is reset before the request has done anything."""
    LOST = "lost"
    """The request is carried out, and the connection is reset instead of an answer."""
    CUT = "cut"
    """A watch ends, without a word, after `Fault.after` events."""
    SILENT = "silent"
    """A watch tells nothing more after `Fault.after` events, and stays open."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, when."""

    wrong: Wrong
    verb: str = ""
    """get, list, watch, create, update, patch, delete, deletecollection; empty: any."""
    resource: str = ""
    """Plural, as ``deployments``, or with a subresource, as ``deployments/scale``; empty: any."""
    name: str = ""
    """Of the object; empty: any."""
    user: str = ""
    """Who asks; empty: anybody."""
    nth: int = 1
    """The first of the fitting requests that meets it, from now on."""
    times: int = 1
    """How many meet it from then on."""
    share: float = 1.0
    """Of those, how many, in 0..1; which ones, the seed says."""
    after: int = 0
    """CUT, SILENT: events that are told before."""
    delay_s: float = 0.2
    """SLOW: how late."""
    retry_after_s: int = 1
    """BUSY, UNAVAILABLE: the header Retry-After."""

    def fits(self, verb: str, resource: str, name: str, user: str) -> bool:
        """Whether it means such a request."""
        return (
            self.verb in {"", verb}
            and self.resource in {"", resource}
            and self.name in {"", name}
            and self.user in {"", user}
        )


@dataclass(slots=True)
class _Ordered:
    fault: Fault
    number: int
    seen: int = 0
    met: int = 0


@dataclass(slots=True)
class Faults:
    """The faults that were ordered, and how often each was met."""

    seed: int = 0
    wake: Callable[[], None] = lambda: None
    """Tells the watches that are open to look at `is_down`."""
    _ordered: list[_Ordered] = field(default_factory=list)
    _down_until_ns: int = -EVER

    def order(self, *faults: Fault) -> None:
        """From now on, these too; an order's requests are counted from here."""
        for fault in faults:
            self._ordered.append(_Ordered(fault, len(self._ordered)))

    def clear(self) -> None:
        """No more faults; what was met is forgotten."""
        self._ordered.clear()
        self._down_until_ns = -EVER

    def down(self, for_s: float) -> None:
        """Every connection is reset from now on, for so long, and the watches that are open are cut."""
        self._down_until_ns = now_ns() + round(for_s * SECOND)
        self.wake()

    @property
    def is_down(self) -> bool:
        """Whether the server answers nobody."""
        return now_ns() < self._down_until_ns

    def met(self, fault: Fault | None = None) -> int:
        """How many requests met this fault; None: any."""
        return sum(each.met for each in self._ordered if fault in {None, each.fault})

    def meets(self, verb: str, resource: str, name: str, user: str) -> Fault | None:
        """What this request meets: the first order that fits and is due. Each order counts it."""
        found: Fault | None = None
        for each in self._ordered:
            if each.fault.fits(verb, resource, name, user):
                each.seen += 1
                if found is None and self._due(each):
                    each.met += 1
                    found = each.fault
        return found

    def _due(self, each: _Ordered) -> bool:
        place = each.seen - each.fault.nth
        if not 0 <= place < each.fault.times:
            return False
        if each.fault.share >= 1:
            return True
        draw = stream(self.seed, f"kube/fault/{each.number}").generator(each.seen).random()
        return bool(draw < each.fault.share)
