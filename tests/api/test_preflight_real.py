"""A preflight over a real API server: its ConfigMaps, its rights, its proxy of Services."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from typing import TYPE_CHECKING, Any

from tests.api.test_compare_proxy import model, service

from sluice.api.preflight import Preflight, PreflightState
from sluice.clock import SystemClock
from sluice.engine.preflight_facts import PreflightWish
from sluice.kube.client import Client
from sluice.loops.preflight_run import Attempt, Fields
from sluice.loops.preflights import ClusterWays
from sluice.resources import CONFIG_MAPS

if TYPE_CHECKING:
    from tests.api.conftest import Cluster

__all__ = ["model"]
LINES = '{"data": {"ndarray": [[1]]}}\n' * 400


class Impatient(SystemClock):
    """Does not pause between tries."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return super().wait(event, seconds if seconds > 10 else 0.01)


def attempt(client: Client, namespace: str, **spec: Any) -> Fields:
    asked = {"requests": {"configMap": {"name": "r", "key": "r.jsonl.gz"}}, **spec}
    stable, candidate = ({"name": name, "graph": {"name": "m"}} for name in ("v1", "v2"))
    wish = PreflightWish(
        "q", 1, Preflight.model_validate(asked), namespace, "iris", stable, candidate
    )
    return Attempt(wish, ClusterWays(client), Impatient(), 2).run()


def test_requests_come_from_a_configmap_and_go_to_both_services(
    cluster: Cluster, namespace: str, model: tuple[str, int]
) -> None:
    client = cluster.client
    service(cluster, namespace, "iris-v1", model)
    service(cluster, namespace, "iris-v2", model)
    missing = attempt(client, namespace)
    assert (missing["state"], missing["reason"]) == (PreflightState.BLOCKED, "RequestsNotFound")

    packed = base64.b64encode(gzip.compress(LINES.encode())).decode()
    body = {"metadata": {"name": "r"}, "binaryData": {"r.jsonl.gz": packed}}
    client.create(CONFIG_MAPS, body, namespace)
    found = attempt(client, namespace)
    assert found["state"] is PreflightState.PASSED, found
    assert (found["requests"], found["rows"]) == (400, 400)

    # An empty table is what this model fails, on both sides: the stable's failing is not counted.
    key = {"requests": {"configMap": {"name": "r", "key": "none"}}}
    lines = json.dumps({"data": {"ndarray": []}}) + "\n"
    client.merge_patch(CONFIG_MAPS, "r", namespace, {"data": {"none": lines}})
    none = attempt(client, namespace, **key)
    assert (none["state"], none["reason"]) == (PreflightState.BLOCKED, "NoAnswers")


def test_a_service_without_a_pod_blames_nobody_and_a_missing_right_is_named(
    cluster: Cluster, namespace: str, model: tuple[str, int]
) -> None:
    client = cluster.client
    service(cluster, namespace, "iris-v1", model)
    service(cluster, namespace, "iris-v2", None)
    client.create(
        CONFIG_MAPS,
        {"metadata": {"name": "r"}, "data": {"r.jsonl.gz": LINES}},
        namespace,
    )
    found = attempt(client, namespace)
    assert (found["state"], found["reason"]) == (PreflightState.BLOCKED, "CandidateUnreachable")
    assert "iris-v2" in found["message"]
    poor = cluster.client_for(cluster.user(namespace, rules=[]))
    refused = attempt(poor, namespace)
    assert (refused["state"], refused["reason"]) == (PreflightState.BLOCKED, "RightMissing")
    assert "configmaps" in refused["message"]
