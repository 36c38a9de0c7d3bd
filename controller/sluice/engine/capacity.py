"""The candidate's replicas in step with its share, where a canary asks for that.

A scale-up is not free: Seldon writes no traffic split until the new pods are ready. So capacity is
raised first, and the weight follows when everything is whole.
"""

from __future__ import annotations

import math

from sluice.api.strategy import CapacityMode
from sluice.engine.draft import Draft
from sluice.engine.world import DeploymentHealth


def replicas_for(draft: Draft, weight: int) -> int | None:
    """Replicas for that share of the requests (percent); None: as the template says.

    The share of what the stable has now, rounded up; never more than the template asks for.
    """
    canary, desired = draft.inputs.rollout.spec.strategy.canary, draft.inputs.desired
    asked = canary.candidate_replicas if canary else None
    if asked is None or asked.mode is not CapacityMode.IN_STEP or _not_ours(draft):
        return None
    there = draft.inputs.world.health.get(draft.stable().predictor, ())
    now = max((d.desired for d in there), default=1)
    full = desired.replicas or now
    share = math.ceil(max(now, full) * weight / 100)
    return min(full, max(asked.min, share))


def grown(draft: Draft, weight: int) -> bool:
    """There is capacity for that weight. False: it is planned at the weight of now."""
    wanted, world = replicas_for(draft, weight), draft.inputs.world
    name = draft.candidate().predictor
    live = world.predictor(name)
    if wanted is None or live is None:
        return True
    there = world.health.get(name, ())
    # Once more is asked for, the Deployment is whole in the old size until Seldon has followed; and
    # in the new one for a moment, until its ReplicaSet has followed: nothing is unavailable then.
    if (live.replicas or 1) >= wanted and all(d.whole and _holds(d, wanted) for d in there):
        return True
    if live.weight >= weight and (live.replicas or 1) >= wanted:
        return True  # has that weight already: a pod that went away is no scale-up
    draft.split(live.weight, replicas=max(wanted, live.replicas or 1))
    draft.set(message=f"waiting for {wanted} replicas of the candidate before {weight}%")
    return False


def _holds(deployment: DeploymentHealth, wanted: int) -> bool:
    return min(deployment.desired, deployment.ready) >= wanted


def _not_ours(draft: Draft) -> bool:
    """An autoscaler owns them, or a component has replicas of its own that Seldon prefers."""
    components = draft.inputs.desired.predictor.get("componentSpecs") or []
    return any(c.get("hpaSpec") or c.get("kedaSpec") or c.get("replicas") for c in components)
