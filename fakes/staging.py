"""A simulated staging environment: the candidate's own servers, apart from production, in the event loop's time.

The real model answers what it is asked; a load test meets the same compiled request plane as production does, under
whatever arrivals it is given.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import anyio
import numpy as np
import threadpoolctl

from harness.clock import now_ns
from harness.domain.fault import Crash, Errors, Fault, LatencyAdd, LatencyFactor, Missing, Scale, Shift, Swap
from harness.domain.lifecycle import StagingPlan
from harness.domain.model import ARMS, Revision, Role, Task, TrainedModel
from harness.domain.scenario import Scenario
from harness.domain.traffic import Knots, Process, Traffic
from harness.domain.units import SECOND
from harness.drift import inject
from harness.errors import ServingError
from harness.protocols import LoadResult, Notice, Population, Reply
from harness.seeds import stream
from harness.sim.cluster import Cluster, Setting
from harness.stats.histogram import Histogram

SERVED = frozenset({Role.STABLE})
"""The arm of a cluster that has all the traffic when it starts: here the candidate stands in it, alone."""


_NUMBER = (frozenset({int, float}), "a number")
_TEXT = (frozenset({str}), "a text")
_TAKES = {**dict.fromkeys("iuf", _NUMBER), "b": (frozenset({bool}), "true or false")}
"""What a column takes, by the kind of its type."""


class SimulatedStaging:
    """A `StagingPlatform`, and a `PacedPlatform`, over `harness.sim`.

    Args:
        scenario: its candidate's service and its seed.
        plan: its faults are injected here.
    """

    realtime = False

    def __init__(self, scenario: Scenario, plan: StagingPlan) -> None:
        self._service = scenario.service[Role.CANDIDATE]
        self._seed = stream(scenario.seed, "staging").integer()
        self._faults = tuple(fault for fault in plan.faults if Role.CANDIDATE in fault.on)
        self._replicas = 0
        self._began_ns = 0

    @property
    def running(self) -> int:
        """Replicas that are up, or coming up."""
        return self._replicas

    async def start(
        self, model: TrainedModel, revision: Revision, population: Population | None, replicas: int
    ) -> "SimulatedEndpoint":
        """Bring replicas up; they are ready when their start-up time has passed."""
        if replicas < 1:
            raise ServingError(f"{replicas} replicas in staging: at least one is needed")
        self._replicas, self._began_ns = replicas, now_ns()
        return SimulatedEndpoint(self, model, revision, population)

    async def load(self, rate_per_s: float, duration_ns: int) -> LoadResult:
        """Ask at a constant rate; times of the plan's faults count from here."""
        traffic = Traffic("constant", Process.CONSTANT, Knots((0,), (rate_per_s,)), users=0)
        return await self.load_paced(traffic, duration_ns, 0)

    async def load_paced(self, traffic: Traffic, duration_ns: int, warmup_ns: int) -> LoadResult:
        """Ask when such traffic comes; times of the plan's faults count from here, where the warm-up begins."""
        if not self.up():
            raise ServingError("nothing in staging is ready for a load test")
        ends_ns = warmup_ns + duration_ns
        last_ns = ends_ns + self._service.timeout_ns + 1
        await anyio.sleep(last_ns / SECOND)
        whole = self._met(traffic, ends_ns, last_ns)
        # Nothing that comes later changes what became of a request, and each draw is by the request's number: the
        # warm-up by itself is, request for request, the part of the whole that is to be left out.
        return _without(whole, self._met(traffic, warmup_ns, last_ns)) if warmup_ns else whole

    def _met(self, traffic: Traffic, until_ns: int, last_ns: int) -> LoadResult:
        """What requests met that came before a time, all of them seen to their end."""
        cluster = Cluster(self._setting(traffic, until_ns, last_ns), None, _unheard)
        cluster.start()
        met = cluster.sample(0, last_ns)[Role.STABLE]
        return LoadResult(met.requests, met.failed, met.errors, met.latency)

    async def stop(self) -> None:
        """Nothing runs any more."""
        self._replicas = 0

    def up(self) -> bool:
        """Whether its replicas take requests."""
        return self._replicas > 0 and now_ns() >= self._began_ns + self._service.startup_ns

    def seen(self, row: Any, reference: Any) -> Any:
        """The row as the model's features come to be here: what drifts from the very start is a skew of staging's.

        Args:
            row: a frame of one row.
            reference: the undrifted rows, whose deviations a `Shift` is given in.
        """
        for number, fault in enumerate(self._faults):
            effect, strength = fault.effect, fault.strength(0)
            if not isinstance(effect, Shift | Scale | Swap | Missing) or strength <= 0:
                continue
            inject.check(reference, effect)
            deviation = float(reference[effect.column].std(ddof=0)) if isinstance(effect, Shift) else 0.0
            if isinstance(effect, Missing):  # of one row, all or nothing: drawn by what the row holds
                draw = stream(self._seed, f"missing/{number}/{row.to_json()}").generator().random()
                effect = replace(effect, share=float(draw < effect.share))
            row = inject.drifted(row, effect, strength, np.zeros(1, np.int64), deviation)
        return row

    def _setting(self, traffic: Traffic, until_ns: int, last_ns: int) -> Setting:
        return Setting(
            seed=self._seed,
            services=dict.fromkeys(ARMS, replace(self._service, replicas=self._replicas)),
            traffic=traffic,
            labels=None,
            faults=tuple(_here(fault) for fault in self._faults if _serving(fault)),
            grid_ns=last_ns,
            keep_ns=last_ns,
            until_ns=until_ns,
        )


