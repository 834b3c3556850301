"""Golden predictions: what each body of a payload must be answered, from a file with a line for each row."""

from collections.abc import Mapping
from typing import Any, Final

from harness.analysis.vocabulary import suggestion
from harness.domain.load import Payload
from harness.errors import InputError
from harness.load.payloads import RowPayload
from harness.load.rows import Found, name_of, read_rows
from harness.load.speech import encode

COLUMN: Final = "prediction"
_ALL: Final = 1 << 62


def load_golden(path: str, payload: Payload, column: str | None = None) -> tuple[str, ...]:
    """The golden prediction of each body, as `AnswerChecks.golden` takes them.

    Args:
        path: JSON lines or a JSON array of objects, CSV or Parquet, gzipped or not: as many rows as the payload's file,
            in its order. It may be the payload's file itself.
        payload: what is sent. Of a file that was sampled, the rows that are sent have their own predictions; of several
            rows in one body it is a list.
        column: what holds them; None: ``prediction``, or the only one there is.

    Raises:
        InputError: the file cannot be read, has another number of rows, or no such column.
    """
    found = read_rows(path, _ALL, seed=1)
    name = name_of(path)
    if found.cut:
        raise InputError(f"{name}: its rows are more than memory should hold; keep the column of predictions alone")
    sampled = isinstance(payload, RowPayload)
    wanted = payload.rows_in_file if isinstance(payload, RowPayload) else len(payload.bodies)
    if found.seen != wanted:
        raise InputError(
            f"{name}: {found.seen:,} golden predictions for the payload's {wanted:,} {'rows' if sampled else 'bodies'};"
            " they stand in the same order, one for each"
        )
    groups = payload.rows if isinstance(payload, RowPayload) else tuple((at,) for at in range(wanted))
    needed = {row for group in groups for row in group}
    predictions = _predictions(name, found, needed, column)
    return tuple(
        encode(predictions[group[0]] if len(group) == 1 else [predictions[row] for row in group]).decode()
        for group in groups
    )


def _predictions(name: str, found: Found, needed: set[int], column: str | None) -> Mapping[int, Any]:
    taken: dict[int, Any] = {}
    for row, (number, _) in zip(found.rows(), found.items, strict=True):
        if number not in needed:
            continue
        key = column or (next(iter(row)) if len(row) == 1 else COLUMN)
        if key not in row:
            raise InputError(
                f"{name}: row {number + 1} has no {key!r}; {suggestion(key, [*row], 'it has')}; name the column of"
                f" golden predictions {COLUMN}"
            )
        taken[number] = row[key]
    return taken
