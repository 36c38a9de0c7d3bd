"""A Flagger Canary, with the Deployment of the same file if it is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sluice.api.base import format_duration, parse_duration
from sluice.cli.converting.queries import different_names, error_limit, latency_limit
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
_MOST_STEPS = 50
_FLAGGERS_QUANTILE = 0.99
_SUCCESS, _DURATION = "request-success-rate", "request-duration"


def from_canary(source: Source, where: str, workloads: Mapping[str, Source]) -> Converted:
    """ModelRollout and CanaryPolicy. `workloads` are Deployments by name."""
    name, namespace = source.take("metadata", "name"), source.take("metadata", "namespace")
    if not name:
        raise UsageError(f"{where}: metadata.name is missing")
    result = Converted(f"the Flagger Canary {name} ({where})")
    # Before v1beta1 it was called canaryAnalysis.
    key = "analysis" if source.peek("spec", "analysis") is not None else "canaryAnalysis"
    steps = ascending(_steps(source, key, result), result)
    checks = _checks(source, key, result)
    if source.take("spec", key, "threshold") is not None:
        result.changed.append(
            "threshold: Flagger rolls back after so many failed looks, also when Prometheus is "
            "away; Sluice rolls back when the requests show harm, at the policy's risk, and holds "
            "without metrics"
        )
    spec = _rollout_spec(source, result, str(name), workloads)
    policy = canary_policy(str(name), namespace, steps=steps, checks=checks)
    labels = source.take("metadata", "labels")
    result.objects = [policy, model_rollout(str(name), namespace, spec, labels)]
    result.account_for(source)
    return result


def _steps(source: Source, key: str, result: Converted) -> list[tuple[int, float]]:
    interval = parse_duration(str(source.take("spec", key, "interval") or "1m"))
    weights = source.take("spec", key, "stepWeights")
    step, most = source.take("spec", key, "stepWeight"), source.take("spec", key, "maxWeight")
    iterations = source.take("spec", key, "iterations")
    if weights:
        found = [int(weight) for weight in weights]
    elif step:
        found = list(range(int(step), int(most or 100) + 1, int(step)))
    elif iterations:
        result.changed.append(
            "iterations (A/B or blue-green) became one step of 50% for as long: there is no "
            "routing by header, and no switch without a share of the traffic"
        )
        return [(50, interval * int(iterations))]
    else:
        result.changed.append("no stepWeight: the steps are those of the balanced policy")
        return []
    if len(found) > _MOST_STEPS:
        every = -(-len(found) // _MOST_STEPS)
        result.changed.append(f"of {len(found)} steps one in {every} is kept, held as long")
        found, interval = found[every - 1 :: every], interval * every
    result.changed.append(
        f"interval {format_duration(interval)} became the least time at each step; the last one "
        "also waits for every check's Pass"
    )
    return [(weight, interval) for weight in found]


def _checks(source: Source, key: str, result: Converted) -> list[Object]:
    checks: list[Object] = []
    for index, metric in enumerate(source.peek("spec", key, "metrics", default=[]) or []):
        path = ("spec", key, "metrics", index)
        name = str(source.take(*path, "name") or "")
        limits = metric.get("thresholdRange") or {}
        least = limits.get("min", metric.get("threshold"))
        most = limits.get("max", metric.get("threshold"))
        if name == _SUCCESS and least is not None:
            share = 1 - float(least) / 100
            checks.append(error_limit("errors", share))
            result.carried.append(f"{_SUCCESS} of at least {least}%: at most {share:.3g} may fail")
        elif name == _DURATION and most is not None:
            seconds = float(most) / 1000
            checks.append(latency_limit("latency", _FLAGGERS_QUANTILE, seconds))
            result.carried.append(f"{_DURATION} (p99) of at most {most}ms")
        else:
            query = " ".join(str(metric.get("query") or metric.get("templateRef") or "").split())
            result.lost.append(f"the metric {name}: {query} {limits or ''}".rstrip())
            source.take(*path)
            continue
        for field in ("thresholdRange", "threshold", "interval"):
            source.take(*path, field)
    if checks:
        return different_names(checks)
    result.changed.append(
        "no check could be carried over: those of the balanced policy compare the candidate with "
        "the stable"
    )
    return default_checks()


def _rollout_spec(
    source: Source, result: Converted, name: str, workloads: Mapping[str, Source]
) -> Object:
    target = source.take("spec", "targetRef") or {}
    workload = workloads.get(str(target.get("name")))
    pod_spec = workload.peek("spec", "template", "spec") if workload else None
    replicas = workload.peek("spec", "replicas") if workload else None
    if pod_spec:
        result.changed.append(
            f"the pods of {target.get('kind')} {target.get('name')} became a Seldon predictor: the "
            "first container is the model, and must speak Seldon's protocol"
        )
    else:
        result.changed.append(
            f"the target {target.get('kind')} {target.get('name')} is not in the file: put your "
            "containers in the place of CHANGE-ME, or convert its SeldonDeployment instead"
        )
    spec: Object = {
        "policyRef": {"kind": "CanaryPolicy", "name": name},
        "template": {"spec": {"predictors": [pods_as_predictor(pod_spec, replicas)]}},
    }
    deadline = source.take("spec", "progressDeadlineSeconds")
    if deadline:
        spec["progressDeadlineSeconds"] = min(int(deadline), 86_400)
        result.carried.append("progressDeadlineSeconds")
    if source.take("spec", "suspend"):
        spec["paused"] = True
        result.changed.append("suspend became paused: the weights stay, and harm still rolls back")
    return spec
