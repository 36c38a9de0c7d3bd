"""The preflight: stable and candidate are asked the same before the candidate has any traffic.

Harm takes the candidate out, as harm does everywhere. What could not be asked is nobody's fault: it
is held, said, and tried again, and a person decides when that takes as long as the policy allows.
"""

from __future__ import annotations

import hashlib
import json

from sluice.api.base import format_duration
from sluice.api.preflight import (
    Preflight,
    PreflightState,
    PreflightStatus,
    PreflightUndecided,
)
from sluice.api.status import RolloutStatus, ShadowStatus
from sluice.api.times import from_wire, to_wire
from sluice.engine.draft import Draft
from sluice.engine.preflight_facts import PreflightWish
from sluice.engine.rollback import begin_rollback

# After an attempt that could not be made: doubled each time. Seconds.
_RETRY_BASE, _RETRY_CAP = 5.0, 60.0
# How often to say how far it is. Seconds.
_PROGRESS_SECONDS = 10.0
_QUESTION = {"requests", "agreement", "distance", "per_class", "slower"}
_PASSED = (PreflightState.PASSED, PreflightState.SKIPPED)


def may_go_on(draft: Draft) -> bool:
    """Whether the first traffic may come; the status says what keeps it from that.

    Harm begins the rollback here, paused or not. While paused nobody is asked anything.
    """
    asked = draft.inputs.rollout.spec.preflight
    if asked is None or draft.status.returning:
        if draft.status.preflight is not None and draft.status.preflight.state.open:
            draft.set(preflight=None)  # no longer wanted
        return True
    before = _current(draft, asked)
    status = _with_answer(draft, before)
    if status.state in _PASSED:
        return True
    if status.state is PreflightState.FAILED:
        begin_rollback(draft, "PreflightFailed", status.message)
    elif status.state is PreflightState.UNDECIDED and status is not before:
        _undecided(draft, asked, status)
    elif draft.status.pause is None:
        _ask(draft, asked, status)
    return False


def awaited(status: RolloutStatus) -> bool:
    """The candidate is ready, and its preflight is what keeps it from its first traffic."""
    return status.preflight is not None and status.preflight.state.open


def begin_again(draft: Draft) -> None:
    """A rollout begins: forget the last one's preflight, but for what this pair has passed."""
    old = draft.status.preflight
    if old is None:
        return
    pair = (draft.inputs.desired.revision, draft.stable().revision)
    passed = old.state is PreflightState.PASSED and old.requests_hash
    if passed and (old.revision, old.stable) == pair:
        kept = {"state": PreflightState.CALLED_OFF, "passed_hash": old.requests_hash}
        draft.set(preflight=old.model_copy(update=kept))
    else:
        draft.set(preflight=None)


def end(draft: Draft) -> None:
    """No rollout is in progress: what was still open is called off."""
    status = draft.status.preflight
    if status is not None and status.state.open:
        draft.set(preflight=status.over())


def skip(draft: Draft, wish: str, *, full: bool) -> None:
    """By command: go on without it, with `full` to all the traffic. The history keeps that."""
    status = draft.status.preflight
    if status is None:
        return
    if full and draft.inputs.rollout.spec.strategy.shadow is not None:
        # A shadow's pods cannot take users: it is made an ordinary predictor first.
        now = to_wire(draft.now)
        shadow = ShadowStatus(percent=0, started_at=now, ended_at=now, promote=True)
        draft.set(shadow=shadow, ready_at=None)
    why = f": {status.message}" if status.message else ""
    text = f"skipped by {wish}; it was {status.state}{why}"
    draft.note("PreflightSkipped", text, warning=True)
    draft.set(
        preflight=status.model_copy(
            update={
                "state": PreflightState.SKIPPED,
                "message": text,
                "reason": wish,
                "ended_at": to_wire(draft.now),
                "due_at": None,
            }
        )
    )


def restart_clock(draft: Draft) -> None:
    """After a pause: what is open is asked at once, and has the policy's time again."""
    status = draft.status.preflight
    if status is not None and status.state.open:
        again = {"started_at": to_wire(draft.now), "due_at": None}
        draft.set(preflight=status.model_copy(update=again))


def take_back(draft: Draft) -> None:
    """A pause takes the wish to skip it back, as long as a gate kept it from being granted."""
    status = draft.status.preflight
    if status is not None and status.state is PreflightState.SKIPPED:
        draft.set(preflight=None)


def skipped_for_all(status: RolloutStatus) -> bool:
    """`promote --full` while it was awaited: no steps either."""
    preflight = status.preflight
    return (
        preflight is not None
        and preflight.state is PreflightState.SKIPPED
        and preflight.reason == "promote-full"
    )


