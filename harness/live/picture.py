"""One picture of a run under way."""

from collections.abc import Iterator
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.analysis.vocabulary import METRICS, QUALITY
from harness.domain.model import ARMS, Role
from harness.domain.units import SECOND, share_text
from harness.report import text as words
from harness.report.diary import LEADS_TO
from harness.report.folding import Folding
from harness.report.lifecycle import Trial
from harness.report.terminal import STYLES

USUAL: Final = ("p50", "p95", "p99", "error_rate")
FEWER: Final = ("p95", "error_rate")
DRIFT: Final = "drift_score"
RECENT: Final = 40
"""Looks among which the last one of each rule is sought."""
NARROW: Final = 92
SHORT: Final = {"error_rate": "errors", "drift_score": "drift"}
LAST: Final = 3
"""Lines of the diary that stay in sight."""


def picture(seen: Folding, width: int = 100) -> RenderableType:
    """Where the run stands: stage, step and plan, both arms, the last verdicts, and what happened last."""
    blocks: list[RenderableType] = [_head(seen), *_urgent(seen)]
    if seen.traffic_ns is not None:
        blocks.append(_progress(seen))
        blocks.append(_arms(seen, width))
    if seen.looks:
        blocks.append(_verdicts(seen))
    blocks.append(_diary(seen))
    return Group(*blocks)


def _head(seen: Folding) -> Text:
    head = Text(seen.started.scenario if seen.started else "", style="bold", no_wrap=True, overflow="ellipsis")
    head.append(f"  {words.clock_time(seen.now_ns / SECOND)}", style="cyan")
    stage = seen.stages[-1] if seen.stages else None
    if stage:
        head.append(f"  {stage.name}", style="default")
    if seen.course.number > 1:
        head.append(f"  rollout {seen.course.number}", style="default")
    if seen.decided:
        head.append(f"  {seen.decided.outcome.value.replace('_', ' ')}", style="bold magenta")
    return head


def _urgent(seen: Folding) -> Iterator[Text]:
    """What asks for a person, or is about to decide: an alarm, a wait, where the A/B test stands."""
    course = seen.course
    if course.alarms:
        alarm = course.alarms[-1]
        at = words.clock_time(alarm.at_s)
        told = f"alarm of {alarm.monitor} at +{at}: {alarm.reason}; {LEADS_TO.get(alarm.leads_to, alarm.leads_to)}"
        yield Text(told, style="bold red", overflow="fold")
    if waiting := course.waiting:
        until = ""
        if waiting.until_s is not None:
            left_s = max(waiting.until_s - seen.since_traffic_s(seen.now_ns), 0.0)
            until = f", until +{words.clock_time(waiting.until_s)} ({words.span(left_s)} left)"
        yield Text(f"waiting for a person: {waiting.what}{until}", style="bold yellow", overflow="fold")
    trial = course.trials[-1] if course.trials else None
    if trial and trial.rollout == course.number and not seen.decided:
        yield Text(_standing(trial), style="cyan", overflow="fold")


def _standing(trial: Trial) -> str:
    """Where an A/B test stands."""
    last = trial.last
    needed = f" of {words.count(trial.needed)} planned" if trial.needed else ""
    if last is None or last.effect is None:
        return f"A/B test on {trial.metric}: nothing to say yet"
    effect, low, high = (words.effect(trial.metric, value) for value in (last.effect, last.lower, last.upper))
    seen = words.count(sum(last.answers.values()))
    p_value = words.probability(last.p_value)
    return (
        f"A/B test on {trial.metric}: {effect} ({low} to {high}), p {p_value}, {seen} answers{needed}: {last.finding}"
    )


def _progress(seen: Folding) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(width=24)
    grid.add_column(no_wrap=True)
    step = "waiting for replicas"
    if seen.step and seen.started:
        # A rolling update has as many steps as batches, and says so only as they come.
        of = f" of {len(seen.started.steps)}" if seen.step.index < len(seen.started.steps) else ""
        step = f"step {seen.step.index + 1}{of}: {seen.step.step}"
    share = progress(seen)
    grid.add_row(step, ProgressBar(total=1.0, completed=share, width=24), f"{share:.0%} of the plan")
    return grid


def progress(seen: Folding) -> float:
    """How far through its plan the rollout is, in 0..1: by time, since the candidate's first request."""
    plan = seen.started.plan if seen.started else ()
    if not plan or seen.exposed_ns is None or plan[-1][0] <= 0:
        return 0.0
    until_ns = seen.decided.at_ns if seen.decided else seen.now_ns
    return min(1.0, (until_ns - seen.exposed_ns) / plan[-1][0])


def _arms(seen: Folding, width: int) -> Table:
    shown = [*(USUAL if width >= NARROW else FEWER), *_quality(seen), DRIFT]
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("arm")
    for name in ("share", "ready", "requests", *shown):
        table.add_column(SHORT.get(name, name), justify="right", no_wrap=True)
    last = seen.observed[-1].arms if seen.observed else {}
    for role in [role for role in Role if role in ARMS or (role in last and last[role].requests)]:
        arm = last.get(role)
        ready, wanted = seen.ready.get(role, (0, 0))
        figures = [words.figure(name, arm.figures.get(name)) if arm else "–" for name in shown]
        weight = share_text(seen.weights.get(role, 0))
        table.add_row(role.value, weight, f"{ready}/{wanted}", words.count(arm.requests if arm else None), *figures)
    return table


def _quality(seen: Folding) -> list[str]:
    """The quality metrics that rules speak of; else the usual one that is measured."""
    judged = {look.metric for look in seen.looks[-RECENT:]}
    named = [name for name in METRICS if name in judged and METRICS[name].kind in QUALITY]
    figures = seen.observed[-1].arms.get(Role.STABLE) if seen.observed else None
    usual = [name for name in ("accuracy", "r2") if figures and figures.figures.get(name) is not None]
    return named or usual


def _verdicts(seen: Folding) -> Table:
    table = Table.grid(padding=(0, 2))
    for look in {look.rule: look for look in seen.looks[-RECENT:]}.values():
        failures = f"{look.failures} failed so far" if look.failures else ""
        table.add_row(Text(look.verdict.value, style=STYLES[look.verdict]), look.rule, Text(failures, style="red"))
    return table


def _diary(seen: Folding) -> Text:
    lines = [f"{words.clock_time(moment.at_s):>8}  {moment.text}" for moment in seen.moments[-LAST:]]
    return Text("\n".join(lines), style="dim", no_wrap=True, overflow="ellipsis")
