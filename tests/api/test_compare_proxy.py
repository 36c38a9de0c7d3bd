"""`sluice compare ROLLOUT` through a real API server's proxy of Services."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from sluice.compare.reaching import Proxied, sides
from sluice.errors import ForbiddenError, NotAllowedError
from sluice.resources import PODS, SELDON_DEPLOYMENTS, Resource
from sluice.sandbox import objects
from sluice.sandbox.up import CRDS

if TYPE_CHECKING:
    from tests.api.conftest import Cluster

SERVICES = Resource("", "v1", "services", "Service")
ENDPOINTS = Resource("", "v1", "endpoints", "Endpoints")
ANSWER = {"data": {"names": ["a", "b"], "ndarray": [[0.3, 0.7]]}}


class Model(BaseHTTPRequestHandler):
    """Answers as a model's server does: 500 to an empty table."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fails = not body["data"]["ndarray"] or self.path != "/api/v1.0/predictions"
        content = json.dumps({"status": {"code": 500}} if fails else ANSWER).encode()
        self.send_response(500 if fails else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def model() -> Iterator[tuple[str, int]]:
    """Where a model listens that the API server may proxy to: not on loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("198.51.100.1", 9))  # sends nothing; the route tells the own address
        address = probe.getsockname()[0]
    server = ThreadingHTTPServer((address, 0), Model)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[0], server.server_address[1]  # type: ignore[misc]
    server.shutdown()
    thread.join()
    server.server_close()


def service(cluster: Cluster, namespace: str, name: str, at: tuple[str, int] | None) -> None:
    spec = {"ports": [{"name": "http", "port": 8000, "targetPort": at[1] if at else 8000}]}
    cluster.client.create(SERVICES, {"metadata": {"name": name}, "spec": spec}, namespace)
    if at is None:
        cluster.client.create(ENDPOINTS, {"metadata": {"name": name}}, namespace)
        return
    # As kubelet and the endpoint controller write it: no pod behind an address, no proxy to it.
    client = cluster.client
    pod = {
        "metadata": {"name": name, "labels": {"seldon-app": name}},
        "spec": {"containers": [{"name": "m", "image": "m"}]},
    }
    uid = client.create(PODS, pod, namespace)["metadata"]["uid"]
    status = {"phase": "Running", "podIP": at[0], "podIPs": [{"ip": at[0]}]}
    client.merge_patch(PODS, name, namespace, {"status": status}, subresource="status")
    reference = {"kind": "Pod", "namespace": namespace, "name": name, "uid": uid}
    subset = {
        "addresses": [{"ip": at[0], "targetRef": reference}],
        "ports": [{"name": "http", "port": at[1]}],
    }
    client.create(ENDPOINTS, {"metadata": {"name": name}, "subsets": [subset]}, namespace)
    await_proxied(cluster, namespace, name)


def await_proxied(cluster: Cluster, namespace: str, name: str) -> None:
    """The API server finds endpoints by its own watch, a moment later."""
    side = Proxied(cluster.client, namespace, name, 8000)
    pause, deadline = threading.Event(), time.monotonic() + 300
    while not side.ask('{"data": {"ndarray": [[1]]}}').ok:
        assert time.monotonic() < deadline, f"{name} is not proxied"
        pause.wait(0.02)


def test_a_models_answers_and_errors_come_through_and_the_proxys_own_are_told_apart(
    cluster: Cluster, namespace: str, model: tuple[str, int]
) -> None:
    service(cluster, namespace, "iris-v1", model)
    service(cluster, namespace, "iris-v2", None)
    there = Proxied(cluster.client, namespace, "iris-v1", 8000)
    good = there.ask('{"data": {"ndarray": [[1]]}}')
    assert (good.status, good.ok, json.loads(good.body)) == (200, True, ANSWER)
    assert there.ask('{"data": {"ndarray": []}}').code == "500"
    empty = Proxied(cluster.client, namespace, "iris-v2", 8000)
    nobody = empty.ask('{"data": {"ndarray": [[1]]}}')
    assert (nobody.ok, nobody.code) == (False, "API server: ServiceUnavailable")


def test_the_rollouts_two_predictors_are_found_and_the_right_is_looked_at_first(
    cluster: Cluster, namespace: str, model: tuple[str, int]
) -> None:
    crds = objects.read_manifests(CRDS)
    for crd in crds:
        objects.apply(cluster.client, crd)
    objects.await_established(cluster.client, [crd["metadata"]["name"] for crd in crds])
    sdep = {
        "apiVersion": SELDON_DEPLOYMENTS.api_version,
        "kind": SELDON_DEPLOYMENTS.kind,
        "metadata": {"name": "iris"},
        "spec": {
            "predictors": [
                {"name": name, "traffic": traffic, "graph": {"name": "m", "type": "MODEL"}}
                for name, traffic in (("v1", 95), ("v2", 5))
            ]
        },
    }
    cluster.client.create(SELDON_DEPLOYMENTS, sdep, namespace)
    for name in ("iris-v1", "iris-v2"):
        service(cluster, namespace, name, model)
    rollout: dict[str, Any] = {"metadata": {"name": "iris"}, "status": {"phase": "Stepping"}}
    with pytest.raises(NotAllowedError, match="no rollout in progress"):
        sides(cluster.client, rollout, namespace, timeout=5, parallel=1)
    for side in ("stable", "candidate"):
        predictor = "v1" if side == "stable" else "v2"
        rollout["status"][side] = {"revision": predictor, "predictor": predictor}
    pair = sides(cluster.client, rollout, namespace, timeout=5, parallel=1)
    assert [one.where.split(".")[0] for one in pair] == ["iris-v1", "iris-v2"]
    assert [one.ask('{"data": {"ndarray": [[1]]}}').status for one in pair] == [200, 200]

    reading: list[dict[str, Any]] = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        {
            "apiGroups": [SELDON_DEPLOYMENTS.group],
            "resources": ["seldondeployments"],
            "verbs": ["get"],
        },
    ]
    proxying = [{"apiGroups": [""], "resources": ["services/proxy"], "verbs": ["create"]}]
    poor = cluster.client_for(cluster.user(namespace, rules=reading))
    with pytest.raises(ForbiddenError, match="the right to create services/proxy in namespace"):
        sides(poor, rollout, namespace, timeout=5, parallel=1)
    able = cluster.client_for(cluster.user(namespace, rules=reading + proxying))
    [stable, _] = sides(able, rollout, namespace, timeout=5, parallel=1)
    assert stable.ask('{"data": {"ndarray": [[1]]}}').ok, "these rights are enough"
