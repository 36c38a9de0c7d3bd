"""Preparing: the candidate is brought in at 0% until it may get its first traffic."""

from __future__ import annotations

from sluice.api.base import format_duration
from sluice.api.gates import Moment
from sluice.api.status import Phase
from sluice.api.times import from_wire, to_wire
from sluice.engine import gates, preflight
from sluice.engine.draft import Draft
from sluice.engine.looks import WAITING_SECONDS, candidate_problem, say_frozen
from sluice.engine.plan import Plan, PlannedPredictor
from sluice.engine.promoting import begin_promotion, wanted_at_once
from sluice.engine.rollback import begin_rollback
from sluice.engine.stepping import enter_step
from sluice.engine.strategy import begin, bring_in, brought_in


def preparing(draft: Draft) -> None:
    """Candidate at 0% until every part of it is ready and the gateway knows it."""
    world, stable, candidate = draft.inputs.world, draft.stable(), draft.candidate()
    if (
        not world.ready(stable.predictor)
        and world.routes is None
        and world.predictor(candidate.predictor) is None
        and not world.routes_problem
    ):
        _replace_unborn_stable(draft)
        return
    bring_in(draft)
    if brought_in(draft):
        _ready(draft)
        return
    deadline = draft.inputs.rollout.spec.progress_deadline_seconds
    problem = candidate_problem(draft)
    waited = _unready_for(draft)
    if waited >= deadline:
        begin_rollback(
            draft,
            "ProgressDeadlineExceeded",
            f"the candidate was not ready within {format_duration(deadline)}{problem}",
        )
        return
    draft.set(message=f"waiting for revision {candidate.revision} to become ready{problem}")
    draft.look_again_in(min(WAITING_SECONDS, deadline - waited))


def _unready_for(draft: Draft) -> float:
    """Since the candidate was added; or, if it was ready once and waited, since it no longer is."""
    if draft.status.ready_at is None:
        return draft.in_phase_for()
    freeze = draft.status.freeze
    return draft.now - ((from_wire(freeze.since) if freeze else None) or draft.now)


def _ready(draft: Draft) -> None:
    candidate = draft.candidate()
    if draft.status.ready_at is None:
        # Its life under traffic, and so its warm-up, begins when gateways surely know its pods: a
        # route and the addresses behind it reach them by different ways, and nobody tells when.
        draft.set(ready_at=to_wire(draft.now + draft.inputs.settle))
        draft.note("CandidateReady", f"revision {candidate.revision} is ready")
    world = draft.inputs.world
    left = (from_wire(draft.status.ready_at) or draft.now) - draft.now
    if world.blockers():
        say_frozen(draft)
    elif left > 0:
        draft.set(message=f"revision {candidate.revision} is ready; gateways learn its addresses")
        draft.look_again_in(left)
    else:
        goes_on = preflight.may_go_on(draft)
        if draft.status.pause is not None:
            draft.set(message=f"paused: {draft.status.pause.message}")
        elif goes_on:
            _leave_preparing(draft)


def _leave_preparing(draft: Draft) -> None:
    if draft.status.returning:  # a rollback in all but name: no steps, and no gate
        begin_promotion(draft, "it was the stable lately")
    elif not preflight.skipped_for_all(draft.status) and begin(draft):
        return
    elif wanted_at_once(draft):
        if gates.may_pass(draft, Moment.BEFORE_PROMOTION):
            begin_promotion(draft, "promoted by command")
    elif gates.may_pass(draft, Moment.BEFORE_STEP, 0):
        enter_step(draft, 0)


def _replace_unborn_stable(draft: Draft) -> None:
    """The stable never served: put the new revision in its place, there is nothing to compare."""
    candidate, desired = draft.candidate(), draft.inputs.desired
    draft.plan = Plan(
        (
            PlannedPredictor(
                candidate.predictor, 100, template=desired.predictor, replicas=desired.replicas
            ),
        )
    )
    draft.note("StableNeverReady", "the stable never became ready and is replaced", warning=True)
    draft.enter(
        Phase.IDLE, "replacing a stable that never served", stable=candidate, candidate=None
    )
