"""The stand-in in a thread: it ends with its block, whatever is unanswered."""

import json
import threading
from pathlib import Path

import pytest

from harness.errors import InputError
from harness.serving.client import ModelServingClient
from harness.serving.fake import stand_in


def test_it_lasts_as_long_as_its_block(tmp_path: Path) -> None:
    with stand_in({"model": "churn"}, service_log=tmp_path / "log") as url, ModelServingClient(url) as client:
        assert client.predict({"a": 1})["model"] == "churn"
    assert not client.health_check().healthy
    assert [thread for thread in threading.enumerate() if thread.name == "stand-in"] == []
    assert [json.loads(line)["id"] for line in (tmp_path / "log").read_text().splitlines()] == ["0"]


def test_what_is_unanswered_does_not_hold_its_end_up() -> None:
    with stand_in({"latency": "1h", "workers": 1}) as url, ModelServingClient(url, timeout=0.1) as client:
        for _ in range(2):  # one is worked on, one waits
            with pytest.raises(TimeoutError):
                client.predict({"a": 1})


def test_what_cannot_be_set_is_told_to_whoever_opens_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="workers is 'x'"), stand_in({"workers": "x"}):
        pass
    with pytest.raises(FileNotFoundError), stand_in(service_log=tmp_path / "no" / "log"):
        pass
