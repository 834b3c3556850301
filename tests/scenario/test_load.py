"""A right scenario file becomes the values it stands for."""

import math
import time

import pytest

from harness import scenario
from harness.domain import fault
from harness.domain.analysis import NoData
from harness.domain.model import ARMS, ArtifactPlan, DataPlan, RegisteredPlan, Role, TrainPlan
from harness.domain.rollout import Pause, SetWeight
from harness.domain.scenario import Backends, Clock
from harness.domain.service import Balancing, Exponential, Fixed, Lognormal, Profile, Service
from harness.domain.traffic import Knots, Labels, Process, Traffic, Wave
from harness.domain.units import HOUR, MINUTE, SECOND
from harness.errors import ScenarioError

BOTH = frozenset(ARMS)
LEAST = """\
harness: 1
name: least
model: {name: churn, stable: {registered: stable}, candidate: {artifact: model.skops}}
traffic: {constant: 5/s}
rollout: {strategy: canary, steps: [{weight: 100%}]}
"""


def test_the_whole_of_a_scenario(load, valid, folder):
    read = load(valid)
    assert (read.name, read.seed, read.clock, read.horizon_ns) == ("canary-regression", 7, Clock.VIRTUAL, 4 * HOUR)
    assert read.description == "Slower and wronger under drift."
    assert read.model.name == "churn"
    assert read.model.data == DataPlan(
        str(folder / "data" / "churn.csv"), "churn", "Yes", str(folder / "data" / "schema.yaml"), 0.25
    )
    assert read.model.stable == TrainPlan("logistic_regression", {"C": 1.0})
    assert read.model.candidate == TrainPlan("random_forest", {"n_estimators": 100}, 20 * MINUTE)
    assert [gate.text for gate in read.model.gates] == ["f1 >= 0.55", "accuracy >= stable - 1%"]
    assert read.backends == Backends()
    assert read.service == {role: Service() for role in ARMS}
    assert read.traffic == Traffic("poisson", Process.POISSON, Knots((0,), (100.0,)))
    assert read.labels == Labels(15 * MINUTE, 0.3)
    assert read.rollout.strategy == "canary"
    assert read.rollout.steps == (SetWeight(1000), Pause(30 * MINUTE), SetWeight(5000), Pause(30 * MINUTE))
    assert read.rollout.ready_within_ns == 10 * MINUTE
    analysis = read.rollout.analysis
    assert (analysis.every_ns, analysis.window_ns, analysis.min_requests) == (MINUTE, MINUTE, 200)
    assert (analysis.failure_limit, analysis.error_limit, analysis.no_data) == (2, 4, NoData.HOLD)
    assert len(analysis.rules) == 3
    assert read.faults == (
        fault.Fault(
            "at: 10m, on: candidate, latency: x1.8, ramp: 5m",
            frozenset({Role.CANDIDATE}),
            fault.LatencyFactor(1.8),
            10 * MINUTE,
            5 * MINUTE,
        ),
        fault.Fault(
            "at: 10m, on: all, drift: {column: charges, shift: 1.5sd}", BOTH, fault.Shift("charges", 1.5), 10 * MINUTE
        ),
    )
    assert [rule.text for rule in read.expect] == ["outcome == rolled_back", "detected_after < 45m"]
    assert (read.path, read.text, read.overrides) == (str(folder / "canary.yaml"), valid, ())


def test_the_least_of_a_scenario(load, folder):
    read = load(LEAST)
    assert (read.seed, read.clock, read.horizon_ns, read.description) == (0, Clock.VIRTUAL, 4 * HOUR, "")
    assert read.model.data is None
    assert read.model.stable == RegisteredPlan("stable")
    assert read.model.candidate == ArtifactPlan(str(folder / "model.skops"))
    assert (read.labels, read.rollout.analysis, read.faults, read.expect) == (None, None, (), ())
    assert read.traffic == Traffic("constant", Process.CONSTANT, Knots((0,), (5.0,)))


