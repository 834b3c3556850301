"""Real staging: real processes and pods keep the contract, and nothing is left, whatever ends a try."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

from fakes.kube_kinds import POD
from harness.app.staged import cleared, environments
from harness.backends import procfs
from harness.backends.processes import MARKER, Note, alive, notes, start, stop
from harness.backends.staging import KubernetesStaging, LocalStaging, bodies, result_of
from harness.backends.staging_scope import check
from harness.clock import run_real
from harness.contracts import check_staging, sample_model
from harness.contracts.checks import sample_rows
from harness.domain.fault import Errors, LatencyAdd, Shift
from harness.domain.lifecycle import StagingPlan
from harness.domain.load import Counts
from harness.domain.model import Revision, Source
from harness.domain.scenario import Scenario
from harness.domain.units import SECOND
from harness.errors import InputError, ServingError
from harness.load.record import Durations, Record, Tally
from harness.protocols import PacedPlatform, Population, StagingPlatform
from harness.realtime import Place
from harness.serving.server import ModelServer
from harness.staging import Staging
from tests.backends.kubernetes_bench import Cluster, cluster
from tests.build import BOTH, CANDIDATE, fault, scenario
from tests.serving.trained import serving

PLAN = StagingPlan(rate_per_s=20.0, duration_ns=60 * SECOND)
WITHIN_S = 90.0
MODEL, REVISION = sample_model(3), Revision("checked-model", 3, "sha256:3")


def population() -> Population:
    """Rows that the model answers."""
    rows = sample_rows(3)
    return Population(rows, (rows["amount"] > 8).to_numpy().astype("int64"))


def local(folder: Path, plan: StagingPlan = PLAN) -> LocalStaging:
    """An environment of processes, placed as a run places it."""
    made = LocalStaging(scenario(), plan)
    made.place(Place(folder / "run", folder / "state", "run-1"))
    return made


def living(folder: Path) -> list[str]:
    """Names of processes that live by their notes."""
    return [note.name for note in notes(folder / "state") if alive(note)]


# --- processes --------------------------------------------------------------------------------------------------------


async def test_processes_keep_every_promise_and_none_is_left(tmp_path: Path) -> None:
    seen: list[Note] = []

    class Watched(LocalStaging):
        async def load(self, rate_per_s: float, duration_ns: int) -> Any:
            seen.extend(notes(tmp_path / "state", "run-1-staging"))
            return await super().load(rate_per_s, duration_ns)

    platform = Watched(scenario(), PLAN)
    platform.place(Place(tmp_path / "run", tmp_path / "state", "run-1"))
    await check_staging(lambda: platform, MODEL, REVISION, population(), rounds=1, load_s=1.0)
    assert isinstance(platform, StagingPlatform)
    assert isinstance(platform, PacedPlatform)
    assert sorted(note.kind for note in seen) == ["replica", "router"]
    assert not [note for note in seen if alive(note) or procfs.marked(MARKER, note.id)]
    assert not notes(tmp_path / "state")
    assert not (tmp_path / "run" / "processes").exists(), "production's place is as it was"


async def test_cancelled_in_the_middle_of_a_load_test_it_leaves_no_process(tmp_path: Path) -> None:
    unknown = replace(MODEL, estimator=None, features=())  # answered by the stand-in, which starts sooner
    platform = local(tmp_path, replace(PLAN, faults=(fault(Errors(1.0)),)))
    with anyio.fail_after(WITHIN_S):
        endpoint = await platform.start(unknown, REVISION, None, 1)
        assert (await endpoint.predict({})).status == 200, "faults wait for the load test"
        assert len(living(tmp_path)) == 2
        with pytest.raises(ServingError, match="occupied"):
            await platform.start(unknown, REVISION, None, 1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(platform.load, 20.0, 600 * SECOND)
            while (await endpoint.predict({})).status != 500:  # noqa: ASYNC110
                await anyio.sleep(0.05)
            tasks.cancel_scope.cancel()
        await platform.stop()
        await platform.stop()
    assert not notes(tmp_path / "state")
    with pytest.raises(ServingError, match="nothing runs"):
        await endpoint.predict({})


async def test_a_model_that_no_process_can_serve_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    platform = local(tmp_path)
    with pytest.raises(ServingError, match=r"in staging.*recorded"):
        await platform.start(replace(MODEL, source=Source.RECORDED), REVISION, population(), 1)
    await platform.stop()
    assert not notes(tmp_path / "state")


def test_what_a_killed_harness_left_in_staging_is_ended_when_its_run_is_taken_up(tmp_path: Path) -> None:
    state, sleeps = tmp_path / "state", (sys.executable, "-c", "import signal; signal.pause()")
    left = {
        run: start(Place(tmp_path / run, state, run), "stable-v2-1", kind="replica", command=sleeps)
        for run in ("run-1", "run-1-staging")
    }
    try:
        cleared(state, "run-1")
        assert not alive(left["run-1-staging"])
        assert alive(left["run-1"]), "production's go on"
        assert [note.run for note in notes(state)] == ["run-1"]
    finally:
        run_real(stop, left["run-1"])


def test_a_run_finds_the_environments_that_keep_something_outside(tmp_path: Path) -> None:
    one = local(tmp_path)

    class Tested:
        tester = Staging(one, PLAN)

    assert list(environments([Staging(one, PLAN), Tested(), object()])) == [one, one]


# --- pods -------------------------------------------------------------------------------------------------------------


def pods(_: Any) -> web.Application:
    """A pod with the real server of the model."""
    return ModelServer(serving(MODEL.estimator, "checked-model", "3")).application()


@asynccontextmanager
async def staging_in(there: Cluster, tmp_path: Path) -> AsyncIterator[KubernetesStaging]:
    """An environment in the stand-in's namespace, beside a production elsewhere."""
    told = there.scenario.real.kubernetes
    where = replace(told, namespace="prod", front=None, staging_namespace="ml", staging_front=told.front)
    made = KubernetesStaging(replace(there.scenario, real=replace(there.scenario.real, kubernetes=where)), PLAN)
    made.place(Place(tmp_path / "run", tmp_path / "state", "run-1", 1))
    yield made
    await made.stop()


