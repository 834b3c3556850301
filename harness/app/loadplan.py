"""A load test's plan from what a command line, or a scenario, asks for; and what must be found out before it begins."""

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from harness import clock
from harness.analysis.grammar import RuleError, parse
from harness.analysis.vocabulary import Scope, Standing
from harness.app.loadpace import check_ceiling, pace_of
from harness.app.loadwanted import Wanted, span
from harness.domain.analysis import Rule
from harness.domain.load import (
    AnswerChecks,
    ClosedLoop,
    Limits,
    LoadPlan,
    OpenLoop,
    Payload,
    Speech,
    Target,
    Transport,
)
from harness.errors import InputError
from harness.load import consent
from harness.load.headers import headers_of

WORKERS_PER_CORE: Final = 4
"""More generators than that on one machine only take its cores from each other."""


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
