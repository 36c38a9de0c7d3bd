"""Whether a live object still is what it should be.

The API server fills in what was left out, so a live object may hold more than the desired one. A
fingerprint of the desired object, kept in an annotation, tells when the wish itself has changed;
what was wished for must be found in the live object; and where a person can add something that
matters (labels, annotations, the Deployment's own fields) the live object must hold no more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from .settings import LAST_APPLIED, Json

Differs = Callable[[Json, Json], bool]

_CONTROLLERS_OWN = ("deployment.kubernetes.io/",)
_DEPLOYMENT_DEFAULTS: Json = {"paused": False, "minReadySeconds": 0}


def fingerprint(obj: Json) -> str:
    """SHA-256 of an object's JSON, replicas left out: those are compared on their own."""
    spec = {key: value for key, value in obj.get("spec", {}).items() if key != "replicas"}
    text = json.dumps({**obj, "spec": spec}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def stamped(obj: Json) -> Json:
    """The object with its fingerprint in the annotations."""
    metadata = obj["metadata"]
    annotations = {**(metadata.get("annotations") or {}), LAST_APPLIED: fingerprint(obj)}
    return {**obj, "metadata": {**metadata, "annotations": annotations}}


def template_differs(live: Json, wanted: Json) -> bool:
    """Whether the pods of a Deployment would have to be replaced."""
    return not contains(live["spec"]["template"], wanted["spec"]["template"])


def deployment_differs(live: Json, wanted: Json, *, scaled: bool) -> bool:
    """Whether a Deployment must be written. With `scaled` its replicas belong to an HPA."""
    stamp = stamped(wanted)["metadata"]
    if own_annotations(live) != stamp["annotations"]:
        return True
    if (live["metadata"].get("labels") or {}) != wanted["metadata"]["labels"]:
        return True
    if not _owned_alike(live, wanted):
        return True
    held, wished = live["spec"], wanted["spec"]
    if not scaled and held.get("replicas", 1) != wished["replicas"]:
        return True
    plain = [key for key in {*held, *wished} if key not in ("replicas", "template", "selector")]
    if any(_or_default(held, key) != _or_default(wished, key) for key in plain):
        return True
    return template_differs(live, wanted)


def own_annotations(live: Json) -> dict[str, str]:
    """A Deployment's annotations without those the Deployment controller writes."""
    annotations = live["metadata"].get("annotations") or {}
    return {k: v for k, v in annotations.items() if not k.startswith(_CONTROLLERS_OWN)}


def controllers_annotations(live: Json) -> dict[str, str]:
    """Those the Deployment controller writes; an update must keep them."""
    annotations = live["metadata"].get("annotations") or {}
    return {k: v for k, v in annotations.items() if k.startswith(_CONTROLLERS_OWN)}


def service_differs(live: Json, wanted: Json) -> bool:
    """Whether a Service must be made anew: its ports or its selector are others."""
    held, wished = live["spec"], wanted["spec"]
    return held.get("selector") != wished["selector"] or not contains(
        held.get("ports"), wished["ports"]
    )


def hpa_differs(live: Json, wanted: Json) -> bool:
    """Whether an HPA must be written."""
    return not contains(live["spec"], wanted["spec"])


def spec_differs(live: Json, wanted: Json) -> bool:
    """Whether a custom resource must be written: nothing is filled in there, so any difference."""
    return bool(live.get("spec") != wanted.get("spec"))


def contains(live: Any, wanted: Any) -> bool:
    """Whether everything in `wanted` is in `live`. Lists must have equal lengths.

    An empty or missing value equals a missing one: that is how the API server stores it.
    """
    if isinstance(wanted, dict):
        held = live if isinstance(live, dict) else {}
        return all(contains(held.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        held_list = live if isinstance(live, list) else []
        return len(held_list) == len(wanted) and all(
            contains(one, other) for one, other in zip(held_list, wanted, strict=True)
        )
    if not wanted and wanted != 0:
        return not live
    return bool(live == wanted)


def _owned_alike(live: Json, wanted: Json) -> bool:
    return contains(live["metadata"].get("ownerReferences"), wanted["metadata"]["ownerReferences"])


def _or_default(spec: Json, key: str) -> Any:
    value = spec.get(key)
    return _DEPLOYMENT_DEFAULTS.get(key) if value is None else value
