"""Service times that a load test has measured, as ``harness load --save-profile`` writes them.

The file is YAML: ``harness_profile: 1`` and ``quantiles``, a list of [share, seconds] from share 0 to share 1, neither
of which falls. What else stands in it (source, count, rate_per_s, mean_s) is for people.
"""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from harness.domain.service import Profile

VERSION: Final = 1
LARGEST: Final = 1_000_000
MOST: Final = 10_000
"""Quantiles in a file."""
LONGEST_S: Final = 86_400.0
_REMEDY: Final = "write one with `harness load URL --save-profile FILE`"


def read_profile(path: str) -> Profile:
    """The service times of a file.

    Raises:
        ValueError: it cannot be read, or is no table of quantiles; the message says what of it is wrong.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        if Path(path).stat().st_size > LARGEST:
            raise ValueError(f"larger than 1 MB, so it is no profile; {_REMEDY}")
        told = YAML(typ="safe", pure=True).load(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise ValueError(f"cannot be read: {' '.join(str(error).split())}; {_REMEDY}") from None
    if not isinstance(told, dict) or "harness_profile" not in told:
        raise ValueError(f"no profile, which has the key harness_profile; {_REMEDY}")
    if told["harness_profile"] != VERSION:
        raise ValueError(f"a profile of version {told['harness_profile']}; this program reads version {VERSION}")
    return Profile(_quantiles(told.get("quantiles")))


def _quantiles(rows: Any) -> tuple[tuple[float, float], ...]:
    if not isinstance(rows, list) or not 2 <= len(rows) <= MOST:
        raise ValueError(f"its quantiles are a list of 2 to {MOST:,} pairs [share, seconds]")
    found = [_pair(place, row) for place, row in enumerate(rows)]
    if found[0][0] != 0 or found[-1][0] != 1:
        raise ValueError(f"its quantiles go from share 0 to share 1, not from {found[0][0]:g} to {found[-1][0]:g}")
    for place, (before, after) in enumerate(pairwise(found), 1):
        if after[0] < before[0] or after[1] < before[1]:
            raise ValueError(f"its quantiles[{place}] is {list(after)}, after {list(before)}: neither may fall")
    return tuple(found)


def _pair(place: int, row: Any) -> tuple[float, float]:
    numbers = isinstance(row, list) and len(row) == 2 and all(type(each) in {int, float} for each in row)
    if not numbers or not all(math.isfinite(each) for each in row):
        raise ValueError(f"its quantiles[{place}] is {row!r}; it is a pair of numbers [share, seconds]")
    share, seconds = float(row[0]), float(row[1])
    if not 0 <= share <= 1 or not 0 <= seconds <= LONGEST_S:
        raise ValueError(f"its quantiles[{place}] is {row!r}: a share is from 0 to 1, a time from 0 s to a day")
    return share, seconds
