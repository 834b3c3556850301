"""Two data files larger than memory: read in pieces, each column kept as a sketch or as counts, and a sample of rows.

Tests of columns and domain rules see every row. What looks at several columns of a row at once (the classifier,
components, a model's answers), and what is drawn, sees a sample of the rows, drawn at random as they come.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from harness import seeds
from harness.domain.drift import DriftReport

if TYPE_CHECKING:
    import pandas as pd

    from harness.app.drift import Wanted
    from harness.data.schema import Schema
    from harness.drift.detect import DriftOptions
    from harness.drift.figures import Figures
    from harness.drift.rules import DriftRule, Figure
    from harness.drift.sketch import Sketch
    from harness.drift.tally import Tally

SAMPLE: Final = 50_000
"""Rows that are kept of each file."""
MOST_CATEGORIES: Final = 100_000
"""A column with more distinct texts names rows or holds prose: it is not compared."""
LARGE_BYTES: Final = {".gz": 100 << 20, ".parquet": 150 << 20, ".pq": 150 << 20}
LARGE_CSV_BYTES: Final = 500 << 20


def is_large(*paths: str) -> bool:
    """Whether one of the files is read in pieces unasked: CSV of 500 MiB, gzipped of 100, Parquet of 150."""
    for path in map(Path, paths):
        least = LARGE_BYTES.get(path.suffix.lower(), LARGE_CSV_BYTES)
        if path.is_file() and path.stat().st_size >= least:
            return True
    return False


def compare(wanted: "Wanted", options: "DriftOptions") -> DriftReport:
    """Compare two files piece by piece.

    Raises:
        InputError: a file cannot be read, or an option does not fit it.
    """
    from harness.app.drift import answered
    from harness.data.drifting import pair
    from harness.data.schema import read_schema
    from harness.data.source import file_source
    from harness.data.table import infer
    from harness.drift.decide import least_level
    from harness.drift.detect import Whole, check_rules, detect
    from harness.drift.tally import judged

    first = next(file_source(wanted.reference).chunks())
    schema = read_schema(wanted.schema) if wanted.schema else infer(first)
    known = pair(first, first, schema, inferred=not wanted.schema)
    options = replace(options, ignore=(*options.ignore, *known.names), target=options.target or known.target)
    check_rules(options.rules, known.reference.astype(dict.fromkeys(_texts(known.reference), object)))
    apart = {options.target, options.prediction, *options.ignore}
    before, now = (
        _Side.read(path, schema, options.rules, seeds.stream(options.seed, f"drift/{word}"), apart)
        for word, path in (("reference", wanted.reference), ("current", wanted.current))
    )
    notes = [*known.notes, *_notes(before, now)]
    sample = before.sample, now.sample
    if wanted.model:
        *sample, options = answered(wanted.model, *sample, options)  # type: ignore[assignment]
    options = replace(options, ignore=(*options.ignore, *sorted(before.crowded | now.crowded)))
    level = least_level(options.alpha / 2, len(before.counts) + len(before.sketches))
    whole = Whole(before.figures(now, level), judged(options.rules, before.rules, now.rules), before.rows, now.rows)
    names = Path(wanted.reference).name, Path(wanted.current).name
    return detect(*sample, options, notes=notes, names=names, whole=whole)


def _texts(frame: "pd.DataFrame") -> list[str]:
    return [str(name) for name in frame.columns if frame[name].dtype.kind not in "iuf"]


def _notes(before: "_Side", now: "_Side") -> Iterator[str]:
    error = max((sketch.error for side in (before, now) for sketch in side.sketches.values()), default=0.0)
    yield (
        "read in pieces: columns of numbers were kept as sketches, in which no share of the rows is wrong by more than "
        f"{error * 100:.2g} %; p-values allow for it"
    )
    for word, side in (("reference", before), ("current", now)):
        if len(side.sample) < side.rows:
            yield (
                f"of the {word} data {len(side.sample):,} rows, drawn at random of {side.rows:,}, are what is drawn, "
                "summed up by mean and deviation, and seen by detectors other than the tests of columns and the rules"
            )
    crowded = sorted(before.crowded | now.crowded)
    if crowded:
        yield f"{', '.join(crowded)}: more than {MOST_CATEGORIES:,} distinct values, not compared"
    for name, count in (before.unread + now.unread).items():
        yield f"{name}: {count:,} values are no numbers: counted as missing"


@dataclass(slots=True)
class _Side:
    """What is kept of one file; memory grows with its columns, not with its rows."""

    rules: "dict[Figure, Tally]"
    stream: seeds.Stream
    rows: int = 0
    sketches: "dict[str, Sketch]" = field(default_factory=dict)
    counts: dict[str, Counter[Any]] = field(default_factory=dict)
    missing: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)
    crowded: set[str] = field(default_factory=set)
    sample: Any = None
    keys: Any = None

    @classmethod
    def read(
        cls, path: str, schema: "Schema", rules: "Sequence[DriftRule]", stream: seeds.Stream, apart: set[str | None]
    ) -> "_Side":
        """Read a whole file; columns that are kept apart are in the sample alone."""
        from harness.data.source import file_source
        from harness.data.table import typed
        from harness.drift.tally import tallies

        side = cls(tallies(rules), stream)
        drawn = stream.child("sample").generator()
        for piece in file_source(path).chunks():
            frame, unread = typed(piece.reset_index(drop=True), schema)
            side.unread.update({name: int(bad.sum()) for name, bad in unread.items()})
            side.take(frame, apart)
            side.keep(frame, drawn)
            side.rows += len(frame)
        return side

    def take(self, frame: "pd.DataFrame", apart: set[str | None]) -> None:
        """Add a piece to sketches, counts and rules."""
        from harness.drift.sketch import Sketch

        for name in (str(name) for name in frame.columns if name not in apart):
            if frame[name].dtype.kind in "iuf":
                sketch = self.sketches.setdefault(name, Sketch(self.stream.child(name)))
                sketch.update(frame[name].to_numpy())
            elif name not in self.crowded:
                counted = self.counts.setdefault(name, Counter())
                counted.update(frame[name].value_counts().to_dict())
                self.missing[name] += int(frame[name].isna().sum())
                if len(counted) > MOST_CATEGORIES:
                    self.crowded.add(name)
                    del self.counts[name]
        for tally in self.rules.values():
            gone = [name for name in tally.figure.columns if name not in frame.columns]
            tally.take(frame.assign(**dict.fromkeys(gone, np.nan)))

    def keep(self, frame: "pd.DataFrame", drawn: np.random.Generator) -> None:
        """Every row draws a number, and those with the smallest stay: a sample of all rows so far, each as likely."""
        import pandas as pd

        keys = drawn.random(len(frame))
        if self.sample is not None:
            frame = pd.concat([self.sample, frame], ignore_index=True)
            keys = np.concatenate([self.keys, keys])
        if len(keys) > SAMPLE:
            least = np.sort(np.argpartition(keys, SAMPLE)[:SAMPLE])
            frame, keys = frame.iloc[least].reset_index(drop=True), keys[least]
        self.sample, self.keys = frame, keys

    def figures(self, now: "_Side", level: float) -> "dict[str, Figures]":
        """Of each column that both have, this being the reference; p-values are held against levels down to this."""
        from harness.drift import sketch
        from harness.drift.figures import CategoryReference

        found: dict[str, Figures] = {
            name: CategoryReference(counts, self.missing[name]).against(now.counts[name], now.missing[name], level)
            for name, counts in self.counts.items()
            if name in now.counts
        }
        for name in (name for name in self.sketches if name in now.sketches):
            before, after = self.sketches[name], now.sketches[name]
            both = before.rows and after.rows
            found[name] = sketch.compare(before, after).figures if both else _empty(before, after)
        return found


def _empty(before: "Sketch", now: "Sketch") -> "Figures":
    """Of a column that has no known value on one side: nothing but how many are missing."""
    from harness.drift.figures import NumericFigures, missing_figures

    rows = before.rows + before.missing, now.rows + now.missing
    missing = missing_figures(rows[0], before.missing, rows[1], now.missing)
    nothing = float("nan")
    return NumericFigures(rows, None, None, None, None, nothing, nothing, None, None, missing)
