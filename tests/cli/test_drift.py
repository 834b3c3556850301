"""``harness drift``: exit codes, the JSON document, the page, files read whole and in pieces, a model's answers."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import LinearRegression, LogisticRegression

from tests.cli.conftest import SCENARIOS, Called
from tests.drift.newest import MADE, newest

Call = Callable[..., Called]
TELCO, SCHEMA = SCENARIOS / "data" / "telco_churn.csv.gz", SCENARIOS / "data" / "telco_schema.yaml"
QUICK = ("--detectors", "statistical,domain_specific")


def table(seed: int, rows: int = 600, shift: float = 0.0) -> pd.DataFrame:
    drawn = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": drawn.normal(40, 10, rows).round(2) + shift,
            "income": drawn.lognormal(10, 0.5, rows).round(),
            "plan": drawn.choice(["a", "b"], rows),
            "churned": drawn.choice(["Yes", "No"], rows),
        }
    )


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A reference, current data without drift, and current data with an age of 8 years more."""
    places = tmp_path / "reference.csv", tmp_path / "same.parquet", tmp_path / "older.csv.gz"
    table(0).to_csv(places[0], index=False)
    table(1, 300).to_parquet(places[1])
    table(2, 300, 8.0).to_csv(places[2], index=False)
    return places


def document(called: Called) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(called.out)
    return made


def test_no_drift_is_0_and_drift_is_1(call: Call, files: tuple[Path, Path, Path]) -> None:
    reference, same, older = files
    calm = call("drift", reference, same, "--json", "-")
    assert calm.code == 0
    assert document(calm)["drift_detected"] is False
    alarm = call("drift", reference, older, "--target", "churned", "--every", "1h", "--json", "-")
    assert alarm.code == 1
    told = document(alarm)
    assert told["drift_detected"] is True
    assert told["drift_score"] > told["threshold"] == 0.1
    columns = told["individual_results"]["statistical"]["columns"]
    assert [name for name, column in columns.items() if column["drifted"]] == ["age"]
    assert told["individual_results"]["label"]["columns"]["churned"]["drifted"] is False
    assert told["expected_false_alarms_per_month"] == pytest.approx(7.2)
    assert "age" in told["recommendations"][0]


def test_what_is_printed_and_the_page(call: Call, files: tuple[Path, Path, Path]) -> None:
    reference, _, older = files
    called = call("drift", reference, older, *QUICK, "--rule", "max(age) <= 60", "--every", "1d")
    assert called.code == 1
    for word in ("reference.csv → older.csv.gz", "✗ drift", "max(age) <= 60", "0.3 a month", "age"):
        assert word in called.out
    page = Path(called.out.rsplit("report  ", 1)[1].strip())
    text = page.read_text()
    assert text.count('<figure class="column') == 4
    assert text.index("t-c0") < text.index("t-c1")
    assert '<figure class="column drifted">\n<figcaption><h3 id="t-c0">age</h3>' in text
    for outside in ("http://", "https://", "<link", "src="):
        assert outside not in text
    kept = json.loads((page.parent / "drift.json").read_text())
    assert kept["drift_detected"] is True
    assert (page.parent.parent / "latest").resolve() == page.parent.resolve()


def test_a_page_says_users_words_as_words(call: Call, tmp_path: Path) -> None:
    wicked = "<script>alert(1)</script>"
    before = table(0).rename(columns={"age": wicked})
    now = before.head(300).assign(plan=wicked)
    for name, frame in (("a.csv", before), ("b.csv", now)):
        frame.to_csv(tmp_path / name, index=False)
    called = call("drift", "a.csv", "b.csv", *QUICK)
    assert called.code == 1
    page = Path(called.out.rsplit("report  ", 1)[1].strip()).read_text()
    assert wicked not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_newest_customers_drifted_by_the_schema(call: Call) -> None:
    called = call("drift", TELCO, MADE, "--schema", SCHEMA, "--rule", "missing(TotalCharges) <= 1%", "--json", "-")
    assert called.code == 1
    told = document(called)
    columns = told["individual_results"]["statistical"]["columns"]
    assert "customerID" not in columns
    assert {"Contract", "MonthlyCharges", "TotalCharges"} <= {name for name, each in columns.items() if each["drifted"]}
    assert not columns["gender"]["drifted"]
    assert columns["TotalCharges"]["decided_by"] == "missing_values"
    assert told["individual_results"]["domain_specific"]["rules"][0]["passed"] is False
    assert any("no Churn" in note for note in told["notes"])


