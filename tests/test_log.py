"""The event log: lines that read back as what was written, and a digest of what was meant."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import log
from harness.domain.event import ArmObserved, Decided, ModelReady, Observed, Routed, RunEnded, StageFinished
from harness.domain.model import Role, Source
from harness.domain.rollout import Outcome
from harness.errors import LogError
from harness.log import EVENTS, EventLog, Events

SOME = [
    ModelReady(5, Role.STABLE, Source.TRAINED, "ridge", {"alpha": 0.1}, "sha256:a", None, 7, reused=True),
    Routed(9, 1, {Role.STABLE: 9000, Role.CANDIDATE: 1000}),
    Observed(60, 60, {Role.STABLE: ArmObserved(9000, 540, 1, 0, {"p95": 0.125, "accuracy": None})}),
    Decided(61, Outcome.ROLLED_BACK, "p95 was 1 s", (3, 4)),
    RunEnded(70, Outcome.ROLLED_BACK, "p95 was 1 s", {Role.STABLE: 10_000, Role.CANDIDATE: 0}, wall_s=0.5),
]


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    written = EventLog(tmp_path / "events.jsonl")
    for event in SOME:
        written.append(event)
    written.close()
    events = log.read(tmp_path / "events.jsonl")
    assert list(events) == SOME
    assert log.digest(events) == written.digest
    assert type(events.first(Decided).outcome) is Outcome


def test_what_differs_from_run_to_run_is_no_part_of_the_digest() -> None:
    def digest(wall_s: float, detail: str) -> str:
        return log.digest([StageFinished(1, "train", "ok", detail, wall_s=wall_s)])

    assert digest(0.5, "") == digest(0.7, "")
    assert digest(0.5, "") != digest(0.5, "other")


def test_nothing_comes_after_the_last_event() -> None:
    ended = EventLog()
    ended.append(SOME[-1])
    with pytest.raises(LogError, match="too late"):
        ended.append(SOME[0])


def test_a_watcher_sees_each_event_with_its_number() -> None:
    seen: list[tuple[int, str]] = []
    watched = EventLog()
    watched.watch(lambda number, event: seen.append((number, type(event).__name__)))
    for event in SOME:
        watched.append(event)
    assert seen == list(enumerate(type(event).__name__ for event in SOME))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "not an event"),
        ('{"seq":0,"event":"Exploded","at_ns":1}', "unknown event 'Exploded'"),
        ('{"seq":0,"event":"Routed","at_ns":1}', "weights"),
        ('{"seq":0,"event":"RunStarted","at_ns":1,"version":99}', "log version 99"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, line: str, why: str) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(json.dumps({"seq": 0, "event": "AnalysisStarted", "at_ns": 0}) + "\n" + line + "\n")
    with pytest.raises(LogError, match=why) as error:
        log.read(path)
    assert f"{path}:2:" in str(error.value)


def test_questions_of_events() -> None:
    events = Events(SOME)
    assert events.only(Decided).because == (3, 4)
    with pytest.raises(LogError, match="no Verified"):
        events.first(EVENTS["Verified"])
    with pytest.raises(LogError, match="2 Routed"):
        Events([SOME[1], SOME[1]]).only(Routed)


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_figures_have_nine_digits_and_nothing_that_json_lacks(figure: float) -> None:
    event = Observed(1, 1, {Role.STABLE: ArmObserved(0, 0, 0, 0, {"p95": figure})})
    line = log._line(0, event, host=True)
    back = json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    value = back["arms"]["stable"]["figures"]["p95"]
    assert value is None or value == pytest.approx(figure, rel=1e-8, abs=1e-300)
    once = log.decode(line)
    assert log._line(0, once, host=True) == line


def _only_so_much(path: Path) -> EventLog:
    """A log whose disk is full from its second event on."""
    kept = EventLog(path)
    kept.append(SOME[0])
    assert kept._file is not None
    kept._file.close()
    kept._file = Path("/dev/full").open("w", encoding="utf-8", buffering=1)  # noqa: SIM115 - the log closes it
    return kept


FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


@FULL
def test_a_full_disk_is_said_once_and_events_are_kept_all_the_same(tmp_path: Path) -> None:
    kept = _only_so_much(tmp_path / "events.jsonl")
    with pytest.raises(LogError, match=r"events\.jsonl: .*No space left.*--report"):
        kept.append(SOME[1])
    for event in SOME[2:]:
        kept.append(event)
    kept.close()
    assert kept.events == SOME
    assert kept.digest == log.digest(SOME)
    assert "No space left" in str(kept.failure)


@FULL
def test_a_disk_that_is_full_only_when_the_run_concludes_does_not_stop_it_from_settling(tmp_path: Path) -> None:
    kept = _only_so_much(tmp_path / "events.jsonl")
    kept.append(SOME[3])
    kept.append(SOME[4])
    assert "No space left" in str(kept.failure)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"nowhere/events\.jsonl: the event log cannot be written"):
        EventLog(tmp_path / "nowhere" / "events.jsonl")


@pytest.mark.parametrize("end", ["", '{"seq":', '{"seq":4,"event":"RunEnded","at', '{"x":\n', "\udcff"])
def test_a_last_line_that_the_run_died_in_is_left_out_and_named(tmp_path: Path, end: str) -> None:
    path = tmp_path / "events.jsonl"
    whole = "".join(log._line(number, event, host=True) for number, event in enumerate(SOME[:4]))
    path.write_bytes((whole + end).encode("utf-8", "surrogateescape"))
    events, torn = log.read_torn(path)
    assert (list(events), torn) == (SOME[:4], 5 if end else 0)
    if end:
        with pytest.raises(LogError, match="jsonl:5:"):
            log.read(path)


def test_any_other_line_that_cannot_be_read_stays_an_error(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("{\n" + log._line(1, SOME[1], host=True))
    with pytest.raises(LogError, match="jsonl:1:"):
        log.read_torn(path)


def test_a_line_is_what_ends_in_a_line_break_and_nothing_else(tmp_path: Path) -> None:
    told = StageFinished(1, "train", "ok", "one\u2028two\x85three")
    path = tmp_path / "events.jsonl"
    path.write_text(log._line(0, told, host=True), encoding="utf-8")
    assert list(log.read(path)) == [told]
