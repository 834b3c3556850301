"""Who owns which field of an object: ``managedFields``, and server-side apply.

A field is a path of steps as in FieldsV1: ``f:NAME`` into an object, ``k:{"name":"x"}`` to an item of a list whose
items have an identity, ``v:VALUE`` to a member of a set. Lists without identities are one field. The rules are those of
https://kubernetes.io/docs/reference/using-api/server-side-apply/ and of structured-merge-diff: an apply conflicts where
another manager owns a field and the value differs; what a manager applied before and leaves out now is removed, unless
somebody else owns it too.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from fakes.kube_errors import Refused
from fakes.kube_kinds import DEFAULTS, SETS, WHOLE, Kind, keys_of
from fakes.kube_patch import identity
from fakes.kube_script import Object, copied

Path = tuple[str, ...]
Fields = frozenset[Path]
NONE: Final = object()
NOBODYS: Final = frozenset({
    "name", "namespace", "managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink",
    "deletionTimestamp", "deletionGracePeriodSeconds", "generateName",
})  # fmt: skip
"""Fields of metadata that no manager owns."""


@dataclass(frozen=True, slots=True)
class Manager:
    """Who writes: a client's name, in one of two ways, through one door."""

    name: str
    operation: str
    """Apply or Update."""
    subresource: str = ""

    def text(self, api_version: str) -> str:
        """As conflicts name it."""
        through = f' with subresource "{self.subresource}"' if self.subresource else ""
        using = f" using {api_version}" if self.operation == "Update" else ""
        return f'"{self.name}"{through}{using}'


Owners = dict[Manager, Fields]


def fields_of(obj: Object, kind: Kind, subresource: str = "") -> Fields:
    """All fields that an object sets, as far as they can be owned through this door."""
    found: set[Path] = set()
    for name, value in obj.items():
        if name in {"apiVersion", "kind"} or (name == "status") != (subresource == "status"):
            continue
        if name == "metadata":
            for each, held in value.items():
                if each not in NOBODYS:
                    found.update(_walk(held, ("f:metadata", f"f:{each}"), each, kind))
        else:
            found.update(_walk(value, (f"f:{name}",), name, kind))
    return frozenset(found)


def _walk(value: Any, path: Path, field: str, kind: Kind) -> Iterator[Path]:
    if isinstance(value, dict) and value and field not in WHOLE:
        for name, each in value.items():
            yield from _walk(each, (*path, f"f:{name}"), name, kind)
    elif isinstance(value, list) and field in SETS:
        for each in value:
            yield (*path, f"v:{json.dumps(each)}")
    elif isinstance(value, list) and value and (keys := keys_of(field, value[0], kind)):
        for each in value:
            item = (*path, _key(each, keys))
            yield item
            for name, held in each.items():
                yield from _walk(held, (*item, f"f:{name}"), name, kind)
    else:
        yield path


def _key(item: dict[str, Any], keys: tuple[str, ...]) -> str:
    return "k:" + json.dumps(dict(zip(keys, identity(item, keys), strict=True)), separators=(",", ":"))


def value_at(obj: Any, path: Path) -> Any:
    """What stands there; NONE where nothing does."""
    for step in path:
        if step[:2] == "f:":
            obj = obj.get(step[2:], NONE) if isinstance(obj, dict) else NONE
        else:
            obj = next((each for each in obj if _is(each, step)), NONE) if isinstance(obj, list) else NONE
    return obj


def _is(item: Any, step: str) -> bool:
    wanted = json.loads(step[2:])
    if step[0] == "v":
        return bool(item == wanted)
    return all(item.get(name, DEFAULTS.get(name)) == value for name, value in wanted.items())


def without(obj: Object, paths: Iterable[Path]) -> Object:
    """The object without these fields; what is emptied by that goes too."""
    left = copied(obj)
    for path in sorted(paths, key=len, reverse=True):
        _drop(left, path)
    return left


def _drop(obj: Any, path: Path) -> None:
    holder, step = value_at(obj, path[:-1]), path[-1]
    if path[-2:-1] and path[-2][0] == "k" and step[2:] in json.loads(path[-2][2:]):
        return  # an item keeps what tells it, as long as it is there
    if isinstance(holder, dict):
        holder.pop(step[2:], None)
    elif isinstance(holder, list):
        holder[:] = [each for each in holder if not _is(each, step)]
    if holder in ({}, []) and len(path) > 2:
        _drop(obj, path[:-1])


def merged(live: Any, config: Any, kind: Kind, field: str = "") -> Any:
    """What was applied laid over what is there."""
    if isinstance(live, dict) and isinstance(config, dict) and field not in WHOLE:
        return {**live, **{name: merged(live.get(name), each, kind, name) for name, each in config.items()}}
    if isinstance(live, list) and isinstance(config, list) and live:
        if field in SETS:
            return [*live, *(each for each in config if each not in live)]
        if keys := keys_of(field, live[0], kind):
            return _merged_items(live, config, keys, kind)
    return copied(config)


