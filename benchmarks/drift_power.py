"""Level and power of the drift decision: seeded pairs of fifty columns, the electricity market, the census.

    python benchmarks/drift_power.py [--pairs 1000] [--quick] [--json FILE]

Pairs: reference and current of 500 or 5,000 rows and 50 independent normal columns, decided at a family-wise level of
1 % (Kolmogorov-Smirnov for each, Holm's correction). Without drift, how many of the pairs alarm; with one column of the
fifty moved by 0.1, 0.25 or 0.5 standard deviations, how often anything is found, the right column is named, and another
one is. Which column moves is drawn by the pair's seed, and the drift is put into the same pairs.

Goals: at most 20 of 1,000 pairs without drift alarm (at a level of 10 of 1,000 that has a chance of 99.8 %).
A shift of 0.5 is found in every pair, one of 0.25 in 99 % of those of 5,000 rows.

Elec2: from row 0 on, weeks of 336 half hours one after another are compared with the first 8,400 rows, after every week
that ends after row 8,400. Prices and demands change with seasons and hours, so columns other than Victoria's alarm long
before; what is asked is when the columns that stood still until row 17,424 (vicprice, vicdemand, transfer) are named.
Adult: cut at random in two (1,000 seeds), and by occupation: each occupation of 900 people and more against all others.
"""

import csv
import gzip
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from load_kit import ROOT, finish, goal, options

from harness import seeds
from harness.drift.decide import decide, decided
from harness.drift.reference import Reference

COLUMNS, ALPHA = 50, 0.01
SHIFTS = (0.1, 0.25, 0.5)
CHANGE, WEEK, FIRST = 17_424, 336, 8_400
STILL = ("vicprice", "vicdemand", "transfer")
DATA = ROOT / "scenarios" / "data"

Columns = Mapping[str, np.ndarray]


def main() -> None:
    given = options(__doc__, pairs={"type": int, "default": 1000}).parse_args()
    pairs = 60 if given.quick else given.pairs
    found = {"pairs": [study(rows, pairs) for rows in (500, 5000)], "elec2": elec2(), "adult": adult(pairs)}
    finish(found, given.json, met=tell(found))


# --- pairs ------------------------------------------------------------------------------------------------------------


def study(rows: int, pairs: int) -> dict[str, Any]:
    """How many pairs alarm without drift, and what is found of each shift."""
    shifts = {shift: {"found": 0, "named": 0, "others": 0} for shift in SHIFTS}
    told: dict[str, Any] = {"rows": rows, "pairs": pairs, "false_alarms": 0, "shifts": shifts}
    for pair in range(pairs):
        draws = seeds.stream(pair, f"pairs of {rows} rows").generator()
        reference, current = (normal(draws, rows) for _ in range(2))
        moved = f"x{int(draws.integers(COLUMNS)):02d}"
        fitted = Reference.fit(reference)
        figures = fitted.compare(current)
        told["false_alarms"] += bool(decided(figures, ALPHA).drifted)
        for shift, counts in shifts.items():
            drifted = decided({**figures, **fitted.compare({moved: current[moved] + shift})}, ALPHA).drifted
            counts["found"] += bool(drifted)
            counts["named"] += moved in drifted
            counts["others"] += bool(set(drifted) - {moved})
        if pair % 100 == 99:
            print(f"{rows} rows, {pair + 1} of {pairs} pairs", file=sys.stderr, flush=True)
    return told


