"""The audit log: one JSON line a decision (docs/audit.md has the fields).

It is there for people who come later, so nothing waits for it and nothing fails because of it: a
line that cannot be written is counted and told once in the log, and the controller goes on.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import FileIO
from typing import Any

import structlog

from sluice.api.rollout import changed_by
from sluice.api.status import Phase, RolloutStatus
from sluice.api.times import to_wire
from sluice.engine.inputs import Decision, Inputs

log = structlog.get_logger()

STANDARD_OUTPUT = "-"


class AuditLog:
    """Appends lines to a file, or to standard output; safe to use from several threads.

    A file that was moved or removed is opened again before the next line (logrotate's `create`),
    and so it is after `reopen` (SIGHUP). Each line is one write and flushed.
    """

    def __init__(self, target: str, *, on_error: Callable[[], None] | None = None) -> None:
        self._target = target
        self._on_error = on_error or (lambda: None)
        self._lock = threading.Lock()
        self._file: FileIO | None = None
        self._inode: tuple[int, int] | None = None
        self._stale = False
        self._half_written = False
        self._failing = False

    def write(self, records: list[dict[str, Any]]) -> None:
        """Append the records. Never raises."""
        if not records:
            return
        lines = [
            json.dumps(record, separators=(",", ":"), ensure_ascii=False) for record in records
        ]
        with self._lock:
            try:
                self._append("\n".join(lines) + "\n")
            except (OSError, ValueError) as error:
                self._drop()
                self._on_error()
                if not self._failing:
                    log.error("audit lines are being lost", error=str(error), count=len(lines))
                self._failing = True
            else:
                if self._failing:
                    log.info("the audit log is written again")
                self._failing = False

    def reopen(self) -> None:
        """Open the file again before the next line. Only sets a flag: for a signal handler."""
        self._stale = True

    def close(self) -> None:
        """Let the file go."""
        with self._lock:
            self._drop()

    def _append(self, text: str) -> None:
        if self._target == STANDARD_OUTPUT:
            sys.stdout.write(text)
            sys.stdout.flush()
            return
        file = self._current()
        # After a full disk in mid-line, what follows begins a line of its own.
        rest = memoryview((("\n" if self._half_written else "") + text).encode())
        while rest:
            written = file.write(rest) or 0
            rest = rest[written:]
            self._half_written = bool(rest)

    def _current(self) -> FileIO:
        if self._file is not None and (self._stale or self._moved()):
            self._drop()
        self._stale = False
        if self._file is None:
            self._file = FileIO(self._target, "a", opener=_opener)
            stat = os.fstat(self._file.fileno())
            moved = self._inode is not None and self._inode != (stat.st_dev, stat.st_ino)
            self._half_written = self._half_written and not moved
            self._inode = (stat.st_dev, stat.st_ino)
        return self._file

    def _moved(self) -> bool:
        try:
            stat = os.stat(self._target)  # noqa: PTH116
        except OSError:
            return True
        return (stat.st_dev, stat.st_ino) != self._inode

    def _drop(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # nothing is buffered
                file.close()


def _opener(path: str, flags: int) -> int:
    """Readable for the owner and the group: it tells who changed what."""
    return os.open(path, flags, 0o640)


def records_of(inputs: Inputs, decision: Decision) -> list[dict[str, Any]]:
    """One record for each thing that was decided in a pass; none when it only looked."""
    reasons = [(note.reason, note.message) for note in decision.notes]
    if not reasons and decision.transitions:
        reasons = [(decision.transitions[-1], decision.status.message)]
    if not reasons:
        return []
    rollout, after = inputs.rollout, decision.status
    before: RolloutStatus = rollout.status
    subject = after.candidate or before.candidate or after.rejected or after.stable
    common: dict[str, Any] = {
        "time": to_wire(inputs.now),
        "namespace": rollout.namespace,
        "rollout": rollout.name,
        "uid": rollout.uid,
        "generation": rollout.generation,
        "revision": subject.revision if subject else None,
        "stable": after.stable.revision if after.stable else None,
        "from": before.phase.value,
        "to": after.phase.value,
        "phases": list(decision.transitions),
        "step": after.step.index + 1 if after.step else None,
        "weight": _weight(after),
        "policy": inputs.policy_name,
        "actor": rollout.changed_by,
        "changeCause": rollout.change_cause,
    }
    details: dict[str, Any] = {
        "verdict": after.verdict.value if after.verdict else None,
        "checks": [c.to_dict() for c in (inputs.checks or ())],
        "metricsProblem": inputs.metrics_problem or None,
        "gates": [g.to_dict() for g in after.gates],
        "preflight": after.preflight.without_examples().to_dict()
        if after.preflight and after.preflight != before.preflight
        else None,
        "command": after.last_command.to_dict()
        if after.last_command != before.last_command and after.last_command
        else None,
        "traffic": after.traffic.desired,
    }
    return [
        {**common, "reason": reason, "message": message, **details} for reason, message in reasons
    ]


def stall_record(obj: Mapping[str, Any], reason: str, message: str, now: float) -> dict[str, Any]:
    """The record of a rollout that cannot be worked on; it has what a broken one still has."""
    meta, phase = obj["metadata"], (obj.get("status") or {}).get("phase")
    return {
        "time": to_wire(now),
        "namespace": meta.get("namespace"),
        "rollout": meta.get("name"),
        "uid": meta.get("uid"),
        "generation": meta.get("generation"),
        "from": phase,
        "to": phase,
        "actor": changed_by(dict(obj)),
        "reason": reason,
        "message": message,
    }


def _weight(status: RolloutStatus) -> int | None:
    """The candidate's share as it was asked for, %."""
    if status.candidate is None:
        return None
    if status.phase is Phase.ROLLING_BACK:
        return 0
    return status.traffic.desired.get(status.candidate.predictor, 0)
