"""A model registry looked at and changed by hand: what is stable, and the way back.

Every step is a state that is asked for, not a move, and they come in an order in which one that stopped half-way is
finished by asking again. Nothing here goes back twice: the way back, the alias ``previous``, is used up by using it.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from harness.app.installed import made
from harness.backends.upkeep import Verifier
from harness.backends.uri import FORGETFUL, REGISTRY_FORMS, split
from harness.clock import utc_now
from harness.domain.lineage import Deployment
from harness.domain.model import Role
from harness.domain.rollout import Outcome
from harness.errors import InputError, RegistryError
from harness.protocols import LineageKeeper, Registry, Version

STABLE: Final = Role.STABLE.value
PREVIOUS: Final = "previous"
VERIFIED, BAD = "verified", "bad"
_NAMED: Final = re.compile(r"(?P<name>[^/@:]+)(?:@(?P<alias>[\w.-]+)|:(?P<version>[1-9]\d*))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Named:
    """A version as users name it: ``NAME:VERSION``, ``NAME@ALIAS``, or the name alone for what is stable."""

    name: str
    alias: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True)
class Moved:
    """What was done to a model's aliases, and how it stands now."""

    name: str
    was: Version | None
    """Stable before."""
    stable: Version | None
    previous: Version | None
    refused: str = ""
    """Why nothing was done, and what can be."""
    note: str = ""
    changed: bool = False


def named(text: str) -> Named:
    """What a user names.

    Raises:
        InputError: it has none of the forms that there are.

    >>> named("churn:3"), named("churn@candidate").alias, named("churn").alias
    (Named(name='churn', alias='', version=3), 'candidate', 'stable')
    """
    found = _NAMED.fullmatch(text)
    if not found:
        raise InputError(f"{text!r} names no version; write NAME:VERSION, NAME@ALIAS, or NAME for what is stable")
    if found["version"]:
        return Named(found["name"], version=int(found["version"]))
    return Named(found["name"], alias=found["alias"] or STABLE)


def opened(uri: str | None) -> Any:
    """The registry of a URI.

    Raises:
        InputError: it is not named, or keeps nothing from one command to the next.
        BackendError: it is not installed.
    """
    remedy = f"say --registry URI, or set registry in harness.toml: {REGISTRY_FORMS}"
    if not uri:
        raise InputError(f"no registry is named; {remedy}")
    if split(uri)[0] == FORGETFUL:
        raise InputError(f"a registry in memory lives as long as one run: it holds nothing between commands; {remedy}")
    return made("registry", uri)


async def listed(registry: Registry, name: str | None = None) -> Mapping[str, Sequence[Version]]:
    """Versions by model, oldest first; of one model, or of all.

    Raises:
        NotRegistered: there is no such model.
    """
    names = await registry.names() if name is None else (name,)
    return {each: await registry.versions(each) for each in names}


async def shown(registry: Registry, wanted: Named) -> Version:
    """One version.

    Raises:
        NotRegistered: there is no such model.
        InputError: it has no such version or alias.
    """
    return _find(await registry.versions(wanted.name), wanted)


async def promote(registry: Registry, wanted: Named, *, force: bool = False) -> Moved:
    """Name a version stable, and what was stable its way back.

    The way back is named first: where it stops between the two, stable is what it was. A version that is known to be
    bad is nobody's way back, and is promoted only by force, as is one whose files or signature are not what they should
    be, where the registry can tell; a promotion marks the version verified, and its lineage says so.

    Raises:
        NotRegistered: there is no such model.
        InputError: it has no such version.
        RegistryError: the registry refused; stable is what it was.
    """
    versions = await registry.versions(wanted.name)
    target, stable = _find(versions, wanted), _aliased(versions, STABLE)
    before = _aliased(versions, PREVIOUS)
    if stable is target and target.status == VERIFIED:
        return Moved(wanted.name, stable, stable, before, note=f"{target.revision} is stable already")
    if not force and (wrong := await _wrong(registry, target)):
        refused = f"{target.revision} is not what was registered ({wrong}); promote another version, or say --force"
        return Moved(wanted.name, stable, stable, before, refused)
    if target.status == BAD and not force:
        refused = f"{target.revision} is marked bad; promote another version, or say --force"
        return Moved(wanted.name, stable, stable, before, refused)
    if stable is not target:
        await _name_previous(registry, wanted.name, stable if stable and stable.status != BAD else None)
        try:
            await registry.set_alias(target.revision, STABLE)
        except RegistryError as error:
            # A call that failed may have had its effect all the same: then what was stable must stay the way back.
            now = _aliased(await registry.versions(wanted.name), STABLE)
            if now is None or now.revision != target.revision:
                await _undone(lambda: _name_previous(registry, wanted.name, before), error)
            raise
    await registry.mark(target.revision, VERIFIED)
    note = await _told(registry, target, Outcome.PROMOTED, stable) if stable is not target else ""
    return await _moved(registry, wanted.name, stable, note)


