"""Local replicas: the real model answers, faults act on it, what dies too often stays down, and a kill is survived."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from sklearn.linear_model import LogisticRegression

from harness.backends import processes
from harness.backends.local import LocalFleet
from harness.backends.local_faults import InForce, in_force, inherited, next_change_ns, told
from harness.backends.local_models import command, match, written
from harness.backends.procfs import marked
from harness.clock import now_ns, run_real
from harness.contracts import sample_model
from harness.contracts.checks import sample_rows
from harness.domain.fault import Crash, Errors, Fault, LatencyAdd, LatencyFactor, Lost, Shift, StaleTraining
from harness.domain.model import ARMS, GivenPlan, Revision, Role, Source, TrainedModel
from harness.domain.real import LocalPlan, RealPlan
from harness.domain.scenario import Scenario
from harness.domain.units import MILLISECOND, SECOND
from harness.errors import BackendError, ServingError
from harness.protocols import Notice
from harness.realtime import Behind, Place
from tests.backends.unknown import MODELS
from tests.build import BOTH, CANDIDATE, fault, scenario

STABLE = frozenset({Role.STABLE})
PATIENCE_S = 90.0
QUICK = LocalPlan(probe_every_ns=100 * MILLISECOND, restarts=1)


@dataclass
class Around:
    """A fleet, what its router was told, and what it said."""

    fleet: LocalFleet
    place: Place
    pointed: list[Behind] = field(default_factory=list)
    heard: list[Notice] = field(default_factory=list)
    refusals: int = 0
    """So often does the router refuse."""

    async def point(self, behind: Behind) -> None:
        if self.refusals:
            self.refusals -= 1
            raise BackendError("the router is not there")
        self.pointed.append(behind)

    def urls(self, role: Role) -> Sequence[str]:
        return self.pointed[-1].get(role, ()) if self.pointed else ()

    def kinds(self) -> list[str]:
        return [notice.kind for notice in self.heard]

    async def until(self, so: Callable[[], bool]) -> None:
        with anyio.fail_after(PATIENCE_S):
            while not so():  # noqa: ASYNC110 - a fleet tells only who asks
                await anyio.sleep(0.02)

    async def listen(self) -> None:
        async for notice in self.fleet.notices():
            self.heard.append(notice)


def of(*faults: Fault, plan: LocalPlan = QUICK, **changes: Any) -> Scenario:
    return scenario(faults=faults, real=RealPlan(local=plan), **changes)


@asynccontextmanager
async def fleet(of: Scenario, root: Path, begin: Callable[[Around], Awaitable[None]]) -> AsyncIterator[Around]:
    """A fleet that is begun so, listened to, and stopped; nothing of it is left."""
    around = Around(LocalFleet(of), Place(root / "run", root / "state", "tested"))
    around.fleet.place(around.place)
    around.fleet.inform({role: Revision("m", number, "") for number, role in enumerate(ARMS, start=4)})
    try:
        await begin(around)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(around.listen)
            yield around
            await around.fleet.stop()  # which ends the notices too
    finally:
        with anyio.CancelScope(shield=True):
            await around.fleet.stop()
    assert processes.notes(around.place.state) == ()


def stand_ins(around: Around) -> Awaitable[None]:
    return around.fleet.start(dict(zip(ARMS, MODELS, strict=False)), 1, around.point)


async def ask(session: aiohttp.ClientSession, url: str, row: Any = None) -> tuple[int, Any]:
    async with session.post(f"{url}/predict", json=row or {}) as response:
        return response.status, await response.json()


def test_the_real_model_answers_as_it_does_here_and_is_called_by_its_revision(tmp_path: Path) -> None:
    model = sample_model(1)
    rows = sample_rows(1)

    async def begin(around: Around) -> None:
        await around.fleet.start({Role.STABLE: model, Role.CANDIDATE: sample_model(2)}, 1, around.point)

    async def main() -> None:
        async with fleet(of(), tmp_path, begin) as around, aiohttp.ClientSession() as session:
            (url,) = around.urls(Role.STABLE)
            answers = [await ask(session, url, row) for row in rows.to_dict("records")]
            assert {(status, said["model"]) for status, said in answers} == {(200, "m")}
            assert [said["prediction"] for _, said in answers] == [*model.estimator.predict(rows)]
            async with session.get(f"{url}/ready") as response:
                assert str((await response.json())["version"]) == "4"
            assert await around.fleet.probe(Role.STABLE)
            assert around.fleet.scraped() == {f"{url}/metrics": {"arm": "stable", "revision": "m:4"}}
            async with session.put(f"{url}/-/faults", json={}) as response:
                assert response.status == 404  # nothing is injected: it takes no orders

    run_real(main)
    assert len(list((tmp_path / "run" / "models").glob("*.skops"))) == 2


def test_faults_begin_grow_and_end_on_real_servers_and_a_crash_is_told(tmp_path: Path) -> None:
    on_order = (
        Fault("all wrong", BOTH, Errors(1.0), ramp_ns=SECOND, until_ns=2 * SECOND),
        Fault("dies", STABLE, Crash(1), at_ns=2500 * MILLISECOND),
        Fault("slow", STABLE, LatencyAdd(0.8), at_ns=2500 * MILLISECOND),
    )

    async def main() -> None:
        async with fleet(of(*on_order), tmp_path, stand_ins) as around, aiohttp.ClientSession() as session:
            (url,) = around.urls(Role.STABLE)
            statuses = []
            while "fault_ended" not in around.kinds():
                statuses.append((await ask(session, url))[0])
                await anyio.sleep(0.02)
            assert set(statuses) <= {200, 500}
            assert 500 in statuses
            await around.until(lambda: "replica_crashed" in around.kinds())
            assert sorted(kind for kind in around.kinds() if kind != "replica_ready") == [
                *["fault_began"] * 3, "fault_ended", "replica_crashed",
            ]  # fmt: skip
            await around.until(lambda: list(around.urls(Role.STABLE)) not in ([url], []))
            began_ns = now_ns()
            async with anyio.create_task_group() as tasks:  # asked, and taken down before it has answered
                answers: list[int] = []

                async def one() -> None:
                    answers.append((await ask(session, around.urls(Role.STABLE)[0]))[0])

                tasks.start_soon(one)
                await anyio.sleep(0.3)
                await around.fleet.stop()
            assert answers == [200]
            assert now_ns() - began_ns >= 0.78 * SECOND  # the new replica was as slow before it was ready

    run_real(main)


def test_what_dies_again_and_again_is_left_down_and_its_last_words_are_told(tmp_path: Path) -> None:
    """The model's file was damaged: no process of it comes up."""
    model = sample_model(1)
    word = model.artifact_digest.rpartition(":")[2][:16]
    (tmp_path / "run" / "models").mkdir(parents=True)
    (tmp_path / "run" / "models" / f"stable-{word}.skops").write_text("no archive")

    async def begin(around: Around) -> None:
        with pytest.raises(ServingError, match=r"stable cannot be served: .*died 1 times .*not a model file of skops"):
            await around.fleet.start({Role.STABLE: model}, 1, around.point)
        assert (await around.fleet.observe())[Role.STABLE].ready == 0

    async def main() -> None:
        async with fleet(of(plan=replace(QUICK, restarts=0)), tmp_path, begin) as around:
            await around.until(lambda: "replica_down" in around.kinds())
            assert around.kinds() == ["replica_down"]

    run_real(main)


