"""The scenarios that are shipped, by the time they run on."""

import os
import re
from pathlib import Path
from typing import Final

SCENARIOS: Final = Path(__file__).parents[1] / "scenarios"
ALL: Final = sorted(SCENARIOS.glob("*.yaml"))
REAL: Final = [path for path in ALL if re.search(r"(?m)^clock: real\b", path.read_text(encoding="utf-8"))]
"""Those that drive real processes; rehearsed with ``--clock virtual``."""
VIRTUAL: Final = [path for path in ALL if path not in REAL]
ODD: Final = VIRTUAL[::2]
EVEN: Final = VIRTUAL[1::2]
"""Halves, for what is dear to do with each: `sample` has one of them, or all where time is no matter."""


def sample(half: list[Path]) -> list[Path]:
    """One half; all of them under ``HARNESS_PROPERTIES=long``."""
    return VIRTUAL if os.environ.get("HARNESS_PROPERTIES") == "long" else half
