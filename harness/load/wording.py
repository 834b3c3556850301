"""Conditions on the fields of an answer, read from text: ``confidence >= 0.5 and prediction in ["no", "yes"]``.

    condition   = conjunction { "or" conjunction }
    conjunction = term { "and" term }
    term        = "not" term | "(" condition ")" | test
    test        = operand OP operand | field [ "not" ] "in" "[" value { "," value } "]" | field "exists"
    operand     = field | value
    field       = ( NAME | index ) { "." NAME | index }
    index       = "[" [ "-" ] INTEGER "]" | "[" "text" "]"
    value       = NUMBER | "text" | true | false | null
    OP          = "==" | "!=" | "<" | "<=" | ">" | ">="

A text in double quotes may hold JSON's escapes, one in single quotes none. Rules of `harness.analysis.grammar` are
about metrics, with units and ``stable``; the two share their look, and no code.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NoReturn

from harness.errors import InputError
from harness.load.expressions import (
    CONSTANTS,
    KEYWORDS,
    All,
    AnyOf,
    Comparison,
    Condition,
    Exists,
    Field,
    Not,
    OneOf,
    Value,
)

LONGEST: Final = 1000
DEEPEST: Final = 30

_TOKEN: Final = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*"|'[^']*')
      | (?P<wrong>=<|=>|<>|===|=(?!=)|[≤≥≠]|&&?|\|\|?|!(?!=))
      | (?P<op><=|>=|==|!=|<|>)
      | (?P<mark>[()\[\],.])
      | (?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w%]))
      | (?P<word>[^\W\d]\w*(?:-\w+)*)""",
    re.VERBOSE | re.DOTALL,
)
_INSTEAD: Final = {
    "=<": "<=",
    "=>": ">=",
    "<>": "!=",
    "===": "==",
    "=": "==",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "&": "and",
    "&&": "and",
    "|": "or",
    "||": "or",
    "!": "not",
}
_SPELT: Final = {
    "True": "true",
    "False": "false",
    "None": "null",
    "nil": "null",
    "AND": "and",
    "OR": "or",
    "NOT": "not",
}
_EXAMPLE: Final = "such as confidence >= 0.5"


def parse(text: str) -> Condition:
    """Read a condition.

    Raises:
        InputError: it is none; with the column, and what to write instead.

    >>> parse("confidence >= 0.5")
    Comparison(left=Field(keys=('confidence',)), op='>=', right=Value(value=0.5))
    """
    if len(text) > LONGEST:
        raise InputError(f"a condition has at most {LONGEST} characters, this one {len(text)}")
    try:
        return _Parser(text).whole()
    except _Wrong as wrong:
        raise InputError(f"the condition {text!r}, column {wrong.offset + 1}: {wrong}") from None


class _Wrong(Exception):
    def __init__(self, message: str, offset: int) -> None:
        self.offset = offset
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    offset: int


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while True:
        at += len(text[at:]) - len(text[at:].lstrip())
        if at == len(text):
            yield _Token("end", "", at)
            return
        match = _TOKEN.match(text, at)
        if not match:
            quote = text[at] in "\"'"
            number = re.match(r"[+-]?[0-9][\w.%]*", text[at:])
            what = (
                "this quote is never closed" if quote else f"{number[0] if number else text[at]!r} means nothing here"
            )
            raise _Wrong(what, at)
        yield _Token(match.lastgroup or "", match[0], at)
        at = match.end()


