"""A local copy of every object of one kind, kept by a watch."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from sluice.errors import ApiError, GoneError
from sluice.kube.client import Client
from sluice.resources import Resource

from .settings import DEPLOYMENT_ID, Json

Key = tuple[str, str]
_log = logging.getLogger(__name__)
_RETRY_SECONDS = 0.2
_WATCH_SECONDS = 300


class Mirror:
    """Objects by (namespace, name).

    `changed` is called, outside the lock, with every object that came, changed or went. What was
    written is put in with `put`, so that the next look sees it before the watch has told it.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        changed: Callable[[Json], None],
        stop: threading.Event,
    ) -> None:
        self._client = client
        self._resource = resource
        self._changed = changed
        self._stop = stop
        self._lock = threading.Lock()
        self._objects: dict[Key, Json] = {}
        self._versions: dict[Key, int] = {}
        self._labelled: dict[Key, set[str]] = {}
        self.filled = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"mirror-{resource.plural}", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def get(self, namespace: str, name: str) -> Json | None:
        with self._lock:
            return self._objects.get((namespace, name))

    def of_deployment(self, namespace: str, deployment_id: str) -> list[Json]:
        """The objects with this label `seldon-deployment-id`."""
        with self._lock:
            names = self._labelled.get((namespace, deployment_id), set())
            return [self._objects[namespace, name] for name in sorted(names)]

    def put(self, obj: Json, *, gone: bool = False) -> bool:
        """Takes an object over unless a newer one is known. Whether it was taken."""
        key = key_of(obj)
        version = int(obj["metadata"].get("resourceVersion") or 0)
        with self._lock:
            if version <= self._versions.get(key, -1):
                return False
            self._versions[key] = version
            self._store(key, None if gone else obj)
        return True

    def _store(self, key: Key, obj: Json | None) -> None:
        namespace, name = key
        before = self._objects.pop(key, None)
        if before is not None and (label := _label(before)):
            self._labelled[namespace, label].discard(name)
        if obj is not None:
            self._objects[key] = obj
            if label := _label(obj):
                self._labelled.setdefault((namespace, label), set()).add(name)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                version = self._fill()
                while not self._stop.is_set():
                    version = self._follow(version)
            except GoneError:
                continue
            except ApiError as error:
                _log.warning("watching %s failed, trying again: %s", self._resource.plural, error)
                self._stop.wait(_RETRY_SECONDS)
            except Exception:
                # A mirror that stands still would freeze the operator without a word.
                _log.exception("watching %s failed, trying again", self._resource.plural)
                self._stop.wait(_RETRY_SECONDS)

    def _fill(self) -> str:
        listed = self._client.list(self._resource)
        present = {key_of(obj): obj for obj in listed.items}
        with self._lock:
            lost = [obj for key, obj in self._objects.items() if key not in present]
            for obj in lost:
                self._store(key_of(obj), None)
            for key, obj in present.items():
                self._store(key, obj)
                self._versions[key] = int(obj["metadata"]["resourceVersion"])
        self.filled.set()
        for obj in (*present.values(), *lost):
            self._changed(obj)
        return listed.resource_version

    def _follow(self, version: str) -> str:
        events = self._client.watch(
            self._resource, resource_version=version, timeout_seconds=_WATCH_SECONDS
        )
        for event in events:
            obj = event.object
            version = obj["metadata"]["resourceVersion"]
            if event.type == "BOOKMARK":
                continue
            self.put(obj, gone=event.type == "DELETED")
            self._changed(obj)
            if self._stop.is_set():
                break
        return version


def _label(obj: Json) -> str | None:
    return (obj["metadata"].get("labels") or {}).get(DEPLOYMENT_ID)


def key_of(obj: Json) -> Key:
    """(namespace, name) of an object."""
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
