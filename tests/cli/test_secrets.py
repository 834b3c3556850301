"""Secrets that are set in variables are in nothing that the program writes: it succeeds, fails or errs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli.suite import Task, rehearse_one
from harness.domain.event import RunEnded
from harness.domain.secrets import mask, secrets_in
from harness.errors import BackendError
from tests.cli.conftest import SCENARIOS

SECRETS = {
    "MLFLOW_TRACKING_PASSWORD": "pw-of-mlflow-81",
    "MLFLOW_TRACKING_TOKEN": "tok/en+of=mlflow-82",
    "AWS_SECRET_ACCESS_KEY": 'aws"secret\\of-83',
    "OUR_API_KEY": "api-key-of-84",
    "SESSION_SECRET": "/looks/like-a-path-of-89+x==",
    "TLS_PASSPHRASE": "a phrase of-90",
    "SIGNING_KEY": "/key-of-91",
    "MLFLOW_TRACKING_URI": "http://someone:pw-in-uri-85@127.0.0.1:9/",
    "HARNESS_JSON": "http://someone:pw-in-uri-86@127.0.0.1/none/x.json",
}
PARTS = ("of-mlflow", "of=mlflow", "of-83", "of-84", "of-89", "of-90", "of-91", "pw-in-uri")
HEALTHY = SCENARIOS / "gate_rejected.yaml"
NO_SECRETS = "models:/churn@stable and runs:/0a1b2c/model@1 are no secrets"
TOLD = f"description={json.dumps(' | '.join((*SECRETS.values(), NO_SECRETS)))}"
"""Puts every secret into the scenario, and so into its log and its reports."""


def leaks(folder: Path, *texts: str) -> list[str]:
    """Where a part of a secret can be read: in texts, or in a file below a folder, its name included."""
    found = [f"output {number}: {part}" for number, text in enumerate(texts) for part in PARTS if part in text]
    for file in folder.rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        found += [f"{file}: {part}" for part in PARTS if part.encode() in content or part in file.name]
    return found


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "events.jsonl").write_bytes(b"\x00 pw-of-mlflow-81")
    assert leaks(tmp_path, "an api-key-of-84")[0].startswith("output 0")
    assert len(leaks(tmp_path, "an api-key-of-84")) == 2


CASES = {
    "passes": ([HEALTHY], {}, 0),
    "fails": ([HEALTHY, "--set", "expect=[outcome == promoted]"], {}, 1),
    "errs": ([HEALTHY, "--set", "model.data.target=TotalCharges"], {}, 2),
    "cannot keep runs": ([HEALTHY, "--report", "/dev/null/x"], {}, 2),
    "has a wrong variable": ([HEALTHY], {"HARNESS_WORKERS": "postgresql://me:pw-in-uri-87@db/x"}, 2),
    "writes to a URI": ([HEALTHY], {"HARNESS_JSON": SECRETS["HARNESS_JSON"]}, 2),
    "writes to a URI of its arguments": (
        [HEALTHY, "--json", "http://someone:pw-in-uri-92@127.0.0.1/none/x.json"],
        {},
        2,
    ),
    "has them in its scenario": (
        [HEALTHY, "--set", TOLD, "--json", "x.json", "--junit", "x.xml", "--markdown", "x.md"],
        {},
        0,
    ),
    "has them in a path": ([HEALTHY, "--json", f"none/{SECRETS['SESSION_SECRET']}"], {}, 2),
    "has them in a mistake": ([HEALTHY, "--set", f"model.data.target={SECRETS['SIGNING_KEY']}"], {}, 2),
}


@pytest.mark.parametrize(("words", "more", "code"), CASES.values(), ids=CASES)
def test_no_secret_is_written(words: list[object], more: dict[str, str], code: int, tmp_path: Path) -> None:
    variables = {key: value for key, value in SECRETS.items() if key != "HARNESS_JSON"} | more
    done = subprocess.run(
        [sys.executable, "-m", "harness", "run", *map(str, words), "--verbose"], cwd=tmp_path, text=True,
        capture_output=True, check=False, env=os.environ | variables | {"PYTHONPATH": str(SCENARIOS.parent)},
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert leaks(tmp_path, done.stdout, done.stderr) == []


def test_what_is_no_secret_is_read_in_log_and_report(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness", "run", str(HEALTHY), "--set", TOLD], cwd=tmp_path, text=True,
        capture_output=True, check=False, env=os.environ | SECRETS | {"HARNESS_JSON": "x.json"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (log,) = tmp_path.glob("reports/*/2*/events.jsonl")
    for file in (log, log.parent / "report.html"):
        assert f"http://***@127.0.0.1/none/x.json | {NO_SECRETS}" in file.read_text(encoding="utf-8"), file


def test_config_shows_none(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness", "config"], cwd=tmp_path, text=True, capture_output=True, check=False,
        env=os.environ | SECRETS | {"PYTHONPATH": str(SCENARIOS.parent)},
    )  # fmt: skip
    assert done.returncode == 0
    assert "HARNESS_JSON" in done.stdout
    assert leaks(tmp_path, done.stdout, done.stderr) == []


@pytest.mark.parametrize("defect", [False, True])
def test_what_a_backend_says_in_its_error_is_masked_everywhere(
    defect: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend's own message may hold anything: it goes through the log to every report, and to the terminal."""
    from fakes.registry import MemoryRegistry
    from harness import app
    from harness.report import json as report_json

    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    said = "no answer from http://me:pw-in-uri-88@db:1/x?token=tok-of-84; tried " + ", ".join(SECRETS.values())

    class Leaky(MemoryRegistry):
        async def register(self, *_: object) -> object:
            raise ValueError(said) if defect else BackendError(said)

    scenario = app.load_scenario(SCENARIOS / "canary_healthy.yaml")
    options = app.Options(reports=tmp_path / "reports", registry=Leaky(), cache=False)
    done = rehearse_one(Task(scenario, options, live=False, quiet=True, no_color=True))
    assert done.result.outcome == "error"
    assert "no answer from http://***@db:1/x?token=***" in done.result.reason
    told = json.dumps(report_json.suite([done.result], []))
    assert leaks(tmp_path, done.error, told) == []
    (log,) = tmp_path.glob("reports/canary-healthy/2*/events.jsonl")
    assert "no answer from http://***@db:1/" in log.read_text()
    assert (log.parent / "report.html").is_file()


