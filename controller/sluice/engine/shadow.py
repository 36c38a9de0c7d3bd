"""Shadowing: the candidate is judged on copies of requests before it answers a user."""

from __future__ import annotations

from dataclasses import replace

from sluice.api.status import Phase, ShadowStatus
from sluice.api.strategy import Shadow
from sluice.api.times import from_wire, to_wire
from sluice.engine.capacity import replicas_for
from sluice.engine.draft import Draft
from sluice.engine.inputs import Inputs
from sluice.engine.looks import (
    WAITING_SECONDS,
    gone,
    harmed,
    open_checks,
    say_frozen,
    undecided_for_long,
)
from sluice.engine.strategy import blue_green, shadow_wanted
from sluice.engine.traffic import arrived


def users_only(inputs: Inputs) -> Inputs:
    """The inputs with a shadow's requests told apart: copies are nobody's share of the traffic."""
    status = inputs.rollout.status
    if status.phase is not Phase.SHADOWING or status.candidate is None:
        return inputs
    counted = dict(inputs.counted)
    mirrored = counted.pop(status.candidate.predictor, 0.0)
    return replace(inputs, counted=counted, mirrored=mirrored)


def shadowing(draft: Draft) -> None:
    """Copies go to the candidate until the hold is over and the evidence allows."""
    wanted = shadow_wanted(draft)
    if wanted is None:
        leave(draft, "the strategy has no shadow any more")
        return
    draft.split(0, shadow=wanted.percent, replicas=replicas_for(draft, wanted.percent))
    if harmed(draft) or gone(draft):
        return
    if draft.inputs.world.blockers():
        say_frozen(draft)
        return
    if _copied(draft, wanted):
        _progress(draft, wanted)


def leave(draft: Draft, why: str, *, promote: bool = False) -> None:
    """Make the candidate an ordinary predictor at 0%: its pods restart, and must be ready again.

    With `promote` it goes straight to all traffic after that.
    """
    ended = {"ended_at": to_wire(draft.now), "promote": promote or None}
    draft.note("ShadowEnded", f"{why}; the candidate becomes an ordinary predictor at 0%")
    draft.enter(
        Phase.PREPARING,
        f"{why}; bringing the candidate in at 0%",
        shadow=_status(draft).model_copy(update=ended),
        ready_at=None,
    )


def _status(draft: Draft) -> ShadowStatus:
    """What is kept of the shadow; there is some in this phase."""
    if draft.status.shadow is None:
        draft.set(shadow=ShadowStatus(percent=0, started_at=to_wire(draft.now)))
    if draft.status.shadow is None:
        raise AssertionError("the shadow was just set")
    return draft.status.shadow


def _copied(draft: Draft, wanted: Shadow) -> bool:
    """The gateway copies that share; the hold begins when it was first seen to."""
    world, candidate = draft.inputs.world, draft.candidate()
    shadow = _status(draft)
    if shadow.percent != wanted.percent:  # changed under way
        shadow = shadow.model_copy(update={"percent": wanted.percent, "verified_at": None})
        draft.set(shadow=shadow)
    users_stay = arrived(draft, {draft.stable().predictor: 100})
    if world.routes is not None:
        seen = users_stay and dict(world.mirrors) == {candidate.predictor: wanted.percent}
    else:
        seen = bool(world.routes_problem) and draft.inputs.mirrored > 0
    if seen:
        if shadow.verified_at is None:
            draft.set(
                shadow=shadow.model_copy(
                    update={
                        "verified_at": to_wire(draft.now),
                        "hold_until": to_wire(draft.now + wanted.hold),
                    }
                )
            )
        return True
    draft.set(message=f"waiting for the gateway to copy {wanted.percent}% to the candidate")
    draft.look_again_in(WAITING_SECONDS)
    return shadow.verified_at is not None and world.routes is None


def _progress(draft: Draft, wanted: Shadow) -> None:
    """Blue-green must pass here: between the shadow and the switch there is nothing to judge."""
    shadow = _status(draft)
    where = f"shadow, {wanted.percent}% copied"
    until = from_wire(shadow.hold_until) or draft.now
    waiting = open_checks(draft, draft.inputs.checks, last=blue_green(draft) is not None)
    if draft.status.pause is not None:
        draft.set(message=f"{where}: paused: {draft.status.pause.message}")
    elif until > draft.now:
        draft.look_again_in(until - draft.now)
        draft.set(message=f"{where}: hold until {shadow.hold_until}")
    elif waiting:
        draft.set(message=f"{where}: " + "; ".join(waiting))
        undecided_for_long(draft, from_wire(shadow.started_at) or draft.now)
    else:
        leave(draft, "no harm on copied requests")
