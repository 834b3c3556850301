"""Crashes of the harness in the midst of real rollouts: SIGKILL at moments drawn from a seed, then `harness resume`.

    python benchmarks/crashes.py [--kills 50] [--seed 7] [--workers 2]

Claim: after each of them traffic ends on a verified revision, the log is whole (each line reads, numbered without a
gap, one end), no process is left, nothing was registered or promoted twice, and the registry's aliases fit the outcome.

Each trial is `harness run` as a user types it, with processes as replicas, made quick; by turns a healthy canary
behind the built-in router, one behind HAProxy, a blue-green rollout, a canary that is rolled back, and a rolling
update. Every other kill comes as soon as a certain event stands in the log (so also between an intent and its effect),
the others at moments that are spread evenly over the life of the run, from its first event to the end of the process;
how long that is, one run of each kind tells beforehand. In every fifth trial the harness that has taken the run up is
killed as well.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.clock import wall_ns
from harness.seeds import stream
from tests.crashes import QUICK, Moment, Trial, surely, tried

SCENARIOS: Final = Path(__file__).resolve().parents[1] / "scenarios"
EVENTS: Final = (
    ("RunStarted", 1), ("ModelReady", 2), ("Intended", 1), ("Intended", 2), ("Registered", 1), ("AliasSet", 1),
    ("Registered", 2), ("AliasSet", 2), ("TrafficStarted", 1), ("Checkpointed", 1), ("Intended", 7),
    ("ReplicasApplied", 1), ("ReadyChanged", 3), ("Checkpointed", 2), ("StepEntered", 1), ("Routed", 1),
    ("Checkpointed", 3), ("Observed", 3), ("StepEntered", 2), ("StepEntered", 3), ("Routed", 2), ("StepEntered", 4),
    ("StepEntered", 5), ("Routed", 3), ("Measured", 10), ("StepEntered", 6), ("Verified", 1), ("Decided", 1),
    ("AliasSet", 3), ("AliasSet", 4), ("Marked", 1), ("Promoted", 1), ("ReplicasApplied", 2), ("Totalled", 1),
    ("RunEnded", 1),
)  # fmt: skip
"""Where a canary is killed: as soon as so many events of a kind are in the log."""
COMMON: Final = (
    ("RunStarted", 1), ("Intended", 2), ("Registered", 2), ("StageStarted", 5), ("TrafficStarted", 1),
    ("Checkpointed", 1), ("ReplicasApplied", 1), ("Checkpointed", 3), ("Observed", 4), ("Verified", 1), ("Decided", 1),
    ("Intended", 10), ("AliasSet", 3), ("Promoted", 1), ("Totalled", 1),
)  # fmt: skip
"""Where any other rollout is."""
BAD: Final = (
    ("RunStarted", 1), ("Registered", 2), ("TrafficStarted", 1), ("ReplicasApplied", 1), ("StepEntered", 1),
    ("Routed", 1), ("Checkpointed", 3), ("Measured", 3), ("Decided", 1), ("Routed", 2), ("Verified", 1),
    ("RolledBack", 1), ("Totalled", 1),
)  # fmt: skip
"""Where a canary is that is rolled back."""
LATEST_S: Final = 1.5
AGAIN_S: Final = 5.0
NEVER: Final = Moment("Never")
SHORT: Final = ("expect=[duration < 1h]", "traffic={poisson: 40/s}")


@dataclass(frozen=True)
class Kind:
    """A rollout that is cut off."""

    name: str
    scenario: str
    sets: tuple[str, ...]
    events: tuple[tuple[str, int], ...] = COMMON


CANARY: Final = Kind("canary", "local_canary", QUICK, EVENTS)
KINDS: Final = (
    CANARY,
    Kind("canary, HAProxy", "local_canary", (*QUICK, "backends.router=haproxy"), EVENTS),
    Kind("blue-green", "local_blue_green", (
        *SHORT, "rollout.preview.smoke=3", "rollout.after.every=1s", "rollout.after.looks=3",
        "rollout.after.min_requests=5", "rollout.keep_for=2s",
    )),
    Kind("bad canary", "local_canary", (*QUICK, "inject=[{at: 0s, on: candidate, latency: +150ms}]"), BAD),
    Kind("rolling", "local_rolling", (
        *SHORT, "service.replicas=2", "rollout.min_ready=500ms", "rollout.batch_pause=1s", "rollout.analysis.every=1s",
        "rollout.analysis.min_requests=5",
    )),
)  # fmt: skip
"""By turns."""


def moments(trials: int, seed: int) -> list[Moment]:
    """So many of a canary's, spread over all phases of a run: right after an event, or up to 1.5 s later."""
    draws = stream(seed, "crashes").generator()
    found = []
    for number in range(trials):
        event, nth = EVENTS[(number * len(EVENTS)) // trials]
        found.append(Moment(event, nth, round(float(draws.random()) * LATEST_S, 3) if number % 2 else 0.0))
    return found


def planned(kills: int, seed: int, lives_s: Mapping[str, float]) -> list[tuple[Kind, Moment]]:
    """The kills, over all kinds: of each, by turns one at an event and one at any moment of its life.

    Args:
        kills: how many.
        seed: of the moments.
        lives_s: how long a run of each kind takes from its first event to the end of its process.
    """
    draws = stream(seed, "crashes/planned").generator()
    turns = [KINDS[number % len(KINDS)] for number in range(kills)]
    of_kind = Counter(kind.name for kind in turns)
    done: Counter[str] = Counter()
    found = []
    for number, kind in enumerate(turns):
        place = (done[kind.name] + float(draws.random())) / of_kind[kind.name]  # one in each part of its life
        event, nth = kind.events[int(place * len(kind.events))]
        aimed = (
            Moment(event, nth) if done[kind.name] % 2 else Moment("RunStarted", 1, round(place * lives_s[kind.name], 3))
        )
        again_s = round(float(draws.random()) * AGAIN_S, 3) if number % 5 == 4 else None
        done[kind.name] += 1
        found.append((kind, replace(aimed, again_s=again_s)))
    return found


def of_kind(kind: Kind, moment: Moment) -> Trial:
    """One trial, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        return tried(SCENARIOS / f"{kind.scenario}.yaml", Path(folder), moment, kind.sets)


def killed(kind: Kind, moment: Moment) -> Trial:
    """One trial whose run was killed, a little earlier if need be."""
    return surely(lambda each: of_kind(kind, each), moment)


def life_s(kind: Kind) -> float:
    """How long a run of this kind lives that nobody kills."""
    trial = of_kind(kind, NEVER)
    if trial.wrong:
        raise SystemExit(f"{kind.name}, not killed: {'; '.join(trial.wrong)}\n{trial.said[-2000:]}")
    return trial.life_s


def main() -> int:
    """Print a line for each trial, and the table; the exit code is 1 where the claim does not hold."""
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--kills", type=int, default=50)
    given.add_argument("--seed", type=int, default=7)
    given.add_argument("--workers", type=int, default=2)
    wanted = given.parse_args()
    began = wall_ns()
    with ThreadPoolExecutor(wanted.workers) as pool:
        kinds = {kind.name: kind for kind in KINDS[: wanted.kills]}
        lives_s = dict(zip(kinds, pool.map(life_s, kinds.values()), strict=True))
        print("lives:", ", ".join(f"{name} {life:.1f} s" for name, life in lives_s.items()), flush=True)
        trials = planned(wanted.kills, wanted.seed, lives_s)
        done = []
        for (kind, _), trial in zip(trials, pool.map(lambda each: killed(*each), trials), strict=True):
            done.append(trial)
            show(len(done), kind, trial)
    return table([kind for kind, _ in trials], done, (wall_ns() - began) / 1e9)


def show(number: int, kind: Kind, trial: Trial) -> None:
    """One line for each trial, and what is wrong."""
    said = "; ".join(trial.wrong) or "safe"
    stood = trial.stood or "ended"
    print(f"{number:3} {kind.name:16} {trial.moment!s:44} {stood:18} {trial.outcome:12} {said}", flush=True)
    if trial.wrong:
        print(trial.said[-2000:], flush=True)


def table(kinds: Sequence[Kind], done: Sequence[Trial], took_s: float) -> int:
    """What came of all of them."""
    every = len(done)
    print(f"\n{sum(trial.killed for trial in done)} runs killed, {sum(trial.kills for trial in done)} kills in all")
    for what, counted in (
        ("kind", Counter(kind.name for kind in kinds)),
        ("stood", Counter(trial.stood.partition(",")[0] or "ended" for trial in done)),
        ("outcome", Counter(trial.outcome for trial in done)),
    ):
        print(f"  {what:8} {', '.join(f'{name} {count}' for name, count in counted.most_common())}")
    verified, whole = sum(trial.verified for trial in done), sum(trial.whole for trial in done)
    print(
        f"traffic verified {verified} of {every}, log whole {whole} of {every}, "
        f"orphans {sum(trial.orphans for trial in done)}, "
        f"double registrations {sum(trial.registered_twice for trial in done)}, "
        f"double promotions {sum(trial.promoted_twice for trial in done)}; {took_s:.0f} s"
    )
    return int(any(trial.wrong or not trial.killed for trial in done))


if __name__ == "__main__":
    sys.exit(main())
