"""One-shot commands: an annotation bound to a revision, acknowledged in the status.

The annotation `sluice.dev/command` holds JSON: ``{"id": …, "command": …, "revision": …, "by": …,
"why": …}``. The id makes it one-shot, the revision makes a late one harmless: a `promote` that was
meant for another candidate is refused with a reason. Who gave it is what the client says, no proof.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum

from sluice.api.rollout import COMMAND_ANNOTATION
from sluice.api.status import CommandStatus, Phase, RolloutStatus
from sluice.api.times import to_wire
from sluice.engine.draft import Draft
from sluice.engine.gates import waiting
from sluice.engine.preflight import awaited
from sluice.engine.retraining_by_hand import refusal_to_retrain

_LONGEST_NAME = 200
LONGEST_WHY = 300


class Command(StrEnum):
    """What a person may ask for."""

    PROMOTE = "promote"
    PROMOTE_FULL = "promote-full"
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    RETRY = "retry"
    RETRAIN = "retrain"


@dataclass(frozen=True)
class Request:
    """A command as it stands in the annotation."""

    id: str
    command: Command
    revision: str
    by: str = ""
    why: str = ""

    def to_annotation(self) -> str:
        """The annotation's value."""
        content = {"id": self.id, "command": self.command, "revision": self.revision}
        told = {"by": self.by, "why": self.why}
        return json.dumps({**content, **{key: value for key, value in told.items() if value}})


def new_command(draft: Draft) -> Request | None:
    """The command to carry out in this pass: acknowledged, or refused with its reason."""
    text = draft.inputs.rollout.annotations.get(COMMAND_ANNOTATION)
    if not text:
        return None
    try:
        raw = json.loads(text)
        request = Request(
            str(raw["id"]),
            Command(raw["command"]),
            str(raw.get("revision", "")),
            str(raw.get("by") or "")[:_LONGEST_NAME],
            str(raw.get("why") or "")[:LONGEST_WHY],
        )
    except (ValueError, KeyError, TypeError):
        request = None
    last = draft.status.last_command
    identity = request.id if request else text[:63]
    if last is not None and last.id == identity:
        return None
    if request is None:
        refusal = (
            f"the annotation {COMMAND_ANNOTATION} is not a command; use `sluice promote`, pause, "
            "resume, abort, retry or retrain"
        )
    else:
        refusal = refusal_of(draft, request)
    name = request.command.value if request else "unknown"
    draft.set(
        last_command=CommandStatus(
            id=identity,
            command=name,
            accepted=not refusal,
            message=refusal or "accepted",
            at=to_wire(draft.now),
            by=(request.by or None) if request else None,
            why=(request.why or None) if request else None,
        )
    )
    if refusal or request is None:
        draft.note("CommandRefused", f"{name}: {refusal}", warning=True)
        return None
    by = f" by {request.by}" if request.by else ""
    why = f": {request.why}" if request.why else ""
    draft.note("CommandAccepted", f"{name}{by} (revision {request.revision or '-'}){why}")
    return request


def meant_for(status: RolloutStatus, command: Command) -> str:
    """The revision that a command given now is about; "" for none."""
    about_stable = command is Command.RETRAIN
    current = status.stable if about_stable else status.candidate or status.rejected
    return current.revision if current is not None else ""


def refusal_of(draft: Draft, request: Request) -> str:
    """Why the command is not possible now; "" when it is."""
    current = meant_for(draft.status, request.command)
    if request.revision and current and request.revision != current:
        return (
            f"it was meant for revision {request.revision}, the current one is {current}: "
            "look at `sluice status` and decide again"
        )
    spec = draft.inputs.rollout.spec
    monitoring = spec.monitoring
    return refusal_now(
        draft.status,
        request.command,
        spec_paused=spec.paused,
        retrainable=monitoring is not None
        and (monitoring.on_drift is not None or monitoring.on_decay is not None),
    )


def refusal_now(
    status: RolloutStatus, command: Command, *, spec_paused: bool, retrainable: bool
) -> str:
    """Why a command is not possible as things stand; "" when it is.

    `retrainable`: the spec declares a retraining.
    """
    if command is Command.RETRAIN:
        return refusal_to_retrain(status, declared=retrainable)
    return refusal_in_phase(
        status.phase,
        command,
        paused=status.pause is not None,
        spec_paused=spec_paused,
        waiting=bool(waiting(status)) and status.stable is not None,
        preflight=awaited(status),
    )


def refusal_in_phase(
    phase: Phase,
    command: Command,
    *,
    paused: bool,
    spec_paused: bool,
    waiting: bool = False,
    preflight: bool = False,
) -> str:
    """Why a command is not possible in a phase; "" when it is. docs/commands.md has the table.

    Not for `retrain`, which no phase hinders.
    `waiting`: a gate keeps a new template from starting. `preflight`: the candidate is ready, and
    waits for its preflight.
    """
    if command is Command.RETRY:
        if phase is Phase.ROLLING_BACK:
            return "the candidate is still being rolled back: retry when that is done"
        return "" if phase is Phase.ROLLED_BACK else f"nothing was rolled back (phase {phase})"
    if not phase.active and waiting:
        if command is Command.ABORT:
            return ""
        return "it has not started: a gate is closed, and no command opens one (see docs/gates.md)"
    if phase is Phase.ROLLED_BACK:
        return f"no rollout is in progress (phase {phase}): retry tries the candidate again"
    if not phase.active:
        hint = ": set spec.paused to hold the next one" if command is Command.PAUSE else ""
        return f"no rollout is in progress (phase {phase}){hint}"
    if phase is Phase.ROLLING_BACK:
        return "the candidate is already being rolled back"
    if command is Command.RESUME:
        if spec_paused:
            return "spec.paused is true: set it to false where the ModelRollout is kept"
        return "" if paused else "it is not paused"
    if command in (Command.PROMOTE, Command.PROMOTE_FULL):
        if phase is Phase.PREPARING and not preflight:
            return "the candidate is not ready yet, or a gate is closed: there is nothing to skip"
        if phase is Phase.PROMOTING:
            return "the traffic is on its way to the candidate already"
    return ""
