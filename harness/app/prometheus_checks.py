"""What a scenario says of Prometheus, held against it before anything runs: its queries, its token and its address.

A Prometheus that is there is asked what a run would ask it. Where it is not (one is started with the run, or it is down
now), `promtool` reads the queries, if it is installed: it comes with Prometheus.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from harness.backends.prometheus import MISSING, PROGRAM, filled_all, token_of
from harness.backends.prometheus_api import Api, NoAnswer, QueryError
from harness.backends.prometheus_queries import COUNTS, PLACE, bare, queries_of, wrong_queries
from harness.clock import epoch_ns, run_real
from harness.domain.model import ARMS, Role
from harness.domain.scenario import Scenario
from harness.domain.units import MILLISECOND, MINUTE, SECOND
from harness.errors import BackendError, InputError
from harness.exporters.promql import duration

Key = tuple[str, ...]
SECTION: Final[Key] = ("real", "prometheus")
PROMTOOL: Final = "promtool"
PROMTOOL_S: Final = 30.0
_WRONG: Final = re.compile(r'rule \d+, "(?P<name>[a-z0-9_]+)": could not parse expression: (?P<said>.+)')


@dataclass(slots=True)
class Found:
    """What was found."""

    problems: list[tuple[Key, str]] = field(default_factory=list)
    """Keys of the scenario, and what is wrong there."""
    notes: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)


def check(scenario: Scenario) -> Found:
    """Hold the queries, the token and the address of a scenario with ``metrics: prometheus``; must not be called where
    an event loop runs.
    """
    found = Found([((*SECTION, *key), told) for key, told in wrong_queries(scenario)])
    plan = scenario.real.prometheus
    if found.problems:
        return found
    if plan.url is None:
        if shutil.which(PROGRAM) is None:
            found.notes.append(MISSING)
        found.problems += _read(scenario)
        return found
    try:
        token = token_of(plan)
    except InputError as error:  # it may be set where the scenario is run
        found.notes.append(f"real.prometheus was not asked: {error}")
        found.problems += _read(scenario)
        return found
    run_real(_ask, scenario, token, found)
    return found


# --- asked ------------------------------------------------------------------------------------------------------------


async def _ask(scenario: Scenario, token: str | None, found: Found) -> None:
    plan = scenario.real.prometheus
    api = Api(plan.url or "", plan.timeout_ns, 0, token, proxied=True)
    empty: list[str] = []
    async with api.session() as session:
        for arm, name, query in _queries(scenario):
            try:
                series = await api.ask(session, query, epoch_ns() // MILLISECOND)
            except QueryError as error:
                found.problems.append((_key(scenario, name), f"{PLACE}.{name} is no query that it answers: {error}"))
                return
            except NoAnswer as error:
                found.notes.append(f"real.prometheus.url was not asked: {error}")
                found.problems += _read(scenario)
                return
            except BackendError as error:
                found.problems.append(((*SECTION, "url"), str(error)))
                return
            if name not in COUNTS and len(series) > 1:
                told = f"{query} answers with {len(series)} series where one figure is wanted; make it one, with sum()"
                found.problems.append((_key(scenario, name), f"{PLACE}.{name}: {told}"))
                return
            if not series and arm is Role.STABLE:
                empty.append(name)
    found.words.append(f"Prometheus answers {len(queries_of(scenario))} queries")
    if empty:
        found.notes.append(
            f"Prometheus has no series for stable's {', '.join(empty)} now: before servers run there may be none, and "
            "a misspelt name looks the same; a failure that no series counts is not seen"
        )


def _queries(scenario: Scenario) -> Iterator[tuple[Role, str, str]]:
    """All that a run asks of a window, by arm and name."""
    analysis = scenario.rollout.analysis
    span_ns = analysis.window_ns if analysis else MINUTE
    for arm in ARMS:
        for name, query in filled_all(queries_of(scenario), scenario.real.prometheus, arm, span_ns).items():
            counts = name in COUNTS and bare(query)
            yield arm, name, f"{query}[{duration(max(span_ns, SECOND))}]" if counts else query


def _key(scenario: Scenario, name: str) -> Key:
    own = scenario.real.prometheus.queries
    return (*SECTION, "queries", name) if name in own else (*SECTION, "labels")


# --- read -------------------------------------------------------------------------------------------------------------


def _read(scenario: Scenario) -> list[tuple[Key, str]]:
    """What promtool, where it is installed, finds wrong with the queries of one's own."""
    own = scenario.real.prometheus.queries
    if not own or shutil.which(PROMTOOL) is None:
        return []
    queries = {name: query for arm, name, query in _queries(scenario) if arm is Role.STABLE and name in own}
    return [
        ((*SECTION, "queries", name), f"{PLACE}.{name} is {own[name]!r}, which is no PromQL: {said}")
        for name, said in _misread(queries).items()
    ]


def _misread(queries: Mapping[str, str]) -> dict[str, str]:
    """By name, what promtool says of queries that it cannot read."""
    rules = [{"record": name, "expr": query} for name, query in queries.items()]
    with tempfile.TemporaryDirectory(prefix="harness-promql-") as folder:
        file = Path(folder) / "rules.yml"
        file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
        try:
            done = subprocess.run(  # noqa: S603 - a program by its name, with a file of ours
                [PROMTOOL, "check", "rules", str(file)], capture_output=True, text=True, check=False,
                timeout=PROMTOOL_S, env={"PATH": os.environ.get("PATH", "")},
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):  # it is no part of a run
            return {}
    return {found["name"]: found["said"].strip() for found in _WRONG.finditer(done.stdout + done.stderr)}
