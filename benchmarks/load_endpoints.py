"""Full load tests of endpoints that nobody here wrote: nginx, `mlflow models serve`, and mlserver (v2).

    python benchmarks/load_endpoints.py [--quick] [--rate 50] [--seconds 20] [--mlserver FOLDER] [--report DIR]

- nginx (Debian's), asked by its URL as it stands;
- `mlflow models serve` of this environment (the mlflow extra), with a model that was trained on the shipped churn data
  and saved by MLflow, asked with rows of that data that it was not trained on;
- mlserver with mlserver-sklearn in an environment of its own (made at the first run; network), with a pipeline of
  scikit-learn's that was trained there on the same data, asked in the Open Inference Protocol: once with those rows and
  once with what `harness load` makes of the model's own metadata.

The summary that a user reads is printed; pages and logs stay below the folder of reports. Claims: every run ends with a
page, no request failed, each is graded or says why not, and the sums of requests hold.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import serve
from load_kit import (
    CORES,
    ROOT,
    Missing,
    about_cores,
    body_of,
    environment,
    finish,
    free_port,
    goal,
    nginx,
    options,
    run,
)
from load_kit import served as running

TRAIN = """\
import sys
import joblib, pandas
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

rows = pandas.read_csv(sys.argv[1]).iloc[:5000]
numbers, words = ["tenure", "MonthlyCharges"], ["Contract", "InternetService", "PaymentMethod"]
columns = make_column_transformer((StandardScaler(), numbers), (OneHotEncoder(handle_unknown="ignore"), words))
model = make_pipeline(columns, LogisticRegression(max_iter=1000)).fit(rows[numbers + words], rows["Churn"] == "Yes")
joblib.dump(model, sys.argv[2])
rows = pandas.read_csv(sys.argv[1]).iloc[5000:5200]
rows[numbers + words].to_csv(sys.argv[3], index=False)
"""
INPUTS = {"tenure": "INT64", "MonthlyCharges": "FP64", "Contract": "BYTES", "InternetService": "BYTES",
          "PaymentMethod": "BYTES"}  # fmt: skip


@contextmanager
def mlflow_models_serve(place: Path) -> Iterator[tuple[str, Path]]:
    """Its URL, and rows for it."""
    model, _, rows = serve.saved(place, "logistic_regression")
    file = place / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with serve.theirs(model, place / "mlflow.log") as url:
        yield url, file


@contextmanager
def mlserver(place: Path, python: Path) -> Iterator[tuple[str, Path]]:
    """Its URL, and rows for it."""
    folder = place / "mlserver" / "churn"
    folder.mkdir(parents=True)
    script, rows = place / "train.py", place / "rows.csv"
    script.write_text(TRAIN, encoding="utf-8")
    data = ROOT / "scenarios" / "data" / "telco_churn.csv.gz"
    trained = run([python, script, data, folder / "model.joblib", rows], cores=CORES, env={"PYTHONPATH": ""})
    if trained.code:
        raise Missing(f"the model for mlserver could not be trained: {trained.err[-1500:]}")
    inputs = [{"name": name, "datatype": kind, "shape": [-1]} for name, kind in INPUTS.items()]
    ports = {name: free_port() for name in ("http_port", "grpc_port", "metrics_port")}
    settings = {"name": "churn", "implementation": "mlserver_sklearn.SKLearnModel", "inputs": inputs,
                "parameters": {"uri": "./model.joblib", "version": "1", "content_type": "pd"}}  # fmt: skip
    (folder / "model-settings.json").write_text(json.dumps(settings), encoding="utf-8")
    # Its worker processes (1.7) want a loop that newer uvloops do not make for them; without, it predicts by itself.
    server = {"host": "127.0.0.1", "parallel_workers": 0, **ports}
    (folder.parent / "settings.json").write_text(json.dumps(server), encoding="utf-8")
    url = f"http://127.0.0.1:{ports['http_port']}"
    programs = {"PYTHONPATH": "", "PATH": f"{python.parent}:/usr/bin:/bin"}
    command = [python.parent / "mlserver", "start", folder.parent]
    with running(command, f"{url}/v2/models/churn/ready", cores=CORES, cwd=folder.parent, env=programs):
        yield url, rows


def tested(name: str, url: str, reports: Path, place: Path, *flags: str) -> dict[str, Any]:
    """One load test as a user runs it; what they read is printed."""
    file = place / "told.json"
    command = [sys.executable, "-m", "harness", "load", url, "--report", reports, "--json", file, "--warmup", "2s"]
    ended = run([*command, "--slo", "p95 < 200ms", "--wait-ready", "60s", *flags], cores=CORES, cwd=place)
    print(f"\n=== {name}\n{ended.out.strip()}\n{ended.err.strip()}", flush=True)
    if ended.code not in {0, 1}:
        return {"name": name, "code": ended.code, "error": ended.err[-2000:]}
    return {"name": name, "code": ended.code, **json.loads(file.read_text(encoding="utf-8"))}


def in_order(told: dict[str, Any]) -> bool:
    """A page, no failures, a grade or a reason for none, and sums that hold."""
    if "error" in told:
        return False
    sums = told["scheduled"] == told["sent"] + told["not_sent"]
    sums &= told["sent"] == told["succeeded"] + told["failed"] + told["in_flight_at_stop"]
    return bool(sums and told["failed"] == 0 and (told["grade"] or told["spoiled"]) and Path(told["report"]).is_file())


def main() -> None:
    parser = options(
        __doc__,
        rate={"type": float, "default": 50.0, "help": "requests a second"},
        seconds={"type": float, "default": 20.0},
        mlserver={"metavar": "FOLDER", "help": "environment that has mlserver and mlserver-sklearn"},
        report={"metavar": "DIR", "type": Path, "default": ROOT / "reports"},
    )
    given = parser.parse_args()
    pace = ["--rate", f"{given.rate:g}/s", "--duration", f"{5.0 if given.quick else given.seconds:g}s"]
    reports = given.report.resolve()
    found, missing = [], {}
    with tempfile.TemporaryDirectory(prefix="load-endpoints-") as folder, ExitStack() as stack:
        place = Path(folder)
        body = place / "body.json"
        body.write_bytes(body_of(100))
        url = stack.enter_context(nginx())
        found.append(tested("nginx", url, reports, place, *pace, "--protocol", "raw", "--payload", str(body)))
        with mlflow_models_serve(place) as (url, rows):
            flags = [
                *pace,
                "--protocol",
                "mlflow",
                "--payload",
                str(rows),
                "--expect",
                'predictions[0] in ["No", "Yes"]',
            ]
            found.append(tested("mlflow models serve", url, reports, place, *flags))
        try:
            home = (
                Path(given.mlserver) if given.mlserver else Path(tempfile.gettempdir()) / "harness-benchmarks-mlserver"
            )
            python = environment(home, "mlserver", "mlserver-sklearn")
            url, rows = stack.enter_context(mlserver(place, python))
        except Missing as error:
            missing["mlserver"] = str(error)
        else:
            v2 = [*pace, "--protocol", "v2", "--model", "churn"]
            found.append(tested("mlserver, rows", url, reports, place, *v2, "--payload", str(rows)))
            found.append(tested("mlserver, what it says of itself", url, reports, place, *v2))
    print(f"\n{about_cores()}")
    for told in found:
        p99 = "-" if "error" in told or told["latency_s"]["p99"] is None else f"{told['latency_s']['p99'] * 1e3:.1f} ms"
        tail = told.get("error") or f"{told['sent']:,} sent, {told['failed']} failed, grade {told['grade']}"
        print(f"{told['name']:<34}p99 {p99:>10}, {tail}; {told.get('report', 'no report')}")
    for name, why in missing.items():
        print(f"{name} is missing: {why}")
    met = goal("endpoints whose report is in order", sum(map(in_order, found)), least=4, form="d")
    finish({"runs": found, "missing": missing}, given.json, met=met)


if __name__ == "__main__":
    main()
