"""What Seldon makes of a plan when nothing goes wrong: every part whole, routes written at once."""

from __future__ import annotations

from functools import lru_cache

from sluice.api.policy import CanaryPolicySpec
from sluice.api.rollout import Rollout, RolloutSpec
from sluice.api.status import Phase, Revision, RolloutStatus
from sluice.engine.inputs import Desired
from sluice.engine.plan import Plan
from sluice.engine.world import DeploymentHealth, LivePredictor, World

STABLE, CANDIDATE = "stable", "candidate"
EPOCH = 1_700_000_000.0
"""When the first step begins, Unix seconds: any moment will do."""

Weights = tuple[tuple[str, int], ...]

DESIRED = Desired(CANDIDATE, CANDIDATE, ("simulated",), {"name": CANDIDATE}, {}, None)
SPEC = RolloutSpec.model_validate({"template": {"spec": {"predictors": [{"graph": {}}]}}})


def rollout_with(status: RolloutStatus) -> Rollout:
    """The ModelRollout as the controller would read it."""
    return Rollout.model_construct(
        name="simulated",
        namespace="simulation",
        uid="simulated",
        generation=1,
        resource_version="1",
        annotations={},
        deleting=False,
        spec=SPEC,
        raw_template={},
        status=status,
    )


def at_rest() -> RolloutStatus:
    """Only the stable, serving; the template asks for the candidate."""
    stable = Revision(revision=STABLE, predictor=STABLE, images=["simulated"])
    return RolloutStatus(phase=Phase.IDLE, stable=stable)


@lru_cache(maxsize=256)
def world_of(weights: Weights) -> World:
    """The SeldonDeployment with these predictors and percents, all ready, routes as asked."""
    return World(
        exists=True,
        predictors=tuple(
            LivePredictor(name, weight, name, ("simulated",), {"name": name})
            for name, weight in weights
        ),
        health={name: (DeploymentHealth(name, name, 1, 1, 0, 1, True),) for name, _ in weights},
        routes=dict(weights),
    )


def weights_of(plan: Plan) -> Weights:
    """The predictors of a plan with their percents."""
    return tuple((p.name, p.weight) for p in plan.predictors)


def share_of(weights: Weights) -> float:
    """The candidate's share of the traffic, 0 to 1."""
    return dict(weights).get(CANDIDATE, 0) / 100.0


def ends_of_holds(policy: CanaryPolicySpec) -> list[tuple[float, float]]:
    """Share of the candidate and when its step may end at the soonest, seconds from the start."""
    at, found = 0.0, []
    for step in policy.steps:
        at += step.hold
        found.append((step.weight / 100.0, at))
    return found
