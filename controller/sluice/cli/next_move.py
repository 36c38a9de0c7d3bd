"""What a rollout does next, in one sentence: pure."""

from __future__ import annotations

from sluice.api.policy import CanaryPolicySpec
from sluice.api.status import Phase, RolloutStatus, Verdict
from sluice.api.times import from_wire
from sluice.cli.bars import span
from sluice.cli.preflight_view import waits_for_it


def next_move(status: RolloutStatus, policy: CanaryPolicySpec | None, now: float) -> str:
    """What happens next, and what it waits for. `now` is Unix seconds."""
    if status.pause is not None:
        if status.pause.reason == "SpecPaused":
            return "nothing until spec.paused is false; harm still rolls back"
        return "nothing until `sluice resume` (or promote, abort); harm still rolls back"
    if waits_for_it(status):
        return (
            "the first traffic, when both revisions have answered alike; `sluice promote` passes "
            "that over"
        )
    if status.phase is Phase.STEPPING:
        return _stepping(status, policy, now)
    if status.phase is Phase.BAKING:
        return _baking(status, policy, now)
    return _SENTENCES.get(status.phase, "")


def _stepping(status: RolloutStatus, policy: CanaryPolicySpec | None, now: float) -> str:
    step = status.step
    if step is None:
        return "the first step"
    last = step.index + 1 >= step.total
    if last:
        after = "all traffic to the candidate"
    elif policy is not None and step.index + 1 < len(policy.steps):
        after = f"step {step.index + 2} at {policy.steps[step.index + 1].weight}%"
    else:
        after = f"step {step.index + 2}"
    if status.freeze is not None:
        return f"{after}, when Seldon has finished with {status.freeze.deployment}"
    hold = from_wire(step.hold_until)
    if hold is None:
        return f"{after}, when the gateway has {step.weight}% and the hold is over"
    left = hold - now
    when = [f"in {span(left)}"] if left > 0 else []
    if last:
        open_checks = [c.name for c in status.checks if c.verdict is not Verdict.PASS]
        if open_checks or not status.checks:
            when.append(f"when Pass is said by {', '.join(open_checks) or 'every check'}")
    elif not when:
        when.append("when every check has data and none leans to harm")
    return f"{after} {' and '.join(when) or 'now'}"


def _baking(status: RolloutStatus, policy: CanaryPolicySpec | None, now: float) -> str:
    old = status.stable.revision if status.stable else "the old one"
    began = from_wire(status.phase_started_at)
    if policy is None or began is None or (left := began + policy.bake - now) <= 0:
        return f"the old revision {old} is removed at the end of the bake; harm switches back"
    return f"the old revision {old} is removed in {span(left)}; harm before that switches back"


_SENTENCES = {
    Phase.IDLE: "nothing until the template changes",
    Phase.PREPARING: "the first step, when every part of the candidate is ready",
    Phase.SHADOWING: "the candidate comes in at 0% when the hold is over and nothing leans to harm",
    Phase.PREVIEWING: "one switch of all traffic; `sluice promote` switches now",
    Phase.PROMOTING: "the bake, when the gateway has 100% for the candidate",
    Phase.ROLLING_BACK: "the candidate is removed when its traffic has gone",
    Phase.ROLLED_BACK: "nothing until the template changes, or `sluice retry`",
}
