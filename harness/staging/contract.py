"""Contract tests: does an endpoint answer as was agreed, refuse what is wrong, and say what the model said?"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from harness.domain.model import Revision, Task, TrainedModel
from harness.errors import BackendError
from harness.protocols import Endpoint, Population, Reply

Row = Mapping[str, Any]

CLOSE: Final = 1e-6
"""Probabilities and values that differ by less are equal: rows asked one by one are added up in another order."""
WRONG_KIND: Final = "not a number"


@dataclass(frozen=True, slots=True)
class Finding:
    """A check that was made."""

    name: str
    text: str
    passed: bool
    value: float | None
    bound: str
    detail: str


@dataclass(frozen=True, slots=True)
class Golden:
    """A row, and what the model said of it when it was evaluated."""

    number: int
    """Among the held-out rows, from 0."""
    row: Row
    prediction: Any
    confidence: float | None


def golden(model: TrainedModel, population: Population, count: int) -> tuple[Golden, ...]:
    """So many of the held-out rows, evenly spread, with the model's answers.

    Raises:
        ArtifactError: the model cannot answer them.
    """
    from harness.training.evaluate import answers

    rows = population.rows
    count = min(count, len(rows))
    chosen = [number * len(rows) // count for number in range(count)]
    some = rows.iloc[chosen][list(model.features)]
    said = answers(model, some)
    bodies = [
        {str(name): plain(value) for name, value in zip(some.columns, values, strict=True)}
        for values in some.itertuples(index=False, name=None)
    ]
    return tuple(Golden(n, body, *answer) for n, body, answer in zip(chosen, bodies, said, strict=True))


def plain(value: Any) -> Any:
    """A cell of a table as JSON has it; what is missing is null.

    >>> plain(float("nan")), plain("a"), plain(2.5)
    (None, 'a', 2.5)
    """
    if hasattr(value, "item"):
        value = value.item()
    if value is None or value != value:  # noqa: PLR0124 - NaN and NaT alone differ from themselves
        return None
    return value if isinstance(value, bool | int | float | str) else str(value)


async def contract(
    endpoint: Endpoint, model: TrainedModel, revision: Revision, rows: tuple[Golden, ...]
) -> tuple[Finding, ...]:
    """Make all three tests; what the endpoint cannot be asked counts against it."""
    replies = [await _ask(endpoint, each.row) for each in rows]
    return (
        _schema(replies, model, revision),
        await _refusals(endpoint, rows[0].row),
        _golden(rows, replies),
    )


async def _ask(endpoint: Endpoint, body: Any) -> Reply:
    try:
        return await endpoint.predict(body)
    except BackendError as error:
        return Reply(0, str(error) or repr(error))


def _schema(replies: list[Reply], model: TrainedModel, revision: Revision) -> Finding:
    wrong = [fault for reply in replies if (fault := misfit(reply, model, revision))]
    kept = len(replies) - len(wrong)
    detail = f"{kept} of {len(replies)} answers have the form that was agreed" + (f": {wrong[0]}" if wrong else "")
    return Finding("answer_schema", "the form of answers", not wrong, float(kept), f"== {len(replies)}", detail)


def misfit(reply: Reply, model: TrainedModel, revision: Revision) -> str:
    """What is wrong with the form of an answer; empty where nothing is."""
    if not reply.answered:
        return f"no answer, but {reply.status or 'nothing'}: {reply.body}"
    body = reply.body
    if not isinstance(body, Mapping):
        return f"the answer is {body!r}, not an object"
    prediction, confidence = body.get("prediction"), body.get("confidence")
    if model.task is Task.CLASSIFICATION and prediction not in model.classes:
        return f"prediction is {prediction!r}, not one of {', '.join(model.classes)}"
    if model.task is Task.REGRESSION and not _number(prediction):
        return f"prediction is {_shown(prediction)}, not a number"
    if confidence is not None and not (_number(confidence) and 0 <= confidence <= 1):
        return f"confidence is {_shown(confidence)}, neither a share from 0 to 1 nor null"
    answered_by = f"{body.get('model')}:{body.get('version')}"
    return "" if answered_by == str(revision) else f"{answered_by} answers, not {revision}"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


async def _refusals(endpoint: Endpoint, good: Row) -> Finding:
    wrong = list(bad_bodies(good))
    taken = []
    for what, body in wrong:
        reply = await _ask(endpoint, body)
        if not reply.refused:
            taken.append(f"{what} got {reply.status or 'nothing'}")
    kept = len(wrong) - len(taken)
    detail = f"{kept} of {len(wrong)} bad requests were refused" + (f": {'; '.join(taken)}" if taken else "")
    return Finding("bad_input", "bad input is refused", not taken, float(kept), f"== {len(wrong)}", detail)


def bad_bodies(good: Row) -> Iterator[tuple[str, Any]]:
    """Requests that no endpoint may answer, each with what is wrong with it.

    >>> [what for what, _ in bad_bodies({"age": 30, "plan": "b"})]
    ['an empty object', 'a list of values', 'a row without age', 'a row with text as age']
    """
    yield "an empty object", {}
    yield "a list of values", [*good.values()]
    first = next(iter(good))
    yield f"a row without {first}", {name: value for name, value in good.items() if name != first}
    if number := next((name for name, value in good.items() if _number(value)), None):
        yield f"a row with text as {number}", {**good, number: WRONG_KIND}


def _golden(rows: tuple[Golden, ...], replies: list[Reply]) -> Finding:
    wrong = [fault for row, reply in zip(rows, replies, strict=True) if (fault := _differs(row, reply))]
    kept = len(rows) - len(wrong)
    detail = f"{kept} of {len(rows)} rows are answered as they were evaluated" + (f": {wrong[0]}" if wrong else "")
    return Finding("golden_rows", "golden rows", not wrong, float(kept), f"== {len(rows)}", detail)


def _differs(row: Golden, reply: Reply) -> str:
    body = reply.body if reply.answered and isinstance(reply.body, Mapping) else {}
    prediction, confidence = body.get("prediction"), body.get("confidence")
    if not _same(prediction, row.prediction):
        return f"held-out row {row.number} is answered {_shown(prediction)}, and was {_shown(row.prediction)}"
    if row.confidence is not None and not _same(confidence, row.confidence):
        found, wanted = _shown(confidence), _shown(row.confidence)
        return f"held-out row {row.number} is answered with confidence {found}, and was with {wanted}"
    return ""


def _shown(value: Any) -> str:
    """An answer in a text; of a number no more digits than any machine agrees on."""
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, float):
        return _number(found) and math.isclose(found, wanted, rel_tol=CLOSE, abs_tol=CLOSE)
    return bool(found == wanted)
