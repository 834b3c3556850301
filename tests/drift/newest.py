"""How scenarios/data/telco_newest.csv.gz was made: ``.venv/bin/python -m tests.drift.newest`` from the project folder.

500 customers of telco_churn.csv.gz drawn by seed, those who pay month by month more often than others; prices raised by
15 %, and 6 % of the total charges lost on the way. Nobody knows yet who left.
"""

import gzip
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from harness import seeds

DATA: Final = Path(__file__).parents[2] / "scenarios" / "data"
MADE: Final = DATA / "telco_newest.csv.gz"
ROWS: Final = 500


def newest() -> str:
    """The CSV."""
    raw = pd.read_csv(DATA / "telco_churn.csv.gz", dtype=str, keep_default_na=False)
    drawn = seeds.stream(7, "telco/newest").generator()
    weights = np.where(raw["Contract"] == "Month-to-month", 2.5, 1.0)
    rows = raw.iloc[np.sort(drawn.choice(len(raw), ROWS, replace=False, p=weights / weights.sum()))]
    dearer = [f"{float(price) * 1.15:.2f}" for price in rows["MonthlyCharges"]]
    lost = drawn.permutation(ROWS) < ROWS * 0.06
    rows = rows.assign(MonthlyCharges=dearer, TotalCharges=rows["TotalCharges"].mask(lost, ""))
    return rows.drop(columns="Churn").to_csv(index=False, lineterminator="\n")


if __name__ == "__main__":
    MADE.write_bytes(gzip.compress(newest().encode(), 9, mtime=0))
