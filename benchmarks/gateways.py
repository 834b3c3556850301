"""The built-in router against HAProxy, and against no router at all, in one run; and what both of them keep.

    python benchmarks/gateways.py [--quick] [--rounds 3] [--seconds 4] [--requests 5000] [--json FILE]

One nginx with a fixed answer stands for both arms; stable has 90 %, the candidate 10 %. `harness load` asks with
a POST of 200 bytes: 32 users in a closed loop (requests per second, and requests per second of the router's own
processor time, as the kernel counts it: what one core could do), then one user (latency: what a router adds is the
difference to going direct, by medians of the rounds). The router and nginx share one core, the generator has the other.
Rounds of all take turns. Besides: the built-in router with sticky users, and with half of stable's requests copied.

Then the contract of gateways (`harness.contracts.check_gateway`) with many requests, on both routers.

Claims: no request fails; at least 1,500 requests/s; at most 1 ms added to the median answer; every promise is kept.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import load_peers as peers
from load_kit import SERVER, about_cores, body_of, finish, goal, kept_to, middle, nginx, options, version_of

from harness.backends import processes
from harness.backends.builtin import BuiltinRouter
from harness.backends.haproxy import HaproxyRouter
from harness.contracts import check_gateway, passed_of
from harness.domain.model import Role
from harness.domain.rollout import Routing
from harness.realtime import Gateway, Place
from tests.build import scenario

MANY, SIZE = 32, 200
WEIGHTS = {Role.STABLE: 9000, Role.CANDIDATE: 1000}
KINDS: dict[str, tuple[Callable[..., Gateway] | None, Routing]] = {
    "direct": (None, Routing(WEIGHTS)),
    "builtin": (BuiltinRouter, Routing(WEIGHTS)),
    "haproxy": (HaproxyRouter, Routing(WEIGHTS)),
    "builtin, sticky": (BuiltinRouter, Routing(WEIGHTS, sticky=True)),
    "builtin, half copied": (BuiltinRouter, Routing(WEIGHTS, mirror=5000)),
}
if shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin") is None:
    del KINDS["haproxy"]
TICKS_S = os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def before(nginx_url: str, name: str, folder: Path) -> AsyncIterator[tuple[str, int | None]]:
    """The router of that name before nginx; where it is asked, and its process."""
    made, want = KINDS[name]
    base = nginx_url.removesuffix("/predict")
    if made is None:
        yield nginx_url, None
        return
    gateway, run = made(scenario()), name.replace(", ", "-").replace(" ", "-")
    gateway.place(Place(folder / run, folder / "state", run, 1))
    with kept_to(SERVER):
        await gateway.start()
    try:
        await gateway.point({Role.STABLE: (base,), Role.CANDIDATE: (base,)})
        await gateway.apply(want)
        yield f"{gateway.url}/predict", processes.notes(folder / "state", run)[0].pid
    finally:
        await gateway.stop()


def cpu_s(pid: int | None) -> float:
    """User and system time of a process so far (proc(5), fields 14 and 15)."""
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_S


async def take(url: str, pid: int | None, users: int, seconds: float, work: Path) -> dict[str, Any]:
    asked = peers.Asked(url, work / "body.json", seconds, users, work)
    began_s = cpu_s(pid)
    seen = await asyncio.to_thread(peers.harness, asked, "--header", "x-user-id: somebody")
    used_s, latency = cpu_s(pid) - began_s, seen.detail["latency_s"]
    return {
        "per_s": seen.per_s,
        "per_core_s": seen.requests / used_s if used_s else None,
        "errors": seen.errors,
        "p50_s": latency["p50"],
        "p99_s": latency["p99"],
    }


async def rounds_of(url: str, rounds: int, seconds: float, work: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in KINDS}
    for at in range(rounds):
        for name in KINDS:
            async with before(url, name, work / str(at)) as (asked, pid):
                many = await take(asked, pid, MANY, seconds, work)
                one = await take(asked, pid, 1, seconds, work)
            found[name].append({"many": many, "one": one})
        print(f"round {at + 1} of {rounds}: {about_cores()}", flush=True)
    return found


def figure(seen: list[dict[str, Any]], users: str, name: str) -> float:
    return middle([each[users][name] for each in seen])


def table(found: dict[str, list[dict[str, Any]]]) -> int:
    """Print it; how many requests failed."""
    print(
        f"{'':<22}{f'requests/s, {MANY} users':>22}{'per core':>10}{'p50, one user':>16}{'p99':>10}"
        f"{'added p50':>12}{'p99':>10}  errors"
    )
    errors = 0
    for name, seen in found.items():
        p50, p99 = (figure(seen, "one", which) * 1e3 for which in ("p50_s", "p99_s"))
        more = [
            p50 - figure(found["direct"], "one", "p50_s") * 1e3,
            p99 - figure(found["direct"], "one", "p99_s") * 1e3,
        ]
        lost = sum(each[users]["errors"] for each in seen for users in ("many", "one"))
        errors += lost
        core = figure(seen, "many", "per_core_s")
        print(
            f"{name:<22}{figure(seen, 'many', 'per_s'):>22,.0f}{'' if core != core else f'{core:,.0f}':>10}"
            f"{p50:>13.3f} ms{p99:>7.3f} ms{more[0]:>9.3f} ms{more[1]:>7.3f} ms  {lost}"
        )
    return errors


def ratios(found: dict[str, list[dict[str, Any]]]) -> None:
    """What HAProxy and going direct do for each request of ours."""
    ours = figure(found["builtin"], "many", "per_s")
    for name in ("haproxy", "direct"):
        if name in found:
            ratio = figure(found[name], "many", "per_s") / ours
            print(f"requests/s of {name}, to one of the built-in router: {ratio:.1f}")
    if "haproxy" in found:
        per_core = [figure(found[name], "many", "per_core_s") for name in ("haproxy", "builtin")]
        print(f"per core of haproxy, to one of the built-in router: {per_core[0] / per_core[1]:.1f}")


def promises(requests: int) -> dict[str, list[str]]:
    """The contract on each router; empty where a promise was broken."""
    kept: dict[str, list[str]] = {}
    for name in ("builtin", "haproxy"):
        made = KINDS.get(name, (None,))[0]
        if made is None:
            continue
        try:
            ran = asyncio.run(check_gateway(lambda made=made: made(scenario()), requests=requests))  # type: ignore[misc]
        except AssertionError as error:
            print(f"{name}: {error}")
            kept[name] = []
        else:
            print(f"{name}, {requests} requests in each check of shares: {passed_of(ran)}")
            kept[name] = [str(each) for each in ran]
    return kept


def main() -> None:
    more = {"rounds": {"type": int, "default": 3}, "seconds": {"type": float, "default": 4.0}}
    parser = options(__doc__, **more, requests={"type": int, "default": 5000})
    given = parser.parse_args()
    rounds, seconds, requests = (1, 1.0, 300) if given.quick else (given.rounds, given.seconds, given.requests)
    with tempfile.TemporaryDirectory(prefix="gateways-") as place, nginx() as url:
        work = Path(place)
        (work / "body.json").write_bytes(body_of(SIZE))
        found = asyncio.run(rounds_of(url, rounds, seconds, work))
    versions = ", ".join(version_of(name) for name in ("nginx", "haproxy"))
    print(f"\n{rounds} rounds of {seconds:g} s, medians; {versions}")
    errors = table(found)
    ratios(found)
    kept = promises(requests)
    ours = found["builtin"]
    added_s = figure(ours, "one", "p50_s") - figure(found["direct"], "one", "p50_s")
    met = [
        goal("requests that failed", errors, most=0, form=".0f"),
        goal("requests/s of the built-in router", figure(ours, "many", "per_s"), least=1500, form=",.0f"),
        goal("ms that it adds to the median answer", added_s * 1e3, most=1.0),
        goal("routers that keep every promise", sum(map(bool, kept.values())), least=len(kept), form=".0f"),
    ]
    finish({"rounds": rounds, "found": found, "contract": kept}, given.json, met=all(met))


if __name__ == "__main__":
    main()
