"""Local copies of what the controller watches, and which rollout each object belongs to."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from sluice.api.rollout import CLUSTER_POLICY_KIND

Object = dict[str, Any]


class Store(Protocol):
    """A read-only copy of one kind, by (namespace, name)."""

    def get(self, namespace: str, name: str) -> Object | None:
        """The object, or None."""
        ...

    def values(self) -> Iterable[Object]:
        """Every object."""
        ...


def spread(key: str) -> float:
    """A share of an interval, 0 <= share < 1, that is always the same for a key."""
    return zlib.crc32(key.encode()) / 2**32


def version_of(obj: Mapping[str, Any]) -> int:
    """The resourceVersion as a number: the API server's grow (etcd revisions)."""
    try:
        return int(obj["metadata"]["resourceVersion"])
    except (KeyError, ValueError):
        return 0


class OwnWrites:
    """Read-your-writes: what was just written counts until the watch has caught up.

    Without it a pass right after a status write would read the status of before and decide the
    same thing again.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._written: dict[tuple[str, str], Object] = {}

    def put(self, obj: Object) -> None:
        """Remember what the API server answered to a write."""
        meta = obj["metadata"]
        with self._lock:
            self._written[(meta.get("namespace", ""), meta["name"])] = obj

    def get(self, namespace: str, name: str) -> Object | None:
        """The newest known version."""
        cached = self._store.get(namespace, name)
        with self._lock:
            own = self._written.get((namespace, name))
            if own is None:
                return cached
            if cached is None or version_of(cached) >= version_of(own):
                # A deleted object is gone from the cache; ours would bring it back.
                del self._written[(namespace, name)]
                return cached
            return own

    def values(self) -> list[Object]:
        """Every object, in its newest known version."""
        found = []
        for obj in list(self._store.values()):
            meta = obj["metadata"]
            newest = self.get(meta.get("namespace", ""), meta["name"])
            if newest is not None:
                found.append(newest)
        return found


class Index:
    """Which rollouts care about a SeldonDeployment, a policy or another rollout. Thread-safe.

    `default_policy` is the ClusterCanaryPolicy of those that name none.
    """

    def __init__(self, default_policy: str = "") -> None:
        self._default_policy = default_policy
        self._lock = threading.Lock()
        self._deployment_of: dict[str, tuple[str, str]] = {}
        self._by_deployment: dict[tuple[str, str], set[str]] = {}
        self._policy_of: dict[str, tuple[str, str, str]] = {}
        self._gates_of: dict[str, set[str]] = {}
        self._by_gate: dict[str, set[str]] = {}

    def put(self, obj: Object) -> None:
        """Note what a ModelRollout points at."""
        meta, spec = obj["metadata"], obj.get("spec", {})
        key = f"{meta['namespace']}/{meta['name']}"
        target = (meta["namespace"], spec.get("seldonDeploymentName") or meta["name"])
        ref = spec.get("policyRef") or {}
        with self._lock:
            self._forget(key)
            self._deployment_of[key] = target
            self._by_deployment.setdefault(target, set()).add(key)
            kind = ref.get("kind", CLUSTER_POLICY_KIND)
            namespace = "" if kind == CLUSTER_POLICY_KIND else meta["namespace"]
            self._policy_of[key] = (kind, namespace, ref.get("name", self._default_policy))
            if awaited := _awaited(meta["namespace"], spec):
                self._gates_of[key] = awaited
                for other in awaited:
                    self._by_gate.setdefault(other, set()).add(key)

    def remove(self, key: str) -> set[str]:
        """Forget a deleted ModelRollout; returns the others that want its SeldonDeployment."""
        with self._lock:
            target = self._deployment_of.get(key)
            self._forget(key)
            return set(self._by_deployment.get(target, ())) if target else set()

    def _forget(self, key: str) -> None:
        target = self._deployment_of.pop(key, None)
        if target is not None:
            self._by_deployment[target].discard(key)
            if not self._by_deployment[target]:
                del self._by_deployment[target]
        self._policy_of.pop(key, None)
        for other in self._gates_of.pop(key, ()):
            self._by_gate[other].discard(key)
            if not self._by_gate[other]:
                del self._by_gate[other]

    def of_gate(self, key: str) -> set[str]:
        """Keys of the rollouts that wait for this one to promote (`gates.promotedIn`)."""
        with self._lock:
            return set(self._by_gate.get(key, ()))

    def of_deployment(self, namespace: str, name: str) -> set[str]:
        """Keys of the rollouts whose SeldonDeployment this is."""
        with self._lock:
            return set(self._by_deployment.get((namespace, name), ()))

    def of_policy(self, kind: str, namespace: str, name: str) -> set[str]:
        """Keys of the rollouts that this policy judges."""
        with self._lock:
            return {k for k, ref in self._policy_of.items() if ref == (kind, namespace, name)}


def _awaited(namespace: str, spec: Mapping[str, Any]) -> set[str]:
    """Keys of the rollouts that `gates.promotedIn` names."""
    refs = (spec.get("gates") or {}).get("promotedIn") or ()
    return {f"{ref.get('namespace') or namespace}/{ref.get('name', '')}" for ref in refs}
