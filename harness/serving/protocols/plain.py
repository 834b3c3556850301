"""The protocol ``json``: POST /predict, one row as an object of JSON, or several as an array of objects.

    {"tenure": 12, "Contract": "One year", …}
    {"prediction": "No", "confidence": 0.91, "model": "churn-prediction", "version": 3, "id": "…"}

Features by name, null where a value is not known; names that the model does not know are ignored. A label is a text, as
the data set writes it; of a regressor ``prediction`` is a number and ``confidence`` null. An array is answered with an
array in the same order, in which ``id`` is that of the row.
"""

from typing import Any, Final

from harness.serving.answering import Answers, Served
from harness.serving.bodies import JSON, loads
from harness.serving.checking import UNPROCESSABLE, Checker, Refused, shown
from harness.serving.protocols import Asked, row_key


class Plain:
    """`harness.serving.protocols.Spoken`."""

    name: Final = "json"
    media: Final = frozenset({JSON})

    def asked(self, body: bytes, media: str, checker: Checker) -> Asked:
        """The row of an object, or the rows of an array; 422 where one is none that the model takes."""
        del media
        said = loads(body)
        if isinstance(said, list):
            if not said:
                raise Refused(UNPROCESSABLE, "there is no row to answer; send at least one")
            return Asked(checker.rows(said), listed=True)
        if not isinstance(said, dict):
            raise Refused(
                UNPROCESSABLE, f"rows are an object, features by name, or a list of such; this is {shown(said)}"
            )
        return Asked([checker.row(said)])

    def answer(self, served: Served, asked: Asked, answers: Answers, key: str) -> Any:
        """What the model says of the row, or a list of it."""
        count = len(asked.rows)
        said = [self._one(served, answers, number, row_key(key, number, count)) for number in range(count)]
        return said if asked.listed else said[0]

    def _one(self, served: Served, answers: Answers, number: int, key: str) -> dict[str, Any]:
        value = answers.values[number]
        return {
            "prediction": str(value) if served.labels else value,
            "confidence": answers.confidences[number] if answers.confidences else None,
            "model": served.name,
            "version": served.shown_version,
            "id": key,
        }

    def refusal(self, refused: Refused) -> tuple[int, dict[str, Any]]:
        """What is wrong in words, and each fault by its field."""
        return refused.status, {"error": refused.message, "errors": [fault.as_json() for fault in refused.faults]}
