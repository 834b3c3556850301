"""Rules: ``METRIC OP BOUND``, joined by ``and``, ``or``, ``not`` and parentheses.

    rule        = conjunction { "or" conjunction }
    conjunction = term { "and" term }
    term        = "not" term | "(" rule ")" | METRIC OP bound
    bound       = [ "-" ] NUMBER | WORD | "text" | "stable" [ ( "+" | "-" | "*" ) NUMBER ]

A number carries the unit of its metric (``250ms``, ``10%``, ``200/s``, or none), and is kept in base units. Adding a
share to ``stable`` adds percentage points.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NoReturn

from harness.analysis.figures import exact_text, figure_text, read_factor, read_number
from harness.analysis.vocabulary import Metric, Scope, Standing, find, nearest, suggestion
from harness.domain.analysis import Absolute, And, Bound, Comparison, Condition, Not, Op, Or, Relative, Rule, Unit
from harness.domain.quantity import share
from harness.errors import InputError

LONGEST_RULE: Final = 1000
DEEPEST_RULE: Final = 30

_TOKEN: Final = re.compile(
    r"""(?P<text>"[^"]*"|'[^']*')
      | (?P<wrong>=<|=>|<>|=(?!=)|[≤≥≠]|&&?|\|\|?|!(?!=))
      | (?P<op><=|>=|==|!=|<|>)
      | (?P<mark>[()+\-*/%])
      | (?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+\b)?(?:%|/?[^\W\d_][\w./%]*)?)
      | (?P<word>[^\W\d]\w*(?:\.\w+)*)""",
    re.VERBOSE,
)
_INSTEAD: Final = {
    "=<": "<=",
    "=>": ">=",
    "<>": "!=",
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
_KEYWORDS: Final = frozenset({"and", "or", "not", "stable"})


class RuleError(InputError):
    """A rule that cannot be used; tells where in its text."""

    def __init__(self, message: str, offset: int = 0) -> None:
        self.message = message
        self.offset = offset
        """Counted from 0."""
        super().__init__(message)


def parse(text: str, scope: Scope | None = None) -> Rule:
    """Read a rule; with a scope, a metric that is not measured there is an error.

    >>> parse("error_rate <= stable + 2%").condition
    Comparison(metric='error_rate', op=<Op.LE: '<='>, bound=Relative(factor=1.0, offset=0.02))
    """
    if len(text) > LONGEST_RULE:
        raise RuleError(f"a rule has at most {LONGEST_RULE} characters")
    return Rule(text, _Parser(text, scope).rule())


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
            raise RuleError("this quote is never closed" if quote else f"{text[at]!r} means nothing in a rule", at)
        yield _Token(match.lastgroup or "", match[0], at)
        at = match.end()


class _Parser:
    """Recursive descent over the tokens of one rule."""

    def __init__(self, text: str, scope: Scope | None) -> None:
        self.scope = scope
        self.tokens = list(_tokens(text))
        self.at = 0
        self.depth = 0

    def rule(self) -> Condition:
        if self.now.kind == "end":
            raise RuleError("a rule is METRIC OP BOUND, such as error_rate <= stable + 2%")
        condition = self._disjunction()
        if self.now.kind != "end":
            self._refuse_rest()
        return condition

    # --- grammar ---

    def _disjunction(self) -> Condition:
        parts = [self._conjunction()]
        while self._take("word", "or"):
            parts.append(self._conjunction())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _conjunction(self) -> Condition:
        parts = [self._term()]
        while self._take("word", "and"):
            parts.append(self._term())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _term(self) -> Condition:
        start = self.now
        self.depth += 1
        if self.depth > DEEPEST_RULE:
            raise RuleError(f"a rule nests at most {DEEPEST_RULE} deep", start.offset)
        condition: Condition
        if self._take("word", "not"):
            condition = Not(self._term())
        elif self._take("mark", "("):
            condition = self._disjunction()
            if self.now.kind == "end":
                raise RuleError("this parenthesis is never closed", start.offset)
            if not self._take("mark", ")"):
                self._refuse_rest()
        else:
            condition = self._comparison()
        self.depth -= 1
        return condition

    def _comparison(self) -> Comparison:
        metric = self._metric()
        token = self._next()
        if token.kind != "op":
            raise RuleError(f"after {metric.name} comes one of <, <=, >, >=, ==, !=", token.offset)
        op = Op(token.text)
        if metric.unit is Unit.TEXT and op not in {Op.EQ, Op.NE}:
            raise RuleError(f"{metric.name} is a word; compare it with == or !=", token.offset)
        return Comparison(metric.name, op, self._bound(metric))

    def _metric(self) -> Metric:
        token = self._next()
        lower = token.text.lower()
        if lower in _KEYWORDS and lower != token.text:
            raise RuleError(f"write {lower}", token.offset)
        if token.kind != "word" or token.text in _KEYWORDS:
            found = f", not with {token.text}" if token.text else ""
            raise RuleError(f"a comparison begins with a metric{found}: METRIC OP BOUND", token.offset)
        try:
            return find(token.text, self.scope)
        except ValueError as error:
            raise RuleError(str(error), token.offset) from None

    def _bound(self, metric: Metric) -> Bound:
        token = self._next()
        if metric.unit is Unit.TEXT:
            return Absolute(self._word(token, metric))
        if token.kind == "number":
            return Absolute(self._number(token, metric))
        if token.kind == "mark" and token.text in {"+", "-"} and self.now.kind == "number":
            return Absolute(self._number(self._next(), metric, -1 if token.text == "-" else 1))
        if token.text == "stable":
            return self._relative(token, metric)
        if token.text == "candidate":
            raise RuleError(
                "the candidate is what a rule judges; compare it with a number or with stable", token.offset
            )
        if token.kind == "word" and nearest(token.text, ("stable",)):
            raise RuleError(f"{token.text} is no bound; nearest: stable", token.offset)
        examples = {Unit.SECONDS: "250ms", Unit.SHARE: "10%", Unit.RATE: "200/s", Unit.NONE: "100"}
        relative = ", or with stable" if metric.relative else ""
        raise RuleError(
            f"{metric.name} is compared with a number such as {examples[metric.unit]}{relative}", token.offset
        )

    def _word(self, token: _Token, metric: Metric) -> str:
        if token.kind not in {"word", "text"}:
            wanted = f"one of {', '.join(metric.words)}" if metric.words else 'a text in quotes: "…"'
            raise RuleError(f"{metric.name} is compared with {wanted}", token.offset)
        word = token.text[1:-1] if token.kind == "text" else token.text
        if metric.words and word not in metric.words:
            raise RuleError(f"{word} is no {metric.name}; {suggestion(word, metric.words)}", token.offset)
        return word

    def _relative(self, token: _Token, metric: Metric) -> Relative:
        if self.scope and self.scope.standing is Standing.LOAD:
            raise RuleError("a load test has no stable to compare with; give a number", token.offset)
        if not metric.relative:
            raise RuleError(f"{metric.name} belongs to the whole run; stable has none to compare with", token.offset)
        sign = self.now
        if sign.kind != "mark" or sign.text == ")":
            return Relative()
        self._next()
        number = self._next()
        if sign.text not in {"+", "-", "*"} or number.kind != "number":
            raise RuleError("stable stands alone or as stable + N, stable - N, stable * N", sign.offset)
        if sign.text == "*":
            try:
                return Relative(factor=read_factor(number.text))
            except ValueError as error:
                raise RuleError(str(error), number.offset) from None
        if number.text.endswith("%") and metric.unit is not Unit.SHARE:
            times = _times(number.text, sign.text)
            raise RuleError(
                f"{metric.name} is no share, to which points are added; write stable * {times}", number.offset
            )
        offset = self._number(number, metric, bounded=False)
        return Relative(offset=offset if sign.text == "+" else -offset)

    def _number(self, token: _Token, metric: Metric, sign: int = 1, *, bounded: bool = True) -> float:
        """The number in base units, held against what the metric can be."""
        if self.now.kind in {"word", "mark"} and _reads(token.text + self.now.text, metric.unit):
            raise RuleError(f"write {token.text}{self.now.text}, without the space", token.offset)
        if self.now.kind == "mark" and self.now.text == "*":
            raise RuleError(f"write stable * {token.text}", token.offset)
        try:
            value = sign * read_number(token.text, metric.unit)
        except ValueError as error:
            raise RuleError(f"{metric.name} {error}", token.offset) from None
        if bounded and metric.least is not None and value < metric.least:
            raise RuleError(f"{metric.name} is never below {figure_text(metric.name, metric.least)}", token.offset)
        return value + 0.0  # no negative zero

    # --- tokens ---

    @property
    def now(self) -> _Token:
        return self.tokens[self.at]

    def _next(self) -> _Token:
        token = self.now
        before = self.tokens[self.at - 1] if self.at else token
        if token.kind == "wrong" and token.text == "=" and before.text in {"<", ">", "!"}:
            raise RuleError(f"write {before.text}= without the space", before.offset)
        if token.kind == "wrong":
            raise RuleError(f"write {_INSTEAD[token.text]} instead of {token.text}", token.offset)
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def _take(self, kind: str, text: str) -> bool:
        if self.now.kind != kind or self.now.text != text:
            return False
        self.at += 1
        return True

    def _refuse_rest(self) -> NoReturn:
        token = self._next()
        if token.text.lower() in {"and", "or"}:
            raise RuleError(f"write {token.text.lower()}", token.offset)
        if token.kind == "op":
            raise RuleError("a comparison has one operator; join two comparisons with and", token.offset)
        raise RuleError(f"and, or or the end should stand here, not {token.text}", token.offset)


def _reads(text: str, unit: Unit) -> bool:
    try:
        read_number(text, unit)
    except ValueError:
        return False
    return True


def _times(percentage: str, sign: str) -> str:
    """The factor that someone meant who added a percentage to a figure that is no share."""
    try:
        part = Decimal(str(share(percentage)))
    except ValueError:
        part = Decimal("0.02")
    return exact_text(float(1 + part if sign == "+" else 1 - part), Unit.NONE)
