"""Counts of replicas that stand for weights: a rollout without a router moves replicas, and traffic follows them."""

from collections.abc import Mapping
from dataclasses import dataclass

from harness.domain.model import Role
from harness.domain.rollout import RolloutPolicy, Rules, Weights
from harness.strategies.counts import Counts, Fleet, Limits, step, target, weights_by_ready
from harness.strategies.state import Count, State


@dataclass(frozen=True, slots=True)
class Moves:
    """From one division of the replicas to another, within what may be added and what may lack."""

    limits: Limits

    @classmethod
    def of(cls, policy: RolloutPolicy, size: int) -> "Moves":
        """Those of a policy, for a service of that size."""
        return cls(Limits.of(size, policy.max_surge, policy.max_unavailable))

    @property
    def size(self) -> int:
        """Replicas that the rollout keeps up in all."""
        return self.limits.replicas

    @property
    def rules(self) -> Rules:
        """Ready replicas never fall below what is allowed, nor do wanted ones exceed it."""
        return Rules(least_ready=self.limits.least, most_replicas=self.limits.most)

    @property
    def at_rest(self) -> Mapping[Role, int]:
        """Before the rollout, and after it was given up: all replicas are stable's."""
        return {Role.STABLE: self.size, Role.CANDIDATE: 0}

    def of_weight(self, weight: int) -> Counts:
        """The counts that stand best for a weight."""
        return target(self.limits, weight)

    def of_candidates(self, count: int) -> Counts:
        """The counts of a rolling update once so many replicas are the candidate's."""
        return Counts(self.size - count, count)

    def toward(self, goal: Counts, state: State) -> Mapping[Role, int]:
        """The next counts on the way to a goal, by what is ready now."""
        moved = step(self.limits, goal, self._fleet(state))
        return {Role.STABLE: moved.stable, Role.CANDIDATE: moved.candidate}

    def arrived(self, goal: Counts, state: State) -> bool:
        """Whether the counts of a goal are asked for, and ready."""
        fleet = self._fleet(state)
        ready = fleet.stable.ready >= goal.stable and fleet.candidate.ready >= goal.candidate
        return fleet.wanted == goal and ready

    def weights(self, state: State) -> Weights:
        """What traffic the arms get by their ready replicas that are to stay."""
        fleet = self._fleet(state)
        counts = {Role.STABLE: fleet.stable, Role.CANDIDATE: fleet.candidate}
        return weights_by_ready({role: min(count.ready, count.wanted) for role, count in counts.items()})

    def _fleet(self, state: State) -> Fleet:
        """What is wanted, and what was last seen ready; before anything was seen stable stands at its full size."""
        ready = {Role.STABLE: self.size, Role.CANDIDATE: 0}
        ready |= {role: state.counts[role].ready for role in ready if role in state.counts}
        stable, candidate = (Count(ready[role], state.spec[role]) for role in (Role.STABLE, Role.CANDIDATE))
        return Fleet(stable, candidate)
