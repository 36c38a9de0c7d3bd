"""Where a rollout's life begins: a first creation, an adoption, or a SeldonDeployment gone."""

from __future__ import annotations

from sluice.api.base import format_duration
from sluice.api.gates import Moment
from sluice.api.status import Phase, Revision, TrafficStatus
from sluice.api.times import to_wire
from sluice.engine.draft import Draft
from sluice.engine.gates import may_pass
from sluice.engine.inputs import Desired
from sluice.engine.plan import Plan, PlannedPredictor
from sluice.engine.world import LivePredictor
from sluice.errors import SpecError


def begin_life(draft: Draft) -> bool:
    """Find or make the stable. False when this pass can do no more (it was just created)."""
    world, desired = draft.inputs.world, draft.inputs.desired
    if world.exists:
        adopt(draft)
        return True
    before = draft.status.stable
    kept = draft.inputs.kept
    if before is not None and kept is not None and kept.revision == before.revision:
        _restore(draft, before, kept)
        return False
    rejected = draft.status.rejected
    if rejected is not None and rejected.revision == desired.revision:
        raise SpecError(
            "StableNotKept",
            f"the SeldonDeployment was deleted, and the template is revision {desired.revision}, "
            "which was rolled back; the stable's own template is not kept: put a version into "
            "spec.template that may serve",
        )
    # What was served already comes back at once; what was not has to pass the gates.
    served = before is not None and before.revision == desired.revision
    if not served and not may_pass(draft, Moment.BEFORE_START):
        return False
    if before is not None:
        draft.note(
            "SeldonDeploymentGone",
            "the SeldonDeployment was deleted; creating it again from the template",
            warning=True,
        )
    first = Revision(
        revision=desired.revision, predictor=desired.predictor_name, images=list(desired.images)
    )
    draft.plan = Plan(
        (PlannedPredictor(first.predictor, 100, template=desired.predictor),),
        create=desired.create,
    )
    draft.enter(
        Phase.IDLE,
        f"creating the SeldonDeployment with revision {first.revision}",
        stable=first,
        candidate=None,
        step=None,
        adopted=False,
        traffic=TrafficStatus(desired={first.predictor: 100}),
        started_at=to_wire(draft.now),
    )
    draft.note("Created", f"SeldonDeployment with revision {first.revision}, the first")
    draft.look_again_in(1.0)
    return False


def _restore(draft: Draft, stable: Revision, kept: Desired) -> None:
    """What was served comes back, whatever the template is: that was not found good."""
    draft.plan = Plan(
        (PlannedPredictor(stable.predictor, 100, template=kept.predictor),), create=kept.create
    )
    asked = draft.inputs.desired.revision
    draft.note(
        "SeldonDeploymentGone",
        f"the SeldonDeployment was deleted; creating it again with the stable revision "
        f"{stable.revision} from its kept template, revision {asked} has to wait for that",
        warning=True,
    )
    draft.enter(
        Phase.IDLE,
        f"creating the SeldonDeployment again with revision {stable.revision}",
        candidate=None,
        step=None,
        restoring=True,
        traffic=TrafficStatus(desired={stable.predictor: 100}),
        started_at=to_wire(draft.now),
    )
    draft.look_again_in(1.0)


def restored(draft: Draft) -> bool:
    """Whether the stable serves again; also True once it has had its time and does not."""
    status, world = draft.status, draft.inputs.world
    stable = draft.stable()
    if not status.restoring:
        return True
    deadline = draft.inputs.rollout.spec.progress_deadline_seconds
    if world.ready(stable.predictor):
        draft.set(restoring=None)
    elif draft.in_phase_for() >= deadline:
        draft.note(
            "StableNotRestored",
            f"revision {stable.revision} did not come back within {format_duration(deadline)}",
            warning=True,
        )
        draft.set(restoring=None)
    else:
        draft.set(message=f"waiting for revision {stable.revision} to serve again")
        draft.look_again_in(min(5.0, deadline - draft.in_phase_for()))
        return False
    return True


def adopt(draft: Draft) -> None:
    """Make sure that the stable of the status is a predictor that lives."""
    world, status = draft.inputs.world, draft.status
    live = [p for p in world.predictors if not p.shadow]
    if status.stable is not None and world.predictor(status.stable.predictor) is not None:
        return
    if (
        status.candidate is not None
        and len(live) == 1
        and live[0].name == status.candidate.predictor
    ):
        # Someone, or an earlier pass that could not write its status, made the candidate the one.
        _make_stable(draft, live[0], f"predictor {live[0].name} is the only one left")
        return
    stable = _the_stable(live)
    first_time = status.stable is None
    if first_time:
        draft.note("Adopted", f"predictor {stable.name} of the existing SeldonDeployment is stable")
        draft.set(adopted=True)
    else:
        draft.note(
            "StableReplaced",
            f"the stable predictor is gone; {stable.name} is live and taken as stable",
            warning=True,
        )
    _make_stable(draft, stable, f"predictor {stable.name} is stable")


def _make_stable(draft: Draft, live: LivePredictor, message: str) -> None:
    draft.enter(
        Phase.IDLE,
        message,
        stable=Revision(revision=live.revision, predictor=live.name, images=list(live.images)),
        candidate=None,
        step=None,
    )


def _the_stable(live: list[LivePredictor]) -> LivePredictor:
    if len(live) == 1:
        return live[0]
    # A candidate of ours carries its revision in its name and stands last (a status was lost).
    ours = [p for p in live[1:] if p.name.endswith(p.revision)]
    if live and len(ours) == len(live) - 1:
        return live[0]
    names = ", ".join(p.name for p in live) or "none"
    raise SpecError(
        "NotAdoptable",
        f"the SeldonDeployment has the predictors {names}; Sluice takes over one with exactly one "
        "predictor that serves: remove the others, or give spec.seldonDeploymentName another name",
    )
