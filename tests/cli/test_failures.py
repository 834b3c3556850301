"""What goes wrong while the program works: each is one clear message and the right exit code, and nothing is lost."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import SCENARIOS, Called
from tests.report.test_forms import KEYS

Call = Callable[..., Called]
HARNESS = f"{shlex.quote(sys.executable)} -m harness"
REJECTED = SCENARIOS / "gate_rejected.yaml"


def shell(line: str, folder: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        ["/bin/bash", "-c", line], cwd=folder, capture_output=True, text=True, check=False,
        env={key: value for key, value in os.environ.items() if key != "NO_COLOR"} | variables,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """A scenario that is well written, and whose data proves to be unusable only when it is read."""
    path = tmp_path / "wrong.yaml"
    text = REJECTED.read_text().replace("data/", f"{SCENARIOS}/data/")
    path.write_text(text.replace("target: Churn", "target: TotalCharges").replace("name: gate-rejected", "name: wrong"))
    return path


@pytest.mark.parametrize("words", [[], ["--workers", "2"]])
def test_a_scenario_that_blew_up_stands_in_the_result(call: Call, wrong: Path, words: list[str]) -> None:
    called = call("run", wrong, REJECTED, "--json", "out.json", *words)
    assert called.code == 2
    assert "1 of 2 scenarios passed" in called.out
    assert "wrong: " in called.out
    assert "the target is Churn" in called.out
    suite = json.loads(Path("out.json").read_text())
    assert suite["passed"] is False
    blown, fine = suite["scenarios"]
    assert (blown["name"], blown["passed"], blown["outcome"]) == ("wrong", False, "error")
    assert Path(blown["event_log"]).is_file()
    assert Path(blown["report"]).is_file()
    assert fine["passed"] is True


def test_a_scenario_that_never_began_stands_in_the_result_too(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.app import running
    from harness.errors import BackendError

    def broken(*_: object) -> None:
        raise BackendError("registry backend 'memory' cannot be loaded")

    monkeypatch.setattr(running, "parts", broken)
    called = call("run", REJECTED, "--json", "-")
    assert called.code == 3
    suite = json.loads(called.out)
    assert suite["passed"] is False
    run = suite["scenarios"][0]
    assert set(KEYS) <= set(run)
    assert (run["name"], run["outcome"], run["reason"]) == (
        "gate-rejected", "error", "registry backend 'memory' cannot be loaded",
    )  # fmt: skip
    assert run["event_log"] is None
    assert run["analysis"] == []


def test_a_full_disk_ends_the_run_safely_and_is_exit_code_3(tmp_path: Path) -> None:
    done = shell(f"ulimit -f 20; {HARNESS} run {SCENARIOS}/canary_healthy.yaml -q --no-cache --json -", tmp_path)
    assert done.returncode == 3
    assert "events.jsonl: the event log cannot be written: File too large" in done.stderr
    assert "--report" in done.stderr
    suite = json.loads(done.stdout)
    assert (suite["passed"], suite["scenarios"][0]["outcome"]) == (False, "error")
    assert (tmp_path / "reports" / "latest" / "events.jsonl").is_file()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("words", ["plan", "run -q --json out.json", "run -q --json -", "schema #", "check"])
def test_output_that_cannot_be_written_is_said_so(words: str, tmp_path: Path) -> None:
    command, _, rest = words.partition(" ")
    line = f"{HARNESS} {command} {rest}" if "#" in rest else f"{HARNESS} {command} {REJECTED} {rest}"
    done = shell(f"{line.replace('#', '')} > /dev/full", tmp_path)
    assert done.returncode == 3
    assert done.stderr.strip() == (
        "the output cannot be written: No space left on device; make room, or send it elsewhere"
    )
    if "out.json" in rest:  # what could be written has been
        assert json.loads((tmp_path / "out.json").read_text())["passed"] is True


@pytest.mark.parametrize("file", ["nowhere/out.json", "."])
def test_a_result_that_could_not_be_written_is_found_before_the_run(call: Call, file: str) -> None:
    called = call("run", REJECTED, "--json", file)
    assert called.code == 2
    assert f"--json {file}: " in called.err
    assert not Path("reports").exists()


@pytest.mark.parametrize("content", [b"hello\n", b"", b"\xff\xfe\n", b'{"a":1}\n', b"[]\n"])
def test_a_log_that_is_none_is_wrong_input(call: Call, tmp_path: Path, content: bytes) -> None:
    run = tmp_path / "reports" / "x" / "1"
    run.mkdir(parents=True)
    (run / "events.jsonl").write_bytes(content)
    called = call("report", run)
    assert called.code == 2
    assert called.err


def test_a_run_that_died_can_be_reported(call: Call) -> None:
    run = json.loads(call("run", REJECTED, "--json", "-").out)["scenarios"][0]
    path = Path(run["event_log"])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:5]) + lines[5][:20])
    called = call("report", "latest")
    assert called.code == 0
    assert "the log ends in the middle of line 6" in called.err
    assert "Unfinished" in called.out


def test_the_newest_runs_are_named_once_each_and_by_their_own_names(call: Call) -> None:
    call("run", REJECTED, "-q")
    called = call("report", "nothing")
    assert called.code == 2
    newest = called.err.partition("newest: ")[2].strip()
    assert newest == Path("reports/latest").resolve().name


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_of_few_letters_is_no_obstacle(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    text = REJECTED.read_text().replace("data/", f"{SCENARIOS}/data/")
    path.write_text(re.sub(r"(?m)^description: .*", "description: gäte ✓ [bold]", text), encoding="utf-8")
    every = ("plan", "run -q", "run --no-live", "check", "--help #")
    for command in every if encoding == "ascii" else every[2:3]:  # the fewest letters for all of them
        line = f"{HARNESS} {command} {path}"
        done = shell(line.partition("#")[0], tmp_path, PYTHONIOENCODING=encoding, PYTHONUTF8="0")
        assert done.returncode in {0, 2}, done.stderr


@pytest.mark.parametrize(
    "words", ["--help", "run --help", "schema", f"plan {REJECTED}", f"run {REJECTED} --quiet --verbose --report out"]
)
def test_a_reader_that_has_gone_is_no_error(words: str, tmp_path: Path) -> None:
    """As in ``harness schema | head -1``: no message, and no exit code that a script would take for a failure."""
    program = subprocess.Popen(
        [sys.executable, "-m", "harness", *words.split()], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert program.stdout
    program.stdout.close()
    _, err = program.communicate(timeout=60)
    assert (program.returncode, err) == (0, b"")


def test_a_reader_that_has_gone_hides_no_exit_code(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "harness", "run", str(REJECTED), "--quiet", "--set", "expect=[outcome == promoted]"]
    program = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert program.stdout
    program.stdout.close()
    program.communicate(timeout=60)
    assert program.returncode == 1
