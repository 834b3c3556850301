"""What is installed: backends by entry point, and the words that a scenario may use."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.domain.rollout import RolloutPolicy
from harness.errors import BackendError

if TYPE_CHECKING:
    from harness.domain.scenario import Scenario
    from harness.scenario import Catalog
    from harness.strategies import Machine, Strategy

GROUP: Final = "harness.backends"
STRATEGY: Final = "harness.strategies"
STAGES: Final = "harness.stages"
DISTRIBUTION: Final = "rollout-harness"


def installed() -> dict[str, dict[str, EntryPoint]]:
    """The backends that are installed, by kind and word (``registry`` → ``memory``)."""
    found: dict[str, dict[str, EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        kind, _, word = entry.name.partition(".")
        found.setdefault(kind, {})[word] = entry
    return found


def catalog(*, quick: bool = False, trust_pickle: bool = False) -> "Catalog":
    """What a scenario may name: algorithms and their parameters, strategies and backends.

    Args:
        quick: parameters are not checked, nor that a model's URI has an MLflow to be asked; nothing heavy is imported.
        trust_pickle: a model file may be a pickle.
    """
    from harness.scenario import Catalog
    from harness.training.vocabulary import ALGORITHMS

    def parameters(algorithm: str) -> Collection[str]:
        from harness.training import algorithms  # scikit-learn, which most commands need not wait for

        return algorithms.parameters(algorithm)

    return Catalog(
        algorithms=tuple(ALGORITHMS),
        strategies=tuple(strategies()),
        stages=tuple(entry.name for entry in entry_points(group=STAGES)),
        backends={kind: tuple(sorted(words)) for kind, words in installed().items()},
        tasks={word: algorithm.task for word, algorithm in ALGORITHMS.items()},
        parameters=None if quick else parameters,
        trust_pickle=trust_pickle,
        keeps_models=(lambda *_: True) if quick else keeps_models,
    )


def strategies() -> Mapping[str, "Strategy"]:
    """The strategies that are installed, by word: our own, and those that other packages bring by entry point.

    Raises:
        BackendError: one cannot be loaded, or has the name of one of ours.
    """
    from harness.strategies import STRATEGIES

    found = dict(STRATEGIES)
    for entry in entry_points(group=STRATEGY):
        if entry.name in STRATEGIES:
            raise BackendError(f"the strategy {entry.name} of {entry.value} has the name of one of ours; rename it")
        found[entry.name] = _loaded(entry)
    return found


def machine_of(scenario: "Scenario") -> "Machine":
    """The machine of a scenario's strategy.

    Raises:
        BackendError: its strategy is not installed, or cannot be loaded.
    """
    word, installed_here = scenario.rollout.strategy, strategies()
    if word not in installed_here:
        raise BackendError(f"no strategy called {word!r} is installed; there are {', '.join(installed_here)}")
    sizes = {role: service.replicas for role, service in scenario.service.items()}
    return installed_here[word](scenario.rollout, sizes)


def planned(scenario: "Scenario", machine: "Machine | None" = None) -> "Scenario":
    """The scenario with the policy that its machine goes by: a strategy may make steps of its own."""
    policy = getattr(machine or machine_of(scenario), "policy", None)
    return replace(scenario, rollout=policy) if isinstance(policy, RolloutPolicy) else scenario


def stage(word: str) -> Any:
    """A stage that another package brings: what makes it, given the scenario.

    Raises:
        BackendError: none of that name is installed, or it cannot be loaded.
    """
    for entry in entry_points(group=STAGES):
        if entry.name == word:
            return _loaded(entry)
    raise BackendError(f"no stage called {word!r} is installed (entry point group {STAGES})")


def _loaded(entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise BackendError(f"{entry.group} {entry.name!r} cannot be loaded from {entry.value}: {error}") from error


def backend(kind: str, word: str) -> Any:
    """What stands behind a word: a class, or a function that makes one.

    Raises:
        BackendError: none of that word is installed, or it cannot be loaded.
    """
    entry = installed().get(kind, {}).get(word)
    if entry is None:
        raise BackendError(f"no {kind} backend called {word!r} is installed")
    try:
        loaded = entry.load()
    except (ImportError, AttributeError) as error:
        raise BackendError(f"{kind} backend {word!r} cannot be loaded from {entry.value}: {error}") from error
    _check_origin(entry, loaded)
    return loaded


def made(kind: str, named: str, *, trust_pickle: bool = False) -> Any:
    """The registry or tracker that a scenario names: by a word, or by a URI that it is made with.

    Args:
        kind: registry or tracker.
        named: by the scenario.
        trust_pickle: it is told that models may be pickles, if it is one that can be told.

    Raises:
        BackendError: it is not installed, or cannot be loaded.
    """
    from harness.backends.uri import split
    from harness.protocols import PickleLoader

    word, uri = split(named)
    found = backend(kind, word)(*((uri,) if uri else ()))
    if trust_pickle and isinstance(found, PickleLoader):
        found.trust_pickles()
    return found


def keeps_models(kind: str, word: str) -> bool:
    """Whether the backend of a kind and word can be asked for a model by URI."""
    from harness.backends.uri import FOUND_AT
    from harness.protocols import ModelStore

    if word in FOUND_AT:  # without waiting for MLflow, or missing it
        return True
    try:
        loaded = backend(kind, word)
    except BackendError:
        return False
    return isinstance(loaded, type) and issubclass(loaded, ModelStore)


def lacking(scenario: "Scenario") -> str:
    """What a scenario's backends need that is not installed here, and how it is installed; empty where nothing is."""
    from importlib.util import find_spec

    from harness.backends.uri import POSTGRESQL, split

    places = [split(named) for named in (scenario.backends.registry, scenario.backends.tracker)]
    install = ".venv/bin/python -m pip install -e '.[{}]'"
    if any(word == "mlflow" for word, _ in places) and find_spec("mlflow") is None:
        return f"it keeps its models in MLflow, which is not installed; in a clone: {install.format('mlflow')}"
    if any(uri.startswith(POSTGRESQL) for _, uri in places) and find_spec("psycopg") is None:
        told = "it keeps its models in PostgreSQL, for which psycopg is not installed; in a clone: "
        return told + install.format("postgresql")
    return ""


def _check_origin(entry: EntryPoint, loaded: Any) -> None:
    """Our own fakes must be ours: a user's folder of the same name may stand before them on the path."""
    import sys

    top = entry.module.partition(".")[0]
    if top != "fakes" or entry.dist is None or entry.dist.name != DISTRIBUTION:
        return
    found = Path(str(sys.modules[loaded.__module__].__file__)).resolve()
    ours = Path(__file__).resolve().parents[2] / "fakes"
    if not found.is_relative_to(ours):
        raise BackendError(
            f"{entry.name} was loaded from {found}, not from harness's own package: "
            "another folder called `fakes` comes first on the path; rename it or run from elsewhere"
        )
