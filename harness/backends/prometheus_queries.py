"""What is asked of Prometheus, for each arm: by default what our servers count, else queries of the user's.

A query that is a bare selector (``http_requests_total{arm="$arm"}``) names counters: they are counted sample by sample
(`prometheus_series`). Any other is PromQL that Prometheus evaluates at the window's end, and its answer is the figure.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from harness.analysis.conditions import metrics_of
from harness.analysis.vocabulary import METRICS, Kind
from harness.domain.model import Role
from harness.domain.scenario import Scenario
from harness.domain.units import MILLISECOND
from harness.errors import InputError
from harness.exporters.promql import DURATION, REQUESTS, duration, quoted

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

_SELECTOR: Final = re.compile(r"\s*[a-zA-Z_:][a-zA-Z0-9_:]*\s*(\{[^}]*\})?\s*|\s*\{[^}]*\}\s*")
_NAMED: Final = re.compile(r"\$(?:\{(window|arm|labels)\}|(window|arm|labels)\b)")


def bare(query: str) -> bool:
    """Whether a query is a selector and no more.

    >>> bare('x_total{arm="$arm"}'), bare('sum(increase(x_total[$window]))'), bare("x_total offset 5m")
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
        InputError: one answers what there is no word for, or requests are counted without the failed ones.
    """
    plan = scenario.real.prometheus
    own = dict(plan.queries)
    for name in own:
        if name not in COUNTS and (name not in METRICS or METRICS[name].kind in {Kind.RUN, Kind.LOAD, Kind.STREAM}):
            raise InputError(
                f"real.prometheus.queries.{name}: a query answers one of {', '.join(COUNTS)}, or a metric that a rule "
                "of an analysis may name"
            )
    if not any(name in COUNTS for name in own):
        ours = ROUTER if scenario.backends.router == "builtin" and not plan.labels else DEFAULT
        return {**ours, **own}
    if absent := [name for name in ("requests", "failed") if name not in own]:
        raise InputError(
            f"real.prometheus.queries.{absent[0]} is missing: whoever counts by queries of their own says both how "
            "many requests there were and how many failed"
        )
    if "latency_buckets" in own and "latency_buckets_ms" in own:
        raise InputError("real.prometheus.queries: latency_buckets and latency_buckets_ms are the same in two units")
    return own


def check_rules(scenario: Scenario, queries: Mapping[str, str]) -> None:
    """Refuse rules about latencies that no query answers: they would never be judged.

    Raises:
        InputError: there is one.
    """
    if any(name.startswith("latency_buckets") for name in queries):
        return
    for metric in _judged(scenario):
        if METRICS[metric].kind is Kind.LATENCY and metric not in queries:
            raise InputError(
                f"a rule speaks of {metric}, and real.prometheus.queries has no latency_buckets, nor {metric} itself"
            )


def _judged(scenario: Scenario) -> Iterable[str]:
    policy = scenario.rollout.analysis
    for rule in policy.rules if policy else ():
        yield from metrics_of(rule.condition)
