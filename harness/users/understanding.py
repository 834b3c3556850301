"""What an answer says: how it went, which arm gave it, and what the model predicts."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from harness.domain.model import Revision, Role, Task, TrainedModel
from harness.realtime import ARM_HEADER
from harness.users.shares import known

NOT_KNOWN: Final = math.nan
"""In place of a figure that nobody told."""
FULL: Final = frozenset({429, 503})
"""A replica has no room, or is not ready: a refusal."""
ROUTER: Final[Mapping[int, str]] = {502: "router_502", 503: "no_replica", 504: "router_504"}
"""What a router says by itself."""
OK: Final = "ok"


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, or a failure."""

    kind: str
    """``ok``, or one of `harness.domain.lost`."""
    role: Role | None = None
    """Whose it is; None: nothing says so."""
    predicted: float = NOT_KNOWN
    """0 or 1 (1: positive), or the value."""
    score: float = NOT_KNOWN
    """The probability of the positive class, or the value."""


class Reader:
    """Reads answers.

    Args:
        arms: those that there are.
        headers: that name the arm, the first that is there counts.
        model: what the answers are those of; None: any answer is one.
    """

    def __init__(
        self, arms: Sequence[Role], headers: Sequence[str] = (ARM_HEADER,), model: TrainedModel | None = None
    ) -> None:
        self._arms, self._headers, self._model = tuple(arms), tuple(map(str.lower, headers)), model
        self._revisions: dict[str, Role] = {}

    def put(self, model: TrainedModel | None) -> None:
        """Answers are those of a model of this kind from now on."""
        self._model = model

    def inform(self, revisions: Mapping[Role, Revision]) -> None:
        """What the models are called: their answers say so; a name that two arms share says nothing."""
        words = [
            (word, role) for role, revision in revisions.items() for word in (str(revision), str(revision.version))
        ]
        counts = [word for word, _ in words]
        self._revisions = {word: role for word, role in words if counts.count(word) == 1}

    def arm(self, headers: Mapping[str, str], said: Any = None) -> Role | None:
        """Whose answer it is: by its headers (names in lower case), else by the version that it tells."""
        for name in self._headers:
            if text := headers.get(name):
                return known(self._arms, text) or self._revisions.get(text.strip())
        if not isinstance(said, dict) or said.get("version") is None:
            return None
        version, model = str(said["version"]), said.get("model")
        if model is not None and (role := self._revisions.get(f"{model}:{version}")):
            return role
        return self._revisions.get(version)

    def read(self, status: int, headers: Mapping[str, str], body: bytes) -> Said:
        """What came back, whole."""
        said = _parsed(body)
        role = self.arm(headers, said)
        if not 200 <= status < 300:
            return Said(_refusal(status, role), role)
        if self._model is None:
            return Said(OK, role)
        predicted, score = self._prediction(said)
        return Said("bad_answer" if math.isnan(predicted) else OK, role, predicted, score)

    def _prediction(self, said: Any) -> tuple[float, float]:
        if not isinstance(said, dict) or self._model is None:
            return NOT_KNOWN, NOT_KNOWN
        if self._model.task is Task.REGRESSION:
            value = _number(said.get("prediction"))
            return value, value
        label = str(said.get("prediction"))
        if label not in self._model.classes:
            return NOT_KNOWN, NOT_KNOWN
        positive, sure = label == self._model.classes[-1], _number(said.get("confidence"))
        return float(positive), sure if positive else 1.0 - sure


def _refusal(status: int, role: Role | None) -> str:
    """What a status that is no success means; without an arm it is the router's own."""
    if role is None and status in ROUTER:
        return ROUTER[status]
    return "rejected" if status in FULL else "error"


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _number(value: Any) -> float:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else NOT_KNOWN
