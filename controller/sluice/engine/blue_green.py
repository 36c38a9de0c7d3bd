"""Blue-green: green ready without users, one switch, and blue warm for the way back.

Without a shadow nothing can be known of green before the switch. So blue is watched beforehand
until its past is known well enough to hold green against it, and the end of the bake asks for what
can be shown by then. The history says which of the two it was.
"""

from __future__ import annotations

from sluice.api.gates import Moment
from sluice.api.status import Phase, Verdict
from sluice.api.times import to_wire
from sluice.engine import gates, promoting
from sluice.engine.draft import Draft
from sluice.engine.looks import (
    WAITING_SECONDS,
    awaits_truths,
    gone,
    harmed,
    leans_to_harm,
    open_checks,
    say_frozen,
    undecided_for_long,
)
from sluice.engine.rollback import DRAIN_SECONDS
from sluice.engine.stepping import enter_step
from sluice.engine.strategy import blue_green, kept_warm
from sluice.engine.traffic import arrived


def previewing(draft: Draft) -> None:
    """Green ready at 0% until the switch may come: by itself, or by command."""
    asked = blue_green(draft)
    draft.split(0)
    if harmed(draft) or gone(draft):
        return
    if draft.inputs.world.blockers():
        say_frozen(draft)
        return
    if asked is None:
        _on_as_a_canary(draft)
        return
    arrived(draft, {draft.stable().predictor: 100})
    shadowed = asked.shadow is not None and draft.status.shadow is not None
    unseen = [c for c in draft.inputs.checks if c.candidate_samples <= 0]
    if shadowed and any(not awaits_truths(draft, check) for check in unseen):
        _shadow_again(draft)
        return
    waiting = _open_before(draft, shadowed=shadowed)
    ready = f"green is ready at {draft.status.preview}"
    if draft.status.pause is not None:
        draft.set(message=f"{ready}; paused: {draft.status.pause.message}")
    elif draft.status.switch_wanted:
        if gates.may_pass(draft, Moment.BEFORE_PROMOTION):
            promoting.begin_promotion(draft, "promoted by command")
    elif not asked.auto_switch:
        unknown = f" (not yet known: {'; '.join(waiting)})" if waiting else ""
        draft.set(message=f"{ready}; `sluice promote` switches all traffic to it{unknown}")
    elif waiting:
        draft.set(message=f"{ready}; " + "; ".join(waiting))
        draft.look_again_in(WAITING_SECONDS)
        undecided_for_long(draft, draft.now - draft.in_phase_for())
    elif gates.may_pass(draft, Moment.BEFORE_PROMOTION):
        promoting.begin_promotion(draft, "one switch: all traffic to green")


def _on_as_a_canary(draft: Draft) -> None:
    """The strategy is another by now: the first step, as far as its gates allow."""
    if draft.status.pause is not None:
        draft.set(message=f"a canary by now; paused: {draft.status.pause.message}")
    elif gates.may_pass(draft, Moment.BEFORE_STEP, 0):
        enter_step(draft, 0)


def baking(draft: Draft) -> None:
    """Green has all traffic; harm switches straight back. Then blue goes."""
    if blue_green(draft) is None:
        promoting.baking(draft)
        return
    draft.split(100)
    if harmed(draft) or gone(draft):
        return
    arrived(draft, {draft.candidate().predictor: 100})
    bake_left, warm_left = _bake_left(draft), kept_warm(draft) - draft.in_phase_for()
    waiting = _open_after(draft)
    if bake_left > 0:
        draft.look_again_in(bake_left)
    elif waiting:
        draft.set(message="baked, but holding: " + "; ".join(waiting))
        undecided_for_long(draft, draft.now + bake_left)
    elif warm_left > 0:
        until = to_wire(draft.now + warm_left)
        draft.set(message=f"baked; blue stays warm until {until}, `sluice promote` ends that")
        draft.look_again_in(warm_left)
    elif draft.status.pause is not None:
        draft.set(message=f"baked; paused: {draft.status.pause.message}")
    elif draft.inputs.world.blockers():
        say_frozen(draft)
    else:
        finish(draft)


def finish(draft: Draft) -> None:
    """Green is the stable, blue goes; the history says what was shown."""
    promoting.finish_bake(draft, promotion_reason(draft))


def baked(draft: Draft) -> bool:
    """The bake was passed, and blue is only kept warm: green is what a new version follows."""
    return (
        blue_green(draft) is not None
        and draft.status.phase is Phase.BAKING
        and draft.status.pause is None
        and _bake_left(draft) <= 0
        and not draft.inputs.world.blockers()
        and not _open_after(draft)
    )


def promotion_reason(draft: Draft) -> str:
    """What the history may say was shown when the bake ends here."""
    checks = draft.inputs.checks
    if draft.status.returning:
        return "ReturnedToStable"
    if checks and all(c.verdict is Verdict.PASS for c in checks):
        return "AllChecksPassed"
    if _bake_left(draft) > 0 or _open_after(draft):
        return "PromotedByCommand"
    return "BakedWithoutHarm"


def _shadow_again(draft: Draft) -> None:
    """Nothing else could ever show that green is fine: no request comes to it here."""
    message = "the evidence of the shadow is gone (a changed policy begins anew): shadowing again"
    draft.note("ShadowAgain", message, warning=True)
    draft.enter(Phase.PREPARING, message, shadow=None, preview=None, ready_at=None)


def _open_before(draft: Draft, *, shadowed: bool) -> list[str]:
    """Why the switch may not come by itself, one phrase a reason."""
    checks = draft.inputs.checks
    if shadowed and (waiting := open_checks(draft, checks, last=True)):
        return waiting
    if waiting := _unread(draft):
        return waiting
    # Checks with as much to wait for say it once.
    missing = max((c.stable_left for c in checks if c.stable_left is not None), default=None)
    if missing is None:
        return ["no measurement yet"]
    if missing > 0:
        return [
            f"about {missing:,} more requests of the stable until its past can be compared with"
        ]
    return []


def _open_after(draft: Draft) -> list[str]:
    """Why the bake has not shown what it can show, one phrase a reason.

    Limits must pass. A comparison cannot without traffic on both sides, unless the candidate turns
    out to be below what is negligible: it must have requests, and neither harm nor half of it.
    Answers are compared side by side alone (`NothingBeside`), and truths may come later still.
    """
    if waiting := _unread(draft):
        return waiting
    limits = {check.name for check in draft.inputs.policy.checks if check.limit is not None}
    phrases = []
    for check in draft.inputs.checks:
        fine = (
            check.verdict is Verdict.PASS
            or awaits_truths(draft, check)
            or (
                check.verdict is Verdict.UNDECIDED
                and check.name not in limits
                and check.candidate_samples > 0
                and not leans_to_harm(check)
            )
        )
        if not fine:
            why = (check.message or check.reason).rstrip(".")
            phrases.append(f"{check.name} {check.verdict}: {why}")
    return phrases


def _unread(draft: Draft) -> list[str]:
    if draft.inputs.metrics_problem:
        return [f"holding, the metrics cannot be read: {draft.inputs.metrics_problem}"]
    wanted = {check.name for check in draft.inputs.policy.checks}
    return ["no measurement yet"] if wanted - {c.name for c in draft.inputs.checks} else []


def _bake_left(draft: Draft) -> float:
    return max(draft.inputs.policy.bake, DRAIN_SECONDS) - draft.in_phase_for()
