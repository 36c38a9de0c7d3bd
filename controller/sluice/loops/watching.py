"""The watches of the controller: local copies, and which key a change wakes."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sluice.api.rollout import (
    CLUSTER_POLICY_KIND,
    POLICY_KIND,
    SPEC_MANAGER_KEY,
    spec_manager,
)
from sluice.clock import Clock
from sluice.errors import ForbiddenError, NotFoundError
from sluice.kube.client import Client
from sluice.kube.reflector import Reflector, without_managed_fields
from sluice.loops.elsewhere import shown_to_gates
from sluice.loops.stores import Index, Object
from sluice.resources import (
    CANARY_POLICIES,
    CLUSTER_CANARY_POLICIES,
    DEPLOYMENTS,
    MODEL_ROLLOUTS,
    SELDON_DEPLOYMENTS,
    VIRTUAL_SERVICES,
    Resource,
)
from sluice.seldon.read import Sources, from_client

_SELDONS = "app.kubernetes.io/managed-by=seldon-core"
_SELDON_KIND = "SeldonDeployment"


class Copies:
    """One kind's reflectors as a `sluice.loops.stores.Store`.

    There is one for the whole cluster (its key is ""), or one for each watched namespace.
    """

    def __init__(self, reflectors: Mapping[str, Reflector]) -> None:
        self._reflectors = reflectors

    @property
    def all(self) -> tuple[Reflector, ...]:
        """The reflectors themselves."""
        return tuple(self._reflectors.values())

    def of(self, namespace: str) -> Reflector | None:
        """The one that sees this namespace; None: it is not watched."""
        return self._reflectors.get(namespace) or self._reflectors.get("")

    def get(self, namespace: str, name: str) -> Object | None:
        """The object as last seen."""
        reflector = self.of(namespace)
        return reflector.get(name, namespace) if reflector else None

    def values(self) -> Iterable[Object]:
        """All objects as last seen."""
        return [obj for reflector in self.all for obj in reflector.items()]


def slim_deployment(obj: Object) -> Object:
    """Of the pod template only the labels: a Deployment of Seldon's is mostly engine settings."""
    without_managed_fields(obj)
    spec = obj.get("spec", {})
    labels = ((spec.pop("template", None) or {}).get("metadata") or {}).get("labels")
    spec["template"] = {"metadata": {"labels": labels or {}}}
    return obj


def slim_rollout(obj: Object) -> Object:
    """Of managedFields only who changed the spec last: they are as large as all the rest."""
    if manager := spec_manager(obj.get("metadata", {})):
        obj[SPEC_MANAGER_KEY] = manager
    return without_managed_fields(obj)


def seldon_owner(obj: Object) -> tuple[str, str] | None:
    """(namespace, name) of the SeldonDeployment that owns a Deployment."""
    meta = obj["metadata"]
    for owner in meta.get("ownerReferences") or ():
        if owner.get("kind") == _SELDON_KIND:
            return meta["namespace"], owner["name"]
    return None


