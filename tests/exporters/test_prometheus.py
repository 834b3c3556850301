"""Scrape configurations and alerts, held against Prometheus itself: it must read them, and fire when it should."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from harness.analysis.conditions import evaluate, parse
from harness.analysis.vocabulary import METRICS, Kind
from harness.domain.analysis import AnalysisPolicy, Unit
from harness.domain.lifecycle import Monitor, OnAlarm
from harness.domain.model import Role
from harness.domain.units import MILLISECOND, MINUTE, SECOND
from harness.errors import InputError
from harness.exporters.monitoring import SCRAPE_FILE, MonitoringConfig, MonitoringSetup
from harness.exporters.prometheus import CANARY, TARGETS_FILE, Watched, alert_rules, scrape_config
from tests.requires import program

SEED = ("error_rate <= stable + 2%", "p95 <= stable * 1.5", "accuracy >= stable - 5%")
BOTH = {"stable": ["http://10.0.0.1:8080/predict"], "candidate": ["10.0.0.2:8080", "https://c.example/predict"]}
MEASURED = tuple(m.name for m in METRICS.values() if m.kind not in {Kind.RUN, Kind.LOAD})


def policy(*rules: str, **changes: Any) -> AnalysisPolicy:
    given_ = {"every_ns": MINUTE, "window_ns": 5 * MINUTE, "min_requests": 100, "failure_limit": 2, **changes}
    return AnalysisPolicy(tuple(parse(rule) for rule in rules), **given_)


def monitor(*rules: str, name: str = "rollout", on: OnAlarm = OnAlarm.ROLLBACK, **changes: Any) -> Monitor:
    return Monitor(name, policy(*rules, **changes), on)


def read(text: str) -> Any:
    return YAML(typ="safe").load(text)


def promtool(folder: Path, *words: str) -> str:
    done = subprocess.run([program("promtool"), *words], cwd=folder, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def written(folder: Path, made: MonitoringConfig) -> Path:
    for name, text in {**made.files(), TARGETS_FILE: "[]\n"}.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


# --- what Prometheus reads --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoints", [BOTH, {}], ids=["endpoints", "none yet"])
@pytest.mark.parametrize("name", ["churn-prediction", 'odd {{ "name" }} \\ ü'])
def test_prometheus_reads_every_metric_of_every_policy(tmp_path: Path, endpoints: Any, name: str) -> None:
    rules = [f"{metric} >= 1" if METRICS[metric].unit is Unit.NONE else f"{metric} >= 50%" for metric in MEASURED
             if METRICS[metric].unit in {Unit.NONE, Unit.SHARE}]  # fmt: skip
    times = [f"{metric} < stable * 1.5" for metric in MEASURED if METRICS[metric].unit is Unit.SECONDS]
    every = [
        monitor(*SEED, *rules),
        monitor(*times, "rate >= 10/s", name="after {{promotion}}", on=OnAlarm.RETRAIN, min_requests=0),
        monitor("p95 <= 200ms and (p99 < 1s or not error_rate > 1%)", name="joined", on=OnAlarm.NOTIFY),
    ]
    made = MonitoringSetup(every).configure(model=name, endpoints=endpoints)
    said = promtool(written(tmp_path, made), "check", "config", SCRAPE_FILE)
    assert "SUCCESS" in said
    said = promtool(tmp_path, "check", "rules", "--lint=all", "--lint-fatal", "alerts.yml")
    assert "duplicate" not in said
    assert len(made.rules) == sum(len(each.policy.rules) for each in every)


def test_roles_are_labels_of_targets_and_schemes_are_jobs() -> None:
    jobs = read(scrape_config("m", BOTH, [monitor(*SEED)]))["scrape_configs"]
    assert [(job["job_name"], job["scheme"], job["metrics_path"]) for job in jobs] == [
        ("m", "http", "/metrics"),
        ("m-https", "https", "/metrics"),
    ]
    assert jobs[0]["static_configs"] == [
        {"targets": ["10.0.0.1:8080"], "labels": {"model": "m", "role": "stable"}},
        {"targets": ["10.0.0.2:8080"], "labels": {"model": "m", "role": "candidate"}},
    ]
    assert jobs[1]["static_configs"][0]["targets"] == ["c.example:443"]


@pytest.mark.parametrize(
    ("window_ns", "interval"), [(5 * MINUTE, "15s"), (MINUTE, "15s"), (20 * SECOND, "5s"), (100 * MILLISECOND, "1s")]
)
def test_a_window_holds_several_scrapes(window_ns: int, interval: str) -> None:
    text = scrape_config("m", {}, [monitor(*SEED), monitor("p95 < 1s", name="b", window_ns=window_ns)])
    assert read(text)["global"]["scrape_interval"] == interval


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host", r"'ftp://host' is no address; write http://HOST:PORT"),
        ("http://", "is no address"),
        ("host:port", "is no address: Port could not be cast"),
        ("http://me:secret@host:80", "holds a user or a password"),
    ],
)
def test_an_endpoint_that_is_none_is_refused_and_a_password_is_not_shown(url: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as told:
        MonitoringSetup(SEED).configure(model="m", endpoints=[url])
    assert "secret" not in str(told.value)


def test_a_rule_that_cannot_be_read_is_told() -> None:
    with pytest.raises(InputError, match="no metric is called p96"):
        MonitoringSetup(["p96 < 1s"])


def test_windows_limits_and_alarms_become_what_prometheus_calls_them() -> None:
    text = alert_rules("m", [monitor("p95 <= 250ms", failure_limit=3, on=OnAlarm.RETRAIN)])
    (group,) = read(text)["groups"]
    alert = group["rules"][-1]
    assert (group["name"], group["interval"]) == ("m/rollout", "60s")
    assert (alert["alert"], alert["for"]) == ("RolloutP95TooHigh", "180s")
    assert alert["labels"] == {
        "severity": "warning", "action": "retrain", "policy": "rollout", "rule": "p95 <= 250ms"
    }  # fmt: skip
    assert "[300s]" in group["rules"][0]["expr"]
    assert alert["annotations"]["summary"] == "m (candidate): p95 <= 250ms does not hold"


# --- when it fires ----------------------------------------------------------------------------------------------------


def counters(role: str, rate: float, failed: float, model: str = "m") -> list[dict[str, str]]:
    """Requests per minute that succeed and fail, as counters scraped every minute."""
    good = rate - failed
    return [
        {"series": f'model_requests_total{{model="{model}",role="{role}",outcome="{outcome}"}}', "values": values}
        for outcome, values in (("success", f"0+{good}x40"), ("failure", f"0+{failed}x40"))
    ]


def latency(role: str, rate: float, slow: float) -> list[dict[str, str]]:
    """Requests per minute, of which some take between 0.1 and 1 s and the rest at most 0.1 s."""
    name = "model_request_duration_seconds"
    labels = f'model="m",role="{role}"'
    return [
        {"series": f'{name}_bucket{{{labels},le="0.1"}}', "values": f"0+{rate - slow}x40"},
        {"series": f'{name}_bucket{{{labels},le="1"}}', "values": f"0+{rate}x40"},
        {"series": f'{name}_bucket{{{labels},le="+Inf"}}', "values": f"0+{rate}x40"},
        {"series": f"{name}_sum{{{labels}}}", "values": f"0+{rate * 0.05}x40"},
        {"series": f"{name}_count{{{labels}}}", "values": f"0+{rate}x40"},
    ]


def quality(role: str, metric: str, value: float, labels: float = 100) -> list[dict[str, str]]:
    return [
        {"series": f'model_quality{{model="m",role="{role}",metric="{metric}"}}', "values": f"{value}x40"},
        {"series": f'model_labels_total{{model="m",role="{role}"}}', "values": f"0+{labels}x40"},
    ]


def gauge(role: str, name: str, value: float) -> list[dict[str, str]]:
    return [{"series": f'model_{name}{{model="m",role="{role}"}}', "values": f"{value}x40"}]


def fires(folder: Path, rule: str, series: list[dict[str, str]], at: str, watched: Watched = CANARY, **of: Any) -> bool:
    """Whether Prometheus would have the rule's alert firing at a time; promtool is asked both ways, and must agree."""
    every = [monitor(rule, **of)]
    text = alert_rules("m", every, watched)
    (folder / "alerts.yml").write_text(text, encoding="utf-8")
    alert = read(text)["groups"][0]["rules"][-1]
    query = f'ALERTS{{alertname="{alert["alert"]}", alertstate="firing"}}'
    case = {
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": [{"expr": f"count({query}) or vector(0)", "eval_time": at, "exp_samples": []}],
    }
    answers = []
    for number in (0, 1):
        case["promql_expr_test"][0]["exp_samples"] = [{"labels": "{}", "value": number}]  # type: ignore[index]
        test = {"rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": [case]}
        (folder / "test.yml").write_text(json.dumps(test), encoding="utf-8")
        words = [program("promtool"), "test", "rules", "test.yml"]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
        answers.append(done.returncode == 0)
    assert answers.count(True) == 1, done.stdout + done.stderr
    return answers[1]


