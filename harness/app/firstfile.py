"""The first scenario as a file: every choice stands beside its reason."""

import math
from collections.abc import Iterator
from pathlib import Path

from harness.app.first import DEVIATIONS, SEED, TEST_SHARE, First, loss, relative
from harness.backends.uri import SQLITE, split, whole
from harness.domain.model import Task
from harness.errors import InputError

# With these, the smallest look that matters (a tenth of the traffic, five minutes) has 1,800 labelled answers.
RATE, SHARE, WINDOW, LABELS = "200/s", "30%", "5m", "10m"


def write(first: First, data: Path, output: Path, *, force: bool = False) -> tuple[Path, Path]:
    """Write the scenario, and the schema of its data beside it.

    Args:
        first: what to write.
        data: the data file; both files name it.
        output: the scenario's file.
        force: replace files that exist.

    Returns:
        The scenario and its schema.

    Raises:
        InputError: a file exists already, or cannot be written.
    """
    from harness.data.first import schema_text

    schema = schema_file(output)
    refuse_existing(output, force=force)
    about = (
        f"What {data.name} may hold, inferred from its {first.rows:,} rows with room around them. A run whose\n"
        "data break it is rejected before anything is trained on them: tighten it to what you know to be true.\n"
        "role: feature (default), target, key (names the row; no feature) or ignored."
    )
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        schema.write_text(schema_text(first.schema, about), encoding="utf-8")
        output.write_text(scenario_text(first, data, output), encoding="utf-8")
    except OSError as error:
        raise InputError(f"--output {output}: cannot be written: {error.strerror or error}") from error
    return output, schema


def schema_file(output: Path) -> Path:
    """Where the schema stands that belongs to a scenario."""
    return output.with_name(f"{output.stem}.schema.yaml")


def refuse_existing(output: Path, *, force: bool) -> None:
    """Raise where a file would be replaced unasked."""
    if output.suffix.lower() not in (".yaml", ".yml"):
        raise InputError(f"--output {output}: a scenario's file ends in .yaml")
    if output.is_dir():
        raise InputError(f"--output {output}: this is a folder; name a file in it")
    for path in (output, schema_file(output)):
        if path.exists() and not force:
            raise InputError(f"{path} exists already; name another --output, or say --force to replace it")


def scenario_text(first: First, data: Path, output: Path) -> str:
    """The scenario, commented; paths are relative to its file."""
    parts = [_head(first, data), _model(first, data, output), _backends(first, output), _surroundings(), _policy(first)]
    return "\n".join(line for part in parts for line in part) + "\n"


def _head(first: First, data: Path) -> Iterator[str]:
    size = f"{first.rows:,} rows, {len(first.features)} features"
    yield f"# A first rehearsal on {data.name}, written by `harness init`: {size}."
    yield "# Every value here is yours to change; `harness check` tells what a change breaks."
    yield "harness: 1"
    yield f"name: {first.name}"
    yield f"seed: {SEED}              # of everything random: same seed, same run"
    yield "clock: virtual       # the policy takes an hour, the rehearsal seconds"
    yield "horizon: 4h"
    yield ""


def _model(first: First, data: Path, output: Path) -> Iterator[str]:
    from harness.data.first import quoted

    held = f"on the {first.held:,} held-out rows"
    yield "model:"
    yield f"  name: {first.name}"
    yield f"  # {first.because}."
    yield "  data:"
    yield f"    source: {quoted(relative(data, output.parent))}"
    yield f"    target: {quoted(first.target)}"
    if first.positive is not None:
        yield f"    positive: {quoted(first.positive)}"
    yield f"    schema: {quoted(schema_file(output).name)}"
    yield f"    test_share: {TEST_SHARE:.0%}"
    if first.own:
        yield "  # Your model is the candidate, against a plain baseline. Is it in service? Then swap the two lines."
        yield "  # Rows that it was trained on may be among the held-out ones: its figures here may flatter it."
        if first.pickled:
            yield "  # It is loaded as a pickle, if it is one: run and check this scenario with --trust-pickle."
    else:
        yield "  # The better of two is the candidate. A model of your own: {artifact: model.skops}, by skops.io.dump."
    yield f"  stable:    {{{first.stable.words}}}   # {held}: {_figures(first.stable.metrics)}"
    yield f"  candidate: {{{first.candidate.words}}}   # {_figures(first.candidate.metrics)}"
    yield f"  # Each gate leaves room below what was measured {held}; a model that misses one is never deployed."
    yield "  gates:"
    yield from (f"    - {gate}" for gate in _gates(first))
    yield ""


def _backends(first: First, output: Path) -> Iterator[str]:
    from harness.data.first import quoted

    given = {
        kind: value
        for kind, value in (("registry", first.backends.registry), ("tracker", first.backends.tracker))
        if split(value)[1]
    }
    if not given:
        return
    yield "# Where versions, aliases and training runs are kept. Once a run has promoted your model, the alias `stable`"
    yield "# names it, and the next run rehearses against it."
    yield "backends:"
    for kind, value in given.items():
        word, place = split(value)
        if place.startswith(SQLITE):
            place = SQLITE + relative(Path(place.removeprefix(SQLITE)), output.parent)
        yield f"  {kind}: {quoted(whole(word, place))}"
    yield ""


