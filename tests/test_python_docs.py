"""docs/python.md, every example in its order, as it stands there."""

import doctest
import re
from pathlib import Path

import pytest

import harness

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
EXAMPLES = "\n".join(re.findall(r"```pycon\n(.*?)```", PAGE, re.DOTALL))


@pytest.mark.timeout(300)
def test_every_example_gives_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = set(re.findall(r"^```(\w+)$", PAGE, re.MULTILINE))
    assert kinds == {"pycon"}  # a block of another kind would be one that nobody runs
    (tmp_path / "scenarios").symlink_to(ROOT / "scenarios")
    monkeypatch.chdir(tmp_path)
    told: list[str] = []
    test = doctest.DocTestParser().get_doctest(EXAMPLES, {}, "python.md", "docs/python.md", 0)
    failed, tried = doctest.DocTestRunner().run(test, out=told.append)
    assert (failed, tried > 40) == (0, True), "".join(told)


def test_every_strategy_has_an_example() -> None:
    for word in harness.STRATEGIES:
        assert f'RolloutPolicy(\n...     "{word}"' in PAGE or f'RolloutPolicy("{word}"' in PAGE, word
