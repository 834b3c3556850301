"""``latest`` names a load test, and a search, from its beginning on: what is killed midway is found all the same."""

from dataclasses import replace

import pytest

from harness.app.capacity import Sought, find_capacity
from harness.app.folders import find_run
from harness.app.loading import LoadOptions, load_test
from harness.app.loadplan import rules
from harness.domain.load import Limits
from harness.domain.load_event import CapacityStarted, LoadStarted
from harness.errors import BackendError, InputError
from harness.log import read
from tests.load.asking import plan_of


class Killed(BaseException):
    """Ends a test as abruptly as can be seen from inside."""


class Crew:
    """Looks for the run while it is under way, as another terminal would, and is killed then."""

    def __init__(self, reports):
        self.reports = reports
        self.found = None

    def run(self, plan, workers, tell, stopped, began):
        self.found = read(find_run("latest", self.reports) / "events.jsonl")
        raise Killed


def test_a_load_test(tmp_path):
    crew = Crew(tmp_path)
    with pytest.raises(Killed):
        load_test(plan_of(1), LoadOptions(reports=tmp_path, crew=crew))
    assert crew.found.only(LoadStarted)


def searched(tmp_path, crew, plan, workers=1):
    return find_capacity(
        replace(plan, slos=rules(("p99 < 1s",), "--slo", streamed=False)),
        Sought(),
        LoadOptions(reports=tmp_path, crew=crew, workers=workers),
    )


def test_a_search(tmp_path):
    crew = Crew(tmp_path)
    with pytest.raises(Killed):
        searched(tmp_path, crew, plan_of(1))
    assert crew.found.only(CapacityStarted)


class Broken:
    """Cannot be run."""

    def run(self, plan, workers, tell, stopped, began):
        raise BackendError("generator 1 died")


def test_one_that_failed_is_the_latest_too(tmp_path):
    done = searched(tmp_path, Broken(), plan_of(1))
    assert str(done.error) == "generator 1 died"
    assert find_run("latest", tmp_path).samefile(done.folder)


def test_limits_that_leave_nothing_for_some_generators_are_told_before_a_search(tmp_path):
    with pytest.raises(InputError, match="--workers"):
        searched(tmp_path, Broken(), plan_of(1, limits=Limits(max_connections=1, max_in_flight=1)), workers=4)
    assert not list(tmp_path.iterdir())
