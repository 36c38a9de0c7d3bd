"""What all fleets of long-lived evidence have in common: a plan and a row by key, out and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import numpy as np

from sluice.evidence.formulas import Floats
from sluice.evidence.slots import Slots
from sluice.evidence.wander import Wander

Plan = TypeVar("Plan")


class Kept(ABC, Generic[Plan]):
    """Evidence by key in `slots`, bunches in `wander`, whose arrays are rows of the same slots."""

    def __init__(self, fields: dict[str, Floats], wander: Wander, layout: int) -> None:
        self.wander = wander
        self.slots = Slots({**fields, **wander.fields}, layout)
        wander.fields = self.slots.fields
        self._plans: dict[str, Plan] = {}

    def close(self, key: str) -> None:
        """Forget the key; unknown keys are fine."""
        self.slots.give_back(key)
        self._plans.pop(key, None)

    def export(self, key: str) -> str:
        """What is known of one rollout as base64, for `open` in another process."""
        return self.slots.export(key, self._fingerprint(key))

    def _restore(self, key: str, state: str | None) -> bool:
        """Take over an exported `state` if it is of the same plan; whether it was."""
        restored = state is not None and self.slots.restore(key, state, self._fingerprint(key))
        self.wander.recall(np.array([self.slots.row(key)]))
        return restored

    @abstractmethod
    def _fingerprint(self, key: str) -> bytes:
        """Changes with whatever in the key's plan makes old evidence worthless."""
