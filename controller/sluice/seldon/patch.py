"""From a plan to one JSON Patch of the SeldonDeployment. Pure.

Every patch tests what it assumes (the object itself, its generation, every predictor's name), so a
plan made from an older look is refused by the API server and never applied to something else.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

from sluice.engine.plan import Plan, PlannedPredictor
from sluice.errors import SpecError
from sluice.seldon.containers import model_containers, numbered_metrics_ports
from sluice.seldon.objects import Frozen, Json
from sluice.seldon.render import metrics_port

_PREDICTORS = "/spec/predictors"


def json_patch(live: Frozen, plan: Plan) -> list[Json]:
    """The operations that make `live` as planned; [] when it is so already.

    Removal and the new weights stand in ONE patch: the webhook refuses either alone. Weights come
    first, by the old indices, removals from the end, additions last: the candidate is appended.
    Shadows that are neither planned nor dropped, and every field but `traffic`, `replicas` and
    `shadow`, stay as they are (one exception: a metrics port that Seldon would renumber is written
    down with the number it has, which changes no pod). Raises SpecError `PredictorMissing` when a
    planned predictor is neither live nor given, `PredictorIsShadow` when one that has traffic was
    made a shadow: its pods would restart under the users.
    """
    if not plan.predictors:
        return []
    predictors: Sequence[Frozen] = (live.get("spec") or {}).get("predictors") or []
    planned = {p.name: p for p in plan.predictors}
    _check_planned(predictors, plan)
    removed = [
        i
        for i, p in enumerate(predictors)
        if _name(p) not in planned and (not p.get("shadow") or _name(p) in plan.drop)
    ]
    names = {_name(p) for p in predictors}
    added = [p for p in plan.predictors if p.name not in names]
    ops: list[Json] = []
    serving = sum(1 for p in plan.predictors if p.shadow is None)
    alone = _is_alone(predictors) and not added and serving == 1
    for i, predictor in enumerate(predictors):
        wish = planned.get(_name(predictor))
        if wish is not None:
            ops += _changes(i, predictor, wish, alone=alone)
    if removed:
        ops += _pinned_ports(predictors, removed)
    ops += [{"op": "remove", "path": f"{_PREDICTORS}/{i}"} for i in reversed(removed)]
    ops += [{"op": "add", "path": f"{_PREDICTORS}/-", "value": _new(wish)} for wish in added]
    return [*assumptions(live), *ops] if ops else []


def assumptions(live: Frozen) -> list[Json]:
    """`test` operations for the object, its generation and the predictors' names.

    The generation rather than the resourceVersion: Seldon writes its status all the time, and a
    rollback must not lose against that.
    """
    metadata = live.get("metadata") or {}
    ops: list[Json] = []
    if metadata.get("uid"):
        ops.append({"op": "test", "path": "/metadata/uid", "value": metadata["uid"]})
    if metadata.get("generation"):
        ops.append({"op": "test", "path": "/metadata/generation", "value": metadata["generation"]})
    elif metadata.get("resourceVersion"):
        version = metadata["resourceVersion"]
        ops.append({"op": "test", "path": "/metadata/resourceVersion", "value": version})
    for i, predictor in enumerate((live.get("spec") or {}).get("predictors") or []):
        ops.append({"op": "test", "path": f"{_PREDICTORS}/{i}/name", "value": _name(predictor)})
    return ops


def replicas_patch(live: Frozen, replicas: Mapping[str, int | None]) -> list[Json]:
    """Set the replicas of predictors by name (None: take the field out). Without assumptions."""
    ops: list[Json] = []
    for i, predictor in enumerate((live.get("spec") or {}).get("predictors") or []):
        if _name(predictor) not in replicas:
            continue
        wanted = replicas[_name(predictor)]
        if predictor.get("replicas") == wanted:
            continue
        path = f"{_PREDICTORS}/{i}/replicas"
        ops.append(
            {"op": "remove", "path": path}
            if wanted is None
            else {"op": "add", "path": path, "value": wanted}
        )
    return ops


def _check_planned(predictors: Sequence[Frozen], plan: Plan) -> None:
    live = {_name(p): p for p in predictors}
    for wish in plan.predictors:
        if wish.name not in live and wish.template is None:
            raise SpecError(
                "PredictorMissing",
                f"the SeldonDeployment must have a predictor {wish.name!r}, found "
                f"{', '.join(live) or 'none'}: somebody took it out. Put it back, or change the "
                "template so that a new one is rolled out",
            )
        if wish.weight and (live.get(wish.name) or {}).get("shadow"):
            raise SpecError(
                "PredictorIsShadow",
                f"the predictor {wish.name!r} must not be a shadow, but somebody made it one: set "
                "its `shadow` to false in the SeldonDeployment",
            )


def _changes(index: int, predictor: Frozen, wish: PlannedPredictor, *, alone: bool) -> list[Json]:
    path = f"{_PREDICTORS}/{index}"
    ops: list[Json] = []
    if wish.shadow is not None and not predictor.get("shadow"):
        ops.append({"op": "add", "path": f"{path}/shadow", "value": True})
    elif wish.shadow is None and predictor.get("shadow"):
        ops.append({"op": "remove", "path": f"{path}/shadow"})
    traffic, wanted = predictor.get("traffic"), _traffic(wish)
    # Alone, a predictor has all the traffic whether it says 100, 0 or nothing: left as it stands.
    holds = wish.weight == 100 and not traffic if alone else False
    if not holds and (traffic or 0) != wanted:
        ops.append({"op": "add", "path": f"{path}/traffic", "value": wanted})
    if wish.replicas is not None and predictor.get("replicas") != wish.replicas:
        ops.append({"op": "add", "path": f"{path}/replicas", "value": wish.replicas})
    return ops


def _new(wish: PlannedPredictor) -> Json:
    predictor = copy.deepcopy(dict(wish.template or {}))
    predictor["name"] = wish.name
    predictor["traffic"] = _traffic(wish)
    if wish.shadow is not None:
        predictor["shadow"] = True
    if wish.replicas is not None:
        predictor["replicas"] = wish.replicas
    return predictor


def _traffic(wish: PlannedPredictor) -> int:
    """A shadow's traffic is the share that is copied; Seldon takes 0 for everything."""
    return wish.weight if wish.shadow is None else wish.shadow


def _pinned_ports(predictors: Sequence[Frozen], removed: Sequence[int]) -> list[Json]:
    """Write down the metrics ports of survivors that would move when others are taken out."""
    now = numbered_metrics_ports(predictors)
    left = [p for i, p in enumerate(predictors) if i not in removed]
    then = numbered_metrics_ports(left)
    ops: list[Json] = []
    for i, predictor in enumerate(predictors):
        for unit in model_containers(predictor):
            place = (_name(predictor), unit.component, unit.container)
            if unit.metrics_port is not None or place not in then or now[place] == then[place]:
                continue
            path = (
                f"{_PREDICTORS}/{i}/componentSpecs/{unit.component}/spec/containers/"
                f"{unit.container}/ports"
            )
            port = metrics_port(now[place])
            if unit.raw.get("ports"):
                ops.append({"op": "add", "path": f"{path}/-", "value": port})
            else:
                ops.append({"op": "add", "path": path, "value": [port]})
    return ops


def _is_alone(predictors: Sequence[Frozen]) -> bool:
    return sum(1 for p in predictors if not p.get("shadow")) == 1


def _name(predictor: Frozen) -> str:
    return str(predictor.get("name", ""))
