"""Shares of traffic as an HTTPRoute of the Gateway API (gateway.networking.k8s.io/v1)."""

from collections.abc import Sequence
from typing import Any, Final

from harness.domain.model import SERVING, Role
from harness.domain.rollout import HeaderRoute, Routing, Weights
from harness.domain.scenario import Scenario
from harness.manifests.common import Manifest, labels, model_name, service_name, thing

API: Final = "gateway.networking.k8s.io/v1"
MOST_ROUTES: Final = 15
"""An HTTPRoute has at most 16 rules, and one of them is for everybody else."""

EVERYTHING: Final = {"path": {"type": "PathPrefix", "value": "/"}}
"""The match that a rule has by default."""


def http_route(scenario: Scenario, routing: Routing, *, namespace: str | None = None) -> Manifest:
    """Who gets what share, in 1/10,000, and who is sent to the candidate by a header.

    Arms with no share are named with weight 0: a gateway takes them as known. Stickiness is none of this API's
    standard fields, and copies (RequestMirror) leave no trace of what they met: neither is written here.
    """
    plan = scenario.real.kubernetes
    hosts: dict[str, Any] = {"hostnames": [plan.hostname]} if plan.hostname else {}
    return thing(
        API, "HTTPRoute", model_name(scenario),
        namespace=namespace or plan.namespace,
        labels=labels(scenario),
        spec={
            "parentRefs": [{"name": plan.gateway}],
            **hosts,
            "rules": [*_by_header(scenario, routing.routes), {"backendRefs": backends(scenario, routing.weights)}],
        },
    )  # fmt: skip


def backends(scenario: Scenario, weights: Weights) -> list[dict[str, Any]]:
    """The arms of the last rule: stable and the candidate always, others where they get something."""
    named = [role for role in SERVING if role in weights or role is not Role.BASELINE]
    return [_backend(scenario, role, weights.get(role, 0)) for role in named]


def weights_of(scenario: Scenario, route: Manifest) -> Weights:
    """The shares that an HTTPRoute of ours has in force, in its own units (which need not sum to 10,000).

    The rule for everybody else is the one that matches all (where a rule says nothing an API server writes a path of
    ``/``); where none is there, nobody has a share.
    """
    roles = {service_name(scenario, role): role for role in SERVING}
    rules = [rule for rule in route.get("spec", {}).get("rules", []) if _takes_all(rule)]
    refs = rules[-1].get("backendRefs", []) if rules else []
    return {roles[ref["name"]]: ref.get("weight", 1) for ref in refs if ref["name"] in roles}


def _takes_all(rule: Manifest) -> bool:
    matches: list[Manifest] = rule.get("matches") or [{}]
    return all(match in ({}, EVERYTHING) for match in matches)


def _backend(scenario: Scenario, role: Role, weight: int) -> dict[str, Any]:
    return {"name": service_name(scenario, role), "port": scenario.real.kubernetes.port, "weight": weight}


def _by_header(scenario: Scenario, routes: Sequence[HeaderRoute]) -> list[dict[str, Any]]:
    return [
        {
            "matches": [{"headers": [{"type": "Exact", "name": route.header, "value": route.value}]}],
            "backendRefs": [_backend(scenario, Role.CANDIDATE, 1)],
        }
        for route in routes
    ]
