"""The protocols a server speaks, all on one port.

plain.py    POST /predict: one object in, one object out; or arrays of them
mlflow.py   POST /invocations, as MLflow's scoring server takes and answers it
v2.py       POST /v2/models/{model}/infer: the Open Inference Protocol

Each is a `Protocol`: a body to rows, answers to a body, a refusal to a body.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.serving.answering import Answers, Served
from harness.serving.checking import Checker, Refused, Row


def row_key(key: str, number: int, count: int) -> str:
    """The id of one row of a request: its own number after that of a request of several.

    >>> row_key("q", 0, 1), row_key("q", 2, 3)
    ('q', 'q/2')
    """
    return key if count == 1 else f"{key}/{number}"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks."""

    rows: Sequence[Row]
    key: str = ""
    """The request's own id, where its body gives one."""
    outputs: tuple[str, ...] = field(default=())
    """The outputs that are wanted; empty: all there are."""
    listed: bool = False
    """The rows came as a list, and so go the answers, of one row too."""


class Spoken(Protocol):
    """A protocol."""

    @property
    def name(self) -> str:
        """Its word."""
        ...

    @property
    def media(self) -> frozenset[str]:
        """Content types of requests."""
        ...

    def asked(self, body: bytes, media: str, checker: Checker) -> Asked:
        """The rows of a request; Refused where it is wrong."""
        ...

    def answer(self, served: Served, asked: Asked, answers: Answers, key: str) -> Any:
        """The answer's body."""
        ...

    def refusal(self, refused: Refused) -> tuple[int, dict[str, Any]]:
        """The status and the body of a refusal."""
        ...
