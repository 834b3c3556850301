"""Requests per second of the generator's processor time at saturation, against wrk, hey, Locust, aiohttp and ab.

    python benchmarks/load.py [--quick] [--rounds 5] [--seconds 8] [--locust FOLDER] [--json FILE]

Nginx (Debian's, one process, a fixed answer) on one core, the generator on the other: 64 users in a closed loop on 64
kept connections, a POST of 100 bytes, every status looked at. `harness load` also records every request's five times in
histograms and a series, and grades the run. Rounds of all generators take turns; medians are told. "requests per CPU-s"
is of the requests alone where a generator can tell that from its start (harness, Locust, aiohttp), "with its start" is
of the whole process tree, imports, reports and all.

Claims, by medians: at least 0.7 of wrk, 3 of hey, 12 of Locust's FastHttpUser, 10 of a plain aiohttp client on uvloop.
Then an open loop (Poisson) at 80 % of the rate that the closed loop reached: its lag. And what else costs: a payload
drawn from 1,000 rows, answers held to a JSON schema, a condition, golden predictions, the aiohttp client behind
`--client`, two workers (on the same core). Locust goes into an environment of its own, made at the first run (network);
nginx, wrk, hey and ab are Debian's packages nginx, wrk, hey, apache2-utils.
"""

import json
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import load_peers as peers
from load_kit import (
    ANSWER,
    Missing,
    about_cores,
    body_of,
    finish,
    goal,
    harness_load,
    middle,
    nginx,
    options,
    version_of,
)

USERS, SIZE, ROWS = 64, 100, 1000
GOALS = {"wrk": 0.7, "hey": 3.0, "locust": 12.0, "aiohttp": 10.0}
SCHEMA = {
    "type": "object",
    "required": ["prediction", "confidence"],
    "properties": {"prediction": {"enum": ["no", "yes"]}, "confidence": {"type": "number", "minimum": 0, "maximum": 1}},
}

Take = Callable[[], peers.Seen]


def generators(asked: peers.Asked, locust: Path) -> dict[str, Take]:
    return {
        "harness": lambda: peers.harness(asked),
        "wrk": lambda: peers.wrk(asked),
        "ab": lambda: peers.ab(asked),
        "hey": lambda: peers.hey(asked),
        "aiohttp": lambda: peers.aiohttp(asked),
        "aiohttp, asyncio": lambda: peers.aiohttp(asked, "asyncio"),
        "locust": lambda: peers.locust(asked, locust),
    }


def variants(asked: peers.Asked) -> dict[str, Take]:
    """The same run with one thing changed."""
    rows, schema, golden = (asked.work / name for name in ("rows.csv", "schema.json", "golden.json"))
    lines = [f"{at % 72},{20 + at * 0.1:.2f},{at % 3},no" for at in range(ROWS)]
    rows.write_text("\n".join(["tenure,monthly_charges,contract,churn", *lines]) + "\n", encoding="utf-8")
    schema.write_text(json.dumps(SCHEMA), encoding="utf-8")
    golden.write_text(json.dumps([{"prediction": json.loads(ANSWER)["prediction"]}] * ROWS), encoding="utf-8")
    drawn = ("--drop", "churn")

    def of_rows(*flags: str) -> Take:
        return lambda: peers.harness(asked, *drawn, *flags, payload=rows, protocol="json")

    return {
        "1,000 rows, drawn": of_rows(),
        "JSON schema": lambda: peers.harness(asked, "--json-schema", str(schema)),
        "condition": lambda: peers.harness(asked, "--expect", "confidence >= 0.5"),
        "golden, 1,000 rows": of_rows("--golden", str(golden)),
        "--client aiohttp": lambda: peers.harness(asked, "--client", "aiohttp"),
        "two workers": lambda: peers.harness(asked, "--workers", "2"),
    }