async def test_pods_keep_every_promise_within_the_exported_role(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cluster(tmp_path, monkeypatch, pods, rbac=True) as there, staging_in(there, tmp_path) as platform:
        await check_staging(lambda: platform, MODEL, REVISION, population(), load_s=1.0)
        assert there.deployment("m-v3") is not None
        assert there.replicas("m-v3") == 0
        assert not there.api.store.all(POD, "ml")
        assert there.api.audit.count(code=403) == 0


# --- what is asked, and what came of it -------------------------------------------------------------------------------


def test_a_load_test_asks_rows_as_the_server_takes_them() -> None:
    made = list(bodies(MODEL, population()))
    assert len(made) == 20
    assert made[0] == b'{"amount":3.0,"kind":"new"}'
    assert list(bodies(MODEL, None)) == [b"{}"]


def test_what_was_due_and_never_sent_or_answered_has_failed() -> None:
    counts = Counts(10, 2, 8, 5, 2, 1, {"http_500": 2}, {"queue_full": 2})
    met = result_of(Record({}, (Tally(counts, latency=Durations()),), 1, 1), "held up")
    assert (met.sent, met.failed, met.spoiled) == (10, 5, "held up")
    assert met.errors == {"http_500": 2, "in_flight": 1, "queue_full": 2}
    assert met.figures()["success_rate"] == 0.5


# --- what it refuses --------------------------------------------------------------------------------------------------


def of(word: str, plan: StagingPlan, **cluster: Any) -> Scenario:
    """A scenario with such staging."""
    base = scenario(staging=plan)
    kubernetes = replace(base.real.kubernetes, **cluster)
    return replace(base, backends=replace(base.backends, staging=word), real=replace(base.real, kubernetes=kubernetes))


FRONT = {"staging_front": "http://127.0.0.1:1"}


@pytest.mark.parametrize(
    ("word", "effect", "plan", "told"),
    [
        ("local", Shift("x", 1.0), {}, "real replicas in staging are not spoilt so"),
        ("kubernetes", LatencyAdd(1.0), FRONT, "pods are not spoilt on purpose"),
        ("kubernetes", None, {}, "real.kubernetes.staging_front"),
        ("kubernetes", None, {**FRONT, "staging_namespace": "default"}, "real.kubernetes.staging_namespace"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(
    word: str, effect: Any, plan: dict[str, Any], told: str
) -> None:
    faults = (fault(effect, BOTH),) if effect else ()
    with pytest.raises(InputError, match=told):
        check(of(word, replace(PLAN, faults=faults), **plan))


def test_what_can_be_is_let_through() -> None:
    check(of("local", replace(PLAN, faults=(fault(LatencyAdd(1.0), CANDIDATE),))))
    check(of("kubernetes", PLAN, **FRONT))
    check(of("simulated", replace(PLAN, faults=(fault(Shift("x", 1.0)),))))
