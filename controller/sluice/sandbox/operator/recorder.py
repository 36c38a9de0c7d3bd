"""Events about a SeldonDeployment, written in the background and never waited for.

Equal ones are counted up instead of written anew, and each SeldonDeployment has an allowance of 25
that refills slowly: so it is with the real operator, whose later Events are missing.
"""

from __future__ import annotations

import logging
import queue
import threading
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from sluice.clock import Clock
from sluice.errors import ApiError
from sluice.kube.client import Client
from sluice.resources import EVENTS

from .settings import Json

_log = logging.getLogger(__name__)
_BURST = 25.0
_REFILL_PER_SECOND = 1 / 300
_QUEUE = 1000
_REMEMBERED = 5000


@dataclass(frozen=True)
class Note:
    """What happened to whom."""

    kind: str
    reason: str
    message: str
    involved: tuple[str, str, str]


def timestamp(seconds: float) -> str:
    """RFC 3339 with seconds, as Kubernetes writes it. `seconds` since 1970."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Recorder:
    """Takes notes from `event` and writes them from a thread of its own."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._queue: queue.Queue[Note] = queue.Queue(_QUEUE)
        self._written: dict[Note, tuple[str, int]] = {}
        self._allowance: dict[str, tuple[float, float]] = {}
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def normal(self, sdep: Json, reason: str, message: str) -> None:
        self._note("Normal", sdep, reason, message)

    def warning(self, sdep: Json, reason: str, message: str) -> None:
        self._note("Warning", sdep, reason, message)

    def _note(self, kind: str, sdep: Json, reason: str, message: str) -> None:
        metadata = sdep["metadata"]
        involved = (metadata["namespace"], metadata["name"], metadata.get("uid", ""))
        if not self._allowed(involved[2]):
            return
        try:
            self._queue.put_nowait(Note(kind, reason, message[:1024], involved))
        except queue.Full:
            _log.debug("event dropped: %s", reason)

    def _allowed(self, uid: str) -> bool:
        now = self._clock.monotonic()
        if len(self._allowance) >= _REMEMBERED:
            self._allowance.clear()
        left, since = self._allowance.get(uid, (_BURST, now))
        left = min(_BURST, left + (now - since) * _REFILL_PER_SECOND)
        self._allowance[uid] = (max(left - 1, 0.0), now)
        return left >= 1

    def _run(self) -> None:
        while True:
            note = self._queue.get()
            try:
                self._write(note)
            except ApiError as error:
                _log.debug("event not written: %s", error)

    def _write(self, note: Note) -> None:
        namespace, name, uid = note.involved
        now = timestamp(self._clock.now())
        known = self._written.get(note)
        if known is not None:
            event_name, count = known
            body: Json = {"count": count + 1, "lastTimestamp": now}
            self._client.merge_patch(EVENTS, event_name, namespace, body)
            self._written[note] = (event_name, count + 1)
            return
        event_name = f"{name[:200]}.{uuid.uuid4().hex[:16]}"
        self._client.create(
            EVENTS,
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": event_name, "namespace": namespace},
                "type": note.kind,
                "reason": note.reason,
                "message": note.message,
                "count": 1,
                "firstTimestamp": now,
                "lastTimestamp": now,
                "source": {"component": "seldon-controller-manager"},
                "involvedObject": {
                    "apiVersion": "machinelearning.seldon.io/v1",
                    "kind": "SeldonDeployment",
                    "namespace": namespace,
                    "name": name,
                    "uid": uid,
                },
            },
            namespace,
        )
        if len(self._written) >= _REMEMBERED:
            # Forgotten ones are written anew instead of counted up: no harm.
            self._written.clear()
        self._written[note] = (event_name, 1)
