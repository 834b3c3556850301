"""Requests that walk through the rows in their order ask those that their time is in, however time is cut."""

import numpy as np

from harness.data import dataset
from harness.domain.model import DataPlan
from harness.domain.service import Fixed, Service
from harness.domain.units import HOUR, SECOND
from harness.sim.arrays import WINDOWS
from harness.sim.plane import RequestPlane

ROWS = 1000
WIDTH = ROWS // WINDOWS
SERVICE = Service(1, 4, Fixed(0.001), SECOND, 10, 0)


def asked(walk_ns, cuts):
    """Which rows were answered in each stretch."""
    plane = RequestPlane.build(seed=3, services=[SERVICE], rows=ROWS, walk_ns=walk_ns)
    plane.start_replica(0, 0)
    times = np.arange(0, HOUR, SECOND // 10)
    found, before = [], 0
    for cut in cuts:
        plane.advance(times[(times >= before) & (times < cut)], cut)
        (tally,) = plane.take()
        found.append(tally.answered.get(0, np.zeros(ROWS, np.int64)).copy())
        before = cut
    return found


def test_each_stretch_asks_the_rows_of_its_time():
    cuts = [HOUR * part // 10 for part in range(1, 11)]
    for part, rows in enumerate(asked(HOUR, cuts)):
        places = np.flatnonzero(rows)
        room = ROWS - WIDTH
        assert places.min() >= room * part // 10 - 1
        assert places.max() <= room * (part + 1) // 10 + WIDTH
        # Every row of the stretch is asked: nothing is skipped on the way.
        assert np.all(rows[places.min() : places.max() + 1] > 0)


def test_after_the_walk_the_last_rows_are_asked():
    last = asked(HOUR // 2, [HOUR // 2, HOUR])[1]
    assert np.flatnonzero(last).tolist() == list(range(ROWS - WIDTH, ROWS))


def test_cutting_time_elsewhere_asks_the_same_rows():
    whole = sum(asked(HOUR, [HOUR]))
    parts = sum(asked(HOUR, [HOUR // 7, HOUR // 3, HOUR // 3 + 1, HOUR]))
    assert np.array_equal(whole, parts)
    assert whole.sum() > 35_000


def test_without_a_walk_every_row_may_be_asked_at_any_time():
    early = asked(None, [HOUR // 10])[0]
    assert np.count_nonzero(early) > 0.95 * ROWS


def test_the_last_rows_of_the_file_are_held_out_in_their_order():
    plan = DataPlan("scenarios/data/electricity.csv.gz", "class", "UP", test_share=0.5, walk_ns=HOUR)
    data = dataset.load(plan)
    training, held = data.split(1)
    whole = data.frame
    assert len(training.rows) == len(held.rows) == 22_656
    assert training.rows["nswprice"].tolist() == whole["nswprice"].tolist()[:22_656]
    assert held.rows["nswprice"].tolist() == whole["nswprice"].tolist()[22_656:]
    assert held.target.tolist() == (whole["class"] == "UP").astype(int).tolist()[22_656:]
    assert data.split(2)[1].target.tolist() == held.target.tolist()
