"""A new image as a JSON Patch of a ModelRollout that tests what it assumes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sluice.errors import UsageError

_COMPONENTS = "/spec/template/spec/predictors/0/componentSpecs"


@dataclass(frozen=True)
class Place:
    """Where a container's image stands in the template."""

    container: str
    image: str | None
    path: str


@dataclass(frozen=True)
class Change:
    """One container's image, before and after."""

    container: str
    old: str | None
    new: str


def places(obj: Mapping[str, Any]) -> list[Place]:
    """The containers of the template, in their order."""
    predictor = obj["spec"]["template"]["spec"]["predictors"][0]
    found = []
    for i, component in enumerate(predictor.get("componentSpecs") or []):
        for j, one in enumerate((component.get("spec") or {}).get("containers") or []):
            path = f"{_COMPONENTS}/{i}/spec/containers/{j}"
            found.append(Place(str(one.get("name", "")), one.get("image"), path))
    return found


def wanted_images(obj: Mapping[str, Any], given: Sequence[str]) -> dict[str, str]:
    """Images by container, of ``[CONTAINER=]IMAGE``. Raises UsageError with what there is."""
    there = places(obj)
    names = [place.container for place in there]
    if not there:
        raise UsageError(
            "the template has no container whose image could be set (a prepackaged server takes "
            "its model from graph.modelUri): change it where the ModelRollout is kept"
        )
    wanted: dict[str, str] = {}
    for text in given:
        name, separator, image = text.partition("=")
        if not separator:
            if len(there) > 1:
                raise UsageError(
                    f"{text}: the template has {len(there)} containers, say which: "
                    + ", ".join(f"{one}=IMAGE" for one in names)
                )
            name, image = names[0], text
        if name not in names:
            raise UsageError(f"there is no container {name!r}; there are: {', '.join(names)}")
        if not image or any(c.isspace() for c in image):
            raise UsageError(f"{text}: expected [CONTAINER=]IMAGE, found no usable image")
        if name in wanted:
            raise UsageError(f"the container {name!r} is given twice")
        wanted[name] = image
    return wanted


def image_changes(obj: Mapping[str, Any], wanted: Mapping[str, str]) -> list[Change]:
    """What really changes."""
    return [
        Change(place.container, place.image, wanted[place.container])
        for place in places(obj)
        if place.container in wanted and place.image != wanted[place.container]
    ]


def image_patch(
    obj: Mapping[str, Any], wanted: Mapping[str, str], source: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The operations; [] when all is so already. They test uid, container names and old images."""
    ops: list[dict[str, Any]] = []
    for place in places(obj):
        new = wanted.get(place.container)
        if new is None or new == place.image:
            continue
        ops.append({"op": "test", "path": f"{place.path}/name", "value": place.container})
        if place.image is not None:
            ops.append({"op": "test", "path": f"{place.path}/image", "value": place.image})
        ops.append({"op": "add", "path": f"{place.path}/image", "value": new})
    ops += _source_ops(obj["spec"].get("source"), source)
    if not ops:
        return []
    return [{"op": "test", "path": "/metadata/uid", "value": obj["metadata"]["uid"]}, *ops]


def _source_ops(old: Mapping[str, str] | None, source: Mapping[str, str]) -> list[dict[str, Any]]:
    changed = {key: value for key, value in source.items() if (old or {}).get(key) != value}
    if not changed:
        return []
    if old is None:
        return [{"op": "add", "path": "/spec/source", "value": changed}]
    ops: list[dict[str, Any]] = [{"op": "test", "path": "/spec/source", "value": dict(old)}]
    return ops + [
        {"op": "add", "path": f"/spec/source/{_escaped(key)}", "value": value}
        for key, value in changed.items()
    ]


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