def open_loop(asked: peers.Asked, rate: float) -> dict[str, Any]:
    """At a rate that the generator can hold: how late it is."""
    told, _ = harness_load(
        asked.url, "--rate", f"{rate:.0f}/s", "--duration", f"{asked.seconds:g}s", "--warmup", "1s",
        "--protocol", "raw", "--payload", str(asked.body), reports=asked.work,
    )  # fmt: skip
    return told


def table(names: dict[str, list[peers.Seen]], base: list[peers.Seen]) -> None:
    print(
        f"{'':<20}{'requests/CPU-s':>15}{'least':>10}{'most':>10}{'ratio':>8}{'with its start':>16}{'by wall':>10}"
        "  errors"
    )
    whole = middle([each.per_cpu_s for each in base])
    for name, seen in names.items():
        if not seen:
            continue
        rates = [each.per_cpu_s for each in seen]
        tree, wall = middle([each.requests / each.tree_cpu_s for each in seen]), middle([each.per_s for each in seen])
        ratio = whole / middle(rates)
        print(
            f"{name:<20}{middle(rates):>15,.0f}{min(rates):>10,.0f}{max(rates):>10,.0f}{ratio:>8.2f}{tree:>16,.0f}"
            f"{wall:>10,.0f}  {sum(each.errors for each in seen)} {seen[-1].said}"
        )


def main() -> None:
    parser = options(
        __doc__,
        rounds={"type": int, "default": 5},
        seconds={"type": float, "default": 8.0, "help": "of each generator in each round"},
        locust={"metavar": "FOLDER", "default": os.environ.get("LOAD_LOCUST"), "help": "environment that has Locust"},
    )
    given = parser.parse_args()
    rounds, seconds = (1, 2.0) if given.quick else (given.rounds, given.seconds)
    locust = peers.locust_python(given.locust)
    with tempfile.TemporaryDirectory(prefix="load-") as place, nginx() as url:
        work = Path(place)
        body = work / "body.json"
        body.write_bytes(body_of(SIZE))
        asked = peers.Asked(url, body, seconds, USERS, work)
        kinds, other = generators(asked, locust), variants(asked)
        found: dict[str, list[peers.Seen]] = {name: [] for name in (*kinds, *other)}
        missing = {}
        for at in range(rounds):
            for name, take in (*kinds.items(), *other.items()):
                try:
                    found[name].append(take())
                except Missing as error:
                    missing[name] = str(error)
            print(f"round {at + 1} of {rounds}: {about_cores()}", flush=True)
        rate = 0.8 * middle([each.per_s for each in found["harness"]])
        lags = [open_loop(asked, rate) for _ in range(rounds)]
    print(
        f"\n{USERS} users, POST of {SIZE} bytes, {rounds} rounds of {seconds:g} s in turn, medians;"
        f" {', '.join(version_of(name) for name in ('nginx', 'wrk', 'ab', 'hey'))}"
    )
    table({name: found[name] for name in kinds}, found["harness"])
    print("\nthe same with one thing changed (ratio: how many times cheaper it is without)")
    table({name: found[name] for name in other}, found["harness"])
    print(f"\nopen loop, Poisson, {rate:,.0f}/s (80 % of the closed loop's rate)")
    for told in lags:
        lag = told["send_lag_s"]
        print(
            f"  lag p50 {lag['p50'] * 1e6:,.1f} us, p99 {lag['p99'] * 1e6:,.1f} us, most {lag['max'] * 1e3:,.1f} ms;"
            f" latency p99 {told['latency_s']['p99'] * 1e3:.2f} ms; reached {told['achieved_rate']:,.0f}/s;"
            f" {told['spoiled'] or told['grade']}"
        )
    for name, why in missing.items():
        print(f"{name} is missing: {why}")
    print()
    ours = middle([each.per_cpu_s for each in found["harness"]])
    met = [
        goal(f"harness against {name}", ours / middle([each.per_cpu_s for each in found[name]]), least)
        for name, least in GOALS.items()
        if name in found
    ]
    figures = {name: [asdict(each) for each in seen] for name, seen in found.items()}
    finish({"rounds": rounds, "generators": figures, "open_loop": lags}, given.json, met=all(met) and not missing)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
