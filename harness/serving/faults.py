"""Faults on order, for rehearsals: a server that answers later than it could, or with errors.

``PUT /-/faults {"latency_factor": 1.8, "latency_add_s": 0.05, "errors": 0.02, "seed": 7}`` puts them in force, ``GET``
tells them; from this machine alone, and not through a proxy. Only a server that was started with ``--faults`` knows
the path. A prediction then takes ``factor`` times as long as the model took, and ``latency_add_s`` longer (the wait
occupies no thread of the model: its capacity stays as it is), and this share of them is answered with 500 instead.
"""

import asyncio
import ipaddress
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from aiohttp import web

from harness import seeds
from harness.domain.units import SECOND

PATH: Final = "/-/faults"
FORWARDED: Final = ("Forwarded", "X-Forwarded-For", "Via", "X-Real-Ip")
"""What a proxy adds: a request that came through one is not of this machine, whatever its address."""
LONGEST_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Strength:
    """What is in force."""

    latency_factor: float = 1.0
    latency_add_s: float = 0.0
    errors: float = 0.0
    """Share of the predictions, 0 to 1."""
    seed: int = 0
    """Of the stream that says which ones."""

    @classmethod
    def of(cls, said: Any) -> "Strength":
        """As a body of JSON says it; what it leaves out is not in force.

        Raises:
            ValueError: it says something else.
        """
        if not isinstance(said, dict) or not set(said) <= {field.name for field in fields(cls)}:
            raise ValueError(f"an object with {', '.join(field.name for field in fields(cls))} is wanted")
        for name, value in said.items():
            low, high = _RANGES[name]
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not number or not low <= value <= high or (name == "seed" and not isinstance(value, int)):
                raise ValueError(f"{name} is {value!r}; it is a number from {low:g} to {high:g}")
        return cls(**said)

    def told(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


_RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "latency_factor": (0.0, 1e6), "latency_add_s": (0.0, LONGEST_S), "errors": (0.0, 1.0), "seed": (0, 2**63 - 1),
}  # fmt: skip


class Faults:
    """What a server does to its own predictions."""

    def __init__(self) -> None:
        self._draws = seeds.stream(0, "serving/faults").generator()
        self.strength = Strength()

    def put(self, strength: Strength) -> None:
        """Have these in force; the draws go on unless the seed is another."""
        if strength.seed != self.strength.seed:
            self._draws = seeds.stream(strength.seed, "serving/faults").generator()
        self.strength = strength

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Let a server be told."""
        router.add_route("*", PATH, self._ordered)

    async def befall(self, response: web.StreamResponse, took_ns: int) -> web.StreamResponse:
        """The answer to a prediction that took so long, later or another; one that is on its way already as it is."""
        strength = self.strength
        fails = strength.errors > 0 and self._draws.random() < strength.errors
        if response.prepared:
            return response
        wait_s = took_ns / SECOND * (strength.latency_factor - 1.0) + strength.latency_add_s
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        return _refused(500, "an error on order (--faults)") if fails else response

    async def _ordered(self, request: web.Request) -> web.Response:
        if not _local(request):
            return _refused(403, "faults are ordered from this machine alone")
        if request.method == "PUT":
            try:
                self.put(Strength.of(json.loads(await request.read())))
            except ValueError as error:
                return _refused(400, f"no strengths: {error}")
        elif request.method != "GET":
            return _refused(405, "this takes GET, PUT")
        return web.json_response(self.strength.told())


def _local(request: web.Request) -> bool:
    if any(name in request.headers for name in FORWARDED):
        return False
    try:
        address = ipaddress.ip_address(request.remote or "")
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _refused(status: int, why: str) -> web.Response:
    return web.json_response({"error": why, "errors": []}, status=status)
