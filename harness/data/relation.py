"""Relations between columns, as text: ``TotalCharges >= MonthlyCharges``, ``if tenure == 0 then paid is missing``.

    relation    ::= "if" condition "then" condition | condition
    condition   ::= both ("or" both)*
    both        ::= negated ("and" negated)*
    negated     ::= "not" negated | comparison
    comparison  ::= sum [(">=" | "<=" | ">" | "<" | "==" | "!=") sum | "is" ["not"] "missing" | ["not"] "in" list]
    sum         ::= product (("+" | "-") product)*
    product     ::= value (("*" | "/") value)*
    value       ::= NUMBER | 'TEXT' | true | false | COLUMN | `ANY COLUMN` | "-" value | "(" condition ")"

A text is read into a tree; nothing of it is ever run as code. Its columns and their types are checked as it is read.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from harness.data.dates import DAY_S, bound
from harness.data.nodes import near

LONGEST: Final = 500
"""Letters of a relation."""
DEEPEST: Final = 30
"""Nested parentheses, signs and negations."""


class RelationError(ValueError):
    """A relation that cannot be read; with the place in its text, counted from 0."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.offset = offset


class Kind(StrEnum):
    """What a part of a relation is."""

    NUMBER = "a number"
    TEXT = "a text"
    DATE = "a date"
    TRUTH = "true or false"


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that is written in the relation; a date is in days since 1970."""

    value: float | str | bool
    kind: Kind


@dataclass(frozen=True, slots=True)
class Ref:
    """A column."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Sum:
    """Arithmetic on two numbers; dates are in days."""

    op: str
    left: "Node"
    right: "Node"
    kind: Kind = Kind.NUMBER


@dataclass(frozen=True, slots=True)
class Compare:
    """Two values held against each other."""

    op: str
    left: "Node"
    right: "Node"
    kind: Kind = Kind.TRUTH


@dataclass(frozen=True, slots=True)
class IsMissing:
    """Whether a column has no value."""

    of: Ref
    kind: Kind = Kind.TRUTH


@dataclass(frozen=True, slots=True)
class Among:
    """Whether a value is one of some."""

    of: "Node"
    values: tuple[Constant, ...]
    kind: Kind = Kind.TRUTH


@dataclass(frozen=True, slots=True)
class Logic:
    """``and``, ``or``, ``if`` (of which the left side is the condition), and ``not`` (of which both sides are one)."""

    op: str
    left: "Node"
    right: "Node"
    kind: Kind = Kind.TRUTH


