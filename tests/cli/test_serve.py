"""`harness serve` on the command line: what is refused before anything is loaded."""

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import click
import joblib
import pytest

from harness.cli.serve import duration, size
from harness.training import artifact
from tests.cli.conftest import Called
from tests.serving.trained import pipeline

Call = Callable[..., Called]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "no model is named; say NAME@ALIAS, NAME:VERSION or a file, or --fake"),
        (["--fake", "churn@stable"], "--fake needs no model"),
        (["churn@stable", "--latency", "3ms"], "--latency is for --fake"),
        (["churn@stable"], "no registry is named"),
        (["churn@stable", "--registry", "memory:"], "a registry in memory"),
        (["m.skops", "--timeout", "10"], "a duration has a unit: write 10s"),
        (["m.skops", "--timeout", "0s"], "--timeout is 0s; an answer takes some time: give more, such as 10s"),
        (["--fake", "--timeout", "0s"], "--timeout is 0s; an answer takes some time: give more, such as 10s"),
        (["m.skops", "--max-body", "0"], "--max-body is 0; a request has a body: give its largest size, such as 4MB"),
        (["--fake", "--max-body", "0KB"], "--max-body is 0; a request has a body"),
        (["m.skops", "--workers", "0"], "--workers is 0; a model is served by at least one process: give 1 or more"),
        (["m.skops", "--linger", "5"], "a duration has a unit: write 5s"),
        (["m.skops", "--max-body", "4 apples"], "such as 4MB"),
        (["m.skops", "--queue", "0"], "a queue holds 1 to 1000000 requests"),
        (["m.pkl"], "loading a pickle runs whatever it holds"),
        (["m.skops"], "there is no such file"),
        (["--fake", "--latency", "soon"], "latency is 'soon'"),
        (["--fake", "--port", "0", "--service-log", "/proc/nope/s"], "--service-log /proc/nope/s: cannot be written"),
    ],
)
def test_what_is_wrong_is_told(call: Call, words: list[str], told: str) -> None:
    called = call("serve", *words)
    assert called.code == 2
    assert told in called.err
    assert called.out == ""


def test_durations_and_sizes() -> None:
    assert (duration("250ms"), duration("0s"), duration(7)) == (250_000_000, 0, 7)
    assert [size(text) for text in ("10", "4MB", "2 kb", "1GB", "8B")] == [10, 4 << 20, 2048, 1 << 30, 8]
    with pytest.raises(click.BadParameter):
        size("-1MB")


def test_settings_of_load_tests_and_suites_are_none_of_a_server(call: Call) -> None:
    Path("harness.toml").write_text('workers = 2\nmax-body = 1000\ntimeout = "3s"\nbatch-wait = "2ms"\n')
    called = call("serve", "--fake", "x")
    assert "--fake needs no model" in called.err  # all of it was read
    assert "no such file" in call("serve", "m.skops", "--prediction-log", "p").err  # which several workers refuse


def test_flags_of_the_stand_in_are_no_settings_and_a_seed_of_runs_is_not_theirs(call: Call) -> None:
    Path("harness.toml").write_text("seed = 7\nport = 9999\n")
    assert "no model is named" in call("serve").err
    shown = call("config").out
    assert "port" in shown
    assert "error-rate" not in shown


def test_what_cannot_be_served_is_told(call: Call, tmp_path: Path) -> None:
    model = pipeline("logistic_regression")
    artifact.save(model, tmp_path / "good.skops")
    joblib.dump(model, tmp_path / "own.joblib")
    (tmp_path / "damaged.skops").write_bytes(b"no archive")
    shutil.copy("good.skops", "odd.bin")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for words, told in (
            (["own.joblib"], "loading a pickle runs whatever it holds"),
            (["damaged.skops"], "not a model file of skops, or damaged"),
            (["odd.bin"], "a model file ends in .skops"),
            (["good.skops", "--port", port], "give another --port"),
            (["good.skops", "--host", "203.0.113.7"], "cannot be listened on"),
            (["good.skops", "--workers", "2", "--prediction-log", "p"], "--prediction-log needs one process"),
        ):
            called = call("serve", *words)
            assert (called.code, called.out) == (2, ""), words
            assert told in called.err, words
