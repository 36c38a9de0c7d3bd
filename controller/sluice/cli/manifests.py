"""ModelRollouts out of files, and what the controller would make of them: its own code, no copy."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sluice.api.builtin import BALANCED, BUILTIN_POLICY_NAME
from sluice.api.rollout import Rollout, parse_rollout
from sluice.cli.policies import policy_of
from sluice.clock import SystemClock
from sluice.engine.decide import decide
from sluice.engine.inputs import Inputs
from sluice.engine.world import World
from sluice.errors import NotFoundError, SpecError, UsageError
from sluice.kube.client import Client
from sluice.loops.reconcile import desired_of
from sluice.resources import MODEL_ROLLOUTS, SELDON_DEPLOYMENTS
from sluice.seldon.patch import json_patch
from sluice.seldon.read import WorldReader, from_client
from sluice.simulation.files import read_documents
from sluice.testing.json_patch import apply_patch

Object = dict[str, Any]


@dataclass(frozen=True)
class Rendered:
    """A SeldonDeployment as it would be next, and as it is (None: there is none)."""

    rollout: Rollout
    wanted: Object
    live: Object | None
    note: str = ""


def rollouts_in(path: Path, namespace: str) -> list[Object]:
    """The ModelRollouts of a file, in `namespace` where they name none. Raises UsageError."""
    found = []
    for document in read_documents(path):
        if document.kind != MODEL_ROLLOUTS.kind:
            continue
        obj: Object = copy.deepcopy(dict(document.content))
        meta = obj.setdefault("metadata", {})
        if not isinstance(meta, dict) or not meta.get("name"):
            raise UsageError(f"{document.where}: metadata.name is missing")
        meta.setdefault("namespace", namespace)
        found.append(obj)
    if not found:
        raise UsageError(f"{path}: expected a {MODEL_ROLLOUTS.kind}, found none")
    return found


def first_creation(obj: Object) -> Rendered:
    """What would be created where there is no SeldonDeployment yet. Asks no server."""
    rollout = _parsed(obj)
    return Rendered(rollout, _bare(dict(desired_of(rollout).create)), None)


def next_write(client: Client, obj: Object) -> Rendered:
    """What the controller's next pass would make of the SeldonDeployment that is there.

    `obj` may be the live ModelRollout or an edited one; the status is the live one's. The metrics
    are left out of account, so a step in progress stays where it is.
    Raises SpecError for what the controller would not accept, ApiError for what cannot be read.
    """
    obj = {**obj, "status": _live_status(client, obj)}
    rollout = _parsed(obj)
    name, namespace = rollout.deployment_name, rollout.namespace
    desired = desired_of(rollout)
    try:
        live = client.get(SELDON_DEPLOYMENTS, name, namespace)
    except NotFoundError:
        return first_creation(obj)
    world = WorldReader(from_client(client)).read(namespace, name)
    policy, policy_name, note = _policy(client, rollout)
    inputs = Inputs(
        rollout, policy, policy_name, world, desired, SystemClock().now(), metrics_problem="offline"
    )
    decision = decide(inputs)
    ops = json_patch(live, decision.plan) if decision.plan is not None else []
    wanted = apply_patch(live, ops) if ops else live
    return Rendered(
        rollout, _bare(wanted), _bare(live), note or _said(world, decision.status.phase)
    )


def _policy(client: Client, rollout: Rollout) -> tuple[Any, str, str]:
    try:
        return *policy_of(client, rollout.spec, rollout.namespace), ""
    except NotFoundError:
        # Weights depend on it, the predictors do not: the picture is worth having without it.
        ref = rollout.spec.policy_ref
        name = ref.name if ref else ""
        return (
            BALANCED.overridden(rollout.spec.strategy.canary),
            BUILTIN_POLICY_NAME,
            f"the policy {name} is not there: shown with the built-in one",
        )


def _said(world: World, phase: str) -> str:
    names = ", ".join(d.name for d in world.blockers())
    return f"phase {phase}; Seldon waits for {names}" if names else ""


def _live_status(client: Client, obj: Object) -> Object:
    meta = obj["metadata"]
    try:
        found = client.get(MODEL_ROLLOUTS, meta["name"], meta["namespace"])
    except NotFoundError:
        return {}
    meta.setdefault("uid", found["metadata"].get("uid", ""))
    return found.get("status") or {}


def _parsed(obj: Object) -> Rollout:
    try:
        return parse_rollout(obj)
    except (KeyError, TypeError, ValidationError) as error:
        raise SpecError("InvalidSpec", f"the ModelRollout cannot be read: {error}") from error


def _bare(sdep: Object) -> Object:
    """Without what the server writes, and without an owner that is not there yet."""
    bare = copy.deepcopy(sdep)
    bare.pop("status", None)
    meta = bare["metadata"]
    for field in ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp"):
        meta.pop(field, None)
    owners = [owner for owner in meta.get("ownerReferences") or [] if owner.get("uid")]
    meta.pop("ownerReferences", None)
    if owners:
        meta["ownerReferences"] = owners
    return bare
