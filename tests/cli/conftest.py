"""The program called as a user calls it, in this process."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.cli import main

SCENARIOS = Path(__file__).parents[2] / "scenarios"


@dataclass(frozen=True)
class Called:
    code: int
    out: str
    err: str


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Called]:
    """Call the program in an empty folder; its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def program(*words: str | Path) -> Called:
        monkeypatch.setattr("sys.argv", ["harness", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return Called(int(ended.value.code or 0), printed.out, printed.err)

    return program
