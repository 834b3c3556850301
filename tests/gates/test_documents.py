"""Model cards that are complete or not, the first one, and reports that others wrote."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.domain.gates import Check, Fairness, Measure, ModelCard, Report, limit_of
from harness.gates import card, fairness, reports
from harness.gates.firstcard import Facts, first_card
from tests.gates import adult

COMPLETE = """---
name: income
owner: people-analytics@example.com
---
# Income

## Intended use
Ranks households for a survey. Not for credit.

## Training data
Adult, 1994.

### Where it comes from
The US census.

## Evaluation results
Accuracy 85 %.

## Limitations
Thirty years old.

## Ethical considerations
Women earn less in these data, and the model knows.
"""


def lacks(text: str, *require: str) -> str:
    found = card.check(text, ModelCard("CARD.md", require))
    return "" if found.passed else found.reason


def test_a_complete_card_passes() -> None:
    assert lacks(COMPLETE) == ""
    assert lacks(COMPLETE.replace("\n", "\r\n")) == ""


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ("owner: people-analytics@example.com\n", "", "the front matter says no owner"),
        ("name: income", "name: TODO", "the front matter says no name"),
        ("## Limitations\n", "## Limits\n", "no section Limitations"),
        ("Thirty years old.", "", "Limitations is empty"),
        ("Thirty years old.", "TBD", "Limitations is a placeholder"),
        ("Thirty years old.", "[More Information Needed]", "Limitations is a placeholder"),
        ("Thirty years old.", "<!-- where it fails -->", "Limitations is empty"),
        ("Thirty years old.", "...", "Limitations is a placeholder"),
        ("## Limitations", "```\n## Limitations\n```\n##", "no section Limitations"),
        ("Adult, 1994.\n\n### Where it comes from\nThe US census.", "### Where it comes from", "Data is empty"),
        ("name: income", "name: [", "front matter is no YAML"),
        ("---\nname", "--\nname", "the front matter says no name"),
    ],
)
def test_what_is_missing_is_named(was: str, now: str, told: str) -> None:
    assert was in COMPLETE
    assert told in lacks(COMPLETE.replace(was, now, 1))


def test_a_section_with_text_below_a_deeper_heading_is_there() -> None:
    assert lacks(COMPLETE.replace("Adult, 1994.\n", "")) == ""


def test_signs_alone_say_nothing() -> None:
    assert [text for text in (".", "***", "| |", "Zoë.", "日本") if not card.blank(text)] == ["Zoë.", "日本"]


def test_words_that_only_look_like_placeholders_are_none() -> None:
    assert lacks(COMPLETE.replace("Thirty years old.", "Todo el mundo lo sabe; none of it is new.")) == ""


def test_more_sections_may_be_required() -> None:
    assert "no section Energy" in lacks(COMPLETE, "Energy")
    assert lacks(COMPLETE + "\n## Energy\n2 Wh a day.\n", "Energy") == ""


def test_a_card_that_is_not_there_fails_and_says_how_to_write_one(tmp_path: Path) -> None:
    (check,) = card.judge(ModelCard(str(tmp_path / "CARD.md")))
    assert not check.passed
    assert "harness card SCENARIO -o CARD.md" in check.reason


def test_the_first_card_tells_what_is_known_and_passes_once_people_wrote_the_rest() -> None:
    model = replace(adult.plain(), metrics={"accuracy": 0.852, "log_loss": 0.32}, data_digest="sha256:d")
    checks = fairness.judge(
        Fairness(("sex",), {"equalised_odds": limit_of("<= 15%", Measure.SHARE)}), adult.scene(model)
    )
    facts = Facts(
        source="adult.csv.gz",
        training_rows=8000,
        held_out_rows=4000,
        target="income",
        intervals={"accuracy": (0.84, 0.86)},
        slices=[("sex: Female", 1300, {"accuracy": 0.92})],
        checks=checks,
    )
    text = first_card(model, facts)
    for told in (
        "data_digest: 'sha256:d'", "8,000 rows of `adult.csv.gz`", "| accuracy | 85.2% | 84% to 86% |",
        "| log_loss | 0.32 | – |", "| sex: Female | 1,300 | 92% |", "equalised_odds of sex was", "`hours-per-week`",
    ):  # fmt: skip
        assert told in text
    assert lacks(text) == (
        "model card: the front matter says no owner, Intended use is a placeholder, Limitations is a placeholder, "
        "Ethical considerations is a placeholder, Owner is a placeholder"
    )
    assert lacks(re.sub(r"TODO.*", "Written by a person.", text)) == ""


# --- reports ----------------------------------------------------------------------------------------------------------

COBERTURA = '<?xml version="1.0"?><!DOCTYPE coverage SYSTEM "x.dtd"><coverage line-rate="0.87" branch-rate="0.5"/>'
JUNIT = (
    "<testsuites><testsuite><testcase name='a'/><testcase name='b'><failure/></testcase>"
    "<testcase name='c'><error/><failure/></testcase><testcase name='d'><skipped/></testcase></testsuite></testsuites>"
)
COVERAGE = json.dumps({"totals": {"percent_covered": 91.5}})
BANDIT = json.dumps({"results": [{"issue_severity": "HIGH"}, {"issue_severity": "LOW"}]})
SAFETY = json.dumps({"vulnerabilities": [{"id": 1}, {"id": 2}]})
AUDIT = json.dumps({"dependencies": [{"name": "a", "vulns": []}, {"name": "b", "vulns": [{"id": "x"}]}]})


def judged(
    folder: Path, content: str, reader: str, bound: str, value: str = "", max_age_ns: int | None = None
) -> Check:
    file = folder / "report"
    file.write_text(content)
    limit = limit_of(bound, reports.READERS[reader].measure)
    (check,) = reports.judge(Report(str(file), reader, limit, value, max_age_ns))
    return check


@pytest.mark.parametrize(
    ("content", "reader", "value", "figure"),
    [
        (COBERTURA, "cobertura", "", 0.87),
        (COVERAGE, "coverage", "", 0.915),
        (JUNIT, "junit", "", 2),
        (BANDIT, "bandit", "", 1),
        (SAFETY, "safety", "", 2),
        (AUDIT, "safety", "", 1),
        ("[{}, {}, {}]", "safety", "", 3),
        ('{"dependencies": [{"name": "a", "vulns": null}, {"name": "b", "vulns": 7}]}', "safety", "", 1),
        ('<testsuite errors="2" failures="1"><testcase/></testsuite>', "junit", "", 3),
        (
            '<testsuites failures="1"><testsuite failures="1"><testcase><failure/></testcase></testsuite></testsuites>',
            "junit",
            "",
            1,
        ),
        (COVERAGE, "json", "$.totals.percent_covered", 91.5),
        ('{"a b": [1, {"c": [2, 3]}]}', "json", "$['a b'][1].c", 2),
    ],
)
def test_each_reader_finds_its_figure(tmp_path: Path, content: str, reader: str, value: str, figure: float) -> None:
    for bound, passed in ((f">= {figure:g}", True), (f"< {figure:g}", False)):
        check = judged(tmp_path, content, reader, bound, value)
        assert (check.value, check.passed) == (pytest.approx(figure), passed)


@pytest.mark.parametrize(
    ("content", "reader", "value", "told"),
    [
        ("<other/>", "cobertura", "", "no coverage with a line-rate"),
        ("not xml", "junit", "", "is no junit report"),
        ("<testsuite/>", "junit", "", "it holds no test"),
        ('<testsuite errors="some"><testcase/></testsuite>', "junit", "", "is no junit report"),
        ('<coverage line-rate="95"/>', "cobertura", "", "a share is from 0 to 1"),
        ('<coverage line-rate="nan"/>', "cobertura", "", "a share is from 0 to 1"),
        ("1" + "0" * 400, "json", "$", "is no json report"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><coverage line-rate="1"/>', "cobertura", "", "entities of its own"),
        ("{", "bandit", "", "is no bandit report"),
        ('{"results": 3}', "bandit", "", "its results are no list"),
        ('{"other": 3}', "safety", "", "neither vulnerabilities nor dependencies"),
        ('{"a": 1}', "json", "$.b.c", "there is nothing at $.b"),
        ('{"a": "x"}', "json", "$.a", "is no number"),
        ('{"a": 1}', "json", "a", "a path begins with $"),
        ("[" * 100_000, "json", "$", "is no json report"),
    ],
)
def test_what_is_no_such_report_fails(tmp_path: Path, content: str, reader: str, value: str, told: str) -> None:
    check = judged(tmp_path, content, reader, ">= 0", value)
    assert not check.passed
    assert told in check.reason


def test_a_report_that_is_missing_or_old_fails(tmp_path: Path) -> None:
    (check,) = reports.judge(Report(str(tmp_path / "none.xml"), "junit", limit_of("== 0")))
    assert not check.passed
    assert "there is no such file" in check.reason
    hour_ns = 3600 * 10**9
    assert judged(tmp_path, SAFETY, "safety", "<= 2", max_age_ns=hour_ns).passed
    file = tmp_path / "report"
    os.utime(file, ns=(0, file.stat().st_mtime_ns - 2 * hour_ns))
    plan = Report(str(file), "safety", limit_of("<= 2"), max_age_ns=hour_ns)
    (old,) = reports.judge(plan)
    assert "older than 1h" in old.reason
    assert not old.passed
    assert reports.judge(replace(plan, max_age_ns=None))[0].passed
