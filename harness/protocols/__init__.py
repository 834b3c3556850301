"""The boundaries: what the engine asks of the world, one to three async methods each.

A backend is a class that keeps one of these promises; it arrives by the entry point group ``harness.backends`` under
the name ``KIND.WORD`` (``registry.memory``), and `harness.contracts` holds the checks that its author can run.
"""

from harness.protocols.models import (
    Fetched,
    IntentId,
    LineageKeeper,
    ManyClassLoader,
    ModelStore,
    Notifier,
    PickleLoader,
    Registry,
    Tracker,
    Version,
)
from harness.protocols.platforms import (
    QUANTILES,
    ArmSample,
    MetricSource,
    Notice,
    Platform,
    Readiness,
    Router,
    Sample,
    Serving,
)
from harness.protocols.stages import Case, Orders, Population, Retrainer, Stage, Tell
from harness.protocols.staging import (
    Arrivals,
    Endpoint,
    IntArray,
    LoadResult,
    MonitoringSetUp,
    MonitoringSystem,
    PacedPlatform,
    Reply,
    StagingPlatform,
)

__all__ = [
    "QUANTILES",
    "ArmSample",
    "Arrivals",
    "Case",
    "Endpoint",
    "Fetched",
    "IntArray",
    "IntentId",
    "LineageKeeper",
    "LoadResult",
    "ManyClassLoader",
    "MetricSource",
    "ModelStore",
    "MonitoringSetUp",
    "MonitoringSystem",
    "Notice",
    "Notifier",
    "Orders",
    "PacedPlatform",
    "PickleLoader",
    "Platform",
    "Population",
    "Readiness",
    "Registry",
    "Reply",
    "Retrainer",
    "Router",
    "Sample",
    "Serving",
    "Stage",
    "StagingPlatform",
    "Tell",
    "Tracker",
    "Version",
]
