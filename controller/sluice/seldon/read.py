"""Reads a SeldonDeployment and what hangs on it into the engine's `World`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from sluice.api.names import limited
from sluice.engine.world import DeploymentHealth, LivePredictor, World
from sluice.errors import ApiError, ForbiddenError, NotFoundError
from sluice.resources import (
    DEPLOYMENTS,
    PODS,
    SELDON_DEPLOYMENTS,
    SELF_SUBJECT_ACCESS_REVIEWS,
    VIRTUAL_SERVICES,
)
from sluice.seldon import parse
from sluice.seldon.containers import (
    SEPARATE_ENGINE_ANNOTATION,
    service_name,
)
from sluice.seldon.objects import Frozen, Json
from sluice.seldon.routes import parse_mirrors, parse_routes


class Reading(Protocol):
    """The part of the Kubernetes client that reading needs."""

    def get(self, resource: Any, name: str, namespace: str | None = None, /) -> Json: ...

    def list(
        self, resource: Any, namespace: str | None = None, /, *, label_selector: str
    ) -> Any: ...

    def create(self, resource: Any, obj: Json, namespace: str | None = None, /) -> Json: ...


def _always(_namespace: str) -> bool:
    return True


@dataclass(frozen=True)
class Sources:
    """Where the objects come from: caches, or requests (`from_client`).

    `seldon_deployment` and `virtual_service` take (namespace, name) and return None when there is
    none; `virtual_service` may raise ApiError. `deployments` takes (namespace, SeldonDeployment)
    and may return more than belongs to it; so may `pods`, which takes (namespace,
    SeldonDeployment) and is only asked when a Deployment is not whole. `can_patch_routes` takes a
    namespace.
    """

    seldon_deployment: Callable[[str, str], Frozen | None]
    deployments: Callable[[str, str], Iterable[Frozen]]
    virtual_service: Callable[[str, str], Frozen | None]
    pods: Callable[[str, str], Iterable[Frozen]]
    can_patch_routes: Callable[[str], bool] = _always


class WorldReader:
    """One look at everything the decision may know of one SeldonDeployment."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def read(self, namespace: str, name: str) -> World:
        """The world as it is. Raises ApiError when the SeldonDeployment cannot be read."""
        sdep = self._sources.seldon_deployment(namespace, name)
        can_patch = self._sources.can_patch_routes(namespace)
        if sdep is None:
            return World(exists=False, can_patch_routes=can_patch)
        metadata = sdep["metadata"]
        predictors = parse.parse_predictors(sdep)
        routes, agree, problem, mirrors = self._routes(namespace, name)
        return World(
            exists=True,
            uid=str(metadata.get("uid", "")),
            resource_version=str(metadata.get("resourceVersion", "")),
            generation=int(metadata.get("generation") or 0),
            owned=parse.is_owned(sdep),
            predictors=predictors,
            health=self._health(namespace, name, str(metadata.get("uid", "")), predictors),
            routes=routes,
            routes_agree=agree,
            routes_problem=problem,
            mirrors=mirrors,
            can_patch_routes=can_patch,
            state=str((sdep.get("status") or {}).get("state", "")),
        )

    def _routes(
        self, namespace: str, name: str
    ) -> tuple[dict[str, int] | None, bool, str, dict[str, int]]:
        try:
            virtual_service = self._sources.virtual_service(namespace, name)
        except ApiError as error:
            return None, True, str(error), {}
        if virtual_service is None:
            return None, True, "", {}
        routes, agree = parse_routes(virtual_service)
        problem = "" if routes is not None else "it has no rule with routes"
        return routes, agree, problem, parse_mirrors(virtual_service)

    def _health(
        self, namespace: str, name: str, uid: str, predictors: tuple[LivePredictor, ...]
    ) -> dict[str, tuple[DeploymentHealth, ...]]:
        found = [
            deployment
            for deployment in self._sources.deployments(namespace, name)
            if parse.is_part_of(deployment, name, uid)
        ]
        broken = not all(parse.parse_health(deployment).whole for deployment in found)
        pods = self._pods(namespace, name) if broken else []
        health: dict[str, tuple[DeploymentHealth, ...]] = {}
        for deployment in sorted(found, key=lambda d: str(d["metadata"]["name"])):
            one = parse.parse_health(deployment)
            if not one.whole:
                problem = parse.parse_problem(deployment, parse.pods_of(deployment, pods))
                one = parse.parse_health(deployment, problem)
            health[one.predictor] = (*health.get(one.predictor, ()), one)
        for predictor in predictors:
            there = health.get(predictor.name, ())
            known = {one.name for one in there if not one.name.endswith("-svc-orch")}
            missing = parse.missing_health(name, predictor)
            if len(known) < len(missing):
                absent = tuple(one for one in missing if one.name not in known)
                health[predictor.name] = (*there, *absent)
        return health

    def _pods(self, namespace: str, name: str) -> list[Frozen]:
        try:
            return list(self._sources.pods(namespace, name))
        except ApiError:
            return []  # the sentence is for people; the decision does not hang on it