OWNER = """
import os, pickle, signal, sys
from pathlib import Path
import anyio
from harness.backends.local import LocalFleet
from harness.domain.model import ARMS, Role
from harness.realtime import Place
from tests.backends.unknown import MODELS

async def main():
    fleet = LocalFleet(pickle.load(sys.stdin.buffer))
    fleet.place(Place(Path(sys.argv[1]) / "run", Path(sys.argv[1]) / "state", "tested"))
    async def point(behind):
        pass
    await fleet.start(dict(zip(ARMS, MODELS)), 1, point)
    await fleet.apply({Role.CANDIDATE: 1})
    while not (await fleet.observe())[Role.CANDIDATE].ready:
        await anyio.sleep(0.02)
    os.kill(os.getpid(), signal.SIGKILL)

anyio.run(main)
"""


def test_replicas_outlive_a_killed_harness_and_are_taken_up_again(tmp_path: Path) -> None:
    words = [sys.executable, "-c", OWNER, str(tmp_path)]
    done = subprocess.run(words, check=False, cwd=Path(__file__).parents[2], input=pickle.dumps(of()))
    assert done.returncode == -signal.SIGKILL
    left = {note.arm: note for note in processes.notes(tmp_path / "state")}
    assert set(left) == {"stable", "candidate"}
    assert all(processes.alive(note) for note in left.values())

    async def begin(around: Around) -> None:
        around.refusals = 1  # a router that is not there yet is told again
        # No model was made again: replicas serve theirs all the same, and so does whatever comes in their place.
        await around.fleet.attach({}, {Role.STABLE: 1}, around.point)

    async def main() -> None:
        async with fleet(of(), tmp_path, begin) as around:
            await around.until(lambda: bool(around.pointed))
            assert [dict(behind) for behind in around.pointed] == [
                {Role.STABLE: (left["stable"].url,), Role.CANDIDATE: ()}
            ]
            await around.until(lambda: not processes.alive(left["candidate"]))
            (note,) = processes.notes(tmp_path / "state")
            assert (note.process, note.owner.pid) == (left["stable"].process, os.getpid())
            assert (await around.fleet.observe())[Role.STABLE].ready == 1
            assert await around.fleet.probe(Role.STABLE)
            os.kill(note.pid or 0, signal.SIGKILL)  # adopted ones are watched as others are, though no child of ours
            await around.until(lambda: len(around.urls(Role.STABLE)) == 1 and around.urls(Role.STABLE)[0] != note.url)
            assert {"router_refused", "replica_crashed"} <= set(around.kinds())

    run_real(main)
    assert marked(processes.MARKER, left["candidate"].id) == ()


