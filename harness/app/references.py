"""What a scenario refers to, held against it before anything runs: the same checks as a run makes, and all at once."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.app import drift_checks
from harness.app.attempts import experiments_of, search_of
from harness.app.installed import lacking, planned
from harness.app.loadtold import asked, is_live
from harness.app.lookup import Lookup
from harness.app.scenarios import timeline
from harness.backends.uri import FORGETFUL
from harness.domain.fault import Fault, LabelDrift, Missing, Scale, Shift, Swap
from harness.domain.load import OpenLoop
from harness.domain.model import (
    ARMS,
    ArtifactPlan,
    ExperimentsPlan,
    PredictionsPlan,
    RegisteredPlan,
    Role,
    TrainPlan,
    UriPlan,
)
from harness.domain.scenario import Scenario
from harness.domain.traffic import Trace
from harness.domain.units import duration_text
from harness.errors import BackendError, InputError, Problem, ScenarioError, Unreachable

if TYPE_CHECKING:
    from harness.data.dataset import Dataset
    from harness.data.split import Rows

REAL = ("http", "kubernetes", "local")
"""Words of `backends.serving` whose users ask real servers."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found, for people."""

    found: tuple[str, ...]
    notes: tuple[str, ...]
    """What a run would not refuse, and its reader should know."""

    def __str__(self) -> str:
        """What was found, in one line."""
        return "; ".join(self.found)


@dataclass(slots=True)
class _Told:
    """Problems, each at the key of the scenario that refers to what is wrong."""

    scenario: Scenario
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, message: str, *key: str | int) -> None:
        from harness.scenario import place_in

        place = place_in(self.scenario, key)
        self.problems += [place.problem(line) for line in message.splitlines()]

    @contextmanager
    def at(self, *key: str | int) -> Iterator[None]:
        """What is wrong inside is told at this key, and the next check goes on."""
        try:
            yield
        except Unreachable as error:  # a server that is down now may be up when the scenario is run
            self.notes.append(f"{'.'.join(map(str, key))} was not looked up: {error}")
        except (InputError, BackendError) as error:
            self.add(str(error), *key)


def check_references(scenario: Scenario) -> Findings:
    """Hold the data against its schema, its labels against the task, and models, parameters and drifts against it.

    Raises:
        ScenarioError: with everything that the scenario refers to and a run could not use.
    """
    told = _Told(scenario)
    found = [f"{scenario.rollout.strategy}, {len(planned(scenario).rollout.steps)} steps"]
    traffic = _traffic(scenario, told)
    data = _data(scenario, told)
    training, held = None, None
    if data:
        found.append(f"{len(data.frame)} rows of {Path(data.plan.source).name}")
        if scenario.model.data and scenario.model.data.known:
            with told.at("labels"):
                data.known()
        if not told.problems:
            with told.at("model", "data"):
                training, held = data.split(scenario.seed)
    if held:
        _drifts(scenario.faults, held, told, "inject")
        _classes(scenario, held, told)
        _evaluation(scenario, held, told)
    if data:
        with told.at("model", "data", "drift"):
            found += drift_checks.check(data.plan)
    lack = lacking(scenario)
    lookup = None if lack else Lookup(scenario.backends, scenario.model.trust_pickle)
    for role in ARMS:
        found += _model(scenario, role, training, held, told, "model", role.value)
        found += _stored(scenario, role, lookup, held, told, "model", role.value)
    for number, newer in enumerate(scenario.successors):
        later = replace(scenario, model=replace(scenario.model, candidate=newer.candidate), faults=newer.faults)
        key = ("successors", number, "candidate")
        if held:
            _drifts(newer.faults, held, told, "successors", number, "inject")
        found += _model(later, Role.CANDIDATE, training, held, told, *key)
        found += _stored(later, Role.CANDIDATE, lookup, held, told, *key)
    found += _retraining(scenario, training, told)
    _users(scenario, told)
    found += _load(scenario, told)
    found += _gates(scenario, held, told)
    found += _prometheus(scenario, told)
    if told.problems:
        raise ScenarioError(sorted(told.problems, key=lambda problem: (problem.line, problem.column)))
    notes = (*traffic, *(data.notes if data else ()), *told.notes, *timeline(scenario).overloads)
    return Findings(tuple(found), (*notes, f"not to be run here: {lack}") if lack else notes)