def _figures(metrics: dict[str, float]) -> str:
    shown = ("accuracy", "f1", "auc", "rmse", "mae", "r2")
    return ", ".join(f"{name} {metrics[name]:.4g}" for name in shown if name in metrics)


def _gates(first: First) -> Iterator[str]:
    ours, theirs = first.candidate.metrics, first.stable.metrics
    if first.task is Task.CLASSIFICATION:
        absolute = next((name for name in ("f1", "auc") if ours.get(name, 0) >= 0.1), "accuracy")
        yield f"{absolute} >= {math.floor(95 * ours[absolute]) / 100:.2f}"
        yield f"accuracy >= stable - {1 + _behind(first)}%"
    else:
        yield f"rmse <= {_above(1.1 * ours['rmse'])}"
        yield f"rmse <= stable * {_upwards(1.05 * max(1.0, _ratio(ours['rmse'], theirs['rmse'])))}"


def _behind(first: First) -> int:
    """Whole points by which the candidate's accuracy is below stable's; 0 where it is not."""
    lead = loss(first.task, first.candidate.metrics) - loss(first.task, first.stable.metrics)
    return max(0, math.ceil(100 * lead))


def _ratio(ours: float, theirs: float) -> float:
    return ours / theirs if theirs else 1.0


def _upwards(value: float) -> str:
    return f"{math.ceil(round(100 * value, 6)) / 100:g}"


def _above(value: float) -> str:
    """A number of two digits that is not below this one.

    >>> _above(0.7123), _above(123456.0), _above(0.0)
    ('0.72', '130000', '0')
    """
    if not value:
        return "0"
    scale = 1 - math.floor(math.log10(value))
    digits = math.ceil(value * 10.0**scale)
    return f"{digits / 10**scale:.{scale}f}" if scale > 0 else str(digits * 10**-scale)


def _surroundings() -> Iterator[str]:
    yield "# The simulated servers of each arm. Put in what yours do: replicas, and the latency that you measured."
    yield "service:"
    yield "  replicas: 4"
    yield "  slots: 4                                                # requests that one replica works on at once"
    yield "  service_time: {lognormal: {median: 30ms, p99: 120ms}}"
    yield "  timeout: 1s"
    yield "  queue: 100"
    yield "  startup: 30s"
    yield ""
    yield f"traffic: {{poisson: {RATE}}}    # your rate; each request asks about one of the held-out rows"
    yield f"labels: {{delay: {LABELS}, share: {SHARE}}}   # when, and for how many answers, the truth becomes known"
    yield ""


def _policy(first: First) -> Iterator[str]:
    yield "rollout:"
    yield "  strategy: canary"
    yield "  steps: [{weight: 10%}, {pause: 20m}, {weight: 25%}, {pause: 20m}, {weight: 50%}, {pause: 20m}]"
    yield "  analysis:"
    yield "    every: 1m"
    yield f"    window: {WINDOW}"
    yield "    min_requests: 200    # fewer answers in either arm judge nothing"
    yield "    failure_limit: 2     # one more failed look than this rolls back"
    yield "    rules:"
    yield "      - error_rate <= stable + 2%"
    yield "      - p95 <= stable * 1.5"
    yield f"      - {_quality(first)}"
    yield ""
    yield "expect:"
    yield "  - outcome == promoted"
    yield ""
    yield "# Would the policy notice? Take the # away, expect `outcome == rolled_back`, and see how long it takes."
    yield "# inject:"
    yield "#   - {at: 5m, on: candidate, latency: x2, ramp: 5m}      # it gets slow"
    yield "#   - {at: 5m, on: candidate, errors: 5%}                 # it fails"
    yield from _drift(first)


def _quality(first: First) -> str:
    noise = math.hypot(first.stable.noise / 3, first.candidate.noise)  # stable has nine times the answers at first
    if first.task is Task.CLASSIFICATION:
        slack = max(5, math.ceil(100 * DEVIATIONS * noise)) + _behind(first)
        return f"accuracy >= stable - {slack}%   # further than a look strays by chance, with the labels above"
    ratio = max(1.0, _ratio(first.candidate.metrics["rmse"], first.stable.metrics["rmse"]))
    factor = _upwards(ratio * max(1.25, 1 + DEVIATIONS * noise))
    return f"rmse <= stable * {factor}   # further than a look strays by chance, with the labels above"


def _drift(first: First) -> Iterator[str]:
    from harness.data.first import quoted

    numbers = [name for name in first.features if first.schema.columns[name].type.numeric]
    if numbers:
        drift = f"{{column: {quoted(numbers[0])}, shift: 2sd}}"
        yield f"#   - {{at: 5m, on: candidate, drift: {drift}}}   # it is fed wrong values"
