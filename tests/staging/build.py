"""A scenario whose candidate, a really trained model, stands in staging first; and environments that go wrong."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import anyio

from fakes.staging import SimulatedEndpoint, SimulatedStaging
from harness.domain.lifecycle import StagingPlan
from harness.domain.model import ARMS, Role, Source, Task, TrainedModel
from harness.domain.scenario import Scenario
from harness.domain.units import SECOND
from harness.protocols import Case, Endpoint, LoadResult, Population, Reply, Tell
from harness.staging import Staging
from tests.build import parts, scenario
from tests.training.conftest import fitted, make_rows

PLAN = StagingPlan(replicas=2, golden_rows=12, rate_per_s=20.0, duration_ns=60 * SECOND)


@lru_cache(maxsize=8)
def brought(word: str, *, regression: bool) -> tuple[Any, Any]:
    """Rows, and a model fitted to them."""
    rows = make_rows(regression=regression)
    return rows, fitted(word, rows)


class Trained:
    """A stage that brings fitted models, and the rows they are asked."""

    name = "train"

    def __init__(
        self, word: str = "logistic_regression", *, regression: bool = False, source: Source = Source.TRAINED
    ) -> None:
        self.rows, self.fitted = brought(word, regression=regression)
        self.source = source

    def model(self, role: Role) -> TrainedModel:
        rows = self.rows
        return TrainedModel(
            name="m", role=role, source=self.source, algorithm="x", params={}, estimator=self.fitted.estimator,
            task=Task.CLASSIFICATION if rows.classes else Task.REGRESSION, features=tuple(rows.rows.columns),
            classes=tuple(map(str, self.fitted.estimator.classes_)) if rows.classes else (),
            artifact_digest=f"sha256:{role}",
        )  # fmt: skip

    async def run(self, case: Case, tell: Tell) -> Case:
        del tell
        population = Population(self.rows.rows, self.rows.target)
        return case.having(models={role: self.model(role) for role in ARMS}, population=population)


def staged(plan: StagingPlan = PLAN, **changes: Any) -> Scenario:
    """A canary with staging before it."""
    return scenario(staging=plan, **changes)


def staged_parts(of: Scenario, platform: Any = None, stage: Any = None) -> Any:
    """What its run is made of."""
    assert of.staging
    where = platform or SimulatedStaging(of, of.staging)
    return parts(of, stages=[stage or Trained()], staging=[Staging(where, of.staging)])


class Saying(SimulatedStaging):
    """An environment whose endpoint's replies are bent."""

    def __init__(self, of: Scenario, bend: Callable[[Any, Reply], Reply]) -> None:
        super().__init__(of, of.staging or PLAN)
        self.bend = bend

    async def start(self, *args: Any) -> Any:
        return Bent(await super().start(*args), self.bend)


class Bent:
    def __init__(self, endpoint: SimulatedEndpoint, bend: Callable[[Any, Reply], Reply]) -> None:
        self.endpoint, self.bend = endpoint, bend

    async def ready(self) -> bool:
        return await self.endpoint.ready()

    async def predict(self, body: Any) -> Reply:
        return self.bend(body, await self.endpoint.predict(body))


def body_with(**fields: Any) -> Callable[[Any, Reply], Reply]:
    """Replies with other fields than they had."""

    def bend(body: Any, reply: Reply) -> Reply:
        del body
        return replace(reply, body={**reply.body, **fields}) if isinstance(reply.body, Mapping) else reply

    return bend


class Failing(SimulatedStaging):
    """An environment whose n-th call, of all that are made of it and of its endpoint, fails or never returns.

    The call fails after it has had its effect, which is the worse case: what it began is there all the same.
    """

    def __init__(self, of: Scenario, at: int, error: Exception | None) -> None:
        super().__init__(of, of.staging or PLAN)
        self.at, self.error, self.calls = at, error, 0
        self.names: list[str] = []
        self.live = False
        """Something is left of it."""

    async def count(self, name: str) -> None:
        self.calls += 1
        self.names.append(name)
        if self.calls - 1 == self.at:
            if self.error:
                raise self.error
            await anyio.sleep(3 * 3600)  # beyond the horizon

    async def start(self, *args: Any) -> Any:
        endpoint: Endpoint = await super().start(*args)
        self.live = True
        await self.count("start")
        return Counted(endpoint, self)

    async def load(self, rate_per_s: float, duration_ns: int) -> LoadResult:
        met = await super().load(rate_per_s, duration_ns)
        await self.count("load")
        return met

    async def stop(self) -> None:
        await self.count("stop")
        await super().stop()
        self.live = False


class Counted:
    def __init__(self, endpoint: Endpoint, platform: Failing) -> None:
        self.endpoint, self.platform = endpoint, platform

    async def ready(self) -> bool:
        await self.platform.count("ready")
        return await self.endpoint.ready()

    async def predict(self, body: Any) -> Reply:
        await self.platform.count("predict")
        return await self.endpoint.predict(body)
