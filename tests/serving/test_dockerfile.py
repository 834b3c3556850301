"""The Dockerfile: no engine builds it here, so what it names is held against what there is."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

from harness.cli.serve import serve

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs" / "docker" / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """Each instruction and what follows it, lines joined, comments left out."""
    text = "\n".join(line for line in FILE.read_text().splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", text)
    return [(word, rest.strip()) for line in joined.splitlines() if line for word, _, rest in (line.partition(" "),)]


def test_what_it_copies_is_there_and_versions_are_those_of_the_lock_file() -> None:
    copied = [rest for word, rest in instructions() if word == "COPY" and not rest.startswith("--from")]
    sources = [source for rest in copied for source in shlex.split(rest)[:-1]]
    assert set(sources) >= {"requirements.lock", "harness", "fakes", "pyproject.toml", "README.md"}
    assert all((ROOT / source).exists() for source in sources)
    runs = [rest for word, rest in instructions() if word == "RUN"]
    assert any("--require-hashes" in run and "$LOCK" in run for run in runs)
    assert any("--no-deps --no-build-isolation" in run for run in runs)


def test_it_serves_as_a_user_without_rights_and_says_whether_it_is_alive() -> None:
    found = dict(instructions())
    assert found["USER"].isdecimal()
    assert int(found["USER"]) > 0
    assert "urllib.request" in found["HEALTHCHECK"]
    assert "/health" in found["HEALTHCHECK"]
    program, command, *flags = re.findall(r'"([^"]*)"', found["ENTRYPOINT"])
    assert (program, command) == ("harness", "serve")
    known = {name for parameter in serve.params for name in parameter.opts}
    assert {flag for flag in flags if flag.startswith("--")} <= known
    assert flags[flags.index("--port") + 1] == found["EXPOSE"]


def test_a_linter_finds_nothing_where_there_is_one() -> None:
    linter = shutil.which("hadolint")
    if linter is None:  # it was linted by hand (docs/serving.md); the rest is held by the tests above
        assert all(re.fullmatch(r"[A-Z]+", word) for word, _ in instructions())
        return
    assert subprocess.run([linter, FILE], capture_output=True, text=True, check=False).stdout == ""