class _Parser:
    """Recursive descent over the tokens of one condition."""

    def __init__(self, text: str) -> None:
        self.tokens = list(_tokens(text))
        self.at = 0
        self.depth = 0

    def whole(self) -> Condition:
        if self.now.kind == "end":
            raise _Wrong(f"a condition compares a field of the answer, {_EXAMPLE}", 0)
        condition = self._any()
        if self.now.kind != "end":
            self._refuse_rest()
        return condition

    # --- grammar ---

    def _any(self) -> Condition:
        parts = [self._all()]
        while self._take("word", "or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _all(self) -> Condition:
        parts = [self._term()]
        while self._take("word", "and"):
            parts.append(self._term())
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _term(self) -> Condition:
        start = self.now
        self.depth += 1
        if self.depth > DEEPEST:
            raise _Wrong(f"a condition nests at most {DEEPEST} deep", start.offset)
        condition: Condition
        if self._take("word", "not"):
            condition = Not(self._term())
        elif self._take("mark", "("):
            condition = self._any()
            if self.now.kind == "end":
                raise _Wrong("this parenthesis is never closed", start.offset)
            if not self._take("mark", ")"):
                self._refuse_rest()
        else:
            condition = self._test()
        self.depth -= 1
        return condition

    def _test(self) -> Condition:
        start = self.now
        left = self._side()
        if self._take("word", "exists"):
            return Exists(self._field(left, start))
        if self.now.text == "not" and self.tokens[self.at + 1].text == "in":
            self.at += 2
            return Not(OneOf(self._field(left, start), self._values()))
        if self._take("word", "in"):
            return OneOf(self._field(left, start), self._values())
        token = self._next()
        if token.kind != "op":
            raise _Wrong("after a field comes ==, !=, <, <=, >, >=, in or exists", token.offset)
        right = self._side()
        if isinstance(left, Value) and isinstance(right, Value):
            raise _Wrong(f"this compares two values; one of them is a field of the answer, {_EXAMPLE}", start.offset)
        return Comparison(left, token.text, right)

    def _field(self, side: Field | Value, start: _Token) -> Field:
        if isinstance(side, Field):
            return side
        raise _Wrong(f"before in and exists stands a field of the answer, not {start.text}", start.offset)

    def _side(self) -> Field | Value:
        token = self.now
        if token.kind in {"number", "text"} or (token.kind == "word" and token.text in CONSTANTS):
            return self._value()
        if token.kind == "word" and token.text in KEYWORDS:
            hint = "; write FIELD exists" if token.text == "exists" else f'; a field of that name is ["{token.text}"]'
            raise _Wrong(f"a field or a value should stand here, not {token.text}{hint}", token.offset)
        if token.kind == "word":
            self._next()
            return Field((token.text, *self._keys()))
        if token.kind == "mark" and token.text == "[":
            return Field(tuple(self._keys()))
        self._next()
        raise _Wrong(f"a field or a value should stand here{f', not {token.text}' if token.text else ''}", token.offset)

    def _keys(self) -> Iterator[str | int]:
        while True:
            if self._take("mark", "."):
                token = self._next()
                if token.kind != "word":
                    raise _Wrong('after a dot comes a name; any other key is written ["…"]', token.offset)
                yield token.text
            elif self._take("mark", "["):
                yield self._index()
            else:
                return

    def _index(self) -> str | int:
        token = self._next()
        key: str | int
        if token.kind == "text":
            key = _unquoted(token)
        elif token.kind == "number" and re.fullmatch(r"-?[0-9]{1,9}", token.text):
            key = int(token.text)
        else:
            raise _Wrong('in brackets stands a whole number, or a key in quotes: scores[0], ["odd key"]', token.offset)
        if not self._take("mark", "]"):
            raise _Wrong("this bracket should be closed here: ]", self.now.offset)
        return key

    def _values(self) -> tuple[Value, ...]:
        if not self._take("mark", "["):
            raise _Wrong('after in come the values in brackets: in ["no", "yes"]', self.now.offset)
        values = [self._value()]
        while self._take("mark", ","):
            values.append(self._value())
        if not self._take("mark", "]"):
            raise _Wrong("a comma or ] should stand here", self.now.offset)
        return tuple(values)

    def _value(self) -> Value:
        token = self._next()
        if token.kind == "text":
            return Value(_unquoted(token))
        if token.kind == "word" and token.text in CONSTANTS:
            return Value(CONSTANTS[token.text])
        if token.kind == "number":
            value = int(token.text) if re.fullmatch(r"[+-]?[0-9]+", token.text) else float(token.text)
            if math.isinf(value):
                raise _Wrong(f"{token.text} is beyond what a float holds", token.offset)
            return Value(value)
        hint = f'; write "{token.text}"' if token.kind == "word" else ""
        raise _Wrong(f"a value should stand here: a number, a text in quotes, true, false or null{hint}", token.offset)

    # --- tokens ---

    @property
    def now(self) -> _Token:
        return self.tokens[self.at]

    def _next(self) -> _Token:
        token = self.now
        if token.kind == "wrong":
            raise _Wrong(f"write {_INSTEAD[token.text]} instead of {token.text}", token.offset)
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def _take(self, kind: str, text: str) -> bool:
        if self.now.kind != kind or self.now.text != text:
            return False
        self.at += 1
        return True

    def _refuse_rest(self) -> NoReturn:
        token = self._next()
        if token.text in _SPELT:
            raise _Wrong(f"write {_SPELT[token.text]}", token.offset)
        if token.kind == "op":
            raise _Wrong("a comparison has one operator; join two comparisons with and", token.offset)
        raise _Wrong(f"and, or or the end should stand here, not {token.text}", token.offset)


def _unquoted(token: _Token) -> str:
    if token.text.startswith("'"):
        return token.text[1:-1]
    try:
        return str(json.loads(token.text, strict=False))
    except ValueError:
        raise _Wrong(
            "this text holds an escape that JSON does not have; write \\\\ for a backslash", token.offset
        ) from None