def test_the_newest_customers_are_made_as_their_file_says() -> None:
    assert gzip.decompress(MADE.read_bytes()).decode() == newest()


def test_pieces_come_to_the_same_as_the_whole(call: Call, files: tuple[Path, Path, Path]) -> None:
    reference, _, older = files
    words = ("--rule", "quantile(age, 0.5) >= 45", "--rule", "share(plan == a) within 20% of reference", *QUICK)
    whole = document(call("drift", reference, older, *words, "--json", "-"))
    pieces = document(call("drift", reference, older, *words, "--sketch", "--json", "-"))
    assert any("read in pieces" in note for note in pieces["notes"])
    results = [each["individual_results"] for each in (whole, pieces)]
    assert results[0]["domain_specific"] == results[1]["domain_specific"]
    for name, column in results[0]["statistical"]["columns"].items():
        other = results[1]["statistical"]["columns"][name]
        assert other["drifted"] == column["drifted"]
        for figure in ("psi", "jensen_shannon", "effect"):
            assert other[figure] == pytest.approx(column[figure], abs=0.02)


def test_rules_of_a_file_and_junit_and_markdown(call: Call, files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    reference, same, _ = files
    (tmp_path / "rules.txt").write_text(
        "# what must hold\nmax(age) <= 500\n\nmin(age) >= 100   # broken\nshare(plan == '#1') <= 1%\n"
    )
    called = call(
        "drift", reference, same, *QUICK, "--rules", "rules.txt", "--junit", "j.xml", "--markdown", "m.md", "--quiet"
    )
    assert called.code == 1
    assert called.out.strip() == "Drift, at a false-alarm rate of 1%: 1 domain rule broken."
    cases = {case.get("name"): case for case in ET.parse(tmp_path / "j.xml").iter("testcase")}
    assert cases["domain_specific: min(age) >= 100"].find("failure") is not None
    assert cases["domain_specific: max(age) <= 500"].find("failure") is None
    assert cases["statistical: age"].find("failure") is None
    assert "❌ Drift" in (tmp_path / "m.md").read_text()


def test_a_models_answers_are_compared_and_what_it_leans_on_is_told(
    call: Call, files: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    reference, same, older = files
    learned = table(0)
    classifier = LogisticRegression().fit(learned[["age"]], learned["age"] > 45)
    skops.io.dump(classifier, tmp_path / "classifier.skops")
    told = document(call("drift", reference, older, *QUICK, "--model", "classifier.skops", "--json", "-"))
    answers = told["individual_results"]["prediction"]
    assert answers["drifted"] is True
    assert list(answers["columns"]) == ["prediction"]
    assert any("importance for the model: 100%" in said for said in told["recommendations"])
    skops.io.dump(LinearRegression().fit(learned[["age", "income"]], learned["age"]), tmp_path / "regressor.skops")
    calm = call("drift", reference, same, *QUICK, "--model", "regressor.skops", "--json", "-")
    assert calm.code == 0
    assert document(calm)["individual_results"]["prediction"]["drifted"] is False


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing.csv",), "there is no such file"),
        (("older.csv.gz", "--target", "churn"), "did you mean churned?"),
        (("older.csv.gz", "--ignore", "plann"), "did you mean plan?"),
        (("older.csv.gz", "--rule", "max(agee) < 3"), "did you mean age?"),
        (("older.csv.gz", "--rule", "max(age) <"), "the bound stands here"),
        (("older.csv.gz", "--rules", "nothing.txt"), "cannot be read"),
        (("older.csv.gz", "--alpha", "120%"), "--alpha"),
        (("older.csv.gz", "--alpha", "often"), "--alpha"),
        (("older.csv.gz", "--every", "sometimes"), "--every"),
        (("older.csv.gz", "--detectors", "statistics"), "did you mean statistical?"),
        (("older.csv.gz", "--model", "m.skops", "--prediction", "age"), "give one of them"),
        (("older.csv.gz", "--json", "no/where.json"), "there is no folder"),
        (("older.csv.gz", "--sketch", "--columns", "x"), "no such column"),
    ],
)
def test_wrong_input_is_2_and_says_what_to_change(
    call: Call, files: tuple[Path, Path, Path], words: tuple[str, ...], said: str
) -> None:
    called = call("drift", files[0], *words)
    assert called.code == 2
    assert said in called.err


def test_more_rows_than_a_classifier_can_take_are_refused(call: Any, files: tuple[Path, Path, Path]) -> None:
    done = call("drift", *files[:2], "--rows-max", "1000001")
    assert done.code == 2
    assert "'--rows-max': 1000001 is not in the range 100<=x<=1000000" in done.err
