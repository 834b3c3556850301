"""A load test's plan from what a command line, or a scenario, asks for; and what must be found out before it begins."""

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

from harness import arrivals, clock
from harness.analysis.grammar import RuleError, parse
from harness.analysis.vocabulary import Scope, Standing
from harness.domain.analysis import Rule
from harness.domain.load import (
    AnswerChecks,
    ClosedLoop,
    Limits,
    LoadPlan,
    OpenLoop,
    Order,
    Payload,
    Speech,
    Target,
    Transport,
)
from harness.domain.quantity import duration_ns, rate_per_s, share
from harness.domain.traffic import Knots, Process, Trace, Traffic
from harness.domain.units import SECOND, duration_text
from harness.errors import InputError
from harness.load import consent
from harness.load.headers import headers_of

CEILING_PER_S: Final = 100.0
"""The highest rate at a target that is not on loopback, until --max-rate raises it."""
MOST_USERS: Final = 100_000
WORKERS_PER_CORE: Final = 4
"""More generators than that on one machine only take its cores from each other."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for, as it was written; the names are those of the flags."""

    urls: tuple[str, ...]
    weights: tuple[float, ...] = ()
    """Of the targets; empty: all alike."""
    rate: str | None = None
    users: int | None = None
    think: str = "0s"
    arrivals: str = "poisson"
    stages: str | None = None
    duration: str | None = None
    warmup: str = "0s"
    protocol: str = "json"
    model: str | None = None
    method: str = "POST"
    payload: str | None = None
    order: Order = Order.DRAWN
    rows: int = 1
    """Rows that make one request."""
    drop: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    token_env: str | None = None
    token_file: str | None = None
    timeout: str = "10s"
    connect_timeout: str = "5s"
    deadline: str | None = None
    max_connections: int = 512
    max_in_flight: int | None = None
    max_body: int = 64 * 1024 * 1024
    slos: tuple[str, ...] = ()
    min_grade: str | None = None
    abort_when: tuple[str, ...] = ()
    statuses: str | None = None
    content_type: str | None = None
    schema: str | None = None
    """A file that holds the JSON Schema of answers."""
    conditions: tuple[str, ...] = ()
    golden: str | None = None
    client: str = "fast"
    ca_file: str | None = None
    insecure: bool = False
    proxy: str | None = None
    cookies: bool = False
    compressed: bool = False
    stream: bool = False
    request_ids: bool = False
    keep_alive: bool = True
    seed: int = 1
    yes: bool = False
    allow_targets: tuple[str, ...] = ()
    max_rate: str | None = None
    wait_ready: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A plan that can be run."""

    plan: LoadPlan
    secrets: tuple[str, ...] = field(default=())
    """Values of headers, to be masked wherever they turn up."""


def prepare(wanted: Wanted, paced: tuple[OpenLoop | ClosedLoop, int, int] | None = None) -> Prepared:
    """Check what is asked for, wait for the targets to be ready, and make the payload.

    Must be called where no event loop runs.

    Args:
        wanted: what is asked for.
        paced: when requests are sent, and how long the measured time and the warm-up are, ns, where it is known already
            (a scenario's); None: as `wanted` says.

    Raises:
        InputError: something asked for is wrong; the message says what to change.
        BackendError: a target was not ready in time, or gave no answer.
    """
    from harness.app.loadready import found_out

    speech = Speech(wanted.protocol)
    for url in wanted.urls:
        _check_scheme(url)
    local = [consent.check_target(url, wanted.allow_targets, wanted.yes) for url in wanted.urls]
    proxy_secrets = _check_proxy(wanted, local)
    pace, duration, warmup = paced or pace_of(wanted)
    if not all(local):
        check_ceiling(pace, warmup + duration, wanted.max_rate)
    headers = headers_of(wanted.headers, wanted.token_env, wanted.token_file)
    transport = _transport(wanted, headers)
    plan = LoadPlan(
        targets=targets_of(wanted, speech),
        pace=pace,
        payload=Payload((b"",)),
        duration_ns=duration,
        warmup_ns=warmup,
        seed=wanted.seed,
        speech=speech,
        limits=_limits(wanted),
        transport=transport,
        slos=rules(wanted.slos, "--slo", streamed=wanted.stream),
        min_grade=wanted.min_grade,
        abort_when=rules(wanted.abort_when, "--abort-when", streamed=False),
    )
    payload = clock.run_real(found_out, wanted, speech, transport)
    plan = replace(plan, payload=payload, checks=_checks(wanted, payload))
    if plan.checks.reads_body or plan.checks.content_type:
        from harness.load.checks import Checker

        Checker(plan.checks, speech)  # what is wrong with them is told here, and not by each generator
    return Prepared(plan, (*(value for _, value in headers), *proxy_secrets))


def _check_scheme(url: str) -> None:
    if "://" not in url:
        written = consent.shown(f"http://{url}")
        raise InputError(
            f"{written.removeprefix('http://')} has no scheme; write {written}, or https://… where it speaks TLS"
        )


def _check_proxy(wanted: Wanted, local: list[bool]) -> tuple[str, ...]:
    """Whether the requests may go through the proxy; its password, if it has one.

    Args:
        wanted: what is asked for.
        local: whether each server that is asked is on this machine; the proxy is added.
    """
    if not wanted.proxy:
        return ()
    who, at, place = wanted.proxy.rpartition("@")
    scheme, colon, secret = who.partition("://")
    url = f"{scheme}://{place}" if at else wanted.proxy
    if (at and not colon) or not url.startswith("http://"):
        raise InputError("--proxy: a proxy is http://[USER:PASSWORD@]HOST:PORT, such as http://127.0.0.1:3128")
    try:
        local.append(consent.check_target(url, wanted.allow_targets, wanted.yes))
    except InputError as error:
        raise InputError(f"--proxy: {error}") from None
    return tuple(part for part in (secret, secret.partition(":")[2]) if part)


def check_workers(workers: int, engine: str, scheduler: str | None) -> None:
    """Whether this machine is to have so many generators; those of other machines are as many as there are.

    Raises:
        InputError: they are more than 4 for each core.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    most = WORKERS_PER_CORE * cores
    if workers > most and (engine != "dask" or scheduler is None):
        raise InputError(
            f"--workers is {workers}; on this machine of {cores} cores it is at most {most}, since a busy generator "
            f"fills a core: choose fewer, or run them on several machines (--engine dask --scheduler tcp://HOST:8786)"
        )


def targets_of(wanted: Wanted, speech: Speech) -> tuple[Target, ...]:
    """Whom it asks, with their parts of the requests."""
    from harness.load.speech import predict_url

    weights = wanted.weights or (1.0,) * len(wanted.urls)
    if len(weights) != len(wanted.urls):
        raise InputError(
            f"--weights has {len(weights)} parts for {len(wanted.urls)} URLs; give one for each, such as 3,1"
        )
    if any(not 0 < weight < math.inf for weight in weights):
        raise InputError("--weights: each part is a number above 0, such as 3,1")
    urls = [predict_url(url, speech, wanted.model) for url in wanted.urls]
    names = [consent.shown(url) for url in urls]
    if len(set(names)) < len(names):
        names = [f"{name} #{at + 1}" for at, name in enumerate(names)]
    return tuple(Target(name, url, weight) for name, url, weight in zip(names, urls, weights, strict=True))


# --- when requests are sent -------------------------------------------------------------------------------------------


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


# --- the rest ---------------------------------------------------------------------------------------------------------


def rules(texts: Sequence[str], flag: str, *, streamed: bool) -> tuple[Rule, ...]:
    """SLOs as rules.

    Raises:
        InputError: one is none, or speaks of what a load test does not measure.
    """
    scope = Scope(Standing.LOAD, task=None, streamed=streamed)
    found = []
    for text in texts:
        try:
            found.append(parse(text, scope))
        except RuleError as error:
            raise InputError(f"{flag} '{text}', column {error.offset + 1}: {error.message}") from None
    return tuple(found)


def span(text: str, flag: str, least: int = 1) -> int:
    """Nanoseconds of a duration that a flag gives."""
    try:
        found = duration_ns(text)
    except ValueError as error:
        raise InputError(f"{flag} is {text!r}; {error}") from None
    if found < least:
        raise InputError(f"{flag} is {text}; it must be longer than nothing")
    return found


def per_second(text: str, flag: str, least: float = 1e-6) -> float:
    """The rate that a flag gives, in 1/s."""
    try:
        found = rate_per_s(text)
    except ValueError as error:
        raise InputError(f"{flag} is {text!r}; {error}") from None
    if found < least:
        raise InputError(f"{flag} is {text}; a rate must be above 0/s")
    return found


def share_of(text: str, flag: str) -> float:
    """The share that a flag gives, in 0..1."""
    try:
        return share(text)
    except ValueError as error:
        raise InputError(f"{flag} is {text!r}; {error}") from None


def _limits(wanted: Wanted) -> Limits:
    for flag, value in (
        ("--max-connections", wanted.max_connections),
        ("--max-in-flight", wanted.max_in_flight or 1),
        ("--max-body", wanted.max_body),
    ):
        if value < 1:
            raise InputError(f"{flag} is {value}; it is at least 1")
    return Limits(
        max_connections=wanted.max_connections,
        max_in_flight=wanted.max_in_flight or wanted.max_connections,
        timeout_ns=span(wanted.timeout, "--timeout"),
        connect_timeout_ns=span(wanted.connect_timeout, "--connect-timeout"),
        deadline_ns=span(wanted.deadline, "--deadline") if wanted.deadline else None,
        max_body=wanted.max_body,
    )


def _transport(wanted: Wanted, headers: tuple[tuple[str, str], ...]) -> Transport:
    needs = [
        flag
        for flag, given in (
            ("--proxy", wanted.proxy),
            ("--cookies", wanted.cookies),
            ("--compressed", wanted.compressed),
        )
        if given
    ]
    if needs and wanted.client != "aiohttp":
        raise InputError(f"{' and '.join(needs)} is what the fast client leaves out; add --client aiohttp")
    method = wanted.method.upper()
    if not re.fullmatch("[A-Z]{1,32}", method) or method == "CONNECT":
        raise InputError(
            f"--method is {wanted.method!r}; it is a word of letters that a server knows, such as POST, GET or HEAD"
            + (" (CONNECT opens a tunnel, and asks for nothing)" if method == "CONNECT" else "")
        )
    return Transport(
        client=wanted.client,
        method=method,
        headers=headers,
        ca_file=wanted.ca_file,
        insecure=wanted.insecure,
        proxy=wanted.proxy,
        cookies=wanted.cookies,
        compressed=wanted.compressed,
        stream=wanted.stream,
        request_ids=wanted.request_ids,
        keep_alive=wanted.keep_alive,
    )


def _checks(wanted: Wanted, payload: Payload) -> AnswerChecks:
    from harness.load.golden import load_golden
    from harness.load.rows import read_bytes

    found = AnswerChecks(
        content_type=wanted.content_type,
        conditions=wanted.conditions,
        schema=read_bytes(wanted.schema).decode("utf-8", "replace") if wanted.schema else None,
        golden=load_golden(wanted.golden, payload) if wanted.golden else None,
    )
    return replace(found, statuses=statuses_of(wanted.statuses)) if wanted.statuses else found


def statuses_of(text: str) -> frozenset[int]:
    """Statuses that are successes.

    >>> sorted(statuses_of("200-202,404"))
    [200, 201, 202, 404]
    """
    found: set[int] = set()
    for part in text.split(","):
        low, _, high = part.strip().partition("-")
        try:
            first, last = int(low), int(high or low)
        except ValueError:
            first, last = 0, 0
        if not 200 <= first <= last <= 599:
            raise InputError(f"--status: {part.strip()!r} is no status; write 200, or 200-299, or several with commas")
        found.update(range(first, last + 1))
    return frozenset(found)
