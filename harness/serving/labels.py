"""POST /labels: what turned out to be true of predictions, by their ids."""

import math
from typing import Any, Final

from harness.clock import utc_now
from harness.serving.answering import Served
from harness.serving.checking import TOLD, UNPROCESSABLE, Fault, Refused, Row, of_faults, shown
from harness.serving.logs import PredictionLog
from harness.serving.metrics import Metrics

NOT_FOUND, CONFLICT, UNAVAILABLE = 404, 409, 503
FORM: Final = 'a label is {"id": of the prediction, "label": …}, or a list of such'


class Labels:
    """Takes labels.

    Args:
        served: the model, whose labels are known.
        log: where predictions are; None: there is none, and no label is taken.
        metrics: what is counted.
    """

    def __init__(self, served: Served, log: PredictionLog | None, metrics: Metrics) -> None:
        self._by_text = {str(label): label for label in served.labels}
        self._classifies = bool(served.labels)
        self._log = log
        self._metrics = metrics

    async def take(self, said: Any) -> int:
        """Keep labels, all or none; how many they are.

        Raises:
            Refused: no predictions are kept or an id is not known (404), a label has come already (409), something is
                no label (422), or the disk does not take it (503).
        """
        if self._log is None:
            raise Refused(NOT_FOUND, "no predictions are kept here; start the server with --prediction-log FILE")
        given = said if isinstance(said, list) else [said]
        if not given:
            raise Refused(UNPROCESSABLE, f"there is no label; {FORM}")
        lines, faults = [], []
        time = utc_now().isoformat()
        for number, each in enumerate(given):
            where = f"[{number}]" if isinstance(said, list) else ""
            fault = self._fault(each, where)
            if fault:
                faults.append(fault)
            else:
                label = str(each["label"]) if self._classifies else float(each["label"])
                lines.append({"id": each["id"], "time": time, "label": label})
        if faults:
            raise of_faults(faults)
        keys = [line["id"] for line in lines]
        if unknown := self._log.unknown(keys):
            raise Refused(NOT_FOUND, f"no prediction has the id {_some(unknown)}; nothing was kept")
        if twice := self._log.labelled(keys):
            raise Refused(CONFLICT, f"a label has come already for {_some(twice)}; nothing was kept")
        if not await self._log.label(lines):
            raise Refused(UNAVAILABLE, "the label cannot be written; send it again later", retry_after_s=1)
        self._metrics.labels.inc(len(lines))
        return len(lines)

    def _fault(self, each: Any, where: str) -> Fault | None:
        """What is wrong with one label."""
        if not isinstance(each, dict) or not isinstance(each.get("id"), str) or "label" not in each:
            return Fault(where or "label", f"{where or 'this'} is {shown(each)}; {FORM}", shown(each), FORM)
        label = each["label"]
        if self._classifies:
            what = f"one of {', '.join(self._by_text)}"
            good = isinstance(label, str | int) and not isinstance(label, bool) and str(label) in self._by_text
        else:
            what = "a number"
            good = isinstance(label, int | float) and not isinstance(label, bool) and abs(label) <= 1.7e308
        if good:
            return None
        field = f"{where}.label".lstrip(".")
        return Fault(field, f"{field} is {shown(label)}; it takes {what}", shown(label), what)


def plain_row(names: tuple[str, ...], row: Row) -> dict[str, Any]:
    """A row as JSON has it: null for what is missing."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in zip(names, row, strict=True)
    }


def _some(keys: list[str]) -> str:
    more = f" and {len(keys) - TOLD} more" if len(keys) > TOLD else ""
    return ", ".join(shown(key) for key in keys[:TOLD]) + more
