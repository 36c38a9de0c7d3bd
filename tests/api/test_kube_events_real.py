"""Events and rights checks as a real API server takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.clock import SystemClock
from sluice.kube.events import EventRecorder
from sluice.kube.rbac import Right, missing
from sluice.resources import (
    CLUSTER_ROLES,
    CONFIG_MAPS,
    DEPLOYMENTS,
    EVENTS,
    SELDON_DEPLOYMENTS,
)

if TYPE_CHECKING:
    from tests.api.conftest import Cluster


def test_events_are_found_under_their_object(cluster: Cluster, namespace: str) -> None:
    subject = cluster.client.create(CONFIG_MAPS, {"metadata": {"name": "iris"}}, namespace)
    recorder = EventRecorder(cluster.client_for(), clock=SystemClock(), instance="pod-1")
    recorder.start()
    recorder.record(subject, "Normal", "Stepped", "weight 5 to 20")
    for _ in range(3):
        recorder.record(subject, "Warning", "Held", "ü" * 2000)
    recorder.close()
    recorder.record(subject, "Warning", "Held", "ü" * 2000)
    recorder.flush()
    found = cluster.client.list(
        EVENTS, namespace, field_selector=f"involvedObject.uid={subject['metadata']['uid']}"
    )
    told = {event["reason"]: (event["type"], event["count"]) for event in found.items}
    assert told == {"Stepped": ("Normal", 1), "Held": ("Warning", 4)}
    assert {event["source"]["component"] for event in found.items} == {"sluice"}
    assert recorder.dropped == 0


def test_an_event_in_a_namespace_that_is_gone_is_dropped_quietly(cluster: Cluster) -> None:
    recorder = EventRecorder(cluster.client_for(), clock=SystemClock())
    nowhere = {"name": "iris", "namespace": "nowhere"}
    recorder.record({"apiVersion": "v1", "kind": "Pod", "metadata": nowhere}, "Normal", "A", "b")
    recorder.close()
    recorder.flush()  # a close that had no time left for it
    assert (recorder.dropped, recorder.pending) == (1, 0)


def test_missing_rights_are_found_before_they_are_needed(cluster: Cluster, namespace: str) -> None:
    rules = [
        {
            "apiGroups": ["machinelearning.seldon.io"],
            "resources": ["seldondeployments"],
            "verbs": ["get", "list"],
        }
    ]
    client = cluster.client_for(cluster.user(namespace, rules=rules))
    patch = Right("patch", SELDON_DEPLOYMENTS, namespace)
    everywhere = Right("list", SELDON_DEPLOYMENTS)
    scale = Right("update", DEPLOYMENTS, namespace, subresource="scale")
    roles = Right("create", CLUSTER_ROLES)
    have = Right("get", SELDON_DEPLOYMENTS, namespace)
    assert missing(client, [have, patch, everywhere, scale, roles]) == [
        patch,
        everywhere,
        scale,
        roles,
    ]
