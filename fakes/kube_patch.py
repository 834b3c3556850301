"""The patches of an API server: JSON patch (RFC 6902), merge patch (RFC 7386), strategic merge patch (Kubernetes)."""

from typing import Any, Final

from fakes.kube_errors import Refused, bad_request
from fakes.kube_kinds import DEFAULTS, SETS, Kind, keys_of
from fakes.kube_script import copied

DIRECTIVE: Final = "$patch"


def merge(live: Any, patch: Any) -> Any:
    """RFC 7386.

    >>> merge({"a": {"b": 1, "c": 2}}, {"a": {"b": None, "d": 3}})
    {'a': {'c': 2, 'd': 3}}
    """
    if not isinstance(patch, dict):
        return copied(patch)
    merged = dict(live) if isinstance(live, dict) else {}
    for field, value in patch.items():
        if value is None:
            merged.pop(field, None)
        else:
            merged[field] = merge(merged.get(field), value)
    return merged


def strategic(live: Any, patch: Any, kind: Kind, field: str = "") -> Any:
    """A merge patch that knows which lists have items with an identity: those are merged, others replaced.

    Directives: ``$patch: delete`` and ``$patch: replace`` in objects and items, ``$deleteFromPrimitiveList/FIELD``;
    ``$setElementOrder/FIELD`` and ``$retainKeys`` are read over (order is kept as it is).
    """
    if isinstance(patch, dict):
        return _strategic_object(live, patch, kind)
    if isinstance(patch, list) and isinstance(live, list):
        if field in SETS:
            return [*live, *(item for item in patch if item not in live)]
        keys = keys_of(field, next((item for item in [*live, *patch] if isinstance(item, dict)), None), kind)
        if keys:
            return _strategic_list(live, patch, keys, kind)
    return _plain(patch)


def _strategic_object(live: Any, patch: dict[str, Any], kind: Kind) -> dict[str, Any]:
    if patch.get(DIRECTIVE) == "replace":
        return {field: _plain(value) for field, value in patch.items() if field != DIRECTIVE}
    if patch.get(DIRECTIVE) == "delete":
        return {}
    merged = dict(live) if isinstance(live, dict) else {}
    for field, value in patch.items():
        if field.startswith("$deleteFromPrimitiveList/"):
            name = field.partition("/")[2]
            merged[name] = [item for item in merged.get(name, []) if item not in value]
        elif field.startswith("$"):
            continue
        elif value is None:
            merged.pop(field, None)
        else:
            merged[field] = strategic(merged.get(field), value, kind, field)
    return merged


def _strategic_list(live: list[Any], patch: list[Any], keys: tuple[str, ...], kind: Kind) -> list[Any]:
    if any(item.get(DIRECTIVE) == "replace" and len(item) == 1 for item in patch):
        return [_plain(item) for item in patch if item.get(DIRECTIVE) != "replace"]
    merged = list(live)
    for item in patch:
        place = next((i for i, each in enumerate(merged) if identity(each, keys) == identity(item, keys)), None)
        if item.get(DIRECTIVE) == "delete":
            merged = [each for i, each in enumerate(merged) if i != place]
        elif place is None:
            merged.append(_plain(item))
        else:
            merged[place] = strategic(merged[place], item, kind)
    return merged


def identity(item: Any, keys: tuple[str, ...]) -> tuple[Any, ...]:
    """What tells an item of a list from the others."""
    return tuple(item.get(key, DEFAULTS.get(key)) for key in keys)


def _plain(patch: Any) -> Any:
    """What a patch leaves where nothing stood before: itself, without directives and nulls."""
    if isinstance(patch, dict):
        kept = {name: each for name, each in patch.items() if each is not None and not name.startswith("$")}
        return {name: _plain(each) for name, each in kept.items()}
    if isinstance(patch, list):
        return [_plain(each) for each in patch if not (isinstance(each, dict) and each.get(DIRECTIVE) == "delete")]
    return patch


def json_patch(live: Any, operations: Any) -> Any:
    """RFC 6902.

    Raises:
        Refused: 400 where it is none; 422 where a path is not there, or a ``test`` fails.

    >>> json_patch({"a": [1, 2]}, [{"op": "add", "path": "/a/1", "value": 9}, {"op": "remove", "path": "/a/0"}])
    {'a': [9, 2]}
    """
    if not isinstance(operations, list):
        raise bad_request("error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    done = copied(live)
    for operation in operations:
        try:
            done = _operate(done, operation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            said = f"the server rejected our request due to an error in our request: {operation} ({error})"
            raise Refused(422, said) from error
    return done


def _operate(done: Any, operation: dict[str, Any]) -> Any:
    op, path = operation["op"], _steps(operation["path"])
    if op == "test":
        if _read(done, path) != operation["value"]:
            raise ValueError("test failed")
        return done
    if op in {"move", "copy"}:
        source = _steps(operation["from"])
        value = copied(_read(done, source))
        return _write(_drop(done, source) if op == "move" else done, path, value, new=True)
    if op == "remove":
        return _drop(done, path)
    if op not in {"add", "replace"}:
        raise ValueError(f"unexpected kind: {op}")
    return _write(done, path, operation["value"], new=op == "add")


def _steps(path: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]


def _read(at: Any, path: list[str]) -> Any:
    for step in path:
        at = at[int(step)] if isinstance(at, list) else at[step]
    return at


def _write(done: Any, path: list[str], value: Any, *, new: bool) -> Any:
    if not path:
        return value
    holder, last = _read(done, path[:-1]), path[-1]
    if not new:
        _read(holder, [last])
    if isinstance(holder, list) and new:
        place = len(holder) if last == "-" else int(last)
        if place > len(holder):
            raise IndexError("out of range")
        holder.insert(place, value)
    else:
        holder[int(last) if isinstance(holder, list) else last] = value
    return done


def _drop(done: Any, path: list[str]) -> Any:
    holder, last = _read(done, path[:-1]), path[-1]
    del holder[int(last) if isinstance(holder, list) else last]
    return done
