"""Gates: may the rollout start, step up, promote? A rollback is never asked about.

A gate is Open, Closed (with what it waits for) or Failed (it cannot be looked at, or nobody
answered). All must be open. What is known of the world outside comes in with the Inputs.
"""

from __future__ import annotations

from sluice.api.base import format_duration
from sluice.api.gates import Moment, OnFailure, PromotedIn
from sluice.api.status import GateState, GateStatus, Phase, RolloutStatus
from sluice.api.times import to_wire
from sluice.engine import windows
from sluice.engine.asking import ask
from sluice.engine.draft import Draft
from sluice.engine.facts import Elsewhere
from sluice.engine.rollback import begin_rollback
from sluice.errors import UnknownZoneError

WINDOWS = "windows"
PAUSE = "pause"
# A window that opens in days: the clock may be set, the time zone's rules may change. Seconds.
_LONGEST_SLEEP = 3600.0
_AT_ONCE = 0.05


def may_pass(draft: Draft, moment: Moment, step: int | None = None) -> bool:
    """Whether every gate of this moment is open; the status says which is not, and why.

    `step` is the index of the step to be entered. A webhook is asked once the other gates are
    open, so that its answer is fresh. With `onFailure: RollBack` a no rolls back here.
    """
    gates = draft.inputs.rollout.spec.gates
    hooks = [w for w in gates.webhooks if w.at is moment]
    old = {gate.name: gate for gate in draft.status.gates}
    found: list[GateStatus] = []
    if moment is Moment.BEFORE_START:
        found += [_promoted_in(draft, ref) for ref in gates.promoted_in]
    if gates.windows:
        found.append(_windows(draft))
    if all(gate.state is GateState.OPEN for gate in found):
        asked = [ask(draft, w, old.get(w.name), step) for w in hooks]
    else:
        asked = [old[w.name] for w in hooks if w.name in old]
    _settle(draft, [*found, *asked])
    closed = [gate for gate in (*found, *asked) if gate.state is not GateState.OPEN]
    refusing = {w.name for w in hooks if w.on_failure is OnFailure.ROLL_BACK}
    for gate in closed:
        if gate.name in refusing and gate.attempt is not None and draft.status.candidate:
            begin_rollback(draft, "GateFailed", f"{gate.name}: {gate.message}")
            return False
    if closed:
        draft.set(message=f"waiting for {_sentence(closed)}")
    elif any(gate != old.get(gate.name) for gate in asked):
        # A yes is written down before it is acted on: after a crash in between it still stands.
        draft.look_again_in(_AT_ONCE)
        return False
    return not closed


def wait_for_a_person(draft: Draft, where: str) -> None:
    """A manual pause step: shown as a pause and as a gate, ended by resume or promote."""
    text = f"{where}: the step waits for `sluice resume` (or `promote`)"
    _settle(draft, [_gate(draft, PAUSE, GateState.CLOSED, text)])
    draft.hold("PauseStep", text)
    draft.set(message=text)


def release(draft: Draft) -> None:
    """Someone said resume, or promote."""
    if draft.status.pause is None or draft.status.pause.reason != "PauseStep":
        return
    _settle(draft, [_gate(draft, PAUSE, GateState.OPEN, "by command")])
    if draft.status.step is not None:
        draft.set(step=draft.status.step.model_copy(update={"released": True}))


def tidy(draft: Draft) -> None:
    """What was asked for a rollout that has ended, or is being taken out, is not shown for ever."""
    phase = draft.status.phase
    settled = phase is Phase.IDLE and (
        draft.status.stable is not None
        and draft.status.stable.revision == draft.inputs.desired.revision
    )
    if draft.status.gates and (settled or phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK)):
        draft.set(gates=[gate for gate in draft.status.gates if _tells(gate)])


def waiting(status: RolloutStatus) -> str:
    """What a rollout that has not started waits for; "" when it does not."""
    if status.phase is not Phase.IDLE:
        return ""
    closed = [g for g in status.gates if g.state is not GateState.OPEN and not _tells(g)]
    return _sentence(closed)


