"""What the page draws: a result's series as plots with lines, bounds and markers, pure data for the drawing script.

One metric, one plot: each has two arms, told apart by dash and colour, and the bound that its rule set. All share one
time axis, so that a fault can be followed from the latency down to the verdict.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from string import ascii_uppercase
from typing import Any, Final

from harness.analysis.vocabulary import METRICS, QUALITY, Kind
from harness.domain.analysis import Unit, Verdict
from harness.domain.model import ARMS, Role
from harness.report import text as words
from harness.report.effect import effect
from harness.report.plot import Line, Plot, Values, minutes, short
from harness.report.result import Look, Mark, Marker, Result

ALWAYS: Final = ("p50", "p95", "p99", "error_rate")
ALSO: Final = ("drift_score", "prediction_drift")
SHORT_S: Final = 180.0
FEW: Final = 5
"""Fewer answers in a window make no percentile and no rate: one slow request would set the scale of the whole plot."""
TITLES: Final[Mapping[str, str]] = {
    "p50": "Latency, median (p50)",
    "drift_score": "Drift score of the inputs",
    "prediction_drift": "Drift score of the predictions",
    "error_rate": "Error rate",
    "log_loss": "Log loss",
}


Foreseen = Sequence[tuple[float, float | None]]
"""(seconds since traffic began, value); None where there is none from then on."""


@dataclass(frozen=True, slots=True)
class Flag:
    """Markers of one kind at one instant, as one vertical line."""

    minute: float
    mark: Mark
    label: str
    texts: Sequence[str]


def plots(result: Result) -> list[Plot]:
    """Every plot that has something to show."""
    if result.traffic_from_s is None:
        return []
    tests = [effect(result)] if any(trial.looks for trial in result.trials) else []
    return [_share(result), *tests, *(_metric(result, name) for name in _metrics(result) if result.series.has(name))]


def missing(result: Result) -> list[str]:
    """Metrics that rules speak of, but nothing was ever measured of."""
    if result.traffic_from_s is None:
        return []
    return [name for name in _judged(result) if not result.series.has(name)]


def short_run(result: Result) -> bool:
    """Its plots have seconds on their axis: on real time a run may be over before three minutes."""
    return _end_s(result) < SHORT_S


def document(result: Result) -> dict[str, Any]:
    """What the script needs, as JSON."""
    return {
        "end": minutes(_end_s(result)),
        "short": short_run(result),
        "flags": [
            {"x": flag.minute, "mark": flag.mark.value, "label": flag.label, "texts": list(flag.texts)}
            for flag in flags(result)
        ],
        "failed": sorted({minutes(look.at_s) for look in result.analysis if look.verdict is Verdict.FAIL}),
        "plots": [
            {
                "id": plot.id,
                "title": plot.title,
                "unit": plot.unit,
                "x": list(plot.minutes),
                "lines": [{"name": line.name, "kind": line.kind, "y": list(line.values)} for line in plot.lines],
                "stepped": plot.stepped,
                "zero": plot.zero,
                "failed": list(plot.failed),
                "span": list(plot.span) if plot.span else None,
            }
            for plot in plots(result)
        ],
    }


def flags(result: Result) -> list[Flag]:
    """The markers, those of one kind and instant together; each fault has a letter of its own."""
    texts = dict.fromkeys(marker.label for marker in result.markers if marker.mark is Mark.FAULT)
    letters = {text: ascii_uppercase[index % 26] for index, text in enumerate(texts)}

    def label(marker: Marker) -> str:
        if marker.mark is Mark.FAULT:
            return letters[marker.label]
        if marker.mark is Mark.FAULT_ENDED:
            return f"{letters.get(marker.label, '?')} ends"
        return marker.label

    ordered = sorted(result.markers, key=lambda marker: (marker.at_s, marker.mark))
    found = []
    for (at_s, mark), group in groupby(ordered, key=lambda marker: (marker.at_s, marker.mark)):
        together = list(group)
        labels = ", ".join(dict.fromkeys(label(marker) for marker in together))
        found.append(Flag(minutes(at_s), mark, labels, [marker.text for marker in together]))
    return found


# --- which metrics ----------------------------------------------------------------------------------------------------


def _judged(result: Result) -> list[str]:
    """The metrics of the rules, in the order of the vocabulary."""
    named = {tally.metric for tally in result.tallies} | {look.metric for look in result.analysis}
    return [name for name in METRICS if name in named]


def _metrics(result: Result) -> list[str]:
    judged = _judged(result)
    quality = [name for name in judged if METRICS[name].kind in QUALITY]
    usual = next((name for name in ("accuracy", "r2", "rmse", "mae") if result.series.has(name)), None)
    if usual and usual not in quality:
        quality.insert(0, usual)
    latency = [name for name in METRICS if name in ALWAYS or (name in judged and METRICS[name].kind is Kind.LATENCY)]
    errors = [name for name in latency if METRICS[name].kind is Kind.ERRORS]
    first = [*(name for name in latency if name not in errors), *errors, *quality, *ALSO]
    return [*first, *(name for name in judged if name not in first)]


# --- one plot ---------------------------------------------------------------------------------------------------------


def _share(result: Result) -> Plot:
    end_s, copied = _end_s(result), result.series.copied
    planned = _planned(result, end_s)
    known = (*result.series.share, *planned, *copied)
    times = sorted({at_s for at_s, _ in known if at_s <= end_s} | {end_s})
    lines = [Line("candidate", "candidate", [_held(result.series.share, at_s) for at_s in times])]
    if planned:
        lines.append(Line("planned", "planned", [_held(planned, at_s, 0.0) for at_s in times]))
    if copied:
        lines.append(Line("copied to it", "shadow", [_held(copied, at_s, 0.0) for at_s in times]))
    at_most = f"The candidate had at most {words.share(result.candidate_share_max)} of traffic"
    at_end = words.share(result.ended_on.get(Role.CANDIDATE, 0) / 10_000)
    copies = f"; at most {words.share(max(share for _, share in copied))} was copied to it" if copied else ""
    return Plot(
        id="share",
        metric="candidate_share_max",
        title="Share of traffic on candidate",
        about="weights in force; dotted: foreseen by the policy",
        unit="share",
        minutes=[minutes(at_s) for at_s in times],
        lines=lines,
        stepped=True,
        zero=True,
        failed=[],
        summary=f"{at_most} and {at_end} at the end{copies}.",
    )


def _planned(result: Result, end_s: float) -> Foreseen:
    """The weights foreseen, from each candidate's first request on; the plan of a rollout ends with it."""
    if not result.several:
        exposed_s = result.exposed_at_s
        return () if exposed_s is None else tuple((exposed_s + at_s, share) for at_s, share in result.plan)
    points: list[tuple[float, float | None]] = []
    passages = [passage for passage in result.rollouts if passage.number]
    for passage, until_s in zip(passages, [*(each.began_s for each in passages[1:]), end_s], strict=True):
        from_s, over_s = passage.began_s, passage.decided_s if not passage.promoted else passage.undone_s
        over_s = until_s if over_s is None else over_s
        first_s = next((at_s for at_s, share in result.series.share if share and from_s <= at_s < until_s), None)
        points.append((from_s, 0.0))
        if first_s is not None:
            points += [(first_s + at_s, share) for at_s, share in result.plan if first_s + at_s < over_s]
        points.append((over_s, None))
    return tuple(points)


