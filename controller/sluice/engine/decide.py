"""`decide`: one pass over one rollout. Pure.

The life: Idle -> Preparing -> Stepping -> Promoting -> Baking -> Idle, and from any of the middle
ones RollingBack -> RolledBack. A shadow puts Shadowing and a second Preparing in between,
blue-green has Previewing in place of Stepping. Each phase function looks at the world, may enter
another phase, and leaves a plan; `decide` runs them until the phase no longer changes, so that harm
is answered in the pass that sees it.
"""

from __future__ import annotations

from collections.abc import Callable

from sluice.api.gates import Moment
from sluice.api.status import Phase, Revision, TrafficStatus
from sluice.api.times import from_wire, to_wire
from sluice.engine import gates, preflight, retraining_by_hand
from sluice.engine.adopt import adopt, begin_life, restored
from sluice.engine.asking import tell_the_end
from sluice.engine.blue_green import baked, baking, finish, previewing
from sluice.engine.commands import Command, Request, new_command
from sluice.engine.conditions import conclude
from sluice.engine.draft import Draft
from sluice.engine.freeze import note_freeze
from sluice.engine.inputs import Decision, Inputs
from sluice.engine.preparing import preparing
from sluice.engine.promoting import end_bake, promoting
from sluice.engine.rollback import begin_rollback, rolling_back
from sluice.engine.shadow import leave, shadowing, users_only
from sluice.engine.stepping import stepping
from sluice.engine.strategy import blue_green
from sluice.engine.trace import of_the_gates
from sluice.engine.traffic import shares_of
from sluice.engine.undo import keep_template, returns_to_a_recent_stable

# Phases one pass may go through: Idle -> Preparing and the like, never round in circles.
_MOST_TRANSITIONS = 6


def decide(inputs: Inputs) -> Decision:
    """The next state of one rollout, and what to do about it."""
    inputs = users_only(inputs)
    draft = Draft(inputs)
    draft.set(
        observed_generation=inputs.rollout.generation,
        policy=inputs.policy_name,
        # Before the first look after a restart the last known answers stay on show, no more.
        checks=list(inputs.checks) or draft.status.checks,
    )
    if inputs.checkpoint is not None and draft.status.phase.judged:
        draft.set(checkpoint=inputs.checkpoint)
    if draft.status.stable is None or not inputs.world.exists:
        if not begin_life(draft):
            return conclude(draft)
    else:
        adopt(draft)
    note_freeze(draft)
    _verify_traffic(draft)
    _pause_from_spec(draft)
    _obey(draft, new_command(draft))
    _follow_template(draft)
    for _ in range(_MOST_TRANSITIONS):
        before = draft.status.phase
        _PHASES[before](draft)
        if draft.status.phase is before:
            break
    if not draft.status.phase.active:
        draft.set(shadow=None, preview=None, switch_wanted=None)
        preflight.end(draft)
    gates.tidy(draft)
    tell_the_end(draft)
    keep_template(draft)
    return conclude(draft)


def idle(draft: Draft) -> None:
    """Nothing to roll out: the stable has all the traffic and the template's replicas."""
    world, stable = draft.inputs.world, draft.stable()
    desired = draft.inputs.desired
    if desired.revision == stable.revision:
        replicas = desired.replicas
        draft.set(restoring=None)
        if world.ready(stable.predictor):
            draft.set(message=f"revision {stable.revision} has all the traffic")
    elif _rejected(draft):
        if draft.status.phase is Phase.IDLE:
            draft.enter(Phase.ROLLED_BACK, "the template is the rejected revision's again")
        replicas = None
    elif restored(draft) and _begin_rollout(draft):
        return
    else:
        replicas = None
    strays = {n for n, w in (world.routes or {}).items() if w > 0} - {stable.predictor}
    # A rollback while Seldon was frozen moved the routes by hand; keep them moved.
    draft.only(stable.predictor, replicas=replicas, force=bool(strays and world.blockers()))
    if strays:
        draft.look_again_in(1.0)


def rolled_back(draft: Draft) -> None:
    """The rejected revision stays out until the template changes or someone says retry."""
    if not _rejected(draft):
        draft.enter(Phase.IDLE, "the template has changed")
        return
    idle(draft)


def _rejected(draft: Draft) -> bool:
    rejected = draft.status.rejected
    return rejected is not None and rejected.revision == draft.inputs.desired.revision


def _begin_rollout(draft: Draft) -> bool:
    """False while a gate is closed: the stable stays alone, and the status says what is awaited."""
    desired, spec = draft.inputs.desired, draft.inputs.rollout.spec
    returning = returns_to_a_recent_stable(
        draft.status, desired.revision, spec.rollback_window.revisions
    )
    if not returning and not gates.may_pass(draft, Moment.BEFORE_START):
        return False
    candidate = Revision(
        revision=desired.revision,
        predictor=desired.predictor_name,
        images=list(desired.images),
        source=draft.inputs.rollout.spec.source,
    )
    draft.set(decisions=of_the_gates(draft.status.decisions))
    preflight.begin_again(draft)
    how = ", the stable lately: without steps" if returning else ""
    draft.note(
        "RolloutStarted", f"revision {candidate.revision}: {', '.join(candidate.images)}{how}"
    )
    draft.enter(
        Phase.PREPARING,
        f"bringing revision {candidate.revision} in beside {draft.stable().revision} at 0%",
        candidate=candidate,
        rejected=None,
        step=None,
        started_at=to_wire(draft.now),
        ready_at=None,
        checks=[],
        verdict=None,
        checkpoint=None,
        rollback_reason=None,
        returning=returning or None,
        changed_by=draft.inputs.rollout.changed_by,
        change_cause=draft.inputs.rollout.change_cause,
        shadow=None,
        preview=None,
        switch_wanted=None,
    )
    return True


