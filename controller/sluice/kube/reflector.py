"""A local, read-only copy of a collection, kept true by one list and then a watch."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import structlog

from sluice.clock import Clock
from sluice.errors import (
    ApiError,
    ApiUnavailableError,
    ForbiddenError,
    GoneError,
    NotFoundError,
)
from sluice.kube.client import Client
from sluice.kube.sharing import Shared
from sluice.kube.watching import WatchEvent, WatchStream
from sluice.resources import Resource

Object = dict[str, Any]
Key = tuple[str, str]
# Called with ADDED (new, None), MODIFIED (new, old) or DELETED (None, last known).
Handler = Callable[[str, Object | None, Object | None], None]

WATCH_SECONDS = (50, 60)  # spread, so that all watches do not end together
# A round that ends sooner counts as failed, whatever it brought: this is what keeps a server that
# closes every watch at once from being asked in a loop.
HEALTHY_SECONDS = 5.0
BACKOFF_BASE = 0.5
BACKOFF_CAP = 30.0
# After so many watches refused in a row the version itself may be at fault (etcd restored from a
# backup knows it not): list again.
RELIST_AFTER_FAILURES = 3

_SHARED = Shared()  # of all kinds: names and labels are the same in several
_log = structlog.get_logger(__name__)


def without_managed_fields(obj: Object) -> Object:
    """`obj` without the field owners: a third of its size, and nobody here reads them."""
    obj.get("metadata", {}).pop("managedFields", None)
    return obj


def key_of(obj: Object) -> Key:
    """(namespace, name); the namespace of a cluster-wide object is ""."""
    meta = obj["metadata"]
    return meta.get("namespace") or "", meta["name"]


class Reflector:
    """Mirrors `resource`, of one namespace or (None) of all, and tells `handler` of each change.

    `run` blocks, and is for once; the cache may be read from any thread. What `get` and `items`
    return is shared: never change it. `synced` is set once the first list has been delivered.
    Changes missed while disconnected are delivered at the next list, deletions included. An object
    that was replaced by another of its name is delivered as DELETED and ADDED.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        handler: Handler,
        *,
        clock: Clock,
        rng: random.Random,
        namespace: str | None = None,
        label_selector: str = "",
        field_selector: str = "",
        page_limit: int = 500,
        optional: bool = False,
        trim: Callable[[Object], Object] = without_managed_fields,
    ) -> None:
        self._client = client
        self.resource = resource
        self.namespace = namespace
        self._handler = handler
        self._clock = clock
        self._rng = rng
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._page_limit = page_limit
        self.optional = optional
        """Whether its owner can do without: a refusal is logged once then, not at every try."""
        self._trim = trim
        self._cache: dict[Key, Object] = {}
        self._version = ""
        self._lock = threading.Lock()
        self._stopped = False
        self._stream: WatchStream | None = None
        self.synced = threading.Event()
        self.failures = 0
        """Rounds that failed in a row: 0 while all is well."""
        self.last_error: ApiError | None = None
        """Why the last round failed; None while all is well."""
        self.relists = 0

    def get(self, name: str, namespace: str = "") -> Object | None:
        """The object as last seen, None if there is none."""
        with self._lock:
            return self._cache.get((namespace, name))

    def items(self) -> list[Object]:
        """All objects as last seen."""
        with self._lock:
            return list(self._cache.values())

    def keys(self) -> list[Key]:
        """(namespace, name) of all objects."""
        with self._lock:
            return list(self._cache)

    @property
    def connected(self) -> bool:
        """Whether a watch is open now."""
        with self._lock:
            return self._stream is not None

    def start(self, stop: threading.Event) -> threading.Thread:
        """`run` in a daemon thread of its own."""
        name = f"reflector-{self.resource.plural}"
        thread = threading.Thread(target=self.run, args=(stop,), name=name, daemon=True)
        thread.start()
        return thread

    def run(self, stop: threading.Event) -> None:
        """Keep the cache true until `stop` is set; an open watch is ended at once then."""
        closer = threading.Thread(
            target=self._close_on, args=(stop,), name="reflector-closer", daemon=True
        )
        closer.start()
        while not stop.is_set():
            began = self._clock.monotonic()
            error = self._round(stop)
            if stop.is_set():
                return
            pause = self._judge(error, self._clock.monotonic() - began)
            if pause > 0:
                self._clock.wait(stop, pause)

    def _close_on(self, stop: threading.Event) -> None:
        stop.wait()
        with self._lock:
            self._stopped = True
            stream = self._stream
        if stream is not None:
            stream.stop()

    def _round(self, stop: threading.Event) -> ApiError | None:
        """A list if needed, then a watch to its end. Returns what went wrong."""
        try:
            if not self._version:
                self._relist()
            self._watch(stop)
        except GoneError as error:
            self._version = ""
            return error
        except ApiError as error:
            return error
        except Exception as error:
            # Nothing may end this thread: a copy that silently grows old is the worst outcome.
            _log.exception("watch_failed", resource=self.resource.qualified)
            return ApiUnavailableError(f"watch {self.resource.qualified}: {error!r}")
        return None

    def _judge(self, error: ApiError | None, lasted: float) -> float:
        """Seconds to wait before the next round."""
        self.last_error = error
        if lasted >= HEALTHY_SECONDS:
            self.failures = 0
            if error is None or isinstance(error, GoneError):
                return 0.0
        self.failures += 1
        refused = isinstance(error, ForbiddenError | NotFoundError)
        if error is not None and not (self.optional and refused and self.failures > 1):
            _log.warning(
                "watch_interrupted",
                resource=self.resource.qualified,
                namespace=self.namespace,
                failures=self.failures,
                error=str(error),
            )
        if self.failures >= RELIST_AFTER_FAILURES and error is not None and error.status:
            self._version = ""
        delay: float = min(BACKOFF_CAP, BACKOFF_BASE * 2.0 ** min(self.failures - 1, 16))
        delay *= self._rng.uniform(0.5, 1.0)
        return max(delay, (error.retry_after if error else None) or 0.0)

    def _relist(self) -> None:
        found = self._client.list(
            self.resource,
            self.namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            limit=self._page_limit,
        )
        self.relists += 1
        current = {key_of(item): self._kept(item) for item in found.items}
        for key in [key for key in self.keys() if key not in current]:
            self._remove(key, None)
        for key, obj in current.items():
            self._store(key, obj)
        self._version = found.resource_version
        self.synced.set()

    def _watch(self, stop: threading.Event) -> None:
        stream = self._client.watch(
            self.resource,
            self.namespace,
            resource_version=self._version,
            timeout_seconds=self._rng.randint(*WATCH_SECONDS),
            label_selector=self._label_selector,
            field_selector=self._field_selector,
        )
        with stream:
            with self._lock:
                if self._stopped or stop.is_set():
                    return
                self._stream = stream
            try:
                self.last_error = None
                for event in stream:
                    self._receive(event)
            finally:
                with self._lock:
                    self._stream = None

    def _receive(self, event: WatchEvent) -> None:
        obj = event.object
        if event.type == "DELETED":
            self._remove(key_of(obj), self._kept(obj))
        elif event.type in ("ADDED", "MODIFIED"):
            self._store(key_of(obj), self._kept(obj))
        # After the delivery, and for bookmarks alone: from here a broken watch goes on.
        self._version = obj["metadata"].get("resourceVersion") or self._version

    def _kept(self, obj: Object) -> Object:
        return _SHARED.of(self._trim(obj))

    def _store(self, key: Key, new: Object) -> None:
        with self._lock:
            old = self._cache.get(key)
            self._cache[key] = new
        if old is None:
            self._tell("ADDED", new, None)
        elif old["metadata"].get("uid") != new["metadata"].get("uid"):
            self._tell("DELETED", None, old)
            self._tell("ADDED", new, None)
        elif old["metadata"].get("resourceVersion") != new["metadata"].get("resourceVersion"):
            self._tell("MODIFIED", new, old)

    def _remove(self, key: Key, last: Object | None) -> None:
        with self._lock:
            old = self._cache.pop(key, None)
        if old is not None:
            self._tell("DELETED", None, last or old)

    def _tell(self, event: str, new: Object | None, old: Object | None) -> None:
        try:
            self._handler(event, new, old)
        except Exception:
            # The copy must stay true whatever a handler does.
            _log.exception("handler_failed", resource=self.resource.qualified, event_type=event)
