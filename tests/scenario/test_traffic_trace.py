"""`traffic: {trace: …}` in a scenario file: what is read, what is refused, and what `check` tells."""

from pathlib import Path

import pytest

from harness import app
from harness.domain.traffic import RateFactor, Trace
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
        rate=200.0,
        resolution_ns=MINUTE // 2,
        speed=2.0,
        repeat=True,
        spread=False,
        from_ns=5 * MINUTE,
        until_ns=HOUR,
    )


@pytest.mark.parametrize(("written", "rate"), [("x3", RateFactor(3.0)), ("x0.5", RateFactor(0.5)), ("12000/m", 200.0)])
def test_a_rate_may_be_in_terms_of_the_recorded_one(written: str, rate: float | RateFactor) -> None:
    curve = load(f"{{{AZURE}, rate: {written}, resolution: 30s}}").traffic.curve
    assert isinstance(curve, Trace)
    assert curve.rate == rate


WRONG = {
    "no such file": ("{file: traces/none.csv}", "no such file; paths are relative to the scenario file"),
    "no file": ("{rate: 5/s}", "file"),
    "a cut that ends before it begins": (f"{{{AZURE}, from: 5m, until: 5m}}", "it lies after from, 5m"),
    "a resolution of nothing": (f"{{{AZURE}, resolution: 5s}}", "belongs to rate"),
    "a bare rate": (f"{{{AZURE}, rate: 3}}", "write 3/s; or, in terms of the recorded rate, x3"),
    "a factor behind": (f"{{{AZURE}, rate: 4x}}", "3600/h; or, in terms of the recorded rate, x4"),
    "a spaced factor": (f"{{{AZURE}, rate: x 4}}", "a factor is written x4"),
    "no factor": (f"{{{AZURE}, rate: x0}}", "a factor is above 0"),
    "no rate": (f"{{{AZURE}, rate: 0/s}}", "this rate is above 0/s"),
    "a format nobody knows": (f"{{{AZURE}, format: cvs}}", "nearest: csv"),
    "a flag": (f"{{{AZURE}, repeat: 3}}", "true or false"),
    "a misspelt key": (f"{{{AZURE}, repaet: true}}", "repeat"),
}


@pytest.mark.parametrize(("trace", "told"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_at_its_place(trace: str, told: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        load(trace)
    assert told in str(refused.value)


def test_a_factor_that_would_fill_the_memory_is_refused_by_check_and_run(tmp_path: Path) -> None:
    scenario = load(f"{{{AZURE}, rate: x2000000}}")
    told = (
        r"azure_llm_conv\.csv\.gz: x2e\+06 of the recorded 5\.53\d+/s is more than 10,000,000/s; give a lower traffic"
    )
    with pytest.raises(ScenarioError, match=told):
        app.check_references(scenario)
    with pytest.raises(InputError, match=told):
        app.rehearse(scenario, app.Options(reports=tmp_path))


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
