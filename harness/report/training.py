"""Folds, searches for parameters and experiments as tables, and as a program reads them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from harness.analysis.vocabulary import METRICS, Better
from harness.domain.event import Event
from harness.domain.training import Estimate, Trial, TrialState
from harness.domain.training_event import CrossValidated, ExperimentChosen, ExperimentTried, Tuned
from harness.report import text as words
from harness.report.chapter import NONE, Chapter, Line

KINDS: Final = (CrossValidated, Tuned, ExperimentTried, ExperimentChosen)
BEST: Final = 5
"""Trials that every form of a report shows; a page has all of them."""
INTERVAL: Final = (
    "On training rows alone. Intervals are of 95 %, by Student's t, with the standard error corrected for rows that "
    "folds share (Nadeau & Bengio, 2003)."
)
ENDED: Final = {
    TrialState.COMPLETE: "all folds",
    TrialState.PRUNED: "given up",
    TrialState.FAILED: "failed",
    TrialState.TIMED_OUT: "took too long",
}


def training_chapters(told: Sequence[Event]) -> Iterator[Chapter]:
    """Experiments first, then folds, then searches: what was chosen before how it was found."""
    for choice in (event for event in told if isinstance(event, ExperimentChosen)):
        tried = [event for event in told if isinstance(event, ExperimentTried) and event.role is choice.role]
        yield _experiments(choice, tried)
    yield from (_folds(event) for event in told if isinstance(event, CrossValidated))
    for event in told:
        if isinstance(event, Tuned):
            yield from _search(event)


def given(params: Mapping[str, Any]) -> str:
    """Parameters in a line.

    >>> given({"C": 0.123456, "max_depth": None})
    'C 0.1235, max_depth null'
    """
    return ", ".join(f"{name} {_value(value)}" for name, value in params.items()) or NONE


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)


def _interval(metric: str, found: Estimate) -> str:
    return f"{words.figure(metric, found.low)} to {words.figure(metric, found.high)}"


# --- tables -----------------------------------------------------------------------------------------------------------


def _experiments(choice: ExperimentChosen, tried: Sequence[ExperimentTried]) -> Chapter:
    columns = ("experiment", "algorithm", "parameters", choice.metric, "sd", "95 % interval", "")
    lines = [_experiment(choice, each) for each in tried]
    split = next((f"{len(next(iter(each.folds.values())))} {each.split} folds" for each in tried if each.folds), "")
    note = f"All on the same {split}; {choice.detail}. {INTERVAL}"
    return Chapter(f"Experiments of {choice.role}", columns, lines, frozenset({3, 4, 5}), note)


def _experiment(choice: ExperimentChosen, each: ExperimentTried) -> Line:
    found = each.estimates.get(choice.metric)
    chosen = each.experiment == choice.experiment
    seen = f"{each.algorithm} on {each.features}" if each.features else each.algorithm
    figures = (NONE, NONE, NONE)
    if found:
        mean, sd = words.figure(choice.metric, found.mean), words.figure(choice.metric, found.sd)
        figures = (mean, sd, _interval(choice.metric, found))
    ending = "✓ chosen" if chosen else each.refused or ("second" if each.experiment == choice.runner_up else "")
    return Line(
        (each.experiment, seen, given(each.params), *figures, ending), chosen or (False if each.refused else None)
    )


def _folds(event: CrossValidated) -> Chapter:
    count = len(event.train_rows)
    numbers = tuple(f"fold {number}" for number in range(1, count + 1))
    columns = ("metric", *numbers, "mean", "sd", "standard error", "95 % interval")
    lines = []
    for metric, values in event.folds.items():
        found = event.estimates.get(metric)
        cells = [words.figure(metric, value) for value in values]
        tail = [NONE] * 4
        if found:
            tail = [words.figure(metric, each) for each in (found.mean, found.sd, found.standard_error)]
            tail.append(_interval(metric, found))
        lines.append(Line((metric, *cells, *tail)))
    rows = f"learned from {_about(event.train_rows)} rows, judged on {_about(event.test_rows)}"
    note = f"{event.algorithm} ({given(event.params)}), {count} {event.split} folds, {rows}. {INTERVAL}"
    return Chapter(f"Cross-validation of {event.role}", columns, lines, frozenset(range(1, len(columns))), note)


def _about(rows: Sequence[int]) -> str:
    return words.count(rows[0]) if len(set(rows)) == 1 else f"{words.count(min(rows))} to {words.count(max(rows))}"


def _search(event: Tuned) -> Iterator[Chapter]:
    whose = f"{event.role}, {event.experiment}" if event.experiment else event.role.value
    columns = ("trial", "parameters", event.metric, "folds", "")
    ranked = ranking(event)
    space = "; ".join(f"{name}: {each}" for name, each in event.space.items())
    ended = [f"{count} {ENDED[state]}" for state in TrialState if (count := _count(event.trials, state))]
    note = (
        f"{event.algorithm}, {len(event.trials)} trials by {event.sampler} ({', '.join(ended)}), each on "
        f"{event.folds} {event.split} folds of the training rows; {space}."
    )
    lines = [_trial(event, trial, best=place == 0) for place, trial in enumerate(ranked[:BEST])]
    title = f"Tuning of {whose}"
    yield Chapter(title, columns, lines, frozenset({0, 2, 3}), note)
    if len(event.trials) > len(lines):
        best = ranked[0].number
        every = [_trial(event, trial, best=trial.number == best) for trial in event.trials]
        yield Chapter(f"Every trial for {whose}", columns, every, frozenset({0, 2, 3}), detail=True)


def ranking(event: Tuned) -> list[Trial]:
    """The trials that were trained on all folds, the best first, of equal ones the earlier."""
    sign = -1 if METRICS[event.metric].better is Better.HIGHER else 1
    complete = [trial for trial in event.trials if trial.value is not None]
    return sorted(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number))


def _count(trials: Sequence[Trial], state: TrialState) -> int:
    return sum(trial.state is state for trial in trials)


def _trial(event: Tuned, trial: Trial, *, best: bool) -> Line:
    ending = "✓ best" if best else f"{ENDED[trial.state]}: {trial.detail}" if trial.detail else ENDED[trial.state]
    value = words.figure(event.metric, trial.value)
    cells = (str(trial.number + 1), given(trial.params), value, str(len(trial.folds)), ending)
    return Line(cells, True if best else False if trial.detail else None)


# --- JSON -------------------------------------------------------------------------------------------------------------


def as_json(told: Sequence[Event]) -> list[dict[str, Any]]:
    """Each search, each figure over folds and each choice, in the order in which they were told."""
    makers = {CrossValidated: _plain_folds, Tuned: _plain_search, ExperimentTried: _plain_tried}
    return [makers.get(type(event), _plain_choice)(event) for event in told]


def _estimates(found: Mapping[str, Estimate]) -> dict[str, Any]:
    return {metric: _estimate(each) for metric, each in found.items()}


def _estimate(found: Estimate) -> dict[str, Any]:
    return {
        "mean": found.mean,
        "sd": found.sd,
        "standard_error": found.standard_error,
        "ci95": [found.low, found.high],
    }


def _plain_folds(event: Any) -> dict[str, Any]:
    return {
        "kind": "cross_validation",
        "model": event.role.value,
        "algorithm": event.algorithm,
        "params": dict(event.params),
        "split": event.split,
        "folds": {metric: list(values) for metric, values in event.folds.items()},
        "estimates": _estimates(event.estimates),
    }


def _plain_search(event: Any) -> dict[str, Any]:
    return {
        "kind": "tuning",
        "model": event.role.value,
        "experiment": event.experiment or None,
        "algorithm": event.algorithm,
        "metric": event.metric,
        "sampler": event.sampler,
        "split": event.split,
        "best": dict(event.best),
        "value": event.value,
        "trials": [
            {
                "number": trial.number + 1,
                "params": dict(trial.params),
                "value": trial.value,
                "folds": list(trial.folds),
                "state": trial.state.value,
                "detail": trial.detail,
            }
            for trial in event.trials
        ],
    }


def _plain_tried(event: Any) -> dict[str, Any]:
    return _plain_folds(event) | {
        "kind": "experiment",
        "experiment": event.experiment,
        "features": event.features or None,
        "refused": event.refused or None,
    }


def _plain_choice(event: Any) -> dict[str, Any]:
    return {
        "kind": "choice",
        "model": event.role.value,
        "experiment": event.experiment,
        "metric": event.metric,
        "value": event.value,
        "runner_up": event.runner_up or None,
        "difference": _estimate(event.difference) if event.difference else None,
        "detail": event.detail,
    }


# --- the diary --------------------------------------------------------------------------------------------------------


def in_words(event: Event) -> str | None:
    """What was found, in a line of the diary."""
    match event:
        case Tuned():
            whose = f"{event.role} ({event.experiment})" if event.experiment else event.role.value
            value = words.figure(event.metric, event.value)
            return (
                f"{len(event.trials)} trials for {whose}: the best has {event.metric} {value} with {given(event.best)}"
            )
        case CrossValidated():
            told = ", ".join(f"{name} {words.figure(name, each.mean)}" for name, each in event.estimates.items())
            return f"{event.role} over {len(event.train_rows)} folds: {told}"
        case ExperimentTried() if event.refused:
            return f"experiment {event.experiment} for {event.role} could not be trained: {event.refused}"
        case ExperimentChosen():
            return f"{event.role} is to be {event.experiment}: {event.detail}"
    return None
