"""Watch a version in service, and go back to the one before it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from inspect import getattr_static
from typing import Any, Final

from harness.app import Options, analysis_policy, rehearsal, run_sync
from harness.app.building import labels_of
from harness.clock import run_real
from harness.domain.fault import Fault
from harness.domain.lifecycle import Aftercare, Monitor, OnAlarm
from harness.domain.model import ARMS, GivenPlan, Revision, Role
from harness.domain.rollout import Outcome, Pause, RolloutPolicy, SetWeight
from harness.domain.service import Service
from harness.domain.units import MINUTE, WHOLE
from harness.engine.settle import PREVIOUS
from harness.errors import InputError, RollbackError
from harness.facades.preparing import SETTINGS, aliased, at_version, kept, read
from harness.facades.thresholds import USUAL, rules_of
from harness.strategies.blue_green import blue_green_steps

OWN: Final = ("metrics", "thresholds", "monitoring_duration_minutes", "min_requests", "failure_limit")
"""What a policy says besides what `harness.rehearsal` takes."""
WITHIN_LIMITS: Final = "Performance within acceptable limits"
NO_WAY_BACK: Final = "No previous stable version found"
NOT_VERIFIED: Final = "Rollback verification failed"
BASELINE_NS: Final = 3 * MINUTE
"""The version before is looked at for so long, as what the one in service is compared with."""
SMOKE: Final = 5


@dataclass(frozen=True, slots=True)
class RollbackRequest:
    """A version to go back to, and why."""

    model_name: str
    target_version: int
    rollback_reason: str
    rollback_type: str = "automatic"
    from_version: int | None = None
    """What is in service; None: what the registry names stable."""


@dataclass(frozen=True, slots=True)
class RollbackResult:
    """Whether it went back, from what, to what and why."""

    rollback_required: bool
    from_version: int | None = None
    to_version: int | None = None
    reason: str = ""
    successful: bool = False
    """The version before serves, verified, and the registry names it stable."""
    result: Any = None
    """All that is known of the run: `harness.Result`."""


class ModelRollbackSystem:
    """Watches versions in service by a policy per model, and goes back where it must.

    Args:
        config: a mapping or an object: ``rollback_policies`` by model, and ``mlflow_tracking_uri`` where models are
            kept in MLflow. A policy has ``metrics``, ``thresholds`` (`harness.facades.thresholds`),
            ``monitoring_duration_minutes``, and what `harness.rehearsal` takes: traffic, service, faults (those on
            the candidate befall the version in service, those on stable the one before; times count from the start
            of the watch) …
        options: backends of the caller's own, and where runs are kept; default: in memory, simulated.
    """

    def __init__(self, config: Any = None, options: Options | None = None) -> None:
        self.options = kept(options, config)
        self.rollback_policies: Mapping[str, Mapping[str, Any]] = read(config, "rollback_policies") or {}

    def monitor_and_rollback(self, model_name: str, current_version: int | str) -> RollbackResult:
        """Watch the version in service for as long as its policy says, and go back at the first alarm.

        Raises:
            RollbackError: an alarm came and there is no version to go back to, or it could not be verified.
            InputError: the model has no policy, or the registry no such version.
        """
        if model_name not in self.rollback_policies:
            known = ", ".join(self.rollback_policies) or "none"
            raise InputError(f"rollback_policies has none for {model_name!r} (there are: {known}); add one")
        policy = self._policy(model_name)
        current = at_version(self.options.registry, model_name, current_version)
        previous = self._previous(model_name, current)
        minutes = policy.get("monitoring_duration_minutes", 60)
        watch = Monitor("rollback policy", _analysis(policy), OnAlarm.ROLLBACK)
        baseline_ns = _baseline_ns(policy)
        settings = self._settings(model_name, "watch", baseline_ns + _startup_ns(policy))
        scenario = rehearsal(
            RolloutPolicy("blue_green", (Pause(baseline_ns), SetWeight(WHOLE)), None),
            model=model_name,
            stable=previous or current,
            candidate=current,
            aftercare=Aftercare((watch,), round(minutes * MINUTE)),
            **settings,
        )
        result = run_sync(scenario, self._holding)
        if result.outcome == Outcome.PROMOTED:
            within = RollbackResult(rollback_required=False, from_version=_version(current), reason=WITHIN_LIMITS)
            return replace(within, result=result)
        if not any(stage.name == "monitor" for stage in result.stages):
            return self.execute_rollback(model_name, _version(current), result.reason)
        if result.outcome != Outcome.ROLLED_BACK or previous is None:
            told = NOT_VERIFIED if previous else NO_WAY_BACK
            raise RollbackError(f"{told}: {result.reason}", result)
        return _gone_back(current, previous, result.reason, result)

    def execute_rollback(self, model_name: str, current_version: int | str, reason: str) -> RollbackResult:
        """Go back to the version before: its smoke tests, its traffic, verified; then the registry.

        Raises:
            RollbackError: there is none, or it could not be verified; then traffic stays where it is.
            InputError: the registry has no such version.
        """
        current = at_version(self.options.registry, model_name, current_version)
        previous = self._previous(model_name, current)
        if previous is None:
            told = f"{NO_WAY_BACK}: nothing of {model_name} is called {PREVIOUS!r}; traffic stays on {current.revision}"
            raise RollbackError(f"{told}{self.escalate(f'{told} ({reason})')}")
        request = RollbackRequest(model_name, _version(previous), reason, from_version=_version(current))
        result = self.deploy_model(request)
        if result.outcome != Outcome.PROMOTED:
            told = f"{NOT_VERIFIED}: {result.reason}; traffic stays on {current.revision}, a person must look"
            raise RollbackError(f"{told}{self.escalate(told)}", result)
        run_real(self.options.registry.remove_alias, model_name, PREVIOUS)
        run_real(self.options.registry.mark, current.revision, "bad")
        return _gone_back(current, previous, reason, result)

    def deploy_model(self, rollback_request: RollbackRequest) -> Any:
        """Roll the target out over what is in service, at once; answers with the run's `harness.Result`."""
        name, registry = rollback_request.model_name, self.options.registry
        start = rollback_request.from_version
        current = aliased(registry, name, Role.STABLE.value) if start is None else start
        if current is None:
            raise InputError(f"the registry names no version of {name} stable; give from_version")
        settings = self._settings(name, "rollback", 0)
        settings["faults"] = tuple(_swapped(fault) for fault in settings.get("faults", ()))
        scenario = rehearsal(
            RolloutPolicy("blue_green", blue_green_steps(smoke=SMOKE), None),
            model=name,
            stable=at_version(registry, name, current),
            candidate=at_version(registry, name, rollback_request.target_version),
            description=f"{rollback_request.rollback_type} rollback: {rollback_request.rollback_reason}",
            **settings,
        )
        return run_sync(scenario, self._holding)

    def escalate(self, text: str) -> str:
        """Call a person, by every notifier that was given; answers with what could not be delivered."""
        lost = ""
        for word, notifier in self.options.notifiers.items():
            try:
                run_real(notifier.notify, {"text": text, "number": 1})
            except Exception as error:  # noqa: BLE001 - whatever a channel raises, the others are told, and so is the caller
                lost += f"; {word} could not be told: {str(error) or repr(error)}"
        return lost

    # --- what it works with ---

    @property
    def _holding(self) -> Options:
        return replace(self.options, registry=Holding(self.options.registry))

    def _policy(self, name: str) -> Mapping[str, Any]:
        policy = self.rollback_policies.get(name, {})
        if unknown := [key for key in policy if key not in {*OWN, *SETTINGS}]:
            raise InputError(f"a rollback policy has no {unknown[0]!r}; there are {', '.join((*OWN, *SETTINGS))}")
        return policy

    def _settings(self, name: str, what: str, later_ns: int) -> dict[str, Any]:
        policy = self._policy(name)
        settings = {key: value for key, value in policy.items() if key in SETTINGS}
        settings.setdefault("name", f"{what}-{name}")
        settings.setdefault("notify", tuple(self.options.notifiers))
        return settings | {"faults": tuple(_later(fault, later_ns) for fault in policy.get("faults", ()))}

    def _previous(self, name: str, current: GivenPlan) -> GivenPlan | None:
        found = aliased(self.options.registry, name, PREVIOUS)
        if found is None or found.version == _version(current):
            return None
        return at_version(self.options.registry, name, found)


