"""Promoting and Baking: traffic to the candidate, the old revision kept for the way back."""

from __future__ import annotations

from sluice.api.base import format_duration
from sluice.api.status import Phase, Verdict
from sluice.api.times import from_wire, to_wire
from sluice.engine import preflight
from sluice.engine.capacity import grown, replicas_for
from sluice.engine.draft import Draft
from sluice.engine.looks import WAITING_SECONDS, gone, harmed, in_numbers, say_frozen
from sluice.engine.rollback import DRAIN_SECONDS, unverifiable
from sluice.engine.strategy import bake_weight, kept_warm
from sluice.engine.traffic import arrived


def begin_promotion(draft: Draft, why: str) -> None:
    """Move the traffic; whether it may be moved was asked before."""
    draft.note("Promoting", why)
    draft.enter(
        Phase.PROMOTING,
        "moving all traffic to the candidate",
        traffic=draft.status.traffic.model_copy(update={"verified_at": None}),
    )


def promoting(draft: Draft) -> None:
    """The traffic to the candidate, the stable still there with its holdback."""
    stable, candidate = draft.stable(), draft.candidate()
    weight = bake_weight(draft)
    enough = grown(draft, 100)
    if enough:
        draft.split(weight, replicas=replicas_for(draft, 100))
    if harmed(draft) or gone(draft):
        return
    if draft.inputs.world.blockers():
        say_frozen(draft)
        return
    if not enough:
        draft.look_again_in(WAITING_SECONDS)
    elif arrived(draft, baked_traffic(draft)):
        bake = format_duration(kept_warm(draft))
        share = f"{weight}% of the traffic" if weight < 100 else "all traffic"
        draft.note(
            "Baking", f"{share} on revision {candidate.revision}; the old one stays warm for {bake}"
        )
        kept = f" with {100 - weight}% to compare with" if weight < 100 else ""
        draft.enter(Phase.BAKING, f"baking; {stable.revision} stays warm for {bake}{kept}")
    else:
        draft.set(message=f"waiting for the gateway to have {weight}% for the candidate")
        draft.look_again_in(WAITING_SECONDS)


def baked_traffic(draft: Draft) -> dict[str, int]:
    """The shares while baking, percent by predictor."""
    weight = bake_weight(draft)
    return {draft.stable().predictor: 100 - weight, draft.candidate().predictor: weight}


def baking(draft: Draft) -> None:
    """Both kept, checks go on; harm switches back at once. Then the old predictor goes."""
    if _releasing(draft):
        _release(draft)
        return
    draft.split(bake_weight(draft))
    if harmed(draft) or gone(draft):
        return
    arrived(draft, baked_traffic(draft))
    left = max(draft.inputs.policy.bake, DRAIN_SECONDS) - draft.in_phase_for()
    if left > 0:
        draft.look_again_in(left)
    elif draft.status.pause is not None:
        draft.set(message=f"baked; paused: {draft.status.pause.message}")
    elif problem := _no_sight(draft):
        draft.set(message=f"baked, but holding: {problem}")
    elif draft.inputs.world.blockers():
        say_frozen(draft)
    else:
        end_bake(draft)


def end_bake(draft: Draft) -> None:
    """The old revision gives its holdback away, and goes when its last requests have ended."""
    if bake_weight(draft) == 100:
        finish_bake(draft, _why_promoted(draft))
        return
    draft.split(100)
    draft.set(
        message="baked; moving the last of the traffic to the candidate",
        traffic=draft.status.traffic.model_copy(update={"verified_at": None}),
    )
    draft.look_again_in(WAITING_SECONDS)


def _releasing(draft: Draft) -> bool:
    """The bake was ended in an earlier pass, its holdback is being given away."""
    desired = draft.status.traffic.desired.get(draft.candidate().predictor)
    return desired == 100 and bake_weight(draft) < 100


def _release(draft: Draft) -> None:
    draft.split(100)
    if harmed(draft) or gone(draft):
        return
    if draft.inputs.world.blockers():
        say_frozen(draft)
        return
    if unverifiable(draft):
        # Seldon, whole, writes routes well within a drain's time.
        moved = from_wire(draft.status.traffic.verified_at) or draft.now + DRAIN_SECONDS
        draft.set(traffic=draft.status.traffic.model_copy(update={"verified_at": to_wire(moved)}))
    elif arrived(draft, {draft.candidate().predictor: 100}):
        moved = from_wire(draft.status.traffic.verified_at) or draft.now
    else:
        draft.look_again_in(WAITING_SECONDS)
        return
    left = moved + DRAIN_SECONDS - draft.now
    if left > 0:
        draft.look_again_in(left)
    else:
        finish_bake(draft, _why_promoted(draft))


def finish_bake(draft: Draft, reason: str) -> None:
    """The candidate becomes the stable, the old predictor goes."""
    stable, candidate = draft.stable(), draft.candidate()
    draft.only(candidate.predictor)
    message = f"revision {candidate.revision} took the place of {stable.revision}"
    draft.remember("Promoted", reason, in_numbers(draft.inputs.checks) or message)
    draft.note("Promoted", message)
    draft.enter(Phase.IDLE, message, stable=candidate, candidate=None, step=None, checkpoint=None)


def _why_promoted(draft: Draft) -> str:
    step = draft.status.step
    if draft.status.returning:
        return "ReturnedToStable"
    commanded = (step is not None and step.forced) or wanted_at_once(draft)
    return "PromotedByCommand" if commanded else "AllChecksPassed"


def wanted_at_once(draft: Draft) -> bool:
    """All traffic was asked for by command, in the shadow or while the preflight was awaited."""
    shadow = draft.status.shadow
    in_shadow = shadow is not None and shadow.promote
    return bool(in_shadow) or preflight.skipped_for_all(draft.status)


def _no_sight(draft: Draft) -> str:
    """Why the bake cannot end for want of metrics; "" when it can."""
    if draft.inputs.metrics_problem:
        return f"the metrics cannot be read: {draft.inputs.metrics_problem}"
    if not draft.inputs.checks:
        return "nothing was measured yet"
    return "no data for the candidate" if _blind(draft) else ""


def _blind(draft: Draft) -> bool:
    return any(c.verdict in (Verdict.NO_DATA, Verdict.ERROR) for c in draft.inputs.checks)
