"""A rollout's life as lines of a log: one for each change of phase, step, pause and verdict."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sluice.api.status import RolloutStatus
from sluice.cli.preflight_view import waits_for_it


def scene(obj: dict[str, Any]) -> str:
    """What is told of a rollout as it stands; equal scenes are told once."""
    status = RolloutStatus.model_validate(obj.get("status") or {})
    generation = obj["metadata"].get("generation")
    if status.observed_generation != generation:
        # What the status says is about the template before: not worth a line.
        return f"waiting for the controller to see generation {generation}"
    words = [str(status.phase)]
    if status.step is not None and status.phase.judged:
        words.append(f"step {status.step.index + 1}/{status.step.total} at {status.step.weight}%")
    if status.candidate is not None:
        words.append(f"candidate {status.candidate.revision}")
    elif status.rejected is not None:
        words.append(f"rejected {status.rejected.revision}")
    elif status.stable is not None:
        words.append(f"stable {status.stable.revision}")
    if status.preflight is not None and waits_for_it(status):
        words.append(f"preflight {status.preflight.state}")
    if status.pause is not None:
        words.append(f"paused ({status.pause.reason})")
    if status.freeze is not None and status.phase.active:
        words.append(f"waits for {status.freeze.deployment}")
    if status.verdict is not None and status.phase.active:
        words.append(str(status.verdict))
    return ", ".join(words)


class Story:
    """Turns states into lines, and says nothing twice."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], str] = {}

    def line(self, obj: dict[str, Any], now: float) -> str | None:
        """The line for this state; None when it tells nothing new. `now` is Unix seconds."""
        meta = obj["metadata"]
        key = (meta.get("namespace", ""), meta["name"])
        told = scene(obj)
        if self._last.get(key) == told:
            return None
        self._last[key] = told
        status = obj.get("status") or {}
        seen = status.get("observedGeneration") == meta.get("generation")
        message = (status.get("message") or "") if seen else ""
        clock = datetime.fromtimestamp(now, UTC).strftime("%H:%M:%SZ")
        return f"{clock} {'/'.join(key)}: {told}" + (f": {message}" if message else "")