def _gone_back(current: GivenPlan, previous: GivenPlan, reason: str, result: Any) -> RollbackResult:
    return RollbackResult(
        rollback_required=True,
        from_version=_version(current),
        to_version=_version(previous),
        reason=reason,
        successful=True,
        result=result,
    )


class Holding:
    """A registry in which the version before stays what it is, whatever a run promotes.

    To watch a version, or to go back from one, is no new release: what is left behind is nobody's way back.
    """

    def __init__(self, registry: Any) -> None:
        self._registry = registry
        # From Python 3.12 on, isinstance against a protocol sees what an object has, and asks no __getattr__.
        vars(self).update({name: getattr(registry, name) for name in dir(registry) if _promised(registry, name)})

    def __getattr__(self, name: str) -> Any:
        """Everything else is the registry's own."""
        return getattr(self._registry, name)

    async def set_alias(self, revision: Revision, alias: str) -> None:
        """Let the alias name this version, unless it is the one for the version before."""
        if alias != PREVIOUS:
            await self._registry.set_alias(revision, alias)


def _promised(registry: Any, name: str) -> bool:
    """A method that anybody may call, and that is not held back; no property is asked for it."""
    return (
        not name.startswith("_")
        and name != Holding.set_alias.__name__
        and callable(getattr_static(registry, name, None))
    )


def _analysis(policy: Mapping[str, Any]) -> Any:
    rules = rules_of(policy.get("thresholds", USUAL), policy.get("metrics"))
    return analysis_policy(
        *rules, every=MINUTE, min_requests=policy.get("min_requests", 100), failure_limit=policy.get("failure_limit", 0)
    )


def _baseline_ns(policy: Mapping[str, Any]) -> int:
    """Long enough to see the version before, and its true answers where they are known."""
    labels = labels_of(policy.get("labels"))
    return BASELINE_NS + (labels.delay_ns if labels else 0)


def _startup_ns(policy: Mapping[str, Any]) -> int:
    service = policy.get("service", Service())
    startup: int = (service if isinstance(service, Service) else service[Role.CANDIDATE]).startup_ns
    return startup


def _later(fault: Fault, by_ns: int) -> Fault:
    until_ns = None if fault.until_ns is None else fault.until_ns + by_ns
    return replace(fault, at_ns=fault.at_ns + by_ns, until_ns=until_ns)


def _swapped(fault: Fault) -> Fault:
    stable, candidate = ARMS
    roles = {stable: candidate, candidate: stable}
    return replace(fault, on=frozenset(roles.get(role, role) for role in fault.on))


def _version(plan: GivenPlan) -> int:
    return plan.revision.version if plan.revision else 0