STABLE = counters("stable", 600, 6)
"""1 % of errors."""
RIGHT = quality("stable", "accuracy", 0.9)


@pytest.mark.parametrize(
    ("rule", "series", "wanted"),
    [
        ("error_rate <= stable + 2%", [*STABLE, *counters("candidate", 600, 30)], True),
        ("error_rate <= stable + 2%", [*STABLE, *counters("candidate", 600, 12)], False),
        ("error_rate <= stable + 2%", [*STABLE, *counters("candidate", 600, 30, model="other")], False),
        ("error_rate <= stable * 2", [*STABLE, *counters("candidate", 600, 15)], True),
        ("error_rate <= 3%", counters("candidate", 600, 30), True),
        ("error_rate <= 3%", counters("candidate", 600, 30)[1:], True),
        ("error_rate <= 3%", counters("candidate", 600, 0)[:1], False),
        ("success_rate >= 97%", counters("candidate", 600, 30), True),
        ("success_rate >= 97%", counters("candidate", 600, 6)[:1], False),
        ("error_rate <= 3%", counters("candidate", 15, 14), False),  # 75 answers in the window: too few to judge by
        ("p95 <= stable * 1.5", [*latency("stable", 600, 0), *latency("candidate", 600, 60), *STABLE,
                                 *counters("candidate", 600, 6)], True),
        ("p95 <= stable * 1.5", [*latency("stable", 600, 60), *latency("candidate", 600, 60), *STABLE,
                                 *counters("candidate", 600, 6)], False),
        ("p95 <= 200ms", [*latency("candidate", 600, 60), *counters("candidate", 600, 0)], True),
        ("mean <= 40ms", [*latency("candidate", 600, 0), *counters("candidate", 600, 0)], True),
        ("mean <= 60ms", [*latency("candidate", 600, 0), *counters("candidate", 600, 0)], False),
        ("accuracy >= stable - 5%", [*RIGHT, *quality("candidate", "accuracy", 0.84)], True),
        ("accuracy >= stable - 5%", [*RIGHT, *quality("candidate", "accuracy", 0.86)], False),
        ("accuracy >= 85%", quality("candidate", "accuracy", 0.5, labels=10), False),
        ("queue_length <= 50", gauge("candidate", "queue_length", 60), True),
        ("queue_length <= 50", gauge("candidate", "queue_length", 40), False),
        ("queue_length <= 50 and replicas_ready >= 2", gauge("candidate", "queue_length", 60), True),
        ("queue_length <= 50 or replicas_ready >= 2",
         [*gauge("candidate", "queue_length", 60), *gauge("candidate", "replicas_ready", 2)], False),
        ("not (queue_length > 50 and replicas_ready < 2)",
         [*gauge("candidate", "queue_length", 60), *gauge("candidate", "replicas_ready", 1)], True),
        ("rate >= 20/s", counters("candidate", 600, 6), True),
        ("requests >= 2000", counters("candidate", 600, 6), False),
        ("requests >= 4000", counters("candidate", 600, 6), True),
    ],
)  # fmt: skip
def test_an_alert_fires_exactly_where_its_rule_does_not_hold(
    tmp_path: Path, rule: str, series: list[dict[str, str]], wanted: bool
) -> None:
    assert fires(tmp_path, rule, series, "30m") is wanted


