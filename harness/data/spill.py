"""What checks of the whole keep of every row: in memory while it is small, in a temporary file beyond.

Memory is bounded whatever the file's size, and the answers do not depend on where chunks were cut: what comes back is
read in blocks of one size.
"""

from collections.abc import Iterator
from hashlib import blake2b
from io import SEEK_END, BytesIO
from tempfile import TemporaryFile
from typing import Any, Final
from weakref import finalize

import numpy as np
import pandas as pd
from numpy.typing import NDArray

IN_MEMORY: Final = 32 * 2**20
"""Bytes that one check keeps in memory."""
BLOCK: Final = 2**18
"""Values that are read back at once."""

Floats = NDArray[np.float64]


class Spool:
    """Bytes that are written once and read again from their start."""

    def __init__(self, in_memory: int) -> None:
        self._file: Any = BytesIO()
        self._left = in_memory

    def write(self, data: bytes) -> None:
        """Add some at the end; beyond what memory may hold, all of it goes to a temporary file."""
        self._left -= len(data)
        if self._left < 0 and isinstance(self._file, BytesIO):
            file = TemporaryFile()  # noqa: SIM115 - it lives as long as this
            finalize(self, file.close)
            file.write(self._file.getbuffer())
            self._file = file
        self._file.seek(0, SEEK_END)
        self._file.write(data)

    def blocks(self, size: int) -> Iterator[bytes]:
        """All of it, so many bytes at once; nothing may be written meanwhile."""
        self._file.seek(0)
        while data := self._file.read(size):
            yield data


class Numbers:
    """A column of numbers, eight bytes each, with order statistics that are exact."""

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self._file = Spool(in_memory)
        self.count = 0

    def add(self, values: Floats) -> None:
        """Keep more; NaN is kept too, so that places are rows."""
        self._file.write(np.ascontiguousarray(values, dtype="<f8").tobytes())
        self.count += int(np.count_nonzero(~np.isnan(values)))

    def blocks(self) -> Iterator[tuple[int, Floats]]:
        """All values in their order, in blocks, each with the place of its first."""
        place = 0
        for data in self._file.blocks(8 * BLOCK):
            block = np.frombuffer(data, dtype="<f8")
            yield place, block
            place += len(block)

    def at(self, ranks: list[int], centre: float | None = None) -> dict[int, float]:
        """The values at some ranks, counted from 0, NaN left out; of the distance to ``centre`` where that is given.

        By radix selection: four passes, each of which fixes 16 bits of the answer.
        """
        found = dict.fromkeys(ranks, 0)
        left = {rank: rank for rank in found}
        for step in (48, 32, 16, 0):
            prefixes = sorted(set(found.values()))
            counts = {prefix: np.zeros(2**16, dtype=np.int64) for prefix in prefixes}
            for _, block in self.blocks():
                keys = _ordered(block[~np.isnan(block)], centre)
                for prefix in prefixes:
                    mine = keys if step == 48 else keys[keys >> np.uint64(step + 16) == np.uint64(prefix)]
                    digits = (mine >> np.uint64(step)).astype(np.int64) & 0xFFFF
                    counts[prefix] += np.bincount(digits, minlength=2**16)
            for rank, prefix in found.items():
                ends = np.cumsum(counts[prefix])
                digit = int(np.searchsorted(ends, left[rank], side="right"))
                left[rank] -= int(ends[digit - 1]) if digit else 0
                found[rank] = (prefix << 16) | digit
        return {rank: _number(key) for rank, key in found.items()}

    def quantiles(self, shares: tuple[float, ...], centre: float | None = None) -> tuple[float, ...]:
        """Quantiles with linear interpolation, as `numpy.quantile` has them; NaN where there is no value."""
        if not self.count:
            return tuple(np.nan for _ in shares)
        places = [share * (self.count - 1) for share in shares]
        ranks = sorted({rank for place in places for rank in (int(place), min(int(place) + 1, self.count - 1))})
        values = self.at(ranks, centre)
        return tuple(
            values[int(place)]
            + (values[min(int(place) + 1, self.count - 1)] - values[int(place)]) * (place - int(place))
            for place in places
        )

    def moments(self, centre: float = 0.0, power: int = 1) -> float:
        """The mean of |x - centre| to a power (of x itself for centre 0 and power 1), in blocks of one size."""
        total = 0.0
        for _, block in self.blocks():
            values = block[~np.isnan(block)]
            away = values if not centre and power == 1 else np.abs(values - centre) ** power
            total += float(np.sum(away))
        return total / self.count if self.count else np.nan


