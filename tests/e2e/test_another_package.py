"""A package of somebody else's adds a strategy, a stage, a registry and a channel, as docs/architecture.md shows.

It is built and installed as any package is, into a folder of its own, and nothing of harness is changed for it.
"""

import ast
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SECTION = (
    (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("## Adding one from another package")[2]
)
BLOCKS = re.findall(r"```\w+\n# (\S+)\n(.*?)```", SECTION, re.DOTALL)
STRATEGY = BLOCKS[0][1]
WEIGHTS = [500, 1000, 2000, 4000, 8000]


def harness(folder: Path, site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HARNESS_")}
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments], cwd=folder, text=True, capture_output=True, check=False,
        env=environment | {"PYTHONPATH": f"{site}{os.pathsep}{ROOT}", "NO_COLOR": "1"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package is installed."""
    project, site = tmp_path_factory.mktemp("acme"), tmp_path_factory.mktemp("site")
    files: dict[str, str] = defaultdict(str)
    for name, text in BLOCKS:
        files[name] += text
    for name, text in files.items():
        (project / name).write_text(text, encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", site, project], check=True, capture_output=True, text=True)
    return site


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder, with the scenario."""
    (tmp_path / "scenarios").symlink_to(ROOT / "scenarios")
    (tmp_path / "acme.yaml").write_text(dict(BLOCKS)["acme.yaml"], encoding="utf-8")
    return tmp_path


def events(folder: Path) -> list[dict[str, Any]]:
    log = folder / "reports" / "latest" / "events.jsonl"
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def test_the_strategy_takes_as_few_lines_as_the_document_says() -> None:
    said = int(re.findall(r"these (\d+) lines", SECTION)[0])
    code = {
        line
        for node in ast.walk(ast.parse(STRATEGY))
        if isinstance(node, ast.stmt) and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for line in ((node.lineno,) if isinstance(node, ast.FunctionDef) else range(node.lineno, node.end_lineno + 1))
    }
    assert len(code) == said <= 10


@pytest.mark.timeout(300)
def test_a_scenario_that_names_all_of_it_does_what_they_do(site: Path, folder: Path) -> None:
    done = harness(folder, site, "run", "acme.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    told = events(folder)
    assert [each["strategy"] for each in told if each["event"] == "RunStarted"] == ["doubling"]
    planned = [each["steps"][:2] for each in told if each["event"] == "RunStarted"]
    assert planned == [["weight 5%", "pause 10m"]]
    weights = [each["weights"]["candidate"] for each in told if each["event"] == "Routed"]
    assert [weight for weight in dict.fromkeys(weights) if 0 < weight < 10_000] == WEIGHTS
    entered = {each["step"]: each["at_ns"] for each in told if each["event"] == "StepEntered"}
    assert entered["weight 80%"] - entered["weight 40%"] == 600 * 10**9
    stages = [each["stage"] for each in told if each["event"] == "StageStarted"]
    assert stages.index("evaluate") < stages.index("house rules") < stages.index("register")
    assert "stable churn-prediction:2" in (folder / "ledger.txt").read_text().splitlines()
    assert "churn-prediction:2 is the new stable" in (folder / "board.txt").read_text().splitlines()


@pytest.mark.timeout(300)
def test_its_stage_may_refuse(site: Path, folder: Path) -> None:
    done = harness(folder, site, "run", "acme.yaml", "--set", "model.candidate.algorithm=random_forest",
                   "--set", "model.candidate.params={n_estimators: 5}")  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    ended = events(folder)[-1]
    assert (ended["outcome"], ended["reason"]) == ("rejected", "nobody at Acme can explain a random_forest")


@pytest.mark.timeout(300)
def test_its_strategy_is_judged_and_taken_back_as_any(site: Path, folder: Path) -> None:
    fault = "inject=[{at: 25m, on: candidate, errors: 30%}]"
    done = harness(folder, site, "run", "acme.yaml", "--set", fault, "--set", "expect=[outcome == rolled_back]")
    assert done.returncode == 0, done.stdout + done.stderr
    assert events(folder)[-1]["outcome"] == "rolled_back"


def test_its_policy_is_foreseen_before_anything_runs(site: Path, folder: Path) -> None:
    done = harness(folder, site, "plan", "acme.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b40m30s\s+weight 80%", done.stdout), done.stdout
    checked = harness(folder, site, "check", "acme.yaml")
    assert "doubling, 10 steps" in checked.stdout, checked.stdout + checked.stderr


def test_without_the_package_its_words_are_unknown(folder: Path, tmp_path: Path) -> None:
    done = harness(folder, tmp_path, "check", "acme.yaml")
    assert done.returncode == 2
    for word in ("doubling", "house-rules", "board", "ledger"):
        assert word in done.stderr
    assert "acme_rollouts" not in done.stderr
