"""`traffic: {trace: …}` in a scenario file: what is read, what is refused, and what `check` tells."""

from pathlib import Path

import pytest

from harness import app
from harness.domain.traffic import Trace
from harness.domain.units import HOUR, MINUTE
from harness.errors import InputError, ScenarioError

SCENARIOS = Path(__file__).parents[2] / "scenarios"
REPLAY = SCENARIOS / "trace_replay.yaml"
AZURE = "file: traces/azure_llm_conv.csv.gz"


def load(trace: str):
    return app.load_scenario(REPLAY, [f"traffic={{trace: {trace}}}"])


def test_every_key_is_read() -> None:
    keys = (
        f"{{{AZURE}, rate: 200/s, resolution: 30s, speed: x2, repeat: true, from: 5m, until: 1h, "
        "format: csv, time: TIMESTAMP, unit: ms, spread: false}"
    )
    assert load(keys).traffic.curve == Trace(
        path=str(SCENARIOS / "traces" / "azure_llm_conv.csv.gz"),
        format="csv",
        time="TIMESTAMP",
        unit="ms",
        rate_per_s=200.0,
        resolution_ns=MINUTE // 2,
        speed=2.0,
        repeat=True,
        spread=False,
        from_ns=5 * MINUTE,
        until_ns=HOUR,
    )


WRONG = {
    "no such file": ("{file: traces/none.csv}", "no such file; paths are relative to the scenario file"),
    "no file": ("{rate: 5/s}", "file"),
    "a cut that ends before it begins": (f"{{{AZURE}, from: 5m, until: 5m}}", "it lies after from, 5m"),
    "a resolution of nothing": (f"{{{AZURE}, resolution: 5s}}", "belongs to rate"),
    "a format nobody knows": (f"{{{AZURE}, format: cvs}}", "nearest: csv"),
    "a flag": (f"{{{AZURE}, repeat: 3}}", "true or false"),
    "a misspelt key": (f"{{{AZURE}, repaet: true}}", "repeat"),
}


@pytest.mark.parametrize(("trace", "told"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_at_its_place(trace: str, told: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        load(trace)
    assert told in str(refused.value)


def test_check_and_run_tell_the_line_of_a_recording(tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    file.write_text("time,x\n2023-01-01 10:00:00,1\nsoon,2\n", encoding="utf-8")
    scenario = load(f"{{file: {file}}}")
    told = f"{file}:3: column time is 'soon'; a time is ISO 8601"
    with pytest.raises(ScenarioError) as refused:
        app.check_references(scenario)
    assert told in str(refused.value)
    with pytest.raises(InputError) as stopped:
        app.rehearse(scenario, app.Options(reports=tmp_path))
    assert told in str(stopped.value)
    assert not list(tmp_path.glob("trace-replay/*")), "a recording that cannot be used stops a run before it begins"


def test_check_tells_a_recording_that_ends_too_soon_and_one_out_of_order(tmp_path: Path) -> None:
    notes = app.check_references(load(f"{{{AZURE}}}")).notes
    assert any(note.startswith("traffic ends after 58m21.9") and note.endswith("add repeat: true") for note in notes)
    file = tmp_path / "t.csv"
    file.write_text("ts\n30\n10\n20\n", encoding="utf-8")
    notes = app.check_references(load(f"{{file: {file}, repeat: true}}")).notes
    assert "t.csv: 2 of 3 lines came out of order; sorted by time" in notes
