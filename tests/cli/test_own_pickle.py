"""A pickle is code: it is run only where the command line says that it may be."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import SCENARIOS, Called

Call = Callable[..., Called]


class Payload:
    """A file that writes another when it is loaded, as an attacker's would run a program."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (_touch, (self.mark,))


def _touch(mark: str) -> None:
    Path(mark).write_text("ran")


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    text = (SCENARIOS / "canary_healthy.yaml").read_text().replace("data/", f"{SCENARIOS}/data/")
    lines = ["  candidate: {artifact: own.pkl}" if "candidate: {" in line else line for line in text.splitlines()]
    path = tmp_path / "own.yaml"
    path.write_text("\n".join(lines))
    (tmp_path / "own.pkl").write_bytes(pickle.dumps(Payload(str(tmp_path / "mark"))))
    return path


@pytest.mark.parametrize("words", [["run"], ["check"], ["plan"]])
def test_without_the_flag_it_is_never_loaded(call: Call, scenario: Path, tmp_path: Path, words: list[str]) -> None:
    called = call(*words, scenario)
    assert not (tmp_path / "mark").exists()
    if words != ["plan"]:  # plan loads no model at all
        assert called.code == 2
        assert "own.yaml:" in called.err
        assert "skops.io.dump" in called.err
        assert "--trust-pickle" in called.err


def test_with_the_flag_it_is_loaded(call: Call, scenario: Path, tmp_path: Path) -> None:
    called = call("check", scenario, "--trust-pickle")
    assert (tmp_path / "mark").read_text() == "ran"
    assert called.code == 2
    assert "a NoneType is neither a classifier nor a regressor" in called.err
