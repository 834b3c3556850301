"""A simulated cluster: arms of replicas under traffic, with faults, drift and late labels.

Two planes. The *control plane* is SimPy: what happens now and then (a replica becomes ready, crashes, starts anew; a
fault begins or ends; the data reach another level of drift; labels arrive). The *request plane* is compiled: between
two control events all requests are arrays. Before each control event the request plane is brought up to it; what is
due at an instant happens before anything is asked or measured at that instant.

Times are integer nanoseconds since traffic began. Nothing here knows the event loop; ``fakes.cluster`` joins them.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import numpy as np
import simpy

from harness import arrivals
from harness.domain.event import ArmTotals, ClassTotals, InputColumn
from harness.domain.fault import Crash, Fault, TrainingFault
from harness.domain.model import ARMS, Role
from harness.domain.rollout import HeaderRoute, Routing
from harness.domain.service import Service
from harness.domain.traffic import Labels, Shares, Traffic
from harness.domain.units import SECOND, WHOLE
from harness.protocols import ArmSample, Notice, Readiness
from harness.seeds import stream
from harness.sim import kernels as k
from harness.sim.ledger import Bucket, Ledger, Rows, Sum
from harness.sim.plane import ClassTally, Mirror, RequestPlane
from harness.sim.population import Answers

ORDER: Final = (Role.BASELINE, Role.STABLE, Role.CANDIDATE, Role.SHADOW)
"""How arms share the traffic: stable in the middle, so that its neighbours take users from it and from nobody else."""
NEVER: Final = 2**63 - 1

T = TypeVar("T")
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
    arms: tuple[Role, ...] = ARMS
    """Those that there will be."""
    members: tuple[Any, ...] = ()
    """For each class of requests the rows that it asks."""


@dataclass(slots=True)
class Replica:
    """One replica's life: wanted or not, ready or not; ``life`` tells its present life from an earlier one."""

    wanted: bool = False
    ready: bool = False
    life: int = 0


@dataclass(slots=True)
class Injected:
    """A fault, and the arms that it befalls now: it goes where the model goes that it was meant for."""

    fault: Fault
    on: frozenset[Role]