@pytest.mark.parametrize(("limit", "at", "wanted"), [(0, "10m", True), (3, "12m", False), (3, "13m", True)])
def test_it_fires_on_one_failed_look_more_than_the_limit(tmp_path: Path, limit: int, at: str, wanted: bool) -> None:
    jump = [{"series": 'model_queue_length{model="m",role="candidate"}', "values": "0x9 60x30"}]  # 60 from 10m on
    assert fires(tmp_path, "queue_length <= 50", jump, at, failure_limit=limit) is wanted


def test_after_a_promotion_what_stable_showed_last_stands_for_it(tmp_path: Path) -> None:
    series = counters("stable", 600, 24)  # 4 %
    known = Watched(baselines={"error_rate": 0.01})
    assert fires(tmp_path, "error_rate <= stable + 2%", series, "30m", known)
    assert not fires(tmp_path, "error_rate <= stable + 4%", series, "30m", known)
    unknown = [*series, *counters("previous", 600, 6)]
    assert fires(tmp_path, "error_rate <= stable + 2%", unknown, "30m", Watched())
    assert not fires(tmp_path, "error_rate <= stable + 2%", series, "30m", Watched())  # nothing to compare with


NUMBERS = st.integers(0, 100)
OPS = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
GAUGES = st.sampled_from(["queue_length", "replicas_ready"])
LEAVES = st.tuples(GAUGES, OPS, NUMBERS).map(lambda leaf: " ".join(map(str, leaf)))
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(lambda text: f"not ({text})"),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda p: f"({p[0]}) {p[1]} ({p[2]})"),
    ),
    max_leaves=5,
)


