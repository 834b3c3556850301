"""Checks beyond the schema, one class each: they see rows chunk by chunk, and tell at the end."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd

from harness.data.check import DIGESTS
from harness.data.chunk import ROWS_TOLD, Chunk, Tally, What, failure
from harness.data.leak import SAMPLE_ROWS, Sample, suspects
from harness.data.outliers import Outliers
from harness.data.rule import Check, Rule
from harness.data.schema import ColumnRole, ColumnType, Others, Schema
from harness.data.spill import Digests, digests
from harness.data.table import label_text
from harness.domain.quality import Failure
from harness.errors import DataError

MOST_SPELLINGS: Final = 10_000
MOST_CLASSES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Subject:
    """What rules are about: a schema, and the target that a caller names."""

    schema: Schema
    target: str = ""

    def columns(self, rule: Rule, *roles: ColumnRole) -> tuple[str, ...]:
        """The rule's columns, or all of those roles."""
        named = tuple(name for name, column in self.schema.columns.items() if column.role in roles)
        return rule.columns or tuple(name for name in named if self.target != name or ColumnRole.TARGET in roles)

    def words(self, rule: Rule) -> tuple[str, ...]:
        """The rule's columns, or those of words that the schema holds to no list and no pattern."""
        free = tuple(
            name
            for name, column in self.schema.columns.items()
            if column.type in (ColumnType.CATEGORY, ColumnType.TEXT)
            and column.role in (ColumnRole.FEATURE, ColumnRole.TARGET)
            and not column.allowed
            and not column.pattern
        )
        return rule.columns or free


class QualityCheck(Protocol):
    """One rule at work."""

    costs: tuple[str, ...]

    def learn(self, chunk: Chunk) -> None:
        """Take in rows of the training data; their numbers are below 0."""
        ...

    def see(self, chunk: Chunk) -> None:
        """Take in more rows."""
        ...

    def failures(self, rows: int) -> Iterator[Failure]:
        """What was found, among so many rows."""
        ...


class _Check:
    """What most of them share."""

    costs: tuple[str, ...] = ()

    def __init__(self, rule: Rule, subject: Subject) -> None:
        self.rule, self.subject = rule, subject

    def learn(self, chunk: Chunk) -> None:
        """Nothing is to be known of training data."""

    def what(self, columns: tuple[str, ...], text: str, *, quotes: bool = False) -> What:
        return What(columns, self.rule.check.value, text, quotes=quotes, severity=self.rule.severity)

    def allowing(self) -> str:
        share = self.rule.max_share
        return f" (at most {100 * share:g}% of the rows may be)" if share else ""


class _Duplicates(_Check):
    """Rows that are another row again."""

    def __init__(self, rule: Rule, subject: Subject) -> None:
        super().__init__(rule, subject)
        self._kept = Digests()
        self.costs = (f"duplicates: {DIGESTS}",)

    def see(self, chunk: Chunk) -> None:
        columns = self.rule.columns or [c for c in chunk.frame.columns if c in self.subject.schema.columns]
        self._kept.add(digests(chunk.frame, [c for c in columns if c in chunk.frame]), chunk.numbers)

    def failures(self, rows: int) -> Iterator[Failure]:
        count, first = self._kept.again(ROWS_TOLD)
        if count > self.rule.max_share * rows:
            text = f"the same as a row before{self.allowing()}"
            yield failure(self.what(self.rule.columns, text), rows, count, tuple(first.tolist()))


class _Overlap(_Check):
    """Rows that the training data hold too: by their key where there is one, else by all that they hold."""

    def __init__(self, rule: Rule, subject: Subject) -> None:
        super().__init__(rule, subject)
        self._kept = Digests()
        keys = subject.schema.of(ColumnRole.KEY)
        self._columns = rule.columns or keys or tuple(subject.schema.columns)
        self._named = rule.columns or keys
        self._learned = False
        self.costs = (f"overlap: {DIGESTS}, of both files",)

    def learn(self, chunk: Chunk) -> None:
        self._learned = True
        self.see(chunk)

    def see(self, chunk: Chunk) -> None:
        if self._learned:
            self._kept.add(digests(chunk.frame, [c for c in self._columns if c in chunk.frame]), chunk.numbers)

    def failures(self, rows: int) -> Iterator[Failure]:
        count, first = self._kept.common(ROWS_TOLD)
        if count > self.rule.max_share * rows:
            text = f"stands in the training data too{self.allowing()}"
            yield failure(self.what(self._named, text), rows, count, tuple(first.tolist()))


