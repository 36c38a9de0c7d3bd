"""Which way a candidate comes in: what the phases need to know of `spec.strategy`."""

from __future__ import annotations

from sluice.api.status import Phase, ShadowStatus
from sluice.api.strategy import BlueGreen, Shadow
from sluice.api.times import to_wire
from sluice.engine.capacity import replicas_for
from sluice.engine.draft import Draft
from sluice.errors import SpecError


def blue_green(draft: Draft) -> BlueGreen | None:
    """What the rollout asks for if it is blue-green; None for a canary."""
    return draft.inputs.rollout.spec.strategy.blue_green


def kept_warm(draft: Draft) -> float:
    """How long the old revision stays after the switch, seconds."""
    asked, bake = blue_green(draft), draft.inputs.policy.bake
    return max(bake, asked.keep_blue_for or 0.0) if asked else bake


def bake_weight(draft: Draft) -> int:
    """The candidate's share while baking, %. Blue-green moves all traffic or none."""
    return 100 if blue_green(draft) is not None else draft.inputs.policy.bake_weight


def shadow_wanted(draft: Draft) -> Shadow | None:
    """The shadow that this rollout still has to go through; None when it is over, or not asked."""
    done = draft.status.shadow is not None and draft.status.shadow.ended_at is not None
    # Going back to a recent stable skips the steps, and the shadow with them.
    return None if done or draft.status.returning else draft.inputs.rollout.spec.strategy.shadow


def bring_in(draft: Draft) -> None:
    """Plan the candidate beside the stable without a user: as a shadow, or at 0%.

    Raises SpecError `ShadowTaken` where the SeldonDeployment has a shadow of the user's: Seldon
    takes one at most, and that one is not ours to remove.
    """
    wanted, world = shadow_wanted(draft), draft.inputs.world
    if wanted is not None and world.predictor(draft.candidate().predictor) is None:
        theirs = [p.name for p in world.predictors if p.shadow and not p.ours]
        if theirs:
            raise SpecError(
                "ShadowTaken",
                f"strategy asks for a shadow, but the SeldonDeployment has one already, "
                f"{theirs[0]!r}, and Seldon takes one at most: take that one out, or remove "
                "`shadow` from the strategy",
            )
    percent = wanted.percent if wanted else None
    steps = draft.inputs.policy.steps
    draft.split(0, shadow=percent, replicas=replicas_for(draft, percent or steps[0].weight))


def brought_in(draft: Draft) -> bool:
    """The candidate is ready, in the form that was planned.

    Right after a change of form every Deployment is still whole, of the form before, and Seldon
    would take that for ready: only what it made of the flag counts, and all pods must be new.
    """
    world, name = draft.inputs.world, draft.candidate().predictor
    live = world.predictor(name)
    if live is None or not world.ready(name):
        return False
    as_shadow, there = shadow_wanted(draft) is not None, world.health.get(name, ())
    if live.shadow is not as_shadow or any(d.updated < d.desired for d in there):
        return False
    return any(d.shadow for d in there) is as_shadow


def begin(draft: Draft) -> bool:
    """Enter what follows on Preparing, unless that is a step or the promotion (False)."""
    status, candidate = draft.status, draft.candidate()
    if wanted := shadow_wanted(draft):
        message = f"copying {wanted.percent}% of the requests to revision {candidate.revision}"
        draft.note("Shadowing", message + "; its answers reach nobody")
        shadow = ShadowStatus(percent=wanted.percent, started_at=to_wire(draft.now))
        draft.enter(Phase.SHADOWING, message, shadow=shadow)
    elif blue_green(draft) and not (status.shadow is not None and status.shadow.promote):
        where = draft.inputs.desired.preview
        draft.note(
            "PreviewReady",
            f"revision {candidate.revision} is ready beside {draft.stable().revision}, without "
            f"users; try it at {where}",
        )
        draft.enter(Phase.PREVIEWING, f"green is ready at {where}", preview=where)
    else:
        return False
    return True
