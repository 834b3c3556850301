"""Crashes of the harness in the midst of a real rollout: SIGKILL at moments drawn from a seed, then `harness resume`.

    python benchmarks/crashes.py [--trials 50] [--seed 7] [--scenario scenarios/local_canary.yaml] [--set PATH=VALUE …]

Claim: after each of them traffic ends on a verified revision, the log is whole (each line reads, numbered without a
gap, one end), no process is left, nothing was registered or promoted twice, and the registry's aliases fit the outcome.
The moments: half of them right after a certain event stands in the log (so also between an intent and its effect),
half of them some time later. The scenario is a canary of real processes whose candidate is healthy, made quick.
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.clock import wall_ns
from harness.seeds import stream
from tests.crashes import QUICK, Moment, Trial, tried

EVENTS = (
    ("RunStarted", 1), ("ModelReady", 2), ("Intended", 1), ("Intended", 2), ("Registered", 1), ("AliasSet", 1),
    ("Registered", 2), ("AliasSet", 2), ("TrafficStarted", 1), ("Checkpointed", 1), ("Intended", 7),
    ("ReplicasApplied", 1), ("ReadyChanged", 3), ("Checkpointed", 2), ("StepEntered", 1), ("Routed", 1),
    ("Checkpointed", 3), ("Observed", 3), ("StepEntered", 2), ("StepEntered", 3), ("Routed", 2), ("StepEntered", 4),
    ("StepEntered", 5), ("Routed", 3), ("Measured", 10), ("StepEntered", 6), ("Verified", 1), ("Decided", 1),
    ("AliasSet", 3), ("AliasSet", 4), ("Marked", 1), ("Promoted", 1), ("ReplicasApplied", 2), ("Totalled", 1),
)  # fmt: skip
"""Where it is killed: as soon as so many events of a kind are in the log."""
LATEST_S = 1.5


def moments(trials: int, seed: int) -> list[Moment]:
    """So many, spread over all phases of a run."""
    draws = stream(seed, "crashes").generator()
    found = []
    for number in range(trials):
        event, nth = EVENTS[(number * len(EVENTS)) // trials]
        found.append(Moment(event, nth, round(float(draws.random()) * LATEST_S, 3) if number % 2 else 0.0))
    return found


def main() -> int:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--trials", type=int, default=50)
    given.add_argument("--seed", type=int, default=7)
    given.add_argument("--scenario", type=Path, default=Path("scenarios/local_canary.yaml"))
    given.add_argument("--set", dest="sets", action="append", default=[])
    wanted = given.parse_args()
    done: list[Trial] = []
    began = wall_ns()
    for moment in moments(wanted.trials, wanted.seed):
        with tempfile.TemporaryDirectory(prefix="crash-") as folder:
            done.append(tried(wanted.scenario.resolve(), Path(folder), moment, (*QUICK, *wanted.sets)))
        show(len(done), done[-1])
    safe = sum(not trial.wrong for trial in done)
    killed = sum(trial.killed for trial in done)
    print(f"\n{safe} of {len(done)} safe; {killed} were killed before their end; {(wall_ns() - began) / 1e9:.0f} s")
    for what in ("stood", "outcome"):
        counted = Counter(getattr(trial, what) or "ended" for trial in done).most_common()
        print(f"  {what}: {', '.join(f'{name} {count}' for name, count in counted)}")
    return int(safe != len(done))


def show(number: int, trial: Trial) -> None:
    """One line for each trial, and what is wrong."""
    said = "; ".join(trial.wrong) or "safe"
    print(f"{number:3} {trial.moment!s:28} {trial.stood or 'ended':10} {trial.outcome:12} {said}", flush=True)
    if trial.wrong:
        print(trial.said[-2000:], flush=True)


if __name__ == "__main__":
    sys.exit(main())
