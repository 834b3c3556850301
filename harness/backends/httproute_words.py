"""What an HTTPRoute of ours says, and what one cannot say: pure functions over its JSON.

    what is wanted     spec.rules: the last one's backendRefs have the weights, the others lead headers to the candidate
    whose it is        annotations: the run and its fencing token (`kubernetes_fence`), the names of routes by header
    whether it stands  status.parents[].conditions Accepted and ResolvedRefs, of the generation that was written

https://gateway-api.sigs.k8s.io/reference/spec/#httproute (v1, standard channel).
"""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from harness.backends.kubernetes_fence import noted
from harness.domain.model import Role
from harness.domain.rollout import HeaderRoute, Routing, Weights
from harness.domain.scenario import Scenario
from harness.domain.units import WHOLE
from harness.errors import RoutingError
from harness.manifests.common import Manifest, service_name
from harness.manifests.routes import MOST_ROUTES, http_route, weights_of
from harness.routing.words import checked

NAMES: Final = "rollout-harness/header-routes"
"""The annotation with the names of the routes by header, for a rule has none: JSON of [name, header, value]."""
NEEDED: Final = ("Accepted", "ResolvedRefs")
NO_BACKEND: Final = "BackendNotFound"


def check(want: Routing) -> Routing:
    """Refuse what the standard channel of the Gateway API cannot do, or does so that nobody could judge it.

    Raises:
        RoutingError: weights are no shares of the whole, a header cannot be one, users are to keep to their arm,
            requests are to be copied, or there are more routes by header than an HTTPRoute has rules.
    """
    checked(want)
    if want.sticky:
        raise RoutingError(
            "an HTTPRoute keeps no user to its arm (sticky): sessionPersistence is in the experimental channel alone; "
            "leave `sticky` out"
        )
    if want.mirror:
        raise RoutingError(
            "an HTTPRoute copies requests (RequestMirror), but nobody learns what the copies met, so that a shadow "
            "could not be judged (mirror); let it serve a small weight instead"
        )
    if len(want.routes) > MOST_ROUTES:
        raise RoutingError(f"an HTTPRoute leads at most {MOST_ROUTES} headers, not {len(want.routes)}: remove some")
    return want


def written(scenario: Scenario, want: Routing, absent: Collection[Role] = ()) -> Manifest:
    """The whole route, as it is applied.

    Args:
        scenario: names it.
        want: what is to be in force.
        absent: arms that have no Service yet; without a share they are left out, so that all references resolve.
    """
    route = http_route(scenario, want)
    left_out = {service_name(scenario, role) for role in absent if not want.weights.get(role)}
    rule = route["spec"]["rules"][-1]
    rule["backendRefs"] = [ref for ref in rule["backendRefs"] if ref["name"] not in left_out]
    names = [[each.name, each.header, each.value] for each in want.routes]
    route["metadata"]["annotations"] = {NAMES: json.dumps(names)}
    return route


def routing_in(scenario: Scenario, route: Manifest) -> Routing | None:
    """What is in force by it, in shares of the whole; None where nobody has a share by it."""
    weights = shares(weights_of(scenario, route))
    if weights is None:
        return None
    return Routing({Role.STABLE: 0, Role.CANDIDATE: 0, **weights}, tuple(_led(scenario, route)))


def shares(weights: Mapping[Role, int]) -> Weights | None:
    """Weights of any sum in 1/10,000, by largest remainder; None where they sum to nothing.

    >>> shares({Role.STABLE: 2, Role.CANDIDATE: 1})
    {<Role.STABLE: 'stable'>: 6667, <Role.CANDIDATE: 'candidate'>: 3333}
    """
    total = sum(weights.values())
    if total <= 0:
        return None
    found = {role: weight * WHOLE // total for role, weight in weights.items()}
    most_left = sorted(weights, key=lambda role: -(weights[role] * WHOLE % total))
    for role in most_left[: WHOLE - sum(found.values())]:
        found[role] += 1
    return found


def _led(scenario: Scenario, route: Manifest) -> Iterator[HeaderRoute]:
    """The routes by header; one that somebody else wrote is called after its header."""
    try:
        names = {(header.lower(), value): name for name, header, value in noted(route, NAMES) or ()}
    except (ValueError, TypeError, AttributeError):
        names = {}  # no list of ours
    candidate = service_name(scenario, Role.CANDIDATE)
    for rule in route["spec"].get("rules", []):
        if [ref["name"] for ref in rule.get("backendRefs", [])] != [candidate]:
            continue
        for match in rule.get("matches", []):
            for header in match.get("headers", [])[:1]:
                key = (header["name"].lower(), header["value"])
                yield HeaderRoute(names.get(key, header["name"]), header["name"], header["value"])


def lacking(scenario: Scenario, route: Manifest, *, resolved: bool = True) -> str:
    """What it lacks to be in force, for people; empty once all its parents say that it is.

    Args:
        scenario: names the Gateway.
        route: as it was read.
        resolved: its Services must be there too.
    """
    gateway, generation = scenario.real.kubernetes.gateway, route["metadata"].get("generation", 0)
    told = [each for each in (route.get("status") or {}).get("parents", []) if each["parentRef"].get("name") == gateway]
    if not told:
        return f"the Gateway {gateway} says nothing of it: there is none of this name, or no controller runs it"
    for parent in told:
        held = {each["type"]: each for each in parent.get("conditions", [])}
        for name in NEEDED:
            found = held.get(name)
            if found is None or found.get("observedGeneration", 0) < generation:
                return f"the Gateway {gateway} ({parent.get('controllerName', 'unknown')}) has not looked at it yet"
            excused = name == "ResolvedRefs" and not resolved and found.get("reason") == NO_BACKEND
            if found["status"] != "True" and not excused:
                return f"{name} is {found['status']}: {found.get('reason', '')} ({found.get('message', '')})"
    return ""
