"""A scenario says who is told; the URL of a webhook is in nothing that is written."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.notifier import MemoryNotifier
from harness import app
from harness.app.notifiers import channels
from harness.domain.event import Notified
from harness.errors import BackendError
from tests.cli.conftest import SCENARIOS, Called
from tests.hooks import SECRET

Call = Callable[..., Called]
REGRESSION = SCENARIOS / "canary_regression.yaml"
HOOK = f"https://hooks.example.org/{SECRET}"


@pytest.mark.parametrize("written", ["in the file", "on the command line"])
def test_the_url_of_a_webhook_is_in_nothing_that_a_run_writes(
    written: str, call: Call, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    scenario, flags = REGRESSION, ["--set", f'notify=[log, "{HOOK}"]']
    if written == "in the file":
        scenario, flags = tmp_path_factory.mktemp("theirs") / "own.yaml", []
        text = REGRESSION.read_text(encoding="utf-8").replace("data/telco", f"{SCENARIOS}/data/telco")
        scenario.write_text(f"{text}\nnotify:\n  - log\n  - {HOOK}\n", encoding="utf-8")
    called = call("run", scenario, *flags, "--json", "out.json", "--markdown", "out.md", "--junit", "out.xml")
    assert called.code == 0, called.err
    assert call("report", "latest").code == 0
    files = [path for path in tmp_path.rglob("*") if path.is_file() and ".cache" not in path.parts]
    assert {path.name for path in files} >= {"events.jsonl", "report.html", "out.json", "out.md", "out.xml"}
    for path in files:
        assert SECRET.encode() not in path.read_bytes(), path
    assert SECRET not in called.out + called.err

    log = (tmp_path / "reports" / "latest" / "events.jsonl").read_text(encoding="utf-8")
    events = [json.loads(line) for line in log.splitlines()]
    told = {
        name: [each for each in events if each["event"] == "Notified" and each["channel"] == name]
        for name in ("log", "webhook")
    }
    assert told["log"]
    assert all(each["delivered"] for each in told["log"])
    [once] = told["webhook"]
    assert (once["delivered"], "virtual time" in once["detail"]) == (False, True)


def test_notifiers_of_the_callers_own_stand_in_for_those_of_that_word(tmp_path: Path) -> None:
    memory = MemoryNotifier()
    scenario = app.load_scenario(REGRESSION, ["notify=[memory]"])
    made = app.rehearse(scenario, app.Options(reports=tmp_path, notifiers={"memory": memory}))
    assert [each.what for each in made.log.events if isinstance(each, Notified)] == list(memory.texts)
    assert memory.texts


def test_channels_are_known_by_their_word_and_never_by_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_WEBHOOK_URL", "https://other.example.org/hook")
    found = channels(("log", HOOK, "webhook", "memory", "log", HOOK), 1, {})
    assert list(found) == ["log", "webhook", "webhook-2", "memory"]
    assert [found[name].place for name in ("webhook", "webhook-2")] == [
        "https://hooks.example.org/***",
        "https://other.example.org/***",
    ]
    assert found["webhook"]._drawn() != found["webhook-2"]._drawn()
    with pytest.raises(BackendError, match="no notifier backend called 'pigeon' is installed"):
        channels(("pigeon",), 1, {})