def _merged_items(live: list[Any], config: list[Any], keys: tuple[str, ...], kind: Kind) -> list[Any]:
    new = {identity(each, keys): each for each in config}
    kept = [merged(each, new.pop(identity(each, keys), {}), kind) for each in live]
    return [*kept, *(copied(each) for each in new.values())]


def applied(live: Object, config: Object, kind: Kind, manager: Manager, *, force: bool) -> tuple[Object, Owners]:
    """The object after an apply, without its defaults, and who owns what then.

    Raises:
        Refused: 409; somebody else owns fields that are to change, and it is not forced.
    """
    owners = owners_of(live)
    wanted = fields_of(config, kind, manager.subresource)
    laid = merged(live, config, kind)
    clashes = {
        other: frozenset(path for path in owned & wanted if _differs(path, live, laid))
        for other, owned in owners.items()
        if other != manager
    }
    if not force:
        _refuse({other: paths for other, paths in clashes.items() if paths}, kind)
    others = frozenset[Path]().union(*(owned for other, owned in owners.items() if other != manager))
    held = others | wanted
    dropped = owners.get(manager, frozenset()) - held
    gone = [path for path in dropped if not any(other[: len(path)] == path for other in held)]
    kept = {other: owned - clashes.get(other, frozenset()) for other, owned in owners.items()}
    return without(laid, gone), {**kept, manager: wanted}


def _differs(path: Path, live: Object, laid: Object) -> bool:
    """Whether a field changes; that an item is there may be said by many."""
    return path[-1][0] != "k" and bool(value_at(live, path) != value_at(laid, path))


def _refuse(clashes: dict[Manager, Fields], kind: Kind) -> None:
    if not clashes:
        return
    count = sum(map(len, clashes.values()))
    by_name = sorted((manager.text(kind.api_version), sorted(map(shown, paths))) for manager, paths in clashes.items())
    if count == 1:
        said = f"1 conflict: conflict with {by_name[0][0]}: {by_name[0][1][0]}"
    else:
        told = "\n".join(f"conflicts with {who}:" + "".join(f"\n- {path}" for path in paths) for who, paths in by_name)
        said = f"{count} conflicts: {told}"
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": path}
        for who, paths in by_name
        for path in paths
    ]
    raise Refused(409, f"Apply failed with {said}", causes=causes)


def shown(path: Path) -> str:
    """As conflicts name a field.

    >>> shown(("f:spec", "f:containers", 'k:{"name":"app"}', "f:image"))
    '.spec.containers[name="app"].image'
    """
    return "".join(f".{step[2:]}" if step[0] == "f" else f"[{_told(step)}]" for step in path)


def _told(step: str) -> str:
    value = json.loads(step[2:])
    if step[0] == "v":
        return f"={json.dumps(value)}"
    return ",".join(f"{name}={json.dumps(each)}" for name, each in value.items())


def updated(before: Object, after: Object, kind: Kind, manager: Manager) -> Owners:
    """Who owns what after a write that was no apply: the writer owns what it changed, alone."""
    was, now = (fields_of(obj, kind, manager.subresource) for obj in (before, after))
    changed = frozenset(path for path in now if value_at(before, path) != value_at(after, path))
    touched = changed | (was - now)
    owners = {other: owned - touched for other, owned in owners_of(before).items()}
    mine = owners.get(manager, frozenset()) | changed
    return {**owners, manager: mine}


def owners_of(obj: Object) -> Owners:
    """As the object's managedFields say."""
    return {
        Manager(each["manager"], each["operation"], each.get("subresource", "")): frozenset(_paths(each["fieldsV1"]))
        for each in obj.get("metadata", {}).get("managedFields", [])
    }


def _paths(tree: dict[str, Any], path: Path = ()) -> Iterator[Path]:
    if path and (not tree or "." in tree):
        yield path
    for step, below in tree.items():
        if step != ".":
            yield from _paths(below, (*path, step))


def managed(owners: Owners, before: Object, kind: Kind, now: str) -> list[dict[str, Any]]:
    """The managedFields of an object; an entry that has not changed keeps its time."""
    old = {
        (each["manager"], each["operation"], each.get("subresource", "")): each
        for each in before.get("metadata", {}).get("managedFields", [])
    }
    entries = []
    for manager, owned in owners.items():
        tree = _tree(owned)
        kept = old.get((manager.name, manager.operation, manager.subresource))
        if kept is not None and kept["fieldsV1"] == tree:
            entries.append(kept)
        elif owned:
            door = {"subresource": manager.subresource} if manager.subresource else {}
            entries.append({
                "manager": manager.name, "operation": manager.operation, "apiVersion": kind.api_version, "time": now,
                "fieldsType": "FieldsV1", "fieldsV1": tree, **door,
            })  # fmt: skip
    return entries


def _tree(owned: Fields) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for path in sorted(owned):
        at = root
        for step in path:
            at = at.setdefault(step, {})
        if path[-1][0] == "k":
            at["."] = {}
    return root
