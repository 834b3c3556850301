"""What CI systems read, each form held against its own published grammar or a reader that is not ours."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InputError, Problem
from harness.report import annotations, fold, junit, markdown, output
from harness.report.result import Result, Unstarted
from harness.report.why import why
from tests import requires
from tests.report.test_fold import STORIES, promoted, rejected, rolled_back

SCHEMA = Path(__file__).parent / "schemas" / "junit-10.xsd"
UNSTARTED = Unstarted("lost", "lost.yaml", "the registry | does <not> answer", 3, "virtual")
MET, UNMET = ("candidate_share_max <= 25%",), ("outcome == kept_stable", "p95 < 1ms")
HOSTILE = 'a|b `c` <script>alert(1)</script> [x](http://y) **z** # & "q"\n| new | row |\x00\x1b[31m \\| ]]>'
texts = st.text(st.characters(), max_size=60) | st.just(HOSTILE)


def valid(document: str) -> ET.Element:
    """The document, once Jenkins' schema and another parser have accepted it."""
    requires.module("lxml")
    requires.module("junitparser")
    import junitparser
    from lxml import etree

    schema = etree.XMLSchema(etree.parse(str(SCHEMA)))
    schema.assertValid(etree.fromstring(document.encode()))
    found = ET.fromstring(document)
    read = junitparser.JUnitXml.fromstring(document.encode())
    counted = [(suite.tests, suite.failures, suite.errors, suite.skipped) for suite in read]
    for suite in read:
        suite.update_statistics()
    assert counted == [(suite.tests, suite.failures, suite.errors, suite.skipped) for suite in read]
    return found


def kinds(document: str) -> list[list[str]]:
    """Of each suite, what became of each case."""
    return [
        [case[0].tag if len(case) else "passed" for case in suite.findall("testcase")]
        for suite in valid(document).findall("testsuite")
    ]


@pytest.mark.parametrize("expect", [(), MET, UNMET], ids=["none", "met", "unmet"])
@pytest.mark.parametrize("outcome", STORIES)
def test_junit_of_every_outcome_is_valid_and_red_where_the_run_did_not_pass(
    outcome: str, expect: tuple[str, ...]
) -> None:
    result = fold(STORIES[outcome](expect=expect))
    document = junit.render([result])
    (cases,) = kinds(document)
    assert ({"failure", "error"} & set(cases) == set()) == result.passed
    assert len(cases) >= max(1, len(expect))
    suite = valid(document)[0]
    assert {p.get("name"): p.get("value") for p in suite.iter("property")}.items() >= {
        ("seed", "7"),
        ("digest", result.event_digest),
        ("outcome", outcome),
    }
    assert suite.findtext("system-out") == why(result)
    assert sum(float(case.get("time", 0)) for case in suite.iter("testcase")) == float(suite.get("time", -1))


def test_junit_tells_verdicts_from_troubles() -> None:
    gate = fold(rejected())
    expected = fold(rejected(expect=("outcome == rejected",)))
    assert kinds(junit.render([gate, expected])) == [["failure", "failure"], ["passed", "passed"]]
    error = fold(STORIES["error"](expect=MET))
    assert kinds(junit.render([error])) == [["error", "passed"]]
    lost = replace(fold(promoted(expect=("outcome == promoted",))), passed=False)
    assert kinds(junit.render([lost])) == [["passed", "error"]]
    document = junit.render([UNSTARTED], ["real.yaml"], ["later.yaml"])
    assert kinds(document) == [["error"], ["skipped"], ["skipped"]]
    assert [case[0].get("message") for case in valid(document).iter("testcase")] == [
        UNSTARTED.reason,
        junit.REAL_CLOCK,
        junit.NOT_REACHED,
    ]


def test_junit_keeps_the_order_that_the_schema_of_apache_ant_asks_for() -> None:
    for suite in valid(junit.render([fold(rolled_back()), UNSTARTED], ["a.yaml"])):
        tags = [child.tag for child in suite]
        assert tags[0] == "properties"
        assert tags[-2:] == ["system-out", "system-err"]
        assert set(tags[1:-2]) == {"testcase"}
        assert {"id", "package", "hostname", "timestamp", "name", "tests", "failures", "errors", "time"} <= set(
            suite.keys()
        )
        assert len(str(suite.get("timestamp"))) == len("2026-01-01T00:00:00")


@given(texts, texts)
def test_no_text_breaks_junit(name: str, reason: str) -> None:
    story = replace(fold(rolled_back()), name=name, path=name, reason=reason)
    valid(junit.render([story, Unstarted(name, reason, reason)], [name], [reason]))


