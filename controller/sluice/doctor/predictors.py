"""Whether the predictors that are there are also in Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sluice.doctor.deployments import NO_ENGINE
from sluice.doctor.findings import Finding, note, ok, warning
from sluice.doctor.reading import Object
from sluice.metrics.client import PrometheusClient
from sluice.metrics.dialects import Labels, Target, dialect_named
from sluice.metrics.queries import any_of, text
from sluice.seldon.containers import deployment_names

SHOWN = 3


@dataclass(frozen=True)
class Predictor:
    """One predictor that serves: `deployments` are the names of those that run its pods."""

    target: Target
    deployments: tuple[str, ...]
    executor: bool

    @property
    def where(self) -> str:
        """As findings name it."""
        target = self.target
        return f"SeldonDeployment {target.namespace}/{target.deployment}"


def predictors_of(seldon_deployments: Iterable[Object]) -> list[Predictor]:
    """Those that have pods and get requests."""
    found = []
    for each in seldon_deployments:
        meta = each["metadata"]
        for predictor in (each.get("spec") or {}).get("predictors") or []:
            if predictor.get("shadow") or predictor.get("replicas") == 0:
                continue
            annotations = predictor.get("annotations") or {}
            found.append(
                Predictor(
                    Target(meta["namespace"], meta["name"], str(predictor.get("name", ""))),
                    tuple(deployment_names(meta["name"], predictor)),
                    str(annotations.get(NO_ENGINE, "")).lower() != "true",
                )
            )
    return found


def check_predictors(
    client: PrometheusClient,
    dialect: str,
    labels: Labels,
    predictors: list[Predictor],
    at: float,
) -> list[Finding]:
    """Which predictors have series, and for those that have none, why. Raises MetricsError."""
    if not predictors:
        return []
    reader = dialect_named(dialect, labels)
    targets = [predictor.target for predictor in predictors]
    find = reader.finder(targets)
    seen = {find(series.labels) for series in client.query(reader.scrapes(targets), at)}
    missing = [p for p in predictors if p.target not in seen]
    findings = []
    if len(missing) < len(predictors):
        what = f"{len(predictors) - len(missing)} of {len(predictors)} predictors have series"
        findings.append(ok("PredictorsSeen", f"{what} ({dialect})", client.url))
    if not missing:
        return findings
    if dialect != "seldon":
        return [*findings, *(_silent(p, dialect) for p in missing)]
    up = _targets_up(client, labels, {p.target.namespace for p in missing}, at)
    for predictor in missing:
        findings += _why(predictor, up, labels)
    return findings


def _targets_up(
    client: PrometheusClient, labels: Labels, namespaces: Iterable[str], at: float
) -> dict[tuple[str, str], bool]:
    expression = any_of(list(namespaces))
    selector = "up" if expression is None else f"up{{{labels.namespace}=~{text(expression)}}}"
    by = f"{labels.namespace}, {labels.pod}"
    found = client.query(f"max by ({by}) ({selector})", at)
    return {
        (series.labels.get(labels.namespace, ""), series.labels.get(labels.pod, "")): (
            series.value > 0
        )
        for series in found
    }


def _why(
    predictor: Predictor, up: dict[tuple[str, str], bool], labels: Labels
) -> Iterator[Finding]:
    target = predictor.target
    mine = {
        pod: alive
        for (namespace, pod), alive in up.items()
        if namespace == target.namespace
        and any(pod.startswith(f"{name}-") for name in predictor.deployments)
    }
    failing = sorted(pod for pod, alive in mine.items() if not alive)
    if failing:
        yield warning(
            "ScrapeFails",
            f"predictor {target.predictor}: scrapes of {', '.join(failing[:SHOWN])} fail",
            predictor.where,
            f"kubectl -n {target.namespace} port-forward {failing[0]} 8000 & "
            "curl localhost:8000/prometheus",
        )
    elif mine:
        yield _silent(predictor, "seldon")
    elif predictor.executor and predictor.deployments:
        yield warning(
            "NotScraped",
            f"predictor {target.predictor}: no target of Prometheus is one of its pods (by the "
            f"label {labels.pod})",
            predictor.where,
            "docs/metrics.md has scrape configurations; pods are annotated prometheus.io/scrape",
        )
    elif predictor.executor:
        yield _silent(predictor, "seldon")


def _silent(predictor: Predictor, dialect: str) -> Finding:
    return note(
        "NoRequestsYet",
        f"predictor {predictor.target.predictor}: no request is in Prometheus ({dialect} series "
        "begin with the first one)",
        predictor.where,
        "send it a request and look again",
    )
