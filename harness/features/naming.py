"""What the columns of a fitted transformer are called."""

from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator


def names_out(fitted: ColumnTransformer) -> tuple[str, ...]:
    """A name for each column that a fitted transformer makes, in order.

    One that is made of a column of its own is called as that; of a date or a derived column as its branch
    (``signup.month``); of categories ``Contract_One year``, the rare ones ``Contract_infrequent_sklearn``.
    """
    names: list[str] = []
    for label, part, columns in fitted.transformers_:
        slot = fitted.output_indices_[label]
        if slot.stop > slot.start:
            names += _of(label, part, [str(name) for name in columns], slot.stop - slot.start)
    return tuple(names)


def _of(label: str, part: Any, columns: list[str], width: int) -> list[str]:
    last = part[-1] if hasattr(part, "steps") else part
    if isinstance(last, MissingIndicator):
        return [f"{name} is missing" for name in columns]
    if label.startswith(f"{columns[0]}.") and label.endswith(" round"):
        return [f"{label.removesuffix(' round')}.{wave}" for wave in ("sin", "cos")]
    if width == 1 and (label.startswith(f"{columns[0]}.") or len(columns) == 2):
        return [label]
    if hasattr(last, "categories_") or hasattr(last, "bin_edges_"):
        made = [str(name) for name in last.get_feature_names_out(columns)]
        if len(made) == width:
            return made
    return columns if len(columns) == width else [f"{label} {place}" for place in range(width)]
