"""The counts behind the alerts: by namespace and reason, with the longest wait."""

from __future__ import annotations

from typing import Any

from prometheus_client import generate_latest

from sluice.api.times import to_wire
from sluice.loops.census import Census
from sluice.loops.own_metrics import OwnMetrics

NOW = 1_800_000_000.0


def rollout(namespace: str = "prod", **status: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": "iris"}, "status": status}


def condition(kind: str, status: str, reason: str, ago: float = 0.0) -> dict[str, Any]:
    at = to_wire(NOW - ago)
    return {"type": kind, "status": status, "reason": reason, "lastTransitionTime": at}


def told(*rollouts: dict[str, Any], metrics: OwnMetrics | None = None) -> str:
    metrics = metrics or OwnMetrics()
    census = Census(NOW)
    for each in rollouts:
        census.add(each)
    census.publish(metrics)
    return generate_latest(metrics.registry).decode()


def blind(ago: float, phase: str = "Stepping") -> dict[str, Any]:
    return rollout(phase=phase, conditions=[condition("MetricsAvailable", "False", "NoData", ago)])


def test_the_longest_wait_for_metrics_is_told() -> None:
    text = told(blind(60), blind(1800), blind(9999, phase="Idle"))
    labels = '{reason="NoData",rollout_namespace="prod"}'
    assert f"sluice_held_rollouts{labels} 2.0" in text
    assert f"sluice_held_seconds{labels} 1800.0" in text


def test_what_is_over_has_no_series() -> None:
    metrics = OwnMetrics()
    stalled = rollout(phase="Idle", conditions=[condition("Stalled", "True", "PolicyNotFound")])
    assert 'reason="PolicyNotFound"' in told(stalled, metrics=metrics)
    assert 'reason="PolicyNotFound"' not in told(rollout(phase="Idle"), metrics=metrics)


def test_a_freeze_and_a_rollout_under_way_are_timed() -> None:
    freeze = {"announced": True, "since": to_wire(NOW - 120)}
    starting = {"announced": False, "since": to_wire(NOW - 900)}
    text = told(
        rollout(phase="Stepping", startedAt=to_wire(NOW - 7200), freeze=freeze),
        rollout(phase="Preparing", startedAt=to_wire(NOW - 60), freeze=starting),
        rollout(phase="RolledBack", startedAt=to_wire(NOW - 90000)),
    )
    assert 'sluice_frozen_seconds{rollout_namespace="prod"} 120.0' in text
    assert 'sluice_rollout_seconds{rollout_namespace="prod"} 7200.0' in text
    assert "sluice_frozen_rollouts 2.0" in text


def test_a_status_that_is_no_status_breaks_nothing() -> None:
    odd = rollout(phase="Stepping", startedAt="yesterday", freeze={"announced": True, "since": ""})
    assert "sluice_rollout_seconds{" not in told(odd)
