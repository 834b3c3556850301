"""A data set: read, typed and checked."""

import difflib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.data.check import check
from harness.data.chunk import Chunk
from harness.data.digest import table_digest
from harness.data.known import known_of
from harness.data.rule import Check, Rule
from harness.data.rulefile import read_rules
from harness.data.schema import Column, ColumnRole, Schema, read_schema
from harness.data.split import Rows, split, split_in_order, target_of
from harness.data.table import infer, infinities, missing_counts, read_table, typed
from harness.data.unix_time import in_seconds
from harness.data.validate import overlapping, quality_failures
from harness.domain.model import DataPlan
from harness.domain.quality import Failure, Severity
from harness.errors import DataError
from harness.seeds import stream


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A table that was read and held against its schema."""

    plan: DataPlan
    frame: pd.DataFrame
    """float64 and text columns, missing values as NaN."""
    schema: Schema
    digest: str
    failures: tuple[Failure, ...]
    """What refuses the data."""
    notes: tuple[str, ...]
    """What a reader should know and no check forbids: what was left out of the features, and why."""
    quality: tuple[Failure, ...] = ()
    """What rules of quality found, and relations that only warn; what is critical of it stands in ``failures`` too."""
    rules: tuple[Rule, ...] = ()
    """Of the schema, and of ``plan.quality``."""
    further: tuple[Failure, ...] = ()
    """What of ``quality`` the rules of ``plan.quality`` found."""

    @property
    def features(self) -> tuple[str, ...]:
        """The columns that models may learn from, in the order of the file."""
        return tuple(
            name
            for name in self.frame.columns
            if name not in {self.plan.target, self._proxy}
            and name in self.schema.columns
            and (_learned(self.schema.columns[name]) or name in dict(self.plan.dates))
        )

    @property
    def _proxy(self) -> str | None:
        """A column that is known only after the answer, and so is nothing to learn from."""
        known = self.plan.known
        return known.column if known and known.file is None else None

    def known(self) -> NDArray[np.float64] | None:
        """What becomes known of the answer to each row; None: the target itself.

        Raises:
            DataError: the column or file that says so cannot be used.
        """
        return known_of(self.frame, self.plan.known) if self.plan.known else None

    def missing(self) -> dict[str, int]:
        """Missing values by column; only columns that have some."""
        return dict(missing_counts(self.frame))

    def shared(self, training: Rows, held: Rows) -> tuple[Failure, ...]:
        """Held-out rows that stand among the training rows too, where a rule of quality asks for it."""
        if not any(rule.check is Check.OVERLAP for rule in self.rules):
            return ()
        trained, held_out = (rows.rows.index.to_numpy(dtype=np.int64) for rows in (training, held))
        return tuple(overlapping(self.frame, trained, held_out, self.schema, self.rules))

    def split(self, seed: int) -> tuple[Rows, Rows]:
        """Training rows and held-out rows.

        Raises:
            DataError: the target does not fit the task, or there is nothing to learn from.
        """
        plan = self.plan
        if not self.features:
            raise DataError(f"{plan.source}: no column is left to learn from beside the target {plan.target}")
        try:
            target, classes = target_of(self.frame, plan.target, plan.positive)
            features = in_seconds(self.frame[list(self.features)].reset_index(drop=True), plan.dates)
            names = self.frame[[key for key in plan.keys if key in self.frame.columns]].reset_index(drop=True)
            rows = Rows(features, target, classes, names, known=self.known())
            if plan.walk_ns:
                return split_in_order(rows, plan.test_share)
            return split(rows, plan.test_share, stream(seed, "data/split"))
        except DataError as error:
            raise DataError(f"{plan.source}: {error}") from error


def load(plan: DataPlan) -> Dataset:
    """Read a data set and hold it against its schema; without one, types are inferred.

    Raises:
        DataError: a file cannot be used, or the scenario and it do not fit together. What the schema forbids raises
            nothing: it is told in ``failures``.
    """
    raw = read_table(plan.source)
    if plan.target not in raw.columns:
        near = difflib.get_close_matches(plan.target, [str(name) for name in raw.columns], n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; its columns: {', '.join(map(str, raw.columns))}"
        raise DataError(f"{plan.source}: there is no column {plan.target!r} (model.data.target){hint}")
    schema = read_schema(plan.schema) if plan.schema else infer(raw)
    if plan.schema:
        targets = schema.of(ColumnRole.TARGET)
        if targets and targets != (plan.target,):
            raise DataError(f"{plan.schema}: the target is {targets[0]}, but model.data.target is {plan.target}")
    frame, unread = typed(raw, schema)
    failures = check(frame, schema, raw, unread) if plan.schema else []
    more = read_rules(plan.quality, list(schema.columns)) if plan.quality else ()
    chunk = Chunk(frame, raw, unread, np.arange(1, len(frame) + 1, dtype=np.int64))
    further = quality_failures(chunk, schema, more, plan.target)
    quality = [each for each in failures if each.severity is Severity.WARNING]
    quality += [*quality_failures(chunk, schema, schema.quality, plan.target), *further]
    critical = [each for each in quality if each.severity is Severity.CRITICAL]
    failures = [each for each in failures if each.severity is Severity.CRITICAL] + critical
    notes = _notes(plan, schema) + (() if plan.schema else infinities(raw, schema))
    digest, rules = table_digest(frame), (*schema.quality, *more)
    return Dataset(plan, frame, schema, digest, tuple(failures), notes, tuple(quality), rules, tuple(further))


def _learned(column: Column) -> bool:
    return column.role is ColumnRole.FEATURE and column.type.learned


def _notes(plan: DataPlan, schema: Schema) -> tuple[str, ...]:
    known = plan.known
    told = (f"{known.column} is known only after the answer, and is no feature",) if known and not known.file else ()
    if plan.schema:
        dates = dict(plan.dates)
        features = (name for name in schema.of(ColumnRole.FEATURE) if name not in dates)
        unlearned = (name for name in features if not schema.columns[name].type.learned)
        return told + tuple(
            f"{name} holds {schema.columns[name].type}s, and is no feature as it is" for name in unlearned
        )
    keys = [name for name in schema.of(ColumnRole.KEY) if name != plan.target and name not in dict(plan.dates)]
    return told + tuple(
        f"{name} names the rows (all its values differ) and is no feature; a schema can say otherwise" for name in keys
    )


def file_name(path: str | None) -> str:
    """A file's name without its folder, which differs from machine to machine."""
    return Path(path).name if path else ""