class _Missing(_Check):
    """Values that are missing, by column."""

    def __init__(self, rule: Rule, subject: Subject) -> None:
        super().__init__(rule, subject)
        self._tally = Tally()
        self._columns = rule.columns or tuple(subject.schema.columns)

    def see(self, chunk: Chunk) -> None:
        for name in self._columns:
            if name in chunk.frame:
                self._tally.add(self.what((name,), f"missing{self.allowing()}"), chunk, chunk.missing(name))

    def failures(self, rows: int) -> Iterator[Failure]:
        found = {each.column: each for each in self._tally.failures(rows) if each.share > self.rule.max_share}
        yield from (found[name] for name in self._columns if name in found)


class _Constant(_Check):
    """Columns that hold one value, or none."""

    def __init__(self, rule: Rule, subject: Subject) -> None:
        super().__init__(rule, subject)
        self._first: dict[str, Any] = {}
        self._varied: set[str] = set()
        self._seen: set[str] = set()

    def see(self, chunk: Chunk) -> None:
        for name in self.subject.columns(self.rule, ColumnRole.FEATURE, ColumnRole.TARGET):
            if name not in chunk.frame or name in self._varied:
                continue
            self._seen.add(name)
            there = chunk.frame[name].dropna()
            if len(there):
                first = self._first.setdefault(name, there.iloc[0])
                if (there != first).any():
                    self._varied.add(name)

    def failures(self, rows: int) -> Iterator[Failure]:
        for name in self.subject.schema.columns:
            if rows > 1 and name in self._seen - self._varied:
                held = f"nothing but {label_text(self._first[name])!r}" if name in self._first else "no value at all"
                yield failure(self.what((name,), f"holds {held}"), rows)


class _Leakage(_Check):
    """Columns that are, or all but are, the target."""

    def __init__(self, rule: Rule, subject: Subject) -> None:
        super().__init__(rule, subject)
        self._columns = subject.columns(rule, ColumnRole.FEATURE)
        schema = subject.schema
        known = (*self._columns, subject.target)
        # A column that the schema does not list may be the target too, and then more is wrong than that it is there.
        others = None if rule.columns or schema.others is Others.IGNORE else frozenset(schema.columns) - {*known}
        self._sample = Sample(known, others)
        self.costs = (f"leakage: a sample of {SAMPLE_ROWS:,} rows",)

    def see(self, chunk: Chunk) -> None:
        self._sample.see(chunk)

    def failures(self, rows: int) -> Iterator[Failure]:
        frame, target = self._sample.frame(), self.subject.target
        columns = tuple(str(name) for name in frame.columns if name != target)
        if target in frame:
            for each in suspects(frame, target, columns, self.rule.max_score):
                yield failure(self.what((each.column,), each.text), rows)


class _Balance(_Check):
    """Classes of the target that are rare, or do not occur."""

    def __init__(self, rule: Rule, subject: Subject) -> None:
        super().__init__(rule, subject)
        self._tally = Tally()
        self._many = False

    def see(self, chunk: Chunk) -> None:
        target = self.subject.target
        if target not in chunk.frame or self._many:
            return
        codes, labels = pd.factorize(chunk.frame[target])
        for place, label in enumerate(labels.tolist()):
            self._tally.add(self.what((target,), label_text(label)), chunk, codes == place)
        self._many = len(self._tally.found) > MOST_CLASSES

    def failures(self, rows: int) -> Iterator[Failure]:
        if self._many:
            return
        column = self.subject.schema.columns.get(self.subject.target)
        found = {each.check: each for each in self._tally.failures(rows)}
        allowed = [label_text(word) for word in column.allowed] if column else []
        for label in allowed or sorted(found):  # a label that is not allowed is told by the schema
            each, asked = found.get(label), f"at least {100 * self.rule.min_share:g}% is asked for"
            if each is None:
                text = f"the class {label!r} does not occur; {asked}"
                yield failure(self.what((self.subject.target,), text), rows)
            elif each.share < self.rule.min_share:
                text = f"the class {label!r} has {100 * each.share:.2g}% of the rows ({asked})"
                yield failure(self.what((self.subject.target,), text), rows, each.count, each.rows, each.values)


@dataclass(slots=True)
class _Words:
    """Of one column: how many values are numbers, and how many other words; here and in training data."""

    here: list[int] = field(default_factory=lambda: [0, 0])
    training: list[int] = field(default_factory=lambda: [0, 0])

    def usual(self) -> tuple[int, float]:
        """Which of the two a value usually is, and the share of the other in what is known to be right."""
        known = self.training if any(self.training) else self.here
        usual = int(known[1] > known[0])
        return usual, min(known) / sum(known) if known is self.training else 0.0