def question_of(draft: Draft, asked: Preflight) -> str:
    """The same for the same pair, requests' place and tolerance: after a restart, and in a later
    rollout of the same revision."""
    # What is not asked for stays out: with None in it, what had passed would be asked again.
    what = asked.model_dump(mode="json", include=_QUESTION, exclude_none=True)
    rollout = draft.inputs.rollout
    parts = [rollout.uid, draft.stable().revision, draft.candidate().revision, what]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def _current(draft: Draft, asked: Preflight) -> PreflightStatus:
    """The status for this pair: as it was, or begun anew."""
    question, old = question_of(draft, asked), draft.status.preflight
    if old is None or old.question != question or old.state is PreflightState.CALLED_OFF:
        begun = {"state": PreflightState.RUNNING, "started_at": to_wire(draft.now)}
        if old is not None and old.question == question and old.passed_hash:
            # The attempts are counted on: an answer of the rollout before is not taken for one now.
            again = {"ended_at": None, "due_at": None, "reason": None}
            old = old.model_copy(update=begun | again)
        else:
            old = PreflightStatus.model_validate(
                begun
                | {
                    "question": question,
                    "revision": draft.candidate().revision,
                    "stable": draft.stable().revision,
                }
            )
        draft.set(preflight=old)
        draft.note("PreflightStarted", f"revision {old.revision} against {old.stable}")
    return old


def _with_answer(draft: Draft, old: PreflightStatus) -> PreflightStatus:
    """The status with the newest answer in it, if that is one to what is asked now."""
    answer = draft.inputs.preflight.answer
    if answer is None or answer.question != old.question or answer.attempt <= old.attempt:
        return old
    if not old.state.open:
        return old
    new = answer.taken(old).model_copy(
        update={"attempt": answer.attempt, "ended_at": to_wire(answer.at), "due_at": None}
    )
    if new.state is PreflightState.BLOCKED:
        wait = min(_RETRY_CAP, _RETRY_BASE * 2.0 ** min(new.attempt - 1, 10))
        new = new.model_copy(update={"due_at": to_wire(answer.at + wait)})
    draft.set(preflight=new)
    _tell(draft, old, new)
    return new


def _tell(draft: Draft, old: PreflightStatus, new: PreflightStatus) -> None:
    if new.state is PreflightState.PASSED:
        draft.note("PreflightPassed", new.message)
    elif new.state is PreflightState.UNDECIDED:
        draft.note("PreflightUndecided", new.message, warning=True)
    elif new.state is PreflightState.BLOCKED and (old.state, old.reason) != (new.state, new.reason):
        draft.note("PreflightBlocked", new.message, warning=True)


def _undecided(draft: Draft, asked: Preflight, status: PreflightStatus) -> None:
    text = f"the preflight is undecided: {status.message}"
    if asked.on_undecided is PreflightUndecided.ROLL_BACK:
        begin_rollback(draft, "Undecided", text)
    else:
        draft.hold("Undecided", text)


def _ask(draft: Draft, asked: Preflight, status: PreflightStatus) -> None:
    inputs = draft.inputs
    if status.state is PreflightState.UNDECIDED:  # and somebody resumed
        status = status.model_copy(update={"state": PreflightState.RUNNING, "reason": None})
        draft.set(preflight=status)
    if status.state is PreflightState.BLOCKED:
        _wait(draft, status)
        if draft.status.pause is not None or _due_in(draft, status) > 0:
            return
    stable = inputs.world.predictor(draft.stable().predictor)
    candidate = inputs.world.predictor(draft.candidate().predictor)
    if stable is None or candidate is None:
        return  # another pass brings it in first
    facts = inputs.preflight
    far = f": {facts.done:,} of {facts.total:,} requests" if facts.total else ""
    if status.state is PreflightState.RUNNING:
        draft.set(message=f"preflight: asking both revisions{far}")
    draft.look_again_in(_PROGRESS_SECONDS)
    draft.preflight = PreflightWish(
        question=status.question,
        attempt=status.attempt + 1,
        spec=asked,
        namespace=inputs.rollout.namespace,
        deployment=inputs.rollout.deployment_name,
        stable=stable.raw,
        candidate=candidate.raw,
        protocol=str((inputs.rollout.raw_template.get("spec") or {}).get("protocol") or ""),
        passed_hash=status.passed_hash,
    )


def _wait(draft: Draft, status: PreflightStatus) -> None:
    """Say why it cannot be run; a person decides when that lasts as long as the policy allows."""
    draft.set(message=f"preflight: {status.message}")
    after = draft.inputs.policy.on_undecided.after
    left = (from_wire(status.started_at) or draft.now) + after - draft.now
    if left > 0:
        due = _due_in(draft, status)
        draft.look_again_in(min(left, due if due > 0 else _PROGRESS_SECONDS))
        return
    # Whatever the policy's action: what could not be asked takes nobody out.
    text = f"the preflight could not be run within {format_duration(after)}: {status.message}"
    draft.hold("Undecided", text)


def _due_in(draft: Draft, status: PreflightStatus) -> float:
    """Seconds until the next attempt; 0 or less: it may be under way."""
    due = from_wire(status.due_at)
    return 0.0 if due is None else due - draft.now
