"""Stands for kube-scheduler and kubelet: pods become real processes on this machine.

Every pod gets an address of its own in 127.64.0.0/10, so that the ports in pod specs need no
translation. A container that has ended is started again as the pod's restartPolicy says, so Jobs
end; their controller is the real one. What differs from a real node: containers are processes
without isolation; init containers, preStop hooks, exec probes, volumes (but for the downward API)
and resource limits are not there; probe delays and periods are at most a second, crash back-off 1
to 10 s, and the grace period at most 3 s.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from sluice.errors import AlreadyExistsError, ConflictError, SandboxError
from sluice.kube.client import Client
from sluice.resources import PODS
from sluice.sandbox.containers import Image, Resolver, resolve_image
from sluice.sandbox.pod_runner import PodRunner
from sluice.sandbox.pod_status import timestamp
from sluice.sandbox.ports import PodNetwork
from sluice.sandbox.processes import Supervisor
from sluice.sandbox.watching import Key, Watched

NODE_NAME = "sandbox"

log = structlog.get_logger(__name__)


class Node:
    """Runs every pod of the cluster. `images`: image name prefix -> resolver, asked first."""

    def __init__(
        self,
        client: Client,
        supervisor: Supervisor,
        directory: Path,
        *,
        network: PodNetwork | None = None,
        images: Mapping[str, Resolver] | None = None,
    ) -> None:
        self._api = _Api(client)
        self._client = client
        self._supervisor = supervisor
        self._directory = directory
        self._network = network or PodNetwork()
        self._images = images or {}
        self._runners: dict[str, PodRunner] = {}
        self._lock = threading.Lock()
        self._stopping = False
        self._pods = Watched(client, PODS, self._changed)

    @property
    def network(self) -> PodNetwork:
        """The loopback network of this node's pods."""
        return self._network

    def start(self) -> None:
        """Register the node and begin to run pods."""
        self._api.register_node()
        self._pods.start()

    def stop(self) -> None:
        """End all pods' processes at once; the Pod objects stay as they are."""
        with self._lock:
            self._stopping = True
            runners = list(self._runners.values())
        self._pods.stop()
        for runner in runners:
            runner.abandon()
        for runner in runners:
            runner.join(timeout=10)
        self._network.close()

    def hold_unready(self, namespace: str, name: str, held: bool = True) -> None:
        """Make a pod unready (or release it) without touching its processes."""
        self._runner(namespace, name).hold_unready(held)

    def crash(self, namespace: str, name: str, container: str) -> None:
        """Kill one container's processes, as an out-of-memory kill would."""
        self._runner(namespace, name)
        process = self._supervisor.get(f"{namespace}.{name}.{container}")
        if process is None:
            raise SandboxError(f"pod {namespace}/{name} has no running container {container}")
        process.popen.kill()

    def _runner(self, namespace: str, name: str) -> PodRunner:
        with self._lock:
            for runner in self._runners.values():
                if (runner.namespace, runner.pod_name) == (namespace, name):
                    return runner
        raise SandboxError(f"no pod {namespace}/{name} runs on this node")

    def _changed(self, key: Key, pod: dict[str, Any] | None) -> None:
        with self._lock:
            if self._stopping:
                return
            if pod is None:
                for runner in self._runners.values():
                    if (runner.namespace, runner.pod_name) == key:
                        runner.update(None)
                return
            uid = pod["metadata"]["uid"]
            known = self._runners.get(uid)
            if known is None:
                self._run(pod)
                return
        known.update(pod)

    def _run(self, pod: dict[str, Any]) -> None:
        meta = pod["metadata"]
        for runner in self._runners.values():  # a new pod of the same name: the old one has gone
            if (runner.namespace, runner.pod_name) == (meta["namespace"], meta["name"]):
                runner.update(None)
        runner = PodRunner(
            pod,
            api=self._api,
            supervisor=self._supervisor,
            address=self._network.take(),
            directory=self._directory / "pods" / meta["uid"],
            resolve=self._resolve,
            ended=self._ended,
        )
        self._runners[meta["uid"]] = runner
        runner.start()

    def _resolve(self, image: str) -> Image | None:
        return resolve_image(image, self._images)

    def _ended(self, runner: PodRunner) -> None:
        with self._lock:
            self._runners.pop(runner.uid, None)
        self._network.give_back(runner.address)


class _Api:
    """The few requests of a kubelet and a scheduler."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def register_node(self) -> None:
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": NODE_NAME, "labels": {"kubernetes.io/hostname": NODE_NAME}},
        }
        try:
            self._client.request("POST", "/api/v1/nodes", node)
        except AlreadyExistsError:
            return
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}
        ready["lastTransitionTime"] = timestamp(0)
        capacity = {"cpu": "64", "memory": "256Gi", "pods": "253"}
        status = {"conditions": [ready], "capacity": capacity, "allocatable": capacity}
        self._client.request(
            "PATCH",
            f"/api/v1/nodes/{NODE_NAME}/status",
            {"status": status},
            content_type="application/merge-patch+json",
        )

    def bind(self, namespace: str, name: str) -> None:
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name},
            "target": {"apiVersion": "v1", "kind": "Node", "name": NODE_NAME},
        }
        try:
            self._client.request("POST", f"{_path(namespace, name)}/binding", binding)
        except ConflictError:
            log.debug("pod.bound.already", pod=name)

    def publish(self, namespace: str, name: str, uid: str, status: dict[str, Any]) -> None:
        self._client.merge_patch(
            PODS,
            name,
            namespace,
            {"metadata": {"uid": uid}, "status": status},
            subresource="status",
        )

    def remove(self, namespace: str, name: str, uid: str) -> None:
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
        self._client.request("DELETE", _path(namespace, name), options)


def _path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods/{name}"
