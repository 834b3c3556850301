"""Really trained models that are served in tests, and a server of them on a real socket."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from harness.data.split import Rows, target_of
from harness.data.table import infer, read_table, typed
from harness.domain.model import Role, Source, Task, TrainedModel
from harness.serving.answering import Served
from harness.serving.probe import served
from harness.serving.server import ModelServer, Settings
from harness.training.algorithms import effective
from harness.training.brought import brought
from harness.training.fit import fit, unfitted
from harness.training.vocabulary import ALGORITHMS
from tests.sites import site

DATA = Path(__file__).parents[2] / "scenarios" / "data" / "telco_churn.csv.gz"
CLASSIFIERS = [word for word, known in ALGORITHMS.items() if known.task is Task.CLASSIFICATION]
REGRESSORS = [word for word, known in ALGORITHMS.items() if known.task is Task.REGRESSION]
SMALL = {"n_estimators": 10}


@cache
def churn(count: int = 1200) -> Rows:
    """Rows of the shipped data set: 4 columns of numbers, 15 of categories, and who left."""
    table = read_table(str(DATA))
    frame, _ = typed(table, infer(table))
    target, classes = target_of(frame, "Churn", "Yes")
    rows = frame.drop(columns=["Churn", "customerID"], errors="ignore")
    return Rows(rows.iloc[:count], target[:count], classes)


@cache
def charges(count: int = 1200) -> Rows:
    """The same, with a number to predict."""
    rows = churn(count).rows
    return Rows(rows.drop(columns="MonthlyCharges"), rows["MonthlyCharges"].to_numpy(), ())


@cache
def pipeline(word: str) -> Any:
    """A fitted pipeline of an algorithm."""
    rows = churn() if word in CLASSIFIERS else charges()
    params = SMALL if "forest" in word or "extra_trees" in word else {}
    return fit(word, unfitted(word, effective(word, params, 0), rows), rows).estimator


def serving(estimator: Any, name: str = "churn", version: str = "3") -> Served:
    """An estimator as it is served."""
    return served(brought(estimator, name, Role.STABLE, "a test", binary=False), name, version, "a test")


def made_of(estimator: Any, task: Task = Task.CLASSIFICATION, features: Sequence[str] = ()) -> TrainedModel:
    """A model around an estimator of our own."""
    return TrainedModel(
        name="m", role=Role.STABLE, source=Source.GIVEN, algorithm=type(estimator).__name__, params={},
        estimator=estimator, task=task, features=tuple(features), classes=("no", "yes"), artifact_digest="sha256:x",
    )  # fmt: skip


def rows_of(one: Served, count: int = 50) -> list[dict[str, Any]]:
    """Rows of the data set, as JSON has them."""
    frame = churn().rows.iloc[:count][[feature.name for feature in one.features]]
    return [json.loads(line) for line in frame.to_json(orient="records", lines=True).splitlines()]


def random_row(one: Served, draws: np.random.Generator) -> dict[str, Any]:
    """A row that no data set has: any value of any size, missing ones and categories never seen."""
    found: dict[str, Any] = {}
    for feature in one.features:
        kind = draws.integers(6)
        if kind == 0 and feature.nullable:
            found[feature.name] = None
        elif feature.kind == "number":
            size = 10.0 ** draws.integers(-3, 9)
            found[feature.name] = float(draws.normal() * size) if kind > 1 else float(draws.integers(-5, 80))
        else:
            found[feature.name] = str(draws.choice(feature.known)) if kind > 1 and feature.known else f"new {kind}"
    return found


@asynccontextmanager
async def running(
    one: Served, settings: Settings | None = None, change: Callable[[ModelServer], None] | None = None
) -> AsyncIterator[tuple[ModelServer, aiohttp.ClientSession]]:
    """A server of a model, and a session with it."""
    server = ModelServer(one, settings)
    if change is not None:
        change(server)
    limit = aiohttp.ClientTimeout(total=20)
    async with (
        site(server.application(), 1) as url,
        aiohttp.ClientSession(url, timeout=limit, connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        yield server, session


async def post(session: aiohttp.ClientSession, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    """Status and JSON of an answer; bytes are sent as they are."""
    told = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with session.post(path, data=data, headers=told) as response:
        return response.status, json.loads(await response.text())
