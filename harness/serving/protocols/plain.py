"""The protocol ``json``: POST /predict, one row as an object of JSON.

    {"tenure": 12, "Contract": "One year", …}
    {"prediction": "No", "confidence": 0.91, "model": "churn-prediction", "version": 3, "id": "…"}

Features by name, null where a value is not known; names that the model does not know are ignored. A label is a text, as
the data set writes it; of a regressor ``prediction`` is a number and ``confidence`` null.
"""

from typing import Any, Final

from harness.serving.answering import Answers, Served
from harness.serving.bodies import JSON, loads
from harness.serving.checking import UNPROCESSABLE, Checker, Refused, shown
from harness.serving.protocols import Asked


class Plain:
    """`harness.serving.protocols.Spoken`."""

    name: Final = "json"
    media: Final = frozenset({JSON})

    def asked(self, body: bytes, media: str, checker: Checker) -> Asked:
        """The row of an object; 422 where it is none that the model takes."""
        del media
        said = loads(body)
        if not isinstance(said, dict):
            raise Refused(UNPROCESSABLE, f"a row is an object, features by name; this is {shown(said)}")
        return Asked([checker.row(said)])

    def answer(self, served: Served, asked: Asked, answers: Answers, key: str) -> dict[str, Any]:
        """What the model says of the row."""
        del asked
        value = answers.values[0]
        return {
            "prediction": str(value) if served.labels else value,
            "confidence": answers.confidences[0] if answers.confidences else None,
            "model": served.name,
            "version": served.shown_version,
            "id": key,
        }

    def refusal(self, refused: Refused) -> tuple[int, dict[str, Any]]:
        """What is wrong in words, and each fault by its field."""
        return refused.status, {"error": refused.message, "errors": [fault.as_json() for fault in refused.faults]}