def normal(draws: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
    return {f"x{place:02d}": values for place, values in enumerate(draws.normal(size=(COLUMNS, rows)))}


# --- Elec2 and Adult --------------------------------------------------------------------------------------------------


def table(name: str) -> dict[str, np.ndarray]:
    """Columns of a file by name: floats where all are, otherwise text, None for what is marked missing."""
    with gzip.open(DATA / name, "rt", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    columns: dict[str, np.ndarray] = {}
    for name_, values in zip(rows[0], zip(*rows[1:], strict=True), strict=True):
        try:
            columns[name_] = np.array(values, dtype=np.float64)
        except ValueError:
            columns[name_] = np.array([None if value == "?" else value for value in values], dtype=object)
    return columns


def cut(columns: Columns, rows: Any) -> dict[str, np.ndarray]:
    return {name: values[rows] for name, values in columns.items()}


def elec2() -> dict[str, Any]:
    """For each column the row at the end of the first week that names it, and how many weeks before the change do."""
    market = {name: values for name, values in table("electricity.csv.gz").items() if name not in {"date", "class"}}
    fitted = Reference.fit(cut(market, slice(0, FIRST)))
    ends = list(range(FIRST + WEEK, CHANGE + 9 * WEEK, WEEK))
    named = {end: decide(fitted, cut(market, slice(end - WEEK, end)), ALPHA).drifted for end in ends}
    first = {name: next((end for end in ends if name in named[end]), None) for name in market}
    before = {name: sum(name in named[end] for end in ends if end <= CHANGE) for name in market}
    return {"first_named": first, "weeks_before": before, "weeks": sum(end <= CHANGE for end in ends)}


def adult(seeds_: int) -> dict[str, Any]:
    census = table("adult.csv.gz")
    rows = len(census["age"])
    alarms = 0
    for seed in range(seeds_):
        order = seeds.stream(seed, "halves").generator().permutation(rows)
        alarms += bool(decide(cut(census, order[: rows // 2]), cut(census, order[rows // 2 :]), ALPHA).drifted)
    jobs = [job for job in set(census["occupation"].tolist()) - {None} if (census["occupation"] == job).sum() >= 900]
    by_job = {}
    for job in sorted(jobs):
        own = census["occupation"] == job
        told = decide(cut(census, ~own), cut(census, own), ALPHA)
        by_distance = sorted(told.columns, key=lambda each: -each.figures.jensen_shannon)
        by_job[job] = {"drifted": told.drifted, "by_distance": [each.column for each in by_distance[:4]]}
    return {"splits": seeds_, "false_alarms": alarms, "by_occupation": by_job}


# --- what is told -----------------------------------------------------------------------------------------------------


def tell(found: dict[str, Any]) -> bool:
    print(f"50 columns, family-wise level {ALPHA:.0%}")
    print(f"{'rows':>6}{'pairs':>7}{'shift, sd':>11}{'alarms':>9}{'column named':>14}{'another named':>15}")
    for each in found["pairs"]:
        print(f"{each['rows']:>6,}{each['pairs']:>7,}{'none':>11}{each['false_alarms'] / each['pairs']:>9.1%}")
        for shift, counts in each["shifts"].items():
            shares = [counts[word] / each["pairs"] for word in ("found", "named", "others")]
            print(f"{'':>13}{shift:>11}{shares[0]:>9.1%}{shares[1]:>14.1%}{shares[2]:>15.1%}")
    market = found["elec2"]
    print(f"\nElec2, weeks against the first {FIRST:,} rows; the market changes at row {CHANGE:,}")
    for name, end in market["first_named"].items():
        when = "never" if end is None else f"in the week that ends at row {end:,}"
        print(f"  {name:12}{market['weeks_before'][name]:>3} of {market['weeks']} weeks before; first {when}")
    census = found["adult"]
    print(f"\nAdult cut at random: {census['false_alarms']} of {census['splits']} splits alarm; by occupation:")
    for job, told in census["by_occupation"].items():
        print(f"  {job:20}{len(told['drifted']):>3} of 15 columns; furthest {', '.join(told['by_distance'])}")
    print()
    return all(goals(found))


def goals(found: dict[str, Any]) -> list[bool]:
    met = []

    def most(name: str, value: int, bound: int) -> None:
        met.append(goal(name, value, most=bound, form="d"))

    def least(name: str, value: float, bound: float) -> None:
        met.append(goal(name, value, least=bound, form=".1f"))

    for each in found["pairs"]:
        rows, pairs, shifts = each["rows"], each["pairs"], each["shifts"]
        most(f"false alarms of {pairs} pairs of {rows} rows", each["false_alarms"], max(pairs // 50, 2))
        least(f"shift of 0.5 named, {rows} rows, %", 100 * shifts[0.5]["named"] / pairs, 100.0)
        if rows == 5000:
            least("shift of 0.25 named, 5000 rows, %", 100 * shifts[0.25]["named"] / pairs, 99.0)
    market, census = found["elec2"], found["adult"]
    for name in STILL:
        most(f"{name}: weeks before its change that name it", market["weeks_before"][name], 0)
        late = (market["first_named"][name] or 10**9) - CHANGE
        most(f"{name}: rows from its change to the end of the week that names it", late, 2 * WEEK)
    most(f"{census['splits']} random cuts of Adult that alarm", census["false_alarms"], max(census["splits"] // 50, 2))
    right = sum(told["by_distance"][0] == "occupation" for told in census["by_occupation"].values())
    least("occupations by which the column of occupation is furthest", right, len(census["by_occupation"]))
    return met


if __name__ == "__main__":
    main()
