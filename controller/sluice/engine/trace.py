"""The decisions of a rollout, kept in its status: a bounded tail. The audit log has all of them."""

from __future__ import annotations

from sluice.api.status import CheckStatus, HistoryEntry, RolloutStatus, Trace
from sluice.api.times import to_wire

# A status is held in memory for every rollout, and written whole: a few KiB for this, not more.
_LIVE = 20
_REMEMBERED = 12
_ENTRIES_WITH_DECISIONS = 2
_MESSAGE_LENGTH = 160
# Where the numbers of the checks belong to the decision.
_WITH_NUMBERS = frozenset({"StepStarted", "Promoting", "Promoted", "RollingBack", "Undecided"})


def traced(status: RolloutStatus, reason: str, message: str, now: float) -> list[Trace]:
    """The decisions with one more, the oldest dropped."""
    numbers = numbers_of(status.checks) if reason in _WITH_NUMBERS else ""
    entry = Trace(
        at=to_wire(now),
        phase=status.phase,
        reason=reason,
        message=_shortened(message),
        checks=_shortened(numbers) or None,
    )
    return [*status.decisions, entry][-_LIVE:]


def of_the_gates(decisions: list[Trace]) -> list[Trace]:
    """What was decided before a rollout could start belongs to it; what else was, does not."""
    return [entry for entry in decisions if entry.reason.startswith("Gate")]


def as_remembered(decisions: list[Trace]) -> list[Trace]:
    """The last ones, for the history."""
    return decisions[-_REMEMBERED:]


def without_old_decisions(history: list[HistoryEntry]) -> list[HistoryEntry]:
    """Only the newest entries keep their decisions, and the details of their preflight."""
    old = history[_ENTRIES_WITH_DECISIONS:]
    return history[:_ENTRIES_WITH_DECISIONS] + [_shrunk(entry) for entry in old]


def _shrunk(entry: HistoryEntry) -> HistoryEntry:
    if entry.decisions:
        entry = entry.model_copy(update={"decisions": []})
    if entry.preflight is not None and entry.preflight.checks:
        entry = entry.model_copy(update={"preflight": entry.preflight.in_short()})
    return entry


def numbers_of(checks: list[CheckStatus]) -> str:
    """Each check in a few characters: ``errors Pass 0.01/0.005 (120/480)``."""
    return "; ".join(
        f"{c.name} {c.verdict} {_value(c.candidate)}/{_value(c.stable)} "
        f"({c.candidate_samples}/{c.stable_samples})"
        for c in checks
    )


def _value(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _shortened(text: str) -> str:
    return text if len(text) <= _MESSAGE_LENGTH else text[: _MESSAGE_LENGTH - 1] + "…"
