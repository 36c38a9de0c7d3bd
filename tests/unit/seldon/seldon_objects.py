"""SeldonDeployments, Deployments and VirtualServices as they are stored, and a small API server."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

from sluice.engine.world import DeploymentHealth, World
from sluice.errors import NotFoundError, PatchTestFailedError
from sluice.seldon.parse import parse_predictors

Json = dict[str, Any]


def container(image: str = "repo/m:1", name: str = "model", **fields: Any) -> Json:
    return {"name": name, "image": image, **fields}


def predictor(name: str = "main", image: str = "repo/m:1", **fields: Any) -> Json:
    return {
        "name": name,
        "graph": {"name": "model", "type": "MODEL"},
        "componentSpecs": [{"spec": {"containers": [container(image)]}}],
        **fields,
    }


def template(one: Json | None = None, **spec: Any) -> Json:
    return {"metadata": {}, "spec": {"predictors": [one or predictor()], **spec}}


def sdep(*predictors: Json, generation: int = 1, **metadata: Any) -> Json:
    return {
        "metadata": {
            "name": "iris",
            "namespace": "prod",
            "uid": "u1",
            "generation": generation,
            "resourceVersion": "7",
            **metadata,
        },
        "spec": {"predictors": list(predictors)},
    }


def virtual_service(**weights: int | None) -> Json:
    def routes(port: int) -> list[Json]:
        return [
            {
                "destination": {"host": f"iris-{n}", "port": {"number": port}, "subset": n},
                **({"weight": w} if w else {}),
            }
            for n, w in weights.items()
        ]

    return {
        "metadata": {"name": "iris"},
        "spec": {"http": [{"route": routes(8000)}, {"route": routes(5001)}]},
    }


def health(
    name: str, ready: int = 1, desired: int | None = None, **fields: Any
) -> DeploymentHealth:
    wanted = ready if desired is None else desired
    values: Json = {
        "name": f"iris-{name}-0-model",
        "predictor": name,
        "desired": wanted,
        "ready": ready,
        "unavailable": max(0, wanted - ready),
        "updated": wanted,
        "current": True,
    }
    return DeploymentHealth(**{**values, **fields})


def world(live: Json, *deployments: DeploymentHealth, **fields: Any) -> World:
    by_name: dict[str, tuple[DeploymentHealth, ...]] = {}
    for one in deployments:
        by_name[one.predictor] = (*by_name.get(one.predictor, ()), one)
    return World(
        exists=True,
        uid=live["metadata"]["uid"],
        resource_version=live["metadata"]["resourceVersion"],
        generation=live["metadata"]["generation"],
        predictors=parse_predictors(live),
        health=by_name,
        **fields,
    )


def patched(obj: Json, ops: list[Json]) -> Json:
    """RFC 6902 as far as it is used here. A failed test or path raises PatchTestFailedError."""
    result = copy.deepcopy(obj)
    for op in ops:
        parts = [p.replace("~1", "/").replace("~0", "~") for p in op["path"].split("/")[1:]]
        parent: Any = result
        try:
            for part in parts[:-1]:
                parent = parent[int(part)] if isinstance(parent, list) else parent[part]
            _operate(parent, parts[-1], op)
        except (KeyError, IndexError) as error:
            raise PatchTestFailedError(f"{op} does not fit") from error
    return result


def _operate(parent: Any, last: str, op: Json) -> None:
    key: Any = last
    if isinstance(parent, list):
        key = len(parent) if last == "-" else int(last)
    if op["op"] == "test":
        if parent[key] != op["value"]:
            raise PatchTestFailedError(f"{op}: found {parent[key]!r}")
    elif op["op"] == "remove":
        del parent[key]
    elif isinstance(parent, list):
        parent.insert(key, copy.deepcopy(op["value"]))
    else:
        parent[key] = copy.deepcopy(op["value"])


class FakeClient:
    """Stores objects by (plural, name). `refuse` maps (verb, plural) to errors, one per call."""

    def __init__(self, **objects: Json) -> None:
        self.objects: dict[tuple[str, str], Json] = {}
        self.calls: list[tuple[str, str]] = []
        self.patches: list[tuple[str, list[Json]]] = []
        self.refuse: dict[tuple[str, str], list[Exception]] = {}
        self.pods: list[Json] = []
        self.scaled: dict[str, int] = {}
        self.on_patch: Any = lambda plural: None
        for plural, obj in objects.items():
            self.objects[plural, obj["metadata"]["name"]] = obj

    def _called(self, verb: str, plural: str) -> None:
        self.calls.append((verb, plural))
        errors = self.refuse.get((verb, plural))
        if errors:
            raise errors.pop(0)

    def get(self, r: Any, name: str, namespace: str | None = None) -> Json:
        self._called("get", r.plural)
        if (r.plural, name) not in self.objects:
            raise NotFoundError(name)
        return copy.deepcopy(self.objects[r.plural, name])

    def list(self, r: Any, namespace: str | None = None, *, label_selector: str = "") -> Any:
        self._called("list", r.plural)
        return SimpleNamespace(items=self.pods if r.plural == "pods" else [])

    def create(self, r: Any, obj: Json, namespace: str | None = None, *, dry_run: bool = False):
        self._called("create", r.plural)
        self.objects[r.plural, obj.get("metadata", {}).get("name", "")] = obj
        return obj

    def json_patch(self, r, name, namespace, ops, *, subresource=None, dry_run=False):
        self._called("patch", r.plural)
        self.patches.append((r.plural, ops))
        result = patched(self.objects[r.plural, name], ops)
        if "generation" in result["metadata"]:
            result["metadata"]["generation"] += 1
        if not dry_run:
            self.objects[r.plural, name] = result
        self.on_patch(r.plural)
        return result

    def merge_patch(self, r, name, namespace, body, *, subresource=None, dry_run=False):
        self._called("patch", f"{r.plural}/{subresource}")
        self.scaled[name] = body["spec"]["replicas"]
        return body