def test_a_file_is_named_as_the_user_named_it(folder, valid, catalog, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "canary.yaml").write_bytes(b"\xef\xbb\xbf" + valid.replace("\n", "\r\n").encode())
    read = scenario.load("canary.yaml", catalog)
    assert read.path == "canary.yaml"
    assert read.text == valid.replace("\n", "\r\n")
    assert read.model.data.source == str(folder / "data" / "churn.csv")


@pytest.mark.parametrize(
    ("written", "curve"),
    [
        ("poisson: 12000/m", Knots((0,), (200.0,))),
        ("ramp: {from: 0/s, to: 3600/h, over: 30m}", Knots((0, 30 * MINUTE), (0.0, 1.0))),
        (
            "steps: [{at: 0s, rate: 1/s}, {at: 10s, rate: 5/s}, {at: 20s, rate: 0/s}]",
            Knots((0, 10 * SECOND, 10 * SECOND, 20 * SECOND, 20 * SECOND), (1, 1, 5, 5, 0)),
        ),
        ("daily: {low: 20/s, high: 200/s}", Wave(20, 200, 24 * HOUR, -5 * HOUR)),
        (
            "daily: {low: 20/s, high: 200/s, peak_at: 1h, period: 12h, start_at: 3h}",
            Wave(20, 200, 12 * HOUR, 2 * HOUR),
        ),
        (
            "bursts: {base: 50/s, burst: 400/s, every: 10m, length: 30s}",
            Knots((0, 570 * SECOND, 570 * SECOND, 600 * SECOND), (50, 50, 400, 400), 600 * SECOND),
        ),
    ],
)
def test_every_kind_of_traffic(written, curve, load):
    read = load(LEAST.replace("constant: 5/s", written)).traffic
    assert (read.kind, read.process, read.curve) == (written.partition(":")[0], Process.POISSON, curve)


def test_gamma_traffic_has_the_variation_of_its_gaps(load):
    read = load(LEAST.replace("constant: 5/s", "gamma: {rate: 90/s, cv: 2}")).traffic
    assert (read.kind, read.process, read.curve) == ("gamma", Process.GAMMA, Knots((0,), (90.0,)))
    assert read.variation == 2


def test_a_daily_curve_is_highest_at_its_peak(load):
    wave = load(
        LEAST.replace("constant: 5/s", "daily: {low: 20/s, high: 200/s, peak_at: 14h, start_at: 9h}")
    ).traffic.curve
    at_peak = 5 * HOUR
    assert math.cos(2 * math.pi * (at_peak + wave.phase_ns) / wave.period_ns) == 1


def test_servers_may_differ_by_arm(load):
    stable = "{balancing: round_robin, service_time: {exponential: {mean: 40ms}}, restart: 1s, timeout: 2s, queue: 0}"
    candidate = "{slots: 1, replicas: 2, service_time: {constant: 35ms}}"
    read = load(f"{LEAST}service: {{slots: 2, startup: 0s, stable: {stable}, candidate: {candidate}}}\n")
    assert read.service == {
        Role.STABLE: Service(
            slots=2,
            startup_ns=0,
            balancing=Balancing.ROUND_ROBIN,
            service_time=Exponential(0.04),
            restart_ns=SECOND,
            timeout_ns=2 * SECOND,
            queue=0,
        ),
        Role.CANDIDATE: Service(replicas=2, slots=1, startup_ns=0, service_time=Fixed(0.035)),
    }
    assert load(
        LEAST + "service: {service_time: {lognormal: {median: 10ms, p99: 20ms}}, candidate: {replicas: 1}}"
    ).service == {
        Role.STABLE: Service(service_time=Lognormal(0.01, 0.02)),
        Role.CANDIDATE: Service(replicas=1, service_time=Lognormal(0.01, 0.02)),
    }


