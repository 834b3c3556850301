"""A routing and its replicas as JSON holds them; what is no routing is refused, and says why."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.domain.model import Role
from harness.domain.rollout import HeaderRoute, Routing
from harness.domain.units import WHOLE
from harness.errors import RoutingError
from harness.routing.words import behind_json, behind_of, checked, routing_json, routing_of


@st.composite
def routings(draw: st.DrawFn) -> Routing:
    edges = sorted(draw(st.tuples(st.integers(0, WHOLE), st.integers(0, WHOLE))))
    weights = {Role.CANDIDATE: edges[0], Role.STABLE: edges[1] - edges[0], Role.BASELINE: WHOLE - edges[1]}
    name = st.from_regex(r"[a-zA-Z0-9-]{1,12}", fullmatch=True)
    routes = draw(st.lists(st.builds(HeaderRoute, st.text(), name, st.text()), max_size=3))
    return Routing(weights, tuple(routes), draw(st.integers(0, WHOLE)), draw(st.booleans()))


@given(routings())
def test_a_routing_comes_back_as_it_was(want: Routing) -> None:
    assert routing_of(json.loads(json.dumps(routing_json(want)))) == want


@pytest.mark.parametrize(
    ("want", "said"),
    [
        (Routing({Role.STABLE: 9000}), "sum to 9000"),
        (Routing({Role.STABLE: 11_000, Role.CANDIDATE: -1000}), "the weight of stable is 11000"),
        (Routing({Role.STABLE: 9999.5, Role.CANDIDATE: 0.5}), "a whole number"),  # type: ignore[dict-item]
        (Routing({Role.STABLE: 5000, Role.SHADOW: 5000}), "mirror sends it copies"),
        (Routing({Role.STABLE: WHOLE}, mirror=WHOLE + 1), "a mirror of 10001"),
        (Routing({Role.STABLE: WHOLE}, (HeaderRoute("a", "no name", "1"),)), "cannot be a header's name"),
    ],
)
def test_what_no_router_can_do_is_refused(want: Routing, said: str) -> None:
    with pytest.raises(RoutingError, match=said):
        checked(want)
    with pytest.raises(RoutingError):
        routing_of(json.loads(json.dumps(routing_json(want))))


@pytest.mark.parametrize(
    "said",
    [None, [], {}, {"weights": 1}, {"weights": {"nobody": WHOLE}, "routes": [], "mirror": 0, "sticky": False}],
)
def test_what_is_no_routing_is_refused(said: Any) -> None:
    with pytest.raises(RoutingError, match="no routing"):
        routing_of(said)


def test_replicas_come_back_without_a_slash_at_the_end() -> None:
    behind = {Role.STABLE: ("http://a:1/", "http://b:2/base"), Role.CANDIDATE: ()}
    assert behind_of(behind_json(behind)) == {**behind, Role.STABLE: ("http://a:1", "http://b:2/base")}


@pytest.mark.parametrize("said", [[], {"stable": 1}, {"stable": ["ftp://a"]}, {"stable": ["http://a?x=1"]}, {"x": []}])
def test_what_are_no_replicas_is_refused(said: Any) -> None:
    with pytest.raises(RoutingError):
        behind_of(said)
