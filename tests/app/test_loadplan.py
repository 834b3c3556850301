"""From what is asked for to a plan: every flag, and every mistake with its remedy."""

import json
import urllib.request

import numpy as np
import pytest

from harness import arrivals
from harness.app.loadpace import CEILING_PER_S, stages_of
from harness.app.loadplan import check_workers, prepare, statuses_of
from harness.app.loadwanted import Wanted
from harness.domain.load import ClosedLoop, OpenLoop, Order
from harness.domain.traffic import Process, Trace
from harness.domain.units import MILLISECOND, SECOND
from harness.errors import BackendError, InputError
from harness.seeds import stream
from harness.serving.fake import stand_in
from tests import faulty_servers as faulty

URL = "http://127.0.0.1:8080"


@pytest.fixture
def row(tmp_path):
    file = tmp_path / "row.json"
    file.write_text('{"tenure": 3}')
    return str(file)


def wanted(row, **how):
    return Wanted(**({"urls": (URL,), "rate": "50/s", "payload": row} | how))


def plan(row, **how):
    return prepare(wanted(row, **how)).plan


def test_an_open_loop_s_plan(row):
    made = plan(row, rate="120/m", duration="10s", warmup="2s", slos=("p99 < 250ms",), min_grade="B", timeout="750ms")
    assert isinstance(made.pace, OpenLoop)
    assert (made.pace.rate_per_s, made.pace.traffic.process) == (2.0, Process.POISSON)
    assert (made.duration_ns, made.warmup_ns, made.limits.timeout_ns) == (10 * SECOND, 2 * SECOND, 750 * MILLISECOND)
    assert [rule.text for rule in made.slos] == ["p99 < 250ms"]
    assert made.payload.bodies == (b'{"tenure":3}',)
    assert made.targets[0].url == f"{URL}/predict"


def test_a_closed_loop_s_plan(row):
    made = plan(row, rate=None, users=64, think="exponential:2s")
    assert made.pace == ClosedLoop(64, 2 * SECOND, exponential=True)
    assert made.duration_ns == 30 * SECOND


def test_stages_last_as_long_as_they_say(row):
    made = plan(row, rate=None, stages="0s:10/s,30s:500/s,1m:0/s", warmup="5s")
    assert (made.warmup_ns, made.duration_ns) == (5 * SECOND, 55 * SECOND)
    expected = arrivals.of(made.pace.traffic).curve.expected([30 * SECOND, 60 * SECOND])
    assert expected.tolist() == pytest.approx([255 * 30, 255 * 30 + 250 * 30])


def test_gamma_arrivals_come_in_bunches(row):
    made = plan(row, rate="1000/s", arrivals="gamma:3", duration="60s")
    times = arrivals.of(made.pace.traffic).times(0, 60 * SECOND, stream(1, "load/arrivals"))
    gaps = np.diff(times)
    assert gaps.std() / gaps.mean() == pytest.approx(3.0, rel=0.1)


def test_a_recording_is_replayed_for_as_long_as_it_lasts(row, tmp_path):
    recording = tmp_path / "arrivals.csv"
    recording.write_text("timestamp\n" + "\n".join(f"2026-01-01T00:00:{second:02d}.5" for second in range(20)))
    made = plan(row, rate=None, arrivals=f"trace:{recording}")
    assert isinstance(made.pace.traffic.curve, Trace)
    assert made.duration_ns == pytest.approx(20 * SECOND, rel=0.1)
    fitted = plan(row, rate="100/s", arrivals=f"trace:{recording}")
    assert fitted.pace.traffic.curve.rate == 100.0


def test_without_a_payload_one_is_made_of_what_the_endpoint_says():
    with stand_in({}) as url:
        made = prepare(Wanted(urls=(url,), rate="1/s", wait_ready="5s")).plan
        other = prepare(Wanted(urls=(url,), rate="1/s", protocol="v2", model="fake")).plan
    assert isinstance(json.loads(made.payload.bodies[0]), dict)
    assert "openapi.json" in made.payload.source
    assert b'"inputs"' in other.payload.bodies[0]
    assert other.targets[0].url == f"{url}/v2/models/fake/infer"