Node = Constant | Ref | Sum | Compare | IsMissing | Among | Logic

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)|(?P<name>[^\W\d]\w*)|`(?P<quoted>[^`]+)`"
    r"|'(?P<single>[^']*)'|\"(?P<double>[^\"]*)\"|(?P<sign>>=|<=|==|!=|[-+*/()<>\[\],]))"
)
ORDER: Final = (">=", "<=", ">", "<")
COMPARISONS: Final = (*ORDER, "==", "!=")


@dataclass(frozen=True, slots=True)
class _Token:
    what: str
    text: str
    at: int


def parse(text: str, columns: Mapping[str, Kind]) -> Node:
    """The tree of a relation.

    Args:
        text: the relation.
        columns: what each column that it may name holds.

    Raises:
        RelationError: it is none, or names a column that is unknown, or compares what cannot be compared.
    """
    if len(text) > LONGEST:
        raise RelationError(f"has {len(text)} letters; a relation has at most {LONGEST}")
    parser = _Parser(list(_tokens(text)), columns, len(text))
    tree = parser.relation()
    if parser.token.what != "end":
        raise RelationError(f"{parser.token.text!r} is not expected here", parser.token.at)
    return parser.truth(tree, 0)


def columns_of(node: Node) -> tuple[str, ...]:
    """The columns that a relation names, in their order, each once."""
    return tuple(dict.fromkeys(_names(node)))


def _names(node: Node) -> Iterator[str]:
    match node:
        case Ref(name):
            yield name
        case Sum(_, left, right) | Compare(_, left, right):
            yield from _names(left)
            yield from _names(right)
        case Logic(op, left, right):
            yield from _names(left)
            yield from _names(right) if op != "not" else ()
        case IsMissing(of) | Among(of):
            yield from _names(of)


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if found is None:
            place = at + len(text[at:]) - len(text[at:].lstrip())
            raise RelationError(f"{text[place]!r} means nothing in a relation", place)
        what = str(found.lastgroup)
        quotes = what in ("single", "double", "quoted")
        yield _Token("text" if what in ("single", "double") else what, found[what], found.start(what) - quotes)
        at = found.end()
    yield _Token("end", "the end", len(text))


class _Parser:
    """Recursive descent, one method a rule of the grammar."""

    def __init__(self, tokens: list[_Token], columns: Mapping[str, Kind], length: int) -> None:
        self.tokens, self.columns, self.length = tokens, columns, length
        self.place = self.depth = 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.place]

    def takes(self, *words: str) -> str:
        """The next word or sign if it is one of these, which is then passed; else nothing."""
        if self.token.what in ("name", "sign") and self.token.text in words:
            self.place += 1
            return self.tokens[self.place - 1].text
        return ""

    def needs(self, word: str) -> None:
        if not self.takes(word):
            raise RelationError(f"{word!r} is expected here, not {self.token.text!r}", self.token.at)

    def truth(self, node: Node, at: int) -> Node:
        if node.kind is not Kind.TRUTH:
            raise RelationError(f"{node.kind} alone says nothing; compare it, such as x >= 0", at)
        return node

    def relation(self) -> Node:
        if not self.takes("if"):
            return self.condition()
        at = self.token.at
        left = self.truth(self.condition(), at)
        self.needs("then")
        at = self.token.at
        return Logic("if", left, self.truth(self.condition(), at))

    def condition(self) -> Node:
        return self._joined("or", self.both)

    def both(self) -> Node:
        return self._joined("and", self.negated)

    def _joined(self, word: str, part: "_Part") -> Node:
        at = self.token.at
        left = part()
        while self.takes(word):
            right_at = self.token.at
            left = Logic(word, self.truth(left, at), self.truth(part(), right_at))
        return left

    def negated(self) -> Node:
        if not self.takes("not"):
            return self.comparison()
        at = self.token.at
        inner = self.truth(self._deeper(self.negated), at)
        return Logic("not", inner, inner)

    def comparison(self) -> Node:
        left, at = self.sum(), self.token.at
        if op := self.takes(*COMPARISONS):
            return _compared(op, left, self.sum(), at)
        if self.takes("is"):
            inverted = self.takes("not")
            self.needs("missing")
            if not isinstance(left, Ref):
                raise RelationError("only a column can be missing", at)
            return _inverted(IsMissing(left), inverted)
        inverted = self.takes("not")
        if self.takes("in"):
            return _inverted(Among(left, self._list(left)), inverted)
        if inverted:
            raise RelationError("'in' is expected after 'not'", self.token.at)
        return left

    def _list(self, left: Node) -> tuple[Constant, ...]:
        self.needs("[")
        values = []
        while True:
            at = self.token.at
            value = _alike(self.value(), left.kind)
            if not isinstance(value, Constant) or value.kind is not left.kind:
                raise RelationError(f"a list for {left.kind} holds such values alone", at)
            values.append(value)
            if not self.takes(","):
                self.needs("]")
                return tuple(values)

    def sum(self) -> Node:
        left, at = self.product(), self.token.at
        while op := self.takes("+", "-"):
            left = _added(op, left, self.product(), at)
        return left

    def product(self) -> Node:
        left, at = self.value(), self.token.at
        while op := self.takes("*", "/"):
            right = self.value()
            if {left.kind, right.kind} != {Kind.NUMBER}:
                raise RelationError(f"{op!r} joins numbers alone", at)
            left = Sum(op, left, right)
        return left

    def value(self) -> Node:
        token = self.token
        if self.takes("-"):
            right = self._deeper(self.value)
            if right.kind is not Kind.NUMBER:
                raise RelationError(f"'-' stands before a number, not {right.kind}", token.at)
            if isinstance(right, Constant):
                return Constant(-float(right.value), Kind.NUMBER)
            return Sum("-", Constant(0.0, Kind.NUMBER), right)
        if self.takes("("):
            inner = self._deeper(self.condition)
            self.needs(")")
            return inner
        self.place += token.what != "end"
        if token.what == "number":
            return Constant(float(token.text), Kind.NUMBER)
        if token.what == "text":
            return Constant(token.text, Kind.TEXT)
        if token.what == "name" and token.text in ("true", "false") and token.text not in self.columns:
            return Constant(token.text == "true", Kind.TRUTH)
        if token.what in ("name", "quoted"):
            return self._column(token)
        raise RelationError(f"a value is expected here, not {token.text!r}", token.at)

    def _deeper(self, part: "_Part") -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            raise RelationError(f"is nested more than {DEEPEST} deep", self.token.at)
        node = part()
        self.depth -= 1
        return node

    def _column(self, token: _Token) -> Ref:
        if token.text in self.columns:
            return Ref(token.text, self.columns[token.text])
        odd = [name for name in self.columns if name.startswith(token.text) and not re.fullmatch(r"[^\W\d]\w*", name)]
        hint = near(token.text, self.columns)
        if odd and token.what == "name":
            hint = f"; names with other signs stand in backquotes: `{odd[0]}`"
        raise RelationError(f"there is no column {token.text!r}{hint}", token.at)


_Part = Callable[[], Node]


def _inverted(node: Node, inverted: str) -> Node:
    return Logic("not", node, node) if inverted else node


def _alike(node: Node, kind: Kind) -> Node:
    """A text that is held against a date is one."""
    if isinstance(node, Constant) and node.kind is Kind.TEXT and kind is Kind.DATE:
        seconds = bound(node.value, end=False)
        if seconds is not None:
            return Constant(seconds / DAY_S, Kind.DATE)
    return node


def _compared(op: str, left: Node, right: Node, at: int) -> Compare:
    left, right = _alike(left, right.kind), _alike(right, left.kind)
    if left.kind is not right.kind:
        raise RelationError(f"{left.kind} cannot be compared with {right.kind}", at)
    if op in ORDER and left.kind in (Kind.TEXT, Kind.TRUTH):
        raise RelationError(f"{left.kind} has no order; compare it with == or !=", at)
    return Compare(op, left, right)


def _added(op: str, left: Node, right: Node, at: int) -> Sum:
    """Numbers; a date and a number of days; the days between two dates."""
    kinds = (left.kind, right.kind)
    if kinds == (Kind.NUMBER, Kind.NUMBER) or (kinds == (Kind.DATE, Kind.DATE) and op == "-"):
        return Sum(op, left, right)
    if kinds == (Kind.DATE, Kind.NUMBER):
        return Sum(op, left, right, Kind.DATE)
    raise RelationError(f"{op!r} cannot join {left.kind} and {right.kind}", at)
