"""The feedback loop over all of Elec2: prequential accuracy with retraining, without, and of no model at all.

    python benchmarks/elec2_loop.py [--first 4368] [--chunk 336] [--algorithm WORD] [--window sliding|expanding]
        [--rows N] [--seed N] [--json FILE] [--plot FILE.svg]

The first rows (a quarter of a year) train the first model. From there on rows are answered a week at a time, and then
their true answers become known; nothing is learned from a row before it was answered. An alarm (accuracy over four
weeks falls 10 points below the model's own best four weeks; or Page-Hinkley on the errors) trains a challenger on the
window, judged on its newest fifth, and it takes over where it is better there. Thresholds were fixed beforehand.

*Persistence* answers what the row before was: on Elec2, whose answers come in runs, that beats most models of the
literature (Žliobaitė, "How good is the electricity benchmark for evaluating concept drift adaptation", 2013). It knows
the true answer of half an hour ago, which the models do not; told a chunk late, as they are, it says what was so then.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.data import dataset
from harness.data.split import Rows, target_of
from harness.domain.lifecycle import RetrainPlan, Window
from harness.domain.model import DataPlan, Role, TrainPlan
from harness.drift.online import Decay, Detector, PageHinkley, windowed
from harness.seeds import stream
from harness.training.cache import ModelCache
from harness.training.fit import label_values
from harness.training.prequential import Answers, Course, course, persistence
from harness.training.train import train

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "scenarios" / "data" / "electricity.csv.gz"
WEEK = 7 * 48
DETECTORS: dict[str, Callable[[], Detector]] = {
    "decay": lambda: Decay(window=4 * WEEK, margin=0.10),
    "page-hinkley": lambda: PageHinkley(threshold=50, tolerance=0.005),
}
LINES = {"with": "#1a66b3", "without": "#c2571a", "persistence": "#8a8a8a"}


def elec2() -> Rows:
    """All rows in order."""
    data = dataset.load(DataPlan(str(SOURCE), "class", "UP"))
    target, classes = target_of(data.frame, "class", "UP")
    return Rows(data.frame[list(data.features)], target, classes)


def learner(rows: Rows, source: TrainPlan, seed: int) -> Callable[[int, int], Answers]:
    """Trains as a run does."""
    cache = ModelCache()

    def learn(start: int, stop: int) -> Answers:
        chance = stream(seed, f"training/{start}-{stop}").integer()
        model, _, _ = train(source, rows.take(np.arange(start, stop)), chance, cache, "elec2", Role.CANDIDATE, None)
        truth = label_values(rows.classes)[rows.target]
        return lambda a, b: np.asarray(model.estimator.predict(rows.rows.iloc[a:b]) == truth[a:b])

    return learn


def told(found: Course) -> dict[str, Any]:
    return {
        "accuracy": found.accuracy,
        "alarms": len(found.alarms),
        "retrained": len(found.challenges),
        "taken over": sum(each.better for each in found.challenges),
        "_course": found,
    }


def measured(rows: Rows, given: argparse.Namespace) -> dict[str, dict[str, Any]]:
    source = TrainPlan(given.algorithm, {})
    plan = RetrainPlan(source, Window(given.window), rows=given.rows)
    learn, count = learner(rows, source, given.seed), len(rows.rows)
    found = {"without retraining": told(course(count, given.first, given.chunk, learn))}
    for name, detector in DETECTORS.items():
        found[f"retraining on {name}"] = told(course(count, given.first, given.chunk, learn, plan, detector))
    return found


def baselines(rows: Rows, given: argparse.Namespace) -> dict[str, float]:
    later = rows.target[given.first :]
    majority = int(rows.target[: given.first].mean() >= 0.5)
    return {
        "persistence, told at once": persistence(rows.target, given.first).accuracy,
        "persistence, told a chunk late": persistence(rows.target, given.first, given.chunk).accuracy,
        "majority class of the first rows": float((later == majority).mean()),
    }


# --- the plot ---------------------------------------------------------------------------------------------------------


class Svg:
    """A plot with a time axis of rows and a share on the other."""

    def __init__(self, first: int, last: int, low: float) -> None:
        self.first, self.last, self.low = first, last, low
        self.parts: list[str] = []

    def x(self, row: float) -> float:
        return 70 + 1090 * (row - self.first) / (self.last - self.first)

    def y(self, share: float) -> float:
        return 450 - 380 * (share - self.low) / (1 - self.low)

    def text(self, x: float, y: float, words: str, anchor: str = "middle", colour: str = "#333") -> None:
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'
        )

    def rule(self, x1: float, y1: float, x2: float, y2: float, colour: str, dash: str = "") -> None:
        at = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        self.parts.append(f'<line {at} stroke="{colour}" stroke-dasharray="{dash}"/>')

    def curve(self, values: np.ndarray, colour: str, every: int = 48) -> None:
        places = range(every - 1, len(values), every)
        points = " ".join(f"{self.x(self.first + i):.1f},{self.y(values[i]):.1f}" for i in places)
        self.parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.8"/>')

    def frame(self, title: str) -> None:
        self.text(70, 24, title, "start")
        for share in np.arange(self.low, 1.001, 0.1):
            self.rule(70, self.y(share), 1160, self.y(share), "#e4e4e4")
            self.text(62, self.y(share) + 4, f"{share:.0%}", "end")
        for row in range(-(-self.first // 5000) * 5000, self.last, 5000):
            self.rule(self.x(row), 450, self.x(row), 455, "#333")
            self.text(self.x(row), 470, f"{row:,}")
        self.text(615, 492, "row (one each half hour)")

    def write(self, file: Path) -> None:
        head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1180 505" font-family="sans-serif" font-size="13">'
        file.parent.mkdir(parents=True, exist_ok=True)
        body = "\n".join(['<rect width="1180" height="505" fill="#fff"/>', *self.parts])
        file.write_text(f"{head}\n{body}\n</svg>\n", encoding="utf-8")


def plot(rows: Rows, found: dict[str, dict[str, Any]], given: argparse.Namespace) -> None:
    """Accuracy over four weeks with and without retraining on decay, alarms, and who won."""
    with_, without = (found[name]["_course"] for name in ("retraining on decay", "without retraining"))
    curves = {
        "persistence": windowed(persistence(rows.target, given.first).right, 4 * WEEK),
        "without": windowed(without.right, 4 * WEEK),
        "with": windowed(with_.right, 4 * WEEK),
    }
    lowest = min(float(values[WEEK:].min()) for values in curves.values())
    picture = Svg(given.first, len(rows.rows), float(np.floor(lowest * 10) / 10))
    picture.frame(f"Elec2, prequential accuracy over four weeks: {given.algorithm}, {given.window} window")
    for row in with_.alarms:
        picture.rule(picture.x(row), 70, picture.x(row), 450, "#b00020", "3 4")
    for each in with_.challenges:
        shape = "M0,-11 L6,0 L-6,0 Z" if each.better else "M-4,-9 L4,-1 M4,-9 L-4,-1"
        look = f'fill="{LINES["with"]}"' if each.better else 'stroke="#333" stroke-width="1.6"'
        picture.parts.append(f'<path transform="translate({picture.x(each.row):.1f} 68)" d="{shape}" {look}/>')
    for name, values in curves.items():
        picture.curve(values, LINES[name])
    words = {
        "with": f"with retraining {with_.accuracy:.1%}",
        "without": f"without {without.accuracy:.1%}",
        "persistence": f"persistence {np.mean(persistence(rows.target, given.first).right):.1%}",
    }
    for place, (name, said) in enumerate(words.items()):
        picture.text(72 + 180 * place, 46, said, "start", LINES[name])
    picture.text(1160, 46, "dotted: alarm; ▲ challenger took over, × champion stayed", "end", "#b00020")
    picture.write(given.plot)


def main() -> None:
    parser = argparse.ArgumentParser(description="Prequential accuracy on Elec2, with and without retraining.")
    parser.add_argument("--first", type=int, default=13 * WEEK, help="rows that train the first model")
    parser.add_argument("--chunk", type=int, default=WEEK, help="rows answered before their answers become known")
    parser.add_argument("--algorithm", default="gradient_boosting")
    parser.add_argument("--window", default="sliding", choices=[window.value for window in Window])
    parser.add_argument("--rows", type=int, default=None, help="of a sliding window; default: as many as the first")
    parser.add_argument("--limit", type=int, default=None, help="only so many rows")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, default=ROOT / "reports" / "elec2_loop.svg")
    given = parser.parse_args()
    began = time.perf_counter()
    rows = elec2()
    if given.limit:
        rows = rows.take(np.arange(min(given.limit, len(rows.rows))))
    found, simple = measured(rows, given), baselines(rows, given)
    count = len(rows.rows)
    print(f"Elec2: {count:,} rows; {given.algorithm} learns from the first {given.first:,}, "
          f"{count - given.first:,} are answered, {given.chunk} at a time; {given.window} window")  # fmt: skip
    print(f"{'':36}{'accuracy':>9}{'alarms':>8}{'retrained':>11}{'took over':>11}")
    for name, each in found.items():
        print(f"{name:36}{each['accuracy']:>9.2%}{each['alarms']:>8}{each['retrained']:>11}{each['taken over']:>11}")
    for name, accuracy in simple.items():
        print(f"{name:36}{accuracy:>9.2%}")
    plot(rows, found, given)
    print(f"plot  {given.plot}\n{time.perf_counter() - began:.1f} s")
    if given.json:
        shown = {name: {key: value for key, value in each.items() if key[0] != "_"} for name, each in found.items()}
        given.json.write_text(json.dumps({"loop": shown, "baselines": simple}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
