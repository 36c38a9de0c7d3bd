"""A preflight in a line, for people."""

from __future__ import annotations

from sluice.api.preflight import PreflightState, PreflightStatus
from sluice.api.status import Phase, RolloutStatus
from sluice.engine.preflight import awaited

STYLES = {
    PreflightState.PASSED: "green",
    PreflightState.FAILED: "red",
    PreflightState.BLOCKED: "yellow",
    PreflightState.UNDECIDED: "yellow",
    PreflightState.SKIPPED: "yellow",
}


def preflight_line(found: PreflightStatus) -> str:
    """State, why, and for which pair."""
    why = f": {found.message}" if found.message else ""
    tries = f", {found.attempt} tries" if found.attempt > 1 else ""
    return f"{found.state.value}{why} ({found.revision} against {found.stable}{tries})"


def waits_for_it(status: RolloutStatus) -> bool:
    """The candidate is ready, and its answers are being compared, or could not be."""
    return status.phase is Phase.PREPARING and awaited(status)
