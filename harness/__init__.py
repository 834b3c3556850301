"""Rehearse an ML rollout before production does.

How the package lies, from the bottom up (docs/architecture.md has the map and who may import whom):

    domain/ errors                 the nouns, as frozen values
    stats/ drift/ arrivals/ sim/   mathematics: arrays in, arrays out; the simulator
    protocols clock seeds log      the boundaries, the two times, the named streams, the event log
    strategies/ analysis/          what should be, given what was seen; and how it is judged
    data/ training/ scenario/      the model's way to its rollout; the scenario file
    engine/                        the only part with effects: runs stages, drives the rollout, makes it safe
    report/ live/                  what came of it, folded from the log
    app cli/                       assembly, and the door
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.app import Options, Stop, load_scenario, run, run_sync
    from harness.domain.scenario import Scenario
    from harness.errors import BackendError, HarnessError, InputError, ScenarioError
    from harness.log import Events
    from harness.protocols import Arrivals, MetricSource, Platform, Registry, Router, Serving, Stage, Tracker
    from harness.report import Result
    from harness.strategies import STRATEGIES, canary

_WHERE = {
    "Arrivals": "protocols",
    "BackendError": "errors",
    "Events": "log",
    "HarnessError": "errors",
    "InputError": "errors",
    "MetricSource": "protocols",
    "Options": "app",
    "Platform": "protocols",
    "Registry": "protocols",
    "Result": "report",
    "Router": "protocols",
    "STRATEGIES": "strategies",
    "Scenario": "domain.scenario",
    "ScenarioError": "errors",
    "Serving": "protocols",
    "Stage": "protocols",
    "Stop": "app",
    "Tracker": "protocols",
    "canary": "strategies",
    "load_scenario": "app",
    "run": "app",
    "run_sync": "app",
}

__all__ = [
    "STRATEGIES",
    "Arrivals",
    "BackendError",
    "Events",
    "HarnessError",
    "InputError",
    "MetricSource",
    "Options",
    "Platform",
    "Registry",
    "Result",
    "Router",
    "Scenario",
    "ScenarioError",
    "Serving",
    "Stage",
    "Stop",
    "Tracker",
    "canary",
    "load_scenario",
    "run",
    "run_sync",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: ``import harness`` itself costs nothing."""
    where = _WHERE.get(name)
    if where is None:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(import_module(f"harness.{where}"), name)


def __dir__() -> list[str]:
    return __all__
