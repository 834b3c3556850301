"""How a test stands, put together of what generators tell; and when it is going so badly that it is aborted."""

from dataclasses import replace

import pytest

from harness.analysis.grammar import parse
from harness.analysis.vocabulary import Scope, Standing
from harness.domain.load import Counts
from harness.load.generator import Snapshot
from harness.load.progress import Progress
from harness.stats.grade import GRADES
from tests.load.asking import plan_of


def told(second, succeeded=0, failed=0):
    counts = Counts(succeeded + failed, 0, succeeded + failed, succeeded, failed, 0, {"http_500": failed})
    return Snapshot(second, counts.sent, 0, counts, counts)


def progress(rule, workers=1):
    seen = []
    scope = Scope(Standing.LOAD, task=None, streamed=False)
    return Progress(replace(plan_of(1), abort_when=(parse(rule, scope),)), workers, GRADES, seen.append), seen


def aborted_after(made, seconds):
    """The first second after which it is aborted; None: never."""
    for snapshot in seconds:
        made.take(0, snapshot)
        if made.aborted:
            return snapshot.second
    return None


@pytest.mark.parametrize(("every_s", "expected"), [(1, 20), (2, 40), (10, 200)])
def test_a_slow_test_is_aborted_after_twenty_requests_however_long_they_took(every_s, expected):
    made, _ = progress("error_rate > 50%")
    assert aborted_after(made, (told(at, failed=at % every_s == 0) for at in range(1, 1000))) == expected


def test_a_fast_one_is_not_looked_at_before_twenty():
    made, _ = progress("error_rate > 50%")
    assert aborted_after(made, [told(1, failed=19), told(2), told(3, failed=1)]) == 3


def test_the_last_ten_seconds_are_looked_at_where_they_hold_enough():
    made, _ = progress("error_rate > 50%")
    # 100/s well for a minute; failing from then on, more than half of the last ten seconds after six of them.
    assert aborted_after(made, (told(at, *((100, 0) if at <= 60 else (0, 100))) for at in range(1, 100))) == 66


def test_old_requests_are_forgotten_as_soon_as_twenty_later_ones_stand_for_them():
    made, _ = progress("error_rate > 50%")
    # A request each second: of the last twenty, eleven have failed.
    assert aborted_after(made, (told(at, *((1, 0) if at <= 200 else (0, 1))) for at in range(1, 300))) == 211


def test_one_good_second_after_a_bad_start_is_told_with_the_rest():
    made, seen = progress("error_rate > 99%", workers=2)
    made.take(0, told(1, succeeded=5))
    assert not seen
    made.take(1, told(1, failed=3))
    assert (seen[0].counts.succeeded, seen[0].counts.failed) == (5, 3)
    assert not made.aborted