class Watching:
    """All reflectors. `wake` is called with the key of every rollout that a change concerns."""

    def __init__(
        self,
        client: Client,
        *,
        clock: Clock,
        rng: random.Random,
        namespaces: Sequence[str] = (),
        default_policy: str = "",
        wake: Callable[[str], None],
    ) -> None:
        self._client = client
        self._wake = wake
        self.index = Index(default_policy)
        self._lock = threading.Lock()
        self._owned: dict[tuple[str, str], dict[str, Object]] = {}

        self._confined = bool(namespaces)

        def copies(resource: Resource, handler: Any, **more: Any) -> Copies:
            where = namespaces if resource.namespaced and namespaces else ("",)
            return Copies(
                {
                    namespace: Reflector(
                        client,
                        resource,
                        handler,
                        clock=clock,
                        rng=rng,
                        namespace=namespace or None,
                        **more,
                    )
                    for namespace in where
                }
            )

        self.rollouts = copies(MODEL_ROLLOUTS, self._rollout, trim=slim_rollout)
        self.policies = copies(CANARY_POLICIES, self._policy)
        self.cluster_policies = copies(
            CLUSTER_CANARY_POLICIES, self._policy, optional=self._confined
        )
        self.seldon_deployments = copies(SELDON_DEPLOYMENTS, self._by_name)
        self.deployments = copies(
            DEPLOYMENTS, self._deployment, label_selector=_SELDONS, trim=slim_deployment
        )
        self.virtual_services = copies(VIRTUAL_SERVICES, self._by_name, optional=True)
        self.all = (
            self.policies,
            self.cluster_policies,
            self.seldon_deployments,
            self.deployments,
            self.virtual_services,
            self.rollouts,
        )

    def start(self, stop: threading.Event) -> None:
        """Start every watch."""
        for copies in self.all:
            for reflector in copies.all:
                reflector.start(stop)

    def unsynced(self) -> str:
        """Why the copies are not complete yet; "" when they are.

        VirtualServices are optional: without the right to read them, or without Istio, the shares
        counted in requests take their place. So are ClusterCanaryPolicies where the controller is
        confined to namespaces: a rollout that names one is told so.
        """
        for reflector in (one for copies in self.all for one in copies.all):
            if reflector.synced.is_set():
                continue
            error = reflector.last_error
            if reflector.optional and isinstance(error, ForbiddenError | NotFoundError):
                continue
            where = f" of namespace {reflector.namespace}" if reflector.namespace else ""
            why = f": {error}" if error else ""
            return f"{reflector.resource.qualified}{where} not listed yet{why}"
        return ""

    def cluster_policies_problem(self) -> str:
        """Why ClusterCanaryPolicies are not known to a confined controller; "" when they are."""
        [reflector] = self.cluster_policies.all
        error = reflector.last_error
        if not self._confined or reflector.synced.is_set() or error is None:
            return ""
        return str(error)

    def sources(self) -> Sources:
        """Where the world is read from: the copies, and requests for what is rare."""
        direct = from_client(self._client)
        return Sources(
            seldon_deployment=self.seldon_deployments.get,
            deployments=self.owned_by,
            virtual_service=self._virtual_service,
            pods=direct.pods,
            can_patch_routes=direct.can_patch_routes,
        )

    def owned_by(self, namespace: str, name: str) -> list[Object]:
        """The Deployments of a SeldonDeployment."""
        with self._lock:
            return list(self._owned.get((namespace, name), {}).values())

    def _virtual_service(self, namespace: str, name: str) -> Object | None:
        reflector = self.virtual_services.of(namespace)
        if reflector is None:
            return None
        if not reflector.synced.is_set() and reflector.last_error is not None:
            raise reflector.last_error
        return reflector.get(name, namespace)

    def _rollout(self, event: str, new: Object | None, old: Object | None) -> None:
        del event
        obj = new or old
        if obj is None:
            return
        key = f"{obj['metadata']['namespace']}/{obj['metadata']['name']}"
        if new is None:
            # Another rollout may have waited for this one's SeldonDeployment, which can stay.
            for rival in self.index.remove(key):
                self._wake(rival)
        else:
            self.index.put(new)
        if not _only_status(new, old):
            self._wake(key)
        waiting = self.index.of_gate(key)
        if waiting and shown_to_gates(new) != shown_to_gates(old):
            for other in waiting:
                self._wake(other)

    def _policy(self, event: str, new: Object | None, old: Object | None) -> None:
        del event
        obj = new or old or {"metadata": {}}
        meta = obj["metadata"]
        namespace = meta.get("namespace", "")
        kind = POLICY_KIND if namespace else CLUSTER_POLICY_KIND
        for key in self.index.of_policy(kind, namespace, meta.get("name", "")):
            self._wake(key)

    def _by_name(self, event: str, new: Object | None, old: Object | None) -> None:
        del event
        meta = (new or old or {"metadata": {}})["metadata"]
        for key in self.index.of_deployment(meta.get("namespace", ""), meta.get("name", "")):
            self._wake(key)

    def _deployment(self, event: str, new: Object | None, old: Object | None) -> None:
        del event
        obj = new or old
        owner = seldon_owner(obj) if obj else None
        if obj is None or owner is None:
            return
        with self._lock:
            mine = self._owned.setdefault(owner, {})
            if new is None:
                mine.pop(obj["metadata"]["name"], None)
            else:
                mine[obj["metadata"]["name"]] = new
            if not mine:
                del self._owned[owner]
        for key in self.index.of_deployment(*owner):
            self._wake(key)


def _only_status(new: Object | None, old: Object | None) -> bool:
    """Our own status write came back: nothing to decide."""
    if new is None or old is None:
        return False
    same_spec = new["metadata"].get("generation") == old["metadata"].get("generation")
    same_notes = new["metadata"].get("annotations") == old["metadata"].get("annotations")
    going = "deletionTimestamp" in new["metadata"]
    return same_spec and same_notes and not going and new.get("status") != old.get("status")