def test_any_condition_means_to_prometheus_what_it_means_here(tmp_path_factory: pytest.TempPathFactory) -> None:
    program("promtool")
    folder = tmp_path_factory.mktemp("rules")

    @settings(max_examples=25, deadline=None)
    @given(CONDITIONS, NUMBERS, NUMBERS)
    def holds(text: str, queue: int, ready: int) -> None:
        figures = {"queue_length": float(queue), "replicas_ready": float(ready)}
        series = [line for name, value in figures.items() for line in gauge("candidate", name, value)]
        here = evaluate(parse(text).condition, lambda metric, _: figures[metric]).holds
        assert fires(folder, text, series, "30m") is (not here)

    holds()


def test_who_is_watched_follows_from_the_endpoints() -> None:
    setup = MonitoringSetup(SEED)
    assert f'role="{Role.CANDIDATE}"' in setup.configure(model="m", endpoints=BOTH).alerts
    alone = setup.configure(model="m", endpoints=["http://h:1"]).alerts
    assert 'role="stable"' in alone
    assert 'role="candidate"' not in alone


def test_the_documents_example_is_read_by_prometheus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "lifecycle.md").read_text(encoding="utf-8")
    code = page.partition("```python\n")[2].partition("```")[0]
    found: dict[str, Any] = {}
    exec(compile(code, "lifecycle.md", "exec"), found)
    assert "10.0.0.2:8080" in capsys.readouterr().out
    assert "SUCCESS" in promtool(written(tmp_path, found["made"]), "check", "config", SCRAPE_FILE)