def test_rows_in_turn_and_without_a_column(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("a,b,label\n1,x,0\n2,y,1\n")
    made = plan(str(file), drop=("label",), order=Order.IN_TURN)
    assert [json.loads(body) for body in made.payload.bodies] == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


def test_golden_predictions_and_schemas_are_read(row, tmp_path):
    (tmp_path / "golden.jsonl").write_text('{"prediction": "yes"}\n')
    (tmp_path / "schema.json").write_text('{"type": "object"}')
    made = plan(row, golden=str(tmp_path / "golden.jsonl"), schema=str(tmp_path / "schema.json"), statuses="200,202")
    assert made.checks.golden == ('"yes"',)
    assert made.checks.statuses == {200, 202}
    assert json.loads(made.checks.schema) == {"type": "object"}


def test_a_token_is_a_header_and_a_secret(row, monkeypatch):
    monkeypatch.setenv("MODEL_TOKEN", "s3cret-token")
    made = prepare(wanted(row, token_env="MODEL_TOKEN", headers=("X-Team: churn",)))
    assert ("Authorization", "Bearer s3cret-token") in made.plan.transport.headers
    assert "Bearer s3cret-token" in made.secrets


def test_readiness_is_waited_for(row):
    with faulty.refused() as port, pytest.raises(BackendError, match=r"--wait-ready 300ms: .*right protocol"):
        prepare(Wanted(urls=(f"http://127.0.0.1:{port}",), rate="1/s", payload=row, wait_ready="300ms"))
    with stand_in({"readiness": "never"}) as url, pytest.raises(BackendError, match="/ready answered 503"):
        prepare(Wanted(urls=(url,), rate="1/s", payload=row, wait_ready="300ms"))


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"rate": None}, "say how often to ask: --rate 500/s"),
        ({"rate": "50"}, "--rate is '50'; a rate is a number per s, m or h"),
        ({"rate": "0/s"}, "a rate must be above 0/s"),
        ({"users": 3}, "--users is a closed loop and --rate"),
        (
            {"rate": None, "users": 3, "think": "uniform:2s"},
            "--think is uniform:2s; it is a duration, or exponential:MEAN",
        ),
        ({"arrivals": "gamma"}, "gamma takes its gaps' variation"),
        ({"arrivals": "bursts"}, "--arrivals is bursts; it is constant, poisson, gamma:CV"),
        ({"arrivals": "trace:"}, "--arrivals trace:FILE replays a recording"),
        ({"arrivals": "trace:nothing.csv"}, "nothing.csv"),
        ({"duration": "10"}, "--duration is '10'; a duration has a unit: write 10s"),
        ({"duration": "0s"}, "it must be longer than nothing"),
        ({"timeout": "soon"}, "--timeout is 'soon'"),
        ({"slos": ("p98 < 1s",)}, "--slo 'p98 < 1s', column 1: no metric is called p98; nearest: p99"),
        ({"slos": ("accuracy > 90%",)}, "accuracy is not measured by a load test"),
        ({"slos": ("ttfb_p99 < 1s",)}, "add --stream"),
        ({"slos": ("p99 < stable",)}, "has no stable to compare with"),
        ({"abort_when": ("error_rate",)}, "--abort-when 'error_rate'"),
        ({"max_connections": 0}, "--max-connections is 0; it is at least 1"),
        ({"weights": (1.0, 2.0)}, "--weights has 2 parts for 1 URLs"),
        ({"compressed": True}, "--compressed is what the fast client leaves out; add --client aiohttp"),
        ({"statuses": "20"}, "--status: '20' is no status"),
        ({"payload": "nothing.json"}, "nothing.json"),
        ({"headers": ("Host: x",)}, "Host"),
        ({"token_env": "NO_SUCH_VARIABLE"}, "NO_SUCH_VARIABLE"),
        ({"conditions": ("confidence >",)}, "confidence >"),
        (
            {"method": "GET /other HTTP/1.1\r\nX-Y:"},
            "--method is 'GET /other HTTP/1.1\\r\\nX-Y:'; it is a word of letters",
        ),
        ({"method": ""}, "--method is ''"),
        ({"method": "connect"}, "CONNECT opens a tunnel"),
        ({"urls": ("127.0.0.1:8080",)}, "127.0.0.1:8080 has no scheme; write http://127.0.0.1:8080, or https"),
        (
            {"urls": ("localhost/predict?key=s3cret",)},
            "localhost/predict has no scheme; write http://localhost/predict,",
        ),
        ({"client": "aiohttp", "proxy": "127.0.0.1:3128"}, "--proxy: a proxy is http://"),
        ({"client": "aiohttp", "proxy": "me:pw@127.0.0.1:3128"}, "--proxy: a proxy is http://"),
        ({"client": "aiohttp", "proxy": "http://127.0.0.1:0"}, "--proxy: http://127.0.0.1:0: the port is missing or 0"),
    ],
)
def test_a_mistake_is_told_with_its_remedy(row, how, told):
    with pytest.raises(InputError) as raised:
        plan(row, **how)
    assert told in str(raised.value)


