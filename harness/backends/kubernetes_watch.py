"""The objects of one kind, as the cluster has them: listed, then watched, and listed again whenever that ends.

A watch that tells nothing for a while may be broken without either end knowing, so silence is no news of peace: then
too everything is listed again. Changes are told by comparing what is held with what is there, so none is missed
for good, whatever happens to a watch.
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Final

import anyio

from harness.backends.kubernetes_api import Api, Gone, Kind
from harness.clock import now_ns
from harness.domain.units import SECOND
from harness.errors import BackendError
from harness.manifests.common import Manifest

log = logging.getLogger("harness.backends.kubernetes")
SILENT_S: Final = 10.0
"""A watch that has told nothing for so long is given up, and all is listed again."""
SERVER_S: Final = 300
"""The server ends a watch after so long."""
AGAIN_S: Final = (0.1, 5.0)
"""Until a watch that broke off is begun again: first, and at most; doubled as long as nothing is told."""

Changed = Callable[[Manifest | None, Manifest | None], None]
"""Told of each change: what an object was, and what it is; None: it is not there."""


class Held:
    """The objects of a kind with these labels.

    Args:
        api: where they are.
        kind: of them.
        labels: that they have.
        changed: told of each change.
        silent_s: see `SILENT_S`.
    """

    def __init__(
        self, api: Api, kind: Kind, labels: Mapping[str, str], changed: Changed, silent_s: float = SILENT_S
    ) -> None:
        self.objects: dict[str, Manifest] = {}
        self.trouble = ""
        """Why they are not known as they are now; empty while they are."""
        self.lists = 0
        self.news = 0
        """Changes and bookmarks that watches have told."""
        self._api, self._kind, self._labels, self._changed = api, kind, dict(labels), changed
        self._silent_s = silent_s
        self._version = ""

    async def list(self) -> None:
        """Look at all of them.

        Raises:
            BackendError: the API server refuses, or cannot be reached.
        """
        found, self._version = await self._api.list(self._kind, self._labels)
        self.lists += 1
        self.trouble = ""
        for name in sorted({*self.objects, *found}):
            self._put(name, found.get(name))

    async def run(self) -> None:
        """Watch until cancelled; `list` was called before."""
        wait_s = AGAIN_S[0]
        while True:
            before_ns, news, anew = now_ns(), self.news, True
            try:
                anew = not await self._watch()
            except Gone:
                log.info("the history of %s was forgotten: listed again", self._kind.plural)
            except BackendError as error:
                log.warning("%s", error)
            if self.news > news or now_ns() - before_ns >= self._silent_s * SECOND:
                wait_s = AGAIN_S[0]
            await anyio.sleep(wait_s)
            wait_s = min(2 * wait_s, AGAIN_S[1])
            if anew:
                await self._again()

    async def _again(self) -> None:
        try:
            await self.list()
        except BackendError as error:
            self.trouble = str(error)
            log.warning("%s", error)

    async def _watch(self) -> bool:
        """Take changes; whether the server ended the watch, which may go on where it ended. Else it fell silent."""
        changes = self._api.watch(self._kind, self._labels, self._version, SERVER_S)
        async with aclosing(changes):  # type: ignore[type-var]
            with anyio.move_on_after(self._silent_s) as patience:
                async for what, found in changes:
                    patience.deadline = anyio.current_time() + self._silent_s
                    self.news += 1
                    self._version = found["metadata"]["resourceVersion"]
                    if what in {"ADDED", "MODIFIED", "DELETED"}:
                        self._put(found["metadata"]["name"], None if what == "DELETED" else found)
                return True
        return False

    def took(self, found: Manifest) -> None:
        """An object as we have just written it, where the watch has not told yet of anything as new."""
        held = self.objects.get(found["metadata"]["name"])
        if held is None or _older(held, found):
            self._put(found["metadata"]["name"], found)

    def _put(self, name: str, found: Manifest | None) -> None:
        before = self.objects.get(name)
        if found is not None and _older(found, before):
            return
        if found is None:
            self.objects.pop(name, None)
        else:
            self.objects[name] = found
        if _version(before) != _version(found):
            self._changed(before, found)


def _version(held: Manifest | None) -> str | None:
    return held["metadata"]["resourceVersion"] if held else None


def _older(found: Manifest, held: Manifest | None) -> bool:
    """Whether it is the same object, as it was wanted earlier."""
    if held is None or held["metadata"].get("uid") != found["metadata"].get("uid"):
        return False
    return bool(found["metadata"].get("generation", 0) < held["metadata"].get("generation", 0))
