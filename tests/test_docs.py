"""The documents say what is so: every word is there, and what they show as an example runs."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness import app
from harness.analysis.vocabulary import METRICS, Kind
from harness.data.schema import read_schema
from harness.scenario import json_schema
from harness.training.vocabulary import ALGORITHMS

ROOT = Path(__file__).parents[1]
SCENARIO = (ROOT / "docs" / "scenario.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", SCENARIO, re.DOTALL)
LATER = {Kind.LOAD, Kind.STREAM}  # docs/load.md has those of streamed answers


def test_every_algorithm_and_every_metric_has_its_line() -> None:
    words = set(re.findall(r"`(\w+)`", SCENARIO))
    assert set(ALGORITHMS) <= words
    assert {name for name, metric in METRICS.items() if metric.kind not in LATER} <= words


def test_every_key_of_the_top_has_its_line() -> None:
    top = set(json_schema(app.catalog())["properties"])
    assert top <= set(re.findall(r"`(\w+)`", SCENARIO.partition("## model")[0]))


def test_the_smallest_scenario_runs_on_any_csv(tmp_path: Path) -> None:
    draws = np.random.default_rng(1)
    rows = pd.DataFrame({"area": draws.uniform(20, 200, 400), "kind": draws.choice(["flat", "house"], 400)})
    rows["price"] = rows["area"] * 3 + (rows["kind"] == "house") * 50 + draws.normal(0, 5, 400)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "own.yaml").write_text(BLOCKS[0], encoding="utf-8")
    scenario = app.load_scenario(tmp_path / "own.yaml")
    assert app.check_references(scenario).notes == ()
    assert app.run_sync(scenario, app.Options(reports=tmp_path)).outcome == "promoted"


def test_the_schema_shown_is_one(tmp_path: Path) -> None:
    (tmp_path / "schema.yaml").write_text(BLOCKS[1], encoding="utf-8")
    assert list(read_schema(tmp_path / "schema.yaml").columns) == ["id", "age", "plan", "churn"]


@pytest.mark.parametrize("page", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link
