"""What an answer must be to count as a success: its status, its content type, and what its body says.

A `Checker` is made once, before the test, and asked for every answer. What costs is reading the JSON, so an answer
whose body is the same as one lately seen is not read again; what is asked of a body depends on nothing else but, for
golden predictions, on the request.
"""

import json
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from harness.domain.load import AnswerChecks, Speech
from harness.errors import InputError
from harness.load import speech as speeches
from harness.load.expressions import MISSING, compiled, fields, getter, same
from harness.load.rows import shown
from harness.load.schemas import AnswerSchema
from harness.load.wording import parse

KNOWN: Final = 512
"""Bodies that are remembered."""
KNOWN_BYTES: Final = 16 * 1024
"""Of the largest that is remembered."""
NOT_JSON: Final = "not_json"
CONTENT_TYPE: Final = "content_type"
SCHEMA: Final = "schema"
CONDITION: Final = "condition"
GOLDEN: Final = "golden"

_SHOWN: Final = 80
_UNREAD: Final = -1


@dataclass(slots=True)
class _Seen:
    """What there is to say of a body."""

    kind: str
    """Of its failure, or empty."""
    prediction: Any = None
    right_for: int = _UNREAD
    """The last request whose golden prediction it had."""


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


_DECODE: Final = json.JSONDecoder(parse_constant=_refuse_constant).decode


class Checker:
    """Tells a success from a failure, and what kind of one.

    Args:
        checks: what an answer must be.
        speech: where it has its prediction.

    Raises:
        InputError: the schema, a condition or a golden prediction cannot be used; tells where and why.

    >>> checker = Checker(AnswerChecks(conditions=("confidence >= 0.5",)), Speech.JSON)
    >>> checker.check(200, "application/json", b'{"confidence": 0.3}', 0), checker.check(503, "", b"", 1)
    ('condition', 'http_503')
    >>> checker.detail["condition"]
    'confidence >= 0.5 does not hold: confidence is 0.3'
    """

    def __init__(self, checks: AnswerChecks, speech: Speech) -> None:
        self._statuses = checks.statuses
        self._content_type = checks.content_type.lower() if checks.content_type else None
        self._speech = speech
        self._schema = AnswerSchema(checks.schema) if checks.schema else None
        trees = [(text, parse(text)) for text in checks.conditions]
        self._conditions = [(text, compiled(tree), fields(tree)) for text, tree in trees]
        self._golden = None if checks.golden is None else _golden(checks.golden, speech)
        self._tolerance = checks.tolerance
        self._reads_body = checks.reads_body
        self._known: dict[bytes, _Seen] = {}
        self.detail: dict[str, str] = {}
        """Of the first failure of each kind: what was wrong, where, and what stood there."""

    def check(self, status: int, content_type: str, body: bytes, index: int) -> str:
        """The kind of failure that an answer is; empty where it is a success.

        Args:
            status: of HTTP.
            content_type: as the header says it; empty where there is none.
            body: the whole of it; where no check reads it, anything.
            index: the number of the request's body in its payload.

        Returns:
            ``http_503`` (any status that is not allowed), ``content_type``, ``not_json``, ``schema``, ``condition`` or
            ``golden``: the first that applies.
        """
        if status not in self._statuses:
            return self._refused(status, body)
        if self._content_type is not None and not content_type.lower().startswith(self._content_type):
            return self._other_type(content_type)
        if not self._reads_body:
            return ""
        seen = self._known.get(body)
        if seen is None:
            seen = self._read(body)
        if seen.kind or self._golden is None or seen.right_for == index:
            return seen.kind
        return self._compare(seen, index)

    def _refused(self, status: int, body: bytes) -> str:
        kind = f"http_{status}"
        if kind not in self.detail:
            said = " ".join(body[:400].decode("utf-8", "replace").split())
            self.detail[kind] = f"status {status}{f': {_short(said)}' if said else ', without a body'}"
        return kind

    def _other_type(self, content_type: str) -> str:
        if CONTENT_TYPE not in self.detail:
            found = _short(content_type) or "not given"
            self.detail[CONTENT_TYPE] = f"the content type is {found}, and should begin with {self._content_type}"
        return CONTENT_TYPE

    def _read(self, body: bytes) -> _Seen:
        """What there is to say of a body that is new; it is remembered; where they are many, the others are not."""
        try:
            answer = _DECODE(body.decode())
        except (ValueError, RecursionError) as error:
            seen = _Seen(NOT_JSON)
            if NOT_JSON not in self.detail:
                self.detail[NOT_JSON] = _not_json(error, body)
        else:
            seen = _Seen(self._judged(answer))
            if self._golden is not None and not seen.kind:
                seen.prediction = self._prediction(answer)
        if len(body) <= KNOWN_BYTES:
            if len(self._known) >= KNOWN:
                self._known.clear()
            self._known[body] = seen
        return seen

    def _judged(self, answer: Any) -> str:
        if self._schema is not None and not self._schema.valid(answer):
            if SCHEMA not in self.detail:
                self.detail[SCHEMA] = self._schema.problem(answer)
            return SCHEMA
        for text, holds, asked in self._conditions:
            if not holds(answer):
                if CONDITION not in self.detail:
                    told = ", ".join(f"{field} is {_found(getter(field)(answer))}" for field in asked)
                    self.detail[CONDITION] = f"{text} does not hold: {told}"
                return CONDITION
        return ""

    def _prediction(self, answer: Any) -> Any:
        try:
            return speeches.prediction(answer, self._speech)
        except RecursionError:
            return speeches.NOWHERE

    def _compare(self, seen: _Seen, index: int) -> str:
        golden = self._golden[index] if self._golden is not None else None
        try:
            if close(seen.prediction, golden, self._tolerance):
                seen.right_for = index
                return ""
        except RecursionError:
            golden = "what is not nested so deep"
        if GOLDEN not in self.detail:
            found = "not there" if seen.prediction is speeches.NOWHERE else shown(seen.prediction)
            where = f"{speeches.place(self._speech)}{_where(seen.prediction, golden, self._tolerance)}"
            self.detail[GOLDEN] = f"body {index + 1} of the payload: {where} is {found}, and should be {shown(golden)}"
        return GOLDEN


