"""When a load test sends its requests: from what is asked for to an open or a closed loop, and how much is too much."""

import math
from itertools import pairwise
from typing import Final

from harness import arrivals
from harness.app.loadwanted import Wanted, per_second, span
from harness.domain.load import ClosedLoop, OpenLoop
from harness.domain.traffic import Knots, Process, Trace, Traffic
from harness.domain.units import SECOND, duration_text
from harness.errors import InputError

CEILING_PER_S: Final = 100.0
"""The highest rate at a target that is not on loopback, until --max-rate raises it."""
MOST_USERS: Final = 100_000


def pace_of(wanted: Wanted) -> tuple[OpenLoop | ClosedLoop, int, int]:
    """When requests are sent, and how long the measured time and the warm-up are, ns."""
    warmup = span(wanted.warmup, "--warmup", least=0)
    if wanted.users is not None:
        return _closed(wanted), span(wanted.duration or "30s", "--duration"), warmup
    traffic, rate = _traffic(wanted)
    shape = traffic.curve
    natural: int | None = None
    if wanted.stages and isinstance(shape, Knots):
        natural = shape.at_ns[-1]
    if isinstance(shape, Trace):
        from harness.arrivals.replay import length_ns

        natural = length_ns(shape)
    if wanted.duration is None and natural is not None:
        if natural <= warmup:
            raise InputError(
                f"--warmup {wanted.warmup} leaves nothing of {duration_text(natural)} to measure; shorten it"
            )
        duration = natural - warmup
    else:
        duration = span(wanted.duration or "30s", "--duration")
    arrivals.of(traffic)  # a recording that cannot be used is told here
    return OpenLoop(traffic, wanted.arrivals, rate), duration, warmup


def _closed(wanted: Wanted) -> ClosedLoop:
    if wanted.rate or wanted.stages:
        raise InputError("--users is a closed loop and --rate (or --stages) an open one; give one of them")
    if wanted.arrivals != "poisson":
        raise InputError("--arrivals is of an open loop; users of a closed one come when they were answered")
    word, _, mean = wanted.think.rpartition(":")
    if word not in {"", "constant", "exponential"}:
        raise InputError(f"--think is {wanted.think}; it is a duration, or exponential:MEAN, such as exponential:2s")
    users = wanted.users or 0
    if not 1 <= users <= MOST_USERS:
        raise InputError(f"--users is {users}; it is from 1 to {MOST_USERS:,}")
    return ClosedLoop(users, span(mean, "--think", least=0), word == "exponential")


def _traffic(wanted: Wanted) -> tuple[Traffic, float | None]:
    word, _, detail = wanted.arrivals.partition(":")
    rate = per_second(wanted.rate, "--rate") if wanted.rate else None
    if word == "trace":
        if not detail or wanted.stages:
            raise InputError("--arrivals trace:FILE replays a recording; it takes no --stages")
        return Traffic("trace", Process.POISSON, Trace(detail, rate=rate)), rate
    if word not in {"constant", "poisson", "gamma"} or (detail and word != "gamma"):
        raise InputError(
            f"--arrivals is {wanted.arrivals}; it is constant, poisson, gamma:CV (such as gamma:2) or trace:FILE"
        )
    if rate is not None and wanted.stages is not None:
        raise InputError("--rate is one rate for the whole test, and --stages rates that change; give one of them")
    if wanted.think != "0s":
        raise InputError(
            "--think is of a closed loop, whose users wait for answers; give --users with it, or leave it out"
        )
    if rate is None and wanted.stages is None:
        raise InputError(
            "say how often to ask: --rate 500/s (open loop), --stages 0s:10/s,30s:500/s, or --users 64 (closed loop)"
        )
    knots = Knots((0,), (rate,)) if rate is not None else stages_of(wanted.stages or "")
    variation = 1.0
    if word == "gamma":
        try:
            variation = float(detail)
        except ValueError:
            raise InputError(
                f"--arrivals is {wanted.arrivals}; gamma takes its gaps' variation, such as gamma:2"
            ) from None
    return Traffic(word, Process(word), knots, users=0, variation=variation), rate


def stages_of(text: str) -> Knots:
    """A curve of rates: ``0s:10/s,30s:500/s`` runs straight from one to the next.

    Raises:
        InputError: it is none.
    """
    at, rates = [], []
    for part in text.split(","):
        when, colon, rate = part.strip().partition(":")
        if not colon:
            raise InputError(f"--stages: {part.strip()!r} is no stage; one is TIME:RATE, such as 30s:500/s")
        at.append(span(when, "--stages", least=0))
        rates.append(per_second(rate, "--stages", least=0.0))
    if at[0] != 0 or any(later < earlier for earlier, later in pairwise(at)) or not at[-1]:
        raise InputError(f"--stages is {text}; times begin at 0s and rise, such as 0s:10/s,30s:500/s")
    return Knots(tuple(at), tuple(rates))


def check_ceiling(pace: OpenLoop | ClosedLoop, ends_ns: int, max_rate: str | None) -> None:
    """Refuse more than a stranger's endpoint should be asked without a second thought."""
    most = math.inf if max_rate == "none" else per_second(max_rate, "--max-rate") if max_rate else CEILING_PER_S
    if isinstance(pace, ClosedLoop):
        peak = pace.users * SECOND / pace.think_ns if pace.think_ns else math.inf
    else:
        edges = [ends_ns * at // 1000 for at in range(1001)]
        counts = arrivals.of(pace.traffic).curve.expected(edges).tolist()
        peak = max((counts[at + 1] - counts[at]) * SECOND / max(edges[at + 1] - edges[at], 1) for at in range(1000))
    if peak > most * 1.0001:
        asked = "without --think, has no bound of its own" if math.isinf(peak) else f"asks up to {peak:,.6g}/s"
        raise InputError(
            f"a target that is not on loopback is asked at most {most:g}/s, and this test {asked}; "
            "raise the ceiling with --max-rate 500/s (or none), if those who run it agree"
        )