def test_a_url_s_password_is_refused_and_never_shown(row):
    with pytest.raises(InputError) as raised:
        prepare(Wanted(urls=("http://me:s3cret@127.0.0.1:1",), rate="1/s", payload=row))
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("method", ["get", "HEAD", "PURGE"])
def test_methods_are_words_of_letters(row, method):
    assert plan(row, method=method).transport.method == method.upper()


def test_no_more_generators_than_four_for_each_core(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)
    check_workers(8, "local", None)
    check_workers(64, "dask", "tcp://far:8786")
    for engine in ("local", "dask"):
        with pytest.raises(
            InputError, match=r"--workers is 9; on this machine of 2 cores it is at most 8.*--scheduler"
        ):
            check_workers(9, engine, None)


class Proxy(faulty.Server):
    """As a proxy before an endpoint: it is asked by whole URLs."""

    def __init__(self, document):
        super().__init__()
        self.document = document

    async def reply(self, connection, request):
        described = request.target.endswith("/openapi.json")
        await connection.send(faulty.answer("200 OK", self.document if described else faulty.BODY))


def test_readiness_and_the_description_are_asked_for_through_the_proxy():
    """The target itself listens nowhere: only the proxy answers."""
    with stand_in({}) as url, urllib.request.urlopen(f"{url}/openapi.json") as answer:
        server = Proxy(answer.read())
    with faulty.refused() as nowhere, faulty.in_thread(server) as port:
        target = f"http://127.0.0.1:{nowhere}"
        through = {"client": "aiohttp", "proxy": f"http://127.0.0.1:{port}"}
        made = prepare(Wanted(urls=(target,), rate="1/s", wait_ready="5s", **through)).plan
    assert made.payload.source.startswith("made of")
    assert [request.target for request in server.requests] == [f"{target}/ready", f"{target}/openapi.json"]


def test_a_proxy_s_password_is_a_secret(row):
    made = prepare(wanted(row, client="aiohttp", proxy="http://me:s3cret@127.0.0.1:3128"))
    assert {"me:s3cret", "s3cret"} <= set(made.secrets)


# --- targets that are not on this machine -----------------------------------------------------------------------------

FAR = "http://192.0.2.1:8080"


def far(row, **how):
    return prepare(Wanted(urls=(FAR,), payload=row, **({"rate": "50/s", "yes": True} | how))).plan


def test_consent_is_needed(row):
    with pytest.raises(InputError, match="--yes"):
        far(row, yes=False)
    assert far(row).targets[0].url == f"{FAR}/predict"
    assert far(row, yes=False, allow_targets=("192.0.2.1:8080",))


def test_consent_is_needed_for_a_proxy_too(row):
    how = {"client": "aiohttp", "proxy": "http://192.0.2.1:3128"}
    with pytest.raises(InputError, match=r"--proxy: http://192\.0\.2\.1:3128 is not on this machine.*--yes"):
        plan(row, **how)
    assert plan(row, yes=True, **how)
    # What it leads to may be anywhere, even where the target's name means this machine.
    with pytest.raises(InputError, match="at most 100/s"):
        plan(row, yes=True, **how | {"rate": "500/s"})


@pytest.mark.parametrize(
    "how",
    [
        {"rate": "101/s"},
        {"rate": None, "stages": "0s:10/s,10s:300/s"},
        {"rate": None, "users": 5},
        {"rate": None, "users": 500, "think": "1s"},
    ],
)
def test_a_ceiling_holds_until_it_is_raised(row, how):
    with pytest.raises(InputError, match=f"at most {CEILING_PER_S:g}/s.*--max-rate"):
        far(row, **how)
    assert far(row, max_rate="none", **how)


def test_the_ceiling_is_raised_to_a_rate(row):
    assert far(row, rate="300/s", max_rate="300/s")
    with pytest.raises(InputError, match="at most 200/s, and this test asks up to 300/s"):
        far(row, rate="300/s", max_rate="200/s")


@pytest.mark.parametrize("text", ["5s:10/s", "0s:10/s,5s", "0s:10/s", "0s:1/s,9s:2/s,3s:1/s", "0s:x,3s:1/s", "", ","])
def test_stages_that_are_none(text):
    with pytest.raises(InputError, match="--stages"):
        stages_of(text)


def test_statuses():
    assert statuses_of(" 200 - 201, 404".replace(" - ", "-")) == {200, 201, 404}
    for text in ("", "199", "600", "300-200", "ok"):
        with pytest.raises(InputError, match="--status"):
            statuses_of(text)
