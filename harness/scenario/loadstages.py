"""From a checked load test of a scenario file to its plan."""

from typing import Final

from harness.domain.lifecycle import LoadStagePlan
from harness.domain.load import ClosedLoop, OpenLoop, Speech
from harness.domain.traffic import Knots, Process, Trace, Traffic
from harness.domain.units import SECOND
from harness.scenario.inputs import given
from harness.scenario.loadtest import TRACE, LoadInput, Spread, Thinking

DURATION_NS: Final = 30 * SECOND
"""Of a test that nothing says the length of."""


def load_of(load: LoadInput) -> LoadStagePlan:
    """The load test that a section describes."""
    natural = load.stages[-1].at - load.warmup if load.stages else DURATION_NS
    return LoadStagePlan(
        pace=_pace(load),
        duration_ns=natural if load.duration is None else load.duration,
        warmup_ns=load.warmup,
        slos=tuple(load.slo),
        min_grade=load.min_grade,
        replicas=load.replicas,
        url=load.url,
        speech=Speech(load.protocol),
        model=load.model,
        payload=load.payload,
    )


def _pace(load: LoadInput) -> OpenLoop | ClosedLoop:
    if load.users is not None:
        think = load.think or Thinking(0, drawn=False)
        return ClosedLoop(load.users, think.mean_ns, think.drawn)
    spread = load.arrivals or Spread(Process.POISSON.value, Process.POISSON.value)
    if spread.word == TRACE:
        recording = Trace(spread.path, rate=load.rate)
        return OpenLoop(Traffic(TRACE, Process.POISSON, recording, users=0), spread.text, load.rate)
    if load.stages:
        curve = Knots(tuple(point.at for point in load.stages), tuple(point.rate for point in load.stages))
    else:
        curve = Knots((0,), (given(load.rate),))
    process = Process(spread.word)
    return OpenLoop(Traffic(spread.word, process, curve, users=0, variation=spread.variation), spread.text, load.rate)
