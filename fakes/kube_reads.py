"""Lists and watches: as they were at a resource version, page by page, and from there on as they change."""

import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fakes.kube_errors import Refused, bad_request, too_large
from fakes.kube_faults import EVER, Fault, Wrong
from fakes.kube_kinds import Kind
from fakes.kube_script import Object
from fakes.kube_selectors import fits
from fakes.kube_store import Store, told
from harness.clock import now_ns
from harness.domain.units import SECOND

WATCH_S: Final = 1800.0
"""How long a watch lasts that does not say."""
INITIAL_END: Final = "k8s.io/initial-events-end"
Query = Mapping[str, str]


def version_of(text: str) -> int:
    """The resource version that a query names; 0 for none.

    Raises:
        Refused: 400; it is no number.
    """
    if not text:
        return 0
    if not text.isdecimal():
        raise bad_request(
            f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        )
    return int(text)


def listed(store: Store, kind: Kind, namespace: str, query: Query) -> Object:
    """A list, or a page of one; a page that follows shows what was there when the first was read.

    Raises:
        Refused: 400 a query that cannot be read; 410 it is too old; 504 it is yet to come.
    """
    chosen = fits(query.get("labelSelector", ""), query.get("fieldSelector", ""))
    version, after = store.version, ("", "")
    asked = version_of(query.get("resourceVersion", ""))
    if query.get("continue"):
        version, after = _continued(query["continue"])
    elif asked > store.version:
        raise too_large(asked, store.version)
    elif query.get("resourceVersionMatch") == "Exact":
        version = asked
    found = [obj for obj in store.at(kind, version, namespace) if chosen(obj)]
    left = [obj for obj in found if _place(obj) > after]
    limit = int(query.get("limit") or 0) or len(left)
    meta: dict[str, Any] = {"resourceVersion": str(version)}
    if len(left) > limit:
        meta |= {"continue": _token(version, _place(left[limit - 1])), "remainingItemCount": len(left) - limit}
    items = left[:limit] if kind.custom else [_bare(obj) for obj in left[:limit]]
    return {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": meta, "items": items}


def _bare(obj: Object) -> Object:
    """As built-in kinds stand in a list: the list says what they are."""
    return {field: value for field, value in obj.items() if field not in {"apiVersion", "kind"}}


def _place(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _token(version: int, last: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps({"rv": version, "start": last}).encode()).decode()


def _continued(token: str) -> tuple[int, tuple[str, str]]:
    try:
        read = json.loads(base64.urlsafe_b64decode(token))
        return read["rv"], (read["start"][0], read["start"][1])
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise bad_request("continue key is not valid") from error


@dataclass(frozen=True, slots=True)
class Watched:
    """What a watch is told, and how.

    Args:
        store: what is watched.
        kind: of what.
        namespace: empty: of all.
        query: as asked.
        bookmark_s: how often a bookmark is sent to who wants any.
        fault: CUT, SILENT or GONE, if it is to meet one.
        over: whether the server ends.
    """

    store: Store
    kind: Kind
    namespace: str
    query: Query
    bookmark_s: float
    fault: Fault | None
    over: Callable[[], bool]

    def begin(self) -> int:
        """The resource version to follow on from.

        Raises:
            Refused: 400 the query cannot be read; 410 it is too old.
        """
        fits(self.query.get("labelSelector", ""), self.query.get("fieldSelector", ""))
        version = version_of(self.query.get("resourceVersion", ""))
        if self.fault is not None and self.fault.wrong is Wrong.GONE:
            raise Refused(410, f"too old resource version: {version} ({self.store.version})")
        if version and not self._initial:
            self.store.since(version)
        return version

    @property
    def _initial(self) -> bool:
        return self.query.get("sendInitialEvents") in {"true", "1"}

    async def tell(self, send: Callable[[str, Object], Awaitable[None]]) -> None:
        """Send event after event until the watch's time is over, the server ends, or it is cut off."""
        try:
            counted = _Counted(send, self.fault)
            counted.check()
            await self._follow(counted, self.begin())
        except Refused as refused:
            await send("ERROR", refused.status())
        except _Cut:
            return

    async def _follow(self, send: "_Counted", version: int) -> None:
        ends_ns = now_ns() + round(float(self.query.get("timeoutSeconds") or WATCH_S) * SECOND)
        bookmarks = self.query.get("allowWatchBookmarks") in {"true", "1"}
        every_ns = round(self.bookmark_s * SECOND) if bookmarks else EVER
        with self.store.waker() as waker:
            if not version or self._initial:
                version = await self._state(send)
            marked_ns = now_ns()
            while not self.over():
                version = await self._changes(send, version)
                left_ns = min(ends_ns, marked_ns + every_ns) - now_ns()
                if left_ns <= 0:
                    marked_ns = now_ns()
                    if bookmarks:
                        await send("BOOKMARK", self._bookmark(version))
                    if marked_ns >= ends_ns:
                        return
                elif version == self.store.version:
                    await waker.wait(left_ns / SECOND)

    async def _state(self, send: "_Counted") -> int:
        version = self.store.version
        chosen = fits(self.query.get("labelSelector", ""), self.query.get("fieldSelector", ""))
        for obj in self.store.all(self.kind, self.namespace):
            if chosen(obj):
                await send("ADDED", obj)
        if self._initial:
            await send("BOOKMARK", self._bookmark(version, {INITIAL_END: "true"}))
        return version

    async def _changes(self, send: "_Counted", version: int) -> int:
        chosen = fits(self.query.get("labelSelector", ""), self.query.get("fieldSelector", ""))
        latest = self.store.version
        for change in self.store.since(version):
            if change.kind is self.kind and self.namespace in {"", change.key[0]}:
                event = told(change, chosen)
                if event is not None:
                    await send(*event)
        return latest

    def _bookmark(self, version: int, annotations: Mapping[str, str] | None = None) -> Object:
        meta: dict[str, Any] = {"resourceVersion": str(version), "creationTimestamp": None}
        meta |= {"annotations": dict(annotations)} if annotations else {}
        return {"kind": self.kind.kind, "apiVersion": self.kind.api_version, "metadata": meta}


class _Cut(Exception):
    """The watch was cut off."""


class _Counted:
    """Sends events, until a fault's time has come."""

    def __init__(self, send: Callable[[str, Object], Awaitable[None]], fault: Fault | None) -> None:
        self._send = send
        self._fault = fault
        self._sent = 0

    async def __call__(self, type_of_event: str, obj: Object) -> None:
        if self._over(Wrong.SILENT):
            return
        self._sent += 1
        await self._send(type_of_event, obj)
        self.check()

    def check(self) -> None:
        """Raise `_Cut` where the watch is to end by now."""
        if self._over(Wrong.CUT):
            raise _Cut

    def _over(self, wrong: Wrong) -> bool:
        return self._fault is not None and self._fault.wrong is wrong and self._sent >= self._fault.after