def _ordered(values: Floats, centre: float | None) -> NDArray[np.uint64]:
    """Whole numbers in the order of the values."""
    values = (values if centre is None else np.abs(values - centre)) + 0.0
    bits = np.ascontiguousarray(values).view(np.uint64)
    top = np.uint64(1 << 63)
    return np.where(bits & top, ~bits, bits | top)


def _number(key: int) -> float:
    bits = key & ~(1 << 63) if key >> 63 else ~key & (2**64 - 1)
    return float(np.array([bits], dtype=np.uint64).view(np.float64)[0])


# --- rows that stand twice --------------------------------------------------------------------------------------------

_ROW: Final = np.dtype([("a", "<u8"), ("b", "<u8"), ("row", "<i8")])


class Digests:
    """Which rows are an earlier row again: 24 bytes a row, of which 16 are a digest of its values."""

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self._limit = in_memory
        self._file = Spool(in_memory)
        self.rows = 0

    def add(self, digests: NDArray[np.uint64], numbers: NDArray[np.int64]) -> None:
        """Keep more rows; those of training data have numbers below 0."""
        made = np.empty(len(numbers), dtype=_ROW)
        made["a"], made["b"], made["row"] = digests[0], digests[1], numbers
        self._file.write(made.tobytes())
        self.rows += len(made)

    def again(self, first: int) -> tuple[int, NDArray[np.int64]]:
        """How many rows are another row again, and the first of them; of equal rows, the first in order is none."""
        return self._gathered(_repeated, first)

    def common(self, first: int) -> tuple[int, NDArray[np.int64]]:
        """How many rows with numbers above 0 equal one with a number below 0, and the first of them."""
        return self._gathered(_shared, first)

    def _gathered(self, pick: Any, first: int) -> tuple[int, NDArray[np.int64]]:
        count, rows = 0, np.zeros(0, dtype=np.int64)
        for part in self._parts():
            part.sort(order=("a", "b", "row"))
            found = pick(part)
            count += len(found)
            rows = np.sort(np.concatenate([rows, found]))[:first]
        return count, rows

    def _parts(self) -> Iterator[Any]:
        """All rows, in parts that fit into memory; equal rows come in one part."""
        parts = max(1, -(-self.rows * _ROW.itemsize // self._limit))
        for part in range(parts):
            held = [block[block["a"] % np.uint64(parts) == part] for block in self._blocks()]
            if held:
                yield np.concatenate(held)

    def _blocks(self) -> Iterator[Any]:
        for data in self._file.blocks(_ROW.itemsize * BLOCK):
            yield np.frombuffer(data, dtype=_ROW)


def _same(part: Any) -> NDArray[np.bool_]:
    return np.asarray((part["a"][1:] == part["a"][:-1]) & (part["b"][1:] == part["b"][:-1]))


def _repeated(part: Any) -> Any:
    return part["row"][1:][_same(part)]


def _shared(part: Any) -> Any:
    """Within a run of equal rows, those of training data come first."""
    if not len(part):
        return part["row"]
    starts = np.concatenate([[True], ~_same(part)])
    of_first = part["row"][starts][np.cumsum(starts) - 1]
    return part["row"][(part["row"] > 0) & (of_first < 0)]


def digests(frame: pd.DataFrame, columns: list[str]) -> NDArray[np.uint64]:
    """128 bits of each row's values, whatever the order of the columns: two rows of 64.

    Each value is hashed with its column's name (BLAKE2b), and those of a row are added up.

    Args:
        frame: typed: float64 and texts, NaN where missing.
        columns: those that count.
    """
    total = np.zeros((2, len(frame)), dtype=np.uint64)
    for name in columns:
        codes, values = pd.factorize(frame[name])
        key = blake2b(name.encode(), digest_size=16).digest()
        made = b"".join(blake2b(_bytes(value), digest_size=16, key=key).digest() for value in values.tolist())
        missing = blake2b(b"missing", digest_size=16, key=key).digest()
        total += np.frombuffer(made + missing, dtype="<u8").reshape(-1, 2)[codes].T  # the code -1 is the last
    return total


def _bytes(value: Any) -> bytes:
    if isinstance(value, float):
        return b"n" + np.float64(value + 0.0).tobytes()
    return b"t" + str(value).encode("utf-8", "surrogatepass")
