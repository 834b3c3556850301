"""The guide's commands, every one in its order, in a fresh folder.

`make rehearse` comes first, in the guide's prose. Its recipe is run; what it sets up below the folder is not built once
more, for that takes a minute and the network: it is the environment that these tests run in, made by the same rules.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.requires import program

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
VENV = Path(sys.prefix)
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("HARNESS_")} | {
    "PATH": f"{VENV / 'bin'}:{os.environ['PATH']}"
}
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.timeout(300)
def test_make_rehearse_shows_what_a_rehearsal_is(tmp_path: Path) -> None:
    assert GUIDE.index("`make rehearse`") < GUIDE.index("```sh")
    (tmp_path / "scenarios").symlink_to(ROOT / "scenarios")
    done = subprocess.run(
        [program("make"), "--file", ROOT / "Makefile", f"VENV={VENV}", f"--old-file={VENV}/.installed", "rehearse"],
        cwd=tmp_path, env=ENVIRONMENT, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Rolled back" in done.stdout
    assert (tmp_path / "reports" / "latest" / "report.html").is_file()


@pytest.mark.timeout(300)
def test_every_command_of_the_guide_does_what_it_says(tmp_path: Path) -> None:
    bash = program("bash")
    assert {language for language, _ in BLOCKS} == {"sh"}  # a block of another kind would be one that nobody runs
    (tmp_path / "scenarios").symlink_to(ROOT / "scenarios")
    done = subprocess.run(
        [bash, "-euo", "pipefail", "-c", "\n".join(text for _, text in BLOCKS)], cwd=tmp_path, text=True,
        capture_output=True, check=False, env=ENVIRONMENT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "'Yes' is positive" in done.stdout
    assert done.stdout.count("Rolled back") >= 4  # three faults, and the report of the last one
    assert re.search(r"Rolled back [^:]*: prediction_drift was", done.stdout)
    assert "Drift of columns" in done.stdout
    assert (tmp_path / "my-rollout" / "rehearsals" / "latest" / "report.html").is_file()
    assert '"passed": true' in (tmp_path / "my-rollout" / "result.json").read_text()
