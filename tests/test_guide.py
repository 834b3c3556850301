"""The guide's commands, every one in its order, in a fresh folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.requires import program

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.timeout(300)
def test_every_command_of_the_guide_does_what_it_says(tmp_path: Path) -> None:
    bash = program("bash")
    assert {language for language, _ in BLOCKS} == {"sh"}  # a block of another kind would be one that nobody runs
    (tmp_path / "scenarios").symlink_to(ROOT / "scenarios")
    done = subprocess.run(
        [bash, "-euo", "pipefail", "-c", "\n".join(text for _, text in BLOCKS)], cwd=tmp_path, text=True,
        capture_output=True, check=False,
        env={key: value for key, value in os.environ.items() if not key.startswith("HARNESS_")}
        | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "'Yes' is positive" in done.stdout
    assert done.stdout.count("Rolled back") >= 4  # three faults, and the report of the last one
    assert re.search(r"Rolled back [^:]*: prediction_drift was", done.stdout)
    assert "Drift of columns" in done.stdout
    assert (tmp_path / "my-rollout" / "rehearsals" / "latest" / "report.html").is_file()
    assert '"passed": true' in (tmp_path / "my-rollout" / "result.json").read_text()
