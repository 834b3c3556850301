"""Requests per second through the built-in router and what it adds to an answer, against HAProxy and going direct.

    python benchmarks/router.py [--quick] [--rounds 3] [--seconds 4] [--json FILE]

One nginx with a fixed answer stands for both arms; stable has 90 %, the candidate 10 %. `harness load` asks with
a POST of 200 bytes: 32 users in a closed loop (requests per second), then one (latency: what a router adds is the
difference to going direct, by medians). The router and nginx share one core, the generator has the other. Rounds of all
take turns; medians are told. Besides: the built-in router with sticky users, and with half of stable's requests copied.

Claims: no request fails; at least 1,500 requests/s; at most 1 ms added to the median answer.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import load_peers as peers
from load_kit import SERVER, about_cores, body_of, finish, goal, kept_to, middle, nginx, options, version_of

from harness.backends.builtin import BuiltinRouter
from harness.backends.haproxy import HaproxyRouter
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
if shutil.which("haproxy") is None:
    del KINDS["haproxy"]


@asynccontextmanager
async def before(nginx_url: str, name: str, folder: Path) -> AsyncIterator[str]:
    """The router of that name before nginx; where it is asked."""
    made, want = KINDS[name]
    base = nginx_url.removesuffix("/predict")
    if made is None:
        yield nginx_url
        return
    gateway = made(scenario())
    gateway.place(Place(folder / name.replace(", ", "-"), folder / "state", name.replace(", ", "-"), 1))
    with kept_to(SERVER):
        await gateway.start()
    try:
        await gateway.point({Role.STABLE: (base,), Role.CANDIDATE: (base,)})
        await gateway.apply(want)
        yield f"{gateway.url}/predict"
    finally:
        await gateway.stop()


async def take(url: str, users: int, seconds: float, work: Path) -> dict[str, Any]:
    asked = peers.Asked(url, work / "body.json", seconds, users, work)
    seen = await asyncio.to_thread(peers.harness, asked, "--header", "x-user-id: somebody")
    latency = seen.detail["latency_s"]
    return {"per_s": seen.per_s, "errors": seen.errors, "p50_s": latency["p50"], "p99_s": latency["p99"]}


async def rounds_of(url: str, rounds: int, seconds: float, work: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in KINDS}
    for at in range(rounds):
        for name in KINDS:
            async with before(url, name, work / str(at)) as asked:
                many, one = await take(asked, MANY, seconds, work), await take(asked, 1, seconds, work)
            found[name].append({"many": many, "one": one})
        print(f"round {at + 1} of {rounds}: {about_cores()}", flush=True)
    return found


def figure(seen: list[dict[str, Any]], users: str, name: str) -> float:
    return middle([each[users][name] for each in seen])


def main() -> None:
    parser = options(__doc__, rounds={"type": int, "default": 3}, seconds={"type": float, "default": 4.0})
    given = parser.parse_args()
    rounds, seconds = (1, 1.0) if given.quick else (given.rounds, given.seconds)
    with tempfile.TemporaryDirectory(prefix="router-") as place, nginx() as url:
        work = Path(place)
        (work / "body.json").write_bytes(body_of(SIZE))
        found = asyncio.run(rounds_of(url, rounds, seconds, work))
    versions = ", ".join(version_of(name) for name in ("nginx", "haproxy"))
    print(f"\n{rounds} rounds of {seconds:g} s, medians; {versions}")
    print(
        f"{'':<22}{f'requests/s, {MANY} users':>22}{'p50, one user':>16}{'p99':>10}{'added p50':>12}{'p99':>10}  errors"
    )
    direct = found["direct"]
    errors = 0
    for name, seen in found.items():
        p50, p99 = (figure(seen, "one", which) * 1e3 for which in ("p50_s", "p99_s"))
        more = [p50 - figure(direct, "one", "p50_s") * 1e3, p99 - figure(direct, "one", "p99_s") * 1e3]
        lost = sum(each[users]["errors"] for each in seen for users in ("many", "one"))
        errors += lost
        print(
            f"{name:<22}{figure(seen, 'many', 'per_s'):>22,.0f}{p50:>13.3f} ms{p99:>7.3f} ms{more[0]:>9.3f} ms"
            f"{more[1]:>7.3f} ms  {lost}"
        )
    ours = found["builtin"]
    met = [
        goal("requests that failed", errors, most=0, form=".0f"),
        goal("requests/s of the built-in router", figure(ours, "many", "per_s"), least=1500, form=",.0f"),
        goal(
            "ms that it adds to the median answer",
            (figure(ours, "one", "p50_s") - figure(direct, "one", "p50_s")) * 1e3,
            most=1.0,
        ),
    ]
    finish({"rounds": rounds, "found": found}, given.json, met=all(met))


if __name__ == "__main__":
    main()
