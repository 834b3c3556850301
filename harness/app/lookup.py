"""Models that a registry or a tracker holds, looked up where no run is under way; nothing is made for it."""

import functools
from dataclasses import dataclass
from typing import Any

from harness.app.installed import made
from harness.domain.model import RegisteredPlan, Role, TrainedModel, UriPlan
from harness.domain.scenario import Backends
from harness.protocols import Population


@dataclass(frozen=True)
class Lookup:
    """Asks the backends that a scenario names; each is made when it is first needed, for MLflow takes seconds."""

    backends: Backends
    trust_pickle: bool = False

    @functools.cached_property
    def registry(self) -> Any:
        """The scenario's registry."""
        return made("registry", self.backends.registry, trust_pickle=self.trust_pickle)

    @functools.cached_property
    def tracker(self) -> Any:
        """The scenario's tracker."""
        return made("tracker", self.backends.tracker, trust_pickle=self.trust_pickle)

    def model(
        self, plan: RegisteredPlan | UriPlan, name: str, role: Role, population: Population | None = None
    ) -> TrainedModel:
        """The model that an alias or a URI names, held against the data as a run does it.

        Must be called where no event loop runs.

        Raises:
            InputError: it does not fit the data.
            Unreachable: nobody can tell.
            BackendError: it is not there, or cannot be loaded.
        """
        from harness.clock import run_real
        from harness.training.stored import fetched, model_store, named

        if isinstance(plan, RegisteredPlan):
            return run_real(named, self.registry, name, role, plan.alias, population)
        store = model_store(self.registry, self.tracker)
        return run_real(fetched, store, self.registry, name, role, plan.uri, population).model
