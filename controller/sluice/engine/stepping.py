"""The way of a candidate: Preparing, Stepping, Promoting, Baking."""

from __future__ import annotations

from sluice.api.base import format_duration
from sluice.api.gates import Moment
from sluice.api.policy import Metric, UndecidedAction
from sluice.api.status import CheckStatus, Phase, StepStatus, Verdict
from sluice.api.times import from_wire, to_wire
from sluice.engine import gates, preflight
from sluice.engine.capacity import grown, replicas_for
from sluice.engine.commands import Command
from sluice.engine.draft import Draft
from sluice.engine.plan import Plan, PlannedPredictor
from sluice.engine.rollback import DRAIN_SECONDS, begin_rollback, unverifiable
from sluice.engine.strategy import bake_weight, begin, bring_in, brought_in, kept_warm
from sluice.engine.traffic import arrived

# A candidate without a ready pod gets this long: one reading is no verdict. Seconds.
GONE_GRACE_SECONDS = 3.0
# How often to look while something is waited for that may not announce itself. Seconds.
WAITING_SECONDS = 5.0


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
    problem = _problem(draft)
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
    elif _wanted_at_once(draft):
        if gates.may_pass(draft, Moment.BEFORE_PROMOTION):
            begin_promotion(draft, "promoted by command")
    elif gates.may_pass(draft, Moment.BEFORE_STEP, 0):
        enter_step(draft, 0)


def _wanted_at_once(draft: Draft) -> bool:
    """All traffic was asked for by command, in the shadow or while the preflight was awaited."""
    shadow = draft.status.shadow
    in_shadow = shadow is not None and shadow.promote
    return bool(in_shadow) or preflight.skipped_for_all(draft.status)


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
        _leave_step(draft, step, "every check says Pass: " + _numbers(checks))


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


def begin_promotion(draft: Draft, why: str) -> None:
    """Move the traffic; whether it may be moved was asked before."""
    draft.note("Promoting", why)
    draft.enter(
        Phase.PROMOTING,
        "moving all traffic to the candidate",
        traffic=draft.status.traffic.model_copy(update={"verified_at": None}),
    )


def open_checks(draft: Draft, checks: tuple[CheckStatus, ...], *, last: bool) -> list[str]:
    """Why the step may not be left, one phrase a check; empty when it may."""
    if draft.inputs.metrics_problem:
        return [f"holding, the metrics cannot be read: {draft.inputs.metrics_problem}"]
    if _unmeasured(draft, checks):
        return ["no measurement yet"]
    phrases = []
    copies = draft.status.phase in (Phase.SHADOWING, Phase.PREVIEWING)
    truths_come_later = copies or not last
    for check in checks:
        if check.verdict is Verdict.PASS or (truths_come_later and awaits_truths(draft, check)):
            continue
        blind = check.verdict in (Verdict.NO_DATA, Verdict.ERROR)
        if last or blind or check.candidate_samples <= 0 or leans_to_harm(check):
            why = (check.message or check.reason).rstrip(".")
            phrases.append(f"{check.name} {check.verdict}: {why}")
    return phrases


def awaits_truths(draft: Draft, check: CheckStatus) -> bool:
    """A check of feedback that nothing speaks against: truths come late, in a shadow never."""
    feedback = {c.name for c in draft.inputs.policy.checks if c.metric is Metric.FEEDBACK}
    undecided = check.verdict is Verdict.UNDECIDED and not leans_to_harm(check)
    return check.name in feedback and undecided


def leans_to_harm(check: CheckStatus) -> bool:
    """Half of the evidence for harm is there: more users are not put in front of it."""
    if check.harm_evidence is None or not check.harm_needed:
        return False
    return check.harm_evidence >= 0.5 * check.harm_needed