class SimulatedEndpoint:
    """What the candidate answers in a simulated staging environment."""

    def __init__(
        self, platform: SimulatedStaging, model: TrainedModel, revision: Revision, population: Population | None
    ) -> None:
        self._platform = platform
        self._model = model
        self._revision = revision
        self._reference = None if population is None else population.rows

    async def ready(self) -> bool:
        """Whether its replicas have started."""
        return self._platform.up()

    async def predict(self, body: Any) -> Reply:
        """Answer a row; 422 for what is none, 503 while nothing is ready."""
        if not self._platform.up():
            return Reply(503, {"error": "not ready"})
        if self._reference is None:
            return Reply(501, {"error": "a simulated endpoint answers rows of a data set, and there is none"})
        if refusal := self._refusal(body):
            return Reply(422, {"error": refusal})
        return Reply(200, self._answer(body))

    def _refusal(self, body: Any) -> str:
        if not isinstance(body, Mapping):
            return "a row is an object: features by name"
        for name in self._model.features:
            if name not in body:
                return f"{name} is missing; send null where it is not known"
            value = body[name]
            kind, what = _TAKES.get(self._reference[name].dtype.kind, _TEXT)  # type: ignore[index]  # there are rows
            if value is not None and type(value) not in kind:
                return f"{name} is {value!r}; it takes {what}"
        return ""

    def _answer(self, body: Mapping[str, Any]) -> dict[str, Any]:
        import pandas as pd

        columns = {name: [math.nan if body[name] is None else body[name]] for name in self._model.features}
        known = self._reference[list(columns)].dtypes  # type: ignore[index]  # there are rows
        row = pd.DataFrame(columns).astype({name: known[name] for name in columns if body[name] is not None})
        row = row.astype({name: object for name in columns if body[name] is None and known[name].kind not in "fiub"})
        row = self._platform.seen(row, self._reference)
        with threadpoolctl.threadpool_limits(limits=1), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what drifted, which is wanted
            prediction, confidence = _said(self._model, row)
        return {
            "prediction": prediction,
            "confidence": confidence,
            "model": self._revision.name,
            "version": self._revision.version,
        }


def _said(model: TrainedModel, row: Any) -> tuple[str | float, float | None]:
    """The label of one row and how probable it is, or its value; asked as a server asks."""
    estimator = model.estimator
    said = np.ravel(estimator.predict(row))[0]
    if model.task is Task.REGRESSION:
        return float(said), None
    if not hasattr(estimator, "predict_proba"):
        return str(said), None
    place = [str(label) for label in estimator.classes_].index(str(said))
    return str(said), float(estimator.predict_proba(row)[0, place])


def _without(whole: LoadResult, part: LoadResult) -> LoadResult:
    """What is left of a result when a part of its requests is taken out."""
    errors = {kind: count - part.errors.get(kind, 0) for kind, count in whole.errors.items()}
    counts = whole.latency.counts.copy()
    if part.latency.count:
        first = part.latency.first - whole.latency.first
        counts[first : first + part.latency.counts.size] -= part.latency.counts
    latency = Histogram.of_counts(counts, whole.latency.sum_ns - part.latency.sum_ns, whole.latency.first)
    return LoadResult(
        whole.sent - part.sent,
        whole.failed - part.failed,
        {kind: count for kind, count in errors.items() if count},
        latency,
    )


def _serving(fault: Fault) -> bool:
    return isinstance(fault.effect, LatencyFactor | LatencyAdd | Errors | Crash)


def _here(fault: Fault) -> Fault:
    return replace(fault, on=SERVED)


def _unheard(notice: Notice) -> None:
    """The load test tells its figures; what befell the servers meanwhile is in them."""
    del notice
