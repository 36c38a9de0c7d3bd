"""An Argo Rollouts Rollout, with the AnalysisTemplates of the same file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sluice.api.base import format_duration, parse_duration
from sluice.cli.converting.queries import check_of_query, different_names, threshold
from sluice.cli.converting.result import (
    Converted,
    ascending,
    canary_policy,
    default_checks,
    model_rollout,
    pods_as_predictor,
)
from sluice.cli.converting.source import Source
from sluice.errors import UsageError

Object = dict[str, Any]
_ANALYSIS = (
    "Argo measures a few times and counts failures; Sluice tests the requests themselves, with the "
    "policy's risk, however often it looks: interval, count, failureLimit and the like fall away"
)
_PODS = (
    "the pod template became a Seldon predictor: its first container is the model, and must speak "
    "Seldon's protocol"
)


def from_rollout(source: Source, where: str, templates: Mapping[str, Source]) -> Converted:
    """ModelRollout and CanaryPolicy. `templates` are AnalysisTemplates by name."""
    name, namespace = source.take("metadata", "name"), source.take("metadata", "namespace")
    if not name:
        raise UsageError(f"{where}: metadata.name is missing")
    result = Converted(f"the Argo Rollouts Rollout {name} ({where})")
    canary = source.peek("spec", "strategy", "canary")
    blue_green = source.peek("spec", "strategy", "blueGreen")
    if blue_green is not None:
        steps, bake, names = _blue_green(source, result)
    elif canary is not None:
        steps, bake, names = _canary(source, result)
    else:
        raise UsageError(f"{where}: expected spec.strategy.canary or blueGreen, found neither")
    checks = _checks(names, templates, result)
    spec = _rollout_spec(source, result, str(name))
    steps = ascending(steps, result)
    policy = canary_policy(str(name), namespace, steps=steps, checks=checks, bake=bake)
    labels = source.take("metadata", "labels")
    result.objects = [policy, model_rollout(str(name), namespace, spec, labels)]
    result.account_for(source)
    return result


def _rollout_spec(source: Source, result: Converted, name: str) -> Object:
    pod_spec = source.take("spec", "template", "spec")
    replicas = source.take("spec", "replicas")
    source.take("spec", "selector")
    if pod_spec:
        result.changed.append(_PODS)
    else:
        result.changed.append(
            "the pod template is elsewhere (workloadRef): put your containers in the place of "
            "CHANGE-ME"
        )
    spec: Object = {
        "policyRef": {"kind": "CanaryPolicy", "name": name},
        "template": {"spec": {"predictors": [pods_as_predictor(pod_spec, replicas)]}},
    }
    deadline = source.take("spec", "progressDeadlineSeconds")
    if deadline:
        spec["progressDeadlineSeconds"] = min(int(deadline), 86_400)
        result.carried.append("progressDeadlineSeconds; a candidate that is late is rolled back")
    limit = source.take("spec", "revisionHistoryLimit")
    if limit is not None:
        spec["revisionHistoryLimit"] = min(int(limit), 50)
        result.changed.append(
            "revisionHistoryLimit: entries of the history, no ReplicaSets are kept"
        )
    if source.take("spec", "paused"):
        spec["paused"] = True
        result.carried.append("paused")
    return spec


def _canary(
    source: Source, result: Converted
) -> tuple[list[tuple[int, float]], float | None, list[str]]:
    base = ("spec", "strategy", "canary")
    steps: list[tuple[int, float]] = []
    names = _template_names(source, (*base, "analysis"), result)
    for index, step in enumerate(source.peek(*base, "steps", default=[]) or []):
        path = (*base, "steps", index)
        if "setWeight" in step:
            steps.append((int(source.take(*path, "setWeight")), 0.0))
        elif "pause" in step:
            _pause(source, path, steps, result)
        elif "analysis" in step:
            names += _template_names(source, (*path, "analysis"), result)
        # Whatever else there is (experiment, setCanaryScale, ...) is listed with what is left.
    if not steps:
        result.changed.append("no setWeight: the steps are those of the balanced policy")
    return steps, _bake(source, (*base, "scaleDownDelaySeconds"), result), names


def _pause(
    source: Source, path: tuple[str | int, ...], steps: list[tuple[int, float]], result: Converted
) -> None:
    given = source.take(*path, "pause") or {}
    hold = _seconds(given.get("duration"))
    if hold is None:
        at = f"at {steps[-1][0]}%" if steps else "before the first step"
        result.lost.append(
            f"the pause without an end {at}: Sluice goes on by itself when the evidence allows; to "
            "wait for a person set spec.paused, or use `sluice pause`"
        )
    elif steps:
        steps[-1] = (steps[-1][0], steps[-1][1] + hold)
    else:
        result.lost.append(f"the pause of {format_duration(hold)} before the first weight")


def _blue_green(
    source: Source, result: Converted
) -> tuple[list[tuple[int, float]], float | None, list[str]]:
    base = ("spec", "strategy", "blueGreen")
    names: list[str] = []
    for when in ("prePromotionAnalysis", "postPromotionAnalysis"):
        names += _template_names(source, (*base, when), result)
    hold = _seconds(source.take(*base, "autoPromotionSeconds")) or 120.0
    result.changed.append(
        "blue-green became a canary of two steps (10%, 50%): the new version is judged on a share "
        "of the real traffic before it gets all of it, not on none; bake keeps the old one warm"
    )
    if source.take(*base, "autoPromotionEnabled") is False:
        result.lost.append(
            "autoPromotionEnabled false: set spec.paused in the ModelRollout to wait for a person"
        )
    bake = _bake(source, (*base, "scaleDownDelaySeconds"), result)
    return [(10, hold), (50, hold)], bake, names


def _bake(source: Source, path: tuple[str | int, ...], result: Converted) -> float | None:
    delay = _seconds(source.take(*path))
    if delay is None:
        return None
    result.changed.append(
        "scaleDownDelaySeconds became bake: the old version stays as long, and checks go on: harm "
        "switches back"
    )
    return min(delay, 86_400.0)


def _template_names(source: Source, path: tuple[str | int, ...], result: Converted) -> list[str]:
    given = source.peek(*path, "templates", default=[]) or []
    names = [
        str(source.take(*path, "templates", index, "templateName"))
        for index, one in enumerate(given)
        if "templateName" in one
    ]
    if names and source.take(*path, "args"):
        result.changed.append("arguments of an analysis: the metric is Sluice's own, it needs none")
    return names


def _checks(
    names: Sequence[str], templates: Mapping[str, Source], result: Converted
) -> list[Object]:
    checks: list[Object] = []
    for name in dict.fromkeys(names):
        if name not in templates:
            result.lost.append(
                f"the AnalysisTemplate {name}: it is not in the file: put it there, convert again"
            )
            continue
        source = templates[name]
        for index, metric in enumerate(source.peek("spec", "metrics", default=[]) or []):
            check = _check(metric)
            label = f"metric {metric.get('name')} of the AnalysisTemplate {name}"
            source.take("spec", "metrics", index)
            if check is None:
                query = " ".join(str(_query(metric) or metric.get("provider")).split())
                result.lost.append(f"{label}: {query}: {_condition(metric)}")
            else:
                checks.append(check)
                result.carried.append(f"the limit of {label}, on the requests that Sluice counts")
        result.lost += [
            f"AnalysisTemplate {name}: {line}"
            for line in source.left()
            if line.startswith("spec.") and not line.startswith("spec.args")
        ]
    if names:
        result.changed.append(_ANALYSIS)
    if not checks:
        result.changed.append(
            "no check could be carried over: those of the balanced policy compare the candidate "
            "with the stable"
        )
        return default_checks()
    return different_names(checks)


def _check(metric: Mapping[str, Any]) -> Object | None:
    query, must = _query(metric), threshold(metric)
    if not query or must is None:
        return None
    return check_of_query(str(metric.get("name") or "check"), query, must)


def _query(metric: Mapping[str, Any]) -> str:
    provider = metric.get("provider") or {}
    return str((provider.get("prometheus") or {}).get("query") or "")


def _condition(metric: Mapping[str, Any]) -> str:
    return str(metric.get("successCondition") or metric.get("failureCondition") or "no condition")


def _seconds(value: Any) -> float | None:
    """Argo's durations: a number of seconds, or ``10m``."""
    if value is None:
        return None
    try:
        return float(value)
    except ValueError:
        return parse_duration(str(value))
