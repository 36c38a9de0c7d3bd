"""What a rule decided in every run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.judgement.traffic import SCRAPES

PROMOTED, ROLLED_BACK, UNDECIDED = 1, -1, 0


@dataclass
class Decisions:
    """Per run: the outcome, and the scrape (counted from 1) at which it came."""

    outcome: NDArray[np.int8]
    at: NDArray[np.int32]

    @classmethod
    def none(cls, runs: int) -> Decisions:
        """Nothing is decided."""
        return cls(np.zeros(runs, dtype=np.int8), np.full(runs, SCRAPES, dtype=np.int32))

    @property
    def open(self) -> NDArray[np.bool_]:
        """The runs without a decision."""
        waiting: NDArray[np.bool_] = self.outcome == UNDECIDED
        return waiting

    def decide(self, where: NDArray[np.bool_], outcome: int, scrape: int) -> None:
        """Those still open among `where` end here."""
        now = where & self.open
        self.outcome[now] = outcome
        self.at[now] = scrape
