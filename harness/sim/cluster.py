"""A simulated cluster: two arms of replicas under traffic, with faults, drift and late labels.

Two planes. The *control plane* is SimPy: what happens now and then (a replica becomes ready, crashes, starts anew; a
fault begins or ends; the data reach another level of drift; labels arrive). The *request plane* is compiled: between
two control events all requests are arrays. Before each control event the request plane is brought up to it; what is
due at an instant happens before anything is asked or measured at that instant.

Times are integer nanoseconds since traffic began. Nothing here knows the event loop; ``fakes.cluster`` joins them.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import simpy

from harness import arrivals
from harness.domain.event import ArmTotals, InputColumn
from harness.domain.fault import Crash, Fault, TrainingFault
from harness.domain.model import Role
from harness.domain.rollout import Weights
from harness.domain.service import Service
from harness.domain.traffic import Labels, Traffic
from harness.domain.units import WHOLE
from harness.protocols import ArmSample, Notice, Readiness
from harness.seeds import stream
from harness.sim.ledger import Bucket, Ledger, Rows, Sum
from harness.sim.plane import RequestPlane
from harness.sim.population import Answers

ARMS: Final = (Role.STABLE, Role.CANDIDATE)
NEVER: Final = 2**63 - 1

Process = Generator[simpy.Event, Any, None]


@dataclass(frozen=True, slots=True)
class Setting:
    """What a cluster is built for."""

    seed: int
    services: Mapping[Role, Service]
    traffic: Traffic
    labels: Labels | None
    faults: tuple[Fault, ...]
    grid_ns: int
    """Buckets end at whole multiples of this after the candidate's first request."""
    keep_ns: int
    """The longest window that will be asked for."""
    walk_ns: int | None = None
    """Requests walk through the rows in their order for so long; None: each draws from all of them."""


@dataclass(slots=True)
class Replica:
    """One replica's life: wanted or not, ready or not; ``life`` tells its present life from an earlier one."""

    wanted: bool = False
    ready: bool = False
    life: int = 0


