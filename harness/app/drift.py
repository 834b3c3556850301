"""Two data files, compared: read, typed by a schema or by what the reference holds, and handed to the detectors."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.domain.drift import USUAL, Detector, DriftReport
from harness.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from harness.drift.detect import DriftOptions
    from harness.drift.rules import DriftRule

ANSWERS: Final = "prediction"
"""The column that a model's answers stand in."""
_SAID: Final = re.compile(r"""(?:"[^"]*"|'[^']*'|[^#])*""")
"""A line up to a # that stands in no quotes."""
ASKED: Final = 1000
"""Rows that a model is asked again, to see which columns it leans on."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for, as a command line has it."""

    reference: str
    current: str
    alpha: str = "1%"
    correction: str = "holm"
    detectors: tuple[str, ...] = ()
    """Words of `Detector`; empty: columns, classifier and rules."""
    target: str | None = None
    prediction: str | None = None
    model: str | None = None
    """A skops file, whose answers to both data sets are compared."""
    columns: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    rules_file: str | None = None
    """A file with a rule on each line; blank lines, and what follows a #, say nothing."""
    schema: str | None = None
    rows_max: int = 5000
    every: str | None = None
    seed: int = 0
    sketch: bool = False
    """Read in pieces, whatever the size."""


def compare(wanted: Wanted) -> DriftReport:
    """Compare two files.

    Raises:
        InputError: a file, a rule or a flag cannot be used.
    """
    from harness.app import drift_sketch
    from harness.data.drifting import typed_pair
    from harness.drift.detect import detect

    options = options_of(wanted)
    if wanted.sketch or drift_sketch.is_large(wanted.reference, wanted.current):
        return drift_sketch.compare(wanted, options)
    read = typed_pair(wanted.reference, wanted.current, wanted.schema)
    options = replace(options, ignore=(*options.ignore, *read.names), target=options.target or read.target)
    before, now, notes = read.reference, read.current, list(read.notes)
    if wanted.model:
        before, now, options = answered(wanted.model, before, now, options)
    return detect(before, now, options, notes=notes, names=(Path(wanted.reference).name, Path(wanted.current).name))


def options_of(wanted: Wanted) -> "DriftOptions":
    """How to compare, read from words.

    Raises:
        InputError: a word says nothing.
    """
    from harness.domain.quantity import duration_ns, share
    from harness.domain.units import SECOND
    from harness.drift.correction import CORRECTIONS
    from harness.drift.detect import DriftOptions

    try:
        alpha = share(wanted.alpha if wanted.alpha.endswith("%") else float(wanted.alpha))
    except ValueError as error:
        raise InputError(f"--alpha is {wanted.alpha!r}; {error}") from None
    if not 0 < alpha < 1:
        raise InputError(f"--alpha is {wanted.alpha}; a false-alarm rate lies between 0 and 1, such as 1%")
    try:
        every_s = duration_ns(wanted.every) / SECOND if wanted.every else None
    except ValueError as error:
        raise InputError(f"--every is {wanted.every!r}; {error}") from None
    if every_s == 0:
        raise InputError("--every is 0; it is how long it takes to the next comparison, such as 1h")
    if wanted.correction not in CORRECTIONS:
        raise InputError(f"--correction is {wanted.correction!r}; it is one of {', '.join(CORRECTIONS)}")
    if wanted.model and wanted.prediction:
        raise InputError("--model makes the answers that --prediction names a column of; give one of them")
    return DriftOptions(
        alpha=alpha,
        correction=wanted.correction,
        detectors=tuple(map(Detector, wanted.detectors)) or USUAL,
        rules=tuple(_rules(wanted)),
        target=wanted.target,
        prediction=wanted.prediction,
        columns=wanted.columns,
        ignore=wanted.ignore,
        rows_max=wanted.rows_max,
        seed=wanted.seed,
        every_s=every_s,
    )


def _rules(wanted: Wanted) -> "list[DriftRule]":
    from harness.drift.rules import DriftRuleError, parse

    texts = [*wanted.rules, *(rules_of(wanted.rules_file) if wanted.rules_file else ())]
    read, problems = [], []
    for text in texts:
        try:
            read.append(parse(text))
        except DriftRuleError as error:
            problems.append(str(error))
    if problems:
        raise DriftRuleError("\n".join(problems))
    return read


def rules_of(path: str) -> list[str]:
    """The rules of a file, one on each line.

    Raises:
        InputError: it cannot be read, or holds none.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--rules {path}: cannot be read: {error}") from None
    found = [text for text in (_SAID.match(line)[0].strip() for line in lines) if text]  # type: ignore[index]
    if not found:
        raise InputError(f"--rules {path}: there is no rule in it; one stands on each line, such as max(age) <= 120")
    return found


# --- a model's answers ------------------------------------------------------------------------------------------------


def answered(
    path: str, before: "pd.DataFrame", now: "pd.DataFrame", options: "DriftOptions"
) -> tuple["pd.DataFrame", "pd.DataFrame", "DriftOptions"]:
    """Both tables with a column of what a model answers, and options that know of it and of what the model leans on.

    Raises:
        ArtifactError: the file holds no model that may be loaded.
        InputError: the tables lack a feature of it.
    """
    from harness.domain.model import Role
    from harness.training import artifact
    from harness.training.brought import brought

    model = brought(artifact.load(Path(path)), "model", Role.STABLE, path, binary=False)
    features = list(model.features) or [name for name in before.columns if name != options.target]
    for word, frame in (("reference", before), ("current", now)):
        lost = [name for name in features if name not in frame.columns]
        if lost:
            raise InputError(f"--model {path}: the {word} data lack {', '.join(lost)}, which the model learned from")
    column = ANSWERS
    while column in before.columns or column in now.columns:
        column = f"{column}_"
    answer = _answering(model.estimator, model.classes)
    tables = [frame.assign(**{column: answer(frame[features])}) for frame in (before, now)]
    leans = _importance(answer, tables[0], features, column, options.seed)
    return tables[0], tables[1], replace(options, prediction=column, importance=leans)


def _answering(estimator: Any, classes: Sequence[str]) -> Any:
    """What a model says of rows: the probability of the positive class of two, else the label or value."""
    import threadpoolctl

    has_chances = len(classes) == 2 and hasattr(estimator, "predict_proba")

    def answer(rows: "pd.DataFrame") -> Any:
        with threadpoolctl.threadpool_limits(limits=1):
            return estimator.predict_proba(rows)[:, 1] if has_chances else estimator.predict(rows)

    return answer


def _importance(
    answer: Any, frame: "pd.DataFrame", features: Sequence[str], column: str, seed: int
) -> Mapping[str, float]:
    """How much a model leans on each feature: what its answers change by when the feature's values are shuffled.

    Of labels the share that changes; of numbers the mean change, in standard deviations of the answers. In shares of
    what all features come to, on at most a thousand rows of the reference.
    """
    import numpy as np

    from harness import seeds

    drawn = seeds.stream(seed, "drift/importance").generator()
    rows = frame.iloc[np.sort(drawn.permutation(len(frame))[:ASKED])]
    known, moved = rows[column].to_numpy(), {}
    for name in features:
        shuffled = rows[list(features)].copy()
        shuffled[name] = shuffled[name].to_numpy()[drawn.permutation(len(shuffled))]
        given = answer(shuffled)
        is_number = known.dtype.kind == "f"
        moved[name] = float(np.abs(given - known).mean() if is_number else (given != known).mean())
    total = sum(moved.values())
    return {name: each / total for name, each in moved.items()} if total > 0 else {}
