"""What became of each request, in columns: windows are slices of it, and what is over is added to sums.

A record is written when its client has seen the outcome, so records rise by that time, and a window ``[start, stop)``
is found by bisection. Some 60 bytes a request; those older than any window are dropped once they stand in the sums.
"""

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.domain.lost import LOST, OTHERS, PRESUMED
from harness.domain.model import SERVING, Role
from harness.stats.histogram import Histogram
from harness.users.understanding import OK

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

KINDS: Final = (OK, *OTHERS, *LOST, *(PRESUMED + kind for kind in (*OTHERS, *LOST)))
"""What may become of a request, by number; 0 is success."""
CODES: Final[Mapping[str, int]] = {kind: code for code, kind in enumerate(KINDS)}
WAITED: Final = np.array(
    [kind.removeprefix(PRESUMED) in {OK, "error", "timeout", "bad_answer", "router_504"} for kind in KINDS]
)
"""Whether clients waited for it, so that its latency counts: refusals and broken connections take no time of note."""
_TYPES: Final[Mapping[str, str]] = {
    "done_ns": "q", "due_ns": "q", "role": "b", "kind": "b", "user": "q", "cls": "h", "row": "q", "level": "b",
    "labelled": "b", "predicted": "d", "score": "d",
}  # fmt: skip
_DROP_EVERY: Final = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Records as arrays of equal length, rising in ``done_ns``."""

    columns: Mapping[str, NDArray[Any]]

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    def __len__(self) -> int:
        return len(self.columns["done_ns"])

    def where(self, mask: BoolArray) -> "Table":
        """Those that are meant."""
        return Table({name: column[mask] for name, column in self.columns.items()})

    def of(self, role: Role) -> "Table":
        """Those of one arm."""
        return self.where(self["role"] == SERVING.index(role))

    @property
    def ok(self) -> BoolArray:
        """Which succeeded."""
        found: BoolArray = self["kind"] == 0
        return found

    @property
    def errors(self) -> dict[str, int]:
        """Failures by kind; those that occurred, by name."""
        counts = np.bincount(self["kind"], minlength=len(KINDS))
        return {kind: int(counts[CODES[kind]]) for kind in sorted(KINDS[1:]) if counts[CODES[kind]]}

    @property
    def latency(self) -> Histogram:
        """Of what clients waited for, from the moment that each request was due."""
        waited = WAITED[self["kind"]]
        return Histogram.of((self["done_ns"] - self["due_ns"])[waited])

    def rows(self, size: int, mask: BoolArray) -> dict[int, IntArray]:
        """How often each row was asked, by level of drift, of those that are meant; answers to no row are left out."""
        mask = mask & (self["row"] >= 0)
        level, row = self["level"][mask], self["row"][mask]
        return {int(each): np.bincount(row[level == each], minlength=size) for each in np.unique(level)}


class Records:
    """Records of the windows that may still be asked for.

    Args:
        keep_ns: how far back that is.
        over: is given records before they are dropped, each once and in order; see `settle`.
    """

    def __init__(self, keep_ns: int, over: Callable[[Table], None]) -> None:
        self.keep_ns = keep_ns
        self.dropped_ns: int | None = None
        """What was seen before this stands in the sums alone; None: everything is here."""
        self._over = over
        self._columns = {name: array(code) for name, code in _TYPES.items()}
        self._settled = 0

    def __len__(self) -> int:
        return len(self._columns["done_ns"])

    def append(self, **values: float) -> None:
        """Write one: ``done_ns``, ``due_ns``, ``role`` … as in `Table`; ``done_ns`` never falls."""
        for name, column in self._columns.items():
            column.append(values[name])  # type: ignore[arg-type]  # whole numbers where the column has such
        if len(self) >= 2 * _DROP_EVERY and len(self) % _DROP_EVERY == 0:
            self._drop(int(values["done_ns"]) - self.keep_ns)

    def _drop(self, before_ns: int) -> None:
        old = self._place(before_ns)
        if not old:
            return
        self.settle()
        for column in self._columns.values():
            del column[:old]
        self._settled -= old
        self.dropped_ns = before_ns

    def settle(self) -> None:
        """Give everything that is new to the sums."""
        if self._settled < len(self):
            new = self._slice(self._settled, len(self))
            self._settled = len(self)
            self._over(new)

    def clear(self) -> None:
        """Forget all of it, once it stands in the sums: windows begin anew."""
        self.settle()
        for column in self._columns.values():
            del column[:]
        self._settled = 0

    def between(self, start_ns: int, stop_ns: int) -> Table:
        """Those whose outcome was seen in ``[start, stop)``.

        Raises:
            ValueError: the window reaches back to what is not kept any more.
        """
        if self.dropped_ns is not None and start_ns < self.dropped_ns:
            raise ValueError(f"a window from {start_ns} ns on: what was seen before {self.dropped_ns} ns is not kept")
        return self._slice(self._place(start_ns), self._place(max(stop_ns, start_ns)))

    def since(self, start_ns: int) -> Table:
        """Those whose outcome was seen at ``start`` or later."""
        return self._slice(self._place(start_ns), len(self))

    def _place(self, at_ns: int) -> int:
        return int(np.searchsorted(np.frombuffer(self._columns["done_ns"], np.int64), at_ns)) if len(self) else 0

    def _slice(self, start: int, stop: int) -> Table:
        # Copies: an array that others look into cannot grow.
        return Table({name: np.array(column[start:stop]) for name, column in self._columns.items()})
