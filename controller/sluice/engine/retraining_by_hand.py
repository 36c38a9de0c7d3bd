"""`sluice retrain`: the retraining that the spec declares, because a person asks for it.

It passes over the cooldown and the limit of the week: these are against a loop that nobody looks
at, and a person does look. It counts in both, so the next one by itself comes later. Two at once
there are never.
"""

from __future__ import annotations

from sluice.api.monitoring import Monitoring
from sluice.api.monitoring_status import MonitoringStatus, RetrainingState
from sluice.api.status import RolloutStatus
from sluice.engine.draft import Draft
from sluice.engine.monitoring import DECAYED
from sluice.engine.retraining import (
    AT_ONCE,
    ON_DECAY,
    ON_DRIFT,
    REQUESTED,
    open_one,
    with_a_new_one,
)


def refusal_to_retrain(status: RolloutStatus, *, declared: bool) -> str:
    """Why none can be started now; "" when one can. `declared`: the spec says how to retrain."""
    if not declared:
        return (
            "the spec declares no retraining: set spec.monitoring.onDrift or onDecay, with a job "
            "or a webhook (see docs/model-quality.md)"
        )
    if status.stable is None:
        return "no version serves yet: there is no model to train anew"
    if (entry := open_one(status.monitoring)) is None:
        return ""
    what = f" (Job {entry.job})" if entry.job else ""
    if entry.state is RetrainingState.RUNNING:
        return f"retraining {entry.number} is running{what} since {entry.at}: wait for its end"
    waits = f": {entry.message}" if entry.message else ""
    return f"retraining {entry.number} is about to start{waits}"


def begin(draft: Draft, *, by: str, why: str) -> None:
    """Write it down as Pending; it starts once the status has it."""
    rollout, stable = draft.inputs.rollout, draft.stable()
    spec = rollout.spec.monitoring
    if spec is None:
        return
    found = draft.status.monitoring or MonitoringStatus(
        predictor=stable.predictor, revision=stable.revision
    )
    entries = with_a_new_one(
        rollout,
        found.model_copy(update={"revision": stable.revision}),
        found.retrainings,
        REQUESTED,
        draft.now,
        reaction=_field(spec, draft.status),
        by=by or None,
        why=why or None,
    )
    draft.set(monitoring=found.model_copy(update={"retrainings": entries}))
    draft.look_again_in(AT_ONCE)


def _field(spec: Monitoring, status: RolloutStatus) -> str:
    """Where both are declared: onDecay for a model that is Decayed, else onDrift."""
    if spec.on_drift is None:
        return ON_DECAY
    decayed = status.condition(DECAYED)
    has_decayed = decayed is not None and decayed.status == "True"
    return ON_DECAY if has_decayed and spec.on_decay is not None else ON_DRIFT
