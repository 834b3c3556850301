"""When users' requests come: open loop, fixed before any answer is seen.

`curve` holds how the rate changes with time, `paced` stretches a process of rate one along it, and each process has a
file of its own. Adding one is adding a file and a word to PROCESSES. `replay` is what was recorded, one by one.
"""

from collections.abc import Callable, Mapping
from typing import Final

from harness.arrivals import curve, replay
from harness.arrivals.constant import constant
from harness.arrivals.gamma import gamma
from harness.arrivals.paced import Cells, Paced, Places, Reader
from harness.arrivals.poisson import poisson
from harness.domain.traffic import Process, Trace, Traffic

__all__ = ["PROCESSES", "Cells", "Paced", "Reader", "of"]

PROCESSES: Final[Mapping[Process, Callable[[Traffic], Places]]] = {
    Process.CONSTANT: lambda traffic: constant,
    Process.GAMMA: lambda traffic: gamma(traffic.variation),
    Process.POISSON: lambda traffic: poisson,
}


def of(traffic: Traffic) -> Cells:
    """The arrivals of a scenario's traffic; InputError where its curve is none, or its recording cannot be read.

    An InputError it is, too, where a gamma process varies more than one can.

    >>> from harness.domain.traffic import Knots
    >>> from harness.seeds import stream
    >>> steady = of(Traffic("constant", Process.CONSTANT, Knots((0,), (10.0,))))
    >>> (steady.times(0, 300_000_000, stream(7, "arrivals")) // 1_000_000).tolist()
    [50, 150, 250]
    """
    shape = traffic.curve
    if not isinstance(shape, Trace):
        return Paced(curve.of(shape), PROCESSES[traffic.process](traffic))
    if shape.rate is None:
        return replay.replay_of(shape)
    return Paced(replay.fitted(shape), PROCESSES[traffic.process](traffic))
