"""Figures as the log keeps them, so that events in memory and those read from their file fold alike."""

import math

from harness.domain.event import Figures


def figure(value: float | None) -> float | None:
    """A figure with the digits that the log keeps; None where it is no number."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.9g}")


def kept(figures: Figures) -> dict[str, float | None]:
    """Figures as the log keeps them."""
    return {name: figure(value) for name, value in figures.items()}
