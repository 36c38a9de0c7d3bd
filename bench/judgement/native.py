"""The second track: every tool with the schedule that its own documentation shows.

Weights follow the clock. (Flagger and Sluice also wait at a weight while a look fails or the
evidence leans to harm, which is left out: it would only lower their bad requests.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.judgement.ours import balanced, sluice
from bench.judgement.peers import MINUTE, PEERS, Rule
from bench.judgement.traffic import SCRAPES


@dataclass(frozen=True)
class Schedule:
    """A rule, its steps as (candidate's share, minutes), and how that reads."""

    rule: Rule
    steps: tuple[tuple[float, float], ...]
    text: str

    @property
    def scrapes(self) -> int:
        """How long it lasts at most."""
        return min(round(sum(minutes for _, minutes in self.steps) * MINUTE), SCRAPES)

    def shares(self) -> NDArray[np.float64]:
        """The candidate's share per scrape; the last step goes on."""
        parts = [np.full(round(minutes * MINUTE), share) for share, minutes in self.steps]
        path = np.concatenate([*parts, np.full(SCRAPES, self.steps[-1][0])])
        shares: NDArray[np.float64] = path[:SCRAPES]
        return shares


def schedules() -> dict[str, Schedule]:
    """The tools that have a schedule of their own."""
    steps = balanced().steps
    ours = [(step.weight / 100, step.hold / 60) for step in steps]
    ours[-1] = (ours[-1][0], 60.0)
    flagger = tuple((0.05 * i, 1.0) for i in range(1, 11))
    return {
        "Argo Rollouts, documented": Schedule(
            PEERS["Argo Rollouts, documented"],
            ((0.2, 10), (0.4, 10), (0.6, 10), (0.8, 10)),
            "20/40/60/80%, 10 min each, then promotes",
        ),
        "Argo Rollouts, strict": Schedule(
            PEERS["Argo Rollouts, strict"],
            ((0.2, 10), (0.4, 10), (0.6, 10), (0.8, 10)),
            "the same",
        ),
        "Flagger, documented": Schedule(
            PEERS["Flagger, documented"], flagger, "5 to 50% by 5% a minute, then promotes"
        ),
        "Flagger, strict": Schedule(PEERS["Flagger, strict"], flagger, "the same"),
        "GrowthBook Safe Rollouts": Schedule(
            PEERS["GrowthBook Safe Rollouts"],
            ((0.01, 3), (0.05, 3), (0.1, 3), (0.25, 3), (0.5, 48)),
            "1/5/10/25%, 3 min each, then 50% until the hour is over",
        ),
        "Sluice": Schedule(
            sluice, tuple(ours), "5% 2 min, 20% 2 min, 50% at least 5 min and until Pass"
        ),
    }
