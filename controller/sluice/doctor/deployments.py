"""SeldonDeployments: what about each would surprise in a rollout."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sluice.api.names import NAME_LIMIT
from sluice.doctor.findings import Finding, error, note, ok, warning
from sluice.doctor.reading import Object, name_of
from sluice.doctor.seldon_core import Operator
from sluice.seldon.containers import (
    CONTAINER_LABEL_PREFIX,
    deployment_names,
    model_containers,
    service_name,
)
from sluice.seldon.parse import is_owned

CONTROLLER_ID = "seldon.io/controller-id"
NO_ENGINE = "seldon.io/no-engine"
_HASH = re.compile("seldon-[0-9a-f]{32}")


def check(
    deployments: list[Object], operator: Operator | None = None, dialect: str = ""
) -> list[Finding]:
    """Findings for every SeldonDeployment. `dialect`: the controller's, "" if unknown."""
    findings = [finding for each in deployments for finding in _of_one(each, operator, dialect)]
    fine = len(deployments) - len({finding.where for finding in findings})
    if deployments and fine:
        findings.append(
            ok("SeldonDeploymentsFine", f"{fine} of {len(deployments)} SeldonDeployments are fine")
        )
    return findings


def _of_one(deployment: Object, operator: Operator | None, dialect: str) -> Iterator[Finding]:
    where = name_of(deployment)
    yield from _ignored(deployment, operator, where)
    predictors = (deployment.get("spec") or {}).get("predictors") or []
    for predictor in predictors:
        name = str(predictor.get("name", ""))
        yield from _ports(deployment, predictor, len(predictors), f"predictor {name}", where)
        yield from _probes(predictor, f"predictor {name}", where)
        yield from _names(deployment, predictor, f"predictor {name}", where)
        yield from _metrics(predictor, dialect, f"predictor {name}", where)
        yield from _scaling(predictor, f"predictor {name}", where)


def _ignored(deployment: Object, operator: Operator | None, where: str) -> Iterator[Finding]:
    given = (deployment["metadata"].get("labels") or {}).get(CONTROLLER_ID)
    mine = operator.controller_id if operator else ""
    if given is None and not mine:
        return
    if given is not None and operator is not None and given == mine:
        return
    meta = deployment["metadata"]
    if given is None:
        yield error(
            "IgnoredBySeldon",
            f"has no label {CONTROLLER_ID}, and the operator only works on {mine!r}",
            where,
            f"add the label {CONTROLLER_ID}={mine} to the template",
        )
    elif operator is not None:
        yield error(
            "IgnoredBySeldon",
            f"the label {CONTROLLER_ID}={given} makes the operator ignore it: no write has any "
            "effect, and its status is stale",
            where,
            f"kubectl -n {meta['namespace']} label seldondeployment {meta['name']} "
            f"{CONTROLLER_ID}-",
        )
    else:
        yield warning(
            "MaybeIgnoredBySeldon",
            f"only an operator with the controller id {given!r} works on it, and none was found",
            where,
            f"kubectl -n {meta['namespace']} label seldondeployment {meta['name']} "
            f"{CONTROLLER_ID}-",
        )


def _ports(
    deployment: Object, predictor: Object, predictors: int, what: str, where: str
) -> Iterator[Finding]:
    bare = [c.name for c in model_containers(predictor) if c.metrics_port is None]
    if not bare:
        return
    # Sluice writes the port down in all it adds; what it adopted keeps its pods as they are.
    level = warning if predictors > 1 and not is_owned(deployment) else note
    yield level(
        "NoMetricsPort",
        f"{what}: container {', '.join(bare)} has no port named metrics, so Seldon numbers it by "
        "position, and removing a predictor before it restarts its pods",
        where,
        "in the container: ports: [{name: metrics, containerPort: 6000, protocol: TCP}]",
    )


def _probes(predictor: Object, what: str, where: str) -> Iterator[Finding]:
    for container in model_containers(predictor):
        probe = container.raw.get("readinessProbe") or {}
        if any(kind in probe for kind in ("httpGet", "grpc", "exec")):
            continue
        yield warning(
            "ReadyByPortAlone",
            f"{what}: container {container.name} is taken for ready as soon as its port is open, "
            "which may be before the model is loaded",
            where,
            "in the container: readinessProbe: {httpGet: {path: /health/status, port: http}}",
        )


def _names(deployment: Object, predictor: Object, what: str, where: str) -> Iterator[Finding]:
    sdep = str(deployment["metadata"]["name"])
    longest = NAME_LIMIT - len(CONTAINER_LABEL_PREFIX)
    for container in model_containers(predictor):
        if len(container.name) > longest:
            yield error(
                "NameTooLongForSeldon",
                f"{what}: container {container.name} has {len(container.name)} characters, and "
                f"over {longest} Seldon ends half-made in Failed",
                where,
                "shorten the container's name, and graph.name with it",
            )
    names = [*deployment_names(sdep, predictor), service_name(sdep, predictor)]
    hashed = [name for name in names if _HASH.fullmatch(name)]
    if hashed:
        yield note(
            "HashedNames",
            f"{what}: names over {NAME_LIMIT} characters become a hash: "
            f"{', '.join(dict.fromkeys(hashed))}",
            where,
            "shorter names are easier to find; nothing has to be done",
        )


def _metrics(predictor: Object, dialect: str, what: str, where: str) -> Iterator[Finding]:
    if str((predictor.get("annotations") or {}).get(NO_ENGINE, "")).lower() != "true":
        return
    level = warning if dialect in ("", "seldon") else note
    yield level(
        "NoExecutor",
        f"{what}: {NO_ENGINE} leaves out the executor, and with it the metrics of the seldon "
        "dialect: a rollout would see no requests and hold",
        where,
        "sluice controller --dialect=istio (helm: --set prometheus.dialect=istio)",
    )


def _scaling(predictor: Object, what: str, where: str) -> Iterator[Finding]:
    for component in predictor.get("componentSpecs") or []:
        if component.get("hpaSpec") or component.get("kedaSpec"):
            yield note(
                "Autoscaled",
                f"{what}: is autoscaled: its `replicas` is ignored, a change of hpaSpec restarts "
                "its pods, and while it scales up Seldon does not shift traffic",
                where,
                "keep minReplicas near what the traffic needs during a rollout",
            )
            return
