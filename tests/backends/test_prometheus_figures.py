"""Our figures against Prometheus' own, over series that were written into its storage before it was started.

`promtool tsdb create-blocks-from openmetrics` fills the storage; the real program answers. PromQL's ``increase`` is the
rise between the samples in the window where these lie at both of its ends; then the two are equal. Elsewhere it
stretches what it saw to the window's ends, and the first sample of a series counts for nothing: the tests say by how
much it differs.
"""

import math
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

import anyio
import numpy as np
import pytest

from harness.backends.prometheus_api import Api, Series
from harness.backends.prometheus_arm import Answers
from harness.backends.prometheus_look import Look, Window
from harness.backends.prometheus_server import ManagedPrometheus
from harness.domain.model import Role
from harness.domain.units import SECOND
from harness.protocols import ArmSample
from harness.realtime import Place
from harness.seeds import stream
from harness.stats.histogram import Histogram
from tests.backends.prometheus_bench import scenario
from tests.requires import program

T0 = 1_700_000_000
"""Seconds since 1970; all series begin here."""
EVERY_S, SAMPLES = 5, 120
BOUNDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
WALKS = 12
DRAWS = stream(5, "prometheus").generator()

Walk = list[float | None]
"""A sample each `EVERY_S`; None: it was not scraped."""


def walk(number: int) -> Walk:
    """A counter that rises now and then, and begins anew now and then."""
    value, values = float(number), list[float | None]()
    for _ in range(SAMPLES):
        value = 0.0 if DRAWS.random() < 0.05 else value + int(DRAWS.poisson(2))
        values.append(value)
    return values


WALKED = {f"w{number}": walk(number) for number in range(WALKS)}
STEADY: Walk = [float(3 * at) for at in range(SAMPLES)]
GAP: Walk = [None if 40 <= at < 60 else float(at) for at in range(SAMPLES)]
"""A hundred seconds without a scrape."""
LONG_GAP: Walk = [None if 10 <= at < 80 else float(at) for at in range(SAMPLES)]
"""Longer than five minutes: Prometheus would call it stale, and so do we."""
BORN: Walk = [None] * 60 + [float(7 + at) for at in range(60)]
"""A new series of a target that was there before: the first failures of a replica."""
ODD: Mapping[str, Walk] = {
    "nan": [math.nan if at == 50 else float(at) for at in range(SAMPLES)],
    "inf": [math.inf if at == 50 else float(at) for at in range(SAMPLES)],
    "gone": [float(at) if at < 20 else None for at in range(SAMPLES)],
}
LATENCIES = {
    "lognormal": DRAWS.lognormal(math.log(0.06), 0.8, 4000),
    "even": DRAWS.uniform(0, 0.9, 3000),
    "narrow": DRAWS.uniform(0.021, 0.049, 500),
    "beyond": DRAWS.uniform(0.9, 3.0, 700),
    "few": DRAWS.lognormal(math.log(0.1), 1.0, 11),
}


def lines() -> Iterable[str]:
    """All of it in OpenMetrics' text format."""
    yield "# TYPE walk counter"
    walks = {**WALKED, "steady": STEADY, "gap": GAP, **ODD}
    for name, values in walks.items():
        yield from series(f'walk_total{{n="{name}",instance="old:1",job="j"}}', values)
    yield from series('walk_total{n="long_gap",instance="down:1",job="j"}', LONG_GAP)
    yield "# TYPE born counter"
    yield from series('born_total{code="503",instance="old:1",job="j"}', BORN)
    yield "# TYPE stranger counter"
    yield from series('stranger_total{code="200"}', BORN)
    yield "# TYPE up gauge"
    yield from series('up{instance="old:1",job="j"}', [1.0] * SAMPLES)
    yield from series('up{instance="down:1",job="j"}', [0.0 if value is None else 1.0 for value in LONG_GAP])
    for name, values in LATENCIES.items():
        yield f"# TYPE {name}_seconds histogram"
        rising = [*(int((values <= bound).sum()) for bound in BOUNDS), values.size]
        for bound, count in zip([*map(str, BOUNDS), "+Inf"], rising, strict=True):
            yield from series(f'{name}_seconds_bucket{{le="{bound}",instance="old:1",job="j"}}', stepped(count))
        yield from series(f'{name}_seconds_count{{instance="old:1",job="j"}}', stepped(values.size))
        yield from series(f'{name}_seconds_sum{{instance="old:1",job="j"}}', stepped(float(values.sum())))
    yield "# EOF"