class _Types(_Check):
    """Numbers among words, or words among numbers; what is usual is learnt from training data where there are some."""

    TEXTS: Final = ("a word among numbers", "a number among words")

    def __init__(self, rule: Rule, subject: Subject) -> None:
        super().__init__(rule, subject)
        self._columns = subject.words(rule)
        self._words = {name: _Words() for name in self._columns}
        self._tally = Tally()

    def learn(self, chunk: Chunk) -> None:
        for name, (words, numbers) in self._marked(chunk):
            self._words[name].training[0] += int(numbers.sum())
            self._words[name].training[1] += int(words.sum())

    def see(self, chunk: Chunk) -> None:
        for name, (words, numbers) in self._marked(chunk):
            self._words[name].here[0] += int(numbers.sum())
            self._words[name].here[1] += int(words.sum())
            for text, wrong in zip(self.TEXTS, (words, numbers), strict=True):
                self._tally.add(self.what((name,), text, quotes=True), chunk, wrong)

    def _marked(self, chunk: Chunk) -> Iterator[tuple[str, tuple[Any, Any]]]:
        for name in self._columns:
            if name in chunk.frame:
                codes, words = pd.factorize(chunk.frame[name])
                read = pd.to_numeric(pd.Series(words, dtype=object), errors="coerce").notna().to_numpy(dtype=bool)
                there = codes >= 0
                number = np.append(read, False)[codes]
                yield name, (there & ~number, there & number)

    def failures(self, rows: int) -> Iterator[Failure]:
        for each in sorted(self._tally.failures(rows), key=lambda each: (self._columns.index(each.column), each.check)):
            usual, known = self._words[each.column].usual()
            text = self.TEXTS[usual]
            if each.check.startswith(text) and each.count > (self.rule.max_share + known) * rows:
                yield each


class _Spelling(_Check):
    """Categories that differ from another in blanks and capitals alone."""

    def __init__(self, rule: Rule, subject: Subject) -> None:
        super().__init__(rule, subject)
        self._columns = subject.words(rule)
        self._found: dict[str, Tally] = {name: Tally() for name in self._columns}
        self.costs = (f"spelling: at most {MOST_SPELLINGS:,} different values of a column",)

    def see(self, chunk: Chunk) -> None:
        for name, tally in self._found.items():
            if name not in chunk.frame or len(tally.found) > MOST_SPELLINGS:
                continue
            codes, words = pd.factorize(chunk.frame[name])
            order = np.argsort(codes, kind="stable")
            ends = np.searchsorted(codes[order], np.arange(len(words) + 1))
            for place, word in enumerate(words.tolist()[: MOST_SPELLINGS + 1]):
                tally.count(self.what((name,), word), chunk, order[ends[place] : ends[place + 1]])

    def failures(self, rows: int) -> Iterator[Failure]:
        for name, tally in self._found.items():
            if len(tally.found) > MOST_SPELLINGS:
                continue  # no category: free text, or names of rows
            groups: dict[str, list[Failure]] = {}
            for each in tally.failures(rows):
                groups.setdefault(" ".join(each.check.split()).casefold(), []).append(each)
            for group in groups.values():
                usual, *others = sorted(group, key=lambda each: (-each.count, each.check))
                for each in sorted(others, key=lambda each: each.rows[0]):
                    text = f"another spelling of {usual.check!r}"
                    what = self.what((name,), text, quotes=True)
                    yield failure(what, rows, each.count, each.rows, each.values, f"write {usual.check!r}")


CHECKS: Final[dict[Check, Any]] = {
    Check.DUPLICATES: _Duplicates,
    Check.OUTLIERS: Outliers,
    Check.MISSING: _Missing,
    Check.CONSTANT: _Constant,
    Check.LEAKAGE: _Leakage,
    Check.OVERLAP: _Overlap,
    Check.BALANCE: _Balance,
    Check.TYPES: _Types,
    Check.SPELLING: _Spelling,
}


KINDS: Final = {
    Check.OUTLIERS: (ColumnType.NUMBER, ColumnType.INTEGER),
    Check.TYPES: (ColumnType.CATEGORY, ColumnType.TEXT),
    Check.SPELLING: (ColumnType.CATEGORY, ColumnType.TEXT),
}
"""What some checks can look at; to others all columns are alike."""


def at_work(rule: Rule, subject: Subject) -> QualityCheck:
    """A rule, ready to see rows.

    Raises:
        DataError: it needs a target, and there is none; or it names a column of which it can say nothing.
    """
    wanted = KINDS.get(rule.check, tuple(ColumnType))
    for name in rule.columns:
        kind = subject.schema.columns[name].type if name in subject.schema.columns else wanted[0]
        if kind not in wanted:
            words = " or ".join(wanted)
            raise DataError(f"quality: {rule.check} looks at columns of type {words}, and {name} is of type {kind}")
    if rule.check in (Check.LEAKAGE, Check.BALANCE) and not subject.target:
        raise DataError(f"quality: {rule.check} needs to know the target: `role: target` in the schema, or --target")
    made: QualityCheck = CHECKS[rule.check](rule, subject)
    return made
