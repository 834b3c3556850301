"""``harness data``: the gate from the command line, its exit codes, files and page."""

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from harness.cli import cli, main
from harness.data.rule import Check
from harness.data.schema import read_schema

DATA = Path(__file__).parents[2] / "scenarios" / "data"
TELCO, SCHEMA = str(DATA / "telco_churn.csv.gz"), str(DATA / "telco_schema.yaml")


@pytest.fixture
def harness(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*words: str):
        return CliRunner().invoke(cli, ["data", *map(str, words)], standalone_mode=False)

    return run


@pytest.fixture
def bad(tmp_path) -> Path:
    """Two columns that are wrong, one of them with a page's own signs in it."""
    with gzip.open(TELCO, "rt") as file:
        lines = file.read().splitlines()
    lines[3] = lines[3].replace("3668-QPYBK", "<b>&").replace("Mailed check", "mailed  check")
    (tmp_path / "bad.csv").write_text("\n".join(lines[:1500]) + "\n")
    return tmp_path / "bad.csv"


@pytest.mark.parametrize("name", ["telco_churn", "adult"])
def test_the_shipped_data_are_valid(harness, name) -> None:
    schema = DATA / f"{name.removesuffix('_churn')}_schema.yaml"
    done = harness("validate", DATA / f"{name}.csv.gz", "--schema", schema, "--chunk-rows", 10_000)
    assert done.return_value == 0
    assert "✓ valid" in done.output


def test_what_is_wrong_is_told_in_every_form(harness, bad, tmp_path) -> None:
    done = harness(
        "validate", bad, "--schema", SCHEMA, "--json", "o.json", "--junit", "o.xml", "--markdown", "o.md", "-v"
    )
    assert done.return_value == 1
    assert "✗ not valid" in done.output
    told = json.loads(Path("o.json").read_text())
    assert (told["version"], told["valid"], told["rows"], told["critical"], told["warnings"]) == (1, False, 1499, 2, 0)
    assert told["failures"][0] == {
        "column": "customerID",
        "columns": ["customerID"],
        "check": "pattern",
        "message": "not like [0-9]{4}-[A-Z]{5} ('<b>&')",
        "severity": "critical",
        "count": 1,
        "share": 1 / 1499,
        "rows": [{"row": 3, "value": "<b>&"}],
        "remedy": None,
    }
    assert told["failures"][1]["remedy"] == "write Mailed check"
    suite = ET.fromstring(Path("o.xml").read_text()).find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("2", "2")
    assert "PaymentMethod" in Path("o.md").read_text()
    page = Path(told["report"]).read_text()
    assert "<b>&" not in page
    assert "&lt;b&gt;&amp;" in page
    assert not re.search(r"(src|href)=[\"']?https?:", page)
    assert json.loads((Path(told["report"]).parent / "data.json").read_text()) == told
    assert (tmp_path / "reports" / "data-bad" / "latest" / "report.html").exists()


def test_json_on_standard_output_is_alone_there(harness, bad) -> None:
    done = harness("validate", bad, "--schema", SCHEMA, "--json", "-", "--report", "elsewhere")
    assert json.loads(done.stdout)["report"].startswith("elsewhere/data-bad/")
    assert harness("validate", bad, "--schema", SCHEMA, "-q").output.count("\n") == 1


def test_test_rows_in_the_training_file_are_found(harness) -> None:
    done = harness("validate", TELCO, "--schema", SCHEMA, "--against", TELCO, "--json", "-")
    (failure,) = json.loads(done.stdout)["failures"]
    assert (done.return_value, failure["column"], failure["check"], failure["count"]) == (
        1,
        "customerID",
        "overlap",
        7043,
    )


def test_warnings_leave_the_gate_open(harness, tmp_path) -> None:
    (tmp_path / "q.yaml").write_text(
        "quality: [{check: outliers, columns: [tenure], factor: 0.1, severity: warning}]\n"
    )
    done = harness("validate", TELCO, "--schema", SCHEMA, "--quality", "q.yaml", "--json", "-")
    told = json.loads(done.stdout)
    assert (done.return_value, told["valid"], told["warnings"]) == (0, True, 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["validate", TELCO], "give --schema, --quality or --against"),
        (["validate", "absent.csv", "--schema", SCHEMA], "absent.csv: there is no such file"),
        (["validate", TELCO, "--schema", "absent.yaml"], "absent.yaml: the schema cannot be read"),
        (["validate", TELCO, "--schema", SCHEMA, "--target", "gender"], "the target is Churn, not gender"),
        (["validate", TELCO, "--schema", SCHEMA, "--quality", "q.yaml"], "did you mean Contract?"),
        (["infer", TELCO, "--target", "Chrun"], "did you mean Churn?"),
        (["infer", TELCO, "-o", "q.yaml"], "q.yaml exists; --force replaces it"),
    ],
)
def test_what_cannot_be_used_ends_with_2(tmp_path, monkeypatch, capsys, words, message) -> None:
    monkeypatch.chdir(tmp_path)
    Path("q.yaml").write_text("quality: [{check: constant, columns: [Contrat]}]\n")
    monkeypatch.setattr(sys, "argv", ["harness", "data", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_first_schema_is_one_that_its_file_passes(harness) -> None:
    done = harness("infer", TELCO, "--target", "Churn", "-o", "first.yaml")
    assert "next: harness data validate" in done.output
    assert harness("validate", TELCO, "--schema", "first.yaml", "-q").return_value == 0
    assert harness("infer", TELCO).output.startswith("# What telco_churn.csv.gz may hold")
    Path("endless.csv").write_text("a,b\n1,x\n-inf,y\n2.5,x\n3,y\n")
    assert (
        "\n# a is read as text for its infinite numbers (1, such as '-inf')" in harness("infer", "endless.csv").output
    )


def test_help_comes_with_examples_and_without_libraries() -> None:
    code = (
        "import sys; sys.argv = ['harness', 'data', 'validate', '--help']\n"
        "import atexit; atexit.register(lambda: print(sorted({'pandas', 'sklearn', 'pandera'} & set(sys.modules))))\n"
        "from harness.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.search(r"Examples:\n\s+harness data validate", done.stdout)
    assert done.stdout.endswith("[]\n")


def test_the_schema_that_the_page_shows_is_one(tmp_path) -> None:
    page = (DATA.parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
    (tmp_path / "shown.yaml").write_text(re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0])
    shown = read_schema(str(tmp_path / "shown.yaml"))
    assert (len(shown.columns), len(shown.relations), len(shown.quality)) == (9, 3, 2)
    assert {f"`{check}`" for check in Check} <= set(re.findall(r"^\| (`\w+`)", page, re.MULTILINE))
