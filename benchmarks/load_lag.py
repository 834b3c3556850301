"""How late `harness load` sends, rate by rate, until the machine gives out; and whether the run says so then.

    python benchmarks/load_lag.py [--quick] [--rounds 3] [--seconds 5] [--json FILE]

Open loop, Poisson arrivals, POST of 100 bytes to nginx on a core of its own; rounds take turns, medians are told. The
lag is from when a request was due to when the generator took it up. Rates of 500, 2,000, 5,000 and 20,000/s, and then
higher and higher ones until every round of one was spoiled.

Claims: a round that lags enough to change what it measures (its service-time and latency p99 differ by more than 5 %
and a millisecond with connections to spare) or that falls 5 % behind its rate is never graded; and there is a rate at
which all rounds say that they are spoiled, with the cause.
"""

import tempfile
from pathlib import Path
from typing import Any

from load_kit import about_cores, body_of, finish, goal, harness_load, middle, nginx, options

RATES = (500, 2_000, 5_000, 20_000)
STEP, MOST = 1.5, 1_000_000


def at_rate(url: str, rate: float, seconds: float, body: Path) -> dict[str, Any]:
    told, _ = harness_load(
        url, "--rate", f"{rate:.0f}/s", "--duration", f"{seconds:g}s", "--warmup", "1s", "--protocol", "raw",
        "--payload", str(body), reports=body.parent,
    )  # fmt: skip
    return told


def off(told: dict[str, Any]) -> bool:
    """Whether the generator changed what it measured, by figures of the run that do not enter its own rule."""
    behind = told["achieved_rate"] < 0.95 * told["target_rate"] and not told["failed"]
    seen, asked = (told[name]["p99"] for name in ("latency_s", "service_time_s"))
    waited = told["waited_s"]["p99"]
    return bool(behind or seen - asked - waited > max(0.001, 0.05 * seen))


def main() -> None:
    parser = options(
        __doc__,
        rounds={"type": int, "default": 3},
        seconds={"type": float, "default": 5.0, "help": "of each rate in each round"},
    )
    given = parser.parse_args()
    rounds, seconds = (1, 2.0) if given.quick else (given.rounds, given.seconds)
    found: dict[float, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="load-lag-") as place, nginx() as url:
        body = Path(place) / "body.json"
        body.write_bytes(body_of(100))
        for _ in range(rounds):
            for rate in RATES:
                found.setdefault(rate, []).append(at_rate(url, rate, seconds, body))
        rate = RATES[-1]
        while not all(told["spoiled"] for told in found[rate]) and rate < MOST:
            rate = round(rate * STEP)
            found[rate] = [at_rate(url, rate, seconds, body) for _ in range(rounds)]
    print(f"Poisson, {rounds} rounds of {seconds:g} s, medians; {about_cores()}")
    print(
        f"{'asked, 1/s':>12}{'reached':>10}{'lag p50, us':>13}{'p99, us':>11}{'most, ms':>10}{'latency p99, ms':>17}"
        "  spoiled"
    )
    for rate, runs in found.items():
        lag = {name: middle([told["send_lag_s"][name] for told in runs]) for name in ("p50", "p99", "max")}
        p99 = middle([told["latency_s"]["p99"] for told in runs])
        spoiled = [told["spoiled"] for told in runs if told["spoiled"]]
        print(
            f"{rate:>12,}{middle([told['achieved_rate'] for told in runs]):>10,.0f}{lag['p50'] * 1e6:>13.1f}"
            f"{lag['p99'] * 1e6:>11.1f}{lag['max'] * 1e3:>10.2f}{p99 * 1e3:>17.2f}  {len(spoiled)} of {rounds}"
            f"{': ' + spoiled[-1] if spoiled else ''}"
        )
    print()
    silent = sum(off(told) and not told["spoiled"] for runs in found.values() for told in runs)
    last = [bool(told["spoiled"]) for told in found[max(found)]]
    met = [
        goal("rounds that were off and did not say so", silent, most=0, form="d"),
        goal("rounds of the highest rate that said they were spoiled", sum(last), least=len(last), form="d"),
    ]
    finish(found, given.json, met=all(met))


if __name__ == "__main__":
    main()
