"""`harness resume`: what can be taken up again, and what is refused with a word on what to do."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import app, log
from harness.domain.event import RunEnded
from harness.domain.resume_event import Resumed
from tests.cli.conftest import SCENARIOS, Called

Call = Callable[..., Called]
REJECTED = SCENARIOS / "gate_rejected.yaml"


@pytest.fixture
def ended(call: Call, tmp_path: Path) -> Path:
    """The log of a run on real time that a gate has ended: no server was ever started."""
    assert call("run", REJECTED, "--clock", "real", "--quiet").code == 0
    return next(path for path in tmp_path.glob("reports/gate-rejected/2*/events.jsonl"))


def cut(path: Path, event: str) -> None:
    """Leave what a kill right after that event leaves, and a part of the next line."""
    lines = path.read_text().splitlines(keepends=True)
    last = next(number for number, line in enumerate(lines) if f'"event":"{event}"' in line)
    path.write_text("".join(lines[: last + 1]) + lines[last + 1][:20])


def test_a_run_that_has_ended_is_left_as_it_is(call: Call, ended: Path) -> None:
    before = ended.read_bytes()
    done = call("resume", "latest", "--json", "-")
    assert done.code == 0
    assert "has ended; there is nothing to resume" in done.err
    assert json.loads(done.out)["scenarios"][0]["outcome"] == "rejected"
    assert ended.read_bytes() == before


@pytest.mark.parametrize("event", ["RunStarted", "ModelReady", "GateChecked", "Decided"])
def test_a_run_that_was_cut_off_comes_to_its_end(call: Call, ended: Path, event: str) -> None:
    cut(ended, event)
    done = call("resume", ended.parent.name, "--json", "out.json")
    assert done.code == 0, done.err
    events = log.read(ended)
    assert events.only(RunEnded).outcome == "rejected"
    assert events.only(Resumed).torn == 20
    assert "The harness was cut off once" in " ".join(done.out.split())
    told = json.loads(Path("out.json").read_text())["scenarios"][0]
    assert told["passed"]
    assert [each["torn"] for each in told["resumed"]] == [20]
    assert len(told["gates"]) == len({gate["name"] for gate in told["gates"]})
    assert "cut off" in (ended.parent / "report.html").read_text()


def test_garbage_at_its_end_and_a_lost_state_lose_nothing(call: Call, ended: Path) -> None:
    """After a power cut: a last line of zeros, ended by chance, and no file that says who drives what."""
    cut(ended, "ModelReady")
    whole = ended.read_bytes().rpartition(b"\n")[0] + b"\n"
    ended.write_bytes(whole + bytes(40) + b"\n")
    for file in (ended.parents[2] / ".state").glob("harness.db*"):
        file.unlink()
    done = call("resume", "latest")
    assert done.code == 0, done.err
    assert ended.read_bytes().startswith(whole)
    assert log.read(ended).only(Resumed).torn == 41


def test_a_log_that_cannot_be_read_and_a_damaged_state_are_told_and_left(call: Call, ended: Path) -> None:
    cut(ended, "ModelReady")
    good, state = ended.read_bytes(), ended.parents[2] / ".state" / "harness.db"
    kept = state.read_bytes()
    state.write_bytes(bytes(100) * 100)
    done = call("resume", "latest")
    assert done.code == 3
    assert "it is damaged" in done.err
    assert "remove it" in done.err
    assert ended.read_bytes() == good
    state.write_bytes(kept)
    lines = good.splitlines(keepends=True)
    bad = b"".join([lines[0], bytes(40) + b"\n", *lines[1:]])
    ended.write_bytes(bad)
    done = call("resume", "latest")
    assert done.code == 2
    assert "events.jsonl:2: not an event" in done.err
    assert "goes on as it stands" in done.err
    assert ended.read_bytes() == bad
    ended.write_bytes(b"")
    done = call("resume", "latest")
    assert done.code == 2
    assert "before its first event" in done.err


def test_it_is_found_from_another_folder_too(
    call: Call, ended: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cut(ended, "ModelReady")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert call("resume", ended.parent).code == 0
    assert log.read(ended).only(RunEnded).outcome == "rejected"
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_scenario_that_was_changed_since_is_taken_from_the_log(call: Call, tmp_path: Path) -> None:
    changing = tmp_path / "changing.yaml"
    changing.write_text(REJECTED.read_text().replace("data/", f"{SCENARIOS}/data/"))
    assert call("run", changing, "--clock", "real", "--quiet").code == 0
    path = next(tmp_path.glob("reports/gate-rejected/2*/events.jsonl"))
    cut(path, "ModelReady")
    changing.write_text("harness: 1\nname: something-else\n")
    assert call("resume", "latest").code == 0
    assert log.read(path).only(RunEnded).outcome == "rejected"


def test_a_url_that_was_given_by_an_option_is_given_again(call: Call, tmp_path: Path) -> None:
    """The log hides it: who has a webhook's URL can post to it."""
    hook = "notify=[http://127.0.0.1:9/services/T0/B1]"
    assert call("run", REJECTED, "--clock", "real", "--quiet", "--set", hook).code == 0
    path = next(tmp_path.glob("reports/gate-rejected/2*/events.jsonl"))
    cut(path, "ModelReady")
    before = path.read_bytes()
    assert b"T0/B1" not in before
    done = call("resume", "latest")
    assert done.code == 2
    assert f"`harness resume {path.parent.name} --set notify=VALUE`" in " ".join(done.err.split())
    done = call("resume", "latest", "--set", hook, "--set", "seed=3")
    assert done.code == 2
    assert "--set seed: a run is resumed with the values that it was begun with" in " ".join(done.err.split())
    assert path.read_bytes() == before
    assert call("resume", "latest", "--set", hook).code == 0
    assert log.read(path).only(RunEnded).outcome == "rejected"
    assert b"T0/B1" not in path.read_bytes()


