"""Who drives a rollout on real time: one harness at a time; and what dead ones have left running."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from harness import clock
from harness.domain.scenario import Clock, Scenario
from harness.errors import LeaseError
from harness.realtime import Attachable, Guarded
from harness.state import lease as leases
from harness.state.lease import Lease


def rollout_of(scenario: Scenario, platform: Any, run: str) -> str:
    """What is driven, as the lease names it: where the servers are, and the model; a front, whatever is behind it.

    Servers that live and die with the harness are nobody else's: then it is the run itself.
    """
    word, real = scenario.backends.serving, scenario.real
    if not isinstance(platform, Attachable):
        return f"{word}/{run}"
    match word:
        case "kubernetes":
            from harness.backends.kubernetes_reach import server

            where = f"{server(real.kubernetes).rstrip('/')}/{real.kubernetes.namespace}"
        case "http":
            if real.http.front:  # its weights are those of all whom it sends to it, of whatever model
                return f"{word}/{real.http.front.rstrip('/')}"
            where = ",".join(sorted(url for each in real.http.urls.values() for url in each))
        case _:
            where = ""
    return "/".join(part for part in (word, where, scenario.model.name) if part)


@contextmanager
def driving(
    scenario: Scenario,
    platform: Any,
    state: Path,
    run: str,
    lost: Callable[[], object],
    ttl_s: float = leases.TTL_S,
    *,
    resumed: bool = False,
) -> Iterator[Lease | None]:
    """Meanwhile nobody else drives the rollout; None on virtual time, where there is nothing to drive.

    Args:
        scenario: of the run.
        platform: it runs on.
        state: `Place.state`.
        run: its name.
        lost: called, from another thread, where somebody else has taken the rollout over.
        ttl_s: of the lease.
        resumed: the run was cut off; nobody else may have driven the rollout since.

    Raises:
        LeaseError: somebody else drives it, or has driven it since.
    """
    if scenario.clock is not Clock.REAL:
        yield None
        return
    rollout = rollout_of(scenario, platform, run)
    if resumed and (last := leases.last(state, rollout)) and last.run != run and not last.holds:
        raise LeaseError(
            f"run {last.run} has driven {rollout} since {run} was cut off: what that had left is gone, or is not its "
            "own any more; run its scenario again"
        )
    lease = leases.acquire(state, rollout, run, ttl_s)
    with lease.kept(lambda _: lost()):
        yield lease


@contextmanager
def guarding(registry: Any, lease: Lease | None) -> Iterator[None]:
    """Meanwhile a registry that can be changes nothing that the lease does not cover."""
    if lease is None or not isinstance(registry, Guarded):
        yield
        return
    registry.guard(lease.ours)
    try:
        yield
    finally:  # it may be the caller's own, and outlive the run
        registry.guard(nullcontext)


def sweep(state: Path, say: Callable[[str], object]) -> None:
    """End the processes of runs whose harness is dead and that nobody is taking up again; says which.

    Raises:
        BackendError: some are still there.
    """
    if not (state / "processes").exists():
        return
    from harness.backends import processes

    held = {each.run for each in leases.holders(state)}
    dead = {note.run for note in processes.notes(state)} & held
    if len(dead) > 1:  # several are being taken up at this moment: left for the next start
        return
    ended = defaultdict(list)
    spare = next(iter(dead), None)
    for note in clock.run_real(lambda: processes.clean(state, spare=spare)):
        ended[note.run.removesuffix("-staging")].append(note.name)  # a run's own staging environment
    for run, names in ended.items():
        say(
            f"run {run} was cut off and had left {', '.join(sorted(names))}: ended now "
            f"(before another run begins, `harness resume {run}` takes it up)"
        )