def _held(points: Foreseen, at_s: float, before: float | None = None) -> float | None:
    """The value in force at an instant."""
    index = bisect_right(points, at_s, key=lambda point: point[0]) - 1
    return points[index][1] if index >= 0 else before


def _metric(result: Result, name: str) -> Plot:
    series = result.series
    metric = METRICS.get(name)
    arms = _arms_of(result, name)
    lines = [Line(role.value, role.value, short(_drawn(result, role, name), len(series.at_s))) for role in arms]
    judged = [tally.rule for tally in result.tallies if tally.metric == name and words.parts(tally.rule)]
    rules = list(dict.fromkeys(judged))
    lines += [Line(f"bound: {rule}", "bound", _bound(result, rule)) for rule in rules]
    failed = [look for look in result.analysis if look.metric == name and look.verdict is Verdict.FAIL]
    return Plot(
        id=name,
        metric=name,
        title=TITLES.get(name, _title(name)),
        about=metric.about if metric else "",
        unit=_unit(name),
        minutes=[minutes(at_s) for at_s in series.at_s],
        lines=lines,
        stepped=False,
        zero=metric is None or metric.kind not in QUALITY,
        failed=sorted({minutes(look.at_s) for look in failed}),
        summary=_summary(result, name, failed),
    )


def _arms_of(result: Result, name: str) -> Sequence[Role]:
    """Both arms, and those beside them; a candidate that answers copies alone has no curve of its own."""
    arms = list(result.series.arms or ARMS)
    if Role.SHADOW in arms and not any(value is not None for value in _drawn(result, Role.CANDIDATE, name)):
        arms.remove(Role.CANDIDATE)
    return arms


def _drawn(result: Result, role: Role, name: str) -> Values:
    """An arm's figures, without those of too few answers."""
    arm = result.series.arms[role]
    values = arm.get(name) or [None] * len(result.series.at_s)
    metric = METRICS.get(name)
    if metric is None or metric.kind not in {Kind.LATENCY, Kind.ERRORS}:
        return values
    return [value if (requests or 0) >= FEW else None for value, requests in zip(values, arm["requests"], strict=True)]


def _title(name: str) -> str:
    metric = METRICS.get(name)
    if metric and metric.kind is Kind.LATENCY:
        return f"Latency, {name}"
    return name.replace("_", " ").capitalize() if len(name) > 3 else name.upper()


def _unit(name: str) -> str:
    metric = METRICS.get(name)
    if metric is None or metric.kind is Kind.DRIFT or (metric.kind in QUALITY and metric.unit is not Unit.SHARE):
        return "figure"
    if metric.unit is Unit.SECONDS:
        return "latency"
    return "share" if metric.unit is Unit.SHARE else "count"


def _bound(result: Result, rule: str) -> Values:
    at = dict(result.series.bounds.get(rule, ()))
    return short([at.get(at_s) for at_s in result.series.at_s], len(result.series.at_s))


def _summary(result: Result, name: str, failed: Sequence[Look]) -> str:
    said = []
    for role in result.series.arms or ARMS:
        known = [value for value in _drawn(result, role, name) if value is not None]
        if known:
            low, high, last = (words.figure(name, value) for value in (min(known), max(known), known[-1]))
            spread = f"between {low} and {high}, at last {last}" if low != high else f"{low} throughout"
            said.append(f"{role.value} {spread}" if len(known) > 1 else f"{role.value} {last} at its one look")
    rules = " and ".join(dict.fromkeys(look.rule for look in failed))
    verdict = f" {words.plural(len(failed), 'look')} failed: {rules}." if failed else ""
    return f"{'; '.join(said).capitalize()}.{verdict}"


def _end_s(result: Result) -> float:
    """Where the time axis ends."""
    return max(0.0, result.simulated_s - (result.traffic_from_s or 0.0))
