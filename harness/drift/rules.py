"""Domain rules: what must hold of the current data, whatever a test of significance says.

    rule      = figure OP bound | figure "within" NUMBER "of" "reference"
    figure    = NAME "(" column ")" | "quantile" "(" column "," NUMBER ")" | "share" "(" condition ")" | "rows" "(" ")"
    NAME      = mean, sd, median, min, max, missing (a share), distinct
    condition = conjunction { "or" conjunction };  conjunction = test { "and" test }
    test      = "not" test | "(" condition ")" | column OP value | column "in" "(" value { "," value } ")"
    bound     = NUMBER | "reference" [ ( "+" | "-" | "*" ) NUMBER ]

A column with blanks in its name, and a text value, stand in quotes. ``10%`` is 0.1. Rules are parsed to a tree and
walked (`harness.drift.tally`); nothing of a rule is ever run as Python.
"""

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NoReturn

from harness.errors import InputError

LONGEST_RULE: Final = 1000
DEEPEST_RULE: Final = 30
_TOKEN: Final = re.compile(
    r"""(?P<text>"[^"]*"|'[^']*')
      | (?P<op><=|>=|==|!=|<|>)
      | (?P<mark>[(),+*-])
      | (?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?%?(?![\w.]))
      | (?P<word>[^\W][\w.-]*)""",
    re.VERBOSE,
)
_INSTEAD: Final = {"=": "==", "≤": "<=", "≥": ">=", "≠": "!="}


class DriftRuleError(InputError):
    """A domain rule that cannot be used; the message shows where."""

    def __init__(self, message: str, said: str = "", offset: int = 0) -> None:
        self.said = said or message
        """The same without the rule and the place."""
        self.offset = offset
        """Where in the rule's text, counted from 0."""
        super().__init__(message)


class Measure(StrEnum):
    """A figure of a column."""

    SHARE = "share"
    MEAN = "mean"
    SD = "sd"
    MEDIAN = "median"
    MIN = "min"
    MAX = "max"
    MISSING = "missing"
    DISTINCT = "distinct"
    QUANTILE = "quantile"
    ROWS = "rows"

    @property
    def numeric(self) -> bool:
        """Whether it is one of numbers only."""
        return self in {Measure.MEAN, Measure.SD, Measure.MEDIAN, Measure.MIN, Measure.MAX, Measure.QUANTILE}


@dataclass(frozen=True, slots=True)
class Test:
    """A value of a row compared with one of those given."""

    column: str
    op: str
    """``==``, ``!=``, ``<``, ``<=``, ``>``, ``>=`` or ``in``."""
    values: tuple[str | float, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    term: "Condition"


@dataclass(frozen=True, slots=True)
class Or:
    """At least one."""

    terms: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class And:
    """Each."""

    terms: tuple["Condition", ...]


Condition = Test | Not | Or | And


@dataclass(frozen=True, slots=True)
class Figure:
    """What a rule computes: one number of a data set."""

    measure: Measure
    column: str = ""
    """Empty where there is a condition, or nothing to name."""
    level: float = 0.5
    """Of a quantile."""
    where: Condition | None = None
    """Of a share."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that it looks at, each once."""
        if self.where:
            return tuple(dict.fromkeys(test.column for test in _tests(self.where)))
        return (self.column,) if self.column else ()


@dataclass(frozen=True, slots=True)
class DriftRule:
    """A rule as written, and as read."""

    text: str
    figure: Figure
    op: str
    """A comparison, or ``within``."""
    number: float
    """Of ``within`` the share of the reference's figure that it may be off by."""
    factor: float = 0.0
    """How much of the reference's figure is in the bound: ``factor * reference + number``."""

    @property
    def relative(self) -> bool:
        """Whether the bound comes from the reference."""
        return self.op == "within" or self.factor != 0


def _tests(condition: Condition) -> Iterator[Test]:
    match condition:
        case Test():
            yield condition
        case Not():
            yield from _tests(condition.term)
        case _:
            for term in condition.terms:
                yield from _tests(term)


def parse(text: str) -> DriftRule:
    """Read a rule.

    Raises:
        DriftRuleError: it is none; the message shows the place and what may stand there.

    >>> parse("mean(MonthlyCharges) within 10% of reference").figure
    Figure(measure=<Measure.MEAN: 'mean'>, column='MonthlyCharges', level=0.5, where=None)
    >>> parse("share(Contract == 'Month-to-month') <= 60%").number
    0.6
    """
    if len(text) > LONGEST_RULE:
        raise DriftRuleError(f"a domain rule has at most {LONGEST_RULE} characters")
    return _Parser(text).rule()


def check(rules: Iterable[DriftRule], numeric: Sequence[str], categories: Sequence[str]) -> None:
    """Raise where a rule names a column that is not there, or of another kind.

    Raises:
        DriftRuleError: with every problem, each with the nearest right name.
    """
    known, problems = (*numeric, *categories), []
    for rule in rules:
        for name in rule.figure.columns:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known[:20])}"
                problems.append(f"rule `{rule.text}`: there is no column {name!r}; {hint}")
            elif rule.figure.measure.numeric and name in categories:
                problems.append(
                    f"rule `{rule.text}`: {name} holds categories, which have no {rule.figure.measure}; "
                    f"share({name} == …), missing({name}) and distinct({name}) are known of them"
                )
        tests = _tests(rule.figure.where) if rule.figure.where else ()
        said = [_unlike(each, numbers=each.column in numeric, texts=each.column in categories) for each in tests]
        problems += [f"rule `{rule.text}`: {each}" for each in said if each]
    if problems:
        raise DriftRuleError("\n".join(dict.fromkeys(problems)))