def close(found: Any, golden: Any, tolerance: float) -> bool:
    """Whether a prediction is the golden one: numbers within the tolerance, lists and objects part by part.

    Args:
        found: as parsed JSON.
        golden: likewise.
        tolerance: how far a number may be off, absolutely, or relatively to the golden one, whichever allows more.

    >>> close([1, 0.5], [1.0, 0.5000000001], 1e-9), close(True, 1, 1.0), close("yes", "no", 1.0)
    (True, False, False)
    """
    kind = type(golden)
    if kind is float or kind is int:
        if type(found) is not float and type(found) is not int:
            return False
        try:
            return bool(found == golden or abs(found - golden) <= tolerance * max(1.0, abs(golden)))
        except OverflowError:  # a whole number beyond floats
            return False
    if kind is list:
        return (
            type(found) is list
            and len(found) == len(golden)
            and all(close(one, other, tolerance) for one, other in zip(found, golden, strict=True))
        )
    if kind is dict:
        same_keys = type(found) is dict and found.keys() == golden.keys()
        return same_keys and all(close(found[key], value, tolerance) for key, value in golden.items())
    return same(found, golden)


def _where(found: Any, golden: Any, tolerance: float) -> str:
    """Of two lists of one length: which element is off first."""
    if isinstance(found, list) and isinstance(golden, list) and len(found) == len(golden):
        pairs = enumerate(zip(found, golden, strict=True))
        first = next((at for at, (one, other) in pairs if not close(one, other, tolerance)), None)
        return f" (its element {first})" if first is not None else ""
    return ""


def _golden(texts: tuple[str, ...], speech: Speech) -> list[Any]:
    read = []
    for number, text in enumerate(texts, 1):
        try:
            read.append(speeches.plain(_DECODE(text), speech))
        except (ValueError, RecursionError):
            raise InputError(f"golden prediction {number} is {_short(text)}, which is not JSON") from None
    return read


def _not_json(error: Exception, body: bytes) -> str:
    begins = _short(" ".join(body[:400].decode("utf-8", "replace").split()))
    if not body:
        return "the answer has no body, and JSON is expected"
    match error:
        case json.JSONDecodeError():
            why = f"{error.msg} at line {error.lineno}, column {error.colno}"
        case UnicodeDecodeError():
            why = f"byte {error.start} is no UTF-8"
        case RecursionError():
            why = "it nests too deep"
        case _:
            why = str(error)
    return f"the answer is not JSON: {why}; it begins {begins}"


def _found(value: Any) -> str:
    return "not there" if value is MISSING else shown(value)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
