"""The drift of many models of any shape: a fleet for each shape, and the same hours where asked.

`DriftFleet` wants rollouts with the same number of features and bins; here they are sorted into
fleets by both, with bins padded to a multiple of `_PAD` so that the fleets are few.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sluice.evidence.drift import DriftFleet
from sluice.evidence.features import DriftPlan, FeatureEvidence
from sluice.evidence.formulas import FloatArray
from sluice.evidence.seasons import Seasons
from sluice.evidence.slots import Slots, fingerprint

_PAD = 8
_LAYOUT = 1

Shape = tuple[int, int]


@dataclass(frozen=True)
class Counts:
    """What came in `seconds` until Unix time `at`: counts (F, K) of the plan's features."""

    counts: FloatArray
    seconds: float
    at: float


class DriftWatches:
    """Opened, updated and exported by key, as a `DriftFleet`. KeyError for keys not open."""

    def __init__(self) -> None:
        self._fleets: dict[Shape, DriftFleet] = {}
        self._seasons: dict[Shape, tuple[Seasons, Slots]] = {}
        self._shapes: dict[str, Shape] = {}
        self._plans: dict[str, DriftPlan] = {}

    def open(
        self,
        key: str,
        plan: DriftPlan,
        state: str | None = None,
        *,
        same_hours: bool = False,
        seasons: str | None = None,
    ) -> bool:
        """Begin to watch `key`; True if `state` was restored. ValueError for a plan it cannot."""
        widest = max(len(feature.training) for feature in plan.features)
        shape = (len(plan.features), -(-widest // _PAD) * _PAD)
        fleet = self._fleets.setdefault(shape, DriftFleet(*shape))
        restored = fleet.open(key, plan, state)
        self._shapes[key], self._plans[key] = shape, plan
        if same_hours:
            if shape not in self._seasons:
                made = Seasons(1, *shape)
                slots = Slots(made.fields, _LAYOUT)
                made.fields = slots.fields
                self._seasons[shape] = (made, slots)
            _, slots = self._seasons[shape]
            slots.take(key)
            if seasons is not None:
                slots.restore(key, seasons, self._fingerprint(key))
        return restored

    def close(self, key: str) -> None:
        """Forget the key; unknown keys are fine."""
        shape = self._shapes.pop(key, None)
        self._plans.pop(key, None)
        if shape is not None:
            self._fleets[shape].close(key)
            if shape in self._seasons:
                self._seasons[shape][1].give_back(key)

    def bins(self, key: str) -> int:
        """How wide the counts of this key have to be (padded)."""
        return self._shapes[key][1]

    def update(self, increments: Mapping[str, Counts]) -> None:
        """Move all keys on by what came since the last time."""
        by_shape: dict[tuple[Shape, bool], list[str]] = {}
        for key in increments:
            shape = self._shapes[key]
            seasonal = shape in self._seasons and key in self._seasons[shape][1]
            by_shape.setdefault((shape, seasonal), []).append(key)
        for (shape, seasonal), keys in by_shape.items():
            counts = np.stack([increments[key].counts for key in keys])
            seconds = np.array([increments[key].seconds for key in keys])
            fleet = self._fleets[shape]
            if not seasonal:
                fleet.update(keys, counts, seconds)
                continue
            seasons, slots = self._seasons[shape]
            rows = slots.rows(keys)
            began = np.array([increments[key].at for key in keys]) - seconds
            fleet.update(keys, counts, seconds, seasons.reference(rows, began))
            seasons.learn(rows, counts, began, seconds)

    def results(self, key: str) -> tuple[FeatureEvidence, ...]:
        """What is known of every feature, in the order of the plan."""
        return self._fleets[self._shapes[key]].results(key)

    def filled(self, key: str) -> float:
        """Where the same hours are compared: which share of them is known, 0 to 1. Else 1."""
        shape = self._shapes[key]
        if shape not in self._seasons or key not in self._seasons[shape][1]:
            return 1.0
        seasons, slots = self._seasons[shape]
        full = seasons.days * 3600.0
        return float(np.minimum(seasons.fields["filled"][slots.row(key)] / full, 1.0).mean())

    def export(self, key: str) -> tuple[str, str | None]:
        """The evidence, and the same hours (None where they are not compared), as base64."""
        shape = self._shapes[key]
        state = self._fleets[shape].export(key)
        if shape not in self._seasons or key not in self._seasons[shape][1]:
            return state, None
        return state, self._seasons[shape][1].export(key, self._fingerprint(key))

    def _fingerprint(self, key: str) -> bytes:
        parts: list[object] = [self._shapes[key][1]]
        for feature in self._plans[key].features:
            parts += [feature.name, np.array(feature.training, dtype=np.float64)]
        return fingerprint(*parts)