def _promoted_in(draft: Draft, ref: PromotedIn) -> GateStatus:
    namespace = ref.namespace or draft.inputs.rollout.namespace
    key = f"{namespace}/{ref.name}"
    there = draft.inputs.elsewhere.get(key) or Elsewhere(problem="nothing is known of it yet")
    name = f"promotedIn {key}"
    if there.problem:
        return _gate(draft, name, GateState.CLOSED, there.problem)
    wanted, found = sorted(draft.inputs.desired.images), sorted(there.images)
    if wanted != found:
        text = f"it serves {_listed(found)}, not {_listed(wanted)}"
    elif there.phase != Phase.IDLE:
        text = f"its phase is {there.phase}; it must have ended with these images as its stable"
    elif not there.serving:
        text = "it has these images as its stable, but that is not ready"
    elif ref.within is not None and there.promoted_at is None:
        text = "it does not say when it promoted these images"
    elif (
        ref.within is not None
        and there.promoted_at is not None
        and draft.now - there.promoted_at > ref.within
    ):
        text = (
            f"it promoted these images at {to_wire(there.promoted_at)}, longer ago than "
            f"{format_duration(ref.within)}"
        )
    else:
        return _gate(draft, name, GateState.OPEN, f"it serves {_listed(wanted)}")
    return _gate(draft, name, GateState.CLOSED, text)


def _windows(draft: Draft) -> GateStatus:
    wanted = draft.inputs.rollout.spec.gates.windows
    now = draft.now
    try:
        if any(windows.is_open(window, now) for window in wanted):
            return _gate(draft, WINDOWS, GateState.OPEN, "inside a window")
        found = windows.next_opening(wanted, now)
    except UnknownZoneError as error:
        return _gate(draft, WINDOWS, GateState.FAILED, str(error))
    if found is None:
        draft.look_again_in(_LONGEST_SLEEP)
        return _gate(draft, WINDOWS, GateState.CLOSED, "no window opens within a week")
    at, window = found
    draft.look_again_in(min(at - now, _LONGEST_SLEEP))
    text = f"outside the windows; the next opens {windows.local_text(at, window)}"
    return _gate(draft, WINDOWS, GateState.CLOSED, text)


def _gate(draft: Draft, name: str, state: GateState, message: str) -> GateStatus:
    return GateStatus(name=name, state=state, message=message, since=to_wire(draft.now))


def _settle(draft: Draft, found: list[GateStatus]) -> None:
    """Keep the gates in the status; an Event for each that has changed."""
    before = {gate.name: gate for gate in draft.status.gates}
    kept = []
    for gate in found:
        old = before.get(gate.name)
        if old is not None and old.state is gate.state and old.question == gate.question:
            gate = gate.model_copy(update={"since": old.since})
        kept.append(gate)
        _tell(draft, gate, old)
    kept += [gate for gate in draft.status.gates if _tells(gate)]
    if kept != draft.status.gates:
        draft.set(gates=kept)


def _tell(draft: Draft, gate: GateStatus, old: GateStatus | None) -> None:
    if gate.question is not None and gate.attempt is None:
        return  # asked, and nobody has said anything yet
    if old is not None and (old.state, old.message) == (gate.state, gate.message):
        return
    text = f"{gate.name}: {gate.message}"
    if gate.state is GateState.FAILED:
        draft.note("GateFailed", text, warning=True)
    elif gate.state is GateState.CLOSED:
        draft.note("GateClosed", text)
    elif old is not None and old.state is not GateState.OPEN:
        draft.note("GateOpened", text)


def _tells(gate: GateStatus) -> bool:
    return gate.at == Moment.AFTER_END


def _sentence(closed: list[GateStatus]) -> str:
    return "; ".join(f"gate {gate.name}: {gate.message}" for gate in closed)


def _listed(images: list[str]) -> str:
    return ", ".join(images) or "no image"
