"""The routing in force, and who may change it.

Each change carries a fencing token and a number that rises with every change of its sender. A lower token than the
highest seen comes from a harness that has lost its lease, a lower number from a request that was overtaken: both are
refused. The same number again is the same change, and is answered as it was. A change is in force whole or not at all.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.domain.model import Role
from harness.domain.rollout import Routing
from harness.domain.units import WHOLE
from harness.realtime import Behind
from harness.routing.replicas import Replicas
from harness.routing.table import Table
from harness.routing.words import behind_json, checked, routing_json
from harness.sim.exposure import Exposure, flows

log = logging.getLogger("harness.routing")
KEPT = "routing.json"
"""The last change that was accepted, beside the router's socket."""


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """Who asks for a change, and which of theirs it is."""

    token: int
    number: int


class Stale(Exception):
    """A change comes from a harness, or a request, that another has overtaken."""


class Control:
    """The routing and the replicas in force.

    Args:
        folder: where the last accepted change is kept; its token stays the lowest that is accepted.
        replicas: who is asked.
        now: the machine's monotonic clock, ns.
    """

    def __init__(self, folder: Path, replicas: Replicas, now: Callable[[], int]) -> None:
        self._file = folder / KEPT
        self._now = now
        self.replicas = replicas
        self.exposure = Exposure((Role.SHADOW,))
        """When requests were copied."""
        self.routing = Routing({Role.STABLE: WHOLE, Role.CANDIDATE: 0})
        self.table = Table.of(self.routing)
        self.mark = Mark(self._token_kept(), 0)

    def route(self, want: Routing, mark: Mark) -> None:
        """Put weights, routes, mirror and stickiness in force.

        Raises:
            RoutingError: this router cannot do that.
            Stale: another has overtaken it.
        """
        checked(want)
        if self._is_new(mark):
            self._put(want, mark)

    def point(self, behind: Behind, mark: Mark) -> None:
        """Ask these replicas from now on; Stale as `route`."""
        if self._is_new(mark):
            self.replicas.point(behind)
            self._put(self.routing, mark)

    def adopt(self, mark: Mark) -> None:
        """The candidate's replicas are stable's, and have all traffic; where it has none, stable stays as it is."""
        if not self._is_new(mark):
            return
        behind = self.replicas.behind
        if behind.get(Role.CANDIDATE):
            self.replicas.point({Role.STABLE: behind[Role.CANDIDATE], Role.CANDIDATE: ()})
        self._put(Routing({Role.STABLE: WHOLE, Role.CANDIDATE: 0}), mark)

    def hold(self, mark: Mark) -> None:
        """Take note of who asks; Stale as `route`."""
        if self._is_new(mark):
            self.mark = mark

    def told(self) -> dict[str, Any]:
        """All that is in force, as JSON holds it."""
        return {
            "routing": routing_json(self.routing),
            "behind": behind_json(self.replicas.behind),
            "leaving": list(self.replicas.leaving()),
            "token": self.mark.token,
            "number": self.mark.number,
        }

    def _is_new(self, mark: Mark) -> bool:
        """Whether a change is new; not, where it was made already."""
        if mark.token < self.mark.token:
            raise Stale(f"token {mark.token} is lower than {self.mark.token}: another harness drives this router now")
        if mark < self.mark:
            raise Stale(f"change {mark.number} was overtaken by {self.mark.number}")
        return mark > self.mark

    def _put(self, want: Routing, mark: Mark) -> None:
        self.routing, self.table, self.mark = want, Table.of(want), mark
        self.exposure.change(self._now(), flows(want, (), ()))
        beside = self._file.with_suffix(".new")
        try:
            beside.write_text(json.dumps(self.told()))
            beside.replace(self._file)
        except OSError as error:  # a full disk must not keep traffic from going back to stable
            log.warning("%s could not be kept: %s", self._file, error)

    def _token_kept(self) -> int:
        try:
            return int(json.loads(self._file.read_text())["token"])
        except FileNotFoundError:
            return 0
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s cannot be read: %r", self._file, error)
            return 0
