"""The timeline of a policy, foreseen: when each step comes, how many requests it exposes, what its looks will rest on.

Everything goes well in it: replicas start in their stated time, no look fails, no step is held.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Final

from harness.domain.analysis import AnalysisPolicy, NoData
from harness.domain.model import ARMS, Role
from harness.domain.rollout import Analyze, Approve, Decide, EnterStep, Pause, SetWeight, Want
from harness.domain.scenario import Scenario
from harness.domain.units import MINUTE, SECOND, WHOLE, duration_text, share_text
from harness.strategies.foresight import Foreseen, walk
from harness.strategies.played import played
from harness.strategies.rolling import Rolling
from harness.strategies.steps import Steps

Expected = Callable[[int, int], float]
"""How many requests are expected in ``[start, stop)``, in ns since traffic began."""

NEARLY: Final = 0.9
"""So busy, servers have queues that any disturbance makes long."""
PEAK_NS: Final = 10 * SECOND
LAST_NS: Final = 3600 * SECOND
"""How far beyond the promotion traffic is looked at."""


@dataclass(frozen=True, slots=True)
class Row:
    """One step of the timeline."""

    at_ns: int
    """Since traffic began."""
    step: str
    weight: int
    requests: float
    """Expected at the candidate while the step lasts."""
    looks: int
    answers: float | None
    """Expected at the candidate in one look's window; None without analysis."""
    note: str

    def as_text(self) -> tuple[str, ...]:
        """The cells of a table."""
        answers = "" if self.answers is None or not self.looks else f"{self.answers:,.0f}"
        looks = str(self.looks) if self.looks else ""
        requests = f"{self.requests:,.0f}" if self.requests else ""
        return (
            duration_text(self.at_ns), self.step, share_text(self.weight), requests, looks, answers, self.note,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Timeline:
    """What a rollout would do if all goes well."""

    name: str
    rows: tuple[Row, ...]
    before_ns: int
    """Training, in virtual time, before traffic begins."""
    total_ns: int
    """From the start of traffic to the promotion."""
    remarks: tuple[str, ...]
    overloads: tuple[str, ...]
    """Where the servers cannot keep up, or hardly; with no fault at all."""
    promotes: bool = True
    """It ends with a promotion."""
    sooner: bool = False
    """A test in it may decide sooner."""

    @property
    def sentence(self) -> str:
        """The policy in one line."""
        requests = sum(row.requests for row in self.rows)
        looks = sum(row.looks for row in self.rows)
        before = f" after {duration_text(self.before_ns)} of training" if self.before_ns else ""
        ends = "promoted" if self.promotes else "stable is kept"
        latest = "at the latest, " if self.sooner else ""
        return (
            f"{ends} {duration_text(self.total_ns)} after traffic began{before}, {latest}if all goes well; "
            f"{looks} looks, about {requests:,.0f} requests answered by the candidate until then"
        )

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {"version": 1, "sentence": self.sentence, **asdict(self)}


def timeline(scenario: Scenario, expected: Expected, mean_s: Mapping[Role, float]) -> Timeline:
    """Foresee a scenario's rollout.

    Args:
        scenario: whose policy.
        expected: its traffic.
        mean_s: how long a request is served on average, by arm, in seconds.
    """
    policy, analysis = scenario.rollout, scenario.rollout.analysis
    begun = at_ns = scenario.service[Role.CANDIDATE].startup_ns
    rows = [Row(0, "replicas start", 0, 0.0, 0, None, "")]
    if policy.by_replicas or policy.strategy == "rolling":
        rows, at_ns = _by_replicas(scenario, expected)
        begun = 0
    else:
        for each in walk(policy):
            rows.append(_row(each, begun, analysis, expected))
            at_ns = begun + each.at_ns + each.takes_ns
    rows.append(
        Row(at_ns, "promote" if policy.promote else "keep stable", WHOLE if policy.promote else 0, 0.0, 0, None, "")
    )
    before = scenario.model.stable.duration_ns + scenario.model.candidate.duration_ns
    overloads = tuple(_overloads(scenario, rows, expected, mean_s))
    remarks = (*_remarks(scenario, rows, at_ns - begun, before), *overloads)
    sooner = any(isinstance(step, Decide) for step in policy.steps)
    return Timeline(scenario.name, tuple(rows), before, at_ns, remarks, overloads, policy.promote, sooner)


def _by_replicas(scenario: Scenario, expected: Expected) -> tuple[list[Row], int]:
    """The rows of a rollout whose traffic follows its replicas, and when it ends: played, not added up."""
    policy, analysis = scenario.rollout, scenario.rollout.analysis
    sizes = {role: service.replicas for role, service in scenario.service.items()}
    machine = Rolling(policy, sizes) if policy.strategy == "rolling" else Steps(policy, sizes)
    every_ns = analysis.every_ns if analysis else MINUTE
    startup_ns = scenario.service[Role.CANDIDATE].startup_ns
    marks = list(played(machine, sizes, startup_ns, every_ns))
    end_ns = marks[-1][0] if marks else 0
    points: list[tuple[int, str, int]] = []
    weight, batch = 0, 0
    for at_ns, action in marks:
        match action:
            case Want(weights):
                weight = weights.get(Role.CANDIDATE, 0)
                if weight:
                    points.append((at_ns, f"{share_text(weight)} of the ready replicas", weight))
            case EnterStep(_, step):
                batch += 1
                points.append((at_ns, f"batch {batch}" if policy.strategy == "rolling" else str(step), weight))
    rows = []
    for (at_ns, told, share), (until_ns, *_) in pairwise([*points, (end_ns, "", 0)]):
        looks, answers = 0, None
        if analysis and share and until_ns > at_ns:
            looks = until_ns // every_ns - at_ns // every_ns
            answers = share / WHOLE * expected(until_ns - min(analysis.window_ns, until_ns - at_ns), until_ns)
        few = answers is not None and looks and analysis is not None and answers < analysis.min_requests
        note = "too few to judge by" if few else ""
        rows.append(Row(at_ns, told, share, share / WHOLE * expected(at_ns, until_ns), looks, answers, note))
    return rows, end_ns


def _row(each: Foreseen, begun: int, background: AnalysisPolicy | None, expected: Expected) -> Row:
    step, weight, at_ns = each.step, each.weight, begun + each.at_ns
    share, stop = max(weight, each.copied) / WHOLE, at_ns + each.takes_ns
    requests = weight / WHOLE * expected(at_ns, stop)
    own = step.policy if isinstance(step, Analyze) else None
    analysis = own or background
    if analysis is None or not share or not each.takes_ns:
        return Row(at_ns, str(step), weight, requests, 0, None, "")
    looks = (stop - begun) // analysis.every_ns - (at_ns - begun) // analysis.every_ns
    if isinstance(step, Analyze):
        looks = step.looks
    window = min(analysis.window_ns, each.takes_ns)
    answers = share * expected(stop - window, stop)
    note = "too few to judge by" if answers < analysis.min_requests else ""
    return Row(at_ns, str(step), weight, requests, looks, answers, note)


def _remarks(scenario: Scenario, rows: list[Row], length_ns: int, before_ns: int) -> list[str]:
    analysis, remarks = scenario.rollout.analysis, _waits(scenario)
    judged = any(isinstance(step, Analyze | Decide) for step in scenario.rollout.steps)
    if analysis is None and not judged:
        remarks.append("nothing is judged: this policy has no analysis")
    if scenario.labels and (analysis or judged):
        first = scenario.labels.delay_ns
        told = f"the first labels come {duration_text(first)} after the first answers"
        remarks.append(told + (": never, in this policy" if first >= length_ns else ""))
    if analysis and any(row.note for row in rows if row.answers is not None):
        least = f"where a look finds fewer than {analysis.min_requests} answers (min_requests)"
        remarks.append(f"{least}, no_data: {analysis.no_data} decides{_held(analysis)}")
    timed = not (scenario.rollout.by_replicas or scenario.rollout.strategy == "rolling")
    if timed and any(not row.looks and isinstance(row.answers, float) for row in rows):
        remarks.append("some pauses are shorter than the time between two looks")
    bare = [
        str(step)
        for step, then in zip(scenario.rollout.steps, [*scenario.rollout.steps, None][1:], strict=True)
        if isinstance(step, SetWeight) and not isinstance(then, Pause | Analyze | Approve | Decide)
    ]
    if bare and analysis and timed:
        what = "held until every rule has passed on it" if analysis.no_data is NoData.HOLD else "left unjudged"
        remarks.append(f"no pause after {', '.join(bare)}: {what}")
    horizon = scenario.horizon_ns
    if before_ns + rows[-1].at_ns > horizon:
        remarks.append(f"the horizon ({duration_text(horizon)}) comes before the end")
    return remarks


def _waits(scenario: Scenario) -> list[str]:
    """Where people are waited for, who answer at once in the timeline."""
    longest = [step.within_ns for step in scenario.rollout.steps if isinstance(step, Approve) and step.within_ns]
    remarks = [f"an approval is counted as immediate; it may take {duration_text(within_ns)}" for within_ns in longest]
    endless = any(isinstance(step, Pause) and step.duration_ns is None for step in scenario.rollout.steps)
    return [*remarks, "a pause ends when a person says so; it is counted as over at once"] if endless else remarks


def _overloads(scenario: Scenario, rows: list[Row], expected: Expected, mean_s: Mapping[Role, float]) -> Iterator[str]:
    """For each arm the busiest stretch of the timeline, where it asks for nearly all that the arm's slots can do."""
    begins = [(row.at_ns, row.weight) for row in rows]
    ends = [*pairwise(begins), (begins[-1], (begins[-1][0] + LAST_NS, 0))]
    for role in ARMS:
        service = scenario.service[role]
        servers = service.replicas * service.slots
        asked = 0.0
        for (at_ns, weight), (until_ns, _) in ends:
            share = (weight if role is Role.CANDIDATE else WHOLE - weight) / WHOLE
            asked = max(asked, share * _peak(expected, at_ns, until_ns))
        busy = asked * mean_s[role] / servers
        if busy >= NEARLY:
            has = f"its {service.replicas} replicas of {service.slots} slots serve {_rate(servers / mean_s[role])}"
            told = "queues grow until requests fail" if busy >= 1 else f"{busy:.0%} busy, with long queues"
            yield f"{role} is asked up to {_rate(asked)} and {has}: {told}"


def _rate(per_s: float) -> str:
    """A rate as people write it: 1,000/s, 432/s, 3.25/s."""
    return f"{per_s:,.0f}/s" if per_s >= 100 else f"{per_s:.3g}/s"


def _peak(expected: Expected, at_ns: int, until_ns: int) -> float:
    """The highest rate over ten seconds of a stretch, in 1/s."""
    cuts = [*range(at_ns, until_ns, PEAK_NS), until_ns]
    return max((expected(start, stop) / (stop - start) * SECOND for start, stop in pairwise(cuts)), default=0.0)


def _held(analysis: AnalysisPolicy) -> str:
    return ": the step is not left" if analysis.no_data is NoData.HOLD else ""
