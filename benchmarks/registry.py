"""Registrations at once, and killed ones, on SQLite and on PostgreSQL.

    python benchmarks/registry.py [--processes 8] [--each 25] [--kills 100] [--seed 7]

Claims: of 200 registrations by 8 processes none is lost or doubled, and versions are 1 to 200; of registrations that
are killed (SIGKILL) at moments drawn from a seed none is left half-done, and the retry with the same intent is one
version. PostgreSQL is Debian's, in a private cluster on a Unix socket that is made for this and stopped at the end
(fsync off); SQLite syncs every commit and every file to disk.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.postgres import cluster, new_database


def main() -> int:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--processes", type=int, default=8)
    given.add_argument("--each", type=int, default=25)
    given.add_argument("--kills", type=int, default=100)
    given.add_argument("--seed", type=int, default=7)
    wanted = given.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder, cluster() as postgresql:
        for name, uris in (
            ("SQLite", [f"sqlite:///{folder}/many.db", f"sqlite:///{folder}/killed.db"]),
            ("PostgreSQL", [new_database(postgresql), new_database(postgresql)]),
        ):
            many = spoken(folder, "many", wanted.processes, wanted.each, uris[0])
            failed += not show_many(name, many, wanted.processes * wanted.each)
            failed += not show_killed(name, spoken(folder, "killed", wanted.seed, wanted.kills, uris[1]))
    return failed


def show_many(name: str, told: dict[str, Any], wanted: int) -> bool:
    numbers, intents = told["numbers"], told["intents"]
    good = numbers == list(range(1, wanted + 1)) and len(set(intents)) == wanted and not told["problems"]
    print(
        f"{name}: {len(numbers)} versions, {numbers[0]} to {numbers[-1]}, of {len(set(intents))} intents, "
        f"{len(told['problems'])} problems when verified, in {told['seconds']:.1f} s "
        f"({wanted / told['seconds']:.0f}/s): {'ok' if good else 'WRONG'}"
    )
    return good and not any(told["codes"])


def show_killed(name: str, told: dict[str, Any]) -> bool:
    kills = told["kills"]
    halves = [each for each in kills if each["wrong"] or each["numbers"] != list(range(1, len(each["numbers"]) + 1))]
    doubled = [each for each in kills if each["of_intent"] != 1 or not each["answers"]]
    dead = sum(each["code"] == -9 for each in kills)
    good = dead == len(kills) and not halves and not doubled and not told["left"]
    print(
        f"{name}: {dead} registrations killed at moments among {told['calls']:,} calls, {len(halves)} half-registered, "
        f"{sum(each['done'] for each in kills)} were done before the kill, {len(doubled)} retries with other than one "
        f"version, {told['swept']} files of killed ones swept: {'ok' if good else 'WRONG'}"
    )
    return good


def spoken(folder: str, *words: object) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.registering", *map(str, words)],
        cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False,
        env=os.environ | {"XDG_DATA_HOME": f"{folder}/data"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


if __name__ == "__main__":
    sys.exit(main())
