"""Sluice's own Prometheus metrics, in a registry of their own."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from sluice._version import __version__

# The namespace of a rollout. `namespace` alone is what a scrape calls that of the controller's pod.
WHERE = "rollout_namespace"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60)


class Snapshot:
    """A gauge whose series are replaced together: what is no longer so has no series."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._shown: set[tuple[str, ...]] = set()

    def replace(self, values: Mapping[tuple[str, ...], float]) -> None:
        """`values` by the gauge's labels, in their order."""
        for gone in self._shown - values.keys():
            self._gauge.remove(*gone)
        for labels, value in values.items():
            self._gauge.labels(*labels).set(value)
        self._shown = set(values)


class OwnMetrics:
    """Every metric the controller exports; its help text says what it is for."""

    def __init__(self) -> None:
        # A second series for each counter, with its start time: twice the cost, nobody reads it.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        counter, gauge, histogram = self._counter, self._gauge, self._histogram
        self.decisions = counter(
            "sluice_decisions", "Phases entered, by the phase.", [WHERE, "phase"]
        )
        self.verdicts = counter(
            "sluice_verdicts", "Changes of a check's verdict, by the new one.", ["verdict"]
        )
        self.rollouts = gauge("sluice_rollouts", "Rollouts, by phase.", ["phase"])
        self.frozen = gauge("sluice_frozen_rollouts", "Rollouts that wait for Seldon's freeze.")
        self.gated = gauge("sluice_gated_rollouts", "Rollouts that wait for a gate.")
        self.stalled = self._snapshot(
            "sluice_stalled_rollouts",
            "Rollouts whose condition Stalled is True.",
            [WHERE, "reason"],
        )
        self.held = self._snapshot(
            "sluice_held_rollouts",
            "Rollouts under way that wait for metrics: Unreachable or NoData.",
            [WHERE, "reason"],
        )
        self.held_seconds = self._snapshot(
            "sluice_held_seconds",
            "How long the one that waits longest has waited for metrics.",
            [WHERE, "reason"],
        )
        self.paused = self._snapshot(
            "sluice_paused_rollouts", "Paused rollouts, by why.", [WHERE, "reason"]
        )
        self.frozen_seconds = self._snapshot(
            "sluice_frozen_seconds", "How long Seldon's longest freeze has lasted.", [WHERE]
        )
        self.rollout_seconds = self._snapshot(
            "sluice_rollout_seconds", "How long the oldest rollout under way has taken.", [WHERE]
        )
        self.drifted = self._snapshot(
            "sluice_drifted_rollouts", "Rollouts whose condition Drifted is True.", [WHERE]
        )
        self.decayed = self._snapshot(
            "sluice_decayed_rollouts", "Rollouts whose condition Decayed is True.", [WHERE]
        )
        self.unwatched = self._snapshot(
            "sluice_unwatched_rollouts",
            "Monitored rollouts of which nothing can be told (Drifted or Decayed is Unknown).",
            [WHERE, "reason"],
        )
        self.retrainings = self._snapshot(
            "sluice_retraining_rollouts",
            "Rollouts by the state of their last retraining.",
            [WHERE, "state"],
        )
        self.distances = self._snapshot(
            "sluice_feature_distance_ratio",
            "Distance from training over its threshold, of the features that are furthest off.",
            [WHERE, "rollout", "feature"],
        )
        self.not_moved = counter(
            "sluice_traffic_not_moved", "Forced moves of traffic that were not possible."
        )
        self.unreadable = gauge(
            "sluice_metrics_unreadable", "1 while the last read of the metrics failed."
        )
        self.missing_rights = self._snapshot(
            "sluice_missing_rights",
            "1 for each right of the shipped roles that the controller lacks.",
            ["verb", "resource", "group", "right_namespace", "role", "optional"],
        )
        self.started = gauge("sluice_start_time_seconds", "When this process started.")
        self._gauge("sluice_build_info", "1, with the version.", ["version"]).labels(
            __version__
        ).set(1)
        ProcessCollector(registry=self.registry)
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
        for outcome in ("allowed", "denied", "failed"):
            self.webhooks.labels(outcome)
        self.preflights = counter(
            "sluice_preflights", "Attempts of preflights, by what they ended with.", ["state"]
        )
        for state in ("Passed", "Failed", "Undecided", "Blocked"):
            self.preflights.labels(state)
        self.audit_errors = counter("sluice_audit_errors", "Writes to the audit log that failed.")
        self.api_requests = counter(
            "sluice_api_requests", "Kubernetes API requests.", ["verb", "resource", "code"]
        )

    def _counter(self, name: str, text: str, labels: list[str] | None = None) -> Counter:
        return Counter(name, text, labels or [], registry=self.registry)

    def _gauge(self, name: str, text: str, labels: list[str] | None = None) -> Gauge:
        return Gauge(name, text, labels or [], registry=self.registry)

    def _snapshot(self, name: str, text: str, labels: list[str]) -> Snapshot:
        return Snapshot(self._gauge(name, text, labels))

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(name, text, buckets=_SECONDS, registry=self.registry)
