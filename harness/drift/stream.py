"""River's detectors for streams behind the `Detector` protocol: ADWIN, KSWIN and Page-Hinkley, by name.

`harness.drift.online` has a Page-Hinkley of its own. It is river's with ``mode="up", alpha=1, min_instances=1``: river
by default also alarms at a fall, lets old deviations fade (by 0.9999 a value) and is silent for its first 30 values.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from harness import seeds
from harness.drift.online import Detector
from harness.errors import InputError


@dataclass(slots=True)
class River:
    """One of river's detectors; starts anew after an alarm, as river has it."""

    detector: Any

    def update(self, error: float) -> bool:
        """Hear of the next value."""
        self.detector.update(error)
        return bool(self.detector.drift_detected)


@dataclass(frozen=True, slots=True)
class Kind:
    """A detector that can be named: river's class, and its parameters in river's words with river's own values."""

    word: str
    defaults: Mapping[str, Any]


ONLINE: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "adwin": Kind(
            "ADWIN", {"delta": 0.002, "clock": 32, "max_buckets": 5, "min_window_length": 5, "grace_period": 10}
        ),
        "kswin": Kind("KSWIN", {"alpha": 0.005, "window_size": 100, "stat_size": 30, "seed": None}),
        "page_hinkley": Kind(
            "PageHinkley", {"min_instances": 30, "delta": 0.005, "threshold": 50.0, "alpha": 0.9999, "mode": "both"}
        ),
    }
)
"""ADWIN (Bifet and Gavaldà 2007): the mean of an adaptive window; KSWIN (Raab, Heusinger and Schleif 2020): the newest
values against older ones by Kolmogorov-Smirnov; Page-Hinkley (Page 1954): a rise or fall of the mean."""


def online(name: str, stream: seeds.Stream, **parameters: Any) -> Detector:
    """A detector that has heard of nothing yet.

    Args:
        name: one of `ONLINE`.
        stream: what KSWIN draws its old values by, unless a ``seed`` is given.
        **parameters: in river's words; those not given are as in `ONLINE`, which are river's own.

    Raises:
        InputError: no such detector or parameter, or a value that river refuses.
    """
    if name not in ONLINE:
        raise InputError(f"no online detector is called {name!r}; there are {', '.join(ONLINE)}")
    kind = ONLINE[name]
    if unknown := sorted(parameters.keys() - kind.defaults.keys()):
        raise InputError(f"{name} has no parameter {unknown[0]!r}; it has {', '.join(kind.defaults)}")
    chosen = {**kind.defaults, **parameters}
    if "seed" in chosen and chosen["seed"] is None:
        chosen["seed"] = stream.integer()
    try:
        return River(getattr(import_module("river.drift"), kind.word)(**chosen))
    except ValueError as refused:
        raise InputError(f"{name}: {refused}") from refused


def alarms(detector: Detector, values: ArrayLike) -> tuple[int, ...]:
    """The rows at which a detector alarms over a column of numbers or a stream of errors (1.0 wrong, 0.0 right).

    Args:
        detector: keeps what it hears, so a stream can come in parts.
        values: ``[rows]``; missing ones (NaN) are not told to the detector, and counted as rows all the same.

    >>> from harness.drift.online import PageHinkley
    >>> alarms(PageHinkley(threshold=5), [0.0] * 50 + [1.0] * 50)[0]
    55
    """
    return tuple(row for row, value in _known(values) if detector.update(value))


def alarms_of(detectors: Mapping[str, Detector], values: ArrayLike) -> dict[str, tuple[int, ...]]:
    """The rows at which each of several detectors alarms, by its name."""
    return {name: alarms(detector, values) for name, detector in detectors.items()}


def _known(values: ArrayLike) -> Iterable[tuple[int, float]]:
    given = np.asarray(values, dtype=np.float64)
    rows = np.flatnonzero(~np.isnan(given))
    return zip(rows.tolist(), given[rows].tolist(), strict=True)
