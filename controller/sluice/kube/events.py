"""Events as `kubectl describe` shows them, written behind the caller's back.

`EventRecorder.record` only notes; a thread of its own writes. Equal events of one object become
one with a count. An object that says much is written seldom (a token bucket per object), but what
waits is kept, merged, and written at the latest by `close`.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import structlog

from sluice.clock import Clock
from sluice.errors import ApiError, ApiUnavailableError, NotFoundError
from sluice.kube.client import Client
from sluice.kube.transport import Timeout
from sluice.resources import EVENTS

Object = dict[str, Any]
EventType = Literal["Normal", "Warning"]
_Subject = tuple[str, str, str, str]  # kind, namespace, name, uid
_Key = tuple[_Subject, str, str, str]  # subject, type, reason, message

MESSAGE_LENGTH = 1024  # the server's limit
BURST = 50  # writes an object may cause at once ...
REFILL_SECONDS = 15.0  # ... and how long one more takes to earn
# The server forgets events after an hour: older ones are not counted up but written anew.
COUNTED_FOR_SECONDS = 1800.0
REMEMBERED = 4096
PENDING = 10_000
FLUSH_SECONDS = 1.0
REQUEST_TIMEOUT = Timeout(1.0, 3.0)  # an event is not worth a longer wait at shutdown

_log = structlog.get_logger(__name__)


@dataclass
class _Pending:
    subject: Object
    first: float
    last: float
    count: int


@dataclass
class _Written:
    name: str
    namespace: str
    count: int
    at: float  # monotonic


@dataclass
class _Bucket:
    tokens: float
    at: float  # monotonic


class EventRecorder:
    """Records events about objects; thread-safe, and never raises into its caller.

    `component` is what `kubectl describe` shows under "From", `instance` this process.
    `dropped` counts events that could not be kept or that the server refused for good.
    """

    def __init__(
        self, client: Client, *, clock: Clock, component: str = "sluice", instance: str = ""
    ) -> None:
        self._client = client.with_timeout(REQUEST_TIMEOUT)
        self._clock = clock
        self._component = component
        self._instance = instance or component
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._pending: OrderedDict[_Key, _Pending] = OrderedDict()
        self._written: OrderedDict[_Key, _Written] = OrderedDict()
        self._buckets: OrderedDict[_Subject, _Bucket] = OrderedDict()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.dropped = 0

    def record(self, obj: Mapping[str, Any], type: EventType, reason: str, message: str) -> None:
        """Note that something happened to `obj` (apiVersion, kind, metadata are read)."""
        try:
            subject = _reference(obj)
        except (KeyError, TypeError, AttributeError):
            _log.exception("event_about_nothing", reason=reason, message=message)
            self._drop(1)
            return
        who = (subject["kind"], subject["namespace"], subject["name"], subject["uid"])
        self._note((who, type, reason, _shorten(message)), subject)

    def _note(self, key: _Key, subject: Object) -> None:
        now = self._clock.now()
        with self._lock:
            if known := self._pending.get(key):
                known.count += 1
                known.last = now
                return
            self._pending[key] = _Pending(subject, now, now, 1)
            if len(self._pending) > PENDING:
                self._pending.popitem(last=False)
                self.dropped += 1

    @property
    def pending(self) -> int:
        """Distinct events that wait to be written."""
        with self._lock:
            return len(self._pending)

    def start(self) -> None:
        """Write in the background from now on, until `close`."""
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._clock.wait(self._stop, FLUSH_SECONDS):
            try:
                self.flush()
            except Exception:
                _log.exception("events_failed")

    def close(self, timeout: float = 2.0) -> None:
        """End the thread and write all that waits, as far as `timeout` seconds allow."""
        began = self._clock.monotonic()
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout)
        try:
            self.flush(everything=True, timeout=timeout - (self._clock.monotonic() - began))
        except Exception:
            _log.exception("events_failed")
        if left := self.pending:
            _log.warning("events_lost", count=left)

    def flush(self, *, everything: bool = False, timeout: float = 30.0) -> None:
        """Write what waits and is allowed by the rate (`everything`: regardless of it)."""
        until = self._clock.monotonic() + timeout
        if not self._writing.acquire(timeout=max(0.0, timeout)):
            return
        try:
            self._flush(everything, until)
        finally:
            self._writing.release()

    def _flush(self, everything: bool, until: float) -> None:
        with self._lock:
            keys = list(self._pending)
        for key in keys:
            if self._clock.monotonic() >= until:
                return
            if not self._allowed(key[0]) and not everything:
                continue
            with self._lock:
                pending = self._pending.pop(key, None)
            if pending is not None and not self._write(key, pending):
                return  # the server does not answer: all others would wait for it too

    def _allowed(self, who: _Subject) -> bool:
        now = self._clock.monotonic()
        bucket = self._buckets.pop(who, None) or _Bucket(BURST, now)
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.at) / REFILL_SECONDS)
        bucket.at = now
        self._buckets[who] = bucket  # most recently used last
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def _write(self, key: _Key, pending: _Pending) -> bool:
        """False: not now; it is put back."""
        try:
            if not self._count_up(key, pending):
                self._create(key, pending)
        except ApiUnavailableError:
            self._put_back(key, pending)
            return False
        except ApiError as error:
            # Forbidden, or its namespace is going: trying again changes nothing.
            _log.warning("event_refused", reason=key[2], error=str(error))
            self._drop(pending.count)
        return True

    def _count_up(self, key: _Key, pending: _Pending) -> bool:
        written = self._written.pop(key, None)
        now = self._clock.monotonic()
        if written is None or now - written.at > COUNTED_FOR_SECONDS:
            return False
        patch = {"count": written.count + pending.count, "lastTimestamp": _time(pending.last)}
        try:
            self._client.merge_patch(EVENTS, written.name, written.namespace, patch)
        except NotFoundError:
            return False
        except ApiUnavailableError:
            self._written[key] = written
            raise
        written.count += pending.count
        written.at = now
        self._written[key] = written
        return True

    def _create(self, key: _Key, pending: _Pending) -> None:
        _, kind, reason, message = key
        namespace = pending.subject["namespace"] or "default"
        name = f"{pending.subject['name'][:230]}.{secrets.token_hex(8)}"
        event = {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {field: text for field, text in pending.subject.items() if text},
            "type": kind,
            "reason": reason,
            "message": message,
            "count": pending.count,
            "firstTimestamp": _time(pending.first),
            "lastTimestamp": _time(pending.last),
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": self._instance,
        }
        self._client.create(EVENTS, event, namespace)
        self._written[key] = _Written(name, namespace, pending.count, self._clock.monotonic())
        if len(self._written) > REMEMBERED:
            self._written.popitem(last=False)

    def _put_back(self, key: _Key, pending: _Pending) -> None:
        with self._lock:
            if newer := self._pending.get(key):
                newer.first = pending.first
                newer.count += pending.count
            else:
                self._pending[key] = pending
                self._pending.move_to_end(key, last=False)

    def _drop(self, count: int) -> None:
        with self._lock:
            self.dropped += count


def _reference(obj: Mapping[str, Any]) -> Object:
    meta = obj["metadata"]
    return {
        "apiVersion": str(obj["apiVersion"]),
        "kind": str(obj["kind"]),
        "namespace": str(meta.get("namespace") or ""),
        "name": str(meta["name"]),
        "uid": str(meta.get("uid") or ""),
        "resourceVersion": str(meta.get("resourceVersion") or ""),
    }


def _shorten(message: str) -> str:
    """`message` cut to what the server takes (bytes, not characters)."""
    raw = message.encode()
    if len(raw) <= MESSAGE_LENGTH:
        return message
    return raw[: MESSAGE_LENGTH - 3].decode(errors="ignore") + "..."


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
