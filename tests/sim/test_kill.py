"""A replica that dies without notice: what it had is lost at that instant, and nothing that was seen is taken back."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.domain.service import Exponential, Fixed, Service
from harness.domain.units import MILLISECOND, SECOND
from harness.sim.plane import NEVER, RequestPlane
from harness.sim.tally import Tally

AT = 40 * MILLISECOND
LAW = Fixed(0.025)


def plane(dies_at_ns: int = NEVER, law: Fixed | Exponential = LAW) -> RequestPlane:
    made = RequestPlane.build(seed=1, services=[Service(1, 2, law, SECOND, 5)], rows=3, label_share=0.5)
    made.start_replica(0, 0, dies_at_ns)
    return made


def counted(tally: Tally) -> tuple[object, ...]:
    rows = [(level, list(counts)) for level, counts in tally.answered.items()]
    labels = [(level, list(counts)) for level, counts in tally.labelled.items()]
    return (
        tally.arrivals, tally.ok, dict(tally.errors), tally.latency, tally.wait_sum_ns, tally.wait_count, tally.busy_ns,
        rows, labels,
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, AT - 1), max_size=25).map(sorted), st.booleans())
def test_a_kill_does_what_a_death_known_beforehand_does(times: list[int], memoryless: bool) -> None:
    law = Exponential(0.02) if memoryless else Fixed(0.02)
    arrivals = np.array(times, np.int64)
    known, sudden = plane(AT, law), plane(NEVER, law)
    known.advance(arrivals, AT)
    sudden.advance(arrivals, AT)
    sudden.kill(0, 0)
    for each in (known, sudden):
        each.drain(0, 0)
        each.advance(np.zeros(0, np.int64), 2 * SECOND)
    one, other = counted(known.take()[0]), counted(sudden.take()[0])
    # A request refused for want of room at the known death may have queued at the sudden one: both look ahead alike.
    assert one == other
    assert known.in_flight(0) == sudden.in_flight(0) == 0


def test_an_answer_due_at_the_very_instant_is_given() -> None:
    sudden = plane()
    sudden.advance(np.array([AT - 25 * MILLISECOND, AT - 24 * MILLISECOND], np.int64), AT)
    sudden.kill(0, 0)
    sudden.advance(np.zeros(0, np.int64), SECOND)
    tally = sudden.take()[0]
    assert (tally.ok, dict(tally.errors)) == (1, {"crash": 1})
    assert tally.busy_ns == 49 * MILLISECOND


def test_a_probe_meets_what_a_request_would() -> None:
    rng = np.random.Generator(np.random.Philox(3))

    def answered(of: RequestPlane) -> float:
        return float(np.mean([of.probe(0, rng.integers(0, 2**64, 3, dtype=np.uint64)) for _ in range(400)]))

    assert answered(plane()) == 1.0
    late = RequestPlane.build(seed=1, services=[Service(1, 2, Exponential(0.1), 100 * MILLISECOND, 5)])
    late.start_replica(0, 0)
    assert abs(answered(late) - (1 - np.exp(-1))) < 0.08
    down = plane()
    down.kill(0, 0)
    assert answered(down) == 0.0
