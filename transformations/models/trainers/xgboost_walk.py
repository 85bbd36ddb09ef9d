"""The margins of a few rows by a walk through all trees of XGBoost at once, to the bit those of the library.

The library needs some 60 microseconds before it comes to a row's trees, and follows one pointer after the other through
each, which memory that is not in the processor's cache makes four times as slow. Here the nodes of all trees stand in a
few arrays, and one call of NumPy takes every tree a level down:

    node ──▶ its feature's value ≥ its threshold ? ──▶ left child, or the one beside it      (all trees, level by level)

The leaves are added as the library adds them: to the base, tree by tree, in single precision. Whether that gives the
library's bits is not believed but tried, when a model is loaded; where it does not, the library is called.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from transformations.models.trainers.interface import Floats, Matrix, Scorer

if TYPE_CHECKING:
    import xgboost

MOST_ROWS = 4
"""Of a call that walks: with more, the library's start no longer counts."""
_MOST_NODES = 200_000
_BYTES_A_NODE = 40
"""At least, of a stored model."""
_TRIED_ROWS = 256

Places = npt.NDArray[np.intp]
Singles = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Forest:
    """The nodes of all trees. roots: a tree's first node. depth: levels below a root, at most.

    Of each node: feature and threshold of its question, its left child, which the right one stands beside, and whether
    a missing value goes right. A leaf asks what no value passes, and is its own left child; value: what it adds.
    """

    roots: Places
    depth: int
    feature: Places
    threshold: Singles
    left: Places
    goes_right: Flags
    value: Singles
    base: np.float32

    def margins(self, matrix: Matrix) -> Floats:
        """The margin of each row. NaN is missing."""
        rows, width = matrix.shape
        flat, node = matrix.ravel(), self.roots  # of one row; of several, NumPy makes as many of it
        first = None if rows == 1 else np.arange(0, rows * width, width)[:, None]
        has_missing = bool(np.isnan(flat).any())
        for _ in range(self.depth):
            place = self.feature.take(node)
            value = flat.take(place if first is None else place + first)
            is_right = value >= self.threshold.take(node)
            if has_missing:
                is_right |= np.isnan(value) & self.goes_right.take(node)
            node = self.left.take(node) + is_right
        parts = np.empty((rows, len(self.roots) + 1), np.float32)
        parts[:, 0] = self.base
        parts[:, 1:] = self.value.take(node)
        return np.add.accumulate(parts, axis=1)[:, -1].astype(np.float64)


def walked(booster: xgboost.Booster, library: Scorer, stored_bytes: int) -> Scorer:
    """The scorer that walks where rows are few, and else is `library`, whose margins both give. Safe for threads.

    stored_bytes: of the model. The first call of few rows makes the forest.
    """
    known: list[Forest | None] = [None] if stored_bytes > _MOST_NODES * _BYTES_A_NODE else []
    width = booster.num_features()

    def score(matrix: Matrix) -> Floats:
        if len(matrix) > MOST_ROWS or matrix.ndim != 2 or matrix.shape[1] != width or matrix.dtype != np.float32:
            return library(matrix)
        if not known:
            known.append(forest_of(booster, library))
        forest = known[0]
        return library(matrix) if forest is None else forest.margins(matrix)

    return score


def forest_of(booster: xgboost.Booster, library: Scorer) -> Forest | None:
    """The trees of a booster; None where they are of a kind that is not walked, or do not give the library's bits."""
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    model, trees = learner["gradient_booster"], learner["gradient_booster"].get("model", {}).get("trees", [])
    if model["name"] != "gbtree" or not trees or not all(map(_is_plain, trees)):
        return None
    made = _Made()
    for tree in trees:
        made.add(tree)
    if len(made.feature) > _MOST_NODES:
        return None
    found = made.forest(_base(booster))
    rows = _trying(found, booster.num_features())
    own, theirs = found.margins(rows), library(rows)
    return found if np.array_equal(own.view(np.int64), theirs.view(np.int64)) else None


@dataclass(kw_only=True)
class _Made:
    """A forest in the making, a list a column."""

    roots: list[int] = field(default_factory=list)
    depth: int = 0
    feature: list[int] = field(default_factory=list)
    threshold: list[float] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    goes_right: list[bool] = field(default_factory=list)
    value: list[float] = field(default_factory=list)

    def add(self, tree: dict[str, Any]) -> None:
        """Add a tree, level by level, so that the two children of a node stand side by side."""
        self.roots.append(self._leaf())
        level, depth = [(0, self.roots[-1])], 0
        while level:
            below = []
            for number, place in level:
                if tree["left_children"][number] == -1:
                    self.value[place] = tree["split_conditions"][number]
                    continue
                self.feature[place] = tree["split_indices"][number]
                self.threshold[place] = tree["split_conditions"][number]
                self.goes_right[place] = not tree["default_left"][number]
                self.left[place] = len(self.left)
                children = (tree["left_children"][number], tree["right_children"][number])
                below += [(child, self._leaf()) for child in children]
            depth += bool(below)
            level = below
        self.depth = max(self.depth, depth)

    def _leaf(self) -> int:
        """A new node, which asks nothing yet: no value is greater than NaN."""
        place = len(self.left)
        self.feature.append(0)
        self.threshold.append(float("nan"))
        self.left.append(place)
        self.goes_right.append(False)
        self.value.append(0.0)
        return place

    def forest(self, base: np.float32) -> Forest:
        return Forest(
            roots=np.array(self.roots, np.intp),
            depth=self.depth,
            feature=np.array(self.feature, np.intp),
            threshold=np.array(self.threshold, np.float32),
            left=np.array(self.left, np.intp),
            goes_right=np.array(self.goes_right, np.bool_),
            value=np.array(self.value, np.float32),
            base=base,
        )


def _is_plain(tree: dict[str, Any]) -> bool:
    """Whether each node compares one number with one threshold, and each leaf holds one number."""
    return not any(tree["split_type"]) and int(tree["tree_param"]["size_leaf_vector"]) <= 1


def _base(booster: xgboost.Booster) -> np.float32:
    """What every margin begins with: that of a model whose only tree adds nothing."""
    import xgboost

    model = json.loads(bytes(booster[:1].save_raw("json")))
    (tree, *_) = model["learner"]["gradient_booster"]["model"]["trees"]
    tree["split_conditions"] = [0.0] * len(tree["split_conditions"])
    empty = xgboost.Booster({"nthread": 1}, model_file=bytearray(json.dumps(model).encode()))
    nobody = np.zeros((1, booster.num_features()), np.float32)
    return np.float32(empty.inplace_predict(nobody, predict_type="margin", validate_features=False)[0])


def _trying(forest: Forest, width: int) -> Matrix:
    """Rows that take different ways: values at, beside and between thresholds, and missing ones."""
    generator = np.random.default_rng(7)
    rows = generator.normal(size=(_TRIED_ROWS, width)).astype(np.float32)
    asks = ~np.isnan(forest.threshold)
    for column in range(width):
        there = forest.threshold[asks & (forest.feature == column)]
        if len(there):
            taken = generator.choice(there, _TRIED_ROWS)
            towards = generator.choice(np.array([-np.inf, np.inf], np.float32), _TRIED_ROWS)
            rows[:, column] = np.where(generator.random(_TRIED_ROWS) < 0.5, taken, np.nextafter(taken, towards))
    rows[generator.random(rows.shape) < 0.1] = np.nan
    rows[0] = np.nan
    return rows
