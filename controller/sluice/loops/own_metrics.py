"""Sluice's own Prometheus metrics, in a registry of their own."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60)


class OwnMetrics:
    """Every metric the controller exports; its help text says what it is for."""

    def __init__(self) -> None:
        # A second series for each counter, with its start time: twice the cost, nobody reads it.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        counter, gauge, histogram = self._counter, self._gauge, self._histogram
        self.decisions = counter(
            "sluice_decisions", "Phases entered, by the phase.", ["namespace", "phase"]
        )
        self.verdicts = counter(
            "sluice_verdicts", "Changes of a check's verdict, by the new one.", ["verdict"]
        )
        self.rollouts = gauge("sluice_rollouts", "Rollouts, by phase.", ["phase"])
        self.frozen = gauge("sluice_frozen_rollouts", "Rollouts that wait for Seldon's freeze.")
        self.gated = gauge("sluice_gated_rollouts", "Rollouts that wait for a gate.")
        self.breach_to_moved = histogram(
            "sluice_breach_to_moved_seconds",
            "From the metrics read that showed harm to the traffic seen off the candidate.",
        )
        self.query_seconds = histogram("sluice_query_seconds", "One Prometheus query.")
        self.query_errors = counter(
            "sluice_query_errors", "Prometheus queries that failed, by kind.", ["kind"]
        )
        self.queries = counter("sluice_queries", "Prometheus queries sent.")
        self.pulse_seconds = histogram("sluice_pulse_seconds", "One pulse over all rollouts.")
        self.pulse_late = gauge(
            "sluice_pulse_late_seconds", "How late the last pulse began against its interval."
        )
        self.last_pulse = gauge(
            "sluice_last_pulse_timestamp_seconds", "When metrics were last read with success."
        )
        self.reconcile_seconds = histogram("sluice_reconcile_seconds", "One reconcile pass.")
        self.reconcile_errors = counter(
            "sluice_reconcile_errors", "Reconcile passes that will be retried, by error.", ["error"]
        )
        self.queue_depth = gauge("sluice_queue_depth", "Keys waiting to be reconciled.")
        self.leader = gauge("sluice_leader", "1 while this process holds the lease.")
        self.webhooks = counter(
            "sluice_webhooks", "Answers of gates' webhooks: allowed, denied, failed.", ["outcome"]
        )
        self.audit_errors = counter("sluice_audit_errors", "Writes to the audit log that failed.")
        self.api_requests = counter(
            "sluice_api_requests", "Kubernetes API requests.", ["verb", "resource", "code"]
        )

    def _counter(self, name: str, text: str, labels: list[str] | None = None) -> Counter:
        return Counter(name, text, labels or [], registry=self.registry)

    def _gauge(self, name: str, text: str, labels: list[str] | None = None) -> Gauge:
        return Gauge(name, text, labels or [], registry=self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(name, text, buckets=_SECONDS, registry=self.registry)
