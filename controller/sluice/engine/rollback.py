"""Taking the candidate out: traffic first, then the predictor.

Where everything is whole: weight 0, verify, drain, remove (the executor has no preStop: requests
under way would be cut). Where Seldon is frozen it would ignore a weight: remove the candidate and
give the stable 100 in one patch, and move the VirtualService's routes by hand right after it.
A shadow answers nobody, so there is nothing to drain: it is removed at once.
"""

from __future__ import annotations

from sluice.api.status import Phase
from sluice.api.times import from_wire, to_wire
from sluice.engine.draft import Draft
from sluice.engine.traffic import arrived

# Requests under way on the candidate get this long to end before it is removed, in seconds.
DRAIN_SECONDS = 5.0


def begin_rollback(draft: Draft, reason: str, message: str) -> None:
    """Enter RollingBack; the plan is made in the same pass."""
    candidate, preflight = draft.candidate(), draft.status.preflight
    warning = reason not in ("Superseded", "TemplateReverted", "Aborted")
    draft.note(
        "RollingBack", f"revision {candidate.revision}: {reason}: {message}", warning=warning
    )
    draft.enter(
        Phase.ROLLING_BACK,
        message,
        rollback_reason=reason,
        pause=None,
        preflight=preflight.over() if preflight else None,
        traffic=draft.status.traffic.model_copy(update={"verified_at": None}),
    )


def rolling_back(draft: Draft) -> None:
    """Plan the next move of the rollback, or end it."""
    world, stable, candidate = draft.inputs.world, draft.stable(), draft.candidate()
    present = world.predictor(candidate.predictor) is not None
    routed = (world.routes or {}).get(candidate.predictor, 0)
    copied = candidate.predictor in world.mirrors
    if not present and routed == 0 and not copied:
        _end(draft)
        return
    draft.look_again_in(1.0)
    live = world.predictor(candidate.predictor)
    if present and not world.blockers() and not (live and live.shadow):
        # A scale-up would freeze Seldon just now: its replicas stay as they are.
        draft.split(0, replicas=live.replicas if live else None)
        if unverifiable(draft) or arrived(draft, {stable.predictor: 100}):
            moved = from_wire(draft.status.traffic.verified_at) or _assumed_move(draft)
            left = moved + DRAIN_SECONDS - draft.now
            if left > 0:
                draft.look_again_in(left)
                return
            draft.only(stable.predictor)
        return
    draft.only(stable.predictor, force=True)
    if world.ready_pods(stable.predictor) == 0 and routed > 0:
        text = (
            f"no pod of the stable predictor {stable.predictor} is ready: the traffic cannot go "
            "there; bring one back, or decide by hand"
        )
        if draft.status.message != text:
            draft.note("StableNotReady", text, warning=True)
        draft.set(message=text)


def unverifiable(draft: Draft) -> bool:
    """Nobody can say where the traffic is: the routes are not readable, and nothing is counted."""
    inputs = draft.inputs
    return bool(
        inputs.world.routes is None
        and inputs.world.routes_problem
        and not any(inputs.counted.values())
    )


def _assumed_move(draft: Draft) -> float:
    """When the traffic has surely left: Seldon, whole, writes routes well within a drain's time."""
    began = from_wire(draft.status.phase_started_at) or draft.now
    return began + DRAIN_SECONDS


def _end(draft: Draft) -> None:
    status = draft.status
    candidate, reason = draft.candidate(), status.rollback_reason or "Aborted"
    draft.only(draft.stable().predictor)
    draft.remember(
        {"Superseded": "Superseded", "Aborted": "Aborted", "TemplateReverted": "Aborted"}.get(
            reason, "RolledBack"
        ),
        reason,
        status.message,
    )
    draft.note(
        "RolledBack",
        f"revision {candidate.revision} is out: {reason}: {status.message}",
        warning=reason not in ("Superseded", "TemplateReverted", "Aborted"),
    )
    if reason in ("Superseded", "TemplateReverted"):
        draft.enter(Phase.IDLE, status.message, candidate=None, step=None, checkpoint=None)
    else:
        draft.enter(
            Phase.ROLLED_BACK,
            status.message,
            candidate=None,
            rejected=candidate,
            step=None,
            checkpoint=None,
        )
    draft.set(traffic=draft.status.traffic.model_copy(update={"verified_at": to_wire(draft.now)}))