async def rollback(registry: Registry, name: str) -> Moved:
    """Name the previous version stable again; what was stable is marked bad, and the way back is used up.

    The mark comes first, for once stable has moved nothing says what it was. Asked again after it stopped anywhere, it
    finishes; asked again after it is done, there is no way back.

    Raises:
        NotRegistered: there is no such model.
        RegistryError: the registry refused.
    """
    versions = await registry.versions(name)
    stable, previous = _aliased(versions, STABLE), _aliased(versions, PREVIOUS)
    if stable is None or previous is None or previous.status == BAD:
        return Moved(name, stable, stable, previous, _no_way_back(name, versions))
    if stable is previous:
        await registry.remove_alias(name, PREVIOUS)
        note = f"{stable.revision} was stable and previous both, as a command that stopped half-way leaves it"
        return await _moved(registry, name, stable, note)
    try:
        await registry.mark(stable.revision, BAD)
        await registry.set_alias(previous.revision, STABLE)
        await registry.remove_alias(name, PREVIOUS)
    except RegistryError as error:
        told = f"{error}; the way back from {stable.revision} to {previous.revision} is not finished: ask again"
        raise type(error)(told) from error
    note = await _told(registry, stable, Outcome.ROLLED_BACK, previous)
    return await _moved(registry, name, stable, note)


async def _wrong(registry: Registry, version: Version) -> str:
    """What is wrong with the files or the signature of a version; empty where nothing is, or nobody can tell."""
    return "; ".join(await registry.verify(version.revision)) if isinstance(registry, Verifier) else ""


async def _told(registry: Registry, version: Version, outcome: Outcome, other: Version | None) -> str:
    """Have the lineage tell what was done by hand; why it could not be told, or nothing."""
    if not isinstance(registry, LineageKeeper):
        return ""
    now, stable = utc_now(), other.revision if other else None
    deployment = Deployment(
        run=f"by-hand-{now:%Y%m%dT%H%M%S.%f}",
        number=1,
        outcome=outcome.value,
        scenario="harness registry",
        strategy="by hand",
        at=now.isoformat(timespec="seconds"),
        stable=str(stable or ""),
        stable_digest=stable.digest if stable else "",
    )
    try:
        await registry.record_deployment(version.revision, deployment)
    except RegistryError as error:  # it is done all the same
        return f"the lineage of {version.revision} was left untold: {error}"
    return ""


async def _moved(registry: Registry, name: str, was: Version | None, note: str = "") -> Moved:
    """How it stands now, as the registry says."""
    versions = await registry.versions(name)
    return Moved(name, was, _aliased(versions, STABLE), _aliased(versions, PREVIOUS), note=note, changed=True)


async def _name_previous(registry: Registry, name: str, version: Version | None) -> None:
    if version is None:
        await registry.remove_alias(name, PREVIOUS)
    else:
        await registry.set_alias(version.revision, PREVIOUS)


async def _undone(undo: Callable[[], Awaitable[None]], error: RegistryError) -> None:
    """Put back what was done before something failed; where that fails too, both are told."""
    try:
        await undo()
    except RegistryError as again:
        raise type(error)(f"{error}; and the alias {PREVIOUS} could not be put back: {again}") from error


def _aliased(versions: Sequence[Version], alias: str) -> Version | None:
    return next((each for each in versions if alias in each.aliases), None)


def _find(versions: Sequence[Version], wanted: Named) -> Version:
    for each in versions:
        if each.revision.version == wanted.version or (wanted.alias and wanted.alias in each.aliases):
            return each
    if wanted.alias:
        known = ", ".join(sorted(alias for each in versions for alias in each.aliases)) or "none"
        raise InputError(f"no version of {wanted.name} is called {wanted.alias!r} (aliases: {known})")
    numbers = ", ".join(str(each.revision.version) for each in versions[-20:]) or "none"
    raise InputError(f"there is no {wanted.name}:{wanted.version} (versions: {numbers})")


def _no_way_back(name: str, versions: Sequence[Version]) -> str:
    stable, previous = _aliased(versions, STABLE), _aliased(versions, PREVIOUS)
    good = [each for each in versions if each.status == VERIFIED and each is not stable]
    best = str(good[-1].revision) if good else f"{name}:VERSION"
    remedy = f"name one that is known to be good: harness registry promote {best}"
    if stable is None:
        return f"no version of {name} is stable, so there is nothing to go back from; {remedy}"
    if previous is None:
        return f"{name} has no previous version to go back to: stable stays {stable.revision}; {remedy}"
    return f"the previous version, {previous.revision}, is marked bad: stable stays {stable.revision}; {remedy}"
