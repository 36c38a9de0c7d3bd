"""The way out of the freeze without touching routes: ask for no more pods than are ready.

Seldon writes the VirtualService when no replica is unavailable. With as many replicas as there are
ready pods that is so at once, and the ready pods stay. What was asked for before is kept in an
annotation of the SeldonDeployment (which reaches no pod) until it is put back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sluice.api.names import limited
from sluice.engine.plan import Plan
from sluice.engine.world import LivePredictor, World
from sluice.errors import ApiError
from sluice.resources import DEPLOYMENTS, PODS
from sluice.seldon import parse
from sluice.seldon.objects import Frozen, Json
from sluice.seldon.patch import assumptions, replicas_patch

BEFORE_ANNOTATION = "sluice.dev/replicas-before"
_BEFORE_PATH = "/metadata/annotations/sluice.dev~1replicas-before"


class _Client(Protocol):
    def list(
        self, resource: Any, namespace: str | None = None, /, *, label_selector: str
    ) -> Any: ...

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


@dataclass(frozen=True)
class Lowered:
    """New replicas by predictor, and by Deployment where an autoscaler owns them."""

    predictors: Mapping[str, int] = field(default_factory=dict)
    deployments: Mapping[str, int] = field(default_factory=dict)


def lowered(
    client: _Client, namespace: str, sdep: str, plan: Plan, world: World
) -> tuple[Lowered, str]:
    """What to lower so that the predictors with traffic are whole, or why not (a sentence)."""
    predictors: dict[str, int] = {}
    deployments: dict[str, int] = {}
    for wish in plan.predictors:
        live = world.predictor(wish.name)
        short = [d for d in world.health.get(wish.name, ()) if not d.whole]
        if not wish.weight or live is None or not short:
            continue
        ready = world.ready_pods(wish.name)
        if ready == 0:
            return Lowered(), (
                f"the traffic stays where it is: {wish.name} has no ready pod. Bring one back, or "
                "decide by hand"
            )
        evicted = _evicted(client, namespace, sdep, wish.name)
        if evicted:
            return Lowered(), (
                f"Seldon is frozen and VirtualServices may not be patched; the replicas of "
                f"{wish.name} are not lowered while its pods are being evicted ({evicted}), for it "
                "could be left without any"
            )
        if autoscaled(live):
            deployments |= {d.name: d.ready for d in short if 0 < d.ready < d.desired}
        elif ready < max(d.desired for d in short):
            predictors[wish.name] = ready
    if not predictors and not deployments:
        return Lowered(), (
            "Seldon is frozen, VirtualServices may not be patched, and no replicas can be lowered: "
            "the traffic moves when every Deployment is whole"
        )
    return Lowered(predictors, deployments), ""


def autoscaled(predictor: LivePredictor) -> bool:
    """Seldon ignores the predictor's replicas: an HPA or KEDA owns them."""
    return any(
        component.get("hpaSpec") or component.get("kedaSpec")
        for component in predictor.raw.get("componentSpecs") or []
    )


def remembering(live: Frozen, predictors: Mapping[str, int]) -> list[Json]:
    """Operations that keep the present replicas of these predictors in the annotation."""
    before = _before(live)
    for predictor in (live.get("spec") or {}).get("predictors") or []:
        if predictor.get("name") in predictors:
            before.setdefault(predictor["name"], predictor.get("replicas"))
    text = json.dumps(before, sort_keys=True)
    if (live.get("metadata") or {}).get("annotations") is None:
        path, value = "/metadata/annotations", {BEFORE_ANNOTATION: text}
        return [{"op": "add", "path": path, "value": value}]
    return [{"op": "add", "path": _BEFORE_PATH, "value": text}]


def restoring_patch(live: Frozen) -> list[Json]:
    """Operations that put the replicas back and take the annotation away; [] without one."""
    if BEFORE_ANNOTATION not in ((live.get("metadata") or {}).get("annotations") or {}):
        return []
    now = {p.name: p.replicas for p in parse.parse_predictors(live)}
    # More than before is somebody's newer wish.
    due = {n: r for n, r in _before(live).items() if r is None or (now.get(n) or 0) < r}
    ops = replicas_patch(live, due)
    return [*assumptions(live), *ops, {"op": "remove", "path": _BEFORE_PATH}]


def spec_shares(live: Frozen) -> dict[str, int]:
    """The shares the SeldonDeployment asks for, without zeros."""
    found = parse.parse_predictors(live)
    return {p.name: p.weight for p in found if p.weight and not p.shadow}


def scale(
    client: _Client, namespace: str, deployments: Mapping[str, int], *, dry_run: bool
) -> None:
    """Scale Deployments directly: right only under an autoscaler, else Seldon takes it back."""
    for name, replicas in deployments.items():
        body: Json = {"spec": {"replicas": replicas}}
        client.merge_patch(DEPLOYMENTS, name, namespace, body, subresource="scale", dry_run=dry_run)


def _before(live: Frozen) -> dict[str, int | None]:
    annotations = (live.get("metadata") or {}).get("annotations") or {}
    try:
        found = json.loads(annotations.get(BEFORE_ANNOTATION) or "{}")
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {k: v for k, v in found.items() if v is None or (isinstance(v, int) and v > 0)}


def _evicted(client: _Client, namespace: str, sdep: str, predictor: str) -> str:
    selector = f"seldon-deployment-id={limited(sdep)},version={predictor}"
    try:
        pods = client.list(PODS, namespace, label_selector=selector).items
    except ApiError:
        return "whether they are cannot be seen"
    return ", ".join(parse.being_evicted(pods))
