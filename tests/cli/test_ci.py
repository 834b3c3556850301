"""What a CI job sees of `harness run`: files, its summary, notes beside lines, and a page for the suite."""

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import SCENARIOS, Called
from tests.cli.test_run import SMALL

Call = Callable[..., Called]


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    """A scenario that is rejected as expected, and one that is not."""
    found = []
    for name, expect in (("good", "rejected"), ("bad", "promoted")):
        path = tmp_path / f"{name}.yaml"
        text = SMALL.format(data=(SCENARIOS / "data").as_posix(), errors="1%", expect=expect, gate="0.99")
        path.write_text(text.replace("name: small", f"name: {name}"), encoding="utf-8")
        found.append(path)
    return found


def test_every_form_of_one_suite(call: Call, two: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "step.md"))
    (tmp_path / "step.md").write_text("an earlier step\n", encoding="utf-8")
    called = call("run", *two, "-q", "--json", "-", "--junit", "j.xml", "--markdown", "m.md")
    assert called.code == 1
    suite = json.loads(called.out)
    assert [run["passed"] for run in suite["scenarios"]] == [True, False]
    page = Path(suite["page"])
    assert re.fullmatch(r"reports/suite-\d{8}T\d{6}/index\.html", suite["page"])
    links = re.findall(r'<a href="([^"]+)"', page.read_text(encoding="utf-8"))
    assert [(page.parent / link).resolve() for link in links] == [
        Path(run["report"]).resolve() for run in suite["scenarios"]
    ]
    suites = ET.parse("j.xml").getroot()
    assert [(each.get("name"), each.get("failures"), each.get("errors")) for each in suites] == [
        ("good", "0", "0"),
        ("bad", "2", "0"),
    ]
    summary = Path("m.md").read_text(encoding="utf-8")
    assert "1 of 2 scenarios passed" in summary
    assert Path("step.md").read_text(encoding="utf-8") == f"an earlier step\n{summary}"
    (line,) = [line for line in called.err.splitlines() if line.startswith("::")]
    number = two[1].read_text().splitlines().index("expect: [outcome == promoted]") + 1
    assert line.startswith(f"::error file=bad.yaml,line={number},col=10,title=bad%3A not as expected::")
    assert "expected outcome == promoted, was rejected%0A" in line


def test_an_expectation_from_the_command_line_has_no_line(
    call: Call, two: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    called = call("run", two[0], "-q", "--set", "expect.0=outcome == promoted")
    assert f"::error file={two[0]},title=good%3A not as expected::expected outcome == promoted" in called.err
    assert "suite-" not in called.out


def test_wrong_scenarios_are_shown_beside_their_lines_and_only_there(
    call: Call, two: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    two[0].write_text(two[0].read_text().replace("weight: 60%", "weight: 160%"), encoding="utf-8")
    for command in ("run", "check"):
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        called = call(command, *two)
        assert called.code == 2
        (line,) = [line for line in called.err.splitlines() if line.startswith("::")]
        assert line.startswith(f"::error file={two[0]},line=15,col=48,title=wrong scenario::rollout.steps[2].weight")
        monkeypatch.delenv("GITHUB_ACTIONS")
        assert "::error" not in call(command, *two).err


def test_a_run_made_anew_gives_the_same_junit(call: Call, two: list[Path]) -> None:
    first = call("run", two[1], "-q", "--junit", "-")
    assert ET.fromstring(first.out.encode())[0].get("name") == "bad"
    assert call("report", "latest", "--junit", "-").out == first.out


def test_files_are_tried_before_anything_runs(call: Call, two: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for words, said in (
        (("--junit", "no/such/j.xml"), "--junit no/such/j.xml: there is no folder no/such"),
        (("--markdown", "."), "--markdown .: this is a folder; name a file"),
        (("--json", "-", "--junit", "-"), "--json and --junit cannot both be standard output"),
    ):
        called = call("run", two[0], *words)
        assert called.code == 2
        assert said in called.err
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "gone/summary.md")
    assert "GITHUB_STEP_SUMMARY: gone/summary.md: there is no folder gone" in call("run", two[0]).err
    assert not Path("reports").exists()
