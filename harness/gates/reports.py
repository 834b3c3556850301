"""``report``: a report that something else wrote (tests, a scanner) says what it should.

Each reader takes the bytes of a file and answers with one figure. Adding a format is adding a reader to the table.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

from harness.clock import epoch_ns
from harness.domain.gates import Check, Measure, Report
from harness.domain.units import duration_text
from harness.gates.scene import Scene
from harness.gates.words import share

NAME: Final = "report"
PART: Final = re.compile(r"\.([A-Za-z_][\w-]*)|\[(\d+)\]|\['([^']+)'\]")
LARGEST: Final = 100_000_000


@dataclass(frozen=True, slots=True)
class Reader:
    """How a kind of report is read."""

    read: Callable[[bytes, str], float]
    """The file, and where the figure is (of JSON); ValueError where it holds none."""
    about: str
    measure: Measure
    bound: str = ""
    """What is asked where nothing is said; empty: it must be said."""


def judge(plan: Report, scene: Scene | None = None) -> tuple[Check, ...]:
    """Whether the report is there, young enough, and keeps its bound."""
    del scene
    reader, path = READERS[plan.reader], Path(plan.path)
    what = f"{plan.value or reader.about} of {path.name}"
    name, text = f"{NAME}.{path.name}", f"report: {what} {plan.limit.text}"

    def refused(reason: str) -> tuple[Check, ...]:
        return (Check(name, text, passed=False, reason=f"{what}: {reason}", bound=plan.limit.text),)

    try:
        age_ns, size = epoch_ns() - path.stat().st_mtime_ns, path.stat().st_size
        data = path.read_bytes() if size <= LARGEST else b""
    except FileNotFoundError:
        return refused("there is no such file; run what writes it first")
    except OSError as error:
        return refused(f"it cannot be read: {error.strerror}")
    if size > LARGEST:
        return refused(f"{size:,} bytes are more than a report has")
    if plan.max_age_ns is not None and age_ns > plan.max_age_ns:
        return refused(f"it is older than {duration_text(plan.max_age_ns)}; run what writes it again")
    try:
        value = reader.read(data, plan.value)
    except (ValueError, OverflowError, ET.ParseError, RecursionError) as error:
        return refused(f"it is no {plan.reader} report: {error}")
    return (
        Check(
            name=name,
            text=text,
            passed=plan.limit.holds(value),
            reason=f"{what} was {share(value) if reader.measure is Measure.SHARE else f'{value:g}'} "
            f"(bound: {plan.limit.text})",
            value=value,
            bound=plan.limit.text,
        ),
    )


# --- XML --------------------------------------------------------------------------------------------------------------


def _xml(data: bytes) -> ET.Element:
    """The root of an XML file; one that defines entities is refused, for they can grow without end."""
    if b"<!ENTITY" in data:
        raise ValueError("it defines entities of its own, which no report does")
    return ET.fromstring(data)  # noqa: S314 - entities are refused above


def cobertura(data: bytes, _: str) -> float:
    """The share of lines that tests ran, of a Cobertura XML file."""
    root = _xml(data)
    rate = root.get("line-rate")
    if root.tag != "coverage" or rate is None:
        raise ValueError("it has no coverage with a line-rate")
    share = float(rate)
    if not 0 <= share <= 1:
        raise ValueError(f"its line-rate is {rate}, and a share is from 0 to 1")
    return share


def junit(data: bytes, _: str) -> float:
    """Tests that failed or broke, of a JUnit XML file; one without a test is no report of tests."""
    root = _xml(data)
    if root.tag not in {"testsuites", "testsuite"}:
        raise ValueError("it has no testsuite")
    cases = list(root.iter("testcase"))
    if not cases:
        raise ValueError("it holds no test")
    seen = sum(any(case.find(word) is not None for word in ("failure", "error")) for case in cases)
    return float(max(seen, *(_counted(suite) for suite in (root, *root.iter("testsuite")))))


def _counted(suite: ET.Element) -> int:
    """What a suite itself says has failed or broken: what broke before any test began may have no test of its own."""
    return sum(int(suite.get(word) or 0) for word in ("failures", "errors"))


# --- JSON -------------------------------------------------------------------------------------------------------------


def _json(data: bytes) -> Any:
    return json.loads(data)


def at_path(document: Any, path: str) -> Any:
    """What stands at a path of a document.

    >>> at_path({"totals": {"lines": [80, 90]}}, "$.totals.lines[1]")
    90

    Raises:
        ValueError: the path is none, or leads nowhere.
    """
    if not path.startswith("$"):
        raise ValueError(f"a path begins with $: $.{path}")
    at, rest = document, path[1:]
    while rest:
        part = PART.match(rest)
        if not part:
            raise ValueError(f"a path is made of .NAME and [NUMBER]; {rest!r} is neither")
        key, number = part[1] or part[3], part[2]
        try:
            at = at[int(number)] if key is None and isinstance(at, list) else at[key] if isinstance(at, dict) else None
        except (KeyError, IndexError):
            at = None
        rest = rest[part.end() :]
        if at is None:
            raise ValueError(f"there is nothing at {path.removesuffix(rest)}")
    return at


def json_value(data: bytes, path: str) -> float:
    """A number at a path; of a list or a mapping, how many it holds."""
    found = at_path(_json(data), path or "$")
    if isinstance(found, list | dict):
        return float(len(found))
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise ValueError(f"{found!r} at {path} is no number")  # noqa: TRY004 - of a file's content
    return float(found)


def coverage(data: bytes, _: str) -> float:
    """The share of lines that tests ran, of coverage.py's JSON file (which has it in percent)."""
    return json_value(data, "$.totals.percent_covered") / 100


def bandit(data: bytes, _: str) -> float:
    """Issues of high severity, of bandit's JSON file."""
    results = at_path(_json(data), "$.results")
    if not isinstance(results, list):
        raise ValueError("its results are no list")  # noqa: TRY004 - of a file's content
    return float(sum(isinstance(each, dict) and each.get("issue_severity") == "HIGH" for each in results))


def safety(data: bytes, _: str) -> float:
    """Known vulnerabilities of installed packages, of safety's or pip-audit's JSON file."""
    document = _json(data)
    if isinstance(document, dict) and isinstance(document.get("vulnerabilities"), list):
        return float(len(document["vulnerabilities"]))
    packages = document.get("dependencies") if isinstance(document, dict) else document
    if not isinstance(packages, list):
        raise ValueError("it lists neither vulnerabilities nor dependencies")  # noqa: TRY004 - of a file's content
    found: list[Any] = [
        each.get("vulns") or [] if isinstance(each, dict) and "name" in each else [each] for each in packages
    ]
    return float(sum(len(each) if isinstance(each, list) else 1 for each in found))


READERS: Final[Mapping[str, Reader]] = {
    "bandit": Reader(bandit, "issues of high severity", Measure.NUMBER, "== 0"),
    "cobertura": Reader(cobertura, "lines covered by tests", Measure.SHARE),
    "coverage": Reader(coverage, "lines covered by tests", Measure.SHARE),
    "json": Reader(json_value, "the figure", Measure.NUMBER),
    "junit": Reader(junit, "tests that failed", Measure.NUMBER, "== 0"),
    "safety": Reader(safety, "known vulnerabilities", Measure.NUMBER, "== 0"),
}
