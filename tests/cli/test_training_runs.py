"""Training runs of a tracker: listed, and side by side as a table, as JSON and as a page with a plot."""

import json
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from harness import MLflowExperimentTracker
from harness.cli import cli
from harness.domain.training import TrackedRun
from harness.report.tracked import compare_tracked
from harness.report.tracked_page import plot

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow", "ignore::DeprecationWarning:sqlalchemy")


class Kept(NamedTuple):
    uri: str
    runs: tuple[str, ...]


@pytest.fixture(scope="module")
def kept(mlflow_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    path = tmp_path_factory.mktemp("runs") / "mlflow.db"
    shutil.copy(mlflow_template, path)
    tracker = MLflowExperimentTracker(f"sqlite:///{path}", "churn")
    found = []
    for name, depth, f1 in (("shallow", 2, 0.51), ("deep", 9, 0.58), ("<b>deeper</b>", 20, 0.55)):
        found.append(tracker.start_run(name))
        tracker.log_parameters({"max_depth": depth, "criterion": "gini"})
        tracker.log_metrics({"f1": f1, "log_loss": 1 - f1, "seconds": 3.0})
        tracker.end_run()
    other = MLflowExperimentTracker(f"sqlite:///{path}", "other")
    found.append(other.start_run("alone"))
    return Kept(f"mlflow+sqlite:///{path}", tuple(found))


def harness(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["runs", *words])
    if done.exception and not isinstance(done.exception, SystemExit):
        return 2, str(done.exception)
    return done.exit_code, done.output


def test_training_runs_are_listed_beside_kept_ones(kept: Kept, tmp_path: Path) -> None:
    words = ("list", "--report", str(tmp_path), "--tracker", kept.uri, "--no-color")
    code, text = harness(*words, "--json", str(tmp_path / "runs.json"))
    assert code == 0, text
    assert re.search(rf"{kept.runs[1][:8]}\s+deep\s+churn\s+finished", text)
    assert "0 runs" in text
    assert "4 training runs" in text
    told = json.loads((tmp_path / "runs.json").read_text())
    assert {run["run_id"] for run in told["training_runs"]} == set(kept.runs)
    assert told["runs"] == []
    code, text = harness(*words, "--experiment", "other")
    assert "1 training run" in text
    assert harness(*words, "--experiment", "nothing")[1].endswith(
        "holds no experiment 'nothing'; there are: Default, churn, other"
    )


def test_one_is_shown_with_all_that_was_logged(kept: Kept) -> None:
    words = ("show", kept.runs[1][:10], "--tracker", kept.uri, "--no-color")
    code, text = harness(*words)
    assert code == 0, text
    assert text.startswith(f"{kept.runs[1]}  deep\nexperiment churn, finished, began 20")
    assert re.search(r"metric\s+f1\s+58%", text)
    assert re.search(r"parameter\s+max_depth\s+9", text)
    told = json.loads(harness(*words, "--json", "-")[1])
    assert [(run["run_id"], run["params"]["criterion"]) for run in told["training_runs"]] == [(kept.runs[1], "gini")]
    assert "it holds no such run" in harness("show", "f" * 32, "--tracker", kept.uri)[1]


def test_they_are_compared_as_a_table_and_as_json(kept: Kept, tmp_path: Path) -> None:
    named = [kept.runs[0], kept.runs[1][:12], kept.runs[2]]
    words = ("compare", *named, "--tracker", kept.uri, "--no-color")
    code, text = harness(*words, "--json", str(tmp_path / "both.json"), "--html", str(tmp_path / "both.html"))
    assert code == 0, text
    assert re.search(r"f1\s+51%\s+58% ★\s+55%", text)
    assert re.search(r"log_loss\s+0\.490\s+0\.420 ★\s+0\.450", text)
    assert re.search(r"max_depth\s+2\s+9\s+20", text)
    told = json.loads((tmp_path / "both.json").read_text())
    assert told["differs"] == ["f1", "log_loss", "max_depth"]
    assert told["best"] == {"f1": kept.runs[1], "log_loss": kept.runs[1]}
    assert [run["params"]["max_depth"] for run in told["training_runs"]] == ["2", "9", "20"]
    page = (tmp_path / "both.html").read_text()
    assert page.count("<polyline") == 3
    assert "<b>deeper" not in page
    assert not re.search(r'(?:src|href)="(?!#)', page)


def test_the_newest_are_compared_where_none_are_named(kept: Kept) -> None:
    code, text = harness("compare", "--tracker", kept.uri, "--experiment", "churn", "--json", "-")
    assert code == 0, text
    assert {run["run_id"] for run in json.loads(text)["training_runs"]} == set(kept.runs[:3])


def test_what_cannot_be_compared_is_told(kept: Kept, tmp_path: Path) -> None:
    one = kept.runs[0]
    assert "named twice" in harness("compare", one, one, "--tracker", kept.uri)[1]
    assert "it holds no such run" in harness("compare", one, "f" * 32, "--tracker", kept.uri)[1]
    assert "two or more can be compared" in harness("compare", one, "--tracker", kept.uri)[1]
    assert "memory keeps no training runs" in harness("compare", "--tracker", "memory")[1]
    assert "there is no such database" in harness("list", "--tracker", f"mlflow+sqlite:///{tmp_path}/none.db")[1]
    assert not (tmp_path / "none.db").exists()
    code, text = harness("compare", "one")
    assert (code, "two runs are compared, not 1" in text) == (2, True)


def test_lines_go_from_the_least_below_to_the_greatest_above() -> None:
    runs = [
        TrackedRun(name, name, "e", "FINISHED", "", None, {"C": c, "kind": "x"}, {"f1": f1, "some": 1.0})
        for name, c, f1 in (("a", "1", 0.5), ("b", "3", 0.7), ("c", "2", 0.6))
    ]
    found = compare_tracked(runs)
    assert [axis.name for axis in found.axes] == ["C", "f1", "some"]
    lines = re.findall(r'points="([^"]*)"', plot(found))
    heights = [[float(point.split(",")[1]) for point in line.split()] for line in lines]
    assert [each[0] for each in heights] == [284.0, 46.0, 165.0]
    assert [each[1] for each in heights] == [284.0, 46.0, 165.0]
    assert {each[2] for each in heights} == {165.0}
    assert "kind" not in [axis.name for axis in found.axes]
