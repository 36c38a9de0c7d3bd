"""What request metrics a Prometheus has: whose, with which labels, scraped how often."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sluice.metrics.client import PrometheusClient
from sluice.metrics.dialects import DIALECTS, Labels

SELECTORS = {
    "seldon": "seldon_api_executor_server_requests_seconds_count",
    "istio": 'istio_requests_total{reporter="source"}',
    "envoy": 'envoy_cluster_upstream_rq{envoy_cluster_name=~"outbound[|].+"}',
}
NAMESPACE_LABELS = (
    "namespace",
    "kubernetes_namespace",
    "exported_namespace",
    "k8s_namespace_name",
    "k8s_namespace",
    "kube_namespace",
)
POD_LABELS = (
    "pod",
    "kubernetes_pod_name",
    "exported_pod",
    "k8s_pod_name",
    "pod_name",
    "kubernetes_pod",
)
# What tells two copies of one counter apart: two jobs, or two Prometheus behind one query layer.
COPIES = ("job", "instance", "prometheus", "prometheus_replica", "replica")
GAPS = 3

Row = dict[str, str]


@dataclass(frozen=True)
class Survey:
    """The series of one dialect: `rows` has the labels of each scraped target, `series` counts."""

    dialect: str
    rows: tuple[Row, ...]
    series: int

    def having(self, label: str) -> list[str]:
        """The label's values; rows without it are left out."""
        return [row[label] for row in self.rows if row.get(label)]

    def copies(self, labels: Labels) -> dict[tuple[str, str], set[tuple[str, ...]]]:
        """Pods (namespace, pod) whose counters are there more than once, and as what."""
        found: dict[tuple[str, str], set[tuple[str, ...]]] = {}
        for row in self.rows:
            if pod := row.get(labels.pod):
                key = (row.get(labels.namespace, ""), pod)
                found.setdefault(key, set()).add(tuple(row.get(name, "") for name in COPIES))
        return {key: copies for key, copies in found.items() if len(copies) > 1}


def survey(client: PrometheusClient, dialect: str, labels: Labels, at: float) -> Survey:
    """One query. Raises MetricsError."""
    names = (*NAMESPACE_LABELS, *POD_LABELS, *COPIES, labels.namespace, labels.pod)
    by = ", ".join(dict.fromkeys(names))
    found = client.query(f"count by ({by}) ({SELECTORS[dialect]})", at)
    return Survey(
        dialect, tuple(series.labels for series in found), int(sum(s.value for s in found))
    )


def choose(surveys: Iterable[Survey], *, without_executor: bool) -> str:
    """The dialect to use, "" if none has series.

    The executor's first: it tells predictions from other calls, and each pod from the others. Where
    there are predictors without one, the mesh, which sees all of them.
    """
    have = {each.dialect for each in surveys if each.series}
    order: Collection[str] = ("istio", "envoy", "seldon") if without_executor else DIALECTS
    return next((name for name in order if name in have), "")


def alternatives(found: Survey, names: Iterable[str], known: Collection[str] = ()) -> list[str]:
    """Labels that all rows have, those first (if any `known`) that have a known value."""
    full = [name for name in names if len(found.having(name)) == len(found.rows) > 0]
    if not known:
        return full
    fitting = [name for name in full if set(found.having(name)) & set(known)]
    return fitting or full


def scrape_interval(
    client: PrometheusClient, dialect: str, labels: Labels, at: float
) -> tuple[float | None, float | None]:
    """Seconds between the last scrapes of one pod (their median), and when the last one was.

    Each earlier scrape is found by asking just before the one after it.
    """
    promql = f"max by ({labels.pod}) (timestamp({SELECTORS[dialect]}))"
    newest = max(client.query(promql, at), key=lambda series: series.value, default=None)
    if newest is None:
        return None, None
    times = [newest.value]
    for _ in range(GAPS):
        before = [
            series.value
            for series in client.query(promql, times[-1] - 0.001)
            if series.labels == newest.labels and series.value < times[-1]
        ]
        if not before:
            break
        times.append(before[0])
    gaps = [later - earlier for later, earlier in itertools.pairwise(times)]
    return (statistics.median(gaps) if gaps else None), times[0]
