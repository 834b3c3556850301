"""Load tests and searches among the runs that are kept: listed, shown, reported, compared, and spared by prune."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from harness.app import LOG_NAME, PAGE_NAME
from harness.domain.event import Event
from harness.log import EventLog
from tests.cli.conftest import Called
from tests.report.load_logs import capacity_log, load_log, seconds_of
from tests.report.test_fold import rolled_back

Call = Callable[..., Called]
FIRST, SLOWER, CUT, SEARCH, REHEARSAL = (
    "20260101T120000-1", "20260102T120000-2", "20260103T120000-3", "20260104T130000-3", "20260105T000000-7",
)  # fmt: skip
NAME = "load-127.0.0.1-8080"


def keep(reports: Path, name: str, run: str, events: Sequence[Event]) -> None:
    folder = reports / name / run
    folder.mkdir(parents=True)
    written = EventLog(folder / LOG_NAME)
    for event in events:
        written.append(event)
    written.close()


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Two load tests, the second slower; one under way; a search; and a rehearsal."""
    reports = tmp_path / "reports"
    for run, median, day in ((FIRST, 4.0, 1), (SLOWER, 6.0, 2)):
        seconds = seconds_of(np.random.default_rng(day), 32, 300, median_ms=median, wander=0.03)
        keep(reports, NAME, run, load_log(seconds, seed=day, run=run, started=f"2026-01-0{day}T12:00:00+00:00"))
    keep(reports, NAME, CUT, load_log(run=CUT, started="2026-01-03T12:00:00+00:00")[:9])
    keep(reports, "capacity-127.0.0.1-8080", SEARCH, capacity_log())
    keep(reports, "canary-regression", REHEARSAL, rolled_back(run=REHEARSAL))
    return reports


@pytest.mark.usefixtures("kept")
def test_every_kind_is_listed(call: Call) -> None:
    told = call("runs", "list")
    assert told.code == 0
    assert "5 runs" in told.out
    assert "done, grade A+" in told.out
    assert "cut off" in told.out
    runs = {run["run"]: run for run in json.loads(call("runs", "list", "--json", "-").out)["runs"]}
    kinds = {name: (run["kind"], run["grade"], run["passed"]) for name, run in runs.items()}
    assert kinds[FIRST] == ("load", "A+", True)
    assert kinds[CUT] == ("load", None, False)
    assert kinds[SEARCH] == ("capacity", None, True)
    assert kinds[REHEARSAL][:2] == ("rehearsal", None)
    assert "3 runs" in call("runs", "list", "--scenario", NAME).out


def test_show_writes_nothing(call: Call, kept: Path) -> None:
    before = sorted(kept.rglob("*"))
    assert "Grade A+" in call("runs", "show", FIRST).out
    assert json.loads(call("runs", "show", FIRST, "--json", "-").out)["grade"] == "A+"
    assert "750/s to 775/s" in call("runs", "show", SEARCH).out
    assert sorted(kept.rglob("*")) == before


def test_report_writes_every_form(call: Call, kept: Path) -> None:
    flags = ("--json", "--junit", "--markdown", "--csv", "--prometheus", "--save-profile")
    called = call("report", FIRST, *(word for flag in flags for word in (flag, f"{flag[2:]}.out")))
    assert called.code == 0
    assert (kept / NAME / FIRST / PAGE_NAME).read_text(encoding="utf-8").startswith("<!doctype html>")
    told = json.loads(Path("json.out").read_text(encoding="utf-8"))
    assert told["report"].endswith(PAGE_NAME)
    begins = {
        "junit": "<?xml",
        "markdown": "## ✅",
        "csv": "start_s,",
        "prometheus": "# HELP",
        "save-profile": "# Service",
    }
    for name, start in begins.items():
        assert Path(f"{name}.out").read_text(encoding="utf-8").startswith(start)
    alone = call("report", FIRST, "--csv", "-")
    assert alone.out.startswith("start_s,")
    assert len(alone.out.splitlines()) == 33


@pytest.mark.usefixtures("kept")
def test_what_only_a_load_test_has_is_refused_of_others(call: Call) -> None:
    for run, word in ((REHEARSAL, "rehearsal"), (SEARCH, "capacity search")):
        refused = call("report", run, "--csv", "out.csv")
        assert refused.code == 2
        assert f"--csv: only a load test has that, and {run} is a {word}" in refused.err
    assert call("report", SEARCH, "--junit", "search.xml").code == 0


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("words", [("compare",), ("runs", "compare")])
def test_a_regression_is_exit_code_1(call: Call, words: tuple[str, ...]) -> None:
    worse = call(*words, FIRST, SLOWER, "--json", "two.json", "--html", "two.html")
    assert worse.code == 1
    assert "The second is worse: p50" in worse.out
    assert json.loads(Path("two.json").read_text(encoding="utf-8"))["regressed"] is True
    page = Path("two.html").read_text(encoding="utf-8")
    assert "✗ worse" in page
    assert page.count("<svg") == 4
    assert call(*words, SLOWER, FIRST).code == 0
    assert call(*words, FIRST, SLOWER, "--tolerance", "200%").code == 2
    assert call(*words, FIRST, SLOWER, "--tolerance", "90%").code == 0


@pytest.mark.usefixtures("kept")
def test_what_cannot_be_compared_is_exit_code_2(call: Call) -> None:
    unlike = call("compare", FIRST, REHEARSAL)
    assert unlike.code == 2
    assert f"{FIRST} is a load test and {REHEARSAL} a rehearsal" in unlike.err
    assert call("compare", SEARCH, SEARCH).code == 2
    cut = call("compare", FIRST, CUT)
    assert cut.code == 2
    assert "cut off before its figures" in cut.err
    assert call("compare", REHEARSAL, REHEARSAL).code == 0


def test_prune_spares_a_test_that_is_under_way(call: Call, kept: Path) -> None:
    gone = call("runs", "prune", "--keep", "0", "--yes")
    assert gone.code == 0
    assert [path.parent.name for path in kept.glob(f"*/*/{LOG_NAME}")] == [CUT]
