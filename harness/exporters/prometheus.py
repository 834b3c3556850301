"""A scrape configuration and alerting rules as Prometheus reads them, from the rules of a scenario.

A policy becomes a group of rules that Prometheus evaluates as often as the policy looks. Figures of its window are
recorded for every role, and an alert compares them. Where a rollout ends on *more than* ``failure_limit`` failed looks,
an alert fires when as many have failed in a row (``for``): Prometheus has no count of the rest.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from harness.analysis.conditions import metrics_of
from harness.analysis.vocabulary import METRICS, QUALITY, Better, Kind
from harness.domain.analysis import AnalysisPolicy, Rule, Unit
from harness.domain.lifecycle import Monitor, OnAlarm
from harness.domain.units import SECOND
from harness.errors import InputError
from harness.exporters.promql import LABELS, Watch, answered, duration, figure, recorded, violation

ALERTS_FILE: Final = "alerts.yml"
TARGETS_FILE: Final = "targets.json"
"""Where Prometheus looks for targets that are not known yet (file_sd)."""
USUAL_SCRAPE_NS: Final = 15 * SECOND
SAMPLES: Final = 4
"""A window holds at least so many scrapes, so that a rate can be taken over it even where one fails."""
SEVERITY: Final = {OnAlarm.ROLLBACK: "critical", OnAlarm.RETRAIN: "warning", OnAlarm.NOTIFY: "info"}

Policies = Sequence[Monitor]
Endpoints = Mapping[str, Sequence[str]]
"""URLs (or HOST:PORT) by role."""


@dataclass(frozen=True, slots=True)
class Watched:
    """Who is watched in production, and what its rules compare it with."""

    role: str = "stable"
    against: str = "previous"
    """The role that a rule means by ``stable``."""
    baselines: Mapping[str, float] = field(default_factory=dict)
    """Figures, in base units, that stand for it where they are known: it may have been taken down."""


CANARY: Final = Watched("candidate", "stable")
"""A candidate beside stable."""


def policies(analysis: AnalysisPolicy | None, monitors: Sequence[Monitor]) -> tuple[Monitor, ...]:
    """All that a scenario watches by: the rollout's own analysis, and the monitors after the promotion."""
    return (*([Monitor("rollout", analysis)] if analysis else []), *monitors)