def stepped(count: float) -> Walk:
    """All of it at once, in the middle."""
    return [0.0 if at < SAMPLES // 2 else count for at in range(SAMPLES)]


def series(name: str, values: Sequence[float | None]) -> Iterable[str]:
    for at, value in enumerate(values):
        if value is not None:
            word = "NaN" if math.isnan(value) else "+Inf" if math.isinf(value) else repr(value)
            yield f"{name} {word} {T0 + at * EVERY_S}"


@asynccontextmanager
async def filled(folder: Path) -> AsyncIterator[str]:
    """A Prometheus that holds it all; its URL."""
    text = folder / "series.txt"
    text.write_text("\n".join(lines()) + "\n")
    data = folder / "prometheus" / "data"
    data.mkdir(parents=True)
    words = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(text), str(data)]
    await anyio.run_process(words)
    server = ManagedPrometheus(scenario())
    server.place(Place(folder, folder / "state", "run"))
    try:
        await server.start(dict)
        yield server.url
    finally:
        await server.stop()


class Asked:
    """Both: what Prometheus says of a query, and what we make of its samples."""

    def __init__(self, url: str) -> None:
        self.api = Api(url, 30 * SECOND, 2)

    async def prometheus(self, query: str, at_ms: int) -> tuple[Series, ...]:
        async with self.api.session() as session:
            return await self.api.ask(session, query, at_ms)

    async def value(self, query: str, at_ms: int) -> float | None:
        found = await self.prometheus(query, at_ms)
        return found[0].points[-1][1] if found else None

    async def ours(self, start_ms: int, stop_ms: int, **queries: str) -> Answers:
        async with self.api.session() as session:
            look = Look(partial(self.api.ask, session), Window(start_ms, stop_ms), ours=False)
            return (await look.arms({Role.STABLE: queries}))[Role.STABLE]

    async def rise(self, selector: str, start_ms: int, stop_ms: int) -> int:
        return (await self.ours(start_ms, stop_ms, requests=selector)).counts["requests"].total


def ms(sample: float) -> int:
    """The time of a sample."""
    return round((T0 + sample * EVERY_S) * 1000)


def risen(values: Sequence[float | None], first: int, last: int) -> float:
    """The closed form: every step up, and after a reset the value itself."""
    known = [value for value in values[first : last + 1] if value is not None]
    return sum(b - a if b >= a else b for a, b in pairwise(known))


ARRIVED = ArmSample(0, 0, {}, Histogram(), 10, 0, {}, SECOND, {})


@pytest.fixture(scope="module")
def _programs() -> None:
    program("prometheus")
    program("promtool")


@pytest.mark.usefixtures("_programs")
async def test_figures_are_those_of_prometheus(tmp_path: Path) -> None:
    """One story, for one Prometheus."""
    async with filled(tmp_path) as url:
        asked = Asked(url)
        await rises_are_increase_where_samples_lie_at_both_ends(asked)
        await windows_add_up_and_increase_stretches(asked)
        await gaps_and_births(asked)
        await what_is_no_number_is_not_known(asked)
        await percentiles_are_histogram_quantiles(asked)
        await queries_that_prometheus_evaluates_are_taken_as_they_are(asked)


async def rises_are_increase_where_samples_lie_at_both_ends(asked: Asked) -> None:
    for first, last in ((10, 40), (3, 110), (55, 57)):
        span_s = (last - first) * EVERY_S
        theirs = await asked.prometheus(f'increase(walk_total{{n=~"w.*|steady"}}[{span_s}s])', ms(last))
        theirs_by_name = {each.labels["n"]: each.points[-1][1] for each in theirs}
        # Ours are half open: the sample at the first end is what the rise begins at, that at the last one is in it.
        found = await asked.ours(ms(first) + 1, ms(last) + 1, requests='walk_total{n=~"w.*|steady"}')
        ours = {labels["n"]: rise for labels, rise in found.counts["requests"].rises}
        assert len(ours) == WALKS + 1
        assert ours == pytest.approx(theirs_by_name)
        assert ours == {name: risen({**WALKED, "steady": STEADY}[name], first, last) for name in ours}


async def windows_add_up_and_increase_stretches(asked: Asked) -> None:
    cuts = [ms(10) + 1700, ms(14) + 2300, ms(31) + 100, ms(60) + 4900]
    selector = 'walk_total{n="w3"}'
    parts = [await asked.rise(selector, a, b) for a, b in pairwise(cuts)]
    assert sum(parts) == await asked.rise(selector, cuts[0], cuts[-1]) == risen(WALKED["w3"], 10, 60)
    # A counter that rises by 3 each 5 s: 60 s hold twelve steps, which `increase` finds by stretching eleven of them.
    start, stop = ms(20) + 2500, ms(32) + 2500
    theirs = await asked.value('increase(walk_total{n="steady"}[60s])', stop)
    assert await asked.rise('walk_total{n="steady"}', start, stop) == 36
    assert theirs == pytest.approx(33 * 60 / 55)
    # One that does not rise steadily: stretched, it is no whole number, and not what happened.
    theirs = await asked.value(f"increase({selector}[60s])", stop)
    inside = risen(WALKED["w3"], 21, 32)
    assert theirs == pytest.approx(inside * 60 / 55)
    assert await asked.rise(selector, start, stop) == risen(WALKED["w3"], 20, 32)


