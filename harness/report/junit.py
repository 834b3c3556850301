"""The result as JUnit XML, which every CI system reads: a scenario is a suite, an expectation a case.

JUnit never had one schema. What is written here satisfies both that are in use: Jenkins' and that of Apache Ant's task,
which is the stricter (a fixed order of elements, a host name, times without a zone).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree as ET

from harness.report.result import UNFINISHED, Result, Unstarted
from harness.report.terminal import actual_text
from harness.report.why import gate_reason, why

NEVER: Final = "1970-01-01T00:00:00"
"""The date of what never began: a schema asks for one."""
BROKEN: Final = frozenset({"error", "failed", None})
"""Outcomes that are the harness's or a backend's trouble, and no verdict on the candidate."""
REAL_CLOCK: Final = "its clock is real; `--clock real` runs it"
NOT_REACHED: Final = "not run: interrupted"


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that a run was held to."""

    name: str
    kind: str = ""
    """failure, error or skipped; empty where it passed."""
    message: str = ""


def render(results: Sequence[Result | Unstarted], skipped: Sequence[str] = (), unreached: Sequence[str] = ()) -> str:
    """Several runs as one document.

    Args:
        results: one for each scenario that ran or should have.
        skipped: paths of scenarios that were not to run.
        unreached: paths of those that an interrupt kept from running.
    """
    root = ET.Element("testsuites")
    for result in results:
        if isinstance(result, Unstarted):
            add_suite(
                root, result.name, result.path, [Case("the run starts", "error", result.reason)], said=result.reason
            )
            continue
        known = {
            "seed": str(result.seed),
            "digest": result.event_digest,
            "outcome": result.outcome or UNFINISHED,
            "clock": result.clock,
            "run": result.run,
        }
        cases = list(_cases(result))
        add_suite(
            root, result.name, result.path, cases, known, result.wall_s, result.started[:19] or NEVER, why(result)
        )
    for paths, reason in ((skipped, REAL_CLOCK), (unreached, NOT_REACHED)):
        for path in paths:
            add_suite(root, path, path, [Case("the run starts", "skipped", reason)])
    return document(root)


def document(root: ET.Element) -> str:
    """The text of a document of suites."""
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _cases(result: Result) -> Iterator[Case]:
    sentence = why(result)
    broken = result.outcome in BROKEN and not result.passed
    if broken:
        yield Case("the run ends in order", "error", sentence)
    for expectation in result.expectations:
        message = f"expected {expectation.expected or expectation.text}, was {actual_text(expectation)}"
        yield Case(expectation.text, "" if expectation.passed else "failure", message)
    # A gate whose rejection was expected did what it should.
    asked = result.passed or any(each.passed and "outcome" in each.text for each in result.expectations)
    for gate in result.gates:
        if not gate.passed:
            yield Case(f"gate: {gate.text}", "" if asked else "failure", gate_reason(gate, result))
    if not result.expectations and not broken:
        yield Case("the candidate is promoted", "" if result.passed else "failure", sentence)
    elif not result.passed and not broken and not result.unmet:
        yield Case("the run is reported", "error", "every expectation was met, but the run or its report failed")


def add_suite(
    root: ET.Element,
    name: str,
    path: str,
    cases: Sequence[Case],
    known: dict[str, str] | None = None,
    wall_s: float = 0.0,
    began: str = NEVER,
    said: str = "",
) -> None:
    """Add a suite to a document.

    Args:
        root: the document's outermost element.
        name: of the suite.
        path: its package: the file, or what else it is known by.
        cases: what it was held to.
        known: its properties.
        wall_s: how long it took, in seconds.
        began: date and time without a zone.
        said: its output.
    """
    kinds = [case.kind for case in cases]
    suite = ET.SubElement(
        root,
        "testsuite",
        name=clean(name) or "unnamed",
        package=clean(path) or "unnamed",
        id=str(len(root)),
        hostname="localhost",  # a schema asks for it, and where it ran is nobody's business
        timestamp=began,
        tests=str(len(cases)),
        failures=str(kinds.count("failure")),
        errors=str(kinds.count("error")),
        skipped=str(kinds.count("skipped")),
        time=f"{wall_s:.3f}",
    )
    properties = ET.SubElement(suite, "properties")
    for key, value in (known or {}).items():
        ET.SubElement(properties, "property", name=key, value=clean(value))
    for index, case in enumerate(cases):
        # The run took its time once: the first case has it, so that those who add up cases get the suite's.
        time = f"{0.0 if index else wall_s:.3f}"
        element = ET.SubElement(suite, "testcase", name=clean(case.name), classname=clean(name) or "unnamed", time=time)
        if case.kind == "skipped":
            ET.SubElement(element, "skipped", message=clean(case.message))
        elif case.kind:
            ET.SubElement(element, case.kind, message=clean(case.message), type=case.kind).text = clean(
                f"{case.name}: {case.message}"
            )
    ET.SubElement(suite, "system-out").text = clean(said)
    ET.SubElement(suite, "system-err")


def clean(text: str) -> str:
    r"""Text without the characters that XML 1.0 cannot hold, not even escaped.

    >>> clean("a\x00b")
    'a�b'
    """
    return "".join(character if _is_xml(ord(character)) else "\N{REPLACEMENT CHARACTER}" for character in text)


def _is_xml(code: int) -> bool:
    return code in {0x9, 0xA, 0xD} or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000
