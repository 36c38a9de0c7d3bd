"""Conditions as kstatus (kubectl wait, Flux) reads them, and the overall verdict."""

from __future__ import annotations

from sluice.api.status import Condition, Phase, RolloutStatus, Verdict
from sluice.api.times import to_wire
from sluice.engine.draft import Draft
from sluice.engine.gates import waiting
from sluice.engine.inputs import Decision, Inputs
from sluice.engine.traffic import counted_as

_WORST_FIRST = (Verdict.HARM, Verdict.ERROR, Verdict.NO_DATA, Verdict.UNDECIDED, Verdict.PASS)


def conclude(draft: Draft) -> Decision:
    """Set verdict and conditions, and hand the decision over."""
    status = draft.status
    verdicts = {check.verdict for check in status.checks}
    if not verdicts and status.preflight is not None and status.preflight.verdict is not None:
        verdicts = {status.preflight.verdict}
    overall = next((v for v in _WORST_FIRST if v in verdicts), None)
    draft.set(verdict=overall)
    draft.set(conditions=_conditions(draft.inputs, draft.status))
    return draft.decision()


def stalled(
    inputs_status: RolloutStatus, generation: int, reason: str, message: str, now: float
) -> RolloutStatus:
    """The status of a rollout that cannot be worked on; everything else is kept."""
    wanted = {
        "Stalled": ("True", reason, message),
        "Ready": ("False", reason, message),
        "Reconciling": ("False", reason, message),
    }
    return inputs_status.model_copy(
        update={
            "observed_generation": generation,
            "message": message,
            "conditions": merge(inputs_status.conditions, wanted, generation, now),
        }
    )


def _conditions(inputs: Inputs, status: RolloutStatus) -> list[Condition]:
    wanted = {
        "Ready": _ready(inputs, status),
        "Reconciling": _reconciling(inputs, status),
        "Stalled": _stalled(status),
        "TrafficVerified": _traffic(inputs, status),
        "MetricsAvailable": _metrics(inputs, status),
    }
    if promoted := _promoted(inputs, status):
        wanted["Promoted"] = promoted
    return merge(status.conditions, wanted, inputs.rollout.generation, inputs.now)


def _ready(inputs: Inputs, status: RolloutStatus) -> tuple[str, str, str]:
    why = waiting(status)
    if status.phase.active or (status.stable is None and not why):
        return "False", status.phase.value, status.message
    if status.phase is Phase.ROLLED_BACK:
        return "False", "RolledBack", status.message
    if status.stable is not None and not inputs.world.ready(status.stable.predictor):
        return "False", "StableNotReady", f"predictor {status.stable.predictor} is not whole yet"
    if why or status.stable is None:
        return "False", "WaitingForGate", why
    return "True", "Serving", f"revision {status.stable.revision} has all the traffic"


def _reconciling(inputs: Inputs, status: RolloutStatus) -> tuple[str, str, str]:
    if _undecided(status):
        # kstatus takes the first of the two that is true: it would wait for what a person must do.
        return "False", "Undecided", status.message
    if status.phase.active:
        return "True", status.phase.value, status.message
    if why := waiting(status):
        return "True", "WaitingForGate", why
    settled = status.stable is not None and inputs.world.ready(status.stable.predictor)
    if status.phase is Phase.IDLE and not settled:
        return "True", "StableNotReady", "waiting for the stable to become ready"
    return "False", status.phase.value, status.message


def _stalled(status: RolloutStatus) -> tuple[str, str, str]:
    if status.phase is Phase.ROLLED_BACK:
        return "True", "RolledBack", status.message
    if status.pause is not None and _undecided(status):
        return "True", "Undecided", status.pause.message
    return "False", "Progressing", ""


def _undecided(status: RolloutStatus) -> bool:
    """No decision came in time, and the policy says that a person decides."""
    return status.pause is not None and status.pause.reason == "Undecided"


def _traffic(inputs: Inputs, status: RolloutStatus) -> tuple[str, str, str]:
    desired, observed = status.traffic.desired, status.traffic.observed
    if observed is None:
        reason = inputs.world.routes_problem or "there is no VirtualService yet"
        return "Unknown", "NotReadable", reason
    if inputs.world.routes is None:
        counted = ", ".join(f"{n} {w}%" for n, w in sorted(observed.items()))
        why = inputs.world.routes_problem or "there is no VirtualService yet"
        if counted_as(desired, inputs.counted):
            return "True", "RequestsCounted", f"{counted} of the requests counted ({why})"
        return "False", "NotYet", f"asked for {desired}, the requests counted say {counted} ({why})"
    names = set(desired) | set(observed)
    if all(desired.get(n, 0) == observed.get(n, 0) for n in names):
        return "True", "AsDesired", ", ".join(f"{n} {w}%" for n, w in sorted(desired.items()))
    reason = "SeldonFrozen" if status.freeze else "NotYet"
    return "False", reason, f"asked for {desired}, the gateway has {observed}"


def _metrics(inputs: Inputs, status: RolloutStatus) -> tuple[str, str, str]:
    if not status.phase.judged:
        return "Unknown", "NotNeeded", "no candidate is being judged"
    if inputs.metrics_problem:
        return "False", "Unreachable", inputs.metrics_problem
    blind = [
        c.name
        for c in status.checks
        if c.verdict in (Verdict.NO_DATA, Verdict.ERROR)
        # Before a blue-green switch nobody asks the candidate; then the stable must be seen.
        and not (status.phase is Phase.PREVIEWING and c.stable_left is not None)
    ]
    if blind:
        return "False", "NoData", "no data for " + ", ".join(blind)
    if not status.checks:
        return "Unknown", "NotYet", "nothing was measured yet"
    return "True", "Measured", ""


def _promoted(inputs: Inputs, status: RolloutStatus) -> tuple[str, str, str] | None:
    if status.phase.active:
        return "False", status.phase.value, status.message
    if status.phase is Phase.ROLLED_BACK:
        return "False", status.rollback_reason or "RolledBack", status.message
    if why := waiting(status):
        return "False", "WaitingForGate", why
    if status.stable and status.stable.revision == inputs.desired.revision:
        last = status.history[0] if status.history else None
        reason = last.reason if last and last.outcome == "Promoted" else "Initial"
        return "True", reason, f"revision {status.stable.revision}"
    return None


def merge(
    old: list[Condition],
    wanted: dict[str, tuple[str, str, str]],
    generation: int,
    now: float,
) -> list[Condition]:
    """New conditions; lastTransitionTime moves only when the status does. Others are kept."""
    before = {condition.type: condition for condition in old}
    for kind, (value, reason, message) in wanted.items():
        earlier = before.get(kind)
        same = earlier is not None and earlier.status == value
        before[kind] = Condition(
            type=kind,
            status=value,
            reason=reason,
            message=message,
            observed_generation=generation,
            last_transition_time=earlier.last_transition_time if earlier and same else to_wire(now),
        )
    return list(before.values())
