"""Memory of a long run: the generator's peak after ten million requests, against that after one million.

    python benchmarks/load_memory.py [--quick] [--json FILE]

A closed loop of 64 users at full speed against nginx, POST of 100 bytes, everything recorded. The peak is the resident
memory of the generator's process, as the kernel tells it (getrusage). How long each run must be is reckoned from a
short one before it. `--quick` takes a tenth of the requests.

Claim: ten times the requests take at most 50 MiB more.
"""

import tempfile
from pathlib import Path
from typing import Any

from load_kit import about_cores, body_of, finish, goal, harness_load, nginx, options

MIB = 1 << 20
GOAL_MIB = 50.0


def of_length(url: str, seconds: float, body: Path) -> dict[str, Any]:
    told, _ = harness_load(
        url, "--users", "64", "--duration", f"{seconds:.1f}s", "--protocol", "raw", "--payload", str(body),
        reports=body.parent, timeout_s=seconds + 300,
    )  # fmt: skip
    return told


def until(url: str, requests: int, rate: float, body: Path) -> dict[str, Any]:
    """A run of at least so many requests; a busy machine may want a longer one."""
    while True:
        told = of_length(url, 1.02 * requests / rate, body)
        if told["sent"] >= requests:
            return told
        print(f"{told['sent']:,} requests were too few; once more, for longer", flush=True)
        rate = 0.9 * told["achieved_rate"]


def main() -> None:
    given = options(__doc__).parse_args()
    sizes = (100_000, 1_000_000) if given.quick else (1_000_000, 10_000_000)
    with tempfile.TemporaryDirectory(prefix="load-memory-") as place, nginx() as url:
        body = Path(place) / "body.json"
        body.write_bytes(body_of(100))
        rate = of_length(url, 2.0, body)["achieved_rate"]
        found = []
        for size in sizes:
            found.append(until(url, size, rate, body))
            rate = found[-1]["achieved_rate"]
    print(about_cores())
    print(f"{'requests':>12}{'seconds':>10}{'1/s':>10}{'failed':>8}{'peak, MiB':>12}")
    for told in found:
        peak = told["peak_memory_bytes"] / MIB
        print(
            f"{told['sent']:>12,}{told['duration_s']:>10.1f}{told['achieved_rate']:>10,.0f}{told['failed']:>8}{peak:>12.1f}"
        )
    print()
    less, more = (told["peak_memory_bytes"] / MIB for told in found)
    finish(found, given.json, met=goal("growth, MiB", more - less, most=GOAL_MIB, form=".1f"))


if __name__ == "__main__":
    main()
