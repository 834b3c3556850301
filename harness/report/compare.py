"""Two runs side by side: what each came to, where they differ, and what of their scenarios does. Pure."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from harness.report import compare_arms as arms
from harness.report import json, plots, sketch
from harness.report import text as words
from harness.report.chapters import ANSWERS
from harness.report.lifecycle import Approval, Check, LoadTest, Passage, Trial, TrialLook
from harness.report.plot import Plot
from harness.report.result import Expectation, Gate, Result, RuleTally
from harness.report.sections import NONE, Row, Section, difference
from harness.report.terminal import actual_text
from harness.report.why import why

DRAWN: Final = ("baseline", "stable", "shadow", "candidate", "effect", "interval")
"""Kinds of curves, those that matter most last, on top."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs, ready to be shown."""

    a: Result
    b: Result
    sentences: tuple[str, str]
    sections: Sequence[Section]
    diff: Sequence[str]
    """A unified diff of the scenario files; empty where they are the same."""


def compare(a: Result, b: Result) -> Comparison:
    """Hold two runs side by side."""
    sections = [
        Section("Cost", list(_cost(a, b))),
        Section("Expectations", _both(a.expectations, b.expectations, lambda each: each.text, _expectation)),
        Section("Gates", _both(a.gates, b.gates, lambda each: each.text, _gate)),
        Section("Analysis", _both(a.tallies, b.tallies, _rule, _tally)),
        Section(
            "Rollouts", _both(a.rollouts, b.rollouts, _passage, lambda each: each.ending) if _several(a, b) else []
        ),
        Section("A/B test", list(_trial(a, b)), "At the last look."),
        Section("Approvals and orders", _both(a.approvals, b.approvals, lambda each: each.what, _approval)),
        Section("Load tests", _both(a.load_tests, b.load_tests, lambda each: each.stage, _load_test)),
        Section("Checks", _both(a.checks, b.checks, lambda each: each.text, _gate)),
        *arms.sections(a, b),
        Section("What was run", list(_run(a, b))),
    ]
    return Comparison(a, b, (why(a), why(b)), [section for section in sections if section.rows], _diff(a, b))


def as_json(compared: Comparison) -> dict[str, Any]:
    """The comparison as a program reads it: both runs in the form of ``harness run --json``, and what differs."""
    return {
        "version": json.VERSION,
        "same_events": compared.a.event_digest == compared.b.event_digest,
        "runs": [json.plain(compared.a) | {"run": compared.a.run}, json.plain(compared.b) | {"run": compared.b.run}],
        "differences": [
            {"section": section.title, "name": row.name, "a": row.a, "b": row.b, "difference": row.difference}
            for section in compared.sections
            for row in section.rows
            if row.changed
        ],
        "totals": arms.totals_json(compared.a, compared.b),
        "drift": arms.drift_json(compared.a, compared.b),
        "scenario_diff": list(compared.diff),
    }


# --- rows -------------------------------------------------------------------------------------------------------------


def _run(a: Result, b: Result) -> Iterator[Row]:
    told: tuple[tuple[str, Callable[[Result], str]], ...] = (
        ("scenario", lambda each: each.name),
        ("outcome", lambda each: each.outcome_text),
        ("passed", lambda each: "✓ yes" if each.passed else "✗ no"),
        ("seed", lambda each: str(each.seed)),
        ("overrides", lambda each: ", ".join(each.overrides) or NONE),
        ("stable", lambda each: each.stable or NONE),
        ("candidate", lambda each: each.candidate or NONE),
        ("began", lambda each: each.started[:19].replace("T", " ") or NONE),
        ("harness", lambda each: each.program or NONE),
        ("digest of the events", lambda each: each.event_digest[:19]),
    )
    for name, of in told:
        yield Row(name, of(a), of(b))


def _cost(a: Result, b: Result) -> Iterator[Row]:
    figures: tuple[tuple[str, str, Callable[[float | None], str]], ...] = (
        ("requests", "requests", words.count),
        ("requests to the candidate", "candidate_requests", words.count),
        ("its largest share", "candidate_share_max", words.share),
        ("its bad answers", "bad_responses", words.count),
        ("failed requests", "failed_requests", words.count),
        ("users exposed", "users_exposed", words.count),
        ("users harmed", "users_harmed", words.count),
        ("detected after", "detected_after_s", words.span),
        ("decided at", "decided_at_s", words.span),
        ("simulated", "simulated_s", words.span),
    )
    for name, key, said in figures:
        mine, theirs = getattr(a, key), getattr(b, key)
        yield Row(name, said(mine), said(theirs), difference(mine, theirs, said, share=said is words.share))


