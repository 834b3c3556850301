"""What is asked of Prometheus, for each arm: by default what our servers count, else queries of the user's.

A query that is a bare selector (``http_requests_total{arm="$arm"}``) names counters: they are counted sample by sample
(`prometheus_series`). Any other is PromQL that Prometheus evaluates at the window's end, and its answer is the figure.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from harness.analysis.conditions import metrics_of
from harness.analysis.vocabulary import METRICS, Kind, nearest
from harness.domain.model import Role
from harness.domain.scenario import Scenario
from harness.domain.units import MILLISECOND
from harness.errors import InputError
from harness.exporters.promql import DURATION, REQUESTS, duration, quoted

PLACE: Final = "real.prometheus.queries"
COUNTS: Final = ("requests", "failed", "latency_buckets", "latency_buckets_ms", "latency_sum")
"""What an arm's figures are made of; ``_ms``: with bounds in milliseconds, as Istio has them."""
DEFAULT: Final[Mapping[str, str]] = {
    "requests": f"{REQUESTS}{{$labels}}",
    "failed": f'{REQUESTS}{{outcome="failure", $labels}}',
    "latency_buckets": f"{DURATION}_bucket{{$labels}}",
    "latency_sum": f"{DURATION}_sum{{$labels}}",
}
"""Of the metrics of `harness serve`; which arm a server is of, the scrape configuration says."""
ROUTER: Final[Mapping[str, str]] = {
    "requests": 'harness_router_requests_total{arm="$arm"}',
    "failed": 'harness_router_requests_total{arm="$arm", code="5xx"}',
    "latency_buckets": 'harness_router_request_duration_seconds_bucket{arm="$arm"}',
    "latency_sum": 'harness_router_request_duration_seconds_sum{arm="$arm"}',
}
"""Of the built-in router: it sees what no server can count (one that is dead, one that was given up), and tells copies
of requests from requests."""

_TEXT: Final = r"""\{(?:[^}"'`]|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)*\}"""
_SELECTOR: Final = re.compile(rf"\s*[a-zA-Z_:][a-zA-Z0-9_:]*\s*(?:{_TEXT})?\s*|\s*{_TEXT}\s*")
_NAMED: Final = re.compile(r"\$(?:\{(window|arm|labels)\}|(window|arm|labels)\b)")


def bare(query: str) -> bool:
    """Whether a query is a selector and no more.

    >>> bare('x_total{arm="$arm", path="/{id}"}'), bare('sum(increase(x_total[$window]))'), bare("x_total offset 5m")
    (True, False, False)
    """
    return _SELECTOR.fullmatch(query) is not None


def filled(query: str, arm: Role, labels: Mapping[str, str], window_ns: int) -> str:
    """The query of one arm and window.

    >>> filled('rate(x{$labels}[$window]) or y{a="$arm", b=~".*$"}', Role.STABLE, {"v": "1"}, 1_500_000_000)
    'rate(x{v="1"}[1500ms]) or y{a="stable", b=~".*$"}'
    """
    selector = ", ".join(f"{name}={quoted(value)}" for name, value in labels.items())
    words = {"window": duration(max(window_ns, MILLISECOND)), "arm": arm.value, "labels": selector}
    return _NAMED.sub(lambda found: words[found[1] or found[2]], query)


def queries_of(scenario: Scenario) -> dict[str, str]:
    """The queries of a scenario, by what they answer.

    Raises:
        InputError: one of them is wrong, or a rule is about what none answers.
    """
    for _, wrong in wrong_queries(scenario):
        raise InputError(wrong)
    return _queries(scenario)


def wrong_queries(scenario: Scenario) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong with the queries of a scenario: the key below ``real.prometheus``, and what to change.

    Only what can be seen without asking Prometheus.
    """
    own = scenario.real.prometheus.queries
    for name, query in own.items():
        if told := _wrong(name, query):
            yield ("queries", name), f"{PLACE}.{name} {told}"
    counting = [name for name in own if name in COUNTS]
    for name in ("requests", "failed"):
        if counting and name not in own:
            yield (
                ("queries",),
                f"{PLACE} lacks {name}: whoever counts by queries of their own ({counting[0]}) says both how many "
                "requests there were and how many failed",
            )
    if "latency_buckets" in own and "latency_buckets_ms" in own:
        told = "is latency_buckets in another unit; leave one of them out"
        yield ("queries", "latency_buckets_ms"), f"{PLACE}.latency_buckets_ms {told}"
    for metric in _unanswered(scenario):
        yield (
            ("queries",),
            f"{PLACE} has no latency_buckets, nor {metric}, and a rule speaks of {metric}; it would never be judged",
        )


def counted_by_servers(scenario: Scenario) -> bool:
    """Whether requests are counted by the servers that answer them: what never reached one is not among them."""
    return _queries(scenario).get("requests") == DEFAULT["requests"]


def _queries(scenario: Scenario) -> dict[str, str]:
    own = dict(scenario.real.prometheus.queries)
    if any(name in COUNTS for name in own):
        return own
    ours = ROUTER if scenario.backends.router == "builtin" and not scenario.real.prometheus.labels else DEFAULT
    return {**ours, **own}


def _wrong(name: str, query: str) -> str | None:
    if name not in COUNTS:
        if name in METRICS and METRICS[name].kind not in {Kind.RUN, Kind.LOAD, Kind.STREAM}:
            return None
        told = nearest(name, (*COUNTS, *METRICS))
        meant = f"; did you mean {told}?" if told else ""
        return f"answers nothing: a query is for one of {', '.join(COUNTS)}, or a metric that a rule may name{meant}"
    if bare(query) or "$window" in query or "${window}" in query:
        return None
    return (
        f"is {query!r}, which counts since ever: give the counter alone ({name}_total{{…}}), or its rise over the "
        "window, as in sum(increase(…[$window]))"
    )


def _unanswered(scenario: Scenario) -> Iterator[str]:
    """Latencies that rules speak of, and no query answers."""
    queries = _queries(scenario)
    if any(name.startswith("latency_buckets") for name in queries):
        return
    for metric in dict.fromkeys(_judged(scenario)):
        if METRICS[metric].kind is Kind.LATENCY and metric not in queries:
            yield metric


def _judged(scenario: Scenario) -> Iterable[str]:
    policy = scenario.rollout.analysis
    for rule in policy.rules if policy else ():
        yield from metrics_of(rule.condition)
