"""What is installed: the words that a scenario may use for algorithms, strategies and backends."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from harness.domain.model import Task


def _is_mlflow(_kind: str, word: str) -> bool:
    return word == "mlflow"


@dataclass(frozen=True, slots=True)
class Catalog:
    """The words of what is installed; whoever assembles the program fills it."""

    algorithms: Collection[str]
    strategies: Collection[str]
    backends: Mapping[str, Collection[str]]
    """By kind: registry, tracker, serving, metrics, notifier."""
    stages: Collection[str] = ()
    """Those that other packages bring."""
    tasks: Mapping[str, Task] = field(default_factory=dict)
    """What an algorithm is for; one that is not told here is for any."""
    parameters: Callable[[str], Collection[str]] | None = None
    """The parameters that an algorithm takes; None: they are not checked when a scenario is read."""

    trust_pickle: bool = False
    """Whether a model file may be a pickle, which runs what it holds when it is loaded."""

    keeps_models: Callable[[str, str], bool] = _is_mlflow
    """Whether the backend of a kind and word can be asked for a model by URI."""

    def backend_words(self, kind: str) -> tuple[str, ...]:
        """The words of a kind of backend, sorted."""
        return tuple(sorted(self.backends.get(kind, ())))
