"""What the decision may know of the cluster, as pure data. `sluice.seldon` reads it.

Shares are whole percents. Predictors are in the order of the SeldonDeployment's list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class LivePredictor:
    """One predictor as it stands in the SeldonDeployment.

    `weight` is the traffic Seldon gives it (a single predictor without traffic has 100; a shadow's
    is the share that is copied), `revision` the hash of what makes its pods differ, `raw` the
    predictor as stored.
    """

    name: str
    weight: int
    revision: str
    images: tuple[str, ...]
    raw: Mapping[str, Any]
    shadow: bool = False
    replicas: int | None = None

    @property
    def ours(self) -> bool:
        """Named as Sluice names: a shadow of another name is the user's."""
        return self.name == f"v{self.revision}"


@dataclass(frozen=True)
class DeploymentHealth:
    """One Deployment that Seldon made for a predictor.

    `whole` is Seldon's own condition for writing the VirtualService: its status is of this
    generation, at least one replica is ready and none is unavailable. `problem` is a sentence
    ("CrashLoopBackOff: back-off 10s restarting failed container=classifier ...") or "". `shadow`:
    its pods are made as a shadow's.
    """

    name: str
    predictor: str
    desired: int
    ready: int
    unavailable: int
    updated: int
    current: bool
    problem: str = ""
    shadow: bool = False

    @property
    def whole(self) -> bool:
        """Seldon counts this Deployment as ready."""
        return self.current and self.ready > 0 and self.unavailable == 0


@dataclass(frozen=True)
class World:
    """The SeldonDeployment and what hangs on it, read in one pass.

    `routes` are the shares of the VirtualService by predictor, as every HTTP rule has them; None
    when they cannot be read (then `routes_problem` says why) or when there is no VirtualService.
    `routes_agree` is False while the HTTP and the gRPC rule differ. `mirrors` says to which
    predictor copies go, and of how many percent of the requests, in every rule alike.
    """

    exists: bool
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    owned: bool = False
    predictors: tuple[LivePredictor, ...] = ()
    health: Mapping[str, tuple[DeploymentHealth, ...]] = field(default_factory=dict)
    routes: Mapping[str, int] | None = None
    routes_agree: bool = True
    routes_problem: str = ""
    mirrors: Mapping[str, int] = field(default_factory=dict)
    can_patch_routes: bool = True
    state: str = ""

    def predictor(self, name: str | None) -> LivePredictor | None:
        """The live predictor of that name, or None."""
        return next((p for p in self.predictors if p.name == name), None)

    def ready(self, name: str) -> bool:
        """Every Deployment of the predictor exists and is whole."""
        deployments = self.health.get(name, ())
        return bool(deployments) and all(d.whole for d in deployments)

    def ready_pods(self, name: str) -> int:
        """Ready replicas of the predictor's weakest Deployment: what can serve."""
        return min((d.ready for d in self.health.get(name, ())), default=0)

    def blockers(self) -> tuple[DeploymentHealth, ...]:
        """Deployments because of which Seldon does not write the VirtualService (trap 1)."""
        return tuple(d for p in self.predictors for d in self.health.get(p.name, ()) if not d.whole)