def _follow_template(draft: Draft) -> None:
    """A new template in mid-rollout supersedes; one equal to the stable takes it back."""
    status = draft.status
    if not status.phase.active or status.phase is Phase.ROLLING_BACK or status.candidate is None:
        return
    desired = draft.inputs.desired.revision
    if desired == status.candidate.revision:
        return
    if status.stable is not None and desired == status.stable.revision:
        begin_rollback(draft, "TemplateReverted", "the template is the stable revision's again")
    elif baked(draft):
        finish(draft)
    else:
        begin_rollback(draft, "Superseded", f"the template is now revision {desired}")


def _pause_from_spec(draft: Draft) -> None:
    status, paused = draft.status, draft.inputs.rollout.spec.paused
    if paused and status.phase.active:
        draft.hold("SpecPaused", "spec.paused is true")
    elif not paused and status.pause is not None and status.pause.reason == "SpecPaused":
        draft.set(pause=None)
        _restart_the_undecided_clock(draft)
        draft.note("Resumed", "spec.paused is false again")
    if not status.phase.active and status.pause is not None:
        draft.set(pause=None)


def _obey(draft: Draft, request: Request | None) -> None:
    if request is None:
        return
    command = request.command
    if command is Command.PAUSE:
        draft.hold("Requested", "paused by command; `sluice resume` goes on")
        step = draft.status.step
        if step is not None and draft.status.phase is Phase.STEPPING:
            # A `promote` that waits for a gate is taken back.
            draft.set(step=step.model_copy(update={"forced": None}))
        if draft.status.phase is Phase.PREPARING:
            preflight.take_back(draft)
    elif command is Command.RESUME:
        gates.release(draft)
        draft.set(pause=None)
        _restart_the_undecided_clock(draft)
    elif command is Command.ABORT and not draft.status.phase.active:
        _refuse_to_start(draft)
    elif command is Command.ABORT:
        begin_rollback(draft, "Aborted", "aborted by command")
    elif command is Command.RETRY:
        draft.enter(Phase.IDLE, "trying the rejected revision again", rejected=None)
    elif command in (Command.PROMOTE, Command.PROMOTE_FULL):
        _promote(draft, full=command is Command.PROMOTE_FULL)
    elif command is Command.RETRAIN:
        retraining_by_hand.begin(draft, by=request.by, why=request.why)


def _restart_the_undecided_clock(draft: Draft) -> None:
    """Time spent in a pause is no lack of evidence."""
    if draft.status.step is not None:
        step = draft.status.step.model_copy(update={"started_at": to_wire(draft.now)})
        draft.set(step=step)
    preflight.restart_clock(draft)


def _promote(draft: Draft, *, full: bool) -> None:
    """A wish: hold and evidence are skipped, gates are not, and harm still rolls back."""
    gates.release(draft)
    draft.set(pause=None)
    step = draft.status.step
    wish = Command.PROMOTE_FULL if full else Command.PROMOTE
    if draft.status.phase is Phase.BAKING:
        if blue_green(draft) is not None:
            finish(draft)
        else:
            end_bake(draft)
    elif draft.status.phase is Phase.PREPARING:
        preflight.skip(draft, wish.value, full=full)
    elif draft.status.phase is Phase.SHADOWING:
        leave(draft, "promoted by command", promote=full or blue_green(draft) is not None)
    elif draft.status.phase is Phase.PREVIEWING:
        draft.set(switch_wanted=True)
    elif draft.status.phase is Phase.STEPPING and step is not None:
        draft.set(step=step.model_copy(update={"forced": wish.value}))


def _refuse_to_start(draft: Draft) -> None:
    """An abort while gates are awaited: the template is not tried, as after a rollback."""
    desired = draft.inputs.desired
    rejected = Revision(
        revision=desired.revision, predictor=desired.predictor_name, images=list(desired.images)
    )
    text = f"revision {rejected.revision} was aborted before it started"
    draft.enter(Phase.ROLLED_BACK, text, rejected=rejected, rollback_reason="Aborted")


def _verify_traffic(draft: Draft) -> None:
    """What the gateway has, next to what was asked for."""
    world, traffic = draft.inputs.world, draft.status.traffic
    counted = shares_of(draft.inputs.counted)
    observed = counted if world.routes is None else dict(world.routes)
    if observed is None or observed != traffic.observed:
        draft.set(
            traffic=TrafficStatus(
                desired=traffic.desired, observed=observed, verified_at=traffic.verified_at
            )
        )
    if from_wire(draft.status.phase_started_at) is None:
        draft.set(phase_started_at=to_wire(draft.now))


_PHASES: dict[Phase, Callable[[Draft], None]] = {
    Phase.IDLE: idle,
    Phase.PREPARING: preparing,
    Phase.SHADOWING: shadowing,
    Phase.PREVIEWING: previewing,
    Phase.STEPPING: stepping,
    Phase.PROMOTING: promoting,
    Phase.BAKING: baking,
    Phase.ROLLING_BACK: rolling_back,
    Phase.ROLLED_BACK: rolled_back,
}
