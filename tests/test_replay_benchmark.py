"""The replay benchmark's own figures, within the bounds that its document claims."""

import json
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_replay_against_source_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = tmp_path / "replay.json"
    # A fit to few requests: the bounds are the same, the draws fewer.
    options = ["--rate", "5", "--json", str(told), "--plot", str(tmp_path / "p.svg")]
    monkeypatch.setattr(sys, "argv", ["replay.py", *options])
    monkeypatch.setattr(sys, "path", list(sys.path))
    runpy.run_path(str(ROOT / "benchmarks" / "replay.py"), run_name="__main__")
    found = json.loads(told.read_text(encoding="utf-8"))
    azure, nasa = found["Azure LLM conversations"], found["NASA web server"]
    assert azure["ks_gaps"] == 0.0
    assert nasa["ks_gaps"] < 0.011  # the 5 % point for two samples of 30,968 is 0.0109
    for each in (azure, nasa):
        assert each["requests"]["source"] == each["requests"]["replay"]
        assert each["largest_difference_of_a_minute"] == 0
        assert 0.7 < each["fitted"]["rms_deviations"] < 1.3
        assert each["fitted"]["p_rescaled"] > 0.001
    assert "as recorded" in capsys.readouterr().out
