"""A SeldonDeployment becomes the template of a ModelRollout that adopts it."""

from __future__ import annotations

import copy
from typing import Any

from sluice.cli.converting.result import Converted, model_rollout
from sluice.cli.converting.source import Source
from sluice.errors import UsageError
from sluice.seldon.revision import images_of

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def from_seldon_deployment(source: Source, where: str) -> Converted:
    """The ModelRollout. Raises UsageError when there is no predictor that serves."""
    name, namespace = source.take("metadata", "name"), source.take("metadata", "namespace")
    result = Converted(f"the SeldonDeployment {name} ({where})")
    predictors = source.peek("spec", "predictors", default=[])
    serving = [i for i, p in enumerate(predictors) if not p.get("shadow")]
    if not name or not serving:
        raise UsageError(f"{where}: expected a name and a predictor that serves, found none")
    stable = max(serving, key=lambda i: (_traffic(predictors[i]), -i))
    spec: dict[str, Any] = {
        key: copy.deepcopy(source.take("spec", key))
        for key in source.peek("spec")
        if key != "predictors"
    }
    predictor = copy.deepcopy(source.take("spec", "predictors", stable))
    for field in ("traffic", "shadow", "name"):
        if field in predictor:
            predictor.pop(field)
    result.changed.append(
        "the predictor's name and traffic are Sluice's to set: the live predictor keeps its name, "
        "new ones are called v<revision>"
    )
    spec["predictors"] = [predictor]
    template: dict[str, Any] = {"spec": spec}
    metadata = _template_metadata(source)
    if metadata:
        template = {"metadata": metadata, **template}
    result.carried.append("the whole of spec, with one predictor, as the template")
    if metadata:
        result.carried.append("labels and annotations, in the template's metadata")
    _explain(result, predictors, serving, stable)
    _other_predictors(result, source, predictors, stable)
    body = {"template": template, "deletionPolicy": "Orphan"}
    result.objects = [model_rollout(str(name), namespace, body, None)]
    result.account_for(source)
    return result


def _explain(result: Converted, predictors: list[Any], serving: list[int], stable: int) -> None:
    result.explained += [
        "Applied beside the SeldonDeployment of this name, Sluice adopts it as it is: no pod "
        "restarts, and its predictor is the stable one. From then on change the image here.",
        "deletionPolicy Orphan: deleting the ModelRollout leaves the SeldonDeployment. Without a "
        "policyRef the built-in balanced policy judges.",
    ]
    if len(serving) > 1:
        one = predictors[stable]
        result.explained.append(
            f"It has {len(serving)} predictors that serve; {one.get('name')} is taken as stable, "
            f"for it has most of the traffic ({_traffic(one)}%). Sluice adopts a SeldonDeployment "
            "with exactly one: first take the others out there, then apply this, then bring their "
            "version in again with `sluice set-image`."
        )


def _other_predictors(
    result: Converted, source: Source, predictors: list[Any], stable: int
) -> None:
    for index, predictor in enumerate(predictors):
        if index == stable:
            continue
        source.take("spec", "predictors", index)
        images = ", ".join(images_of(predictor)) or "no image"
        kind = "the shadow" if predictor.get("shadow") else "the predictor"
        result.lost.append(
            f"{kind} {predictor.get('name')} ({_traffic(predictor)}% of the traffic; {images})"
        )


def _template_metadata(source: Source) -> dict[str, Any]:
    labels = source.take("metadata", "labels", default={}) or {}
    annotations = source.take("metadata", "annotations", default={}) or {}
    kept = {key: value for key, value in annotations.items() if key != _LAST_APPLIED}
    return {k: v for k, v in (("labels", dict(labels)), ("annotations", kept)) if v}


def _traffic(predictor: Any) -> int:
    return int(predictor.get("traffic") or 0)
