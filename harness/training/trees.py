"""Decision trees from a file, checked before anything walks them.

scikit-learn's compiled code follows a tree's child numbers without a check of its own: a forged file could make it
read beyond the tree, or walk in a circle. That is why skops does not trust these types by itself (its reasons stand in
``skops.io.exceptions``, since 0.16).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble import BaseEnsemble
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree._tree import Tree


def forged(model: Any) -> str | None:
    """What is wrong with the trees inside a model; None where every walk through them ends within them."""
    for owner, tree in _trees(model, None, set()):
        width = getattr(owner, "n_features_in_", None)
        fault = _predictor(tree, width) if isinstance(tree, TreePredictor) else _tree(tree, width)
        if fault:
            return f"a tree of {type(owner).__name__} {fault}"
    return None


def _trees(value: Any, owner: Any, seen: set[int]) -> Iterator[tuple[Any, Any]]:
    """Each tree with the estimator that is given its rows.

    An ensemble checks the width of the rows once and hands them on to its members unchecked, so it is the one that
    counts for their trees.
    """
    if isinstance(value, Tree | TreePredictor):
        yield owner, value
        return
    if id(value) in seen or isinstance(value, str | bytes | int | float | None):
        return
    seen.add(id(value))
    if isinstance(value, BaseEstimator):
        member = isinstance(owner, BaseEnsemble)
        for part in vars(value).values():
            yield from _trees(part, owner if member else value, seen)
    elif isinstance(value, dict):
        for part in value.values():
            yield from _trees(part, owner, seen)
    elif isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.dtype.hasobject):
        for part in value.ravel() if isinstance(value, np.ndarray) else value:
            yield from _trees(part, owner, seen)


def _tree(tree: Any, width: int | None) -> str | None:
    nodes = tree.__getstate__()["nodes"]
    left, right, feature = nodes["left_child"], nodes["right_child"], nodes["feature"]
    inner = left != -1
    count = len(nodes)
    own = np.arange(count)[inner]
    if count == 0:
        return "has no node"
    if width is not None and tree.n_features > width:
        return f"reads {tree.n_features} features of {width}"
    for child in (left[inner], right[inner]):
        if not bool(((child > own) & (child < count)).all()):
            return "has a branch that leads nowhere or back"
    if not bool(((feature[inner] >= 0) & (feature[inner] < tree.n_features)).all()):
        return "reads a feature that does not exist"
    return None


def _predictor(tree: Any, width: int | None) -> str | None:
    nodes = tree.nodes
    count = len(nodes)
    inner = nodes["is_leaf"] == 0
    own = np.arange(count)[inner]
    if count == 0:
        return "has no node"
    for child in (nodes["left"][inner], nodes["right"][inner]):
        if not bool(((child > own) & (child < count)).all()):
            return "has a branch that leads nowhere or back"
    features = nodes["feature_idx"][inner]
    if not bool((features >= 0).all()) or (width is not None and not bool((features < width).all())):
        return "reads a feature that does not exist"
    categorical = inner & (nodes["is_categorical"] != 0)
    if not bool((nodes["bitset_idx"][categorical] < len(tree.raw_left_cat_bitsets)).all()):
        return "asks for a category that does not exist"
    return None
