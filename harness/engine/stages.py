"""Gates and registration."""

from harness.analysis.measure import judge_gate
from harness.domain.event import AliasRemoved, AliasSet, GateChecked, Marked, Registered, Resolved, Tracked
from harness.domain.model import ARMS, RegisteredPlan, Revision, Role, Source, UriPlan
from harness.engine.calls import answered
from harness.engine.executor import Executor
from harness.errors import RegistryError, Rejected
from harness.protocols import Case


def gate(executor: Executor, case: Case) -> None:
    """Judge every gate on the held-out figures; all are judged before the first that failed rejects the candidate."""
    figures = {role: model.metrics for role, model in case.models.items()}
    failed = list(case.refusals)
    for rule in case.scenario.model.gates:
        found = judge_gate(rule, figures)
        executor.tell(GateChecked, found.metric, rule.text, found.passed, found.value, found.stable, found.bound)
        if not found.passed:
            failed.append(found.reason)
    if failed:
        raise Rejected("; ".join(failed))


async def register(executor: Executor, case: Case, roles: tuple[Role, ...] = ARMS) -> Case:
    """Give models versions, stable first; what the registry already holds is looked up, not added again."""
    revisions: dict[Role, Revision] = dict(case.revisions)
    for role in roles:
        revisions[role] = await _revision(executor, case, role)
    return case.having(revisions=revisions)


async def _revision(executor: Executor, case: Case, role: Role) -> Revision:
    model, registry = case.models[role], executor.parts.registry
    plan = case.scenario.model.of(role)
    if role in case.revisions:  # a URI named this version
        revision = case.revisions[role]
        label = plan.uri if isinstance(plan, UriPlan) else str(revision)
        executor.tell(Resolved, role, label, revision.name, revision.version, revision.digest)
        return revision
    if model.source is Source.REGISTERED:
        named = plan.alias if isinstance(plan, RegisteredPlan) else role.value
        revision = await answered("the registry", registry.resolve(model.name, named))
        if revision.digest != model.artifact_digest:
            raise RegistryError(
                f"the alias {named} of {model.name} was moved to {revision} while this run was judging another; "
                "run again"
            )
        executor.tell(Resolved, role, named, revision.name, revision.version, revision.digest)
        return revision
    if model.source is Source.TRAINED:
        intent = executor.intend("track", f"training run of {role}")
        await answered("the tracker", executor.parts.tracker.record(model, executor.intent_id(intent)))
        executor.tell(Tracked, intent, role)
    intent = executor.intend("register", f"{role} as a version of {model.name}")
    revision = await answered("the registry", registry.register(model, executor.intent_id(intent)))
    executor.tell(Registered, intent, role, revision.name, revision.version, revision.digest)
    await alias(executor, revision, role.value)
    return revision


async def alias(executor: Executor, revision: Revision, name: str) -> None:
    """Let an alias name a version."""
    intent = executor.intend("alias", f"{name} names {revision}")
    await answered("the registry", executor.parts.registry.set_alias(revision, name))
    executor.tell(AliasSet, intent, name, revision.name, revision.version)


async def unalias(executor: Executor, name: str, alias: str) -> None:
    """Let an alias name nothing."""
    intent = executor.intend("unalias", f"{alias} of {name} names nothing")
    await answered("the registry", executor.parts.registry.remove_alias(name, alias))
    executor.tell(AliasRemoved, intent, alias, name)


async def mark(executor: Executor, revision: Revision, status: str) -> None:
    """Say how a version stands."""
    intent = executor.intend("mark", f"{revision} is {status}")
    await answered("the registry", executor.parts.registry.mark(revision, status))
    executor.tell(Marked, intent, revision.name, revision.version, status)