def scrape_config(model: str, endpoints: Endpoints, every: Policies) -> str:
    """A configuration of Prometheus that scrapes a model's endpoints; the alerts lie beside it.

    Args:
        model: its name.
        endpoints: of each role; empty: they are read from `TARGETS_FILE`, beside the configuration.
        every: the policies, whose windows say how often is often enough.

    Raises:
        InputError: an endpoint is no address, or holds a password.
    """
    window_ns = min((monitor.policy.window_ns for monitor in every), default=SAMPLES * USUAL_SCRAPE_NS)
    interval = duration(max(min(USUAL_SCRAPE_NS, window_ns // SAMPLES // SECOND * SECOND), SECOND))
    jobs = [
        {"job_name": _job(model, scheme), "scheme": scheme, "metrics_path": "/metrics", "static_configs": targets}
        for scheme, targets in _targets(model, endpoints).items()
    ]
    if not jobs:
        jobs = [{"job_name": model, "metrics_path": "/metrics", "file_sd_configs": [{"files": [TARGETS_FILE]}]}]
    return _yaml({"global": {"scrape_interval": interval}, "rule_files": [ALERTS_FILE], "scrape_configs": jobs})


def alert_rules(model: str, every: Policies, watched: Watched = CANARY) -> str:
    """Recording and alerting rules for the policies of a model.

    Args:
        model: its name.
        every: the policies.
        watched: who is watched.
    """
    return _yaml({"groups": [_group(model, monitor, watched) for monitor in every if monitor.policy.rules]})


def alerts(every: Policies) -> tuple[str, ...]:
    """The rules that alert, as a scenario writes them."""
    return tuple(rule.text for monitor in every for rule in monitor.policy.rules)


def _group(model: str, monitor: Monitor, watched: Watched) -> dict[str, Any]:
    policy = monitor.policy
    labels = {"model": model, "policy": monitor.name}
    watch = Watch(
        labels, duration(policy.window_ns), watched.role, watched.against, watched.baselines, policy.min_requests
    )
    rules = [*_recordings(model, monitor, watch.window)]
    rules += [_alert(model, monitor, rule, watch) for rule in policy.rules]
    return {"name": f"{model}/{monitor.name}", "interval": duration(policy.every_ns), "rules": rules}


def _recordings(model: str, monitor: Monitor, window: str) -> Iterator[dict[str, Any]]:
    conditions = [rule.condition for rule in monitor.policy.rules]
    metrics = tuple(dict.fromkeys(metric for condition in conditions for metric in metrics_of(condition)))
    found = {recorded(metric, window): figure(metric, model, window) for metric in metrics}
    kinds = {METRICS[metric].kind for metric in metrics}
    if kinds - QUALITY - {Kind.GAUGE}:
        found[recorded("requests", window)] = answered(model, window)
    if kinds & QUALITY:
        found[recorded("labels", window)] = answered(model, window, LABELS)
    for name, expression in found.items():
        yield {"record": name, "expr": expression, "labels": {"policy": monitor.name}}


def _alert(model: str, monitor: Monitor, rule: Rule, watch: Watch) -> dict[str, Any]:
    policy, metric = monitor.policy, METRICS[metrics_of(rule.condition)[0]]
    subject = f"{model} ({watch.role})"
    template = {Unit.SHARE: "humanizePercentage", Unit.SECONDS: "humanizeDuration"}.get(metric.unit, "humanize")
    return {
        "alert": _camel(monitor.name) + _camel(metric.name) + _way(metric.better),
        "expr": violation(rule.condition, watch),
        "for": duration(policy.failure_limit * policy.every_ns),
        "labels": {
            "severity": SEVERITY[monitor.on_alarm],
            "action": monitor.on_alarm.value,
            "policy": _literal(monitor.name),  # labels of alerts are templates too
            "rule": _literal(rule.text),
        },
        "annotations": {
            "summary": _literal(f"{subject}: {rule.text} does not hold"),
            "description": f"{_literal(metric.about)} of {_literal(subject)} is {{{{ $value | {template} }}}} over "
            f"{watch.window}; the policy {_literal(monitor.name)} wants {_literal(rule.text)}, and its alarm leads to "
            f"{monitor.on_alarm.value}",
        },
    }


def _literal(text: str) -> str:
    """A text that Prometheus's templates leave as it is.

    >>> _literal("a {{ b")
    'a {{"{{"}} b'
    """
    return text.replace("{{", '{{"{{"}}')


def _way(better: Better) -> str:
    return {Better.LOWER: "TooHigh", Better.HIGHER: "TooLow", Better.NEITHER: "OutOfBounds"}[better]


def _camel(text: str) -> str:
    """Words in one, as alerts are called.

    >>> _camel("error_rate"), _camel("after promotion")
    ('ErrorRate', 'AfterPromotion')
    """
    words = "".join(letter if letter.isalnum() and letter.isascii() else " " for letter in text).split()
    return "".join(word[0].upper() + word[1:] for word in words)


def _job(model: str, scheme: str) -> str:
    return model if scheme == "http" else f"{model}-{scheme}"


def _targets(model: str, endpoints: Endpoints) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for role, urls in endpoints.items():
        for url in urls:
            scheme, target = _address(url)
            of_scheme = found.setdefault(scheme, [])
            labels = {"model": model, "role": role}
            known = next((group for group in of_scheme if group["labels"] == labels), None)
            if known is None:
                of_scheme.append({"targets": [target], "labels": labels})
            elif target not in known["targets"]:
                known["targets"].append(target)
    return found


def _address(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"the endpoint {url!r} is no address: {error}; write http://HOST:PORT") from error
    if parts.username or parts.password:
        raise InputError(
            "an endpoint holds a user or a password, which a scrape configuration would show; leave it out"
        )
    if parts.scheme not in {"http", "https"} or not host:
        raise InputError(f"the endpoint {url!r} is no address; write http://HOST:PORT")
    host = f"[{host}]" if ":" in host else host
    return parts.scheme, f"{host}:{port or (443 if parts.scheme == 'https' else 80)}"


def _yaml(value: Any) -> str:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 10_000
    yaml.default_flow_style = False
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = io.StringIO()
    yaml.dump(value, out)
    return out.getvalue()


__all__ = [
    "ALERTS_FILE",
    "CANARY",
    "TARGETS_FILE",
    "Watched",
    "alert_rules",
    "alerts",
    "policies",
    "scrape_config",
]