class Cluster:
    """All arms, under traffic. Every method first brings the cluster up to the time it is given.

    An arm has a place in the request plane. When a promoted candidate becomes stable for the next rollout, the two
    change places: replicas, queues and laws stay where they are.
    """

    def __init__(self, setting: Setting, answers: Answers | None, notify: Callable[[Notice], None]) -> None:
        self.setting = setting
        self.answers = answers
        self._notify = notify
        self._env = simpy.Environment(initial_time=0)
        self.arms = tuple(role for role in ORDER if role in setting.arms)
        self._place = {role: place for place, role in enumerate(self.arms)}
        self._services = {role: setting.services[role.model] for role in self.arms}
        self._plane = RequestPlane.build(
            seed=setting.seed,
            services=[self._services[role] for role in self.arms],
            rows=answers.rows if answers else 0,
            label_share=setting.labels.share if setting.labels else 0.0,
            walk_ns=setting.walk_ns,
            users=setting.traffic.users,
            classes=setting.traffic.classes,
            members=setting.members,
            mirror=self._mirror(),
        )
        self._reader = arrivals.Reader(arrivals.of(setting.traffic), stream(setting.seed, "arrivals"))
        self._replicas: dict[Role, list[Replica]] = {role: [] for role in self.arms}
        self._probe_stream = stream(setting.seed, "probes")
        self._probes = 0
        self._ledger = Ledger(self.arms, setting.keep_ns)
        self._weights: dict[Role, int] = dict.fromkeys(self.arms, 0)
        self._flowing: frozenset[Role] = frozenset()
        self._exposed: dict[Role, list[tuple[int, int]]] = {role: [] for role in self.arms}
        """Each arm's stretches of traffic, [from, to); the last one is open until NEVER."""
        self._anchor = 0
        self._generation = 0
        """Of models: it rises with each candidate, and what belonged to an earlier one does nothing more."""
        self._faults: list[Injected] = []
        self._met: dict[Role, Any] = {}
        """What users met of earlier candidates."""
        self._worse = 0
        """Bad answers of earlier candidates."""
        for fault in setting.faults:
            self._inject(fault)
        self._befall()
        for role in self.arms:
            self._env.process(self._levels(role, self._generation))
        for shares in setting.traffic.schedule:
            self._env.process(self._mix(shares))
        self._env.process(self._tick(self._anchor))

    def _mirror(self) -> Mirror | None:
        if Role.SHADOW not in self.arms:
            return None
        return Mirror(*(self._place[role] for role in (Role.STABLE, Role.CANDIDATE, Role.SHADOW)))

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
        service = self._services[Role.STABLE]
        self._replicas[Role.STABLE] = [Replica(wanted=True) for _ in range(service.replicas)]
        for index in range(service.replicas):
            self._come_up(Role.STABLE, index)
        self._replicas[Role.CANDIDATE] = []
        self.route(0, Routing({Role.STABLE: WHOLE, Role.CANDIDATE: 0}))

    def scale(self, at_ns: int, wanted: Mapping[Role, int]) -> None:
        """Start what is missing, drain what is too much: what is not ready goes first, then the highest numbers."""
        self.advance(at_ns)
        for role, count in wanted.items():
            replicas = self._replicas[role]
            for index in range(len(replicas), count):
                replicas.append(Replica())
                self._plane.add_replica(self._place[role], index)
            up = sum(replica.wanted for replica in replicas)
            for replica in [each for each in replicas if not each.wanted][: max(count - up, 0)]:
                replica.wanted = True
                replica.life += 1
                self._env.process(self._starting(replica, self._services[role].startup_ns))
            last_first = [(replica.ready, -index) for index, replica in enumerate(replicas) if replica.wanted]
            for _, place in sorted(last_first)[: max(up - count, 0)]:
                replica = replicas[-place]
                replica.wanted, replica.ready = False, False
                replica.life += 1
                self._plane.drain(self._place[role], -place)

    def route(self, at_ns: int, want: Routing) -> None:
        """Send what arrives from now on where it is wanted."""
        self.advance(at_ns)
        weights = {role: want.weights.get(role, 0) for role in self.arms}
        if weights != self._weights:
            self._plane.users_from_now()
        self._weights = weights
        before, self._flowing = self._flowing, self._flows(want)
        for role, stretches in self._exposed.items():
            open_ = bool(stretches) and stretches[-1][1] == NEVER
            if role in self._flowing and not open_:
                stretches.append((at_ns, NEVER))
            elif open_ and role not in self._flowing:
                stretches[-1] = (stretches[-1][0], at_ns)
        self._plane.set_weights([self._weights[role] for role in self._by_place()])
        self._plane.set_sticky(want.sticky)
        if Role.SHADOW in self.arms:
            self._plane.set_mirror(want.mirror)
        for kind in self.setting.traffic.classes:
            routed = any(_carries(kind.headers, route) for route in want.routes)
            self._plane.set_route(kind.name, self._place[Role.CANDIDATE] if routed else None)
        if Role.CANDIDATE in self._flowing:
            self._tell_worse()
        if _exposed(self._flowing) and not _exposed(before):
            self._anchor_at(at_ns)  # looks are taken at whole intervals from here

    def _anchor_at(self, at_ns: int) -> None:
        """Let buckets end at whole intervals from here, as windows do."""
        self._close(at_ns)
        self._anchor = at_ns
        self._env.process(self._tick(at_ns))

    def replace_candidate(
        self, at_ns: int, answers: Answers | None, service: Service, faults: tuple[Fault, ...], *, adopt: bool
    ) -> None:
        """Make room for another candidate; its replicas are to be started by `scale`.

        Args:
            at_ns: Now.
            answers: What the models of the next rollout answer.
            service: The new candidate's servers.
            faults: What befalls the new candidate, or all.
            adopt: What was the candidate is stable from now on, with all that it has; else it is given up.
        """
        self.advance(at_ns)
        self._close(at_ns)
        if self.answers:
            self._worse += self.answers.bad(Role.CANDIDATE, self._ledger.totals[Role.CANDIDATE].answered)
        self._remember(Role.CANDIDATE)
        if adopt:
            flying = {role: self._plane.in_flight(self._place[role]) for role in ARMS}
            self._ledger.hand_over(Role.CANDIDATE, Role.STABLE, flying[Role.CANDIDATE] - flying[Role.STABLE])
            _swap(self._place)
            _swap(self._replicas)
            _swap(self._services)
            _swap(self._exposed)
            self._remember(Role.CANDIDATE, forget=True)
            if mirror := self._mirror():
                self._plane.set_mirrored(mirror)
        self.scale(at_ns, {Role.CANDIDATE: 0})
        self._generation += 1
        self._services[Role.CANDIDATE] = service
        self._plane.set_service(self._place[Role.CANDIDATE], service)
        for injected in self._faults:
            injected.on = _inherited(injected.on, adopt=adopt)
        for fault in faults:
            self._inject(fault)
        self._befall()
        self.answers = answers
        self._ledger.forget_rows()
        for role in self.arms:
            self._env.process(self._levels(role, self._generation))

    def inherited(self, *, adopt: bool) -> tuple[Fault, ...]:
        """What will befall the arms once there is another candidate (`replace_candidate`)."""
        kept = [(injected.fault, _inherited(injected.on, adopt=adopt)) for injected in self._faults]
        return tuple(replace(fault, on=on) for fault, on in kept if on)

    def walked(self, at_ns: int) -> float:
        """How much of the rows users have asked by now, in 0..1, where they walk through them in order."""
        return min(at_ns / self.setting.walk_ns, 1.0) if self.setting.walk_ns else 0.0

    def _flows(self, want: Routing) -> frozenset[Role]:
        """The arms that get requests, or copies."""
        weights, kinds = want.weights, self.setting.traffic.classes
        routed = any(_carries(kind.headers, route) for kind in kinds for route in want.routes)
        found = {role for role in self.arms if weights.get(role)}
        if routed:
            found.add(Role.CANDIDATE)
        if want.mirror:
            found.add(Role.SHADOW)
        return frozenset(found)

    def _by_place(self) -> list[Role]:
        return sorted(self.arms, key=self._place.__getitem__)

    def _remember(self, role: Role, *, forget: bool = False) -> None:
        """Keep what users met at a place whose arm is about to be another."""
        met = self._plane.users(self._place[role])
        if not forget:
            self._met[role] = self._met[role] | met if role in self._met else met
        self._plane.forget_users(self._place[role])

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
        return self._plane.probe(self._place[role], draws)

    def sample(self, start_ns: int, stop_ns: int) -> dict[Role, ArmSample]:
        """What each arm did in ``[start, stop)``; the present bucket ends at ``stop``."""
        self.advance(stop_ns)
        if (stop_ns - self._anchor) % self.setting.grid_ns:
            self._anchor_at(stop_ns)  # an analysis of its own rhythm has begun
        self._close(stop_ns)
        self.advance(stop_ns)  # labels without delay are known at once
        found = self._ledger.window(start_ns, stop_ns)
        return {role: self._arm_sample(role, *found[role], start_ns, stop_ns) for role in self.arms}

    def totals(self, at_ns: int) -> dict[Role, ArmTotals]:
        """What each arm did since traffic began."""
        self.advance(at_ns)
        self._close(at_ns)
        self.advance(at_ns)
        return {role: self._arm_totals(role, at_ns) for role in self.arms}

    def _arm_totals(self, role: Role, at_ns: int) -> ArmTotals:
        total, place = self._ledger.totals[role], self._place[role]
        worse = self.answers.bad(role, total.answered) if self.answers else None
        if worse is not None and role is Role.CANDIDATE:
            worse += self._worse
        sample = self._arm_sample(role, total, self._ledger.labelled[role], 0, at_ns)
        met = self._plane.users(place)
        if role in self._met:
            met = met | self._met[role]
        judged = role is Role.CANDIDATE
        harm = k.FAILED | k.WRONG if judged else k.FAILED
        known = bool(met.size) and role is not Role.SHADOW
        return ArmTotals(
            arrived=total.arrivals,
            succeeded=total.ok,
            failed=total.failed,
            in_flight=self._plane.in_flight(place),
            errors=dict(sorted(total.errors.items())),
            bad=(None if worse is None else worse + total.failed) if judged else 0,
            figures=sample.figures(),
            first_ns=self._plane.first_request_ns(place),
            users=int((met & k.MET > 0).sum()) if known else None,
            harmed=int((met & harm > 0).sum()) if known else None,
            classes={name: _class_totals(tally) for name, tally in total.classes.items()},
        )

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
        place = self._place[role]
        span_ns = self._span_ns(role, start_ns, at_ns)
        ready = sum(replica.ready for replica in self._replicas[role.model if role is Role.SHADOW else role])
        gauges = {"queue_length": float(self._plane.waiting(place, at_ns)), "replicas_ready": float(ready)}
        if ready and span_ns:
            slots = ready * self._services[role].slots
            gauges["utilisation"] = total.busy_ns / (slots * span_ns)
        quality: Mapping[str, float] = {}
        if self.answers and total.answered:
            gauges["drift_score"] = self.answers.drift_score(role, total.answered)
            gauges["prediction_drift"] = self.answers.prediction_drift(role, total.answered)
        labels = 0
        if self.answers and role is Role.SHADOW:
            gauges |= self._agreement(total)
        elif self.answers:
            quality, labels = self.answers.quality(role, labelled) if labelled else {}, self.answers.labelled(labelled)
        return ArmSample(
            requests=total.requests,
            failed=total.failed,
            errors=dict(sorted(total.errors.items())),
            latency=total.latency,
            arrivals=total.arrivals,
            labelled=labels,
            quality=quality,
            span_ns=span_ns,
            gauges=gauges,
            users=int((self._plane.users(place) & k.LATELY > 0).sum()) if self.setting.traffic.users else None,
        )

    def _agreement(self, total: Sum) -> dict[str, float]:
        """How far the copies' answers are from those that users got."""
        if self.answers is None:
            return {}
        found = {
            "agreement": self.answers.agreement(total.paired),
            "score_distance": self.answers.score_distance(total.paired),
        }
        return {name: value for name, value in found.items() if value is not None}

    # --- control events ---

    def _come_up(self, role: Role, index: int) -> None:
        replica = self._replicas[role][index]
        place = self._place[role]
        if index >= self._plane.replicas(place):
            self._plane.add_replica(place, index)
        self._plane.start_replica(place, index)
        replica.ready = True

    def _starting(self, replica: Replica, startup_ns: int) -> Process:
        life = replica.life
        yield self._env.timeout(startup_ns)
        if replica.life == life:
            role, index = self._found(replica)
            self._come_up(role, index)
            self._notify(Notice("replica_ready", (role,), f"replica {index + 1} of {role} is ready"))

    def _found(self, replica: Replica) -> tuple[Role, int]:
        """The arm that a replica belongs to now, and its number there."""
        return next(
            (role, index)
            for role, replicas in self._replicas.items()
            for index, each in enumerate(replicas)
            if each is replica
        )

    def _crash(self, role: Role, count: int) -> int:
        """Kill the first replicas that are up, or on their way; answers with how many there were."""
        alive = [(index, replica) for index, replica in enumerate(self._replicas[role]) if replica.wanted]
        up_first = sorted(alive, key=lambda item: not item[1].ready)[:count]
        for index, replica in up_first:
            if replica.ready:
                self._plane.kill(self._place[role], index)
            replica.ready = False
            replica.life += 1
            self._notify(Notice("replica_crashed", (role,), f"replica {index + 1} of {role} crashed"))
            self._env.process(self._restarting(replica, self._services[role]))
        return len(up_first)

    def _restarting(self, replica: Replica, service: Service) -> Process:
        life = replica.life
        yield self._env.timeout(service.restart_ns)
        if replica.life == life:
            yield from self._starting(replica, service.startup_ns)

    def _inject(self, fault: Fault) -> None:
        injected = Injected(fault, fault.on)
        self._faults.append(injected)
        if not isinstance(fault.effect, TrainingFault):
            self._env.process(self._fault(injected))

    def _befall(self) -> None:
        """Tell the request plane which faults each arm is under."""
        for role in self.arms:
            mine = [injected.fault for injected in self._faults if role.model in injected.on]
            self._plane.set_faults(self._place[role], mine)

    def _fault(self, injected: Injected) -> Process:
        fault = injected.fault
        if fault.at_ns > self._env.now:
            yield self._env.timeout(fault.at_ns - self._env.now)
        began = _arms(injected.on)
        if began:
            self._notify(Notice("fault_began", began, fault.text))
        if isinstance(fault.effect, Crash):
            for role in began:
                if not self._crash(role, fault.effect.count):
                    self._notify(Notice("fault_missed", (role,), f"{role} has no replica to crash: {fault.text}"))
        if fault.until_ns is not None:
            yield self._env.timeout(max(fault.until_ns - self._env.now, 0))
            if ended := _arms(injected.on):
                self._notify(Notice("fault_ended", ended, fault.text))

    def _levels(self, role: Role, generation: int) -> Process:
        answers = self.answers
        if answers is None:
            return
        now = int(self._env.now)
        self._set_level(role, answers.levels.at(role, now))
        for at_ns, level in answers.levels.breakpoints(role):
            if at_ns <= now:
                continue
            yield self._env.timeout(at_ns - self._env.now)
            if generation != self._generation:
                return
            self._set_level(role, level)

    def _set_level(self, role: Role, level: int) -> None:
        self._plane.set_level(self._place[role], level)
        if role is Role.CANDIDATE and role in self._flowing:
            self._tell_worse()

    def _tell_worse(self) -> None:
        """Let the request plane know which rows the candidate answers worse than stable, at the present level."""
        if self.answers and self.setting.traffic.users:
            level = self.answers.levels.at(Role.CANDIDATE, int(self._env.now))
            self._plane.set_worse(self._place[Role.CANDIDATE], level, self.answers.worse(level))

    def _mix(self, shares: Shares) -> Process:
        yield self._env.timeout(shares.at_ns)
        self._plane.set_classes(shares.shares)
        kinds = self.setting.traffic.classes
        text = ", ".join(f"{kind.name} {share:.3g}" for kind, share in zip(kinds, shares.shares, strict=True))
        self._notify(Notice("mix_changed", (), f"classes of requests: {text}"))

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
        tallies = dict(zip(self._by_place(), self._plane.take(), strict=True))
        bucket = self._ledger.close(stop_ns, tallies)
        if self.setting.labels:
            self._env.process(self._labels(bucket, self.setting.labels.delay_ns, self._generation))

    def _labels(self, bucket: Bucket, delay_ns: int, generation: int) -> Process:
        # Counted from the bucket's end, where its last answer was given: no label is used before it is known.
        yield self._env.timeout(bucket.stop_ns + delay_ns - self._env.now)
        if generation == self._generation:  # else they are of models that are judged no more
            self._ledger.labels_arrived(bucket, delay_ns)


