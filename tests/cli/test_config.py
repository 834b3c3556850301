"""Settings: flag, variable, file, default, in this order; what is wrong is told with its place."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.cli import cli
from harness.cli.settings import OF_ONE_CALL, defaults
from tests.cli.conftest import SCENARIOS, Called

Call = Callable[..., Called]
REJECTED = SCENARIOS / "gate_rejected.yaml"


@pytest.fixture
def values(call: Call) -> Callable[[], dict[str, tuple[Any, str, str | None]]]:
    def shown() -> dict[str, tuple[Any, str, str | None]]:
        called = call("config", "--json", "-")
        assert called.code == 0, called.err
        told = json.loads(called.out)["settings"]
        return {each["name"]: (each["value"], each["source"], each["place"]) for each in told}

    return shown


def test_every_source_beats_those_below_it(
    call: Call, values: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert values()["report"] == ("reports", "default", None)
    Path("harness.toml").write_text('# ours\nreport = "kept"\nworkers = 2\n')
    assert values()["report"] == ("kept", "file", "harness.toml:2")
    monkeypatch.setenv("HARNESS_REPORT", "elsewhere")
    assert values()["report"] == ("elsewhere", "variable", "HARNESS_REPORT")
    assert values()["workers"] == (2, "file", "harness.toml:3")
    assert call("run", REJECTED, "--report", "said").code == 0
    assert Path("said/latest/events.jsonl").is_file()
    assert call("run", REJECTED).code == 0
    assert Path("elsewhere/latest/events.jsonl").is_file()
    monkeypatch.delenv("HARNESS_REPORT")
    assert call("run", REJECTED, "--quiet").code == 0
    assert Path("kept/latest/events.jsonl").is_file()
    assert call("report", "latest").code == 0  # found where the file says that runs are kept
    assert not Path("reports").exists()


def test_the_nearest_file_wins_and_its_paths_are_its_own(
    values: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n[tool.harness]\nno-color = true\nreport = "out"\n')
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (below / "pyproject.toml").write_text('[project]\nname = "harness has no table here"\n')
    monkeypatch.chdir(below)
    assert values()["no-color"] == (True, "file", f"{tmp_path}/pyproject.toml:4")
    assert values()["report"][0] == str(tmp_path / "out")
    (tmp_path / "harness.toml").write_text("workers = 3")
    assert values()["workers"][:2] == (3, "file")
    assert values()["report"][1] == "default"  # one file counts, not a mixture
    (below / "harness.toml").write_text("")
    assert values()["workers"] == (1, "default", None)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "a = 1\nworkrs = 2",
            ["harness.toml:2:1: workrs is no setting; did you mean workers?", "harness.toml:1:1: a is"],
        ),
        ('\nworkers = "many"', ["harness.toml:2:1: workers: ", "'many' is not a valid integer"]),
        ("workers = 0", ["harness.toml:1:1: workers: 0 is not in the range"]),
        ('quiet = "yes"', ["harness.toml:1:1: quiet: 'yes' is not true or false"]),
        ("clock = 'virtul'", ["harness.toml:1:1: clock: 'virtul' is not one of"]),
        ("trust-pickle = true", ["trust-pickle is no setting"]),
        ("workers = [", ["harness.toml:1:", "not TOML: "]),
    ],
)
def test_what_is_wrong_in_a_file_is_told_at_its_place(call: Call, text: str, told: list[str]) -> None:
    Path("harness.toml").write_text(text)
    for words in (["config"], ["check", REJECTED]):
        called = call(*words)
        assert called.code == 2
        for part in told:
            assert part in called.err
    assert call("run", "--help").code == 0


def test_what_is_wrong_in_a_variable_is_told(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_WORKERS", "postgresql://me:hunter2hunter@db/x")
    monkeypatch.setenv("HARNESS_REPROT", "x")
    monkeypatch.setenv("HARNESS_OF_SOMEBODY_ELSE", "x")
    called = call("check", REJECTED)
    assert called.code == 2
    assert "HARNESS_WORKERS: " in called.err
    assert "hunter2" not in called.err
    assert "HARNESS_REPROT is no setting; did you mean HARNESS_REPORT?" in called.err
    assert "SOMEBODY" not in called.err


def test_secrets_are_masked(values: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_JSON", "https://me:hunter2hunter@host/path?token=abcdefg&x=1")
    assert values()["json"][0] == "https://***@host/path?token=***&x=1"


def test_every_setting_reaches_every_command_that_has_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("harness.toml").write_text("seed = 5\nlive = false\n")
    made = defaults(cli)
    assert made["run"] == {"seed": 5, "live": False}
    assert made["plan"] == {"seed": 5}
    assert {"set", "trust-pickle", "force"} <= OF_ONE_CALL


def test_the_seed_of_a_file_is_the_seed_of_the_run(call: Call) -> None:
    Path("harness.toml").write_text("seed = 5\nquiet = true\n")
    called = call("run", REJECTED, "--json", "-")
    assert json.loads(called.out)["scenarios"][0]["seed"] == 5
    assert called.err == ""


# --- completion -------------------------------------------------------------------------------------------------------


def completed(line: str, folder: Path) -> list[str]:
    """What bash would be offered, from the program as bash asks it."""
    words = line.split(" ")
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv = ['harness']; from harness.cli import main; main()"],
        env={"_HARNESS_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "PATH": "/",
             "PYTHONPATH": str(SCENARIOS.parent)},
        capture_output=True, text=True, cwd=folder, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_commands_options_scenarios_and_runs_are_completed(call: Call, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "one.yaml").write_text("harness: 1\n")
    (tmp_path / "other.yaml").write_text("kind: Rollout\n")
    assert call("run", REJECTED, "--quiet").code == 0
    (run,) = (path.name for path in Path("reports/gate-rejected").iterdir() if not path.is_symlink())
    assert completed("harness co", tmp_path) == ["compare", "completion", "config"]
    assert "--trust-pickle" in completed("harness run --tr", tmp_path)
    assert completed("harness run o", tmp_path) == ["one.yaml"]
    assert completed("harness check s", tmp_path) == ["sub/"]
    assert completed("harness report ", tmp_path) == ["latest", run]
    Path("harness.toml").write_text("workrs = 1")  # never an error while somebody types
    assert completed("harness run --work", tmp_path) == ["--workers"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_printed(call: Call, shell: str) -> None:
    called = call("completion", shell)
    assert called.code == 0
    assert f"_HARNESS_COMPLETE={shell}_complete" in called.out


def test_bash_itself_takes_the_script(call: Call, tmp_path: Path) -> None:
    script = call("completion", "bash").out
    (tmp_path / "one.yaml").write_text("harness: 1\n")
    start = f"#!{sys.executable}\nimport sys\nsys.argv[0] = 'harness'\nfrom harness.cli import main\nmain()\n"
    (tmp_path / "harness").write_text(start)
    (tmp_path / "harness").chmod(0o755)
    asks = 'COMP_WORDS=(harness run on) COMP_CWORD=2; _harness_completion harness on run; echo "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["/bin/bash", "-c", f"{script}\n{asks}; complete -p harness"], capture_output=True, text=True, cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/bin:/usr/bin", "PYTHONPATH": str(SCENARIOS.parent)}, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines()[0] == "one.yaml"
    assert "-F _harness_completion harness" in done.stdout
