"""What becomes of request number n: drawn from the seed and the number, so that nothing else changes it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from harness import seeds
from harness.domain.service import Fixed, ServiceTime
from harness.domain.units import SECOND
from harness.serving.fake.settings import FakeSettings
from harness.sim.laws import FloatArray, quantile_of

BLOCK: Final = 1024
"""Draws are made for so many requests at once: a generator for each would cost more than its answer."""


class Fault(StrEnum):
    """What goes wrong with an answer, by its setting; the first that is drawn, in this order, is what happens."""

    RESET_HEADERS = "reset_headers"
    RESET_BODY = "reset_body"
    ERROR = "error_rate"
    WRONG_CONTENT = "wrong_content"


FAULTS: Final = tuple(Fault)


@dataclass(frozen=True, slots=True)
class Fate:
    """What is drawn for one request."""

    number: int
    service_ns: int
    fault: Fault | None
    prediction: int
    confidence: float
    """In 0.5..1."""


class Fates:
    """The fates of all requests under the same settings.

    >>> settings = FakeSettings(error_rate=0.5, seed=3)
    >>> Fates(settings)(4000) == Fates(settings)(4000)
    True
    """

    def __init__(self, settings: FakeSettings) -> None:
        self._stream = seeds.stream(settings.seed, "serving/fake")
        self._gaps = seeds.stream(settings.seed, "serving/fake/gaps")
        self._quantile = quantile(settings.latency)
        self._gap = quantile(settings.gap)
        self._chunks = settings.chunks
        self._shares = [getattr(settings, fault) for fault in FAULTS]
        self._block = -1
        self._fates: list[Fate] = []

    def __call__(self, number: int) -> Fate:
        """The fate of that request."""
        block, place = divmod(number, BLOCK)
        if block != self._block:
            self._block, self._fates = block, self._drawn(block)
        return self._fates[place]

    def gaps_ns(self, number: int) -> list[int]:
        """The times between the chunks of that request's answer."""
        survival = 1 - self._gaps.generator(number).random(max(0, self._chunks - 1))
        return _whole_ns(self._gap(survival))

    def _drawn(self, block: int) -> list[Fate]:
        uniform = self._stream.generator(block).random((3 + len(FAULTS), BLOCK))
        service_ns = _whole_ns(self._quantile(1 - uniform[0]))
        befalls = [(uniform[3 + k] < share).tolist() for k, share in enumerate(self._shares)]
        faults = [
            next((fault for fault, drawn in zip(FAULTS, each, strict=True) if drawn), None)
            for each in zip(*befalls, strict=True)
        ]
        predictions = (uniform[1] < 0.5).astype(int).tolist()
        confidences = np.round(0.5 + uniform[2] / 2, 4).tolist()
        first = block * BLOCK
        return [Fate(first + k, service_ns[k], faults[k], predictions[k], confidences[k]) for k in range(BLOCK)]


def quantile(law: ServiceTime) -> Callable[[FloatArray], FloatArray]:
    """The time that a share of requests exceeds, in seconds; a constant needs no scipy."""
    if isinstance(law, Fixed):
        return lambda survival: np.full_like(survival, law.seconds)
    return quantile_of(law)


def _whole_ns(seconds: FloatArray) -> list[int]:
    found: list[int] = np.rint(seconds * SECOND).astype(np.int64).tolist()
    return found
