"""What becomes of each event: kept, passed over, or not taken, and why. Counted, never logged."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from sluice.capture.events import FEEDBACK, RESPONSE, Event
from sluice.capture.redacting import CannotTell, Redaction
from sluice.capture.sample import Sample


class Outcome(StrEnum):
    """What became of an event. The words are label values of a metric."""

    KEPT = "kept"
    PASSED_OVER = "passed_over"
    RESPONSE = "response"
    FEEDBACK = "feedback"
    ELSEWHERE = "elsewhere"
    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    NOT_REDACTED = "not_redacted"
    NO_EVENT = "no_event"


WHY = {
    Outcome.RESPONSE: "answers are not kept; `mode: request` sends none",
    Outcome.FEEDBACK: "feedback is not kept; `mode: request` sends none",
    Outcome.ELSEWHERE: "of another namespace, deployment or predictor than is asked for",
    Outcome.TOO_LARGE: "a body above --largest",
    Outcome.NOT_JSON: "no JSON object; gRPC cannot be asked again by a preflight",
    Outcome.NOT_REDACTED: "it cannot be told whether it has a field of --drop or --set",
    Outcome.NO_EVENT: "no event of Seldon's request logger",
}


# Enough to say that there are several; the names are whoever's who sends events.
_MOST_NODES = 5


@dataclass(frozen=True)
class Wanted:
    """Which events are taken. None: any."""

    deployment: str
    namespace: str | None = None
    predictor: str | None = None

    def has(self, event: Event) -> bool:
        """Whether the event is of these. One that names no namespace is of any."""
        return (
            event.deployment == self.deployment
            and (self.namespace is None or event.namespace in ("", self.namespace))
            and (self.predictor is None or event.predictor == self.predictor)
        )


@dataclass(frozen=True)
class Snapshot:
    """What there is at one moment: the sample in its random order, and how many were `seen`."""

    bodies: list[bytes]
    seen: int


@dataclass
class Collecting:
    """Takes events from any number of threads. `largest` is what a body may have, in bytes."""

    wanted: Wanted
    sample: Sample
    redaction: Redaction
    largest: int
    counts: Counter[Outcome] = field(default_factory=Counter)
    _nodes: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def seen(self) -> int:
        """Requests of the deployment that a preflight could have sent, as far as was looked."""
        return self.counts[Outcome.KEPT] + self.counts[Outcome.PASSED_OVER]

    @property
    def nodes(self) -> list[str]:
        """The graph's nodes that log, five at most."""
        with self._lock:
            return sorted(self._nodes)

    def note(self, outcome: Outcome) -> Outcome:
        """Count what never became an event."""
        with self._lock:
            self.counts[outcome] += 1
        return outcome

    def take(self, event: Event, body: bytes | None) -> Outcome:
        """Take one event. `body` None: it was above `largest`, and not read."""
        if event.kind in (RESPONSE, FEEDBACK):
            return self.note(Outcome(event.kind))
        if not self.wanted.has(event):
            return self.note(Outcome.ELSEWHERE)
        if body is None or len(body) > self.largest:
            return self.note(Outcome.TOO_LARGE)
        with self._lock:
            if len(self._nodes) < _MOST_NODES:
                self._nodes.add(event.node)
            drawn = self.sample.draw()
        if drawn is None:
            # Most requests of a long run: not even read, which costs nothing.
            return self.note(Outcome.PASSED_OVER)
        try:
            clean = self._clean(body)
        except CannotTell:
            return self.note(Outcome.NOT_REDACTED)
        except (ValueError, RecursionError):
            return self.note(Outcome.NOT_JSON)
        with self._lock:
            kept = self.sample.add(drawn, clean)
            outcome = Outcome.KEPT if kept else Outcome.PASSED_OVER
            self.counts[outcome] += 1
        return outcome

    def snapshot(self) -> Snapshot:
        """What is kept now."""
        with self._lock:
            return Snapshot(self.sample.bodies(), self.seen)

    def _clean(self, body: bytes) -> bytes:
        """One line. Raises ValueError, RecursionError and CannotTell."""
        found = json.loads(body)
        if not isinstance(found, dict):
            raise ValueError("no object")
        clean = self.redaction.applied(found)
        if not clean:
            raise ValueError("nothing is left")
        # NaN and numbers beyond a double's are no JSON, and would not be asked again as they came.
        return json.dumps(clean, separators=(",", ":"), allow_nan=False).encode()
