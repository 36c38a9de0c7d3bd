"""Stepping: the candidate's share of the traffic grows, as far as hold and evidence allow."""

from __future__ import annotations

from sluice.api.gates import Moment
from sluice.api.status import Phase, StepStatus
from sluice.api.times import from_wire, to_wire
from sluice.engine import gates
from sluice.engine.capacity import grown, replicas_for
from sluice.engine.commands import Command
from sluice.engine.draft import Draft
from sluice.engine.looks import (
    WAITING_SECONDS,
    gone,
    harmed,
    in_numbers,
    open_checks,
    say_frozen,
    undecided_for_long,
)
from sluice.engine.promoting import begin_promotion
from sluice.engine.traffic import arrived


def stepping(draft: Draft) -> None:
    """Candidate at the step's weight until the hold is over and the evidence allows."""
    step = draft.status.step
    policy = draft.inputs.policy
    if step is None or step.index >= len(policy.steps):
        enter_step(draft, min(step.index if step else 0, len(policy.steps) - 1))
        step = draft.status.step
    if step is None:
        raise AssertionError("a step was just entered")
    if step.weight != policy.steps[step.index].weight:
        enter_step(draft, step.index)
        step = draft.status.step or step
    enough = grown(draft, step.weight)
    if enough:
        draft.split(step.weight, replicas=replicas_for(draft, step.weight))
    if harmed(draft) or gone(draft):
        return
    if draft.inputs.world.blockers():
        say_frozen(draft)
        return
    if not enough:
        draft.look_again_in(WAITING_SECONDS)
        return
    if step.forced is not None and draft.status.pause is None:
        _leave_step(draft, step, "by command", full=step.forced == Command.PROMOTE_FULL)
        return
    if not _verified(draft, step):
        return
    _progress(draft, draft.status.step or step)


def enter_step(draft: Draft, index: int) -> None:
    """Go to a step of the policy; its weight is planned by `stepping`."""
    steps = draft.inputs.policy.steps
    step = steps[index]
    message = f"step {index + 1} of {len(steps)}: {step.weight}% to the candidate"
    draft.set(
        step=StepStatus(
            index=index,
            weight=step.weight,
            total=len(steps),
            progress=f"{index + 1}/{len(steps)}",
            started_at=to_wire(draft.now),
        ),
        traffic=draft.status.traffic.model_copy(update={"verified_at": None}),
    )
    draft.note("StepStarted", message)
    if draft.status.phase is Phase.STEPPING:
        draft.set(message=message)
    else:
        draft.enter(Phase.STEPPING, message)


def _verified(draft: Draft, step: StepStatus) -> bool:
    """The gateway has the step's weights; the hold begins when it was first seen so."""
    stable, candidate = draft.stable(), draft.candidate()
    wanted = {stable.predictor: 100 - step.weight, candidate.predictor: step.weight}
    if arrived(draft, wanted):
        if step.verified_at is None:
            hold = draft.inputs.policy.steps[step.index].hold
            draft.set(
                step=step.model_copy(
                    update={
                        "verified_at": to_wire(draft.now),
                        "hold_until": to_wire(draft.now + hold),
                    }
                )
            )
        return True
    draft.set(message=f"waiting for the gateway to have {step.weight}% for the candidate")
    draft.look_again_in(WAITING_SECONDS)
    return step.verified_at is not None and draft.inputs.world.routes is None


def _progress(draft: Draft, step: StepStatus) -> None:
    steps, checks = draft.inputs.policy.steps, draft.inputs.checks
    where = f"step {step.index + 1} of {len(steps)}, {step.weight}%"
    hold_left = (from_wire(step.hold_until) or draft.now) - draft.now
    last = step.index == len(steps) - 1
    waiting = open_checks(draft, checks, last=last)
    if draft.status.pause is not None:
        draft.set(message=f"{where}: paused: {draft.status.pause.message}")
    elif hold_left > 0:
        draft.look_again_in(hold_left)
        ends = draft.status.step.hold_until if draft.status.step else ""
        draft.set(message=f"{where}: hold until {ends}")
    elif steps[step.index].pause and not step.released:
        gates.wait_for_a_person(draft, where)
    elif waiting:
        draft.set(message=f"{where}: " + "; ".join(waiting))
        undecided_for_long(draft, _evidence_since(draft, step))
    else:
        _leave_step(draft, step, "every check says Pass: " + in_numbers(checks))


def _leave_step(draft: Draft, step: StepStatus, why: str, *, full: bool = False) -> None:
    """To the next step, or to the whole traffic after the last one, as far as the gates allow."""
    if full or step.index >= len(draft.inputs.policy.steps) - 1:
        if gates.may_pass(draft, Moment.BEFORE_PROMOTION):
            begin_promotion(draft, why)
    elif gates.may_pass(draft, Moment.BEFORE_STEP, step.index + 1):
        enter_step(draft, step.index + 1)
        draft.look_again_in(0.05)
    if draft.status.phase is Phase.STEPPING and draft.status.step == step and not step.gated:
        draft.set(step=step.model_copy(update={"gated": True}))


def _evidence_since(draft: Draft, step: StepStatus) -> float:
    """Since when evidence has been waited for. A weekend at a closed gate was no lack of it."""
    if step.gated:
        step = step.model_copy(update={"gated": None, "started_at": to_wire(draft.now)})
        draft.set(step=step)
    return from_wire(step.started_at) or draft.now
