"""A load test that keeps every request's times beside its histograms, to hold these against them.

`generate` is run as it is; the function that a client tells each request's end is wrapped, and writes it down too.
"""

import functools
import os
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import load_kit
import numpy as np

from harness import clock
from harness.domain.load import ClosedLoop, Limits, LoadPlan, OpenLoop, Payload, Speech, Target, Transport
from harness.domain.traffic import Knots, Process, Traffic
from harness.domain.units import MILLISECOND, SECOND
from harness.load import cluster, crew, worker
from harness.load.client import make_client
from harness.load.generator import Stopper, generate
from harness.load.loops import Share
from harness.load.record import Record

PLACE: Final = "LOAD_SAMPLES"
"""The folder that generators in processes of their own write their samples to; not set: none."""
COLUMNS: Final = ("number", "due_ns", "taken_ns", "sent_ns", "done_ns", "good")
LEAD_NS: Final = 20 * MILLISECOND
_work, _dask_work = worker.work, cluster.work


class Samples:
    """Every request's times, as whole numbers of nanoseconds; a row for each, in the order of their ends."""

    def __init__(self) -> None:
        self._kept = array("q")

    def make(self, plan: LoadPlan, target: Any, address: Any, most: int, done: Any, now: Callable[[], int]) -> Any:
        """A client whose exchanges are written down after the generator was told of them."""
        keep = self._kept.extend

        def both(exchange: Any) -> None:
            # Before it is done: a closed loop uses the exchange again, for its user's next request.
            times = exchange.due_ns, exchange.taken_ns, exchange.sent_ns, exchange.done_ns
            number = exchange.number
            done(exchange)  # which says whether its status was a fault
            keep((number, *times, not exchange.fault))

        return make_client(plan, target, address, most, both, now)

    def rows(self) -> np.ndarray:
        return np.array(self._kept, np.int64).reshape(-1, len(COLUMNS))


def open_plan(url: str, rate_per_s: float, seconds: float, body: bytes, *, arrivals: str = "poisson", seed: int = 1,
              users: int = 512) -> LoadPlan:  # fmt: skip
    """An open loop at a URL as it stands; each request carries its number."""
    traffic = Traffic(arrivals, Process(arrivals), Knots((0,), (rate_per_s,)), users=0)
    return _plan(url, OpenLoop(traffic, arrivals, rate_per_s), seconds, body, seed, users, ids=True)


def closed_plan(url: str, users: int, seconds: float, body: bytes) -> LoadPlan:
    """A closed loop without thinking, one fixed body."""
    return _plan(url, ClosedLoop(users), seconds, body, 1, users, ids=False)


def _plan(url: str, pace: Any, seconds: float, body: bytes, seed: int, connections: int, *, ids: bool) -> LoadPlan:
    return LoadPlan(
        targets=(Target(url, url),),
        pace=pace,
        payload=Payload((body,)),
        duration_ns=round(seconds * SECOND),
        seed=seed,
        speech=Speech.RAW,
        limits=Limits(max_connections=connections, max_in_flight=connections),
        transport=Transport(request_ids=ids),
    )


def run_here(plan: LoadPlan) -> tuple[Record, np.ndarray]:
    """One generator in this process, on the generator's core; its record, and every request's times."""
    samples = Samples()

    async def main() -> Record:
        begin_ns = clock.monotonic_ns() + LEAD_NS
        return await generate(plan, Share(), begin_ns, lambda _: None, Stopper(), make=samples.make)

    with load_kit.kept_to(load_kit.GENERATOR):
        return clock.run_fast(main), samples.rows()


# --- generators in other processes ------------------------------------------------------------------------------------


def work(plan: LoadPlan, share: Share, *pipes: Any) -> None:
    """A local worker's life, with its samples kept."""
    samples = Samples()
    worker.generate = functools.partial(generate, make=samples.make)  # type: ignore[assignment]
    _work(plan, share, *pipes)
    _write(share, samples)


def dask_work(plan: LoadPlan, share: Share, begin_ns: int, topic: str) -> Record:
    """A Dask task, with its samples kept."""
    samples = Samples()
    cluster.generate = functools.partial(generate, make=samples.make)  # type: ignore[assignment]
    try:
        record = _dask_work(plan, share, begin_ns, topic)
    finally:
        cluster.generate = generate
    _write(share, samples)
    return record


def _write(share: Share, samples: Samples) -> None:
    np.save(Path(os.environ[PLACE]) / f"{share.number}.npy", samples.rows())


def run_crew(plan: LoadPlan, workers: int, engine: str, place: Path) -> tuple[Record, list[np.ndarray]]:
    """Several generators as `harness load` runs them; the merged record, and each one's samples."""
    os.environ[PLACE] = str(place)
    crew.work, cluster.work = work, dask_work
    try:
        which = crew.LocalCrew() if engine == "local" else cluster.DaskCrew()
        record = which.run(plan, workers, lambda *_: None, lambda: False, lambda: None)
    finally:
        crew.work, cluster.work = _work, _dask_work
        del os.environ[PLACE]
    files = sorted(place.glob("*.npy"))
    found = [np.load(file) for file in files]
    for file in files:
        file.unlink()
    return record, found
