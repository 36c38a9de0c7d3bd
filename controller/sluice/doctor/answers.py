"""Whether models whose answers are to be checked tell what they answer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sluice.api.policy import Metric
from sluice.api.rollout import CLUSTER_POLICY_KIND
from sluice.doctor.findings import Finding, ok, warning
from sluice.doctor.predictors import Predictor
from sluice.doctor.reading import Object, Reading
from sluice.metrics.answer_queries import AnswerQueries
from sluice.metrics.client import PrometheusClient
from sluice.metrics.dialects import Labels
from sluice.resources import CANARY_POLICIES, CLUSTER_CANARY_POLICIES

_OF_ANSWERS = {metric.value for metric in Metric if metric.of_answers}

Asking = frozenset[tuple[str, str]]
"""Namespace and name of SeldonDeployments whose rollouts have a check of answers."""


def asking(reading: Reading, rollouts: Iterable[Object]) -> Asking:
    """Those of these ModelRollouts; a policy that cannot be read asks for nothing here."""
    policies: dict[tuple[str, str, str], bool] = {}
    found = set()
    for rollout in rollouts:
        meta, spec = rollout["metadata"], rollout.get("spec") or {}
        strategy = spec.get("strategy") or {}
        form = strategy.get("canary") or strategy.get("blueGreen") or {}
        if form.get("checks"):
            asks = _asks(form)
        elif ref := spec.get("policyRef"):
            key = (ref.get("kind", CLUSTER_POLICY_KIND), meta["namespace"], str(ref.get("name")))
            if key not in policies:
                policies[key] = _policy_asks(reading, *key)
            asks = policies[key]
        else:
            asks = False
        if asks:
            found.add((meta["namespace"], spec.get("seldonDeploymentName") or meta["name"]))
    return frozenset(found)


def _asks(spec: Mapping[str, Any]) -> bool:
    return any(check.get("metric") in _OF_ANSWERS for check in spec.get("checks") or ())


def _policy_asks(reading: Reading, kind: str, namespace: str, name: str) -> bool:
    if kind == CLUSTER_POLICY_KIND:
        policy, _ = reading.get(CLUSTER_CANARY_POLICIES, name)
    else:
        policy, _ = reading.get(CANARY_POLICIES, name, namespace)
    return policy is not None and _asks(policy.get("spec") or {})


def check(
    client: PrometheusClient,
    labels: Labels,
    wanted: Collection[tuple[str, str]],
    predictors: Iterable[Predictor],
    at: float,
) -> list[Finding]:
    """Predictors of these SeldonDeployments without the model kit's series. Raises MetricsError."""
    asked = [p for p in predictors if (p.target.namespace, p.target.deployment) in wanted]
    if not asked:
        return []
    queries = AnswerQueries(labels)
    info = client.query(queries.info([predictor.target for predictor in asked]), at)
    seen = {queries.target(series.labels) for series in info}
    missing = [predictor for predictor in asked if predictor.target not in seen]
    findings = [
        warning(
            "AnswersNotSeen",
            f"predictor {predictor.target.predictor}: its rollout has a check of answers, and no "
            "counter of the model kit is in Prometheus: such a check says Error, and nothing is "
            "promoted",
            predictor.where,
            "put the model kit into the image (docs/model-kit.md), and scrape the port that Seldon "
            "names metrics (docs/metrics.md#answers)",
        )
        for predictor in missing
    ]
    if len(missing) < len(asked):
        what = f"{len(asked) - len(missing)} of {len(asked)} predictors tell what they answer"
        findings.append(ok("AnswersSeen", what, client.url))
    return findings