def _users(scenario: Scenario, told: _Told) -> None:
    """What rehearsed users meet, and real ones cannot."""
    if scenario.backends.serving in REAL:
        from harness.users import scope

        with told.at("inject"):
            scope.check(scenario)
    if scenario.backends.serving == "kubernetes":
        from harness.backends import kubernetes_scope

        with told.at("inject"):
            kubernetes_scope.check_faults(scenario)
        with told.at("real"):
            kubernetes_scope.check_models(scenario)
    if scenario.staging or scenario.load:
        from harness.backends import staging_scope

        with told.at("staging" if scenario.staging else "load"):
            staging_scope.check(scenario)


def _traffic(scenario: Scenario, told: _Told) -> tuple[str, ...]:
    """Notes on the recording, where there is one."""
    trace = scenario.traffic.curve
    if not isinstance(trace, Trace):
        return ()
    from harness.arrivals import replay

    notes: list[str] = []
    with told.at("traffic", "trace"):
        notes += replay.notes(trace)
        lasts, takes = replay.length_ns(trace), timeline(scenario).total_ns
        if not trace.repeat and lasts < takes:
            notes.append(
                f"traffic ends after {duration_text(lasts)} with its recording, and the policy takes "
                f"{duration_text(takes)}; add repeat: true"
            )
    return tuple(notes)


def _data(scenario: Scenario, told: _Told) -> "Dataset | None":
    plan = scenario.model.data
    if plan is None:
        return None
    from harness.data import dataset

    try:
        data = dataset.load(plan)
    except InputError as error:
        told.add(str(error), "model", "data")
        return None
    for failure in data.failures:
        told.add(str(failure), "model", "data", "source")
    return None if data.failures else data


def _drifts(faults: Sequence[Fault], held: "Rows", told: _Told, *key: str | int) -> None:
    from harness.drift import inject

    for number, fault in enumerate(faults):
        if isinstance(fault.effect, Shift | Scale | Swap | Missing | LabelDrift):
            with told.at(*key, number, "drift"):
                inject.check(held.rows, fault.effect)


def _evaluation(scenario: Scenario, held: "Rows", told: _Told) -> None:
    plan, data = scenario.model.evaluation, scenario.model.data
    if plan is None or data is None:
        return
    from harness.training.examine import hold

    with told.at("model", "evaluation"):
        hold(plan, held.rows, data.target)


def _classes(scenario: Scenario, held: "Rows", told: _Told) -> None:
    from harness.sim.classes import rows_of

    for number, kind in enumerate(scenario.traffic.classes):
        with told.at("traffic", "classes", number, "rows"):
            rows_of(kind, held.rows)


def _load(scenario: Scenario, told: _Told) -> Iterator[str]:
    """The load test: its recording, what it sends to a live endpoint, and that somebody must consent to it."""
    plan = scenario.load
    if plan is None:
        return
    from harness import arrivals
    from harness.load import consent, payloads

    if isinstance(plan.pace, OpenLoop):
        with told.at("load", "arrivals"):
            arrivals.of(plan.pace.traffic)  # a recording that cannot be used is told here
    if told.problems:
        return
    if plan.payload:
        with told.at("load", "payload"):
            payloads.read(plan.payload, plan.speech)
    if is_live(scenario) and plan.url:
        try:
            consent.check_target(plan.url)
        except InputError as error:  # a setting, or a flag of the run, may consent to it
            told.notes.append(f"load.url: {error}")
    yield f"a load test {asked(scenario, plan)}"


