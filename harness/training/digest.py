"""The digest of a fitted model: what it computes, not how it was written to a file.

Two dumps of one seeded forest differ in bytes: tree nodes are records with padding between their fields, and what the
padding holds is chance. Here records are taken field by field, and every object by its class, parameters and state.
"""

import copyreg
import hashlib
import types
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
from sklearn.tree._tree import Tree  # the only class of scikit-learn whose state needs care

# Attributes that tell how a model came about, or with which version it was written: not what it computes.
# The last two are a neural network's: what it would train on with, and draws that answers never ask for.
NOT_COMPUTED: Final = frozenset({"_sklearn_version", "_repr_html_inner", "_repr_html_", "_optimizer", "_random_state"})

# What ``__reduce_ex__`` cannot say, and ``copyreg`` can; the rest of that table would be told otherwise than it was.
UNREDUCED: Final = frozenset({np.ufunc})


def model_digest(model: Any) -> str:
    """SHA-256 over class names, parameters and arrays (``sha256:…``); the same in every process and for every dump."""
    sha = _Digest()
    sha.add(model)
    return f"sha256:{sha.hash.hexdigest()}"


class _Digest:
    """Feeds values to a hash, each with its kind and its length, so that no two values feed it alike."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256(b"model 1\n")
        self._open: list[int] = []

    def add(self, value: Any) -> None:
        match value:
            case np.ndarray():
                self._array(value)
            case np.generic():  # before float and str, of which two are subclasses
                self._array(np.asarray(value))
            case None | bool() | int() | float() | complex() | str():
                self._tag(type(value).__name__, repr(value).encode())
            case bytes() | bytearray():
                self._tag("bytes", bytes(value))
            case np.dtype():
                self._tag("dtype", repr(value.descr if value.names else value.str).encode())
            case type() | types.FunctionType() | types.BuiltinFunctionType():
                self._tag("name", f"{value.__module__}.{value.__qualname__}".encode())
            case list() | tuple():
                self._sequence(type(value).__name__, value)
            case set() | frozenset():
                self._sequence("set", sorted(_alone(item) for item in value))
            case Mapping():
                self._mapping(value)
            case _:
                self._object(value)

    def _tag(self, kind: str, data: bytes) -> None:
        self.hash.update(f"{kind} {len(data)}\n".encode())
        self.hash.update(data)

    def _sequence(self, kind: str, items: Iterable[Any]) -> None:
        items = list(items)
        self._tag(kind, str(len(items)).encode())
        for item in items:
            self.add(item)

    def _mapping(self, value: Mapping[Any, Any]) -> None:
        self._tag("mapping", str(len(value)).encode())
        for _, key in sorted((_alone(key), key) for key in value):
            self.add(key)
            self.add(value[key])

    def _array(self, array: np.ndarray[Any, Any]) -> None:
        if array.dtype.names:
            self._tag("records", repr((array.dtype.names, array.shape)).encode())
            for name in array.dtype.names:
                self._array(array[name])
        elif array.dtype.hasobject:
            self._tag("objects", repr(array.shape).encode())
            for item in array.ravel().tolist():
                self.add(item)
        else:
            plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            self._tag("array", repr((plain.dtype.str, array.shape)).encode())
            self.hash.update(plain.tobytes())

    def _object(self, value: Any) -> None:
        if id(value) in self._open:  # an object that holds itself: told by how far up it is open
            self._tag("above", str(len(self._open) - self._open.index(id(value))).encode())
            return
        self._open.append(id(value))
        kind = type(value)
        self._tag("object", f"{kind.__module__}.{kind.__qualname__}".encode())
        if isinstance(value, Tree):
            self._tree(value)
        elif hasattr(value, "get_params") and hasattr(value, "__dict__"):
            self._mapping({key: item for key, item in vars(value).items() if key not in NOT_COMPUTED})
        else:
            made = _reduced(value)
            if isinstance(made, str):
                self._tag("name", made.encode())
            else:
                self._sequence("reduced", [made[0], made[1], *(_listed(part) for part in made[2:5])])
        self._open.pop()

    def _tree(self, tree: Any) -> None:
        state = tree.__getstate__()
        nodes = state["nodes"].copy()
        if "missing_go_to_left" in nodes.dtype.names:  # never set where a node has no children
            nodes["missing_go_to_left"][nodes["left_child"] == -1] = 0
        self._mapping({**state, "nodes": nodes, "shape": (tree.n_features, tree.n_outputs, tree.n_classes)})


def _alone(value: Any) -> str:
    sha = _Digest()
    sha.add(value)
    return sha.hash.hexdigest()


def _reduced(value: Any) -> Any:
    """How an object is pickled; of a kind that only ``copyreg`` knows (numpy's functions), what is said there."""
    if type(value) in UNREDUCED:
        return copyreg.dispatch_table[type(value)](value)
    return value.__reduce_ex__(4)


def _listed(part: Any) -> Any:
    """Iterators over items, as ``__reduce_ex__`` gives them, as lists."""
    return list(part) if hasattr(part, "__next__") else part
