"""``harness card``: a first model card, and whether one is complete."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

SCENARIO = Path(__file__).parents[2] / "scenarios" / "gate_rejected.yaml"
FAIR = "model.gates=[{fairness: {column: gender, equalised_odds: '<= 15%'}}]"
QUICK = "model.candidate={algorithm: decision_tree, params: {max_depth: 3}}"


def test_a_first_card_is_written_and_complete_once_people_wrote_the_rest(
    call: Callable[..., Any], tmp_path: Path
) -> None:
    made = call("card", SCENARIO, "--set", FAIR, "--set", QUICK, "-o", "CARD.md")
    assert made.code == 0
    assert made.out == "CARD.md: a first card; what is left to write is marked TODO\n"
    text = (tmp_path / "CARD.md").read_text(encoding="utf-8")
    for told in ("name: 'churn-prediction'", "rows of `telco_churn.csv.gz`", "| accuracy |", "gender: Female", "TPR"):
        assert told in text
    checked = call("card", "--check", "CARD.md")
    assert checked.code == 1
    assert "Intended use is a placeholder" in checked.out
    (tmp_path / "CARD.md").write_text(re.sub(r"TODO.*", "Somebody wrote it.", text), encoding="utf-8")
    assert call("card", "--check", "CARD.md").code == 0


def test_a_card_that_is_there_is_not_replaced_unasked(call: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "CARD.md").write_text("mine")
    kept = call("card", SCENARIO, "-o", "CARD.md")
    assert kept.code == 2
    assert "--force" in kept.err
    assert (tmp_path / "CARD.md").read_text() == "mine"


def test_it_wants_a_scenario_or_a_card(call: Callable[..., Any]) -> None:
    assert call("card").code == 2
    missing = call("card", "--check", "nowhere.md")
    assert missing.code == 1
    assert "there is no file nowhere.md" in missing.out
