"""From the objects of the API server to the engine's `World`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sluice.engine.world import DeploymentHealth, LivePredictor
from sluice.resources import SELDON_DEPLOYMENTS
from sluice.seldon.containers import deployment_names
from sluice.seldon.objects import Frozen
from sluice.seldon.revision import images_of, revision_of

OWNER_GROUP = "sluice.dev/"
SHADOW_LABEL = "seldon.io/shadow"
_HARMLESS_WAITS = ("ContainerCreating", "PodInitializing", "")


def parse_predictors(seldon_deployment: Frozen) -> tuple[LivePredictor, ...]:
    """The predictors in list order, with the weights Seldon gives them."""
    predictors = (seldon_deployment.get("spec") or {}).get("predictors") or []
    alone = sum(1 for p in predictors if not p.get("shadow")) == 1
    return tuple(
        LivePredictor(
            name=str(p.get("name", "")),
            weight=100 if alone and not p.get("shadow") else int(p.get("traffic") or 0),
            revision=revision_of(p),
            images=images_of(p),
            raw=p,
            shadow=bool(p.get("shadow")),
            replicas=p.get("replicas"),
        )
        for p in predictors
    )


def is_owned(seldon_deployment: Frozen) -> bool:
    """Whether a ModelRollout owns it."""
    owners = seldon_deployment.get("metadata", {}).get("ownerReferences") or []
    return any(
        o.get("kind") == "ModelRollout" and str(o.get("apiVersion", "")).startswith(OWNER_GROUP)
        for o in owners
    )


def is_part_of(obj: Frozen, sdep: str, uid: str) -> bool:
    """Whether the SeldonDeployment owns the object. `uid` "" accepts any of that name."""
    return any(
        o.get("kind") == SELDON_DEPLOYMENTS.kind
        and o.get("name") == sdep
        and (not uid or not o.get("uid") or o.get("uid") == uid)
        for o in obj.get("metadata", {}).get("ownerReferences") or []
    )


def parse_health(deployment: Frozen, problem: str = "") -> DeploymentHealth:
    """One Deployment's numbers. The label `version` holds the predictor's name."""
    metadata, spec = deployment["metadata"], deployment.get("spec") or {}
    status: Mapping[str, Any] = deployment.get("status") or {}
    return DeploymentHealth(
        name=metadata["name"],
        predictor=predictor_of(deployment),
        desired=int(spec.get("replicas", 1)),
        ready=int(status.get("readyReplicas") or 0),
        unavailable=int(status.get("unavailableReplicas") or 0),
        updated=int(status.get("updatedReplicas") or 0),
        current=int(status.get("observedGeneration") or 0) >= int(metadata.get("generation") or 0),
        problem=problem,
        shadow=_is_shadow(deployment),
    )


def _is_shadow(deployment: Frozen) -> bool:
    """Seldon's label, which reaches the Deployment only when it carries the flag out."""
    template = (deployment.get("spec") or {}).get("template") or {}
    return any(
        (metadata.get("labels") or {}).get(SHADOW_LABEL) == "true"
        for metadata in (deployment["metadata"], template.get("metadata") or {})
    )


def predictor_of(deployment: Frozen) -> str:
    """The predictor a Deployment was made for."""
    labels = deployment["metadata"].get("labels") or {}
    template = (deployment.get("spec") or {}).get("template") or {}
    in_pods = (template.get("metadata") or {}).get("labels") or {}
    return str(labels.get("version") or in_pods.get("version") or "")


def missing_health(sdep: str, predictor: LivePredictor) -> tuple[DeploymentHealth, ...]:
    """Stand for the Deployments of a predictor that Seldon has not made yet: they freeze it too."""
    names = deployment_names(sdep, predictor.raw) or [f"{sdep}-{predictor.name}"]
    return tuple(
        DeploymentHealth(
            name=name,
            predictor=predictor.name,
            desired=predictor.replicas if predictor.replicas is not None else 1,
            ready=0,
            unavailable=0,
            updated=0,
            current=False,
            problem="Seldon has not created it yet",
        )
        for name in names
    )


def parse_problem(deployment: Frozen, pods: Iterable[Frozen]) -> str:
    """Why a Deployment is not whole, in one sentence; "" when nothing says it.

    The worst thing first: a container that cannot run, a pod that finds no place, one being taken
    away, one that runs and is not ready, then what the Deployment itself complains of.
    """
    sentences = sorted(filter(None, (_pod_problem(pod) for pod in pods)))
    if sentences:
        return sentences[0][1]
    for condition in (deployment.get("status") or {}).get("conditions") or []:
        failing = condition.get("type") == "ReplicaFailure" and condition.get("status") == "True"
        late = condition.get("type") == "Progressing" and condition.get("status") == "False"
        if failing or late:
            return f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")
    return ""


def pods_of(deployment: Frozen, pods: Iterable[Frozen]) -> list[Frozen]:
    """The pods that a Deployment's selector selects."""
    selector = ((deployment.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    return [
        pod
        for pod in pods
        if selector and selector.items() <= (pod.get("metadata", {}).get("labels") or {}).items()
    ]


def being_evicted(pods: Iterable[Frozen]) -> list[str]:
    """Names of pods on their way out by a drain or a preemption."""
    return [
        str(pod["metadata"].get("name", ""))
        for pod in pods
        if pod["metadata"].get("deletionTimestamp") or _condition(pod, "DisruptionTarget") == "True"
    ]


def _pod_problem(pod: Frozen) -> tuple[int, str] | None:
    name = pod.get("metadata", {}).get("name", "")
    status = pod.get("status") or {}
    containers: Sequence[Frozen] = [
        *(status.get("initContainerStatuses") or []),
        *(status.get("containerStatuses") or []),
    ]
    for container in containers:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason", "") not in _HARMLESS_WAITS:
            said = waiting.get("message") or f"container {container.get('name')} of pod {name}"
            return 0, f"{waiting['reason']}: {said}"
    for container in containers:
        ended = (container.get("state") or {}).get("terminated") or {}
        if ended and ended.get("exitCode"):
            return 1, (
                f"{ended.get('reason') or 'Error'}: container {container.get('name')} of pod {name}"
                f" ended with code {ended['exitCode']}"
            )
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return 2, f"{condition.get('reason', 'Unschedulable')}: {condition.get('message', '')}"
    if pod.get("metadata", {}).get("deletionTimestamp"):
        return 3, f"pod {name} is being deleted"
    for container in containers:
        running = (container.get("state") or {}).get("running")
        if running is not None and not container.get("ready"):
            return _unready(container, name)
    if _condition(pod, "Ready") == "False":
        return 5, f"pod {name} is not ready ({status.get('phase', 'phase unknown')})"
    return None


def _unready(container: Frozen, pod: str) -> tuple[int, str]:
    """One that runs; between two crashes that is the smaller part of the truth."""
    text = f"container {container.get('name')} of pod {pod} runs, but is not ready"
    count = int(container.get("restartCount") or 0)
    if not count:
        return 4, text
    last = (container.get("lastState") or {}).get("terminated") or {}
    code = f", the last time after exit code {last['exitCode']}" if "exitCode" in last else ""
    return 1, f"{text}; it was restarted {count} {'time' if count == 1 else 'times'}{code}"


def _condition(pod: Frozen, kind: str) -> str:
    for condition in (pod.get("status") or {}).get("conditions") or []:
        if condition.get("type") == kind:
            return str(condition.get("status", ""))
    return ""
