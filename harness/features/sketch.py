"""What a model's raw columns looked like in training: a small JSON beside the model, to hold serving rows against.

Of a column of numbers: how many there are, the share that is missing, mean, standard deviation (divisor n), least and
greatest. Of a column of categories: the share of each, the most frequent first.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from harness.errors import InputError

SKETCH_VERSION: Final = 1
CATEGORIES_KEPT: Final = 200
"""Of each column; the share of all others is kept as one figure."""
MEAN_SHIFT_SD: Final = 0.5
"""A mean is told as moved from so many standard deviations of the training rows on."""
SHARE_SHIFT: Final = 0.1
"""A share of missing values, or of a category, is told as moved from so much on: ten percentage points."""


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing about a column of serving rows that training rows did not have."""

    column: str
    text: str

    def __str__(self) -> str:
        """As people read it."""
        return f"{self.column}: {self.text}"


def sketch(rows: pd.DataFrame) -> dict[str, Any]:
    """The statistics of some rows, as JSON has it; shares in 0..1.

    >>> sketch(pd.DataFrame({"x": [1.0, 3.0], "c": ["a", None]}))["columns"]["x"]["mean"]
    2.0
    """
    columns = {str(name): _column(rows[name]) for name in rows.columns}
    return {"version": SKETCH_VERSION, "rows": len(rows), "columns": columns}


def _column(values: "pd.Series[Any]") -> dict[str, Any]:
    missing = float(values.isna().mean()) if len(values) else 0.0
    known = values.dropna()
    if pd.api.types.is_numeric_dtype(values):
        numbers = known.astype("float64")
        figures = {"mean": numbers.mean(), "sd": numbers.std(ddof=0), "min": numbers.min(), "max": numbers.max()}
        plain = {name: float(figure) if len(numbers) else None for name, figure in figures.items()}
        return {"kind": "number", "missing": missing, **plain}
    shares = known.astype(str).value_counts(normalize=True)
    ordered = sorted(shares.items(), key=lambda each: (-each[1], each[0]))
    kept = {str(word): float(share) for word, share in ordered[:CATEGORIES_KEPT]}
    return {
        "kind": "category", "missing": missing, "categories": kept, "others": max(0.0, 1.0 - sum(kept.values()))
    }  # fmt: skip


def beside(model: Path) -> Path:
    """The file of a model's statistics: ``model.skops`` has ``model.statistics.json``."""
    return model.with_suffix(".statistics.json")


def save(model: Path, rows: pd.DataFrame) -> Path:
    """Write the statistics of training rows beside a model's file."""
    path = beside(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(sketch(rows), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def load(model: Path) -> dict[str, Any]:
    """The statistics that were kept beside a model's file.

    Raises:
        InputError: there are none, or the file cannot be read.
    """
    path = beside(model)
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: no statistics of training can be read there: {error}") from error
    if found.get("version") != SKETCH_VERSION:
        raise InputError(f"{path}: statistics of version {found.get('version')}; this program reads {SKETCH_VERSION}")
    return found


def held_against(statistics: Mapping[str, Any], rows: pd.DataFrame) -> tuple[Remark, ...]:
    """What of a batch of serving rows training did not have, column by column.

    It tells of missing columns, other kinds of values, numbers outside of what was seen, categories never seen, and of
    means and shares that moved (`MEAN_SHIFT_SD`, `SHARE_SHIFT`). No test of significance: that is drift detection.
    """
    return tuple(
        Remark(name, text)
        for name, known in statistics["columns"].items()
        for text in (_told(known, rows[name]) if name in rows.columns else ["the column is missing"])
    )


def _told(known: Mapping[str, Any], values: "pd.Series[Any]") -> list[str]:
    numeric = bool(pd.api.types.is_numeric_dtype(values)) or bool(values.isna().all())
    if numeric != (known["kind"] == "number") and not values.isna().all():
        return [f"holds {'numbers' if numeric else 'text'}, and held {'text' if numeric else 'numbers'} in training"]
    now = _column(values)
    found = []
    if abs(now["missing"] - known["missing"]) >= SHARE_SHIFT:
        found.append(f"{now['missing']:.1%} are missing, {known['missing']:.1%} in training")
    if known["kind"] == "number":
        return found + _moved(known, values)
    return found + _shares(known, now)


def _moved(known: Mapping[str, Any], values: "pd.Series[Any]") -> list[str]:
    numbers = values.dropna().astype("float64")
    if not len(numbers) or known["mean"] is None:
        return []
    found = []
    outside = int(((numbers < known["min"]) | (numbers > known["max"])).sum())
    if outside:
        found.append(f"{outside} of {len(numbers)} lie outside of {known['min']:g} to {known['max']:g}")
    spread = known["sd"]
    shift = (float(numbers.mean()) - known["mean"]) / spread if spread else math.inf
    if abs(shift) >= MEAN_SHIFT_SD and (spread or float(numbers.mean()) != known["mean"]):
        found.append(f"the mean is {numbers.mean():g}, {known['mean']:g} in training ({shift:+.2f} sd)")
    return found


def _shares(known: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found = []
    new = {word: share for word, share in now["categories"].items() if word not in known["categories"]}
    if new and not known["others"]:
        shown = ", ".join(repr(word) for word in list(new)[:5])
        found.append(f"{sum(new.values()):.1%} are of categories never seen: {shown}{', ...' if len(new) > 5 else ''}")
    for word, share in known["categories"].items():
        if abs(now["categories"].get(word, 0.0) - share) >= SHARE_SHIFT:
            found.append(f"{now['categories'].get(word, 0.0):.1%} are {word!r}, {share:.1%} in training")
    return found
