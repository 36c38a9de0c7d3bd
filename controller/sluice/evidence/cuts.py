"""Sets of classes: what a difference of predictions is looked for in."""

from __future__ import annotations

from itertools import product

import numpy as np

from sluice.evidence.formulas import BoolArray, FloatArray

_SUBSETS = 5


def cuts(classes: int) -> BoolArray:
    """Sets of classes (S, K) whose shares are compared.

    Up to five classes: all sets without their complements, so that Pass bounds the total variation.
    More: every class by itself, so that Pass bounds the change of each.
    """
    if classes < 2:
        raise ValueError(f"expected at least 2 classes, found {classes}")
    if classes > _SUBSETS:
        return np.eye(classes, dtype=np.bool_)
    sets = [s for s in product((False, True), repeat=classes) if s[0] and not all(s)]
    return np.array(sets, dtype=np.bool_)


def by_cut(counts: FloatArray, sets: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Counts per class (..., K) as requests and events of every set: n and k, (..., S)."""
    k: FloatArray = counts @ sets.T.astype(np.float64)
    n: FloatArray = np.broadcast_to(counts.sum(axis=-1)[..., None], k.shape).copy()
    return n, k