def from_client(client: Reading) -> Sources:
    """Every look a request. The right to patch is asked once per namespace and kept."""
    rights: dict[str, bool] = {}
    lock = threading.Lock()

    def one(kind: Any, namespace: str, name: str) -> Json | None:
        try:
            return client.get(kind, name, namespace)
        except NotFoundError:
            return None

    def deployments(namespace: str, name: str) -> list[Json]:
        found = _listed(client, DEPLOYMENTS, namespace, _selector(name))
        sdep = one(SELDON_DEPLOYMENTS, namespace, name) or {}
        spec = sdep.get("spec") or {}
        if str((spec.get("annotations") or {}).get(SEPARATE_ENGINE_ANNOTATION)).lower() == "true":
            # An engine in pods of its own carries the predictor's Service as its deployment id.
            services = [service_name(name, p) for p in spec.get("predictors") or []]
            selector = f"seldon-deployment-id in ({','.join(services)})"
            found += _listed(client, DEPLOYMENTS, namespace, selector)
        return found

    def can_patch_routes(namespace: str) -> bool:
        with lock:
            known = rights.get(namespace)
        if known is None:
            known = may_patch_routes(client, namespace)
            with lock:
                rights[namespace] = known
        return known

    return Sources(
        seldon_deployment=lambda namespace, name: one(SELDON_DEPLOYMENTS, namespace, name),
        deployments=deployments,
        virtual_service=lambda namespace, name: one(VIRTUAL_SERVICES, namespace, name),
        pods=lambda namespace, name: _listed(client, PODS, namespace, _selector(name)),
        can_patch_routes=can_patch_routes,
    )


def may_patch_routes(client: Reading, namespace: str) -> bool:
    """Ask the API server whether we may patch VirtualServices; True when it does not tell."""
    review: Json = {
        "apiVersion": SELF_SUBJECT_ACCESS_REVIEWS.api_version,
        "kind": SELF_SUBJECT_ACCESS_REVIEWS.kind,
        "spec": {
            "resourceAttributes": {
                "namespace": namespace,
                "verb": "patch",
                "group": VIRTUAL_SERVICES.group,
                "resource": VIRTUAL_SERVICES.plural,
            }
        },
    }
    try:
        answer = client.create(SELF_SUBJECT_ACCESS_REVIEWS, review)
    except (ForbiddenError, NotFoundError):
        return True
    return bool((answer.get("status") or {}).get("allowed", True))


def _selector(sdep: str) -> str:
    return f"seldon-deployment-id={limited(sdep)}"


def _listed(client: Reading, kind: Any, namespace: str, selector: str) -> list[Json]:
    return list(client.list(kind, namespace, label_selector=selector).items)