# --- without a process ------------------------------------------------------------------------------------------------


def file_of(model: TrainedModel, where: Scenario, folder: Path) -> Any:
    return written(model, Revision("m", 1, ""), Role.STABLE, folder, where)


def test_what_cannot_be_served_by_a_process_is_told_with_a_remedy(tmp_path: Path) -> None:
    recorded = replace(sample_model(1), source=Source.RECORDED)
    with pytest.raises(ServingError, match=r"answers were recorded.*serving: http.*serving: simulated"):
        file_of(recorded, of(), tmp_path)
    own = replace(sample_model(1), estimator=TrustMe(), artifact_digest="sha256:abc")
    with pytest.raises(ServingError, match=r"stable cannot be served by a process of its own: .*TrustMe"):
        file_of(own, of(), tmp_path)
    assert list(tmp_path.iterdir()) == []


class TrustMe(LogisticRegression):  # type: ignore[misc]
    """Of a module that no server trusts."""


def test_a_model_that_the_caller_handed_over_goes_as_a_pickle(tmp_path: Path) -> None:
    plain = of()
    handed = replace(plain, model=replace(plain.model, stable=GivenPlan("what the caller gave")))
    own = replace(sample_model(1), estimator=TrustMe(C=3.0), artifact_digest="sha256:abc")
    loaded = file_of(own, handed, tmp_path)
    assert loaded.pickled
    assert [path.name for path in tmp_path.iterdir()] == ["stable-abc.pkl"]
    assert "--trust-pickle" in command(loaded, QUICK, plain.service[Role.STABLE], faults=False)
    assert file_of(own, handed, tmp_path) == loaded  # once is enough
    nobody = replace(own, estimator=lambda: None, artifact_digest="sha256:def")
    with pytest.raises(ServingError, match="cannot be written to a file for its server"):
        file_of(nobody, handed, tmp_path)


def test_faults_are_ordered_only_where_there_are_any() -> None:
    from harness.backends.local_faults import ordered
    from harness.backends.local_models import Loaded

    service = of().service[Role.STABLE]
    loaded = Loaded("sha256:x", Revision("m", 1, ""), Path("m.skops"))
    assert "--faults" not in command(loaded, QUICK, service, faults=ordered(of().faults))
    assert "--faults" in command(loaded, QUICK, service, faults=ordered([fault(Errors(0.1))]))
    assert not ordered([fault(Crash(1)), fault(Shift("x", 1.0)), fault(StaleTraining(0.1))])


