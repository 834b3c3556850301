"""A machine's state outlives its process: what is kept is read back, and asks for what it asked for before."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from harness.domain.model import Role
from harness.domain.rollout import End, HeaderRoute, Outcome
from harness.strategies.again import brought_back, kept, lasting
from harness.strategies.codec import plain, restored
from harness.strategies.rolling import Batches
from harness.strategies.state import Count, Phase, State

TIMES = st.integers(0, 10**18)
ENDS = st.none() | st.builds(End, st.sampled_from(Outcome), st.text(), st.tuples(TIMES) | st.just(()), st.booleans())
COUNTS = st.dictionaries(st.sampled_from((Role.STABLE, Role.CANDIDATE)), st.builds(Count, TIMES, TIMES))
SPECS = st.dictionaries(st.sampled_from((Role.STABLE, Role.CANDIDATE)), TIMES)
ROUTES = st.lists(st.builds(HeaderRoute, st.text(), st.text(), st.text()), max_size=2).map(tuple)
STATES = st.builds(
    State, st.sampled_from(Phase), index=st.integers(-1, 20), weight=st.integers(0, 10_000), scale=st.none() | TIMES,
    routes=ROUTES, mirror=st.integers(0, 10_000), routed_ns=TIMES, wake_ns=st.none() | TIMES, analysing=st.booleans(),
    inline=st.booleans(), passed_ns=st.none() | TIMES, waits=st.text(), counts=COUNTS, spec=SPECS, ending=ENDS,
    broken=st.none() | st.sampled_from(Phase), promotion=ENDS,
)  # fmt: skip


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


@given(STATES)
def test_a_state_is_read_back_as_it_was(state: State) -> None:
    assert restored(State, through_json(plain(state))) == state
    assert brought_back(through_json(kept(state))) == lasting(state)


@given(STATES, st.dictionaries(st.sampled_from((Role.STABLE, Role.CANDIDATE)), st.lists(TIMES).map(tuple)), TIMES)
def test_so_is_that_of_a_rolling_update(state: State, since: dict[Role, tuple[int, ...]], number: int) -> None:
    batches = Batches(state, since, number, number, number)
    assert restored(Batches, through_json(plain(batches))) == batches