def test_service_times_as_a_load_test_measured_them(load, tmp_path):
    rows = "[[0, 0.001], [0.5, 0.004], [0.99, 0.02], [1, 0.3]]"
    (tmp_path / "service.yaml").write_text(f"harness_profile: 1\ncount: 99\nquantiles: {rows}\n", encoding="utf-8")
    read = load(LEAST + "service: {service_time: {profile: service.yaml}}\n")
    assert read.service[Role.STABLE].service_time == Profile(((0.0, 0.001), (0.5, 0.004), (0.99, 0.02), (1.0, 0.3)))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("quantiles: []", "no profile, which has the key harness_profile"),
        ("harness_profile: 2", "a profile of version 2; this program reads version 1"),
        ("harness_profile: 1", "its quantiles are a list of 2 to 10,000 pairs"),
        ("{harness_profile: 1, quantiles: [[0, 0.1], [1]]}", r"its quantiles\[1\] is \[1\]; it is a pair of numbers"),
        ("{harness_profile: 1, quantiles: [[0, 0.1], [2, 3]]}", "a share is from 0 to 1"),
        ("{harness_profile: 1, quantiles: [[0, 0.1], [0.5, 3]]}", "from share 0 to share 1, not from 0 to 0.5"),
        ("{harness_profile: 1, quantiles: [[0, 0.2], [1, 0.1]]}", "neither may fall"),
        ("{harness_profile: 1, quantiles: [[0, .nan], [1, 0.1]]}", "a pair of numbers"),
        ("harness_profile: [", "cannot be read"),
    ],
)
def test_a_profile_that_is_none_is_told_at_its_key(load, tmp_path, text, told):
    (tmp_path / "service.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError, match=told) as wrong:
        load(LEAST + "service: {service_time: {profile: service.yaml}}\n")
    assert "service.service_time.profile is service.yaml" in str(wrong.value)


@pytest.mark.parametrize(
    ("written", "on", "effect", "until_m"),
    [
        ("on: stable, latency: +50ms", {Role.STABLE}, fault.LatencyAdd(0.05), None),
        ("on: all, errors: 5%, until: 10m", BOTH, fault.Errors(0.05), 10),
        ("on: candidate, crash: 2", {Role.CANDIDATE}, fault.Crash(2), None),
        ("drift: {column: charges, scale: x1.2}", BOTH, fault.Scale("charges", 1.2), None),
        ("drift: {column: plan, swap: [DSL, 1]}", BOTH, fault.Swap("plan", "DSL", "1"), None),
        ("on: stable, drift: {column: plan, missing: 20%}", {Role.STABLE}, fault.Missing("plan", 0.2), None),
        ("drift: {column: age, shift: -2sd}", BOTH, fault.Shift("age", -2), None),
        ("label_drift: 10%", BOTH, fault.LabelDrift(0.1), None),
        ("on: candidate, training: {stale: 30%}", {Role.CANDIDATE}, fault.StaleTraining(0.3), None),
        ("on: all, training: {corrupt: 1.0}", BOTH, fault.CorruptTraining(1.0), None),
    ],
)
def test_every_kind_of_fault(written, on, effect, until_m, load, valid):
    start = valid.index("inject:")
    read = load(valid[:start] + f"inject: [{{{written}}}]\n").faults
    assert read == (fault.Fault(written, frozenset(on), effect, until_ns=until_m and until_m * MINUTE),)


def test_anchors_and_merges_work(load):
    read = load(
        LEAST.replace("{registered: stable}", "&brought {registered: stable, duration: 1m}")
        .replace("{artifact: model.skops}", "{<<: *brought, duration: 2m}")
        .replace("canary", "!!str canary")
    )
    assert read.model.candidate == RegisteredPlan("stable", 2 * MINUTE)


def test_yaml_is_of_version_1_2(load):
    read = load(LEAST.replace("name: least", "name: on\ndescription: 12:30:45\nseed: 0o17"))
    assert (read.name, read.description, read.seed) == ("on", "12:30:45", 15)


@pytest.mark.parametrize("share", ["10%", "0.1", "10.00%", "1e-1"])
def test_a_share_is_a_percentage_or_a_number(share, load):
    assert load(LEAST.replace("weight: 100%", f"weight: {share}")).rollout.steps == (SetWeight(1000),)


def test_loading_is_quick(load, valid):
    load(valid)
    began = time.process_time()
    for _ in range(10):
        load(valid)
    assert (time.process_time() - began) / 10 < 0.06
