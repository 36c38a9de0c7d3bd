"""What a phase sees of its candidate: harm, its pods, open checks, a Seldon that stands still."""

from __future__ import annotations

from sluice.api.base import format_duration
from sluice.api.policy import Metric, UndecidedAction
from sluice.api.status import CheckStatus, Phase, Verdict
from sluice.api.times import from_wire
from sluice.engine.draft import Draft
from sluice.engine.rollback import begin_rollback

# A candidate without a ready pod gets this long: one reading is no verdict. Seconds.
GONE_GRACE_SECONDS = 3.0
# How often to look while something is waited for that may not announce itself. Seconds.
WAITING_SECONDS = 5.0


def harmed(draft: Draft) -> bool:
    """Harm rolls back, paused or not."""
    harm = [c for c in draft.inputs.checks if c.verdict is Verdict.HARM]
    if not harm:
        return False
    begin_rollback(draft, "HarmDetected", in_numbers(tuple(harm)))
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
        f"{format_duration(round(unready_for))}{candidate_problem(draft)}",
    )
    return True


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


def say_frozen(draft: Draft) -> None:
    """Wait until Seldon writes the traffic split again."""
    freeze = draft.status.freeze
    draft.set(message=f"waiting: {freeze.message}" if freeze else "waiting for Seldon")
    draft.look_again_in(WAITING_SECONDS)


def candidate_problem(draft: Draft) -> str:
    deployments = draft.inputs.world.health.get(draft.candidate().predictor, ())
    problem = next((d.problem for d in deployments if d.problem), "")
    return f": {problem}" if problem else ""


def in_numbers(checks: tuple[CheckStatus, ...]) -> str:
    return "; ".join(f"{c.name}: {c.message.rstrip('.')}" for c in checks)
