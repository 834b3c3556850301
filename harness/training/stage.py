"""The stages ``train`` and ``evaluate``: two real models, and how good they are on rows they have not seen."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from harness.clock import is_virtual, now_ns, sleep_until
from harness.data.split import Rows
from harness.domain.event import Evaluated, FeaturesBuilt, ModelReady
from harness.domain.model import (
    ArtifactPlan,
    ExperimentsPlan,
    GivenPlan,
    PredictionsPlan,
    RegisteredPlan,
    Role,
    TrainedModel,
    TrainPlan,
    UriPlan,
)
from harness.errors import DataError, InputError, NotRegistered
from harness.protocols import Case, ModelStore, Registry, Tell
from harness.seeds import stream
from harness.training import artifact
from harness.training.brought import brought, check_fits, given
from harness.training.cache import ModelCache, shared
from harness.training.evaluate import evaluate
from harness.training.faults import training_rows
from harness.training.features import built
from harness.training.recorded import recorded, remarks
from harness.training.searching import Prepared, prepared
from harness.training.stored import fetched, named
from harness.training.train import train

ROLES: Final = (Role.STABLE, Role.CANDIDATE)


class Train:
    """Trains the models, or takes them or their answers from a file, or the registry; stable first, then the candidate.

    On virtual time each takes its stated duration; on real time it takes what it takes. What the registry already names
    `stable` is in service: stable is taken from there, whatever the scenario would train.

    Args:
        registry: where models that an alias names come from.
        store: where models that a URI names come from.
        cache: a folder in which trained models are kept from run to run, or a cache; None: no folder. Stages of one
            process with the same folder share what they have trained.
    """

    name = "train"

    def __init__(
        self,
        registry: Registry | None = None,
        cache: Path | ModelCache | None = None,
        store: ModelStore | None = None,
    ) -> None:
        self._registry = registry
        self._store = store
        self._cache = cache if isinstance(cache, ModelCache) else shared(cache)
        self._learnt_from = 0
        self._before: Prepared
        self.notes: tuple[str, ...] = ()
        """After `run`: what scikit-learn warned of while models were trained or read, and limits of recorded ones."""

    async def run(self, case: Case, tell: Tell) -> Case:
        """Answer with both models, and the revisions of those that a URI names as versions of this registry.

        Raises:
            InputError: an algorithm, a parameter, a training fault, a model file or its predictions cannot be used.
            RegistryError: the registry lacks what a plan names.
        """
        models, revisions = dict(case.models), dict(case.revisions)
        told: list[str] = []
        for role in ROLES:
            if role in models:  # it came before: of a later rollout only the candidate is new
                continue
            notes: list[str] = []
            began_ns = now_ns()
            plan = case.scenario.model.of(role)
            reused = False
            match plan:
                case TrainPlan() | ExperimentsPlan():
                    served = await self._in_service(case, notes) if role is Role.STABLE else None
                    if served:
                        plan = RegisteredPlan(Role.STABLE.value)
                        models[role] = served
                    else:
                        models[role], reused = self._train(case, role, plan, notes)
                        plan = self._before.plan
                case ArtifactPlan():
                    models[role] = _from_file(case, role, plan, notes)
                case RegisteredPlan():
                    models[role] = await self._from_registry(case, role, plan)
                case PredictionsPlan():
                    models[role] = _by_look_up(case, role, plan, notes)
                case UriPlan():
                    found = await fetched(
                        self._store, self._registry, case.scenario.model.name, role, plan.uri, case.population
                    )
                    models[role] = found.model
                    revisions |= {role: found.revision} if found.revision else {}
                case GivenPlan():
                    models[role] = given(plan, case.scenario.model.name, role, case.population)
                    revisions |= {role: plan.revision} if plan.revision else {}
            if is_virtual():
                await sleep_until(began_ns + plan.duration_ns)
            model = models[role]
            if isinstance(plan, TrainPlan):
                self._tell_before(role, plan, model, tell)
            tell(
                ModelReady,
                role=role,
                source=model.source,
                algorithm=model.algorithm,
                params=model.params,
                artifact_digest=model.artifact_digest,
                data_digest=model.data_digest,
                takes_ns=plan.duration_ns,
                notes=(*notes, *model.notes),
                reused=reused,
            )
            told += [*notes, *model.notes]
        self.notes = tuple(told)
        _same_task(models[Role.STABLE], models[Role.CANDIDATE])
        return case.having(models=models, revisions=revisions)

    def _tell_before(self, role: Role, plan: TrainPlan, model: TrainedModel, tell: Tell) -> None:
        """What was searched for and built before the model was trained."""
        self._before.tell(tell)
        if plan.features:
            tell(FeaturesBuilt, role=role, **built(model, plan.features, self._learnt_from))

    def _train(
        self, case: Case, role: Role, plan: TrainPlan | ExperimentsPlan, notes: list[str]
    ) -> tuple[TrainedModel, bool]:
        scenario = case.scenario
        if case.training is None:
            raise InputError(f"model.{role} is to be trained, but the scenario has no model.data")
        population = case.training
        rows = (
            population if isinstance(population, Rows) else Rows(population.rows, population.target, _plain(population))
        )
        rows = training_rows(rows, scenario.faults, role, scenario.seed)
        self._learnt_from = len(rows.rows)
        random_state = stream(scenario.seed, f"training/{role}").integer()
        self._before = prepared(plan, rows, scenario.seed, role, random_state, self._cache.folder)
        model, fitted, reused = train(
            self._before.plan, rows, random_state, self._cache, scenario.model.name, role, case.data_digest
        )
        notes += fitted.notes
        return model, reused

    async def _in_service(self, case: Case, notes: list[str]) -> TrainedModel | None:
        """The model that an earlier run left in service; None where the registry names none."""
        name, alias = case.scenario.model.name, Role.STABLE.value
        if self._registry is None:
            return None
        try:
            revision = await self._registry.resolve(name, alias)
        except NotRegistered:
            return None
        try:
            model = await self._from_registry(case, Role.STABLE, RegisteredPlan(alias))
        except DataError as error:
            raise DataError(
                f"{error}; the registry names {revision} {alias}, so it was not trained: "
                "give model.name a name of its own, or name another registry"
            ) from error
        notes.append(f"not trained: the registry names {revision} {alias}")
        return model

    async def _from_registry(self, case: Case, role: Role, plan: RegisteredPlan) -> TrainedModel:
        return await named(self._registry, case.scenario.model.name, role, plan.alias, case.population)


def _from_file(case: Case, role: Role, plan: ArtifactPlan, notes: list[str]) -> TrainedModel:
    scenario = case.scenario
    model = brought(artifact.load(Path(plan.path), notes, pickled=plan.pickled), scenario.model.name, role, plan.path)
    return check_fits(model, case.population, plan.path) if case.population else model


def _by_look_up(case: Case, role: Role, plan: PredictionsPlan, notes: list[str]) -> TrainedModel:
    model = recorded(plan, case.scenario.model.name, role, case.population)
    if case.population:
        notes += remarks(plan, role, model, case.population.rows, case.scenario.faults)
    return model


def _plain(population: object) -> tuple[str, ...]:
    """The labels of rows that come without: 0 and 1 for integers, none for floats."""
    return ("0", "1") if population.target.dtype.kind in "iub" else ()  # type: ignore[attr-defined]


def _same_task(stable: TrainedModel, candidate: TrainedModel) -> None:
    known = stable.estimator is not None and candidate.estimator is not None
    if known and stable.task is not candidate.task:
        raise InputError(f"stable is a model for {stable.task} and the candidate one for {candidate.task}")


class Evaluate:
    """Measures both models on the held-out rows; without data there is nothing to measure on."""

    name = "evaluate"

    async def run(self, case: Case, tell: Tell) -> Case:
        """Answer with the models and their metrics.

        Raises:
            ArtifactError: a model cannot answer the rows.
        """
        if case.population is None:
            return case
        models = dict(case.models)
        for role in ROLES:
            metrics = evaluate(models[role], case.population)
            tell(Evaluated, role=role, rows=len(case.population.rows), metrics=metrics)
            models[role] = replace(models[role], metrics=metrics)
        return case.having(models=models)
