"""Replay against source: how far the arrivals of a run are from the recording they were made from.

    python benchmarks/replay.py [--seed N] [--rate 200] [--json FILE] [--plot FILE]

For both shipped traces, read once by pandas (the source) and once by the harness (the replay): requests, the largest
difference of any minute's count, and the Kolmogorov-Smirnov distance of the gaps between requests.

- *as recorded*: both must be nought where stamps are exact. NASA's stamps are whole seconds, so its gaps are compared
  with what a Poisson process gives in each second, given that second's count; the mean over independent draws of that.
- *fitted*: each minute's count against the source's times the factor, in standard deviations of a Poisson count; gaps
  in the expected count of the curve against the exponential (time rescaling), with the p-value; and gaps times the
  factor against the source's, which a Poisson curve by the minute is not meant to keep.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import arrivals
from harness.domain.traffic import Process, Trace, Traffic
from harness.domain.units import HOUR, MINUTE, SECOND
from harness.seeds import stream

ROOT = Path(__file__).resolve().parents[1]
TRACES = {"Azure LLM conversations": "azure_llm_conv.csv.gz", "NASA web server": "nasa_http.tsv.gz"}
LONG = 24 * HOUR
DRAWS = 20


def source_of(name: str) -> np.ndarray:
    """Times since the first, in ns, as pandas reads them."""
    path = ROOT / "scenarios" / "traces" / name
    table = pd.read_csv(path, sep="\t" if ".tsv" in name else ",")
    if "time" in table:
        at = table["time"].to_numpy() * SECOND
    else:
        at = pd.to_datetime(table["TIMESTAMP"]).to_numpy().astype("datetime64[ns]").astype(np.int64)
    return at - at[0]


def per_minute(times: np.ndarray) -> np.ndarray:
    return np.bincount((times // MINUTE).astype(int), minlength=int(times[-1] // MINUTE) + 1)


def within_seconds(source: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """A Poisson process given how many came in each second: independent of how the harness makes it."""
    return np.sort(source + draws.uniform(0, SECOND, source.size))


def measured(name: str, seed: int, rate: float) -> dict[str, Any]:
    source = source_of(name)
    path = str(ROOT / "scenarios" / "traces" / name)
    whole = not np.any(source % SECOND)
    rng = stream(seed, "arrivals")
    replay = arrivals.of(Traffic("trace", Process.POISSON, Trace(path))).times(0, LONG, rng)
    gaps = np.diff(replay) / SECOND
    references = [np.diff(source) / SECOND]
    if whole:
        draws = np.random.default_rng(seed)
        references = [np.diff(within_seconds(source, draws)) / SECOND for _ in range(DRAWS)]
    distances = [stats.ks_2samp(gaps, other).statistic for other in references]
    process = arrivals.of(Traffic("trace", Process.POISSON, Trace(path, rate=rate)))
    fit = process.times(0, LONG, rng)
    factor = float(process.curve.expected(LONG)) / source.size
    minutes = int(source[-1] // MINUTE)  # whole ones
    wanted = per_minute(source)[:minutes] * factor
    off = (per_minute(fit)[:minutes] - wanted) / np.sqrt(np.maximum(wanted, 1))
    rescaled = stats.kstest(np.diff(process.curve.expected(fit)), "expon")
    return {
        "requests": {"source": source.size, "replay": replay.size},
        "largest_difference_of_a_minute": int(np.abs(per_minute(replay) - per_minute(source)).max()),
        "reference_gaps": "Poisson within each second" if whole else "the source's own",
        "ks_gaps": float(np.mean(distances)),
        "ks_gaps_to_whole_seconds": float(stats.ks_2samp(gaps, np.diff(source) / SECOND).statistic),
        "fitted": {
            "rate": rate,
            "factor": factor,
            "requests": fit.size,
            "mean_rate": fit.size / (float(process.curve.expected(LONG)) / rate),
            "minutes": minutes,
            "rms_deviations": float(np.sqrt(np.mean(off**2))),
            "largest_deviations": float(np.abs(off).max()),
            "ks_rescaled": float(rescaled.statistic),
            "p_rescaled": float(rescaled.pvalue),
            "ks_scaled_gaps": float(stats.ks_2samp(np.diff(fit) / SECOND * factor, references[0]).statistic),
        },
        "_drawn": (source, replay, fit, factor, references[0]),
    }


def plot(figures: dict[str, dict[str, Any]], file: Path) -> bool:
    """Rates by the minute and gaps as distribution functions; False without matplotlib (it comes with mlflow)."""
    try:
        import matplotlib as mpl
    except ModuleNotFoundError:
        return False
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    picture, axes = plt.subplots(len(figures), 2, figsize=(14, 4.2 * len(figures)), layout="constrained")
    for (name, found), (left, right) in zip(figures.items(), axes, strict=True):
        source, replay, fit, factor, reference = found["_drawn"]
        curves = [("source", source, 1.0, "0.6", 4.0), ("replay", replay, 1.0, "C0", 1.2)]
        curves.append((f"fitted to {found['fitted']['rate']:g}/s, divided by {factor:.3g}", fit, factor, "C1", 0.9))
        for told, times, scale, colour, width in curves:
            rate = per_minute(times)[: int(source[-1] // MINUTE)] / 60 / scale
            left.plot(np.arange(rate.size), rate, color=colour, lw=width, label=told)
        left.set(title=f"{name}: requests a second, by the minute", xlabel="minute", ylabel="1/s", ylim=(0, None))
        spread = found["reference_gaps"] != "the source's own"
        gaps = [("source, Poisson within its seconds" if spread else "source", reference, "0.6", 4.0)]
        gaps.append(("replay", np.diff(replay) / SECOND, "C0", 1.2))
        gaps.append(("fitted, gaps times the factor", np.diff(fit) / SECOND * factor, "C1", 0.9))
        for told, values, colour, width in gaps:
            share = np.linspace(0, 1, 2000)
            right.plot(np.maximum(np.quantile(values, share), 1e-5), share, color=colour, lw=width, label=told)
        right.set(title=f"{name}: gaps, KS {found['ks_gaps']:.4f}", xlabel="s", ylabel="share", xscale="log")
        right.set_xlim(1e-4, None)
        left.legend(loc="upper left")
        right.legend(loc="upper left")
    file.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(file, dpi=110)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description="Replay against source, for both shipped traces.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=200.0, help="mean rate to fit to, 1/s")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, default=ROOT / "reports" / "replay.png", help=".png or .svg")
    given = parser.parse_args()
    figures = {name: measured(file, given.seed, given.rate) for name, file in TRACES.items()}
    for name, found in figures.items():
        fit = found["fitted"]
        print(f"{name}: {found['requests']['source']:,} requests recorded, {found['requests']['replay']:,} replayed")
        print(f"  as recorded    largest difference of a minute's count: {found['largest_difference_of_a_minute']}")
        print(f"                 gaps, KS against {found['reference_gaps']}: {found['ks_gaps']:.4f}")
        print(f"  fitted {fit['rate']:g}/s   mean {fit['mean_rate']:.2f}/s, {fit['requests']:,} requests")
        off = f"{fit['rms_deviations']:.3f} Poisson deviations (rms), {fit['largest_deviations']:.2f} at most"
        print(f"                 {fit['minutes']} minutes: off by {off}")
        print(f"                 rescaled gaps, KS against the exponential: {fit['ks_rescaled']:.5f} "
              f"(p = {fit['p_rescaled']:.2f})")  # fmt: skip
        print(f"                 gaps times the factor, KS against the source: {fit['ks_scaled_gaps']:.3f}")
    drawn = plot(figures, given.plot)
    print(f"plot  {given.plot}" if drawn else "no plot: matplotlib is not installed (it comes with the mlflow extra)")
    if given.json:
        told = {name: {key: value for key, value in found.items() if key[0] != "_"} for name, found in figures.items()}
        given.json.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
