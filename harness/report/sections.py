"""What a comparison is made of: rows that hold a thing of both runs, in sections."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

NONE: Final = "–"


@dataclass(frozen=True, slots=True)
class Row:
    """One thing of both runs."""

    name: str
    a: str
    b: str
    difference: str = ""

    @property
    def changed(self) -> bool:
        """Whether the two differ, as far as they are shown."""
        return self.a != self.b


@dataclass(frozen=True, slots=True)
class Section:
    """Rows of one kind."""

    title: str
    rows: Sequence[Row]
    note: str = ""
    """What its figures are, where their names don't say it."""

    @property
    def differs(self) -> bool:
        """Whether it has rows whose difference is a figure."""
        return any(row.difference for row in self.rows)

    @property
    def terse(self) -> bool:
        """Whether it holds single figures, each of which stays on its line."""
        return self.differs and not any(", " in cell for row in self.rows for cell in (row.a, row.b))


def difference(
    a: float | None, b: float | None, said: Callable[[float | None], str], *, share: bool = False, factor: bool = True
) -> str:
    """From the first figure to the second; empty where there is none.

    Args:
        a: of the first run.
        b: of the second run.
        said: how the figure is written.
        share: a share differs by percentage points.
        factor: say as well how many times the first the second is.

    >>> difference(100, 150, "{:.0f}".format), difference(0.25, 0.2, str, share=True), difference(1, None, str)
    ('+50 (x1.5)', '−5 points', '')
    """
    if a is None or b is None or a == b:
        return ""
    sign = "+" if b > a else "−"
    if share:
        return f"{sign}{abs(b - a) * 100:.3g} points"
    times = f" (x{b / a:.3g})" if factor and a > 0 and b > 0 else ""
    return f"{sign}{said(abs(b - a))}{times}"
