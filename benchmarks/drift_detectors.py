"""How often `harness.drift.detect` alarms where nothing drifted, all detectors together and the classifier alone.

    .venv/bin/python benchmarks/drift_detectors.py [pairs]

Pairs of 200 and 100 rows of one distribution: four dependent columns of numbers, one with missing values, a column of
three categories and one of three whole numbers (ties); at a false-alarm rate of 5 % over columns and classifier.
"""

import argparse
from collections import Counter

import numpy as np
import pandas as pd

from harness.domain.drift import ClassifierDrift, Detector
from harness.drift.detect import DriftOptions, detect

PAIRS, ALPHA = 400, 0.05
LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5)


def pair(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two tables of one distribution."""
    drawn = np.random.default_rng(seed)
    numbers = drawn.multivariate_normal(np.zeros(4), 0.5 * np.eye(4) + 0.5, 300)
    rows = pd.DataFrame(numbers, columns=list("abcd"))
    rows["kind"] = drawn.choice(["x", "y", "z"], 300)
    rows["count"] = drawn.integers(0, 3, 300).astype(float)
    rows.loc[drawn.random(300) < 0.1, "a"] = np.nan
    return rows.iloc[:200], rows.iloc[200:]


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def main(pairs: int) -> None:
    """Print how many alarmed, and how the classifier's p-values are spread."""
    alarms: Counter[str] = Counter()
    p_values = []
    for seed in range(pairs):
        report = detect(*pair(seed), DriftOptions(seed=seed, alpha=ALPHA))
        alarms["all together"] += report.drift_detected
        for detector, part in report.parts.items():
            alarms[detector.value] += part.drifted
        classifier = report.parts[Detector.ML_BASED]
        if isinstance(classifier, ClassifierDrift) and classifier.p_value is not None:
            p_values.append(classifier.p_value)
    for name, count in alarms.items():
        print(f"{name:16} {count:4} alarms of {pairs}")
    for level in LEVELS:
        print(f"classifier's p at most {level:4}: {np.mean(np.array(p_values) <= level):.4f}")


if __name__ == "__main__":
    told = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    told.add_argument("pairs", nargs="?", type=_count, default=PAIRS, help=f"tables compared (default: {PAIRS})")
    main(told.parse_args().pairs)