def _unlike(test: Test, *, numbers: bool, texts: bool) -> str:
    """Why a comparison says nothing of what its column holds; empty where it does."""
    for value in test.values:
        if numbers and isinstance(value, str) and not _is_number(value):
            return f"{test.column} holds numbers, and {value!r} is none"
        if texts and isinstance(value, float) and test.op not in {"==", "!=", "in"}:
            return f"{test.column} holds categories, which are neither above nor below {value:g}"
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


class _Parser:
    """Recursive descent over the tokens of one rule."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(self._read())
        self.place = 0
        self.depth = 0

    def _read(self) -> Iterator[_Token]:
        at = 0
        while True:
            at += len(self.text[at:]) - len(self.text[at:].lstrip())
            if at == len(self.text):
                yield _Token("end", "", at)
                return
            match = _TOKEN.match(self.text, at)
            if not match:
                found = self.text[at]
                hint = f"; write {_INSTEAD[found]}" if found in _INSTEAD else ""
                said = "this quote is never closed" if found in "\"'" else f"{found!r} means nothing in a rule{hint}"
                self.wrong(said, at)
            yield _Token(match.lastgroup or "", match[0], at)
            at = match.end()

    # --- words ---

    @property
    def next(self) -> _Token:
        return self.tokens[self.place]

    def take(self) -> _Token:
        token = self.next
        self.place += token.kind != "end"
        return token

    def takes(self, *texts: str) -> bool:
        """Whether the next is one of these marks or words; then it is taken."""
        if self.next.kind in {"mark", "word"} and self.next.text in texts:
            self.take()
            return True
        return False

    def must(self, text: str, said: str) -> None:
        if not self.takes(text):
            self.wrong(said)

    def wrong(self, said: str, at: int | None = None) -> NoReturn:
        place = self.next.at if at is None else at
        raise DriftRuleError(f"rule `{self.text}`, at character {place + 1}: {said}", said, place)

    # --- grammar ---

    def rule(self) -> DriftRule:
        figure = self.figure()
        if self.takes("within"):
            at = self.next.at
            off = self.number("how far it may be off stands here: within 10% of reference")
            if off < 0:
                self.wrong("how far it may be off is never negative", at)
            self.must("of", "`of reference` stands here")
            self.must("reference", "`reference` stands here")
            made = DriftRule(self.text, figure, "within", off)
        else:
            if self.next.kind != "op":
                self.wrong("a comparison stands here (<=, >=, <, >, ==, !=), or `within 10% of reference`")
            op = self.take().text
            number, factor = self.bound()
            made = DriftRule(self.text, figure, op, number, factor)
        if self.next.kind != "end":
            self.wrong(f"the rule is complete before {self.next.text!r}; write two rules for two demands")
        return made

    def figure(self) -> Figure:
        word = self.take()
        if word.kind != "word" or word.text not in set(Measure):
            near = difflib.get_close_matches(word.text, list(Measure), 1)
            hint = f"did you mean {near[0]}?" if near else f"a rule begins with one of {', '.join(Measure)}"
            self.wrong(f"{word.text!r} is no figure; {hint}" if word.text else hint, word.at)
        measure = Measure(word.text)
        self.must("(", f"a bracket stands here: {measure}(…)")
        made = self.inside(measure)
        self.must(")", "the closing bracket stands here")
        return made

    def inside(self, measure: Measure) -> Figure:
        if measure is Measure.ROWS:
            return Figure(measure)
        if measure is Measure.SHARE:
            return Figure(measure, where=self.condition())
        column = self.column()
        if measure is not Measure.QUANTILE:
            return Figure(measure, column)
        self.must(",", "a quantile has a level: quantile(tenure, 0.5)")
        at = self.next.at
        level = self.number("the level stands here: quantile(tenure, 0.5)")
        if not 0 <= level <= 1:
            self.wrong("a level is from 0 to 1", at)
        return Figure(measure, column, level)

    def bound(self) -> tuple[float, float]:
        """The number and how much of the reference's figure is added to it."""
        if not self.takes("reference"):
            return self.number("the bound stands here: a number such as 120 or 60%, or `reference`"), 0.0
        if self.takes("*"):
            return 0.0, self.number("a factor stands here")
        if self.takes("+"):
            return self.number("a number stands here"), 1.0
        return (-self.number("a number stands here") if self.takes("-") else 0.0), 1.0

    def number(self, said: str) -> float:
        sign = -1.0 if self.takes("-") else 1.0
        if self.next.kind != "number":
            self.wrong(said)
        found = _number(self.next.text)
        if not math.isfinite(found):
            self.wrong("no figure comes to so large a number")
        self.take()
        return sign * found

    def column(self) -> str:
        if self.next.kind not in {"word", "text"}:
            self.wrong("a column stands here; one with blanks stands in quotes")
        token = self.take()
        return token.text[1:-1] if token.kind == "text" else token.text

    def condition(self) -> Condition:
        self.depth += 1
        if self.depth > DEEPEST_RULE:
            self.wrong(f"a condition is at most {DEEPEST_RULE} deep")
        terms = [self.conjunction()]
        while self.takes("or"):
            terms.append(self.conjunction())
        self.depth -= 1
        return terms[0] if len(terms) == 1 else Or(tuple(terms))

    def conjunction(self) -> Condition:
        terms = [self.term()]
        while self.takes("and"):
            terms.append(self.term())
        return terms[0] if len(terms) == 1 else And(tuple(terms))

    def term(self) -> Condition:
        negated = 0
        while self.takes("not"):
            negated += 1
        found = self.test()
        return Not(found) if negated % 2 else found

    def test(self) -> Condition:
        if self.takes("("):
            found = self.condition()
            self.must(")", "the closing bracket stands here")
            return found
        column = self.column()
        if self.takes("in"):
            self.must("(", "values stand here: in (a, b)")
            values = [self.value()]
            while self.takes(","):
                values.append(self.value())
            self.must(")", "the closing bracket stands here")
            return Test(column, "in", tuple(values))
        if self.next.kind != "op":
            self.wrong("a comparison stands here: Contract == 'One year', age > 65, plan in (a, b)")
        op = self.take().text
        return Test(column, op, (self.value(),))

    def value(self) -> str | float:
        token = self.next
        if token.kind == "number" or token.text == "-":
            return self.number("a number stands here")
        if token.kind not in {"word", "text"}:
            self.wrong("a value stands here: a number, a word, or a text in quotes")
        self.take()
        return token.text[1:-1] if token.kind == "text" else token.text


def _number(text: str) -> float:
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)
