"""A simulated cluster: arms of replicas under traffic, with faults, drift and late labels.

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
from harness.domain.fault import Fault
from harness.domain.model import ARMS, Role
from harness.domain.rollout import Routing
from harness.domain.service import Service
from harness.domain.traffic import Labels, Shares, Traffic
from harness.domain.units import WHOLE
from harness.protocols import ArmSample, Notice, Readiness
from harness.seeds import stream
from harness.sim import kernels as k
from harness.sim.befall import Faults
from harness.sim.classes import class_totals
from harness.sim.exposure import Exposure, carries, flows
from harness.sim.fleet import Fleet
from harness.sim.ledger import Bucket, Ledger, Rows, Sum
from harness.sim.plane import Mirror, RequestPlane
from harness.sim.population import Answers

ORDER: Final = (Role.BASELINE, Role.STABLE, Role.CANDIDATE, Role.SHADOW)
"""How arms share the traffic: stable in the middle, so that its neighbours take users from it and from nobody else."""
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
    arms: tuple[Role, ...] = ARMS
    """Those that there will be."""
    members: tuple[Any, ...] = ()
    """For each class of requests the rows that it asks."""
    until_ns: int | None = None
    """No request comes from then on; None: traffic has no such end."""


class Cluster:
    """All arms, under traffic. Every method first brings the cluster up to the time it is given.

    An arm has its place in the request plane for good. When a promoted candidate becomes stable for the next rollout,
    the two exchange their replicas, with what these have in service and in their queues.
    """

    def __init__(self, setting: Setting, answers: Answers | None, notify: Callable[[Notice], None]) -> None:
        self.setting = setting
        self.answers = answers
        self._notify = notify
        self._env = simpy.Environment(initial_time=0)
        self.arms = tuple(role for role in ORDER if role in setting.arms)
        self._place = {role: place for place, role in enumerate(self.arms)}
        services = {role: setting.services[role.model] for role in self.arms}
        self._plane = RequestPlane.build(
            seed=setting.seed,
            services=list(services.values()),
            rows=answers.rows if answers else 0,
            label_share=setting.labels.share if setting.labels else 0.0,
            walk_ns=setting.walk_ns,
            users=setting.traffic.users,
            classes=setting.traffic.classes,
            members=setting.members,
            mirror=self._mirror(),
        )
        self._reader = arrivals.Reader(arrivals.of(setting.traffic), stream(setting.seed, "arrivals"))
        self._fleet = Fleet(self._env, self._plane, services, notify)
        self._faults = Faults(self._env, self._fleet.crash, notify)
        self._probe_stream = stream(setting.seed, "probes")
        self._probes = 0
        self._ledger = Ledger(self.arms, setting.keep_ns)
        self._weights: dict[Role, int] = dict.fromkeys(self.arms, 0)
        self._exposure = Exposure(self.arms)
        self._anchor = 0
        self._generation = 0
        """Of models: it rises with each candidate, and what belonged to an earlier one does nothing more."""
        self._worse = 0
        """Bad answers of earlier candidates."""
        self._faults.inject(setting.faults)
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
        last_ns = until_ns if self.setting.until_ns is None else min(until_ns, self.setting.until_ns)
        self._plane.advance(self._reader.until(last_ns), until_ns)

    # --- what the harness does to it ---

    def start(self) -> None:
        """Stable stands ready with all traffic, as production does before a rollout."""
        self._fleet.start(Role.STABLE)
        self.route(0, Routing({Role.STABLE: WHOLE, Role.CANDIDATE: 0}))

    def scale(self, at_ns: int, wanted: Mapping[Role, int]) -> None:
        """Start what is missing, drain what is too much: what is not ready goes first, then the highest numbers."""
        self.advance(at_ns)
        for role, count in wanted.items():
            self._fleet.scale(role, count)

    def route(self, at_ns: int, want: Routing) -> None:
        """Send what arrives from now on where it is wanted."""
        self.advance(at_ns)
        weights = {role: want.weights.get(role, 0) for role in self.arms}
        if weights != self._weights:
            self._plane.users_from_now()
        self._weights = weights
        before, kinds = self._exposure.candidate, self.setting.traffic.classes
        self._exposure.change(at_ns, flows(want, self.arms, kinds))
        self._plane.set_weights([self._weights[role] for role in self.arms])
        self._plane.set_sticky(want.sticky)
        if Role.SHADOW in self.arms:
            self._plane.set_mirror(want.mirror)
        for kind in kinds:
            routed = any(carries(kind.headers, route) for route in want.routes)
            self._plane.set_route(kind.name, self._place[Role.CANDIDATE] if routed else None)
        if Role.CANDIDATE in self._exposure.flowing:
            self._tell_worse()
        if self._exposure.candidate and not before:
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

        Stable has all the traffic afterwards, and no other arm has a replica. What is in flight is counted for the arm
        that it came to, but as an answer of no model: it is asked nothing of its rows.

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
        if adopt:
            self._fleet.exchange(Role.STABLE, Role.CANDIDATE)
        self.route(at_ns, Routing({Role.STABLE: WHOLE}))
        self.scale(at_ns, {role: 0 for role in self.arms if role not in {Role.STABLE, Role.SHADOW}})
        self._generation += 1
        self._put_laws(service)
        self._faults.move(adopt=adopt)
        self._faults.inject(faults)
        self._befall()
        self.answers = answers
        self._plane.forget_first(self._place[Role.CANDIDATE])
        self._plane.forget_answers()
        self._ledger.forget_rows()
        for role in self.arms:
            self._env.process(self._levels(role, self._generation))

    def _put_laws(self, candidate: Service) -> None:
        """What answers with the new candidate's model follows this law, and what answers with stable's, stable's."""
        laws = {Role.CANDIDATE: candidate, Role.STABLE: self._fleet.services[Role.STABLE]}
        for role in self.arms:
            self._fleet.services[role] = laws[role.model]
            self._plane.set_service(self._place[role], laws[role.model])

    def inherited(self, *, adopt: bool) -> tuple[Fault, ...]:
        """What will befall the arms once there is another candidate (`replace_candidate`)."""
        return self._faults.inherited(adopt=adopt)

    def walked(self, at_ns: int) -> float:
        """How much of the rows users have asked by now, in 0..1, where they walk through them in order."""
        return min(at_ns / self.setting.walk_ns, 1.0) if self.setting.walk_ns else 0.0

    # --- what it answers ---

    def readiness(self, at_ns: int) -> dict[Role, Readiness]:
        """Wanted and ready replicas of each arm."""
        self.advance(at_ns)
        return dict(self._fleet.readiness())

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
        gauges = self._gauges({role: total for role, (total, _) in found.items()}, start_ns, stop_ns)
        return {role: self._arm_sample(role, *found[role], gauges[role], start_ns, stop_ns) for role in self.arms}

    def totals(self, at_ns: int) -> dict[Role, ArmTotals]:
        """What each arm did since traffic began."""
        self.advance(at_ns)
        self._close(at_ns)
        self.advance(at_ns)
        gauges = self._gauges(self._ledger.totals, 0, at_ns)
        return {role: self._arm_totals(role, gauges[role], at_ns) for role in self.arms}

    def _arm_totals(self, role: Role, gauges: dict[str, float], at_ns: int) -> ArmTotals:
        total, place = self._ledger.totals[role], self._place[role]
        worse = self.answers.bad(role, total.answered) if self.answers else None
        if worse is not None and role is Role.CANDIDATE:
            worse += self._worse
        sample = self._arm_sample(role, total, self._ledger.labelled[role], gauges, 0, at_ns)
        judged = role is Role.CANDIDATE
        return ArmTotals(
            arrived=total.arrivals,
            succeeded=total.ok,
            failed=total.failed,
            in_flight=self._plane.in_flight(place),
            errors=dict(sorted(total.errors.items())),
            bad=(None if worse is None else worse + total.failed) if judged else 0,
            figures=sample.figures(),
            first_ns=self._plane.first_request_ns(place),
            users=self._users(role, k.MET),
            harmed=self._users(role, k.FAILED | k.WRONG if judged else k.FAILED),
            classes={name: class_totals(tally) for name, tally in total.classes.items()},
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

    def _gauges(self, totals: Mapping[Role, Sum], start_ns: int, stop_ns: int) -> dict[Role, dict[str, float]]:
        """What is measured of each arm's replicas at ``stop``, or over the window; copies are the candidate's work."""
        ready = {role: state.ready for role, state in self._fleet.readiness().items()}
        found = {}
        for role in self.arms:
            owner = Role.CANDIDATE if role is Role.SHADOW else role
            queue = self._plane.waiting(self._place[owner], stop_ns)
            found[role] = {"queue_length": float(queue), "replicas_ready": float(ready[owner])}
            asked = (owner, Role.SHADOW) if owner is Role.CANDIDATE else (owner,)
            slots_ns = (
                ready[owner] * self._fleet.services[owner].slots * self._exposure.span_ns(asked, start_ns, stop_ns)
            )
            if slots_ns:
                found[role]["utilisation"] = totals[owner].busy_ns / slots_ns
        return found

    def _arm_sample(
        self, role: Role, total: Sum, labelled: Rows, gauges: dict[str, float], start_ns: int, stop_ns: int
    ) -> ArmSample:
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
            span_ns=self._exposure.span_ns((role,), start_ns, stop_ns),
            gauges=gauges,
            users=self._users(role, k.LATELY),
        )

    def _users(self, role: Role, met: int) -> int | None:
        """How many users have met one of these at the arm; None where users are not known, as of copies."""
        if not self.setting.traffic.users or role is Role.SHADOW:
            return None
        return int((self._plane.users(self._place[role]) & met > 0).sum())

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

    def _befall(self) -> None:
        """Tell the request plane which faults each arm is under."""
        for role in self.arms:
            self._plane.set_faults(self._place[role], self._faults.on(role))

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
        if role is Role.CANDIDATE and role in self._exposure.flowing:
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
        tallies = dict(zip(self.arms, self._plane.take(), strict=True))
        bucket = self._ledger.close(stop_ns, tallies)
        if self.setting.labels:
            self._env.process(self._labels(bucket, self.setting.labels.delay_ns, self._generation))

    def _labels(self, bucket: Bucket, delay_ns: int, generation: int) -> Process:
        # Counted from the bucket's end, where its last answer was given: no label is used before it is known.
        yield self._env.timeout(bucket.stop_ns + delay_ns - self._env.now)
        if generation == self._generation:  # else they are of models that are judged no more
            self._ledger.labels_arrived(bucket, delay_ns)
