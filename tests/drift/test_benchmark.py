"""The study of false alarms as a program: what it takes, and what it prints of a few pairs."""

import runpy
import sys
from pathlib import Path

import pytest

STUDY = Path(__file__).parents[2] / "benchmarks" / "drift_detectors.py"


def run(monkeypatch, *flags):
    monkeypatch.setattr(sys, "argv", [str(STUDY), *flags])
    runpy.run_path(str(STUDY), run_name="__main__")


@pytest.mark.parametrize(
    ("flag", "code", "told"), [("--help", 0, "tables compared"), ("0", 2, "'0' is no whole number above 0")]
)
def test_it_tells_what_it_takes(flag, code, told, monkeypatch, capsys):
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, flag)
    said = capsys.readouterr()
    assert ended.value.code == code
    assert told in said.out + said.err


def test_a_few_pairs_are_compared(monkeypatch, capsys):
    run(monkeypatch, "1")
    assert "alarms of 1\n" in capsys.readouterr().out
