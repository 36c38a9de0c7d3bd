"""Whether the traffic goes where it was sent, and why not. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from sluice.engine.world import DeploymentHealth, World


def observed(world: World) -> dict[str, int] | None:
    """The shares in percent that every rule of the VirtualService has, without zeros; else None."""
    if world.routes is None or not world.routes_agree:
        return None
    return {name: share for name, share in world.routes.items() if share}


def verified(world: World, weights: Mapping[str, int]) -> bool:
    """The VirtualService has exactly these shares, in both rules. `state` is never asked: it is
    stale while the operator is down, and Failed for a moment in a healthy promotion."""
    return not unverified_reason(world, weights)


def unverified_reason(world: World, weights: Mapping[str, int]) -> str:
    """Why the traffic is not verified, as a sentence; "" when it is."""
    wanted = {name: weight for name, weight in weights.items() if weight}
    if world.routes is None:
        if world.routes_problem:
            return f"the VirtualService cannot be read: {world.routes_problem}"
        return "Seldon has not written the VirtualService yet"
    if not world.routes_agree:
        return "the REST and the gRPC rule of the VirtualService have different shares"
    found = observed(world)
    if found == wanted:
        return ""
    frozen = freeze_of(world)
    said = f"the VirtualService has {_shares(found)}, wanted is {_shares(wanted)}"
    return f"{said}: {frozen[1]}" if frozen else said


def freeze_of(world: World) -> tuple[DeploymentHealth, str] | None:
    """The Deployment because of which Seldon does not write the VirtualService, and the way out.

    The one furthest from working comes first. None when nothing blocks.
    """
    blockers = world.blockers()
    if not blockers:
        return None
    worst = min(blockers, key=lambda d: (d.ready > 0, d.current, d.name))
    return worst, f"{_what(worst)}; {_way_out(world, worst)}"


def _what(deployment: DeploymentHealth) -> str:
    name = f"Deployment {deployment.name} (predictor {deployment.predictor})"
    cause = f": {deployment.problem}" if deployment.problem else ""
    if deployment.desired == 0:
        return f"{name} has been set to 0 replicas{cause}"
    if not deployment.current:
        return f"{name} has a change that is not carried out yet{cause}"
    if deployment.ready == 0:
        return f"{name} has no ready pod of {deployment.desired}{cause}"
    if deployment.updated < deployment.desired:
        return (
            f"{name} is being updated or scaled, {deployment.updated} of {deployment.desired} pods "
            f"are new{cause}"
        )
    return f"{name} has {deployment.unavailable} of {deployment.desired} pods unavailable{cause}"


def _way_out(world: World, deployment: DeploymentHealth) -> str:
    predictor = world.predictor(deployment.predictor)
    if predictor is not None and predictor.shadow and predictor.ours:
        return "a rollback takes it out in one patch, which Seldon applies at once"
    if predictor is not None and predictor.shadow:
        return "it is a shadow of yours: repair it, or take it out of the SeldonDeployment"
    if deployment.desired == 0:
        return "give it at least 1 replica, or take its predictor out"
    serving = [p for p in world.predictors if not p.shadow]
    # The candidate is appended last; whatever is before it is the stable.
    if len(serving) > 1 and predictor is serving[-1]:
        return "a rollback takes it out in one patch, which Seldon applies at once"
    if len(serving) == 1:
        return "traffic stays as it is until it is ready"
    if deployment.ready == 0:
        return (
            "steps wait until a pod is ready; moving all traffic to it now would lose it, so that "
            "is a person's decision"
        )
    if world.can_patch_routes:
        return "steps wait until it is whole; a rollback also patches the VirtualService's routes"
    return (
        "steps wait until it is whole; a rollback lowers its replicas to the ready pods, as "
        "VirtualServices may not be patched"
    )


def _shares(shares: Mapping[str, int] | None) -> str:
    return ", ".join(f"{name} {share}%" for name, share in (shares or {}).items()) or "no shares"
