"""Nodes, pods, controllers, the API server and Prometheus go away in mid-rollout.

All rollouts are there all the time: each disruption is one of every rollout that has not ended yet.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from ground import SYSTEM, Ground, Held
from trial import poll

from sluice.api.status import Phase, RolloutStatus

RATE = 10.0
REPLICAS = {"handover": 1, "killed": 1, "evicted": 2, "drained": 2, "restart": 1, "blind": 1}


@pytest.fixture(scope="module")
def held(cluster: Ground) -> Iterator[Held]:
    rollouts = Held(cluster, REPLICAS, RATE)
    try:
        rollouts.begin()
        yield rollouts
    finally:
        rollouts.end()


def test_a_controller_whose_pod_is_deleted_hands_over_and_the_rollout_goes_on(
    held: Held, cluster: Ground
) -> None:
    before, began = cluster.leader(), time.monotonic()
    cluster.kubectl("--namespace", SYSTEM, "delete", "pod", before, "--wait=false")
    poll(lambda: cluster.leader() not in ("", before), "another leads")
    cluster.figures["leader's pod deleted, until another leads"] = time.monotonic() - began
    held.promoted("handover")


@pytest.mark.own_cluster
def test_a_leader_that_is_killed_is_followed_once_its_lease_has_run_out(
    held: Held, cluster: Ground
) -> None:
    before, began = cluster.holder(), time.monotonic()
    cluster.kill(cluster.leader())
    poll(lambda: cluster.holder() not in ("", before), "another leads")
    cluster.figures["leader killed, until another leads"] = time.monotonic() - began
    held.promoted("killed")


def test_an_evicted_stable_pod_is_replaced_and_the_rollout_goes_on(held: Held) -> None:
    rollout = held.rollouts["evicted"]
    stable = rollout.status().stable
    assert stable is not None
    pod = rollout.pods(stable.predictor)[0]["metadata"]["name"]
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": rollout.namespace},
    }
    path = f"/api/v1/namespaces/{rollout.namespace}/pods/{pod}/eviction"
    rollout.client.request("POST", path, eviction)
    held.promoted("evicted")


@pytest.fixture
def uncordoned(cluster: Ground) -> Iterator[None]:
    """The nodes take pods again, whatever happened."""
    yield
    for name in cluster.kubectl("get", "nodes", "--output", "name").split():
        cluster.kubectl("uncordon", name)


@pytest.mark.usefixtures("uncordoned")
def test_a_drained_node_in_mid_rollout_costs_no_request(held: Held, cluster: Ground) -> None:
    rollout = held.rollouts["drained"]
    stable = rollout.status().stable
    assert stable is not None
    nodes = {pod["spec"]["nodeName"] for pod in rollout.pods(stable.predictor)}
    assert len(nodes) == 2, "the stable's pods are spread over both nodes"
    began = time.monotonic()
    # Only what has two pods: the one gateway, and models with one pod, nobody could keep up.
    cluster.kubectl(
        *("drain", nodes.pop(), f"--pod-selector=seldon-deployment-id={rollout.name}"),
        *("--ignore-daemonsets", "--delete-emptydir-data", "--timeout=10m"),
    )
    cluster.figures["node drained"] = time.monotonic() - began
    held.promoted("drained")


@pytest.mark.own_cluster
def test_an_api_server_that_is_restarted_in_mid_rollout_delays_it_and_no_more(
    held: Held, cluster: Ground
) -> None:
    assert cluster.own is not None
    began = time.monotonic()
    cluster.own.control_plane.stop_api_server(crash=True)
    cluster.own.control_plane.start_api_server()
    cluster.figures["API server killed, until it answers"] = time.monotonic() - began
    held.promoted("restart")


@pytest.fixture
def prometheus_again(cluster: Ground) -> Iterator[None]:
    yield
    scale_prometheus(cluster, 1)


def scale_prometheus(ground: Ground, replicas: int) -> None:
    where = ("--namespace", "monitoring")
    ground.kubectl(*where, "scale", "deployment/prometheus", f"--replicas={replicas}")
    ground.kubectl(*where, "rollout", "status", "deployment/prometheus", "--timeout=10m")


@pytest.mark.usefixtures("prometheus_again")
def test_without_prometheus_a_rollout_is_held_and_with_an_empty_new_one_it_goes_on(
    held: Held, cluster: Ground
) -> None:
    rollout = held.rollouts["blind"]
    scale_prometheus(cluster, 0)
    waiting = rollout.until(lambda s: unavailable(s), "the outage is seen")
    assert waiting.phase is Phase.STEPPING
    assert waiting.history == []
    scale_prometheus(cluster, 1)
    held.promoted("blind")


def unavailable(status: RolloutStatus) -> bool:
    condition = status.condition("MetricsAvailable")
    return condition is not None and condition.status == "False"
