"""A stand-in for a router and its replicas, which counts by itself what it is asked and what it answers."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import numpy as np
import pandas as pd
from aiohttp import web
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from harness.domain.model import ARMS, Role, Source, Task, TrainedModel
from harness.domain.scenario import Scenario
from harness.domain.traffic import Knots, Labels, Process, Traffic
from harness.domain.units import SECOND
from harness.protocols import Population
from harness.realtime import ARM_HEADER
from harness.users import Users
from tests.build import scenario
from tests.sites import site

ROWS = 60
RATE = 300.0


def rows() -> pd.DataFrame:
    """Rows that can be told apart by ``number``; some values are missing."""
    draws = np.random.default_rng(5)
    frame = pd.DataFrame({"number": np.arange(ROWS), "x": draws.normal(size=ROWS), "word": ["a", "b"] * (ROWS // 2)})
    frame.loc[::7, "x"] = np.nan
    frame.loc[::11, "word"] = None
    return frame


def population(task: Task = Task.CLASSIFICATION) -> Population:
    """The rows with true answers that no model knows."""
    draws = np.random.default_rng(6)
    made = draws.integers(0, 2, ROWS) if task is Task.CLASSIFICATION else draws.normal(size=ROWS)
    return Population(rows(), made)


def models(task: Task = Task.CLASSIFICATION) -> dict[Role, TrainedModel]:
    """Two models that differ in what they were fitted to."""
    return {role: model(number, task) for number, role in enumerate(ARMS, start=1)}


def model(seed: int, task: Task = Task.CLASSIFICATION) -> TrainedModel:
    """One that looks at ``number`` and ``x``."""
    draws = np.random.default_rng(seed)
    classifies = task is Task.CLASSIFICATION
    last: Any = LogisticRegression(C=100.0) if classifies else LinearRegression()
    names = np.array(["no", "yes"])
    made = names[draws.integers(0, 2, ROWS)] if classifies else draws.normal(size=ROWS)
    estimator = make_pipeline(FunctionTransformer(np.nan_to_num), last).fit(rows()[["number", "x"]], made)
    return TrainedModel(
        name="m", role=Role.STABLE, source=Source.TRAINED, algorithm="", params={}, estimator=estimator, task=task,
        features=("number", "x"), classes=("no", "yes") if classifies else (), artifact_digest=f"sha256:{seed}",
    )  # fmt: skip


def asks(**changes: Any) -> Scenario:
    """Steady traffic of few users, every answer labelled at once."""
    made = scenario(
        traffic=Traffic("constant", Process.CONSTANT, Knots((0,), (RATE,)), users=25),
        labels=Labels(0, 1.0),
    )
    return replace(made, **changes)


@dataclass
class Told:
    """A request as the server saw it, and what it answered."""

    body: dict[str, Any]
    headers: Mapping[str, str]
    arm: Role
    answer: dict[str, Any]


@dataclass
class Servers:
    """Answers /predict as two arms do, by turns of its own."""

    arm: Callable[[int], Role] = lambda _: Role.STABLE
    answer: Callable[[Role, dict[str, Any]], dict[str, Any]] = lambda role, _: {"prediction": "no", "confidence": 0.75}
    told: list[Told] = field(default_factory=list)
    fail: Callable[[Told], int] = lambda _: 200
    hang: Callable[[Told], bool] = lambda _: False
    headers: Callable[[Role], Mapping[str, str]] = lambda role: {ARM_HEADER: role.value}

    async def predict(self, request: web.Request) -> web.Response:
        """One request."""
        body = json.loads(await request.read())
        role = self.arm(len(self.told))
        told = Told(body, dict(request.headers), role, self.answer(role, body))
        self.told.append(told)
        if self.hang(told):
            await asyncio.sleep(60)
        return web.json_response(told.answer, status=self.fail(told), headers=self.headers(role))

    def of(self, role: Role) -> list[Told]:
        """What an arm was asked."""
        return [each for each in self.told if each.arm is role]

    def counts(self) -> Counter[Role]:
        """How often each arm was asked."""
        return Counter(each.arm for each in self.told)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """On a free port; its URL."""
        app = web.Application()
        app.router.add_post("/predict", self.predict)
        async with site(app) as url:
            yield url


@asynccontextmanager
async def asked(
    servers: Servers, of: Scenario, population: Population | None = None, task: Task = Task.CLASSIFICATION, **more: Any
) -> AsyncIterator[Users]:
    """Users who ask as long as the block lasts, and have stopped once it is over."""
    users = Users(of, **more)
    async with servers.running() as url:
        await users.start(url, models(task) if population else {}, population)
        try:
            yield users
        finally:
            await users.stop()
            await users.stop()  # stopping what is stopped changes nothing


async def until(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    """Wait for what is sure to come."""
    with anyio.fail_after(within_s):
        while not condition():  # noqa: ASYNC110 - what it waits for knows no events
            await anyio.sleep(0.01)


TIMEOUT_NS = SECOND // 4