def undecided_for_long(draft: Draft, began: float) -> None:
    """Do what the policy says when the evidence stays out too long since `began` (Unix seconds)."""
    rule, last = draft.inputs.policy.on_undecided, draft.status.last_command
    if last is not None and last.accepted and last.command == "resume":
        began = max(began, from_wire(last.at) or began)  # a resume starts the clock anew
    left = began + rule.after - draft.now
    if left <= 0 and _unmeasured(draft, draft.inputs.checks) and not draft.inputs.metrics_problem:
        # After a restart, say: the next pulse brings an answer, or tells why there is none.
        left = WAITING_SECONDS
    if left > 0:
        draft.look_again_in(left)
        return
    text = f"no decision within {format_duration(rule.after)}: {draft.status.message}"
    if rule.action is UndecidedAction.ROLL_BACK and not _unseen(draft):
        begin_rollback(draft, "Undecided", text)
    else:
        draft.hold("Undecided", text)


def _unmeasured(draft: Draft, checks: tuple[CheckStatus, ...]) -> bool:
    """Whether the metrics were not looked at yet, for one check at least."""
    return bool({c.name for c in draft.inputs.policy.checks} - {c.name for c in checks})


def _unseen(draft: Draft) -> bool:
    """The metrics are away, or stand still: that is nobody's fault, and takes nobody out."""
    stale = any(
        check.verdict is Verdict.ERROR or check.reason == "MetricsStale"
        for check in draft.inputs.checks
    )
    return bool(draft.inputs.metrics_problem) or stale


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
    draft.remember("Promoted", reason, _numbers(draft.inputs.checks) or message)
    draft.note("Promoted", message)
    draft.enter(Phase.IDLE, message, stable=candidate, candidate=None, step=None, checkpoint=None)


def _why_promoted(draft: Draft) -> str:
    step = draft.status.step
    if draft.status.returning:
        return "ReturnedToStable"
    commanded = (step is not None and step.forced) or _wanted_at_once(draft)
    return "PromotedByCommand" if commanded else "AllChecksPassed"


def _no_sight(draft: Draft) -> str:
    """Why the bake cannot end for want of metrics; "" when it can."""
    if draft.inputs.metrics_problem:
        return f"the metrics cannot be read: {draft.inputs.metrics_problem}"
    if not draft.inputs.checks:
        return "nothing was measured yet"
    return "no data for the candidate" if _blind(draft) else ""


def _blind(draft: Draft) -> bool:
    return any(c.verdict in (Verdict.NO_DATA, Verdict.ERROR) for c in draft.inputs.checks)


def harmed(draft: Draft) -> bool:
    """Harm rolls back, paused or not."""
    harm = [c for c in draft.inputs.checks if c.verdict is Verdict.HARM]
    if not harm:
        return False
    begin_rollback(draft, "HarmDetected", _numbers(tuple(harm)))
    return True


def gone(draft: Draft) -> bool:
    """No metric shows requests that never reach a dead pod: Kubernetes must."""
    world, candidate = draft.inputs.world, draft.candidate()
    if world.predictor(candidate.predictor) is None:
        begin_rollback(draft, "CandidateRemoved", "the candidate's predictor was removed by hand")
        return True
    freeze = draft.status.freeze
    if world.ready(candidate.predictor) or freeze is None:
        return False
    unready_for = draft.now - (from_wire(freeze.since) or draft.now)
    deadline = float(draft.inputs.rollout.spec.progress_deadline_seconds)
    grace = GONE_GRACE_SECONDS if world.ready_pods(candidate.predictor) == 0 else deadline
    if freeze.predictor != candidate.predictor and grace == deadline:
        return False
    if unready_for < grace:
        draft.look_again_in(grace - unready_for)
        return False
    begin_rollback(
        draft,
        "CandidateUnavailable",
        f"the candidate has {world.ready_pods(candidate.predictor)} ready pods for "
        f"{format_duration(round(unready_for))}{_problem(draft)}",
    )
    return True


def say_frozen(draft: Draft) -> None:
    """Wait until Seldon writes the traffic split again."""
    freeze = draft.status.freeze
    draft.set(message=f"waiting: {freeze.message}" if freeze else "waiting for Seldon")
    draft.look_again_in(WAITING_SECONDS)


def _problem(draft: Draft) -> str:
    deployments = draft.inputs.world.health.get(draft.candidate().predictor, ())
    problem = next((d.problem for d in deployments if d.problem), "")
    return f": {problem}" if problem else ""


def _numbers(checks: tuple[CheckStatus, ...]) -> str:
    return "; ".join(f"{c.name}: {c.message.rstrip('.')}" for c in checks)
