"""The users of a real platform: they ask its router, and what they meet is measured.

Open loop: when each asks is fixed before any answer is seen, from the same streams of the seed as in a rehearsal on
virtual time, so that the same rows are asked.
"""

from collections.abc import Mapping
from typing import Any

from harness.domain.event import ArmTotals, InputColumn
from harness.domain.model import Role, TrainedModel
from harness.domain.scenario import Scenario
from harness.protocols import Population, Sample


class Users:
    """Asks as the scenario's traffic says, and answers as a `MetricSource` what came of it, by arm.

    Args:
        scenario: its traffic, labels, drift and seed.
        copies: a gateway that mirrors (`realtime.Copies`); None: there is no shadow.
    """

    def __init__(self, scenario: Scenario, copies: Any = None) -> None:
        self.scenario, self.copies = scenario, copies

    async def start(self, url: str, models: Mapping[Role, TrainedModel], population: Population | None) -> None:
        """Begin to ask there; times of the traffic and of drift count from here."""
        raise NotImplementedError

    async def replace(self, models: Mapping[Role, TrainedModel], population: Population | None, *, adopt: bool) -> None:
        """The arms have other models from now on; with ``adopt`` what was the candidate is stable."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Ask no more, and wait for what is under way, each at most its time-out."""
        raise NotImplementedError

    async def sample(self, start_ns: int, stop_ns: int) -> Sample:
        """What they met in ``[start, stop)``."""
        raise NotImplementedError

    async def totals(self) -> Mapping[Role, ArmTotals]:
        """What they met since they began."""
        raise NotImplementedError

    async def inputs(self, start_ns: int, stop_ns: int) -> tuple[InputColumn, ...]:
        """What they asked."""
        raise NotImplementedError

    async def predictions(self, start_ns: int, stop_ns: int) -> Mapping[Role, InputColumn]:
        """What each arm answered."""
        raise NotImplementedError