def _swap(of: dict[Role, T]) -> None:
    """What belonged to the candidate belongs to stable, and the other way round."""
    of[Role.STABLE], of[Role.CANDIDATE] = of[Role.CANDIDATE], of[Role.STABLE]


def _arms(on: frozenset[Role]) -> tuple[Role, ...]:
    return tuple(role for role in ARMS if role in on)


def _exposed(flowing: frozenset[Role]) -> bool:
    """Whether the candidate answers anything."""
    return any(role.model is Role.CANDIDATE for role in flowing)


def _carries(headers: tuple[tuple[str, str], ...], route: HeaderRoute) -> bool:
    """Whether requests with these headers are meant by a route; names of headers know no case."""
    return any(name.lower() == route.header.lower() and value == route.value for name, value in headers)


def _inherited(on: frozenset[Role], *, adopt: bool) -> frozenset[Role]:
    """Whom a fault befalls once there is another candidate: what was the candidate's goes where it goes.

    >>> sorted(_inherited(frozenset({Role.CANDIDATE}), adopt=True))
    [<Role.STABLE: 'stable'>]
    """
    if set(ARMS) <= on:
        return on
    if adopt:
        return frozenset({Role.STABLE}) if Role.CANDIDATE in on else frozenset()
    return on - {Role.CANDIDATE}


def _class_totals(tally: ClassTally) -> ClassTotals:
    known = tally.latency.count > 0
    p50, p95 = (tally.latency.quantile(q) / SECOND if known else None for q in (0.5, 0.95))
    return ClassTotals(tally.arrivals, tally.ok, tally.failed, p50, p95)
