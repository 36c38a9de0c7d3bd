"""A live copy of one kind of object, for the stand-ins that live in the sandbox's own process."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import structlog

from sluice.errors import GoneError, SluiceError
from sluice.kube.client import Client, WatchStream
from sluice.resources import Resource

Key = tuple[str, str]
Changed = Callable[[Key, dict[str, Any] | None], None]
WATCH_SECONDS = 60

log = structlog.get_logger(__name__)


def key_of(obj: dict[str, Any]) -> Key:
    """(namespace, name)."""
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _number(obj: dict[str, Any]) -> int:
    # Opaque to clients in principle; here it is etcd's, which counts.
    return int(obj["metadata"]["resourceVersion"])


class Watched(threading.Thread):
    """Lists, then watches, for ever; lists again after any error.

    `changed(key, object)` is called from this thread for everything new or changed, and with None
    for what has gone; it must return quickly. Objects are shared: do not change them.
    """

    def __init__(self, client: Client, resource: Resource, changed: Changed) -> None:
        super().__init__(name=f"watch-{resource.plural}", daemon=True)
        self._client = client
        self._resource = resource
        self._changed = changed
        self._objects: dict[Key, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._stream: WatchStream | None = None
        self.synced = threading.Event()

    def objects(self) -> dict[Key, dict[str, Any]]:
        """Everything that is there now, by key."""
        with self._lock:
            return dict(self._objects)

    def catch_up(self, seconds: float) -> bool:
        """Wait until everything that the API server has now is known here; False: not in time.

        Watches of several kinds are not in step: what came before a change may be seen after it.
        Raises SluiceError when the API server does not answer.
        """
        listed = self._client.list(self._resource).items
        missing = {key_of(obj): _number(obj) for obj in listed}
        deadline = time.monotonic() + seconds
        while True:
            known = self.objects()
            missing = {
                key: version
                for key, version in missing.items()
                if key not in known or _number(known[key]) < version
            }
            if not missing or time.monotonic() >= deadline:
                return not missing
            self._stopped.wait(0.01)

    def stop(self) -> None:
        """End it; a watch in progress is closed."""
        self._stopped.set()
        if stream := self._stream:
            stream.stop()

    def run(self) -> None:
        pause = 0.2
        while not self._stopped.is_set():
            try:
                version = self._list()
                self.synced.set()
                pause = 0.2
                self._watch(version)
            except GoneError:
                continue
            except SluiceError as error:
                if not self._stopped.is_set():
                    log.debug("watch.retry", plural=self._resource.plural, error=str(error))
                self._stopped.wait(pause * random.uniform(0.7, 1.3))  # noqa: S311 - jitter
                pause = min(pause * 2, 2.0)

    def _list(self) -> str:
        answer = self._client.list(self._resource)
        fresh = {key_of(item): item for item in answer.items}
        for gone in self.objects().keys() - fresh.keys():
            self._put(gone, None)
        for key, obj in fresh.items():
            self._put(key, obj)
        return answer.resource_version

    def _watch(self, version: str) -> None:
        while not self._stopped.is_set():
            self._stream = self._client.watch(
                self._resource, resource_version=version, timeout_seconds=WATCH_SECONDS
            )
            for event in self._stream:
                if self._stopped.is_set():
                    return
                version = event.object["metadata"]["resourceVersion"]
                if event.type != "BOOKMARK":
                    gone = event.type == "DELETED"
                    self._put(key_of(event.object), None if gone else event.object)

    def _put(self, key: Key, obj: dict[str, Any] | None) -> None:
        with self._lock:
            before = self._objects.pop(key, None)
            if obj is not None:
                self._objects[key] = obj
        if obj is None or before is None or _version(before) != _version(obj):
            self._changed(key, obj)


def _version(obj: dict[str, Any]) -> str:
    return str(obj["metadata"].get("resourceVersion", ""))