class Cluster:
    """Both arms, under traffic. Every method first brings the cluster up to the time it is given."""

    def __init__(self, setting: Setting, answers: Answers | None, notify: Callable[[Notice], None]) -> None:
        self.setting = setting
        self.answers = answers
        self._notify = notify
        self._env = simpy.Environment(initial_time=0)
        self._plane = RequestPlane.build(
            seed=setting.seed,
            services=[setting.services[role] for role in ARMS],
            rows=answers.rows if answers else 0,
            label_share=setting.labels.share if setting.labels else 0.0,
            walk_ns=setting.walk_ns,
        )
        self._reader = arrivals.Reader(arrivals.of(setting.traffic), stream(setting.seed, "arrivals"))
        self._replicas: dict[Role, list[Replica]] = {role: [] for role in ARMS}
        self._probe_stream = stream(setting.seed, "probes")
        self._probes = 0
        self._ledger = Ledger(ARMS, setting.keep_ns)
        self._weights: dict[Role, int] = dict.fromkeys(ARMS, 0)
        self._exposed: dict[Role, list[tuple[int, int]]] = {role: [] for role in ARMS}
        """Each arm's stretches of traffic, [from, to); the last one is open until NEVER."""
        self._anchor = 0
        for index, role in enumerate(ARMS):
            self._plane.set_faults(index, [fault for fault in setting.faults if role in fault.on])
        for fault in setting.faults:
            if not isinstance(fault.effect, TrainingFault):
                self._env.process(self._fault(fault))
        if answers:
            for role in ARMS:
                self._env.process(self._levels(role))
        self._env.process(self._tick(self._anchor))

    # --- time ---

    def next_ns(self) -> int:
        """When the control plane next has something to do."""
        due = self._env.peek()
        return NEVER if due == simpy.core.Infinity else int(due)

    def advance(self, until_ns: int) -> None:
        """Let everything happen that is due up to and at ``until_ns``; a time gone by changes nothing."""
        while self._env.peek() <= until_ns:
            self._serve(int(self._env.peek()))
            self._env.step()
        self._serve(until_ns)
        if self._env.now < until_ns:
            self._env.run(until=until_ns)

    def _serve(self, until_ns: int) -> None:
        self._plane.advance(self._reader.until(until_ns), until_ns)

    # --- what the harness does to it ---

    def start(self) -> None:
        """Stable stands ready with all traffic, as production does before a rollout."""
        service = self.setting.services[Role.STABLE]
        self._replicas[Role.STABLE] = [Replica(wanted=True) for _ in range(service.replicas)]
        for index in range(service.replicas):
            self._come_up(Role.STABLE, index)
        self._replicas[Role.CANDIDATE] = []
        self.route(0, {Role.STABLE: WHOLE, Role.CANDIDATE: 0})

    def scale(self, at_ns: int, wanted: Mapping[Role, int]) -> None:
        """Start what is missing, drain what is too much: the highest numbers go first, finishing their work."""
        self.advance(at_ns)
        for role, count in wanted.items():
            replicas = self._replicas[role]
            for index in range(len(replicas), count):
                replicas.append(Replica())
                self._plane.add_replica(ARMS.index(role), index)
            for index, replica in enumerate(replicas):
                if index < count and not replica.wanted:
                    replica.wanted = True
                    replica.life += 1
                    self._env.process(self._starting(role, index, replica.life))
                elif index >= count and replica.wanted:
                    replica.wanted, replica.ready = False, False
                    replica.life += 1
                    self._plane.drain(ARMS.index(role), index)

    def route(self, at_ns: int, weights: Weights) -> None:
        """Split what arrives from now on."""
        self.advance(at_ns)
        first = not self._weights[Role.CANDIDATE] and weights.get(Role.CANDIDATE, 0) > 0
        self._weights = {role: weights.get(role, 0) for role in ARMS}
        for role, stretches in self._exposed.items():
            flowing = bool(stretches) and stretches[-1][1] == NEVER
            if self._weights[role] and not flowing:
                stretches.append((at_ns, NEVER))
            elif flowing and not self._weights[role]:
                stretches[-1] = (stretches[-1][0], at_ns)
        self._plane.set_weights([self._weights[role] for role in ARMS])
        if first:  # looks are taken at whole intervals from here, and buckets must end where windows do
            self._close(at_ns)
            self._anchor = at_ns
            self._env.process(self._tick(at_ns))

    # --- what it answers ---

    def readiness(self, at_ns: int) -> dict[Role, Readiness]:
        """Wanted and ready replicas of each arm."""
        self.advance(at_ns)
        return {
            role: Readiness(sum(r.wanted for r in replicas), sum(r.ready for r in replicas))
            for role, replicas in self._replicas.items()
        }

    def probe(self, role: Role, at_ns: int) -> bool:
        """Whether a request of our own to that arm, now, would be answered well and within the client's time-out."""
        self.advance(at_ns)
        self._probes += 1
        draws = self._probe_stream.generator(self._probes).integers(0, 2**64, 3, dtype=np.uint64)
        return self._plane.probe(ARMS.index(role), draws)

    def sample(self, start_ns: int, stop_ns: int) -> dict[Role, ArmSample]:
        """What each arm did in ``[start, stop)``; the present bucket ends at ``stop``."""
        self.advance(stop_ns)
        self._close(stop_ns)
        self.advance(stop_ns)  # labels without delay are known at once
        found = self._ledger.window(start_ns, stop_ns)
        return {role: self._arm_sample(role, *found[role], start_ns, stop_ns) for role in ARMS}

    def totals(self, at_ns: int) -> dict[Role, ArmTotals]:
        """What each arm did since traffic began."""
        self.advance(at_ns)
        self._close(at_ns)
        self.advance(at_ns)
        found = {}
        for index, role in enumerate(ARMS):
            total = self._ledger.totals[role]
            worse = self.answers.bad(role, total.answered) if self.answers else None
            sample = self._arm_sample(role, total, self._ledger.labelled[role], 0, at_ns)
            found[role] = ArmTotals(
                arrived=total.arrivals,
                succeeded=total.ok,
                failed=total.failed,
                in_flight=self._plane.in_flight(index),
                errors=dict(sorted(total.errors.items())),
                bad=0 if role is Role.STABLE else None if worse is None else worse + total.failed,
                figures=sample.figures(),
                first_ns=self._plane.first_request_ns(index),
            )
        return found

    def inputs(self, start_ns: int, stop_ns: int) -> tuple[InputColumn, ...]:
        """The features of the requests answered in ``[start, stop)``; empty without a model in the loop."""
        if self.answers is None:
            return ()
        found = self._ledger.window(start_ns, stop_ns)
        return self.answers.inputs({role: total.answered for role, (total, _) in found.items()})

    def predictions(self, start_ns: int, stop_ns: int) -> Mapping[Role, InputColumn]:
        """What each arm's model answered in ``[start, stop)``; empty without a model in the loop."""
        if self.answers is None:
            return {}
        found = self._ledger.window(start_ns, stop_ns)
        return self.answers.predictions({role: total.answered for role, (total, _) in found.items()})

    def _span_ns(self, role: Role, start_ns: int, stop_ns: int) -> int:
        """How much of ``[start, stop)`` the arm was getting traffic."""
        return sum(max(min(until, stop_ns) - max(since, start_ns), 0) for since, until in self._exposed[role])

    def _arm_sample(self, role: Role, total: Sum, labelled: Rows, start_ns: int, at_ns: int) -> ArmSample:
        index = ARMS.index(role)
        span_ns = self._span_ns(role, start_ns, at_ns)
        ready = sum(replica.ready for replica in self._replicas[role])
        gauges = {"queue_length": float(self._plane.waiting(index, at_ns)), "replicas_ready": float(ready)}
        if ready and span_ns:
            slots = ready * self.setting.services[role].slots
            gauges["utilisation"] = total.busy_ns / (slots * span_ns)
        quality: Mapping[str, float] = {}
        if self.answers and total.answered:
            gauges["drift_score"] = self.answers.drift_score(role, total.answered)
            gauges["prediction_drift"] = self.answers.prediction_drift(role, total.answered)
        if self.answers and labelled:
            quality = self.answers.quality(role, labelled)
        return ArmSample(
            requests=total.requests,
            failed=total.failed,
            errors=dict(sorted(total.errors.items())),
            latency=total.latency,
            arrivals=total.arrivals,
            labelled=self.answers.labelled(labelled) if self.answers else 0,
            quality=quality,
            span_ns=span_ns,
            gauges=gauges,
        )

    # --- control events ---

    def _come_up(self, role: Role, index: int) -> None:
        replica = self._replicas[role][index]
        arm = ARMS.index(role)
        if index >= self._plane.replicas(arm):
            self._plane.add_replica(arm, index)
        self._plane.start_replica(arm, index)
        replica.ready = True

    def _starting(self, role: Role, index: int, life: int) -> Process:
        yield self._env.timeout(self.setting.services[role].startup_ns)
        replica = self._replicas[role][index]
        if replica.life == life:
            self._come_up(role, index)
            self._notify(Notice("replica_ready", (role,), f"replica {index + 1} of {role} is ready"))

    def _crash(self, role: Role, count: int) -> int:
        """Kill the first replicas that are up, or on their way; answers with how many there were."""
        alive = [(index, replica) for index, replica in enumerate(self._replicas[role]) if replica.wanted]
        up_first = sorted(alive, key=lambda item: not item[1].ready)[:count]
        for index, replica in up_first:
            if replica.ready:
                self._plane.kill(ARMS.index(role), index)
            replica.ready = False
            replica.life += 1
            self._notify(Notice("replica_crashed", (role,), f"replica {index + 1} of {role} crashed"))
            self._env.process(self._restarting(role, index, replica.life))
        return len(up_first)

    def _restarting(self, role: Role, index: int, life: int) -> Process:
        yield self._env.timeout(self.setting.services[role].restart_ns)
        if self._replicas[role][index].life == life:
            yield from self._starting(role, index, life)

    def _fault(self, fault: Fault) -> Process:
        on = tuple(role for role in ARMS if role in fault.on)
        yield self._env.timeout(fault.at_ns)
        self._notify(Notice("fault_began", on, fault.text))
        if isinstance(fault.effect, Crash):
            for role in on:
                if not self._crash(role, fault.effect.count):
                    self._notify(Notice("fault_missed", (role,), f"{role} has no replica to crash: {fault.text}"))
        if fault.until_ns is not None:
            yield self._env.timeout(fault.until_ns - fault.at_ns)
            self._notify(Notice("fault_ended", on, fault.text))

    def _levels(self, role: Role) -> Process:
        answers = self.answers
        if answers is None:
            return
        for at_ns, level in answers.levels.breakpoints(role):
            yield self._env.timeout(at_ns - self._env.now)
            self._plane.set_level(ARMS.index(role), level)

    def _tick(self, anchor_ns: int) -> Process:
        """End a bucket at every whole interval, until the grid is anchored anew."""
        while True:
            yield self._env.timeout(self.setting.grid_ns)
            if anchor_ns != self._anchor:
                return
            self._close(int(self._env.now))

    def _close(self, stop_ns: int) -> None:
        if stop_ns <= self._ledger.closed_ns:
            return
        tallies = dict(zip(ARMS, self._plane.take(), strict=True))
        bucket = self._ledger.close(stop_ns, tallies)
        if self.setting.labels:
            self._env.process(self._labels(bucket, self.setting.labels.delay_ns))

    def _labels(self, bucket: Bucket, delay_ns: int) -> Process:
        # Counted from the bucket's end, where its last answer was given: no label is used before it is known.
        yield self._env.timeout(bucket.stop_ns + delay_ns - self._env.now)
        self._ledger.labels_arrived(bucket, delay_ns)
