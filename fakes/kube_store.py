"""Objects with one rising resource version, and the bounded history that watches are told from.

Stored objects are never changed in place: who writes puts a new one. `Store.at` undoes history, so that a list that was
begun can be continued as it was.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from fakes.kube_errors import continue_too_old, not_found, too_old
from fakes.kube_kinds import KINDS, Kind
from fakes.kube_script import Object, copied

Key = tuple[str, str]
"""Namespace (empty: the cluster's own) and name."""
ADDED: Final = "ADDED"
MODIFIED: Final = "MODIFIED"
DELETED: Final = "DELETED"


@dataclass(frozen=True, slots=True)
class Change:
    """One write."""

    version: int
    type: str
    kind: Kind
    key: Key
    now: Object
    """As written; of a deletion, as it was last, with the deletion's resource version."""
    before: Object | None
    """As it was; None where it is new."""


@dataclass(slots=True)
class Store:
    """All objects of a cluster.

    Args:
        history: how many changes are remembered; a watch from before them is told 410.
    """

    history: int = 1000
    version: int = 1
    """Of the last write."""
    oldest: int = 1
    """Watches from this resource version on can be told all that followed."""
    objects: dict[Kind, dict[Key, Object]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    changes: deque[Change] = field(default_factory=deque)
    _waiting: set[asyncio.Event] = field(default_factory=set)

    def find(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """The object as stored: not to be changed in place."""
        return self.objects[kind].get((namespace if kind.namespaced else "", name))

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """A copy of the object.

        Raises:
            Refused: 404.
        """
        found = self.find(kind, namespace, name)
        if found is None:
            raise not_found(kind, name)
        return copied(found)

    def all(self, kind: Kind, namespace: str = "") -> list[Object]:
        """The objects of a kind, sorted by namespace and name; of one namespace, or of all."""
        return [each for key, each in sorted(self.objects[kind].items()) if namespace in {"", key[0]}]

    def put(self, kind: Kind, obj: Object) -> Object:
        """Write it, new or not; a copy of what was written, with its resource version."""
        key = _key(kind, obj)
        before = self.objects[kind].get(key)
        written = self._stamped(obj)
        self.objects[kind][key] = written
        self._tell(MODIFIED if before else ADDED, kind, key, written, before)
        return copied(written)

    def remove(self, kind: Kind, obj: Object) -> Object:
        """Take it away; a copy of what it was last, with the resource version of its deletion."""
        key = _key(kind, obj)
        before = self.objects[kind].pop(key)
        last = self._stamped(before)
        self._tell(DELETED, kind, key, last, before)
        return copied(last)

    def since(self, version: int) -> Iterator[Change]:
        """What was written after this resource version.

        Raises:
            Refused: 410; it is not all remembered any more.
        """
        if version < self.oldest:
            raise too_old(version, self.oldest)
        return iter([change for change in self.changes if change.version > version])

    def at(self, kind: Kind, version: int, namespace: str = "") -> list[Object]:
        """The objects as they were.

        Raises:
            Refused: 410; that is not remembered any more.
        """
        if version < self.oldest:
            raise continue_too_old()
        then = dict(self.objects[kind])
        for change in reversed(self.changes):
            if change.version > version and change.kind is kind:
                if change.before is None:
                    then.pop(change.key, None)
                else:
                    then[change.key] = change.before
        return [each for key, each in sorted(then.items()) if namespace in {"", key[0]}]

    def compact(self) -> None:
        """Forget all history: every watch from an older resource version is told 410."""
        self.changes.clear()
        self.oldest = self.version

    def waker(self) -> "Waker":
        """Wakes whoever waits for the next change."""
        return Waker(self._waiting)

    def wake(self) -> None:
        """Wake all who wait, as if something had changed."""
        for each in self._waiting:
            each.set()

    def _stamped(self, obj: Object) -> Object:
        self.version += 1
        written = copied(obj)
        written["metadata"]["resourceVersion"] = str(self.version)
        return written

    def _tell(self, kind_of_change: str, kind: Kind, key: Key, now: Object, before: Object | None) -> None:
        self.changes.append(Change(self.version, kind_of_change, kind, key, now, before))
        while len(self.changes) > self.history:
            self.oldest = self.changes.popleft().version
        self.wake()


class Waker:
    """Waits for changes of a store; to be used as a context.

    Args:
        waiting: who is woken.
    """

    def __init__(self, waiting: set[asyncio.Event]) -> None:
        self._waiting = waiting
        self._event = asyncio.Event()

    def __enter__(self) -> "Waker":
        self._waiting.add(self._event)
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.discard(self._event)

    async def wait(self, within_s: float | None) -> bool:
        """Whether something changed since the last call, within so long."""
        if not self._event.is_set():
            try:
                async with asyncio.timeout(within_s):
                    await self._event.wait()
            except TimeoutError:
                return False
        self._event.clear()
        return True


def _key(kind: Kind, obj: Object) -> Key:
    meta: dict[str, Any] = obj["metadata"]
    return (meta.get("namespace", "") if kind.namespaced else "", meta["name"])


Fits = Callable[[Object], bool]
"""Whether a list or a watch means this object."""


def told(change: Change, fits: Fits) -> tuple[str, Object] | None:
    """The event of a watch with a selector; an object that no longer fits is told as deleted, as it was last."""
    is_in = change.type != DELETED and fits(change.now)
    was_in = change.before is not None and fits(change.before)
    if is_in:
        return (MODIFIED if was_in else ADDED), change.now
    if not was_in:
        return None
    assert change.before is not None
    if change.type == DELETED:
        return DELETED, change.now
    meta = {**change.before["metadata"], "resourceVersion": str(change.version)}
    return DELETED, {**change.before, "metadata": meta}
