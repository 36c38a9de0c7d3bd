"""Nodes, pods, controllers, the API server and Prometheus go away in mid-rollout."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from ground import SYSTEM, Ground, Journey
from trial import poll

from sluice.api.status import Phase, RolloutStatus

Start = Callable[[str], Journey]
RATE = 15.0
# Long enough in it for something to happen.
HELD = {"steps": [{"weight": 20, "hold": "1s"}, {"weight": 50, "hold": "20s"}]}


def stepping(rollout: Journey, *, replicas: int = 1) -> None:
    """A better model on its way, with requests to it counted."""
    rollout.create(rate=RATE, replicas=replicas)
    rollout.change("better", replicas=replicas, canary=HELD)
    rollout.until_judged()


def promoted(rollout: Journey, ground: Ground) -> RolloutStatus:
    """The one rollout ends in a promotion, and no request failed."""
    status = rollout.until_ended("Promoted")
    assert len(status.history) == 1, "one rollout, not one again"
    assert rollout.count() == []
    return status


def test_a_controller_whose_pod_is_deleted_hands_over_and_the_rollout_goes_on(
    start: Start, cluster: Ground
) -> None:
    rollout = start("handover")
    stepping(rollout)
    before, began = cluster.leader(), time.monotonic()
    cluster.kubectl("--namespace", SYSTEM, "delete", "pod", before, "--wait=false")
    poll(lambda: cluster.leader() not in ("", before), "another leads")
    cluster.figures["leader's pod deleted, until another leads"] = time.monotonic() - began
    promoted(rollout, cluster)


@pytest.mark.own_cluster
def test_a_leader_that_is_killed_is_followed_once_its_lease_has_run_out(
    start: Start, cluster: Ground
) -> None:
    rollout = start("killed")
    stepping(rollout)
    before, began = cluster.holder(), time.monotonic()
    cluster.kill(cluster.leader())
    poll(lambda: cluster.holder() not in ("", before), "another leads")
    cluster.figures["leader killed, until another leads"] = time.monotonic() - began
    promoted(rollout, cluster)


def test_an_evicted_stable_pod_is_replaced_and_the_rollout_goes_on(
    start: Start, cluster: Ground
) -> None:
    rollout = start("evicted")
    stepping(rollout, replicas=2)
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
    promoted(rollout, cluster)


@pytest.fixture
def uncordoned(cluster: Ground) -> Iterator[None]:
    """The nodes take pods again, whatever happened."""
    yield
    for name in cluster.kubectl("get", "nodes", "--output", "name").split():
        cluster.kubectl("uncordon", name)


@pytest.mark.usefixtures("uncordoned")
def test_a_drained_node_in_mid_rollout_costs_no_request(start: Start, cluster: Ground) -> None:
    rollout = start("drained")
    stepping(rollout, replicas=2)
    stable = rollout.status().stable
    assert stable is not None
    nodes = {pod["spec"]["nodeName"] for pod in rollout.pods(stable.predictor)}
    assert len(nodes) == 2, "the stable's pods are spread over both nodes"
    began = time.monotonic()
    # Only what belongs to models: the one gateway is nothing that Sluice could keep up.
    cluster.kubectl(
        *("drain", nodes.pop(), "--pod-selector=seldon-deployment-id"),
        *("--ignore-daemonsets", "--delete-emptydir-data", "--timeout=3m"),
        timeout=240,
    )
    cluster.figures["node drained"] = time.monotonic() - began
    promoted(rollout, cluster)


@pytest.mark.own_cluster
def test_an_api_server_that_is_restarted_in_mid_rollout_delays_it_and_no_more(
    start: Start, cluster: Ground
) -> None:
    rollout = start("restart")
    stepping(rollout)
    assert cluster.own is not None
    began = time.monotonic()
    cluster.own.control_plane.stop_api_server(crash=True)
    cluster.own.control_plane.start_api_server()
    rollout.until(lambda s: s.phase is not Phase.PREPARING, "the API server answers again")
    cluster.figures["API server killed, until it answers"] = time.monotonic() - began
    promoted(rollout, cluster)


@pytest.fixture
def prometheus_again(cluster: Ground) -> Iterator[None]:
    yield
    scale_prometheus(cluster, 1)


def scale_prometheus(ground: Ground, replicas: int) -> None:
    where = ("--namespace", "monitoring")
    ground.kubectl(*where, "scale", "deployment/prometheus", f"--replicas={replicas}")
    ground.kubectl(*where, "rollout", "status", "deployment/prometheus", "--timeout=2m")


@pytest.mark.usefixtures("prometheus_again")
def test_without_prometheus_a_rollout_is_held_and_with_an_empty_new_one_it_goes_on(
    start: Start, cluster: Ground
) -> None:
    rollout = start("blind")
    stepping(rollout)
    scale_prometheus(cluster, 0)
    held = rollout.until(lambda s: unavailable(s), "the outage is seen")
    assert held.phase is Phase.STEPPING
    assert held.history == []
    scale_prometheus(cluster, 1)
    promoted(rollout, cluster)


def unavailable(status: RolloutStatus) -> bool:
    condition = status.condition("MetricsAvailable")
    return condition is not None and condition.status == "False"