def test_a_run_on_virtual_time_is_run_again(call: Call, tmp_path: Path) -> None:
    assert call("run", REJECTED, "--quiet").code == 0
    path = next(tmp_path.glob("reports/gate-rejected/2*/events.jsonl"))
    cut(path, "ModelReady")
    before = path.read_bytes()
    done = call("resume", "latest")
    assert done.code == 2
    assert f"run it again: harness run {REJECTED}" in done.err
    assert path.read_bytes() == before


def test_a_run_whose_harness_lives_is_not_taken_up(call: Call, ended: Path) -> None:
    from harness.state import lease

    cut(ended, "ModelReady")
    run = ended.parent.name
    held = lease.acquire(ended.parents[2] / ".state", f"simulated/{run}", run)
    before = ended.read_bytes()
    done = call("resume", "latest")
    assert done.code == 3
    assert f"run {run} (process" in done.err
    assert ended.read_bytes() == before
    held.release()
    assert call("resume", "latest").code == 0


def test_what_is_no_run_of_a_scenario_is_told(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "reports" / "load" / "1"
    folder.mkdir(parents=True)
    (folder / "events.jsonl").write_text("")
    assert call("resume", folder).code == 2
    assert "no run" in call("resume", "nowhere").err


def test_latest_is_the_newest_that_was_cut_off(call: Call, ended: Path) -> None:
    """A run that was killed has made no link yet, and the link may name an older one that has ended."""
    cut(ended, "ModelReady")
    assert call("run", REJECTED, "--quiet").code == 0  # on virtual time, newer, and what `latest` names now
    (ended.parents[1] / "latest").unlink()
    assert call("resume", "latest").code == 0
    assert log.read(ended).only(RunEnded).outcome == "rejected"


def test_latest_is_no_run_that_a_harness_drives(call: Call, ended: Path) -> None:
    from harness.state import lease

    cut(ended, "ModelReady")
    driven = ended.parents[1] / "99991231T000000-2"  # newer
    driven.mkdir()
    (driven / "events.jsonl").write_bytes(ended.read_bytes())
    held = lease.acquire(ended.parents[2] / ".state", f"simulated/{driven.name}", driven.name)
    assert app.find_cut_off("latest", ended.parents[2]).name == ended.parent.name
    held.release()
    assert app.find_cut_off("latest", ended.parents[2]).name == driven.name
