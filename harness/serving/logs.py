"""Logs of JSON lines that never hold up an answer: lines are gathered, and a thread writes them.

A disk that is full, or a folder that is gone, costs lines and nothing else: they are counted, and told of once.
"""

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from harness.errors import InputError

log = logging.getLogger("harness.serving")

EVERY_S: Final = 0.2
MOST_WAITING: Final = 200_000
"""Lines that may wait for a disk; of more the newest are lost."""
REMEMBERED: Final = 500_000
"""Predictions whose ids are known; older ones get no label any more."""


class LineLog:
    """Lines appended to a file, or to standard output.

    Args:
        path: the file; ``-`` is standard output.
        name: what it is called in messages.
        lost: told how many lines could not be written.
        rotate_bytes: from that size on, the file becomes ``FILE.1`` and a new one is begun; 0: never.
        keep: how many files of the past are kept.

    Raises:
        InputError: the file cannot be opened.
    """

    def __init__(
        self, path: str, name: str, lost: Callable[[str, int], None], *, rotate_bytes: int = 0, keep: int = 5
    ) -> None:
        self.path = path
        self.name = name
        self._lost = lost
        self._rotate_bytes = rotate_bytes
        self._keep = keep
        self._lines: list[str] = []
        self._told = False
        self._writing = asyncio.Lock()
        self._file: int | None = None
        if path != "-":
            try:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                self._file = self._opened()
            except OSError as error:
                raise InputError(f"--{name} {path}: cannot be written: {error.strerror}") from error

    def write(self, line: str) -> None:
        """Append a line soon."""
        if len(self._lines) >= MOST_WAITING:
            self._count(1, "its disk is too slow")
            return
        self._lines.append(line)

    async def flush(self) -> bool:
        """Write what is gathered; whether it could be."""
        async with self._writing:
            lines, self._lines = self._lines, []
            if not lines:
                return True
            try:
                await asyncio.to_thread(self._append, lines)
            except OSError as error:
                self._count(len(lines), error.strerror or str(error))
                return False
            return True

    async def keep_flushing(self) -> None:
        """Write what is gathered, again and again, until it is cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.flush()

    async def close(self) -> None:
        """Write what is left."""
        await self.flush()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _append(self, lines: list[str]) -> None:
        text = ("\n".join(lines) + "\n").encode()
        if self._file is None:
            sys.stdout.buffer.write(text)
            sys.stdout.buffer.flush()
            return
        left = memoryview(text)
        while left:
            left = left[os.write(self._file, left) :]
        if self._rotate_bytes and os.fstat(self._file).st_size >= self._rotate_bytes:
            self._rotate()

    def _rotate(self) -> None:
        for number in range(self._keep, 0, -1):
            older = Path(f"{self.path}.{number - 1}" if number > 1 else self.path)
            if older.exists():
                older.replace(f"{self.path}.{number}")
        fresh = self._opened()
        os.close(self._file)  # type: ignore[arg-type]  # it is open
        self._file = fresh

    def _opened(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def _count(self, lines: int, reason: str) -> None:
        self._lost(self.name, lines)
        if not self._told:
            self._told = True
            log.error(
                "--%s %s: lines are lost (%s); answers go on, and this is told once", self.name, self.path, reason
            )


@dataclass(slots=True)
class Known:
    """What became of the ids of predictions: whether their labels have come."""

    labelled: OrderedDict[str, bool] = field(default_factory=OrderedDict)

    def predicted(self, key: str) -> None:
        """A prediction was made under this id; one that is labelled stays so."""
        self.labelled.setdefault(key, False)
        while len(self.labelled) > REMEMBERED:
            self.labelled.popitem(last=False)


class PredictionLog(LineLog):
    """Each prediction with its features, and the labels that come for it later."""

    def __init__(self, path: str, lost: Callable[[str, int], None], *, rotate_bytes: int, keep: int = 5) -> None:
        super().__init__(path, "prediction-log", lost, rotate_bytes=rotate_bytes, keep=keep)
        self._known = Known()
        for line in _past(path, keep):
            if "label" in line:
                self._known.labelled[str(line["id"])] = True
            else:
                self._known.predicted(str(line["id"]))

    def predicted(self, key: str, line: dict[str, Any]) -> None:
        """Note a prediction."""
        self._known.predicted(key)
        self.write(json.dumps(line))

    def unknown(self, keys: Iterable[str]) -> list[str]:
        """Ids under which nothing was predicted."""
        return [key for key in keys if key not in self._known.labelled]

    def labelled(self, keys: Iterable[str]) -> list[str]:
        """Ids whose label has come already, or is given twice."""
        seen: set[str] = set()
        twice = []
        for key in keys:
            if self._known.labelled.get(key) or key in seen:
                twice.append(key)
            seen.add(key)
        return twice

    async def label(self, lines: list[dict[str, Any]]) -> bool:
        """Append labels; whether they are on disk. If not, they may be sent again."""
        for line in lines:
            self._known.labelled[line["id"]] = True
            self.write(json.dumps(line))
        written = await self.flush()
        if not written:
            for line in lines:
                self._known.labelled[line["id"]] = False
        return written


def _past(path: str, keep: int) -> Iterator[dict[str, Any]]:
    """The lines that earlier servers wrote, oldest first; of a line that was cut off, nothing."""
    for name in (*(f"{path}.{number}" for number in range(keep, 0, -1)), path):
        if not Path(name).is_file():  # a pipe or a device has no past
            continue
        with Path(name).open(encoding="utf-8", errors="replace") as file:
            for text in file:
                with contextlib.suppress(ValueError):
                    line = json.loads(text)
                    if isinstance(line, dict) and "id" in line:
                        yield line
