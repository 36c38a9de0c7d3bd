"""What the SeldonDeployment shall look like, as pure data. `sluice.seldon.patch` writes it.

A plan is a whole wish, not a list of edits: the same plan against a SeldonDeployment that already
matches yields no write, so a repeated or interrupted pass does no harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PlannedPredictor:
    """One predictor of the plan, in list order (the candidate last).

    `template` is the predictor to add when it is not there yet; None: it must be live, and stays
    as it is but for `weight` (whole percent) and `replicas` (None: untouched). `shadow` makes it a
    shadow that gets copies of so many percent of the requests; None: it answers users. Going from
    one to the other restarts its pods.
    """

    name: str
    weight: int
    template: Mapping[str, Any] | None = None
    replicas: int | None = None
    shadow: int | None = None


@dataclass(frozen=True)
class Plan:
    """The predictors of the SeldonDeployment; weights sum to 100, a shadow's is 0.

    `create` is the whole SeldonDeployment to create when none exists. `force_routes` asks for the
    guarded VirtualService patch after the spec patch where Seldon is frozen: the shares by
    predictor that the VirtualService must have at once (a rollback only). Shadows that are not
    planned are the user's and stay, but for those that `drop` names.
    """

    predictors: tuple[PlannedPredictor, ...]
    create: Mapping[str, Any] | None = None
    force_routes: bool = False
    drop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        total = sum(p.weight for p in self.predictors)
        if self.predictors and total != 100:
            raise ValueError(f"the weights of a plan must sum to 100, found {total}")
        shadows = [p for p in self.predictors if p.shadow is not None]
        if len(shadows) > 1 or any(p.weight for p in shadows):
            raise ValueError(f"at most one shadow, and without traffic, found {shadows}")
