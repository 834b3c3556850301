"""Facades over backends in memory, with runs below a temporary folder."""

from pathlib import Path
from typing import Any

import pytest

import harness
from fakes.registry import MemoryRegistry


class Jotter:
    """A notifier that remembers."""

    realtime = False

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def notify(self, message: Any) -> None:
        self.texts.append(message["text"])


@pytest.fixture
def jotter() -> Jotter:
    return Jotter()


@pytest.fixture
def options(tmp_path: Path, jotter: Jotter) -> harness.Options:
    return harness.Options(reports=tmp_path, registry=MemoryRegistry(), notifiers={"jotter": jotter})
