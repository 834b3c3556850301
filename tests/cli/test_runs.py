"""``harness runs``: what is kept, shown, compared and deleted."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.app import LOG_NAME
from harness.log import EventLog
from tests.cli.conftest import SCENARIOS, Called
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


# --- retention --------------------------------------------------------------------------------------------------------

REJECTED = SCENARIOS / "gate_rejected.yaml"


def ids(reports: Path, scenario: str = "canary-regression") -> list[str]:
    return sorted(folder.name for folder in (reports / scenario).iterdir() if not folder.is_symlink())


def paged(kept: Path) -> None:
    for log in kept.glob(f"*/*/{LOG_NAME}"):
        (log.parent / "report.html").write_text("page", encoding="utf-8")


def test_every_run_is_kept_unless_a_setting_says_otherwise(call: Call, kept: Path) -> None:
    paged(kept)
    for _ in range(2):
        assert call("run", REJECTED, "--quiet").code == 0
    assert ids(kept) == [OLD, NEW]
    assert len(list(kept.glob(f"gate-rejected/*-*/{LOG_NAME}"))) == 2


def test_a_run_ends_with_what_the_settings_keep(call: Call, kept: Path) -> None:
    paged(kept)
    (kept / "notes").mkdir()
    (kept / "canary-regression" / "a-name-of-my-own").mkdir()
    Path("harness.toml").write_text("keep-runs = 1\n", encoding="utf-8")
    told = {each["name"]: each for each in json.loads(call("config", "--json", "-").out)["settings"]}
    assert (told["keep-runs"]["value"], told["keep-runs"]["place"]) == (1, "harness.toml:1")
    assert (told["keep-for"]["value"], told["keep-for"]["source"]) == (None, "default")
    first = call("run", REJECTED)
    assert "retention (keep-runs 1): 1 older run deleted below reports" in first.err
    assert ids(kept) == [NEW, "a-name-of-my-own"]
    made = ids(kept, "gate-rejected")
    assert call("run", REJECTED, "--quiet").err == ""
    assert len(ids(kept, "gate-rejected")) == 1
    assert ids(kept, "gate-rejected") != made
    assert (kept / "latest" / LOG_NAME).is_file()
    assert (kept / "notes").is_dir()


def test_the_age_of_runs_is_a_variable_and_a_flag_beats_it(
    call: Call, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paged(kept)
    monkeypatch.setenv("HARNESS_KEEP_FOR", "1m")
    assert call("run", REJECTED, "--keep-for", "9999w", "--quiet").code == 0
    assert ids(kept) == [OLD, NEW]
    assert call("run", REJECTED, "--quiet").code == 0
    assert not (kept / "canary-regression").exists()
    assert len(ids(kept, "gate-rejected")) == 2  # of this very minute
    monkeypatch.setenv("HARNESS_KEEP_FOR", "soon")
    assert "HARNESS_KEEP_FOR: 'soon': an age is a whole number and a unit" in call("run", REJECTED).err
