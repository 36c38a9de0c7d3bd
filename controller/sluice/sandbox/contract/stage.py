"""A control plane of its own with the operator stand-in as a real process: where a replay happens.

Two kinds: one whose Deployment statuses are written by hand (only the garbage collector runs), and
one with the real Deployment, ReplicaSet, EndpointSlice, HPA and disruption controllers, pods on a
made-up node.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import yaml

from sluice.errors import SandboxError
from sluice.sandbox import parts
from sluice.sandbox.control_plane import ControlPlane
from sluice.sandbox.ports import free_port
from sluice.sandbox.processes import Supervisor

from .made_up_node import MadeUpNode
from .observing import NAMESPACE, Observer, path
from .recordings import Json
from .wire import Wire

CRDS = Path(__file__).parents[1] / "crds"
_CRD_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
_WEBHOOK = "seldon-validating-webhook-configuration"
_BY_HAND = ("garbage-collector-controller",)
_REAL = (
    *_BY_HAND,
    "deployment-controller",
    "replicaset-controller",
    "endpointslice-controller",
    "horizontal-pod-autoscaler-controller",
    "disruption-controller",
)
_HPA_SYNC = "5s"
_LINGER_SECONDS = 1.5
_WAIT_SECONDS = 30.0
# Deleted in this order; what owns goes before what is owned.
_KINDS = (
    "SeldonDeployment",
    "HorizontalPodAutoscaler",
    "Deployment",
    "ReplicaSet",
    "Service",
    "VirtualService",
    "DestinationRule",
)


class Stage:
    """Up from `start` to `close`; `reset` empties it between two recordings."""

    def __init__(self, directory: Path, *, pods: bool) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.pods = pods
        self._directory = directory
        self._supervisor = Supervisor(directory)
        self._plane = ControlPlane(self._supervisor, directory / "control-plane", controllers=False)
        self._webhook_port = 0
        self._registration: Json = {}
        self.node: MadeUpNode | None = None

    def start(self) -> None:
        """Brings everything up. Raises SandboxError or ToolError."""
        self._plane.start()
        self.wire = Wire(self._plane.url, self._plane.certificate, self._plane.token("admin"))
        self.observer = Observer(self.wire, pods=self.pods)
        for file in sorted(CRDS.glob("*.yaml")):
            for document in yaml.safe_load_all(file.read_text()):
                if document and document["spec"]["group"] in (
                    "machinelearning.seldon.io",
                    "networking.istio.io",
                ):
                    self._create(_CRD_PATH, document)
        self._create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        for kind in _KINDS:
            self._until_served(kind)
        self._start_controllers()
        if self.pods:
            self.node = MadeUpNode(self.wire, linger=_LINGER_SECONDS)
            self.node.start()
        self._webhook_port = free_port()
        self.start_operator()

    def close(self) -> None:
        if self.node is not None:
            self.node.stop()
        self._supervisor.close()

    def start_operator(self) -> None:
        """Starts the operator's process and waits until it watches everything."""
        ready = self._directory / "operator.ready"
        ready.unlink(missing_ok=True)
        self._supervisor.start(
            "operator",
            [
                sys.executable,
                "-m",
                "sluice.sandbox.operator",
                f"--kubeconfig={self._plane.kubeconfig('seldon-operator')}",
                f"--webhook-port={self._webhook_port}",
                f"--webhook-cert-dir={self._directory / 'webhook'}",
                f"--ready-file={ready}",
            ],
            ready=ready.exists,
            deadline=_WAIT_SECONDS,
        )

    def stop_operator(self) -> None:
        self._supervisor.stop("operator", grace=5.0)

    def signal_operator(self, name: str) -> None:
        """`name` is SIGSTOP or SIGCONT."""
        process = self._supervisor.get("operator")
        if process is None:
            raise SandboxError(f"expected a running operator to send {name} to, found none")
        process.popen.send_signal(getattr(signal, name))

    def operator_runs(self) -> bool:
        process = self._supervisor.get("operator")
        return process is not None and process.alive

    def unregister_webhook(self) -> None:
        answer = self.wire.request("GET", f"{_WEBHOOKS}/{_WEBHOOK}")
        if answer.accepted:
            self._registration = answer.body
            self.wire.request("DELETE", f"{_WEBHOOKS}/{_WEBHOOK}")
            self._pause_for_webhooks()

    def register_webhook(self) -> None:
        """Puts the registration back that was taken away, unless the operator has done so."""
        if self.wire.request("GET", f"{_WEBHOOKS}/{_WEBHOOK}").accepted:
            return
        webhooks = self._registration["webhooks"]
        self._create(_WEBHOOKS, {"metadata": {"name": _WEBHOOK}, "webhooks": webhooks})
        self._pause_for_webhooks()

    def _pause_for_webhooks(self) -> None:
        # The API server takes a changed registration over from a watch; nothing tells when.
        time.sleep(1.0)

    def reset(self, *, events: bool = True) -> None:
        """Deletes everything in the namespace and waits until it is gone."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while left := self._delete_all():
            if time.monotonic() > deadline:
                raise SandboxError(
                    f"expected an empty namespace {NAMESPACE} after {_WAIT_SECONDS:g} s, "
                    f"found {', '.join(sorted(left))}"
                )
            time.sleep(0.05)
        if events:
            self.wire.request("DELETE", path("Event"))

    def _delete_all(self) -> set[str]:
        left = set()
        kinds = (*_KINDS, "Pod") if self.pods else _KINDS
        for kind in kinds:
            found = self.observer.items(kind)
            left |= {f"{kind}/{obj['metadata']['name']}" for obj in found}
            for obj in found:
                self._delete(kind, obj)
            if kind == "SeldonDeployment" and found:
                return left
        return left

    def _delete(self, kind: str, obj: Json) -> None:
        name = obj["metadata"]["name"]
        if obj["metadata"].get("finalizers"):
            free = {"metadata": {"finalizers": None}}
            self.wire.request("PATCH", path(kind, name), free, "application/merge-patch+json")
        options = {"propagationPolicy": "Background", "gracePeriodSeconds": 0}
        self.wire.request("DELETE", path(kind, name), options)

    def _start_controllers(self) -> None:
        names = _REAL if self.pods else _BY_HAND
        config = self._plane.kubeconfig("kube-controller-manager")
        self._supervisor.start(
            "kube-controller-manager",
            [
                str(parts.ensure("kube-controller-manager")),
                f"--kubeconfig={config}",
                f"--controllers={','.join(names)}",
                f"--horizontal-pod-autoscaler-sync-period={_HPA_SYNC}",
                "--leader-elect=false",
                "--use-service-account-credentials=false",
                "--kube-api-qps=200",
                "--kube-api-burst=400",
                "--secure-port=0",
            ],
        )

    def _create(self, where: str, body: Json) -> None:
        answer = self.wire.request("POST", where, body)
        if not answer.accepted and answer.status != 409:
            raise SandboxError(
                f"expected the API server to create {body['metadata']['name']} at {where}, "
                f"found HTTP {answer.status}: {answer.body.get('message')}"
            )

    def _until_served(self, kind: str) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        while not self.wire.request("GET", path(kind)).accepted:
            if time.monotonic() > deadline:
                raise SandboxError(f"expected {kind} to be served within {_WAIT_SECONDS:g} s")
            time.sleep(0.1)