def _gates(scenario: Scenario, held: "Rows | None", told: _Told) -> Iterator[str]:
    """Gates that are no rules, each at the scenario's gates."""
    from harness.app import gatechecks

    for plan in scenario.model.checks:
        with told.at("model", "gates"):
            gatechecks.wrong(plan, scenario, held)
    told.notes += gatechecks.notes(scenario)
    if scenario.model.checks:
        yield f"{len(scenario.model.gates) + len(scenario.model.checks)} gates"


def _prometheus(scenario: Scenario, told: _Told) -> Sequence[str]:
    """What it would be asked, where the figures come from there."""
    if scenario.backends.metrics != "prometheus":
        return ()
    from harness.app import prometheus_checks

    found = prometheus_checks.check(scenario)
    for key, message in found.problems:
        told.add(message, *key)
    told.notes += found.notes
    return found.words


def _retraining(scenario: Scenario, training: "Rows | None", told: _Told) -> Iterator[str]:
    plan = scenario.aftercare.retrain if scenario.aftercare else None
    if plan is None or training is None or not isinstance(plan.source, TrainPlan):
        return
    from harness.training.fit import try_out

    with told.at("monitoring", "retrain"):
        try_out(plan.source.algorithm, plan.source.params, training, plan.source.features)
        yield f"a challenger can be trained: {plan.source.algorithm}{_given(plan.source.params)}"


def _model(
    scenario: Scenario, role: Role, training: "Rows | None", held: "Rows | None", told: _Told, *key: str | int
) -> Iterator[str]:
    plan = scenario.model.of(role)
    with told.at(*key):
        match plan:
            case TrainPlan() if training:
                from harness.training.fit import try_out

                try_out(plan.algorithm, plan.params, training, plan.features)
                yield f"{role} can be trained: {plan.algorithm}{_given(plan.params)}{search_of(plan, training)}"
            case ExperimentsPlan() if training:
                yield f"{role} can be the best of {experiments_of(plan, training)}"
            case ArtifactPlan():
                from harness.training import artifact
                from harness.training.brought import brought, check_fits

                model = brought(
                    artifact.load(Path(plan.path), pickled=plan.pickled), scenario.model.name, role, plan.path
                )
                if held:
                    check_fits(model, held, plan.path)
                yield f"{role} loads from {Path(plan.path).name}"
            case PredictionsPlan() if held:
                from harness.training.recorded import recorded, remarks

                model = recorded(plan, scenario.model.name, role, held)
                told.notes += remarks(plan, role, model, held.rows, scenario.faults)
                yield f"{role} is looked up in {Path(plan.path).name}"


def _stored(
    scenario: Scenario, role: Role, lookup: Lookup | None, held: "Rows | None", told: _Told, *key: str | int
) -> Iterator[str]:
    """What a registry or tracker holds; without MLflow it cannot be asked, which a note says."""
    plan, name = scenario.model.of(role), scenario.model.name
    if isinstance(plan, RegisteredPlan):
        with told.at(*key, "registered"):
            if scenario.backends.registry == FORGETFUL:
                raise InputError(
                    f"{role} is to be what the alias {plan.alias} names, but the registry {FORGETFUL} begins every run "
                    "empty, and models are looked up before the run registers any; train the model here, name a file "
                    "with artifact, or name a registry that outlives a run: --registry sqlite:///PATH"
                )
            if lookup:
                model = lookup.model(plan, name, role, held)
                yield f"{role} is what the alias {plan.alias} of {name} names: {model.algorithm}"
    elif isinstance(plan, UriPlan) and lookup:
        with told.at(*key, "artifact"):
            model = lookup.model(plan, name, role, held)
            yield f"{role} loads from {plan.uri}: {model.algorithm}"


def _given(params: Mapping[str, object]) -> str:
    return f" with {', '.join(params)}" if params else ""
