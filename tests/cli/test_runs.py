"""``harness runs``: what is kept, shown, compared and deleted."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.app import LOG_NAME
from harness.log import EventLog
from tests.cli.conftest import Called
from tests.report.stories import TEXT
from tests.report.test_fold import promoted, rolled_back

Call = Callable[..., Called]
OLD, NEW = "20260101T000000-7", "20260102T000000-7"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Two runs of one scenario: one rolled back, and then, of another text, one promoted."""
    reports = tmp_path / "reports"
    text = TEXT.replace("rolled_back", "promoted")
    for name, events in (
        (OLD, rolled_back(run=OLD)),
        (NEW, promoted(run=NEW, text=text, started="2026-01-02T00:00:00+00:00")),
    ):
        folder = reports / "canary-regression" / name
        folder.mkdir(parents=True)
        written = EventLog(folder / LOG_NAME)
        for event in events:
            written.append(event)
        written.close()
    (reports / "latest").symlink_to(f"canary-regression/{NEW}")
    return reports


def test_list(call: Call, kept: Path) -> None:
    called = call("runs", "list")
    assert called.code == 0
    lines = called.out.splitlines()
    assert [word for line in lines for word in (OLD, NEW) if word in line] == [NEW, OLD]
    assert "rolled back" in called.out
    assert "2 runs" in called.out
    told = json.loads(call("runs", "list", "--json", "-").out)
    assert [(run["run"], run["outcome"], run["detected_after_s"]) for run in told["runs"]] == [
        (NEW, "promoted", None),
        (OLD, "rolled_back", 240.0),
    ]
    assert "0 runs" in call("runs", "list", "--scenario", "another").out


def test_show_is_the_report_and_writes_nothing(call: Call, kept: Path) -> None:
    before = sorted(kept.rglob("*"))
    shown = call("runs", "show", OLD, "--json", "-")
    assert json.loads(shown.out)["scenarios"][0]["outcome"] == "rolled_back"
    assert "Rolled back 4m after its first request" in call("runs", "show", OLD).out
    assert sorted(kept.rglob("*")) == before
    missing = call("runs", "show", "nothing")
    assert missing.code == 2
    assert "no run 'nothing'" in missing.err


def test_compare(call: Call, kept: Path) -> None:
    called = call("runs", "compare", OLD, "latest", "--html", "two.html", "--json", "two.json")
    assert called.code == 0
    assert "-  - outcome == rolled_back" in called.out
    assert "+  - outcome == promoted" in called.out
    told = json.loads(Path("two.json").read_text(encoding="utf-8"))
    assert not told["same_events"]
    assert [run["run"] for run in told["runs"]] == [OLD, NEW]
    differ = {(each["section"], each["name"]): (each["a"], each["b"]) for each in told["differences"]}
    assert differ["What was run", "outcome"] == ("rolled back", "promoted")
    assert differ["Cost", "detected after"] == ("4m", "–")
    assert differ["Analysis", "p95 <= stable * 1.5"] == ("1 passed, 3 failed", "20 passed, 0 failed")
    assert ("What was run", "seed") not in differ
    assert [line for line in told["scenario_diff"][3:] if line[0] in "+-"] == [
        "-  - outcome == rolled_back",
        "+  - outcome == promoted",
    ]
    assert Path("two.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_run_beside_itself_differs_in_nothing(call: Call, kept: Path) -> None:
    told = json.loads(call("runs", "compare", OLD, OLD, "--json", "-").out)
    assert told["same_events"]
    assert told["differences"] == told["scenario_diff"] == []
    both = call("runs", "compare", OLD, OLD, "--json", "-", "--html", "-")
    assert both.code == 2


def test_prune_says_before_it_deletes(call: Call, kept: Path) -> None:
    said = call("runs", "prune", "--keep", "1")
    assert said.code == 0
    assert f"would delete  reports/canary-regression/{OLD}" in said.out
    assert "say --yes to delete" in said.out
    assert (kept / "canary-regression" / OLD).is_dir()
    done = call("runs", "prune", "--keep", "1", "--yes", "--json", "-")
    assert json.loads(done.out) == {
        "version": 1,
        "deleted": True,
        "runs": [{"run": OLD, "scenario": "canary-regression"}],
    }
    assert not (kept / "canary-regression" / OLD).exists()
    assert (kept / "latest").exists()
    call("runs", "prune", "--older-than", "1d", "--yes")
    assert list(kept.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say what may go: --keep N, --older-than AGE, or both"),
        (("--older-than", "soon"), "an age is a whole number and a unit (m, h, d, w), such as 30d"),
        (("--keep", "-1"), "-1 is not in the range"),
    ],
)
def test_what_prune_does_not_understand(call: Call, kept: Path, words: tuple[str, ...], said: str) -> None:
    called = call("runs", "prune", "--yes", *words)
    assert called.code == 2
    assert said in called.err
    assert len(list((kept / "canary-regression").iterdir())) == 2
