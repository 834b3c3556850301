"""What several of these tests need."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing may be left in the current folder: MLflow makes a database there when it is not told where to look."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    yield
    assert not list(here.iterdir())
