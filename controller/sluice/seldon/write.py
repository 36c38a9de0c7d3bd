"""Carries out a plan: one conditional patch, and in a rollback the way out of Seldon's freeze."""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sluice.clock import Clock, SystemClock
from sluice.engine.plan import Plan
from sluice.engine.world import World
from sluice.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    PatchTestFailedError,
    SpecError,
)
from sluice.resources import SELDON_DEPLOYMENTS, VIRTUAL_SERVICES
from sluice.seldon import shrink
from sluice.seldon.objects import Json
from sluice.seldon.patch import json_patch
from sluice.seldon.routes import parse_routes, route_patch

_ROUTE_ATTEMPTS = 3
_FOLLOW_SECONDS = 2.0
_LOOK_SECONDS = 0.05


class Writing(Protocol):
    """The part of the Kubernetes client that writing needs. There is no `delete` in it."""

    def get(self, resource: Any, name: str, namespace: str | None = None, /) -> Json: ...

    def create(
        self, resource: Any, obj: Json, namespace: str | None = None, /, *, dry_run: bool = False
    ) -> Json: ...

    def json_patch(
        self,
        resource: Any,
        name: str,
        namespace: str | None,
        ops: list[Json],
        /,
        *,
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> Json: ...

    def merge_patch(
        self,
        resource: Any,
        name: str,
        namespace: str | None,
        body: Json,
        /,
        *,
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> Json: ...

    def list(
        self, resource: Any, namespace: str | None = None, /, *, label_selector: str
    ) -> Any: ...


@dataclass(frozen=True)
class Applied:
    """What was written. `problem` is a sentence for people; with `conflict` nothing of the failed
    step was written: read again, decide again."""

    wrote_spec: bool
    wrote_routes: bool
    problem: str = ""
    conflict: bool = False


class SeldonWriter:
    """Writes plans. Never deletes a VirtualService: while frozen, Seldon would not make it again.

    `dry_run` lets the API server check every write and keep none.
    """

    def __init__(
        self, client: Writing, dry_run: bool = False, *, clock: Clock | None = None
    ) -> None:
        self._client = client
        self._dry_run = dry_run
        self._clock = clock or SystemClock()
        self._never = threading.Event()
        # Namespaces where patching routes was refused although it looked allowed.
        self._refused: set[str] = set()

    def apply(self, namespace: str, name: str, plan: Plan, world: World) -> Applied:
        """Make the cluster as planned, given that it is as `world` says.

        Raises ApiUnavailableError when it must be tried again (Seldon's webhook down included),
        ForbiddenError when SeldonDeployments may not be written, SpecError when Seldon refuses.
        """
        try:
            if not world.exists:
                return self._create(namespace, plan)
            if plan.force_routes and _needs_force(plan, world) and not world.can_patch_routes:
                return self._shrink(namespace, name, plan, world)
            ops = json_patch(_live(world), plan)
            if ops:
                self._patch_spec(name, namespace, ops)
            if plan.force_routes and _needs_force(plan, world):
                return self._force(namespace, name, plan, world, wrote_spec=bool(ops))
            if not world.can_patch_routes or namespace in self._refused:
                self.restore(namespace, name)
        except (ConflictError, PatchTestFailedError, NotFoundError) as error:
            return Applied(False, False, problem=str(error), conflict=True)
        except InvalidError as error:
            raise SpecError(
                "SeldonRefused", f"Seldon refuses {namespace}/{name}: {error}"
            ) from error
        return Applied(bool(ops), False)

    def restore(self, namespace: str, name: str) -> bool:
        """Put replicas back that a rollback had lowered, once Seldon has written the routes.

        True when something was written. For controllers without the right to patch
        VirtualServices: call it in every pass that looks at such a SeldonDeployment.
        """
        live = self._client.get(SELDON_DEPLOYMENTS, name, namespace)
        ops = shrink.restoring_patch(live)
        if not ops or self._shares(namespace, name) != shrink.spec_shares(live):
            return False
        self._patch_spec(name, namespace, ops)
        return True

    def _create(self, namespace: str, plan: Plan) -> Applied:
        if plan.create is None:
            if not plan.predictors:
                return Applied(False, False)
            names = ", ".join(p.name for p in plan.predictors)
            return Applied(
                False,
                False,
                problem=f"the SeldonDeployment with {names} is gone: it was there a moment ago",
                conflict=True,
            )
        body = copy.deepcopy(dict(plan.create))
        self._client.create(SELDON_DEPLOYMENTS, body, namespace, dry_run=self._dry_run)
        return Applied(True, False)

    def disown(self, namespace: str, name: str, uid: str) -> bool:
        """Take the owner with that uid off, so that its deletion leaves the SeldonDeployment.

        Returns whether there was one. Raises ApiError.
        """
        try:
            live = self._client.get(SELDON_DEPLOYMENTS, name, namespace)
        except NotFoundError:
            return False
        owners = live["metadata"].get("ownerReferences") or []
        found = [index for index, owner in enumerate(owners) if owner.get("uid") == uid]
        if not found:
            return False
        path = f"/metadata/ownerReferences/{found[0]}"
        ops = [{"op": "test", "path": f"{path}/uid", "value": uid}, {"op": "remove", "path": path}]
        self._patch_spec(name, namespace, ops)
        return True

    def _patch_spec(self, name: str, namespace: str, ops: list[Json]) -> None:
        self._client.json_patch(SELDON_DEPLOYMENTS, name, namespace, ops, dry_run=self._dry_run)

    def _force(
        self, namespace: str, name: str, plan: Plan, world: World, *, wrote_spec: bool
    ) -> Applied:
        """The spec is the final truth by now; while frozen the operator leaves our routes alone."""
        weights = {p.name: p.weight for p in plan.predictors}
        unserved = [p for p, weight in weights.items() if weight and not world.ready_pods(p)]
        if unserved:
            return Applied(
                wrote_spec,
                False,
                problem=(
                    f"the traffic stays where it is: {', '.join(unserved)} has no ready pod, all "
                    "requests would fail. Bring a pod of it back, or decide by hand"
                ),
            )
        try:
            return self._patch_routes(namespace, name, weights, wrote_spec)
        except ForbiddenError:
            self._refused.add(namespace)
            return self._shrink(namespace, name, plan, world, wrote_spec=wrote_spec)

    def _patch_routes(
        self, namespace: str, name: str, weights: Mapping[str, int], wrote_spec: bool
    ) -> Applied:
        for _ in range(_ROUTE_ATTEMPTS):
            try:
                virtual_service = self._client.get(VIRTUAL_SERVICES, name, namespace)
                ops = route_patch(virtual_service, name, weights)
            except NotFoundError:
                return Applied(wrote_spec, False, problem=f"there is no VirtualService {name}")
            except ValueError as error:
                return Applied(wrote_spec, False, problem=str(error))
            if not ops:
                return Applied(wrote_spec, False)
            try:
                self._client.json_patch(
                    VIRTUAL_SERVICES, name, namespace, ops, dry_run=self._dry_run
                )
            except (PatchTestFailedError, ConflictError):
                continue  # the operator was first: read again
            return Applied(wrote_spec, True)
        return Applied(
            wrote_spec,
            False,
            problem=f"the VirtualService {name} changed at every one of {_ROUTE_ATTEMPTS} attempts",
            conflict=True,
        )

    def _shrink(
        self, namespace: str, name: str, plan: Plan, world: World, *, wrote_spec: bool = False
    ) -> Applied:
        """Without the right to patch routes: make what serves whole by asking for less of it."""
        lowered, refused = shrink.lowered(self._client, namespace, name, plan, world)
        live = self._client.get(SELDON_DEPLOYMENTS, name, namespace)
        if not wrote_spec and live["metadata"].get("generation") != world.generation:
            return Applied(False, False, problem="the SeldonDeployment has changed", conflict=True)
        smaller = plan
        if lowered.predictors:
            wishes = (
                replace(p, replicas=lowered.predictors.get(p.name, p.replicas))
                for p in plan.predictors
            )
            smaller = replace(plan, predictors=tuple(wishes))
        ops = json_patch(live, smaller)
        if ops and lowered.predictors:
            ops += shrink.remembering(live, lowered.predictors)
        if ops:
            self._patch_spec(name, namespace, ops)
        problem = refused
        try:
            shrink.scale(self._client, namespace, lowered.deployments, dry_run=self._dry_run)
        except ForbiddenError as error:
            problem = f"Seldon is frozen, and its Deployments may not be scaled either: {error}"
        if not problem and lowered.predictors and not self._dry_run:
            problem = self._follow(namespace, name, plan)
        return Applied(wrote_spec or bool(ops), False, problem=problem)

    def _follow(self, namespace: str, name: str, plan: Plan) -> str:
        """Wait (shortly) until Seldon has written the routes, then put the replicas back."""
        weights = {p.name: p.weight for p in plan.predictors if p.weight}
        until = self._clock.monotonic() + _FOLLOW_SECONDS
        while self._shares(namespace, name) != weights:
            if self._clock.monotonic() >= until:
                return "the replicas are lowered to the ready pods until Seldon has written routes"
            self._clock.wait(self._never, _LOOK_SECONDS)
        self.restore(namespace, name)
        return ""

    def _shares(self, namespace: str, name: str) -> dict[str, int] | None:
        try:
            virtual_service = self._client.get(VIRTUAL_SERVICES, name, namespace)
        except (NotFoundError, ForbiddenError):
            return None
        routes, agree = parse_routes(virtual_service)
        return {n: w for n, w in routes.items() if w} if routes and agree else None


def _needs_force(plan: Plan, world: World) -> bool:
    """Seldon will not follow by itself now: something is unready, and the routes are others."""
    planned = {p.name for p in plan.predictors}
    # An unready predictor that is taken out blocks nothing any more.
    blocked = any(
        d.predictor in planned or (_is_shadow(world, d.predictor) and d.predictor not in plan.drop)
        for d in world.blockers()
    )
    if world.routes is None:
        return blocked and bool(world.routes_problem)
    wanted = {p.name: p.weight for p in plan.predictors if p.weight}
    found = {n: w for n, w in world.routes.items() if w}
    if found == wanted and world.routes_agree:
        return False
    # A spec that says so already, and routes that do not: Seldon is late, whatever it says is
    # whole.
    spec = {p.name: p.weight for p in world.predictors if not p.shadow and p.weight}
    return blocked or spec == wanted


def _is_shadow(world: World, name: str) -> bool:
    predictor = world.predictor(name)
    return predictor is not None and predictor.shadow


def _live(world: World) -> Json:
    """The object as far as the patch needs it, from what the decision was made on."""
    return {
        "metadata": {
            "uid": world.uid,
            "generation": world.generation,
            "resourceVersion": world.resource_version,
        },
        "spec": {"predictors": [dict(p.raw) for p in world.predictors]},
    }
