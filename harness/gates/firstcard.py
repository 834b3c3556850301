"""A first model card, made of what is known of a model; what only a person knows is left as a placeholder.

The gate (`harness.gates.card`) counts a placeholder as missing: the card passes once somebody has written the rest.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.domain.gates import Check, Details
from harness.domain.model import Task, TrainedModel
from harness.gates.words import figure

PLACEHOLDER = "TODO"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a model beside itself; what is not known is left out of the card."""

    source: str = ""
    """File name of the data set."""
    training_rows: int = 0
    held_out_rows: int = 0
    target: str = ""
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """By metric."""
    level: float = 0.95
    """How sure the intervals are."""
    slices: Sequence[tuple[str, int, Mapping[str, float]]] = ()
    """Name, rows and metrics of parts of the rows."""
    checks: Sequence[Check] = ()
    """What gates found; those of fairness stand in the card."""
    version: str = ""


def first_card(model: TrainedModel, facts: Facts) -> str:
    """The card as Markdown, with a line break at its end.

    Args:
        model: with its metrics on the held-out rows.
        facts: what else is known.
    """
    return "\n".join([*_front(model, facts), *_body(model, facts)]) + "\n"


def _front(model: TrainedModel, facts: Facts) -> Iterator[str]:
    yield "---"
    yield f"name: {_quoted(model.name)}"
    if facts.version:
        yield f"version: {_quoted(facts.version)}"
    yield f"owner: {PLACEHOLDER}"
    yield f"task: {model.task.value}"
    yield f"algorithm: {_quoted(model.algorithm)}"
    yield f"artifact_digest: {_quoted(model.artifact_digest)}"
    if model.data_digest:
        yield f"data_digest: {_quoted(model.data_digest)}"
    if model.features_digest:
        yield f"features_digest: {_quoted(model.features_digest)}"
    yield "---"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _body(model: TrainedModel, facts: Facts) -> Iterator[str]:
    yield from ("", f"# {model.name}")
    yield from _asked("Intended use", "what the model decides, who uses it, and what it must not be used for")
    yield from ("", "## Data", "", *_data(model, facts))
    yield from ("", "## Metrics", "", *_metrics(model, facts))
    if fairness := [check for check in facts.checks if check.name.startswith("fairness.")]:
        yield from ("", "## Fairness", "", *_fairness(fairness))
    yield from _asked("Limitations", "where the model fails, and which rows it has not seen")
    yield from _asked("Ethical considerations", "whom a wrong answer harms, and what is done about it")
    yield from _asked("Owner", "who answers for the model, and where they are reached")


def _asked(title: str, what: str) -> Iterator[str]:
    yield from ("", f"## {title}", "", f"{PLACEHOLDER}: {what}.")


def _data(model: TrainedModel, facts: Facts) -> Iterator[str]:
    if facts.source:
        yield (
            f"Trained on {facts.training_rows:,} rows of `{facts.source}` to predict `{facts.target}`, measured on "
            f"{facts.held_out_rows:,} rows that it was not trained on."
        )
    else:
        yield f"{PLACEHOLDER}: the data that the model was trained on; nothing is recorded of it."
    if model.task is Task.CLASSIFICATION and model.classes:
        yield f"The positive answer is `{model.classes[-1]}`."
    yield from ("", f"{len(model.features)} features: {', '.join(f'`{name}`' for name in model.features)}.")
    if model.params:
        params = ", ".join(f"`{name}={value}`" for name, value in sorted(model.params.items()))
        yield from ("", f"Algorithm: {model.algorithm} with {params}.")


def _metrics(model: TrainedModel, facts: Facts) -> Iterator[str]:
    if not model.metrics:
        yield f"{PLACEHOLDER}: how good the model is; it was not measured."
        return
    yield f"| metric | value | {facts.level:.0%} interval |" if facts.intervals else "| metric | value |"
    yield "|---|---:|---:|" if facts.intervals else "|---|---:|"
    for name, value in sorted(model.metrics.items()):
        ends = facts.intervals.get(name)
        span = f" {figure(name, ends[0])} to {figure(name, ends[1])} |" if ends else " – |" if facts.intervals else ""
        yield f"| {name} | {figure(name, value)} |{span}"
    if facts.slices:
        yield from ("", *_slices(facts))


def _slices(facts: Facts) -> Iterator[str]:
    names = list(dict.fromkeys(name for _, _, metrics in facts.slices for name in metrics))
    yield f"| part of the rows | rows | {' | '.join(names)} |"
    yield f"|---|---:|{'---:|' * len(names)}"
    for part, rows, metrics in facts.slices:
        shown = (figure(name, metrics[name]) if name in metrics else "–" for name in names)
        yield f"| {cell(part)} | {rows:,} | {' | '.join(shown)} |"


def _fairness(checks: Sequence[Check]) -> Iterator[str]:
    for check in checks:
        yield f"- {check.reason}"
    if (details := checks[0].details) is not None:
        yield from ("", *table(details))


def table(details: Details) -> Iterator[str]:
    """A table of details as Markdown."""
    yield f"| {' | '.join(cell(name) or ' ' for name in details.columns)} |"
    yield f"|{'---|' * len(details.columns)}"
    for row in details.rows:
        yield f"| {' | '.join(cell(value) for value in row)} |"


def cell(value: object) -> str:
    r"""A cell of a table.

    >>> cell(0.123456), cell(None), cell("a|b"), cell(1200)
    ('0.123', '–', 'a\\|b', '1,200')
    """
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")