# --- Markdown ---------------------------------------------------------------------------------------------------------


def parsed(document: str) -> Any:
    requires.module("markdown_it")
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(document)


def tables(document: str) -> list[list[list[str]]]:
    """Every table's rows, as a reader sees their cells."""
    found: list[list[list[str]]] = []
    for token in parsed(document):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and token.level >= 4:
            found[-1][-1].append(shown(token))
    return found


def shown(token: Any) -> str:
    return "".join(child.content for child in token.children or ())


def tags(document: str) -> set[str]:
    return {child.type for token in parsed(document) for child in (token, *(token.children or ()))}


def suite(results: Sequence[Result | Unstarted]) -> str:
    return markdown.render(results, ["real.yaml"], ["later.yaml"])


def test_the_summary_has_a_line_for_each_scenario_and_what_was_not_met() -> None:
    good = fold(promoted())
    bad = fold(rolled_back(expect=("outcome == promoted", "p95 < 1s")))
    document = suite([good, bad, UNSTARTED])
    overview, cost = tables(document)
    assert [row[:3] for row in overview[1:]] == [
        ["✅", "canary-regression", "promoted"],
        ["❌", "canary-regression", "rolled back"],
        ["❌", "lost", "did not start"],
        ["⏭️", "real.yaml", f"skipped: {junit.REAL_CLOCK}"],
        ["⏹️", "later.yaml", junit.NOT_REACHED],
    ]
    assert {len(row) for row in overview} == {8}
    assert overview[2][3:7] == ["8,000", "520", "–", "4m"]
    assert ["requests to the candidate", "8,000", "7.41% of 108,000"] in cost
    said = [shown(token) for token in parsed(document) if token.type == "inline"]
    assert "Rehearsal: 1 of 4 scenarios passed" in said[0]
    assert why(bad) in said
    assert "❌ outcome == promoted, expected == promoted, was rolled_back" in said
    assert f"Did not start: {UNSTARTED.reason}" in said


@given(texts)
def test_no_name_breaks_the_summary(name: str) -> None:
    results = [
        replace(fold(rolled_back()), name=name, path=name, interrupted_by=name),
        Unstarted(name, name, name),
    ]
    document = suite(results)
    plain = tags(suite([replace(fold(rolled_back()), name="n", path="n"), Unstarted("n", "n", "n")]))
    assert tags(document) <= plain | {"softbreak"}
    overview = tables(document)[0]
    assert [len(row) for row in overview] == [8] * 5
    printable = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    assert overview[1][1] == overview[2][1] == printable


# --- annotations ------------------------------------------------------------------------------------------------------


def unescaped(text: str, *more: tuple[str, str]) -> str:
    """As the toolkit of GitHub's runner reads it: the percent sign last."""
    for sign, escaped in (("\r", "%0D"), ("\n", "%0A"), *more, ("%", "%25")):
        text = text.replace(escaped, sign)
    return text


@given(texts, texts, st.text(st.characters(exclude_characters="\x00"), min_size=1))
def test_an_annotation_is_one_line_that_reads_back_as_it_was(message: str, title: str, file: str) -> None:
    line = annotations.command(Problem(file, 14, 9, message), title, {})
    assert "\n" not in line
    assert "\r" not in line
    head, data = line.removeprefix("::error ").split("::", 1)
    properties = dict(each.split("=", 1) for each in head.split(","))
    more = ((":", "%3A"), (",", "%2C"))
    assert {name: unescaped(value, *more) for name, value in properties.items()} == {
        "file": file,
        "line": "14",
        "col": "9",
        "title": title,
    }
    assert unescaped(data) == message


def test_an_annotation_counts_paths_from_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "service").mkdir()
    monkeypatch.chdir(tmp_path / "service")
    line = annotations.command(Problem("a.yaml", 0, 0, "gone"), "t", {"GITHUB_WORKSPACE": str(tmp_path)})
    assert line == "::error file=service/a.yaml,title=t::gone"
    assert annotations.wanted({"GITHUB_ACTIONS": "true"})
    assert not annotations.wanted({"GITHUB_ACTIONS": "false"})


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_written_is_found_out_before_the_run(tmp_path: Path) -> None:
    for file, why_not in ((tmp_path, "this is a folder"), (tmp_path / "no" / "x.xml", "there is no folder")):
        with pytest.raises(InputError, match=f"--junit .*{why_not}"):
            output.check("--junit", str(file))
    output.check("--junit", str(tmp_path / "x.xml"))
    output.check("--junit", "-")
    with pytest.raises(InputError, match=r"--markdown .*cannot be written"):
        output.write("--markdown", str(tmp_path), "")
