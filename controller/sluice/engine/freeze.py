"""Seldon's freeze: seen, named, counted (facts of Seldon Core 1.17.1, trap 1)."""

from __future__ import annotations

from sluice.api.status import FreezeStatus
from sluice.api.times import to_wire
from sluice.engine.draft import Draft


def note_freeze(draft: Draft) -> None:
    """Keep `status.freeze` in step with the world while a rollout is in progress."""
    blockers = draft.inputs.world.blockers()
    freeze = draft.status.freeze
    if not blockers:
        if freeze is not None:
            if freeze.announced:
                draft.note("SeldonUnfrozen", f"Deployment {freeze.deployment} is whole again")
            draft.set(freeze=None)
        return
    if not draft.status.phase.active:
        return
    first = next((b for b in blockers if freeze and b.name == freeze.deployment), blockers[0])
    message = (
        f"Deployment {first.name} of predictor {first.predictor} has {first.ready} of "
        f"{first.desired} replicas ready; Seldon does not write the traffic split until it is whole"
    )
    if first.problem:
        message += f" ({first.problem})"
    if freeze is None:
        candidate = draft.status.candidate
        # A candidate that is still starting is no surprise worth an Event.
        surprise = (
            candidate is None
            or first.predictor != candidate.predictor
            or draft.status.ready_at is not None
        )
        draft.set(
            freeze=FreezeStatus(
                deployment=first.name,
                predictor=first.predictor,
                message=message,
                since=to_wire(draft.now),
                announced=surprise,
            )
        )
        if surprise:
            draft.note("SeldonFrozen", message, warning=True)
    elif first.name != freeze.deployment:
        draft.set(
            freeze=freeze.model_copy(
                update={
                    "deployment": first.name,
                    "predictor": first.predictor,
                    "message": message,
                    "count": freeze.count + 1,
                }
            )
        )
    elif message != freeze.message:
        draft.set(freeze=freeze.model_copy(update={"message": message}))