def test_a_mask_leaves_alone_what_is_no_secret() -> None:
    text = 'see https://example.org/a?x=1, mail me@example.org; {"path": "a/b@c", "token_count": 3}'
    assert mask(text, ()) == text
    assert secrets_in({"API_TOKEN": "short", "HOME": "long enough to be one", "X_TOKEN_FILE": "/run/secrets/x"}) == ()


@pytest.mark.parametrize(
    "uri", ["models:/churn@stable", "models:/a/3", "runs:/0a1b/model@x", "mlflow+http://h/x?a=b@c"]
)
def test_a_uri_without_user_is_left_as_it_is(uri: str) -> None:
    assert mask(f'load {uri}: not found; "{uri}"', ()) == f'load {uri}: not found; "{uri}"'
    assert secrets_in({"MODEL": uri}) == ()


@pytest.mark.parametrize(
    ("uri", "masked"),
    [
        ("https://me@db/x", "https://***@db/x"),
        ("https://me:p@w@db/x", "https://***@db/x"),
        ("http:/me:pw@db/x.json", "http:/***@db/x.json"),
        ("models:/churn@stable from http://me:pw@db/", "models:/churn@stable from http://***@db/"),
        ("http://h/a?X-Amz-Expires=60&X-Amz-Signature=0af1", "http://h/a?X-Amz-Expires=60&X-Amz-Signature=***"),
        ("s3://b/a?X-Amz-Security-Token=Fwo%2FG&x=1", "s3://b/a?X-Amz-Security-Token=***&x=1"),
        ("https://h/a?sv=2024&sig=a%2Bb%3D then", "https://h/a?sv=2024&sig=*** then"),
        ("https://h/a?sv=2024&amp;sig=ab&amp;se=1", "https://h/a?sv=2024&amp;sig=***&amp;se=1"),
        ("https://h/a?token=ab#access_token=cd", "https://h/a?token=***#access_token=***"),
        ("https://h/a?signal=1&design=2&sigma=3", "https://h/a?signal=1&design=2&sigma=3"),
    ],
)
def test_what_opens_a_uri_is_masked(uri: str, masked: str) -> None:
    assert mask(uri, ()) == masked


HIDDEN = """
    PGPASSWORD MYSQL_PWD DB_PASS DB_PASSWD X_PASSPHRASE SSH_KEY_PASSPHRASE CLIENT_SECRET SECRET_KEY_BASE NPM_AUTHTOKEN
    SIGNING_KEY FERNET_KEY API_KEYS APIKEY apiKey AWS_ACCESS_KEY_ID SSH_PRIVATE_KEY PRIVATE_KEY_PEM AZURE_CREDENTIALS
"""
SHOWN = """
    X_PASSPHRASE_FILE SIGNING_KEY_PATH SECRETS_DIR PASSWORD_STORE_DIR GOOGLE_APPLICATION_CREDENTIALS TOKEN_URL
    SECRET_NAME PUBLIC_KEY SSH_PUBLIC_KEYS SORT_KEY PRIMARY_KEY KEYBOARD KEY MONKEY MAX_TOKENS TOKENIZERS_PARALLELISM
    SECRETARY OLDPWD COMPASS SSH_ASKPASS SSH_AUTH_SOCK HARNESS_WORKERS
"""


@pytest.mark.parametrize("value", ["/srv/looks/like-a-path", "sixsix"])
def test_the_name_of_a_variable_says_whether_its_value_is_a_secret(value: str) -> None:
    assert {name for name in HIDDEN.split() if secrets_in({name: value}) != (value,)} == set()
    assert {name for name in SHOWN.split() if secrets_in({name: value}) != ()} == set()


@pytest.mark.parametrize(
    "secret", ["stable", "candidate", "promoted", "RunEnded", "weights", "000000", 'at_ns":', "canary"]
)
def test_a_secret_like_the_logs_own_words_leaves_it_readable(
    secret: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness import log

    golden = log.read(Path(__file__).parents[1] / "golden" / "canary_healthy.jsonl")
    monkeypatch.setenv("MY_PASSWORD", secret)
    kept = log.EventLog(tmp_path / "events.jsonl")
    for event in golden:
        kept.append(event)
    kept.close()
    read = log.read(tmp_path / "events.jsonl")
    assert [type(event) for event in read] == [type(event) for event in golden]
    assert [event.at_ns for event in read] == [event.at_ns for event in golden]
    assert read.only(RunEnded).outcome is golden.only(RunEnded).outcome
    assert read.only(RunEnded).weights == golden.only(RunEnded).weights


def test_the_log_stays_one_that_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness import log
    from harness.domain.rollout import Outcome

    monkeypatch.setenv("MY_PASSWORD", 'quo"te\\back\nline')
    with_secret = log.EventLog(tmp_path / "events.jsonl")
    ended = RunEnded(0, Outcome.ERROR, 'said quo"te\\back\nline twice', {})
    with_secret.append(ended)
    with_secret.close()
    (read,) = log.read(tmp_path / "events.jsonl").of(RunEnded)
    assert read.reason == "said *** twice"