async def gaps_and_births(asked: Asked) -> None:
    # What happened in a gap is counted at the first scrape after it, and not at all in the gap.
    assert await asked.rise('walk_total{n="gap"}', ms(58) + 1, ms(61) + 1) == 61 - 39
    within = (await asked.ours(ms(45), ms(50), requests='walk_total{n="gap"}')).counts["requests"]
    assert (within.total, within.seen) == (0, False)
    # After more than five minutes nobody knows when it happened: the first sample is where counting begins.
    assert await asked.rise('walk_total{n="long_gap"}', ms(79), ms(82) + 1) == 2
    # A series that a known target did not have before was made by its first event; `increase` does not see that one.
    assert await asked.rise("born_total", ms(55), ms(61) + 1) == 8
    assert await asked.value("increase(born_total[30s])", ms(61)) == pytest.approx(1 * 7.5 / 5)
    # Of one that names no target, nobody knows since when it has counted.
    assert await asked.rise("stranger_total", ms(55), ms(61) + 1) == 1
    # Series that have ended, or never were: nothing is seen, and an arm that got requests has open figures.
    for selector in ('walk_total{n="gone"}', "never_total"):
        answers = await asked.ours(ms(60), ms(70), requests=selector, failed=selector)
        assert not answers.counts["requests"].seen
        figures = answers.over(ARRIVED).figures()
        assert [figures[name] for name in ("requests", "error_rate", "p95", "mean")] == [None] * 4


async def what_is_no_number_is_not_known(asked: Asked) -> None:
    for name in ("nan", "inf"):
        selector = f'walk_total{{n="{name}"}}'
        answers = await asked.ours(ms(45), ms(55), requests='walk_total{n="steady"}', failed=selector)
        assert answers.counts["failed"].spoilt
        assert answers.over(ARRIVED).figures()["error_rate"] is None
        before = await asked.ours(ms(30), ms(45), requests='walk_total{n="steady"}', failed=selector)
        assert not before.counts["failed"].spoilt


async def percentiles_are_histogram_quantiles(asked: Asked) -> None:
    first, last = 50, 70
    for name, values in LATENCIES.items():
        answers = await asked.ours(
            ms(first) + 1, ms(last) + 1, requests=f"{name}_seconds_count", failed="never_total",
            latency_buckets=f"{name}_seconds_bucket", latency_sum=f"{name}_seconds_sum",
        )  # fmt: skip
        arm = answers.over(ARRIVED)
        assert (arm.requests, arm.latency.count) == (values.size, values.size)
        assert arm.figures()["mean"] == pytest.approx(values.mean(), abs=2e-9)
        for quantile in (0.5, 0.9, 0.95, 0.99):
            buckets = f"sum by (le) (increase({name}_seconds_bucket[{(last - first) * EVERY_S}s]))"
            theirs = await asked.value(f"histogram_quantile({quantile}, {buckets})", ms(last))
            ours = arm.latency.quantile(quantile) / SECOND
            assert theirs is not None
            # One rank: the width of its bucket, over those in it. And 0.8 % of our own histograms.
            lower, upper, inside = bucket(values, quantile)
            assert ours == pytest.approx(theirs, rel=0.008, abs=(upper - lower) / inside + 1e-9)
            # The convention's bound: the true quantile lies in the same bucket; beyond the last bound, at or above it.
            truth = float(np.quantile(values, quantile, method="inverted_cdf"))
            assert ours <= BOUNDS[-1] * 1.008
            if truth <= BOUNDS[-1]:
                assert abs(ours - truth) <= upper - lower + 0.008 * ours


def bucket(values: np.ndarray, quantile: float) -> tuple[float, float, int]:
    """The bucket that a quantile lies in: its bounds, and how many fell into it."""
    truth = np.quantile(values, quantile, method="inverted_cdf")
    at = int(np.searchsorted(BOUNDS, truth))
    lower, upper = (0.0, *BOUNDS)[at], (*BOUNDS, BOUNDS[-1])[at]
    inside = ((values > lower) & (values <= upper)).sum() if at < len(BOUNDS) else values.size
    return lower, upper, int(inside)


async def queries_that_prometheus_evaluates_are_taken_as_they_are(asked: Asked) -> None:
    window = "[100s]"
    rate = f"histogram_quantile(0.95, sum by (le) (rate(even_seconds_bucket{window})))"
    answers = await asked.ours(
        ms(50) + 1, ms(70) + 1, requests=f"sum(increase(even_seconds_count{window}))",
        failed=f'sum(increase(walk_total{{n="steady"}}{window}))', p95=rate, mean="sum(never_total)",
    )  # fmt: skip
    theirs = await asked.value(rate, ms(70))
    figures = answers.over(ARRIVED).figures()
    assert figures["requests"] == 3000
    assert figures["error_rate"] == pytest.approx(60 / 3000)
    assert figures["p95"] == theirs
    assert figures["mean"] is None