def test_a_fault_is_as_strong_as_on_the_simulated_cluster() -> None:
    """Factors multiply, latencies add, and shares of errors spare independently, as its kernel has it."""
    faults = [
        fault(LatencyFactor(3.0), at_ns=SECOND, ramp_ns=2 * SECOND),
        fault(LatencyFactor(2.0), BOTH),
        fault(LatencyAdd(0.5), until_ns=3 * SECOND),
        fault(Errors(0.5)),
        fault(Errors(0.2), at_ns=2 * SECOND),
    ]
    assert in_force(faults, Role.CANDIDATE, 2 * SECOND) == InForce(2.0 * 2.0, 0.5, 1 - 0.5 * 0.8)
    assert in_force(faults, Role.SHADOW, 4 * SECOND) == InForce(3.0 * 2.0, 0.0, 1 - 0.5 * 0.8)
    assert in_force(faults, Role.STABLE, 2 * SECOND) == in_force(faults, Role.BASELINE, 0) == InForce(2.0)


def test_strengths_are_sent_at_least_four_times_a_second_while_they_grow() -> None:
    growing = [fault(Errors(1.0), at_ns=SECOND, ramp_ns=3 * SECOND, until_ns=10 * SECOND)]
    at, times = 0, []
    while (due := next_change_ns(growing, at)) is not None:
        times.append(due)
        at = due
    assert (times[0], times[-1]) == (SECOND, 10 * SECOND)
    inside = [time for time in times if time <= 4 * SECOND]
    assert inside[-1] == 4 * SECOND
    assert max(b - a for a, b in pairwise(inside)) <= SECOND // 4


def test_what_begins_and_ends_is_told_once_however_time_is_cut() -> None:
    faults = (
        fault(Errors(1.0), at_ns=0, until_ns=3), fault(Lost(0.1), at_ns=2), fault(Shift("x", 1.0), at_ns=5),
        fault(StaleTraining(0.1)),
    )  # fmt: skip
    whole = sorted(notice.kind for notice in told(faults, -1, 10))
    parts = sorted(notice.kind for at in range(-1, 10) for notice in told(faults, at, at + 1))
    assert whole == parts == ["fault_began", "fault_began", "fault_ended", "fault_missed"]


def test_what_befell_a_model_goes_where_it_goes() -> None:
    faults = (fault(Errors(0.1), CANDIDATE), fault(Errors(0.2), STABLE), fault(Errors(0.3), BOTH))
    adopted = {(f.effect, f.on) for f in inherited(faults, adopt=True)}
    assert adopted == {(Errors(0.1), STABLE), (Errors(0.3), BOTH)}
    assert {f.effect for f in inherited(faults, adopt=False)} == {Errors(0.2), Errors(0.3)}


def test_an_adopted_replica_belongs_to_the_arm_whose_model_it_has(tmp_path: Path) -> None:
    first, second = (file_of(model, of(), tmp_path) for model in MODELS[:2])
    arms = [(Role.STABLE, first), (Role.CANDIDATE, second)]
    assert match(second.digest, "stable", arms) is Role.CANDIDATE  # killed between two notes of an adoption
    assert match("sha256:of nobody", "stable", arms) is None
    twins = [(Role.STABLE, first), (Role.CANDIDATE, first)]
    assert [match(first.digest, arm, twins) for arm in ("stable", "candidate")] == [Role.STABLE, Role.CANDIDATE]


def test_a_fleet_says_what_it_lacks(tmp_path: Path) -> None:
    async def main() -> None:
        lonely = LocalFleet(of())
        for asked in (lonely.observe, lambda: lonely.apply({Role.STABLE: 1}), lambda: lonely.probe(Role.STABLE)):
            with pytest.raises(ServingError, match="not running; `start` them first"):
                await asked()
        with pytest.raises(ServingError, match="call `place` first"):
            await lonely.start({}, 1, Around(lonely, Place(tmp_path, tmp_path, "x")).point)
        await lonely.stop()

    run_real(main)