def _both(a: Sequence[Any], b: Sequence[Any], key: Callable[[Any], str], said: Callable[[Any], str]) -> list[Row]:
    """A row for whatever either run has, in the order of the first."""
    mine, theirs = {key(each): said(each) for each in a}, {key(each): said(each) for each in b}
    return [Row(name, mine.get(name, NONE), theirs.get(name, NONE)) for name in dict.fromkeys([*mine, *theirs])]


def _expectation(expectation: Expectation) -> str:
    return f"{'✓' if expectation.passed else '✗'} {actual_text(expectation)}"


def _rule(tally: RuleTally) -> str:
    return f"{tally.rule} ({tally.by})" if tally.by else tally.rule


def _several(a: Result, b: Result) -> bool:
    return a.several or b.several


def _passage(passage: Passage) -> str:
    return f"rollout {passage.number}" if passage.number else "a candidate that was rejected"


def _approval(approval: Approval) -> str:
    return f"{ANSWERS[approval.answer]}{f' by {approval.by}' if approval.by else ''}"


def _trial(a: Result, b: Result) -> Iterator[Row]:
    """Where the A/B tests of both stood at last."""
    tests = [result.trials[-1] if result.trials else None for result in (a, b)]
    told: tuple[tuple[str, Callable[[Trial, TrialLook], str]], ...] = (
        ("metric", lambda test, _: test.metric),
        ("candidate", lambda test, last: words.figure(test.metric, last.candidate)),
        ("stable", lambda test, last: words.figure(test.metric, last.stable)),
        ("effect", lambda test, last: words.effect(test.metric, last.effect)),
        ("interval from", lambda test, last: words.effect(test.metric, last.lower)),
        ("interval to", lambda test, last: words.effect(test.metric, last.upper)),
        ("p", lambda _, last: words.probability(last.p_value)),
        ("mismatch p", lambda _, last: words.probability(last.mismatch_p)),
        ("found", lambda _, last: last.finding),
    )
    if any(tests):
        for name, of in told:
            yield Row(name, *(of(test, test.last) if test and test.last else NONE for test in tests))


def _gate(gate: Gate | Check) -> str:
    return f"{'✓' if gate.passed else '✗'} {words.figure(gate.name, gate.value)}"


def _load_test(test: LoadTest) -> str:
    met = " ".join(f"{'✓' if each.passed else '✗'} {each.text}" for each in test.slos)
    return (
        f"grade {test.grade or NONE} at {test.asked}, p99 {words.figure('p99', test.figures.get('p99'))} {met}".rstrip()
    )


def _tally(tally: RuleTally) -> str:
    counts = {"passed": tally.passed, "failed": tally.failed, "incon.": tally.inconclusive, "error": tally.errors}
    return ", ".join(f"{number:,} {what}" for what, number in counts.items() if number or what == "failed")


def _diff(a: Result, b: Result) -> list[str]:
    mine, theirs = (f"{each.path or each.name} ({each.run or 'no run'})" for each in (a, b))
    return list(difflib.unified_diff(a.text.splitlines(), b.text.splitlines(), mine, theirs, lineterm=""))


# --- plots ------------------------------------------------------------------------------------------------------------


def frames(compared: Comparison) -> list[sketch.Frame]:
    """Every plot that both or either run has, its curves in one frame."""
    made: dict[str, list[tuple[str, Plot]]] = {}
    for side, result in (("a", compared.a), ("b", compared.b)):
        for plot in plots.plots(result):
            made.setdefault(plot.id, []).append((side, plot))
    found = []
    for sides in made.values():
        first = sides[0][1]
        curves = [
            (f"{side} {line.kind}", plot.minutes, line.values)
            for kind in DRAWN
            for side, plot in sides
            for line in plot.lines
            if line.kind == kind
        ]
        found.append(
            sketch.frame(first.title, curves, sketch.Labeller(first.unit), steps=first.stepped, zero=first.zero)
        )
    return [frame for frame in found if frame]
