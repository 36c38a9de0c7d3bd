"""What follows a promotion: the monitoring's findings go into the status, and retrainings begin.

Called in a reconcile pass after the traffic was moved: nothing here may keep a rollback waiting,
and what fails here is tried again without spoiling the pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import structlog

from sluice.api.monitoring_status import MonitoringStatus
from sluice.api.status import Condition, RolloutStatus
from sluice.engine.conditions import merge
from sluice.engine.inputs import Decision, Inputs, Note
from sluice.engine.monitoring import (
    CHECKPOINT_SECONDS,
    CONDITIONS,
    Answer,
    Seen,
    answers_of,
    essence,
    findings,
)
from sluice.engine.retraining import open_one, step, to_be_looked_at
from sluice.errors import ApiError
from sluice.loops.retraining import Retrainer

log = structlog.get_logger()

_RETRY_SECONDS = 15.0
_WARNS = {"Drifted", "Decayed"}

Look = Callable[[str], Seen | None]


class Aftercare:
    """`look` says what the monitoring has seen of a rollout, None: nothing yet."""

    def __init__(self, look: Look, retrainer: Retrainer) -> None:
        self._look = look
        self._retrainer = retrainer

    def follow(self, inputs: Inputs, decision: Decision) -> Decision:
        """The decision with `status.monitoring` and its conditions; the same if none is asked."""
        rollout, status = inputs.rollout, decision.status
        spec = rollout.spec.monitoring
        if spec is None:
            return decision if _is_bare(status) else replace(decision, status=_bared(status))
        seen = self._look(rollout.key)
        if seen is None:
            return decision
        now = inputs.now
        found, answers = findings(spec, status, seen, now)
        before = answers_of(status.conditions)
        current = status.stable is not None and status.stable.predictor == seen.predictor
        known = rollout.status.monitoring
        outcome, waits = None, False
        entry = open_one(known)
        if known and entry and to_be_looked_at(spec, answers, entry, current=current):
            try:
                outcome = self._retrainer.outcome(rollout, known, entry)
            except ApiError as error:
                log.warning("retraining not looked at", rollout=rollout.key, error=str(error))
                waits = True
        went = step(rollout, spec, status, found, answers, outcome, now, current=current)
        found = found.model_copy(update={"retrainings": went.retrainings})
        if outcome is not None and not outcome.state.open and known is not None:
            self._retrainer.forget(rollout.key)
        notes = (*_changes(before, answers), *went.notes)
        again = _soonest(decision.look_again, _RETRY_SECONDS if waits else went.look_again)
        if not _is_news(status, found, answers, now):
            return replace(decision, look_again=again)
        return replace(
            decision,
            status=_with(inputs, status, found, answers),
            notes=(*decision.notes, *notes),
            look_again=again,
        )

    def forget(self, key: str) -> None:
        """The rollout is gone."""
        self._retrainer.forget(key)


def _is_news(
    status: RolloutStatus, found: MonitoringStatus, answers: dict[str, Answer], now: float
) -> bool:
    """Whether to write: at once when an answer changes, numbers alone every few minutes."""
    old = status.monitoring
    if {kind: answer[:2] for kind, answer in answers.items()} != answers_of(status.conditions):
        return True
    if old is None or essence(found) != essence(old):
        return True
    if found.checkpoint == old.checkpoint or found.checkpoint is None:
        return False  # nothing new to keep
    return old.checkpoint is None or now - old.checkpoint.at >= CHECKPOINT_SECONDS


def _with(
    inputs: Inputs, status: RolloutStatus, found: MonitoringStatus, answers: dict[str, Answer]
) -> RolloutStatus:
    others = [c for c in status.conditions if c.type not in CONDITIONS or c.type in answers]
    conditions = merge(others, answers, inputs.rollout.generation, inputs.now)
    return status.model_copy(update={"monitoring": found, "conditions": conditions})


def _changes(before: dict[str, tuple[str, str]], answers: dict[str, Answer]) -> list[Note]:
    """An Event for what begins and what ends; not for every reason of knowing nothing."""
    notes = []
    for kind, (value, reason, message) in answers.items():
        was = before.get(kind, ("", ""))[0]
        if value == "True" and was != "True":
            notes.append(Note(reason, message, warning=reason in _WARNS))
        elif was == "True" and value != "True":
            notes.append(Note(f"NoLonger{kind}", f"{kind} is over: {message}"))
    return notes


def _is_bare(status: RolloutStatus) -> bool:
    return status.monitoring is None and not answers_of(status.conditions)


def _bared(status: RolloutStatus) -> RolloutStatus:
    """Nothing is watched any more."""
    kept: list[Condition] = [c for c in status.conditions if c.type not in CONDITIONS]
    return status.model_copy(update={"monitoring": None, "conditions": kept})


def _soonest(one: float | None, two: float | None) -> float | None:
    given = [seconds for seconds in (one, two) if seconds is not None]
    return min(given, default=None)
